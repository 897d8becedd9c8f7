//! What refers to an image: signatures in bundles, attestations, SBOMs (image-spec 1.1, `subject`;
//! distribution-spec 1.1, "Listing Referrers").
//!
//! *Terms.* A *referrer* is a manifest that names another one, its *subject*. The *descriptor* by
//! which it is listed repeats what the manifest says of itself: its artifact type and annotations.
//! Registries with the *referrers API* keep the list; for those without, and in layouts, writers
//! keep it themselves, as an index with the *fallback tag* `sha256-<hex>`.
//!
//! *Phases.* [`list()`] says what is listed, within bounds that it tells of. [`read`] gets one of
//! them and says where its descriptor lies. [`artifact()`] makes one, [`put_all`] adds.
//!
//! Nothing listed is believed: whoever can write to a repository can list anything, in any number,
//! with any words. Only the manifest itself, by its digest, says what it is and what it is about.

mod artifact;
mod fallback;
mod listing;

use treelay_recipes::Digest;

pub use self::artifact::{EMPTY_CONFIG, artifact};
pub(super) use self::fallback::FallbackIndex;
pub(super) use self::listing::Collector;
pub use self::listing::{Cut, Listing, MAX_BYTES, MAX_PAGES, MAX_REFERRERS};
use super::error::{Result, StoreError};
use super::manifest::{About, Descriptor, MANIFEST_LIMIT, Manifest, media};
use super::{ImageStore, Placement};

/// The tag of the index of what refers to `subject`, where no registry keeps the list:
/// `sha256-<hex>` (distribution-spec, "Referrers Tag Schema").
pub fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// What refers to `subject`, as it is listed, in the order of the list: in a registry by its
/// referrers API, or else by the fallback tag; in a layout by the fallback tag and by the entries
/// of `index.json`, where oras lists them.
///
/// # Errors
/// What asking meets; [`StoreError::BadManifest`] when something else has the fallback tag.
pub async fn list(store: &dyn ImageStore, subject: &Digest) -> Result<Listing> {
    store.referrers(subject).await
}

/// Whether what is listed may be an artifact of this type. Where the list does not say what it is,
/// only [`read`] can tell: cosign 3.1 and others that use go-containerregistry list the type of the
/// config in the place of the artifact's own, mostly that of the empty one.
pub fn may_be(listed: &Descriptor, artifact_type: &str) -> bool {
    match listed.artifact_type.as_deref() {
        None | Some("" | media::EMPTY) => true,
        Some(said) => said == artifact_type,
    }
}

/// A referrer, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The manifest.
    pub manifest: Manifest,
    /// The descriptor it should be listed by.
    pub descriptor: Descriptor,
    /// What it is about: the digest is that of the subject it was listed for; media type and size
    /// are as the manifest says them.
    pub subject: Descriptor,
    /// Where the descriptor by which it was found says something else.
    pub lies: Vec<Lie>,
}

/// Where a descriptor differs from the manifest it describes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    /// The media type.
    #[error("it is listed with media type {said:?} and is {is:?}")]
    MediaType {
        /// What the descriptor says.
        said: String,
        /// What the manifest is.
        is: String,
    },
    /// The length in bytes.
    #[error("it is listed with {said} bytes and has {is}")]
    Size {
        /// What the descriptor says.
        said: u64,
        /// What the manifest has.
        is: u64,
    },
    /// The artifact type; an empty text stands for none.
    #[error("it is listed as artifact type {said:?} and is {is:?}")]
    ArtifactType {
        /// What the descriptor says.
        said: String,
        /// What the manifest says.
        is: String,
    },
    /// An annotation that is listed with another value, or that the manifest does not have. (One
    /// that is not listed is no lie: many tools list none.)
    #[error("it is listed with annotation {key:?} {said:?}, which its manifest does not have")]
    Annotation {
        /// The annotation.
        key: String,
        /// What the descriptor says.
        said: String,
    },
}

impl Lie {
    /// Whether it is one that programs tell which mean no harm, and that hides nothing, since
    /// [`may_be`] looks through it: cosign 3.1 lists the type of the empty config, others none.
    pub fn is_usual(&self) -> bool {
        matches!(self, Self::ArtifactType { said, .. } if said.is_empty() || said == media::EMPTY)
    }
}

/// Reads what was listed for `subject`.
///
/// # Errors
/// What reading meets, [`StoreError::NotFound`] also when the list names what is not there;
/// [`StoreError::BadManifest`] when the manifest has another subject, or none.
pub async fn read(
    store: &dyn ImageStore,
    subject: &Digest,
    listed: &Descriptor,
) -> Result<Referrer> {
    let place = store.place();
    if listed.size > MANIFEST_LIMIT {
        let what = format!("manifest {}", listed.digest);
        return Err(StoreError::TooLarge { place, what, limit: MANIFEST_LIMIT });
    }
    let manifest = store.manifest(&listed.digest).await?;
    let About { subject: about, artifact_type, annotations } = manifest.about(&place)?;
    let subject = match about {
        Some(about) if about.digest == *subject => about,
        Some(other) => {
            let reason =
                format!("it was listed for {subject}, and its subject is {}", other.digest);
            return Err(manifest.bad(&place, reason));
        }
        None => {
            let reason = format!("it was listed for {subject}, and has no subject");
            return Err(manifest.bad(&place, reason));
        }
    };
    let descriptor = Descriptor { artifact_type, annotations, ..manifest.descriptor() };
    let lies = lies(listed, &descriptor);
    Ok(Referrer { manifest, descriptor, subject, lies })
}

fn lies(said: &Descriptor, is: &Descriptor) -> Vec<Lie> {
    let mut lies = Vec::new();
    if said.media_type != is.media_type {
        let (said, is) = (said.media_type.clone(), is.media_type.clone());
        lies.push(Lie::MediaType { said, is });
    }
    if said.size != is.size {
        lies.push(Lie::Size { said: said.size, is: is.size });
    }
    let kind = |of: &Descriptor| of.artifact_type.clone().unwrap_or_default();
    if kind(said) != kind(is) {
        lies.push(Lie::ArtifactType { said: kind(said), is: kind(is) });
    }
    for (key, text) in &said.annotations {
        if is.annotations.get(key) != Some(text) {
            lies.push(Lie::Annotation { key: key.clone(), said: text.clone() });
        }
    }
    lies
}

/// Adds referrers to those of `subject`, whose blobs are in the store already. What is listed, by
/// whomever, is kept, in its order; what is listed already is not added again, but where its
/// descriptor lies it is mended. In a layout they become visible with
/// [`commit`](ImageStore::commit).
///
/// Several may add at once. Only a registry that has neither the referrers API nor `If-Match` cannot
/// keep a writer who is slower by far, and does not look again, from replacing the list with an
/// older one.
///
/// # Errors
/// What writing meets; [`StoreError::BadManifest`] when a manifest has another subject, or when
/// something that is no index has the fallback tag; [`StoreError::Contended`].
pub async fn put_all(
    store: &dyn ImageStore,
    subject: &Descriptor,
    manifests: &[Manifest],
) -> Result<()> {
    let place = store.place();
    for manifest in manifests {
        let about = manifest.about(&place)?.subject;
        let same = about.is_some_and(|about| {
            about.digest == subject.digest
                && about.size == subject.size
                && about.media_type == subject.media_type
        });
        if !same {
            let reason = format!(
                "its subject is not {} of {} bytes with digest {}",
                subject.media_type, subject.size, subject.digest
            );
            return Err(manifest.bad(&place, reason));
        }
    }
    store.put_referrers(&subject.digest, manifests).await
}

/// Puts manifests by digest, in their order.
pub(super) async fn put_manifests(store: &dyn ImageStore, manifests: &[Manifest]) -> Result<()> {
    for manifest in manifests {
        store.put_manifest(manifest, Placement::Child).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
