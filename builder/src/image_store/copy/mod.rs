//! Copying images between stores, bytes unchanged, with all that is attached to them.

mod attached;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use treelay_recipes::Digest;

use super::error::{Result, StoreError};
use super::manifest::{Descriptor, Manifest, Parts};
use super::{BlobSource, ImageRef, ImageStore, Placement};
use crate::progress::{Outcome, Progress, Unwatched};

/// How to copy.
#[derive(Clone)]
pub struct CopyOptions {
    /// How many blobs move at once.
    pub parallel: usize,
    /// Whether what is attached to the index and to every child comes along: signatures,
    /// attestations, SBOMs, in either form.
    pub signatures: bool,
    /// Who is told how far it is.
    pub progress: Arc<dyn Progress>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self { parallel: 4, signatures: true, progress: Arc::new(Unwatched) }
    }
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyReport {
    /// The index or manifest that was asked for.
    pub image: Option<Descriptor>,
    /// The manifests below it, in the order of the index.
    pub children: Vec<Digest>,
    /// What has signatures, in either form, and now has them in the destination; none of them was
    /// verified.
    pub signed: Vec<Digest>,
    /// What is attached to the image, or to something attached to it, and now is in the
    /// destination.
    pub attached: Vec<CopiedAttachment>,
    /// What is said to be attached and was not copied.
    pub left: Vec<LeftBehind>,
    /// Blobs whose bytes moved, and how many bytes that were.
    pub moved: (usize, u64),
    /// Blobs that were there, or were mounted from another repository.
    pub reused: usize,
}

/// Something attached, copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedAttachment {
    /// What it is attached to.
    pub subject: Digest,
    /// The manifest that holds it.
    pub digest: Digest,
    /// `sig`, `att` or `sbom` for what has such a tag; else the artifact type of the referrer.
    pub kind: String,
}

/// Something that a list names beside an image and that was not copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// What it is said to be attached to.
    pub subject: Digest,
    /// Why it was not copied.
    pub reason: String,
}

impl CopyReport {
    fn count(&mut self, outcome: Outcome, size: u64) {
        match outcome {
            Outcome::Moved => {
                self.moved.0 += 1;
                self.moved.1 += size;
            }
            Outcome::Reused | Outcome::Mounted => self.reused += 1,
        }
    }
}

/// Indexes inside indexes that are followed.
const DEPTH: usize = 4;

/// Copies an image with everything under it. `tag` is its name in the destination; without it, it
/// is entered by digest alone. Blobs go first, then the manifests that name them, then what is
/// attached to them, then the image itself with its tag, so that nobody sees it unsigned or in
/// parts; the destination is committed at the end.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such image, and whatever either store met. The
/// destination's tag is then as it was.
pub async fn copy(
    from: &dyn ImageStore,
    image: &ImageRef,
    to: &dyn ImageStore,
    tag: Option<&str>,
    options: &CopyOptions,
) -> Result<CopyReport> {
    let Some(found) = from.resolve(image).await? else {
        let what = match image {
            ImageRef::Default if from.repository().is_some() => "tag latest".to_owned(),
            other => other.to_string(),
        };
        return Err(StoreError::NotFound { place: from.place(), what });
    };
    let root = from.manifest(&found.digest).await?;
    let mut report = CopyReport::default();
    let mut manifests = Vec::new();
    collect(from, root.clone(), DEPTH, &mut manifests).await?;

    let there = already_there(to, &manifests, &root).await?;
    let mut blobs: Vec<Descriptor> = Vec::new();
    for manifest in &manifests {
        if let Parts::Image { config, layers } = manifest.parts(&from.place())? {
            if there.contains(&manifest.digest()) {
                report.reused += 1 + layers.len();
            } else {
                blobs.push(config);
                blobs.extend(layers);
            }
        }
    }
    copy_blobs(from, blobs, to, options, &mut report).await?;
    for manifest in manifests.iter().filter(|m| m.digest() != root.digest()) {
        if !there.contains(&manifest.digest()) {
            to.put_manifest(manifest, Placement::Child).await?;
        }
        report.children.push(manifest.digest());
    }
    if options.signatures {
        let subjects: Vec<_> = manifests.iter().map(Manifest::digest).collect();
        attached::copy(from, to, subjects, options, &mut report).await?;
    }
    let annotations = Default::default();
    let placement = match tag {
        Some(tag) => Placement::Tag { tag, annotations: &annotations },
        None => Placement::Child,
    };
    report.image = Some(to.put_manifest(&root, placement).await?);
    to.commit().await?;
    Ok(report)
}

/// Puts blobs into a store, `parallel` at once; the outcomes stand in the order of `sources`.
///
/// # Errors
/// The first error; the other transfers stop.
pub async fn put_blobs(
    to: &dyn ImageStore,
    sources: &[BlobSource<'_>],
    parallel: usize,
) -> Result<Vec<Outcome>> {
    stream::iter(sources.iter().map(|source| to.put_blob(source)))
        .buffered(parallel.max(1))
        .try_collect()
        .await
}

/// Manifests that are in the destination with all their parts. Where the root is, all are.
async fn already_there(
    to: &dyn ImageStore,
    manifests: &[Manifest],
    root: &Manifest,
) -> Result<HashSet<Digest>> {
    let mut there = HashSet::new();
    if !to.manifest_proves_parts() {
        return Ok(there);
    }
    if to.resolve(&ImageRef::Digest(root.digest())).await?.is_some() {
        return Ok(manifests.iter().map(Manifest::digest).collect());
    }
    for manifest in manifests.iter().filter(|m| m.digest() != root.digest()) {
        if to.resolve(&ImageRef::Digest(manifest.digest())).await?.is_some() {
            there.insert(manifest.digest());
        }
    }
    Ok(there)
}

/// The manifest and all below it, children before the index that names them, each once.
async fn collect(
    from: &dyn ImageStore,
    manifest: Manifest,
    depth: usize,
    into: &mut Vec<Manifest>,
) -> Result<()> {
    if let Parts::Index(children) = manifest.parts(&from.place())? {
        if depth == 0 {
            let reason = format!("it holds more than {DEPTH} indexes inside each other");
            let (place, digest) = (from.place(), manifest.digest());
            return Err(StoreError::BadManifest { place, digest, reason });
        }
        for child in children {
            if into.iter().all(|m| m.digest() != child.digest) {
                let child = from.manifest(&child.digest).await?;
                Box::pin(collect(from, child, depth - 1, into)).await?;
            }
        }
    }
    into.push(manifest);
    Ok(())
}

async fn copy_blobs(
    from: &dyn ImageStore,
    mut blobs: Vec<Descriptor>,
    to: &dyn ImageStore,
    options: &CopyOptions,
    report: &mut CopyReport,
) -> Result<()> {
    // Largest first: the transfers end at about the same time.
    blobs.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
    blobs.dedup_by_key(|blob| blob.digest);
    let sources: Vec<_> = blobs
        .iter()
        .map(|b| BlobSource::from_store(from, b).watched_by(Arc::clone(&options.progress)))
        .collect();
    let outcomes = put_blobs(to, &sources, options.parallel).await?;
    for (outcome, blob) in outcomes.into_iter().zip(&blobs) {
        report.count(outcome, blob.size);
    }
    Ok(())
}
