//! From a tree to the bytes of a layer.
//!
//! *Terms.* The layer's tar stream is cut into *frames* (`frames`); a *codec* compresses each
//! by itself and joins them to one *blob* (`codec`). The SHA-256 of the tar stream is the
//! *diffID*, that of the blob its *digest*.
//!
//! *Phases.* One thread reads: headers and contents become frames. From it each frame goes two
//! ways: to a thread that hashes the stream, and to workers that hash the contents again (one that is
//! not what the tree names is an error, never a wrong layer) and compress what the [`FrameCache`] does
//! not have. The calling thread puts the frames in order, hashes the blob and writes it. All of them
//! are bounded by channels of a few frames, so memory depends neither on file nor layer size, and no
//! byte depends on the number of workers.

mod codec;
mod deflate;
mod frames;
mod pipeline;
mod reader;
mod tar;

use std::io;

use treelay_recipes::Digest;

pub use codec::{Codec, Packed};
pub use pipeline::encode;

use crate::TreePath;

/// A layer's blob after it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of the tar stream in it.
    pub diff_id: Digest,
    /// Length of the tar stream in bytes.
    pub raw_size: u64,
    /// Frames of the layer, and how many of them the cache had.
    pub frames: FrameCount,
}

/// How many frames there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCount {
    /// In all.
    pub all: u64,
    /// Found in the cache.
    pub reused: u64,
}

/// Remembers compressed frames. A cache that forgets costs time, never a byte.
pub trait FrameCache: Sync {
    /// The frame remembered under `key`, if it is there and whole.
    fn get(&self, key: &Digest) -> Option<Packed>;
    /// Takes a frame in. It is remembered when the result is called, and forgotten when that is
    /// dropped: parts of a large content are not known to be right before its end. What goes wrong
    /// is the cache's own affair.
    fn put(&self, key: &Digest, packed: &Packed) -> Remember<'_>;
}

/// What [`FrameCache::put`] leaves to be done.
pub type Remember<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Remembers nothing.
pub struct NoCache;

impl FrameCache for NoCache {
    fn get(&self, _: &Digest) -> Option<Packed> {
        None
    }

    fn put(&self, _: &Digest, _: &Packed) -> Remember<'_> {
        Box::new(|| {})
    }
}

/// Why a layer could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A content could not be read.
    #[error("reading the content of /{path}")]
    Read {
        /// The entry.
        path: TreePath,
        /// What happened.
        source: io::Error,
    },
    /// A content is not what the tree names.
    #[error("/{path} changed while it was read: expected {expected}, found {found}")]
    Changed {
        /// The entry.
        path: TreePath,
        /// The digest in the tree.
        expected: Digest,
        /// The digest of what was read.
        found: Digest,
    },
    /// The blob could not be written.
    #[error("writing the layer")]
    Write(#[source] io::Error),
    /// The compressor failed.
    #[error("compressing the layer")]
    Compress(#[source] io::Error),
}

#[cfg(test)]
mod tests;
