//! Commits as container images, in the encapsulated form
//! ([`Encapsulation`]).
//!
//! Labels are what the importers read (ostree-ext, `src/container/mod.rs`): `ostree.commit`,
//! `ostree.final-diffid`, and of a system that boots `ostree.bootable`, `ostree.linux` and
//! `containers.bootc`. They stand in the manifest's annotations too, where a registry's index shows
//! them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use treelay_layers::encode::{Codec, Stream};
use treelay_recipes::{Arch, Digest, Hasher, rfc3339};

use super::image::canonical;
use crate::image_store::{
    BlobSource, Descriptor, ImageStore, Manifest, Placement, StoreError, media, put_blobs,
};
use crate::ostree_repo::{Encapsulation, OstreeError, Repository, image_labels};
use crate::parallel::in_parallel;
use crate::progress::{Outcome, Progress};

/// How layers are compressed: the importers' readers of the time when they were new know gzip alone.
const CODEC: Codec = Codec::GZIP;

/// Why a commit did not become an image.
#[derive(Debug, thiserror::Error)]
pub enum EncapsulateError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] OstreeError),
    /// The place of images.
    #[error(transparent)]
    Image(#[from] StoreError),
    /// A commit that does not say which arch it is for.
    #[error(
        "commit {commit} does not say which arch it is for, or one that images are not made for ({said}): a host would not take its image"
    )]
    NoArch {
        /// The commit.
        commit: String,
        /// Its `ostree.architecture`.
        said: String,
    },
    /// Two commits of one arch.
    #[error("{first} and {second} are both commits for {arch}: name one of them")]
    Several {
        /// A ref.
        first: String,
        /// Another one.
        second: String,
        /// Their arch.
        arch: Arch,
    },
    /// A layer could not be written.
    #[error("writing layer {layer} of commit {commit}")]
    Layer {
        /// The layer.
        layer: String,
        /// The commit.
        commit: String,
        /// Why not.
        source: io::Error,
    },
    /// The documents; a mistake of treelay's.
    #[error("writing the image's documents")]
    Json(#[from] serde_json::Error),
}

/// A layer that was written.
struct Layer {
    name: String,
    /// For the history.
    created_by: String,
    /// Where it is.
    path: PathBuf,
    digest: Digest,
    size: u64,
    diff_id: Digest,
}

/// An image of one commit, of which all layers are files.
struct Image {
    arch: Arch,
    layers: Vec<Layer>,
    config: Vec<u8>,
    manifest: Manifest,
}

/// Images of commits, of which all layers are files in a directory that must stay.
pub struct Encapsulated {
    images: Vec<Image>,
    index: Manifest,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct EncapsulatedArtifact {
    /// The index.
    pub index: Descriptor,
    /// The manifest of each arch.
    pub manifests: Vec<(Arch, Digest)>,
    /// Blobs whose bytes moved, and how many bytes.
    pub moved: (usize, u64),
    /// Blobs that were there.
    pub reused: usize,
}

impl Encapsulated {
    /// Makes an image of each of the named commits of `repository`, their layers on `jobs` threads
    /// as files in `dir`. The same commits with the same signatures give the same bytes.
    ///
    /// # Errors
    /// [`EncapsulateError`].
    pub fn make(
        repository: &Repository,
        commits: &[(String, Digest)],
        dir: &Path,
        jobs: usize,
    ) -> Result<Self, EncapsulateError> {
        let mut of_arch: BTreeMap<Arch, (&str, Digest)> = BTreeMap::new();
        for (name, commit) in commits {
            let said = repository.arch_of(commit)?.unwrap_or_default();
            let arch =
                Arch::ALL.into_iter().find(|arch| arch.uname() == said).ok_or_else(|| {
                    EncapsulateError::NoArch { commit: commit.hex(), said: said.clone() }
                })?;
            if let Some((first, _)) = of_arch.insert(arch, (name, *commit)) {
                let (first, second) = (first.to_owned(), name.clone());
                return Err(EncapsulateError::Several { first, second, arch });
            }
        }
        let images = of_arch
            .into_iter()
            .map(|(arch, (_, commit))| Image::make(repository, arch, &commit, dir, jobs))
            .collect::<Result<Vec<_>, _>>()?;
        let manifests: Vec<Value> = images
            .iter()
            .map(|image| {
                let mut platform = json!({ "architecture": image.arch.oci(), "os": "linux" });
                if let Some(variant) = image.arch.variant() {
                    platform["variant"] = variant.into();
                }
                json!({
                    "mediaType": media::MANIFEST,
                    "digest": image.manifest.digest(),
                    "size": image.manifest.bytes().len(),
                    "platform": platform,
                })
            })
            .collect();
        let index = canonical(&json!({
            "schemaVersion": 2,
            "mediaType": media::INDEX,
            "manifests": manifests,
        }))?;
        Ok(Self { images, index: Manifest::new(media::INDEX, index) })
    }

    /// Writes blobs, then manifests, then the index under `tag`. The caller commits, after the
    /// signatures.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write(
        &self,
        to: &dyn ImageStore,
        tag: &str,
        progress: &Arc<dyn Progress>,
    ) -> Result<EncapsulatedArtifact, StoreError> {
        let mut sources = Vec::new();
        for image in &self.images {
            for layer in &image.layers {
                let path = layer.path.clone();
                let open = Arc::new(move || -> io::Result<Box<dyn io::Read + Send>> {
                    Ok(Box::new(File::open(&path)?))
                });
                let source = BlobSource::from_reader(layer.digest, layer.size, open);
                let named = source.named(format!("{} layer {}", image.arch, layer.name));
                sources.push(named.watched_by(progress.clone()));
            }
            let config = BlobSource::from_bytes(image.config.clone());
            sources.push(config.named(format!("{} config", image.arch)));
        }
        let outcomes = put_blobs(to, &sources, 4).await?;
        let (mut moved, mut reused) = ((0, 0), 0);
        for (source, outcome) in sources.iter().zip(outcomes) {
            match outcome {
                Outcome::Moved => moved = (moved.0 + 1, moved.1 + source.size()),
                _ => reused += 1,
            }
        }
        for image in &self.images {
            to.put_manifest(&image.manifest, Placement::Child).await?;
        }
        let annotations = BTreeMap::new();
        let placement = Placement::Tag { tag, annotations: &annotations };
        let index = to.put_manifest(&self.index, placement).await?;
        let manifests =
            self.images.iter().map(|image| (image.arch, image.manifest.digest())).collect();
        Ok(EncapsulatedArtifact { index, manifests, moved, reused })
    }
}

impl Image {
    fn make(
        repository: &Repository,
        arch: Arch,
        commit: &Digest,
        dir: &Path,
        jobs: usize,
    ) -> Result<Self, EncapsulateError> {
        let what = repository.encapsulation(commit)?;
        // The largest come first, so that none is begun when all others are done.
        let mut order: Vec<usize> = (0..=what.chunks.len()).collect();
        let paths = |at: &usize| match at {
            0 => usize::MAX,
            at => what.chunks.get(at - 1).map_or(0, |chunk| chunk.objects.len()),
        };
        order.sort_by_key(|at| std::cmp::Reverse(paths(at)));
        let place = repository.path();
        let made = in_parallel(jobs, &order, |at| {
            // A repository of libostree's is for one thread.
            let repository = Repository::open(place)?;
            layer(&repository, &what, *at, dir)
        });
        let mut layers: BTreeMap<usize, Layer> = BTreeMap::new();
        for (at, layer) in order.into_iter().zip(made) {
            layers.insert(at, layer?);
        }
        let layers: Vec<Layer> = layers.into_values().collect();
        let labels = labels(&what, layers.last().map(|layer| layer.diff_id));
        let created = rfc3339(what.time);
        let history: Vec<Value> = layers
            .iter()
            .map(|layer| json!({ "created": created, "created_by": layer.created_by }))
            .collect();
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        let mut config = json!({
            "architecture": arch.oci(),
            "os": "linux",
            "created": created,
            "config": { "Labels": labels },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        });
        if let Some(variant) = arch.variant() {
            config["variant"] = variant.into();
        }
        let config = canonical(&config)?;
        let described = layers.iter().enumerate().map(|(at, layer)| {
            let mut described =
                json!({ "mediaType": CODEC.media_type(), "digest": layer.digest, "size": layer.size });
            if at > 0 {
                described["annotations"] = json!({ "ostree.components": layer.name });
            }
            described
        });
        let manifest = canonical(&json!({
            "schemaVersion": 2,
            "mediaType": media::MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::of(&config),
                "size": config.len(),
            },
            "layers": described.collect::<Vec<_>>(),
            "annotations": labels,
        }))?;
        let manifest = Manifest::new(media::MANIFEST, manifest);
        Ok(Self { arch, layers, config, manifest })
    }
}

fn labels(what: &Encapsulation, last: Option<Digest>) -> BTreeMap<&'static str, String> {
    let said = |key: &str| what.metadata.get(key).cloned();
    let mut labels = BTreeMap::from([(image_labels::COMMIT, what.commit.hex())]);
    labels.extend(last.map(|last| (image_labels::LAST_LAYER, last.to_string())));
    labels.extend(said("version").map(|it| (image_labels::VERSION, it)));
    labels.extend(said(image_labels::LINUX).map(|it| (image_labels::LINUX, it)));
    if let Some(bootable) = said(image_labels::BOOTABLE) {
        labels.insert(image_labels::BOOTABLE, bootable);
        labels.insert(image_labels::BOOTC, "1".to_owned());
    }
    labels
}

/// Writes layer `at` of a commit; 0 is the commit layer.
fn layer(
    repository: &Repository,
    what: &Encapsulation,
    at: usize,
    dir: &Path,
) -> Result<Layer, EncapsulateError> {
    let chunk = at.checked_sub(1).and_then(|at| what.chunks.get(at));
    let name = match chunk {
        Some(chunk) => chunk.name.clone(),
        None if what.subject.is_empty() => format!("ostree commit {}", what.commit.hex()),
        None => what.subject.clone(),
    };
    let created_by = match chunk {
        // As images of a recipe say it.
        Some(chunk) if chunk.is_layer => format!("treelay layer {name}"),
        _ => name.clone(),
    };
    let path = dir.join(format!("{}-{at}", what.commit.hex()));
    let failed =
        |source| EncapsulateError::Layer { layer: name.clone(), commit: what.commit.hex(), source };
    let file =
        Hashing::new(BufWriter::with_capacity(1 << 20, File::create(&path).map_err(failed)?));
    let gzip = Stream::new(CODEC, file).map_err(failed)?;
    let tar = BufWriter::with_capacity(1 << 18, Hashing::new(gzip));
    let tar = match chunk {
        Some(chunk) => repository.write_chunk(chunk, tar)?,
        None => repository.write_commit_layer(&what.commit, tar)?,
    };
    let tar = tar.into_inner().map_err(|error| failed(error.into_error()))?;
    let diff_id = tar.hasher.finish();
    let mut file = tar.inner.finish().map_err(failed)?;
    file.inner.flush().map_err(failed)?;
    let size = file.hasher.bytes();
    Ok(Layer { digest: file.hasher.finish(), name, created_by, path, size, diff_id })
}

/// Hashes what is written.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
