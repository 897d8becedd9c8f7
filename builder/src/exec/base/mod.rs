//! Base images: the image that the layers of a recipe lie on.
//!
//! Its documents and layers are inputs as any other: pinned by the lock, fetched once, kept in the
//! store as they are, and verified when they are used.

mod accounts;
mod carried;
mod commit;
mod image;
mod place;
mod remote;
mod time;
mod tree;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use treelay_layers::ContentSink as _;
use treelay_layers::archive::Misplaced;
use treelay_layers::kinds::Clash;
use treelay_recipes::lock::LockedBase;
use treelay_recipes::recipe::Base;
use treelay_recipes::{Arch, Digest};

pub use self::carried::{CarriedImage, remember_image};
pub use self::commit::CommitBaseError;
pub(super) use self::image::image_of;
use self::place::{Place, from_layout, oci_layer};
use self::time::created;
use super::{ExecError, Watched, Workshop};
use crate::fetch::FetchError;
use crate::fetch::skopeo::{ImageError, SkopeoImage};
use crate::image_store::layout::Layout;
use crate::image_store::{Descriptor, ImageRef, ImageStore as _, Manifest, Parts, StoreError};
use crate::store::StoreSink;

/// The image of one arch below the layers.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// What annotations call it.
    pub name: String,
    /// What the recipe names: an index, or the manifest itself.
    pub digest: Digest,
    /// The manifest of the arch.
    pub manifest: Digest,
    /// The config, as it was read.
    pub config: Value,
    /// The layers, lowest first, with OCI media types.
    pub layers: Vec<Descriptor>,
    /// The digest of each layer's tar.
    pub diff_ids: Vec<Digest>,
}

/// The base of each arch; none for a recipe that starts from scratch.
pub type Bases = BTreeMap<Arch, BaseImage>;

/// Why there is no base.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// A layout's index has no image for the arch.
    #[error("{image} has no image for {arch}; it has {}", .has.join(", "))]
    NoArch {
        /// The image.
        image: String,
        /// The arch.
        arch: Arch,
        /// The platforms that are there.
        has: Vec<String>,
    },
    /// It is the image of another arch.
    #[error("{image} is for {found}, not for {arch}")]
    OtherArch {
        /// The image.
        image: String,
        /// The arch.
        arch: Arch,
        /// What its config says.
        found: String,
    },
    /// Nothing is there.
    #[error("{image} is not there")]
    NotThere {
        /// The image.
        image: String,
    },
    /// It is another image than when it was locked.
    #[error("{image} is {found}, and {expected} is locked; if that is meant, run `treelay lock`")]
    Changed {
        /// The image.
        image: String,
        /// In the lock.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// A document of it makes no sense.
    #[error("{image}: {reason}")]
    Nonsense {
        /// The image.
        image: String,
        /// What is wrong.
        reason: String,
    },
    /// The layout.
    #[error(transparent)]
    Layout(#[from] StoreError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] ImageError),
    /// A layer of it cannot be read.
    #[error("reading layer {layer} of {image}")]
    Layer {
        /// The image.
        image: String,
        /// The layer.
        layer: Digest,
        /// Why not.
        source: std::io::Error,
    },
    /// A `users` layer and it mean different accounts.
    #[error("adding the accounts of layer {layer:?} to those of {image}")]
    Users {
        /// The image.
        image: String,
        /// The layer.
        layer: String,
        /// Which, and how.
        source: Box<Clash>,
    },
    /// A layer of the recipe does not fit on it.
    #[error("laying layer {layer:?} on {image}")]
    Misplaced {
        /// The image.
        image: String,
        /// The layer.
        layer: String,
        /// Where, and in what.
        source: Misplaced,
    },
}

/// What the store remembers of an image, by the digest of its manifest.
#[derive(Serialize, Deserialize)]
struct Documents {
    manifest: Digest,
    config: Digest,
}

/// The kind of product that remembers them.
const DOCUMENTS: &str = "base-image";

impl Workshop<'_> {
    /// Finds out what the base of an arch is. `keep` is what the lock said before.
    pub(super) async fn lock_base(
        &self,
        text: &str,
        arch: Arch,
        keep: Option<&LockedBase>,
    ) -> Result<Option<LockedBase>, ExecError> {
        let Ok(base) = Base::parse(text) else { return Ok(None) };
        let (digest, place) = match &base {
            Base::Scratch => return Ok(None),
            // What is pinned in the recipe cannot have changed.
            Base::Registry { .. } if keep.is_some() => return Ok(keep.cloned()),
            Base::Registry { digest, .. } => (*digest, None),
            Base::Layout { dir, tag } => {
                let (layout, digest) = self.layout(text, dir, tag.as_deref()).await?;
                if let Some(keep) = keep.filter(|keep| keep.digest == digest) {
                    return Ok(Some(keep.clone()));
                }
                (digest, Some(Place::Layout(layout)))
            }
        };
        let place = match place {
            Some(place) => place,
            None => self.open(text, &base, arch).await?,
        };
        let (manifest, documents) = self.documents(text, &place, &digest, arch).await?;
        place.close().await;
        let image = self.read(text, &base, digest, manifest, &documents, arch)?;
        let released = created(&image.config, text)?;
        Ok(Some(LockedBase { arch, image: text.to_owned(), digest, manifest, released }))
    }

    /// The base of every arch that the lock has one for, with every layer in the store.
    ///
    /// # Errors
    /// [`BaseError`].
    pub async fn bases(
        &self,
        arches: &[Arch],
        lock: &treelay_recipes::Lock,
    ) -> Result<Bases, ExecError> {
        let mut bases = Bases::new();
        for arch in arches {
            let Some(locked) = lock.base(*arch) else { continue };
            bases.insert(*arch, self.base(locked).await?);
        }
        Ok(bases)
    }

    pub(super) async fn base(&self, locked: &LockedBase) -> Result<BaseImage, ExecError> {
        self.base_with(locked, None).await
    }

    /// An image with every layer in the store, or where `only` is one of them, with that one.
    pub(super) async fn base_with(
        &self,
        locked: &LockedBase,
        only: Option<&Digest>,
    ) -> Result<BaseImage, ExecError> {
        let LockedBase { arch, image: text, digest, manifest, .. } = locked;
        let base = Base::parse(text).map_err(|reason| nonsense(text, reason))?;
        let mut place = None;
        let known = self.store.product::<Documents>(DOCUMENTS, manifest);
        let known = known.filter(|known| {
            [known.manifest, known.config].iter().all(|one| self.store.check_object(one))
        });
        let documents = match known {
            Some(known) => known,
            None => {
                let opened = self.open_locked(locked, &base).await?;
                let (found, documents) = self.documents(text, &opened, digest, *arch).await?;
                if found != *manifest {
                    return Err(changed(text, manifest, &found));
                }
                place = Some(opened);
                documents
            }
        };
        let image = self.read(text, &base, *digest, *manifest, &documents, *arch)?;
        let wanted = |layer: &&Descriptor| only.is_none_or(|only| layer.digest == *only);
        for layer in image.layers.iter().filter(wanted) {
            let there = self.store.object(&layer.digest).and_then(|path| path.metadata().ok());
            if there.is_some_and(|there| there.len() == layer.size) {
                continue;
            }
            let place = match &mut place {
                Some(place) => place,
                none => none.insert(self.open_locked(locked, &base).await?),
            };
            let what = format!("fetching layer {} of {text}", layer.digest.short());
            self.observer.begin(&what);
            let watch =
                Watched { observer: self.observer, what: what.clone(), size: Some(layer.size) };
            let kept = place.layer(text, layer, self, &watch).await;
            self.observer.end(&what);
            kept?;
        }
        if let Some(place) = place {
            place.close().await;
        }
        Ok(image)
    }

    async fn layout(
        &self,
        text: &str,
        dir: &str,
        tag: Option<&str>,
    ) -> Result<(Layout, Digest), ExecError> {
        let layout = Layout::open(&self.folder.join(dir)).map_err(BaseError::from)?;
        let image = tag.map_or(ImageRef::Default, |tag| ImageRef::Tag(tag.to_owned()));
        let found = layout.resolve(&image).await.map_err(BaseError::from)?;
        let found = found.ok_or_else(|| BaseError::NotThere { image: text.to_owned() })?;
        Ok((layout, found.digest))
    }

    async fn open(&self, text: &str, base: &Base, arch: Arch) -> Result<Place, ExecError> {
        match base {
            Base::Layout { dir, tag } => {
                Ok(Place::Layout(self.layout(text, dir, tag.as_deref()).await?.0))
            }
            Base::Registry { .. } if self.fetcher.is_offline() => {
                Err(FetchError::Offline { what: text.to_owned() }.into())
            }
            Base::Registry { name, digest } => {
                // A reference with tag and digest is refused by containers/image.
                let repository = match name.rfind(':').filter(|at| !name[*at..].contains('/')) {
                    Some(colon) => &name[..colon],
                    None => name,
                };
                let name = format!("{repository}@{digest}");
                let opened = SkopeoImage::open(&name, arch).await;
                Ok(Place::Skopeo(opened.map_err(BaseError::from)?))
            }
            Base::Scratch => Err(nonsense(text, "it is no image")),
        }
    }

    /// The place of a base, which must still be the image that was locked.
    async fn open_locked(&self, locked: &LockedBase, base: &Base) -> Result<Place, ExecError> {
        if let Base::Layout { dir, tag } = base {
            let (layout, found) = self.layout(&locked.image, dir, tag.as_deref()).await?;
            if found != locked.digest {
                return Err(changed(&locked.image, &locked.digest, &found));
            }
            return Ok(Place::Layout(layout));
        }
        self.open(&locked.image, base, locked.arch).await
    }

    /// The manifest of the arch, and its documents, kept.
    async fn documents(
        &self,
        text: &str,
        place: &Place,
        digest: &Digest,
        arch: Arch,
    ) -> Result<(Digest, Documents), ExecError> {
        let (found, manifest, config) = match place {
            Place::Skopeo(image) => {
                let documents = image.documents(arch).await.map_err(BaseError::from)?;
                (documents.digest, documents.manifest, documents.config)
            }
            Place::Layout(layout) => from_layout(text, layout, digest, arch).await?,
        };
        let mut sink = StoreSink::new(self.store);
        let mut keep = |bytes: &[u8]| {
            let kept = sink.put(&mut &*bytes);
            kept.map(|(digest, _)| digest).map_err(ExecError::store("keeping a base"))
        };
        let documents = Documents { manifest: keep(&manifest)?, config: keep(&config)? };
        self.store
            .put_product(DOCUMENTS, &found, &documents)
            .map_err(ExecError::store("remembering a base"))?;
        Ok((found, documents))
    }

    /// The image that documents describe.
    fn read(
        &self,
        text: &str,
        base: &Base,
        digest: Digest,
        manifest: Digest,
        documents: &Documents,
        arch: Arch,
    ) -> Result<BaseImage, ExecError> {
        let bytes = |digest: &Digest| {
            let path = self.store.object(digest);
            let read = path.map(std::fs::read).and_then(Result::ok);
            read.ok_or_else(|| ExecError::Damaged { what: format!("the base {text}") })
        };
        let parts = Manifest::sniff(text, bytes(&documents.manifest)?)
            .and_then(|manifest| manifest.parts(text))
            .map_err(BaseError::from)?;
        let Parts::Image { layers, .. } = parts else {
            return Err(nonsense(text, "an index stands where an image should"));
        };
        let config: Value = serde_json::from_slice(&bytes(&documents.config)?)
            .map_err(|error| nonsense(text, &format!("reading its config: {error}")))?;
        let found = config["architecture"].as_str().unwrap_or("no arch");
        if found != arch.oci() || config["os"] != "linux" {
            let os = config["os"].as_str().unwrap_or("no system");
            let found = format!("{os}/{found}");
            return Err(BaseError::OtherArch { image: text.to_owned(), arch, found }.into());
        }
        let diff_ids = config["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
        let diff_ids: Option<Vec<Digest>> =
            diff_ids.iter().map(|id| id.as_str()?.parse().ok()).collect();
        let diff_ids = diff_ids
            .filter(|ids| ids.len() == layers.len())
            .ok_or_else(|| nonsense(text, "its config does not name every layer"))?;
        let layers = layers.into_iter().map(|layer| oci_layer(text, layer));
        Ok(BaseImage {
            name: base.to_string(),
            digest,
            manifest,
            config,
            layers: layers.collect::<Result<_, _>>()?,
            diff_ids,
        })
    }
}

pub(super) fn nonsense(text: &str, reason: &str) -> ExecError {
    BaseError::Nonsense { image: text.to_owned(), reason: reason.to_owned() }.into()
}

fn changed(text: &str, expected: &Digest, found: &Digest) -> ExecError {
    BaseError::Changed { image: text.to_owned(), expected: *expected, found: *found }.into()
}
