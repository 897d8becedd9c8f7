//! Lists that several writers add to at the same time, each kept as the manifest under one tag: what
//! refers to a subject, and what is beside it.
//!
//! Writing one means to read what is there, to add, and to put the whole list in its place. Whoever
//! does that ([`registry`](super::registry), [`layout`](super::layout)) does it again from what is
//! there then, until nothing is missing: so a list says how it is read, merged and made.

use super::error::Result;
use super::manifest::{Descriptor, Manifest};

/// A list under a tag, with what is to be added to it.
pub(super) trait SharedList: Sized + Send + Sync {
    /// From what has the tag now. `place` is only for errors.
    ///
    /// # Errors
    /// [`StoreError::BadManifest`](super::StoreError::BadManifest) when something else has the tag,
    /// which is never replaced.
    fn read(there: Option<&Manifest>, place: &str) -> Result<Self>;

    /// Adds what `other` has and this has not. Whether it changed.
    fn merge(&mut self, other: &Self) -> bool;

    /// The config that [`make`](Self::make) continues; `None` where it begins anew, or has none.
    fn config(&self) -> Option<&Descriptor>;

    /// The list with all that was added, from the bytes of its [`config`](Self::config).
    ///
    /// # Errors
    /// [`StoreError::BadManifest`](super::StoreError::BadManifest) when the config is not one that
    /// can be added to.
    fn make(&self, config: Option<&[u8]>, place: &str) -> Result<Made>;
}

/// A list to be written.
pub(super) struct Made {
    /// Its config, where that is new.
    pub(super) config: Option<Vec<u8>>,
    /// Itself.
    pub(super) manifest: Manifest,
}
