//! From a tree to the bytes of a layer.
//!
//! *Terms.* The layer's tar stream is cut into *frames* (`frames`); a *codec* compresses each
//! by itself and joins them to one *blob* (`codec`). The SHA-256 of the tar stream is the
//! *diffID*, that of the blob its *digest*.
//!
//! *Where it goes.* Frames go into a [`FrameStore`], once; a blob is a list of [`Piece`]s, which whoever
//! wants its bytes puts together again.
//!
//! *Phases.* One thread reads: headers and contents become frames. From it each frame goes two
//! ways: to a thread that hashes the stream, and to workers that hash the contents again (one that is
//! not what the tree names is an error, never a wrong layer; that of a large file, whose parts come one
//! after the other, the stream's thread hashes) and compress what the store does not have. The calling thread puts the frames in order and hashes the blob. A
//! few frames are on their way at once, so memory depends neither on file nor layer size, and no byte depends on
//! the number of workers.
//!
//! *Checkpoints.* Both hashes cover everything before a change, so a layer would be read from its
//! beginning for a change at its end. Their states are remembered every few frames, under the frames
//! so far: a layer that begins with the same frames goes on from there.

mod checkpoints;
mod codec;
mod deflate;
mod frames;
mod pipeline;
mod reader;
mod stream;
mod tar;

use std::io;

use treelay_recipes::Digest;

pub use checkpoints::checkpoint_keys;
pub use codec::{Codec, Packed};
pub use pipeline::encode;
pub use stream::Stream;
pub use tar::{END as TAR_END, header as tar_header, padding as tar_padding};

use crate::TreePath;

/// A layer's blob after it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of the tar stream in it.
    pub diff_id: Digest,
    /// Length of the tar stream in bytes.
    pub raw_size: u64,
    /// Frames of the layer, and how many of them were there.
    pub frames: FrameCount,
    /// Its bytes.
    pub pieces: Vec<Piece>,
}

/// A part of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// What is between frames: some bytes at the beginning and the end.
    Bytes(Vec<u8>),
    /// A frame of the store, by its key.
    Frame(Digest),
}

/// How many frames there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCount {
    /// In all.
    pub all: u64,
    /// Found in the store.
    pub reused: u64,
}

/// Keeps compressed frames. What it has does not change a byte of any blob.
pub trait FrameStore: Sync {
    /// The frame with that key, if it is there and whole.
    fn get(&self, key: &Digest) -> Option<Packed>;

    /// Whether the frame is there, without reading it.
    fn has(&self, key: &Digest) -> bool;

    /// Takes a frame in. It is there when the result was called, and forgotten when that is dropped:
    /// parts of a large content are not known to be right before its end.
    ///
    /// # Errors
    /// Whatever kept it from being written.
    fn put(&self, key: &Digest, packed: &Packed) -> io::Result<Keep<'_>>;

    /// What was remembered under `key`.
    fn checkpoint(&self, key: &Digest) -> Option<Checkpoint>;

    /// Remembers a checkpoint; if that fails, it is missed and no more.
    fn put_checkpoint(&self, key: &Digest, checkpoint: &Checkpoint);
}

/// What [`FrameStore::put`] leaves to be done.
pub type Keep<'a> = Box<dyn FnOnce() -> io::Result<()> + Send + 'a>;

/// The hashes of a layer so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// [`Hasher::save`](treelay_recipes::Hasher::save) of the tar stream.
    pub stream: Vec<u8>,
    /// The same of the blob.
    pub blob: Vec<u8>,
    /// CRC-32 of the tar stream.
    pub crc: u32,
    /// Its length.
    pub raw: u64,
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
    /// A frame could not be written.
    #[error("writing the layer")]
    Write(#[source] io::Error),
    /// The compressor failed.
    #[error("compressing the layer")]
    Compress(#[source] io::Error),
}

#[cfg(test)]
mod tests;
