//! Base images on their way between stores: what of an image is known by its manifest alone.

use std::io;

use treelay_recipes::Digest;

use super::{BaseImage, DOCUMENTS, Documents, nonsense};
use crate::exec::{ExecError, Workshop};
use crate::image_store::{Manifest, Parts};
use crate::store::Store;

/// What the manifest of an image names, each with its length in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedImage {
    /// The config.
    pub config: (Digest, u64),
    /// The layers, lowest first.
    pub layers: Vec<(Digest, u64)>,
}

impl CarriedImage {
    /// What `manifest`, which is a manifest's bytes, names; `None` where it is that of no image.
    pub fn of(manifest: &[u8]) -> Option<Self> {
        let parts = Manifest::sniff("a base", manifest.to_vec()).ok()?.parts("a base").ok()?;
        let Parts::Image { config, layers, .. } = parts else { return None };
        let layers = layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        Some(Self { config: (config.digest, config.size), layers })
    }
}

/// Remembers that an image's documents are objects of the store: its manifest, which has that digest,
/// and the config that the manifest names.
///
/// # Errors
/// What kept it from being remembered.
pub fn remember_image(store: &Store, manifest: &Digest, image: &CarriedImage) -> io::Result<()> {
    let documents = Documents { manifest: *manifest, config: image.config.0 };
    store.put_product(DOCUMENTS, manifest, &documents)
}

impl Workshop<'_> {
    /// The objects that an image is made of: manifest, config, layers.
    pub(in crate::exec) fn image_objects(
        &self,
        image: &BaseImage,
    ) -> Result<Vec<(Digest, u64)>, ExecError> {
        let gone = || ExecError::Damaged { what: format!("the base {}", image.name) };
        let known: Documents = self.store.product(DOCUMENTS, &image.manifest).ok_or_else(gone)?;
        if known.manifest != image.manifest {
            let why = "its manifest is of Docker's own kind, and what is kept is that manifest as OCI \
                       has it, of which nobody can tell elsewhere that it is the one that is locked; \
                       lock an image with an OCI manifest";
            return Err(nonsense(&image.name, why));
        }
        let path = self.store.object(&known.manifest).ok_or_else(gone)?;
        let bytes = std::fs::read(path).map_err(ExecError::store("reading a base's manifest"))?;
        let carried = CarriedImage::of(&bytes).ok_or_else(gone)?;
        let manifest = (known.manifest, bytes.len() as u64);
        Ok([manifest, carried.config].into_iter().chain(carried.layers).collect())
    }
}
