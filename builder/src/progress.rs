//! What long work tells to whoever watches it. The command line draws it; libraries only report.

use treelay_recipes::Digest;

/// One thing on its way: a blob, as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What people call it, such as `amd64 layer go`; the short digest where nothing better is
    /// known.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// How an [`Item`] came to be where it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its bytes were moved.
    Moved,
    /// It was there already.
    Reused,
    /// The registry took it over from another of its repositories; no byte was sent.
    Mounted,
}

/// Watches work. Calls come from many threads at once and must return at once.
pub trait Progress: Send + Sync {
    /// `item` now stands at `done` bytes of its size. After a retry `done` may be less than before.
    fn at(&self, item: &Item, done: u64) {
        let _ = (item, done);
    }

    /// `item` is where it belongs.
    fn finished(&self, item: &Item, outcome: Outcome) {
        let _ = (item, outcome);
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Progress for Unwatched {}
