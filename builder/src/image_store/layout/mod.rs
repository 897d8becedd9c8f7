//! `oci:DIR`: an OCI layout directory (image-spec, image-layout.md).
//!
//! Blobs and manifests are written at once, each to a temporary file that is renamed when it is
//! whole. Tags wait until [`commit`](ImageStore::commit), which syncs them and then
//! replaces `index.json`. So whatever `index.json` names is whole and durable; a blob that it does
//! not name may be left from an interrupted run, and is hashed before it is used again.
//!
//! What refers to an image is kept as for a registry without the referrers API: as an index with the
//! fallback tag. Other tools list referrers in `index.json` itself; they are found there too.
//!
//! Two processes may write to one layout: `index.json` is read and replaced under a lock on the
//! file `oci-layout`.

mod beside;
mod disk;
mod index;
mod referrers;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use treelay_recipes::Digest;

use self::beside::Waiting;
use self::disk::Disk;
use self::index::{Index, tag_of};
use super::blob::{BlobSource, BlobStream, read_chunks};
use super::error::{Result, StoreError};
use super::manifest::{Descriptor, MANIFEST_LIMIT, Manifest, Parts};
use super::referrers::put_manifests;
use super::signatures::{Addition, Beside};
use super::{ImageRef, ImageStore, Listing, Placement};
use crate::progress::Outcome;

/// An OCI layout directory.
pub struct Layout {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Disk,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Tags that wait for the commit.
    pending: Vec<Waiting>,
    /// Referrers that wait for the commit, each with its subject.
    referrers: Vec<(Digest, Descriptor)>,
    /// Of manifests that `index.json` names and that were looked at: what they are about.
    subjects: HashMap<Digest, referrers::Looked>,
    /// Blobs that came since the last commit, and need not be on the disk yet.
    unsynced: Vec<Digest>,
    /// Blobs that need not be hashed again: reachable from the committed index, or written or
    /// checked by us. `None` until first asked for.
    trusted: Option<HashSet<Digest>>,
}

impl Layout {
    /// Opens a layout to read it.
    ///
    /// # Errors
    /// [`StoreError::NotALayout`].
    pub fn open(path: &Path) -> Result<Self> {
        let layout = Self::from(Disk::open(path)?);
        if !layout.inner.disk.has_index()? {
            let reason = "it has no index.json: nothing was ever completely written to it";
            return Err(layout.inner.disk.not_a_layout(reason));
        }
        Ok(layout)
    }

    /// Opens a layout to write to it, and makes it where the directory is missing or empty.
    ///
    /// # Errors
    /// [`StoreError::NotALayout`] when the directory holds something else.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self::from(Disk::create(path)?))
    }

    /// Refuses a path that [`create`](Self::create) would refuse, and makes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotALayout`].
    pub fn check(path: &Path) -> Result<()> {
        Disk::check(path)
    }

    fn from(disk: Disk) -> Self {
        Self { inner: Arc::new(Inner { disk, state: Mutex::default() }) }
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(StoreError::io("waiting for a thread")(error.into())),
            },
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one step: what a panicking thread left is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index as it will be after the commit.
    fn index(&self) -> Result<Index> {
        let mut index = self.disk.read_index()?;
        for waiting in &self.state().pending {
            index.replace(&waiting.tag, &waiting.entry);
        }
        Ok(index)
    }

    fn resolve(&self, image: &ImageRef) -> Result<Option<Descriptor>> {
        let index = self.index()?;
        match image {
            ImageRef::Tag(tag) => Ok(index.find_tag(tag)),
            ImageRef::Digest(digest) => {
                if let Some(found) = index.find_digest(digest) {
                    return Ok(Some(found));
                }
                match self.manifest(digest) {
                    Ok(manifest) => Ok(Some(manifest.descriptor())),
                    Err(StoreError::NotFound { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            ImageRef::Default => {
                let images = self.images(&index)?;
                let distinct: HashSet<_> = images.iter().map(|e| e.digest).collect();
                if distinct.len() > 1 {
                    let name = |e: &Descriptor| {
                        tag_of(e).map_or_else(|| format!("@{}", e.digest), str::to_owned)
                    };
                    let tags = images.iter().map(name).collect();
                    return Err(StoreError::Ambiguous { place: self.disk.place(), tags });
                }
                Ok(images.into_iter().next())
            }
        }
    }

    fn manifest(&self, digest: &Digest) -> Result<Manifest> {
        let place = self.disk.place();
        let Some(bytes) = self.disk.read_small(digest, MANIFEST_LIMIT)? else {
            return Err(StoreError::NotFound { place, what: format!("manifest {digest}") });
        };
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::DigestMismatch { place, expected: *digest, found });
        }
        Manifest::sniff(&place, bytes)
    }

    fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        if self.disk.blob_size(digest)? != Some(size) {
            return Ok(false);
        }
        if self.state().trusted.is_none() {
            let mut trusted = HashSet::new();
            for entry in self.disk.read_index()?.entries() {
                self.trust(&entry.digest, &mut trusted);
            }
            self.state().trusted.get_or_insert_with(HashSet::new).extend(trusted);
        }
        let trusted = self.state().trusted.as_ref().is_some_and(|t| t.contains(digest));
        if trusted {
            return Ok(true);
        }
        if self.disk.hash_blob(digest)? == *digest {
            // An interrupted run left it, perhaps not on the disk.
            self.wrote(digest);
            return Ok(true);
        }
        Ok(false)
    }

    /// Adds `digest` and all it names, as far as it is there and makes sense: what does not is not
    /// trusted, and no error here.
    fn trust(&self, digest: &Digest, trusted: &mut HashSet<Digest>) {
        if !trusted.insert(*digest) {
            return;
        }
        let Ok(manifest) = self.manifest(digest) else {
            trusted.remove(digest);
            return;
        };
        match manifest.parts("") {
            Ok(Parts::Index(children)) => {
                children.iter().for_each(|child| self.trust(&child.digest, trusted));
            }
            Ok(Parts::Image { config, layers }) => {
                trusted.insert(config.digest);
                trusted.extend(layers.iter().map(|l| l.digest));
            }
            Err(_) => {}
        }
    }

    /// A blob is there now that nothing in the committed index names.
    fn wrote(&self, digest: &Digest) {
        let mut state = self.state();
        if let Some(trusted) = &mut state.trusted {
            trusted.insert(*digest);
        }
        state.unsynced.push(*digest);
    }

    fn commit(&self) -> Result<()> {
        let (pending, referrers, mut unsynced) = {
            let state = self.state();
            (state.pending.clone(), state.referrers.clone(), state.unsynced.clone())
        };
        if pending.is_empty() && referrers.is_empty() && unsynced.is_empty() {
            return Ok(());
        }
        let _lock = self.disk.lock()?;
        let before = self.disk.read_index()?;
        let mut index = before.clone();
        // Only now, under the lock: another process may have added some since.
        unsynced.extend(self.enter_waiting(&pending, &mut index)?);
        unsynced.extend(self.enter_referrers(&referrers, &mut index)?);
        let changed = index != before || !self.disk.has_index()?;
        self.disk.sync(&unsynced)?;
        if changed {
            self.disk.write_index(&index)?;
        }
        let mut state = self.state();
        state.pending.retain(|p| !pending.contains(p));
        state.referrers.retain(|r| !referrers.contains(r));
        state.unsynced.retain(|digest| !unsynced.contains(digest));
        Ok(())
    }
}

#[async_trait]
impl ImageStore for Layout {
    fn place(&self) -> String {
        self.inner.disk.place()
    }

    async fn resolve(&self, image: &ImageRef) -> Result<Option<Descriptor>> {
        let image = image.clone();
        self.blocking(move |inner| inner.resolve(&image)).await
    }

    async fn manifest(&self, digest: &Digest) -> Result<Manifest> {
        let digest = *digest;
        self.blocking(move |inner| inner.manifest(&digest)).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Listing> {
        let subject = *subject;
        self.blocking(move |inner| inner.referrers(&subject)).await
    }

    async fn put_referrers(&self, subject: &Digest, manifests: &[Manifest]) -> Result<()> {
        put_manifests(self, manifests).await?;
        let place = self.place();
        let described = manifests.iter().map(|manifest| manifest.referrer_descriptor(&place));
        let described = described.collect::<Result<Vec<_>>>()?;
        let subject = *subject;
        self.blocking(move |inner| inner.add_referrers(&subject, described)).await
    }

    async fn add_beside(
        &self,
        subject: &Digest,
        what: Beside,
        addition: &Addition,
    ) -> Result<Descriptor> {
        let (subject, addition) = (*subject, addition.clone());
        self.blocking(move |inner| inner.add_beside(&subject, what, addition)).await
    }

    async fn put_manifest(
        &self,
        manifest: &Manifest,
        placement: Placement<'_>,
    ) -> Result<Descriptor> {
        let descriptor = manifest.descriptor();
        if descriptor.size > MANIFEST_LIMIT {
            let what = format!("manifest {}", descriptor.digest);
            return Err(StoreError::TooLarge { place: self.place(), what, limit: MANIFEST_LIMIT });
        }
        manifest.parts(&self.place())?;
        self.put_blob(&BlobSource::from_bytes(manifest.bytes().to_vec())).await?;
        if let Placement::Tag { tag, annotations } = placement {
            let entry = index::entry(descriptor.clone(), tag, annotations);
            let mut state = self.inner.state();
            state.pending.retain(|waiting| waiting.tag != tag);
            state.pending.push(Waiting::put(tag, entry));
        }
        Ok(descriptor)
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        let digest = *digest;
        self.blocking(move |inner| inner.has_blob(&digest, size)).await
    }

    async fn blob(&self, digest: &Digest, size: u64) -> Result<BlobStream> {
        let (wanted, place) = (*digest, self.place());
        let doing = format!("reading blob {digest} of {place}");
        let file = self.blocking(move |inner| inner.disk.open_blob(&wanted)).await?;
        let Some((file, found)) = file else {
            return Err(StoreError::NotFound { place, what: format!("blob {digest}") });
        };
        if found != size {
            let digest = *digest;
            return Err(StoreError::SizeMismatch { place, digest, expected: size, found });
        }
        let chunks = read_chunks(Box::new(move || Ok(Box::new(file))), doing);
        Ok(BlobStream::new(chunks, place, *digest, size))
    }

    async fn put_blob(&self, source: &BlobSource<'_>) -> Result<Outcome> {
        let (digest, size) = (*source.digest(), source.size());
        if self.has_blob(&digest, size).await? {
            return Ok(source.finish(Outcome::Reused));
        }
        let open = source.open_blocking().await?;
        let watcher = source.watcher();
        // When this future is dropped, the thread stops at its next chunk and keeps nothing.
        let (guard, cancel) = disk::cancel_pair();
        self.blocking(move |inner| {
            inner.disk.write_blob(open, &digest, size, &cancel, &watcher)?;
            inner.wrote(&digest);
            Ok(())
        })
        .await?;
        drop(guard);
        Ok(source.finish(Outcome::Moved))
    }

    async fn tags(&self) -> Result<Vec<String>> {
        self.blocking(|inner| Ok(inner.index()?.tags())).await
    }

    async fn commit(&self) -> Result<()> {
        self.blocking(Inner::commit).await
    }
}

#[cfg(test)]
mod tests;
