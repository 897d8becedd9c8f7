//! What waits for the commit under tags: put there, or added to what is there then.

use std::io::Cursor;

use treelay_recipes::Digest;

use super::index::{Index, entry};
use super::{Inner, disk};
use crate::image_store::blob::BlobSource;
use crate::image_store::error::{Result, StoreError};
use crate::image_store::layer_list::LayerList;
use crate::image_store::shared::{Made, SharedList as _};
use crate::image_store::signatures::{Addition, Beside};
use crate::image_store::{Descriptor, MANIFEST_LIMIT};

/// A tag that waits for the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) tag: String,
    /// What it names, as long as nobody else commits.
    pub(super) entry: Descriptor,
    /// What made that of what is there; nothing where it replaces that.
    additions: Vec<(Beside, Addition)>,
}

impl Waiting {
    /// For something that replaces what is there.
    pub(super) fn put(tag: &str, entry: Descriptor) -> Self {
        Self { tag: tag.to_owned(), entry, additions: Vec::new() }
    }
}

impl Inner {
    /// Lets an addition wait for the commit; what its tag names as it is now.
    pub(super) fn add_beside(
        &self,
        subject: &Digest,
        what: Beside,
        addition: Addition,
    ) -> Result<Descriptor> {
        let tag = what.tag(subject);
        let mut index = self.index()?;
        let before = index.find_tag(&tag);
        self.enter_addition(&tag, what, &addition, &mut index)?;
        let Some(entry) = index.find_tag(&tag) else {
            // It was just entered, if only as an empty list.
            let (place, what) = (self.disk.place(), format!("tag {tag}"));
            return Err(StoreError::NotFound { place, what });
        };
        let named = Descriptor::new(&entry.media_type, entry.digest, entry.size);
        if before.as_ref() == Some(&entry) {
            return Ok(named);
        }
        let mut state = self.state();
        match state.pending.iter_mut().find(|waiting| waiting.tag == tag) {
            Some(waiting) => {
                waiting.entry = entry;
                if !waiting.additions.is_empty() {
                    waiting.additions.push((what, addition));
                }
            }
            None => {
                state.pending.push(Waiting { tag, entry, additions: vec![(what, addition)] });
            }
        }
        Ok(named)
    }

    /// Enters what waits into `index`, which is the one that is committed: another process may have
    /// added since.
    pub(super) fn enter_waiting(
        &self,
        pending: &[Waiting],
        index: &mut Index,
    ) -> Result<Vec<Digest>> {
        let mut written = Vec::new();
        for Waiting { tag, entry, additions } in pending {
            if additions.is_empty() {
                index.replace(tag, entry);
            }
            for (what, addition) in additions {
                written.extend(self.enter_addition(tag, *what, addition, index)?);
            }
        }
        Ok(written)
    }

    /// The digests of the blobs that were written for it.
    fn enter_addition(
        &self,
        tag: &str,
        what: Beside,
        addition: &Addition,
        index: &mut Index,
    ) -> Result<Vec<Digest>> {
        let place = self.disk.place();
        let there = self.listed(index, tag)?;
        let mut list = LayerList::read(there.as_ref(), &place)?;
        if !addition.add_to(&mut list) && there.is_some() {
            return Ok(Vec::new());
        }
        let config = list.config().map(|config| self.small(&config.digest)).transpose()?;
        let Made { config, manifest } = list.make(config.as_deref(), &place)?;
        let mut written = vec![manifest.digest()];
        if let Some(config) = config {
            self.write_small(&config)?;
            written.push(Digest::of(&config));
        }
        self.write_small(manifest.bytes())?;
        index.replace(tag, &entry(manifest.descriptor(), tag, &what.annotations()));
        Ok(written)
    }

    /// A small blob, checked.
    fn small(&self, digest: &Digest) -> Result<Vec<u8>> {
        let place = self.disk.place();
        let Some(bytes) = self.disk.read_small(digest, MANIFEST_LIMIT)? else {
            return Err(StoreError::NotFound { place, what: format!("blob {digest}") });
        };
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::DigestMismatch { place, expected: *digest, found });
        }
        Ok(bytes)
    }

    /// Writes a manifest, or the config of one.
    pub(super) fn write_small(&self, bytes: &[u8]) -> Result<()> {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        if size > MANIFEST_LIMIT {
            let (place, what) = (self.disk.place(), format!("manifest {digest}"));
            return Err(StoreError::TooLarge { place, what, limit: MANIFEST_LIMIT });
        }
        if self.has_blob(&digest, size)? {
            return Ok(());
        }
        let bytes = bytes.to_vec();
        let watcher = BlobSource::from_bytes(Vec::new()).watcher();
        let (_guard, cancel) = disk::cancel_pair();
        let open = Box::new(move || Ok(Box::new(Cursor::new(bytes)) as _));
        self.disk.write_blob(open, &digest, size, &cancel, &watcher)?;
        self.wrote(&digest);
        Ok(())
    }
}
