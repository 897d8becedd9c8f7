//! Copying what is attached to an image: what has a tag beside it, and referrers, and what is
//! attached to those in turn.
//!
//! What others attached in the destination is kept. What a list names and is not there, or is about
//! something else, is left behind and told of; what is there and damaged is an error.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use treelay_recipes::Digest;

use super::{CopiedAttachment, CopyOptions, CopyReport, DEPTH, LeftBehind, collect, copy_blobs};
use crate::image_store::attachments::is_signature;
use crate::image_store::error::{Result, StoreError};
use crate::image_store::referrers::{self, Listing, Referrer};
use crate::image_store::signatures::{self, Beside};
use crate::image_store::{Descriptor, ImageStore, Manifest, Parts, Placement};

/// How far what is attached to attached things is followed: a signature of an SBOM is at 2.
const LEVELS: usize = 3;

/// Manifests of one image that are attached, directly or not, and copied.
const MAX_ATTACHED: usize = 10_000;

/// Subjects that are looked at, and referrers that are read, at once.
const AT_ONCE: usize = 8;

/// What is attached to one subject.
struct Found {
    subject: Digest,
    beside: Vec<(Beside, Manifest, Vec<Descriptor>)>,
    listing: Listing,
}

/// Copies all that is attached to `subjects`.
pub(super) async fn copy(
    from: &dyn ImageStore,
    to: &dyn ImageStore,
    mut subjects: Vec<Digest>,
    options: &CopyOptions,
    report: &mut CopyReport,
) -> Result<()> {
    let mut seen: HashSet<Digest> = subjects.iter().copied().collect();
    let mut way = Way { from, to, options, report };
    for level in 1..=LEVELS + 1 {
        let finds = subjects.iter().map(|subject| find(from, *subject));
        let mut found: Vec<Found> = stream::iter(finds).buffered(AT_ONCE).try_collect().await?;
        found.retain(|found| !found.is_empty());
        if level > LEVELS || way.report.attached.len() > MAX_ATTACHED {
            let reason = if level > LEVELS {
                format!("what is attached more than {LEVELS} levels deep is not copied")
            } else {
                format!("more than {MAX_ATTACHED} manifests are attached to the image")
            };
            found.iter().for_each(|found| way.leave(&found.subject, reason.clone()));
            break;
        }
        let mut below = Vec::new();
        for found in found {
            let digests = way.carry(found, level == 1).await?;
            below.extend(digests.into_iter().filter(|digest| seen.insert(*digest)));
        }
        subjects = below;
    }
    Ok(())
}

async fn find(from: &dyn ImageStore, subject: Digest) -> Result<Found> {
    let tagged = Beside::ALL.map(|what| signatures::beside(from, &subject, what));
    let (listing, tagged) = futures_util::try_join!(
        referrers::list(from, &subject),
        futures_util::future::try_join_all(tagged)
    )?;
    let beside = Beside::ALL.into_iter().zip(tagged);
    let beside = beside.filter_map(|(what, found)| found.map(|(m, layers)| (what, m, layers)));
    Ok(Found { subject, beside: beside.collect(), listing })
}

impl Found {
    fn is_empty(&self) -> bool {
        self.beside.is_empty() && self.listing == Listing::default()
    }
}

/// From where to where.
struct Way<'a> {
    from: &'a dyn ImageStore,
    to: &'a dyn ImageStore,
    options: &'a CopyOptions,
    report: &'a mut CopyReport,
}

impl Way<'_> {
    /// Copies what is attached to one subject; the digests of the manifests, to which more may be
    /// attached.
    async fn carry(&mut self, found: Found, of_image: bool) -> Result<Vec<Digest>> {
        let Found { subject, beside, listing } = found;
        let mut signed = false;
        for (what, manifest, layers) in beside {
            signed |= what == Beside::Signatures;
            self.carry_beside(&subject, what, &manifest, layers).await?;
        }
        let referrers = self.carry_referrers(&subject, listing).await?;
        signed |= referrers.iter().any(is_signature);
        if of_image && signed {
            self.report.signed.push(subject);
        }
        Ok(referrers.into_iter().map(|referrer| referrer.digest).collect())
    }

    /// Copies what has a tag beside the subject.
    async fn carry_beside(
        &mut self,
        subject: &Digest,
        what: Beside,
        manifest: &Manifest,
        layers: Vec<Descriptor>,
    ) -> Result<()> {
        self.carry_blobs(std::slice::from_ref(manifest)).await?;
        let put = signatures::enter_beside(self.to, subject, what, manifest, &layers).await?;
        self.tell(subject, put.digest, what.suffix().to_owned());
        Ok(())
    }

    /// Copies referrers; those that now are in the destination, as their manifests describe them.
    async fn carry_referrers(
        &mut self,
        subject: &Digest,
        listing: Listing,
    ) -> Result<Vec<Descriptor>> {
        if listing.unreadable > 0 {
            let reason = format!("{} entries of its list cannot be read", listing.unreadable);
            self.leave(subject, reason);
        }
        if let Some(cut) = listing.cut {
            self.leave(subject, format!("the list of referrers {cut}; the rest was not copied"));
        }
        if listing.referrers.is_empty() {
            return Ok(Vec::new());
        }
        let mut once = HashSet::new();
        let mut listed = listing.referrers;
        listed.retain(|referrer| once.insert(referrer.digest));
        let from = self.from;
        let reads = listed.iter().map(|listed| referrers::read(from, subject, listed));
        let reads: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
        let theirs = referrers::list(self.to, subject).await?;
        let (mut described, mut new) = (Vec::new(), Vec::new());
        for (read, listed) in reads.into_iter().zip(&listed) {
            let Referrer { manifest, descriptor, .. } = match read {
                Ok(referrer) => referrer,
                Err(
                    error @ (StoreError::NotFound { .. }
                    | StoreError::BadManifest { .. }
                    | StoreError::TooLarge { .. }),
                ) => {
                    self.leave(subject, format!("{}: {error}", listed.digest));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let there = theirs.referrers.iter().filter(|r| r.digest == manifest.digest());
            let kinds: Vec<_> = there.map(|r| &r.artifact_type).collect();
            if kinds.is_empty() || !self.to.manifest_proves_parts() {
                self.carry_parts(&manifest).await?;
            }
            let kind = descriptor.artifact_type.clone().unwrap_or_default();
            self.tell(subject, manifest.digest(), kind);
            // Listed with a wrong type, as some tools do, it is not found by those who look for it.
            if !kinds.contains(&&descriptor.artifact_type) {
                new.push(manifest);
            }
            described.push(descriptor);
        }
        if !new.is_empty() {
            self.to.put_referrers(subject, &new).await?;
        }
        Ok(described)
    }

    /// Everything under a referrer, but not itself. It may be an index.
    async fn carry_parts(&mut self, referrer: &Manifest) -> Result<()> {
        let mut manifests = Vec::new();
        collect(self.from, referrer.clone(), DEPTH, &mut manifests).await?;
        self.carry_blobs(&manifests).await?;
        for manifest in manifests.iter().filter(|m| m.digest() != referrer.digest()) {
            self.to.put_manifest(manifest, Placement::Child).await?;
        }
        Ok(())
    }

    async fn carry_blobs(&mut self, manifests: &[Manifest]) -> Result<()> {
        let mut blobs = Vec::new();
        for manifest in manifests {
            if let Parts::Image { config, layers } = manifest.parts(&self.from.place())? {
                blobs.push(config);
                blobs.extend(layers);
            }
        }
        copy_blobs(self.from, blobs, self.to, self.options, self.report).await
    }

    fn tell(&mut self, subject: &Digest, digest: Digest, kind: String) {
        let subject = *subject;
        self.report.attached.push(CopiedAttachment { subject, digest, kind });
    }

    fn leave(&mut self, subject: &Digest, reason: String) {
        self.report.left.push(LeftBehind { subject: *subject, reason });
    }
}
