//! Images into a layout or registry.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use treelay_recipes::{Arch, Digest};

use super::image::{self, AssembleError, Assembled, ImageLayer, ImageParts};
use crate::exec::{Bases, Blobs, Layers};
use crate::image_store::{
    BlobSource, Descriptor, ImageStore, Manifest, Placement, StoreError, put_blobs,
};
use crate::plan::Plan;
use crate::progress::{Outcome, Progress};
use crate::store::Store;

/// An image whose every byte is known, not yet written anywhere.
pub struct BuiltImage {
    /// The index.
    pub index: Manifest,
    /// One for each arch, in the recipe's order.
    pub images: Vec<Assembled>,
    /// The layers of each image.
    pub layers: BTreeMap<Arch, Vec<ImageLayer>>,
    /// What each image lies on.
    pub bases: Bases,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct ImageArtifact {
    /// The index.
    pub index: Descriptor,
    /// The manifest of each arch.
    pub manifests: Vec<(Arch, Digest)>,
    /// Blobs whose bytes moved, and how many bytes.
    pub moved: (usize, u64),
    /// Blobs that were there.
    pub reused: usize,
}

impl BuiltImage {
    /// From the plan and the blobs of its layers.
    ///
    /// # Errors
    /// [`AssembleError`].
    pub fn new(
        plan: &Plan,
        layers: &Layers<'_>,
        blobs: &Blobs,
        bases: Bases,
    ) -> Result<Self, AssembleError> {
        let mut by_arch = BTreeMap::new();
        let mut images = Vec::new();
        for planned in &plan.images {
            let of_arch = layers.by_arch.get(&planned.arch).into_iter().flatten();
            let layers: Vec<ImageLayer> = of_arch
                .filter_map(|layer| {
                    let (blob, _) = blobs.get(&layer.tree)?;
                    Some(ImageLayer {
                        name: layer.name.clone(),
                        kind: layer.kind,
                        part: layer.part,
                        blob: *blob,
                    })
                })
                .collect();
            let parts = ImageParts { base: bases.get(&planned.arch), layers: &layers };
            images.push(image::assemble(plan, planned, parts)?);
            by_arch.insert(planned.arch, layers);
        }
        Ok(Self { index: image::index(plan, &images, &bases)?, images, layers: by_arch, bases })
    }

    /// Writes blobs, then manifests, then the index under `tag`. The caller commits, after the
    /// signatures.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write(
        &self,
        store: &Arc<Store>,
        to: &dyn ImageStore,
        tag: &str,
        progress: &Arc<dyn Progress>,
    ) -> Result<ImageArtifact, StoreError> {
        let mut sources = Vec::new();
        let mut seen = BTreeSet::new();
        for image in &self.images {
            let base = self.bases.get(&image.arch).into_iter().flat_map(|base| &base.layers);
            for layer in base.filter(|layer| seen.insert(layer.digest)) {
                let (store, digest) = (store.clone(), layer.digest);
                let open = Arc::new(move || -> io::Result<Box<dyn io::Read + Send>> {
                    let path = store.object(&digest).ok_or(io::ErrorKind::NotFound)?;
                    Ok(Box::new(std::fs::File::open(path)?))
                });
                let source = BlobSource::from_reader(digest, layer.size, open);
                let named = source.named(format!("{} base layer {}", image.arch, digest.short()));
                sources.push(named.watched_by(progress.clone()));
            }
            let layers = self.layers.get(&image.arch).into_iter().flatten();
            for layer in layers.filter(|layer| seen.insert(layer.blob.digest)) {
                let (store, digest) = (store.clone(), layer.blob.digest);
                let open = Arc::new(move || -> io::Result<Box<dyn io::Read + Send>> {
                    Ok(Box::new(store.open_blob(&digest)?))
                });
                let source = BlobSource::from_reader(digest, layer.blob.size, open);
                sources.push(
                    source
                        .named(format!("{} layer {}", image.arch, layer.name))
                        .watched_by(progress.clone()),
                );
            }
            sources.push(
                BlobSource::from_bytes(image.config.clone())
                    .named(format!("{} config", image.arch)),
            );
        }
        let outcomes = put_blobs(to, &sources, 4).await?;
        let (mut moved, mut reused) = ((0, 0), 0);
        for (source, outcome) in sources.iter().zip(outcomes) {
            if outcome == Outcome::Moved {
                moved = (moved.0 + 1, moved.1 + source.size());
            } else {
                reused += 1;
            }
        }
        for image in &self.images {
            to.put_manifest(&image.manifest, Placement::Child).await?;
        }
        let annotations = BTreeMap::new();
        let index =
            to.put_manifest(&self.index, Placement::Tag { tag, annotations: &annotations }).await?;
        let manifests =
            self.images.iter().map(|image| (image.arch, image.manifest.digest())).collect();
        Ok(ImageArtifact { index, manifests, moved, reused })
    }
}
