//! Referrers in a layout: by the fallback tag, or as entries of `index.json`.

use std::collections::HashSet;

use treelay_recipes::Digest;

use super::Inner;
use super::index::{Index, entry, tag_of};
use crate::image_store::error::{Result, StoreError};
use crate::image_store::referrers::{
    Collector, Cut, FallbackIndex, Listing, MAX_BYTES, MAX_REFERRERS, fallback_tag,
};
use crate::image_store::shared::{Made, SharedList as _};
use crate::image_store::{Descriptor, MANIFEST_LIMIT, Manifest, Parts, signatures};

/// Entries of `index.json` that are looked at to find those that refer to a subject.
const MAX_LOOKED_AT: usize = 10 * MAX_REFERRERS;

/// What was found out about a manifest that `index.json` names.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    /// Its length in bytes.
    size: u64,
    about: Subject,
}

#[derive(Debug, Clone)]
enum Subject {
    /// It is not here, or has none.
    None,
    /// It is here and cannot be read.
    Unreadable,
    /// What it is about, and its true descriptor.
    Of(Digest, Box<Descriptor>),
}

impl Inner {
    /// What refers to `subject`: by the fallback tag, then what waits for the commit, then what
    /// `index.json` names.
    pub(super) fn referrers(&self, subject: &Digest) -> Result<Listing> {
        let index = self.index()?;
        let mut found = Collector::default();
        match self.fallback(&index, subject) {
            Ok(Some(known)) => known.entries().iter().for_each(|entry| found.add_json(entry)),
            Ok(None) => {}
            Err(StoreError::TooLarge { .. }) => found.cut(Cut::Bytes),
            Err(error) => return Err(error),
        }
        let waiting: Vec<_> = {
            let state = self.state();
            let of_subject = state.referrers.iter().filter(|(about, _)| about == subject);
            of_subject.map(|(_, referrer)| referrer.clone()).collect()
        };
        waiting.into_iter().for_each(|referrer| found.add(referrer));
        self.listed_directly(&index, subject, &mut found)?;
        Ok(found.finish())
    }

    fn listed_directly(
        &self,
        index: &Index,
        subject: &Digest,
        found: &mut Collector,
    ) -> Result<()> {
        let (mut number, mut bytes) = (0, 0_u64);
        for entry in index.entries() {
            if found.has(&entry.digest) || is_tagged_attachment(&entry) {
                continue;
            }
            let looked = self.look(&entry.digest)?;
            number += 1;
            bytes = bytes.saturating_add(looked.size);
            if number > MAX_LOOKED_AT || bytes > 4 * MAX_BYTES {
                found.cut(if bytes > 4 * MAX_BYTES { Cut::Bytes } else { Cut::Number });
                break;
            }
            match looked.about {
                Subject::Of(about, is) if about == *subject => {
                    // The annotations of an entry are the layout's, such as its tag; its types and
                    // size are claims about the manifest.
                    let artifact_type = entry.artifact_type.or(is.artifact_type);
                    let (media_type, size) = (entry.media_type, entry.size);
                    found.add(Descriptor { media_type, size, artifact_type, ..*is });
                }
                Subject::Unreadable => found.add_unreadable(),
                _ => {}
            }
            if found.is_cut() {
                break;
            }
        }
        Ok(())
    }

    /// What a manifest is about; read once.
    fn look(&self, digest: &Digest) -> Result<Looked> {
        if let Some(looked) = self.state().subjects.get(digest) {
            return Ok(looked.clone());
        }
        let Some(size) = self.disk.blob_size(digest)? else {
            // Not kept: it may come.
            return Ok(Looked { size: 0, about: Subject::None });
        };
        let about = match self.manifest(digest) {
            Ok(manifest) => match manifest.about("") {
                Ok(about) => match about.subject {
                    Some(subject) => {
                        let is = manifest.referrer_descriptor("")?;
                        Subject::Of(subject.digest, Box::new(is))
                    }
                    None => Subject::None,
                },
                Err(_) => Subject::Unreadable,
            },
            Err(StoreError::NotFound { .. }) => Subject::None,
            Err(
                StoreError::BadManifest { .. }
                | StoreError::TooLarge { .. }
                | StoreError::DigestMismatch { .. },
            ) => Subject::Unreadable,
            Err(error) => return Err(error),
        };
        let looked = Looked { size: size.min(MANIFEST_LIMIT), about };
        self.state().subjects.insert(*digest, looked.clone());
        Ok(looked)
    }

    /// The images of a layout. Where there are several, entries without a tag are none when they
    /// refer to something, or when an index that is listed names them: oras lists both.
    pub(super) fn images(&self, index: &Index) -> Result<Vec<Descriptor>> {
        let mut images = index.images();
        if images.len() < 2 {
            return Ok(images);
        }
        let mut parts = HashSet::new();
        for image in images.iter().take(MAX_LOOKED_AT) {
            let Ok(manifest) = self.manifest(&image.digest) else { continue };
            if let Ok(Parts::Index(children)) = manifest.parts("") {
                parts.extend(children.into_iter().map(|child| child.digest));
            }
        }
        let mut refers = HashSet::new();
        for image in images.iter().filter(|image| tag_of(image).is_none()).take(MAX_LOOKED_AT) {
            if matches!(self.look(&image.digest)?.about, Subject::Of(..)) {
                refers.insert(image.digest);
            }
        }
        let is_image = |image: &Descriptor| {
            tag_of(image).is_some()
                || !parts.contains(&image.digest) && !refers.contains(&image.digest)
        };
        images.retain(is_image);
        Ok(images)
    }

    fn fallback(&self, index: &Index, subject: &Digest) -> Result<Option<FallbackIndex>> {
        match self.listed(index, &fallback_tag(subject))? {
            Some(manifest) => FallbackIndex::parse(&manifest, &self.disk.place()).map(Some),
            None => Ok(None),
        }
    }

    /// The manifest that has a tag.
    pub(super) fn listed(&self, index: &Index, tag: &str) -> Result<Option<Manifest>> {
        index.find_tag(tag).map(|entry| self.manifest(&entry.digest)).transpose()
    }

    /// Lets referrers wait for the commit, unless they are listed already.
    pub(super) fn add_referrers(&self, subject: &Digest, new: Vec<Descriptor>) -> Result<()> {
        let listing = self.referrers(subject)?;
        let known = |one: &Descriptor| listing.referrers.contains(one);
        let new = new.into_iter().filter(|one| !known(one)).map(|one| (*subject, one));
        self.state().referrers.extend(new);
        Ok(())
    }

    /// Enters referrers into the fallback indexes of their subjects, and those into `index`. The
    /// digests of the blobs that were written for it.
    pub(super) fn enter_referrers(
        &self,
        referrers: &[(Digest, Descriptor)],
        index: &mut Index,
    ) -> Result<Vec<Digest>> {
        let place = self.disk.place();
        let (mut written, mut subjects) = (Vec::new(), Vec::new());
        for (subject, _) in referrers {
            if !subjects.contains(subject) {
                subjects.push(*subject);
            }
        }
        for subject in subjects {
            let mut list =
                FallbackIndex::read(self.listed(index, &fallback_tag(&subject))?.as_ref(), &place)?;
            let mut changed = false;
            for (_, referrer) in referrers.iter().filter(|(about, _)| *about == subject) {
                changed |= list.add(referrer);
            }
            if !changed {
                continue;
            }
            let Made { manifest, .. } = list.make(None, &place)?;
            self.write_small(manifest.bytes())?;
            written.push(manifest.digest());
            let tag = fallback_tag(&subject);
            index.replace(&tag, &entry(manifest.descriptor(), &tag, &Default::default()));
        }
        Ok(written)
    }
}

/// Entries that hold attachments in the other ways, and are no referrers themselves.
fn is_tagged_attachment(entry: &Descriptor) -> bool {
    tag_of(entry).is_some_and(signatures::is_attachment_tag)
}
