//! The places where OCI images live, behind one trait.
//!
//! A *store* is one OCI layout directory ([`layout::Layout`]) or one repository of a registry
//! ([`registry::Registry`]). It holds *blobs*, named by digest; *manifests* (and indexes, which are
//! manifests of manifests), also named by digest; and *tags*, names that move. A manifest may name
//! a *subject*, another manifest it is about: it is a *referrer* of that ([`referrers`]). Build
//! output, copy, sign, verify and inspect are written once, against [`ImageStore`].
//!
//! Order of writing: blobs, then the manifests that name them, then the index, with its tag. A tag
//! is visible to others only when everything under it is there; in a layout that is the moment of
//! [`ImageStore::commit`].
//!
//! Absent on purpose: nothing here knows what an image *means* (config, history, platforms are
//! `output`'s), nothing re-encodes a manifest: bytes pass through, so digests never change.

pub mod attachments;
mod blob;
mod copy;
mod error;
mod layer_list;
pub mod layout;
mod manifest;
pub mod referrers;
pub mod registry;
mod repository;
mod shared;
pub mod signatures;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use treelay_recipes::Digest;

pub use blob::{BlobSource, BlobStream, OpenRead};
pub use copy::{CopiedAttachment, CopyOptions, CopyReport, LeftBehind, copy, put_blobs};
pub use error::{Result, StoreError};
pub use manifest::{About, Descriptor, MANIFEST_LIMIT, Manifest, Parts, Platform, media};
pub use referrers::Listing;
pub use repository::{NotARepository, Repository, is_tag};

use crate::progress::Outcome;

/// Which image of a store is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ImageRef {
    /// None was named: the only image of a layout (signatures do not count), `latest` of a
    /// repository.
    Default,
    /// The image that carries this tag now.
    Tag(String),
    /// Exactly this manifest or index.
    Digest(Digest),
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("image"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// How a manifest is entered into a store.
#[derive(Debug, Clone, Copy)]
pub enum Placement<'a> {
    /// By digest alone: an index or another manifest names it.
    Child,
    /// Under a tag, replacing what the tag named before.
    Tag {
        /// The tag.
        tag: &'a str,
        /// Annotations of a layout's entry in `index.json`, beside the tag; a registry keeps none.
        annotations: &'a BTreeMap<String, String>,
    },
}

/// A place where OCI images live.
///
/// All methods may run at once on one store. Bytes that come out are checked against their digest;
/// so are bytes that go in.
#[async_trait]
pub trait ImageStore: Send + Sync {
    /// How people write this place: `oci:DIR` or `docker://HOST/REPO`.
    fn place(&self) -> String;

    /// Which manifest `image` names now, or `None` when there is no such image. A caller resolves a
    /// tag once and goes on with the digest.
    ///
    /// # Errors
    /// [`StoreError::Ambiguous`] for [`ImageRef::Default`] in a layout of several images.
    async fn resolve(&self, image: &ImageRef) -> Result<Option<Descriptor>>;

    /// As [`resolve`](Self::resolve), for who reads the manifest next: with the manifest, where it
    /// came along. Without it, it is still to be read.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    async fn find(&self, image: &ImageRef) -> Result<Option<(Descriptor, Option<Manifest>)>> {
        Ok(self.resolve(image).await?.map(|found| (found, None)))
    }

    /// The manifest or index with this digest, at most [`MANIFEST_LIMIT`] bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::DigestMismatch`], [`StoreError::TooLarge`].
    async fn manifest(&self, digest: &Digest) -> Result<Manifest>;

    /// The manifest or index that carries `tag` now, at most [`MANIFEST_LIMIT`] bytes; `None` when
    /// nothing has that tag.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    async fn tagged(&self, tag: &str) -> Result<Option<Manifest>> {
        match self.resolve(&ImageRef::Tag(tag.to_owned())).await? {
            Some(found) => self.manifest(&found.digest).await.map(Some),
            None => Ok(None),
        }
    }

    /// What refers to `subject`: see [`referrers::list`].
    ///
    /// # Errors
    /// Whatever kept the question from being answered.
    async fn referrers(&self, subject: &Digest) -> Result<Listing>;

    /// Enters manifests whose subject is `subject`, so that they are found as its referrers: see
    /// [`referrers::put_all`], which checks what is given here.
    ///
    /// # Errors
    /// Whatever kept them from being written.
    async fn put_referrers(&self, subject: &Digest, manifests: &[Manifest]) -> Result<()>;

    /// Adds to what has a tag beside `subject`, so that nothing is lost that others add at the same
    /// time: see [`signatures::add_beside`].
    ///
    /// # Errors
    /// [`StoreError::BadManifest`] when something else has that tag, which is never replaced;
    /// [`StoreError::Contended`].
    async fn add_beside(
        &self,
        subject: &Digest,
        what: signatures::Beside,
        addition: &signatures::Addition,
    ) -> Result<Descriptor>;

    /// Enters a manifest; what it names must be there already. In a layout a tag becomes visible to
    /// others with [`commit`](Self::commit).
    ///
    /// # Errors
    /// Whatever kept it from being written.
    async fn put_manifest(
        &self,
        manifest: &Manifest,
        placement: Placement<'_>,
    ) -> Result<Descriptor>;

    /// Whether the blob is here, whole.
    ///
    /// # Errors
    /// Whatever kept the question from being answered.
    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool>;

    /// Opens a blob. The stream verifies digest and length and ends in an error where they are
    /// wrong, so nothing read from it counts before its end.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or whatever kept it from being opened.
    async fn blob(&self, digest: &Digest, size: u64) -> Result<BlobStream>;

    /// Takes a blob in, unless it is here; verified, streamed, with bounded retries.
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`] or [`StoreError::SizeMismatch`] when the source is not what
    /// it says; then nothing of it is kept.
    async fn put_blob(&self, source: &BlobSource<'_>) -> Result<Outcome>;

    /// All tags, sorted; signature tags with them.
    ///
    /// # Errors
    /// Whatever kept them from being read.
    async fn tags(&self) -> Result<Vec<String>>;

    /// Makes what was written durable and visible: blobs are synced first, the index is replaced
    /// last, at once. Without it a layout stays as it was.
    ///
    /// # Errors
    /// Whatever kept it from being written.
    async fn commit(&self) -> Result<()>;

    /// The repository this store is, when its blobs can be mounted into others of its registry.
    fn repository(&self) -> Option<&Repository> {
        None
    }

    /// Whether a manifest that is here proves that everything under it is here: true of a registry,
    /// which refuses manifests with missing parts; not of a layout, where a run may have been
    /// interrupted.
    fn manifest_proves_parts(&self) -> bool {
        false
    }
}

/// A store that may be shared between tasks.
pub type SharedStore = Arc<dyn ImageStore>;
