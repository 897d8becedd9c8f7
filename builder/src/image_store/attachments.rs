//! What is attached to an image, for people: everything that has a tag beside it or refers to it,
//! as its manifest says. Nothing of it is verified.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use treelay_recipes::Digest;

use super::error::{Result, StoreError};
use super::referrers::{self, Referrer};
use super::signatures::{self, Beside};
use super::{Descriptor, ImageStore, Manifest, Parts};

/// Annotation of a bundle's manifest that repeats the predicate type of the statement inside
/// (cosign's bundle specification).
pub const BUNDLE_PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// Annotation of a bundle's manifest that says what is inside, and its value for a statement
/// (cosign's bundle specification).
pub const BUNDLE_CONTENT: (&str, &str) = ("dev.sigstore.bundle.content", "dsse-envelope");

/// Annotation of a manifest: when it was made (image-spec, annotations.md). Readers of bundles sort by
/// it. A signature says the time of its image, so that signing again changes nothing.
pub const CREATED: &str = "org.opencontainers.image.created";

/// How the media types of bundles of every version begin.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// Predicate type of the statements that are signatures of images (cosign's bundle specification).
pub const SIGN_PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

/// Annotation of a layer beside an image that holds an attestation (cosign's specification of
/// attestations).
const PREDICATE_TYPE: &str = "predicateType";

/// Referrers of one subject that are read to say what they are.
const MAX_READ: usize = 100;

/// Subjects that are looked at, and referrers that are read, at once.
const AT_ONCE: usize = 8;

/// What is attached to the manifests of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attachments {
    /// Each, in the order of the subjects; of one subject, what has a tag first.
    pub attached: Vec<Attachment>,
    /// What is listed and cannot be shown, or is not what it is said to be, in words.
    pub problems: Vec<String>,
    /// What is listed in another way than it should be, which harms nobody, in words.
    pub notes: Vec<String>,
}

/// Something attached to a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// What it is attached to.
    pub subject: Digest,
    /// By what it is found: `sig`, `att`, `sbom` for the end of a tag, or `referrer`.
    pub by: &'static str,
    /// What it is: the artifact type of a referrer, the media type of a layer.
    pub artifact_type: Option<String>,
    /// What its statement is about, as an annotation says.
    pub predicate_type: Option<String>,
    /// Its manifest, or its layer where several are in one manifest.
    pub digest: Digest,
    /// Bytes of its layers.
    pub size: u64,
}

impl Attachment {
    /// In which form it is stored: `.sig`, `.att`, `.sbom` beside the subject; `bundle`, or `raw` for
    /// any other referrer.
    pub fn form(&self) -> &'static str {
        let is_bundle = self.artifact_type.as_deref().is_some_and(|it| it.starts_with(BUNDLE));
        match self.by {
            "sig" => ".sig",
            "att" => ".att",
            "sbom" => ".sbom",
            _ if is_bundle => "bundle",
            _ => "raw",
        }
    }
}

/// Whether a referrer's own words say that it is a signature in a bundle, and no other attestation.
pub fn is_signature(referrer: &Descriptor) -> bool {
    referrer.annotations.get(BUNDLE_PREDICATE_TYPE).is_some_and(|kind| kind == SIGN_PREDICATE_TYPE)
}

/// What is attached to `subjects`.
///
/// # Errors
/// What reading meets. What is listed and is not there, or lies, is no error but among the
/// problems.
pub async fn of(store: &dyn ImageStore, subjects: &[Digest]) -> Result<Attachments> {
    let finds = subjects.iter().map(|subject| of_one(store, *subject));
    let found: Vec<Attachments> = stream::iter(finds).buffered(AT_ONCE).try_collect().await?;
    let mut all = Attachments::default();
    for Attachments { attached, problems, notes } in found {
        all.attached.extend(attached);
        all.problems.extend(problems);
        all.notes.extend(notes);
    }
    Ok(all)
}

async fn of_one(store: &dyn ImageStore, subject: Digest) -> Result<Attachments> {
    let (listing, tagged) = futures_util::join!(
        referrers::list(store, &subject),
        futures_util::future::join_all(
            Beside::ALL.map(|what| signatures::beside(store, &subject, what))
        )
    );
    let mut all = Attachments::default();
    for (what, found) in Beside::ALL.into_iter().zip(tagged) {
        let Some((_, layers)) = all.heed(found)?.flatten() else { continue };
        all.attached.extend(layers.into_iter().map(|layer| Attachment {
            subject,
            by: what.suffix(),
            predicate_type: layer.annotations.get(PREDICATE_TYPE).cloned(),
            artifact_type: Some(layer.media_type),
            digest: layer.digest,
            size: layer.size,
        }));
    }
    let Some(listing) = all.heed(listing)? else { return Ok(all) };
    if listing.unreadable > 0 {
        let n = listing.unreadable;
        all.problems.push(format!("{subject}: {n} entries of its list of referrers are no such"));
    }
    if let Some(cut) = listing.cut {
        all.problems.push(format!("{subject}: its list of referrers {cut}; the rest is not shown"));
    }
    let mut listed = listing.referrers;
    if listed.len() > MAX_READ {
        let n = listed.len() - MAX_READ;
        all.problems.push(format!("{subject}: {n} more referrers are not shown"));
        listed.truncate(MAX_READ);
    }
    let reads = listed.iter().map(|listed| referrers::read(store, &subject, listed));
    let reads: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
    for read in reads {
        let Some(Referrer { manifest, descriptor, lies, .. }) = all.heed(read)? else { continue };
        for lie in &lies {
            let said = format!("{}: {lie}", manifest.digest());
            if lie.is_usual() { &mut all.notes } else { &mut all.problems }.push(said);
        }
        all.attached.push(Attachment {
            subject,
            by: "referrer",
            predicate_type: descriptor.annotations.get(BUNDLE_PREDICATE_TYPE).cloned(),
            artifact_type: descriptor.artifact_type,
            digest: manifest.digest(),
            size: size(&manifest, &store.place())?,
        });
    }
    Ok(all)
}

impl Attachments {
    /// What is said wrongly is a problem; anything else that went wrong, an error.
    fn heed<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(
                error @ (StoreError::NotFound { .. }
                | StoreError::BadManifest { .. }
                | StoreError::TooLarge { .. }
                | StoreError::DigestMismatch { .. }),
            ) => {
                self.problems.push(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn size(manifest: &Manifest, place: &str) -> Result<u64> {
    let parts = match manifest.parts(place)? {
        Parts::Index(children) => children,
        Parts::Image { layers, .. } => layers,
    };
    Ok(parts.iter().fold(0, |sum, part| sum.saturating_add(part.size)))
}
