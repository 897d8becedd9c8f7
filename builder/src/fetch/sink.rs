//! Where downloaded bytes go: the seam to the store, and the pump that hashes and writes beside
//! the network.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use treelay_recipes::{Digest, Hasher};

/// Takes blobs in. The store is one.
pub trait BlobSink: Sync {
    /// Begins a blob. `digest` and `size` (bytes) are what it should become, where that is known;
    /// a sink may reserve space or pick a name by them, and must not rely on them.
    ///
    /// # Errors
    /// Whatever keeps it from being written, such as a full disk.
    fn begin(&self, digest: Option<&Digest>, size: Option<u64>) -> io::Result<Box<dyn BlobWriter>>;
}

/// A blob on its way in. Dropped before [`BlobWriter::finish`], nothing of it may stay.
pub trait BlobWriter: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// Whatever kept them from being written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Told that all bytes are there and have the digest and size that were wanted: the last word
    /// before [`BlobWriter::finish`].
    ///
    /// # Errors
    /// Why they are to be refused all the same, in words.
    fn judge(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Keeps the blob: its bytes were hashed on the way and are `size` bytes with `digest`. The answer is
    /// whether it was not there before.
    ///
    /// # Errors
    /// Whatever kept it from being kept; then nothing of it stays.
    fn finish(self: Box<Self>, digest: &Digest, size: u64) -> io::Result<bool>;

    /// Told when the bytes turned out to be `actual` and not what was wanted. A sink may set them
    /// aside for inspection; by default they are dropped. They must not enter the store.
    fn reject(self: Box<Self>, actual: &Digest) {
        let _ = actual;
    }
}

/// Chunks that may wait between network and disk: with hyper's chunks of at most 400 KiB this
/// bounds the memory of one download to some 6 MiB.
const CHUNKS_IN_FLIGHT: usize = 16;

/// Hashes and writes on a thread of its own while the next bytes arrive.
pub(super) struct Pump {
    chunks: mpsc::Sender<Bytes>,
    writing: JoinHandle<io::Result<(Box<dyn BlobWriter>, Hasher)>>,
    sent: u64,
}

/// What passed through a [`Pump`]: complete, hashed, not yet kept.
pub(super) struct Pumped {
    writer: Box<dyn BlobWriter>,
    pub digest: Digest,
    pub size: u64,
}

impl Pump {
    pub fn start(mut writer: Box<dyn BlobWriter>) -> Self {
        let (chunks, mut arriving) = mpsc::channel::<Bytes>(CHUNKS_IN_FLIGHT);
        let writing = tokio::task::spawn_blocking(move || {
            let mut hasher = Hasher::default();
            while let Some(chunk) = arriving.blocking_recv() {
                hasher.update(&chunk);
                writer.write(&chunk)?;
            }
            Ok((writer, hasher))
        });
        Self { chunks, writing, sent: 0 }
    }

    /// How many bytes were taken so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes a chunk. `false` when writing has failed: [`Pump::finish`] says why.
    pub async fn push(&mut self, chunk: Bytes) -> bool {
        self.sent += chunk.len() as u64;
        self.chunks.send(chunk).await.is_ok()
    }

    /// Waits until all is written.
    pub async fn finish(self) -> io::Result<Pumped> {
        drop(self.chunks);
        let (writer, hasher) = self.writing.await.map_err(io::Error::other)??;
        let size = hasher.bytes();
        Ok(Pumped { writer, digest: hasher.finish(), size })
    }
}

impl Pumped {
    /// What the sink says of it.
    pub async fn judged(self) -> io::Result<(Self, Result<(), String>)> {
        let Self { mut writer, digest, size } = self;
        let judging = tokio::task::spawn_blocking(move || {
            let judged = writer.judge();
            (writer, judged)
        });
        let (writer, judged) = judging.await.map_err(io::Error::other)?;
        Ok((Self { writer, digest, size }, judged))
    }

    /// Keeps it; whether it was not there before.
    pub async fn keep(self) -> io::Result<bool> {
        let Self { writer, digest, size } = self;
        tokio::task::spawn_blocking(move || writer.finish(&digest, size))
            .await
            .map_err(io::Error::other)?
    }

    /// Hands it back as wrong.
    pub async fn reject(self) {
        let Self { writer, digest, .. } = self;
        // Setting aside is a courtesy: its failure must not hide the mismatch itself.
        let _ = tokio::task::spawn_blocking(move || writer.reject(&digest)).await;
    }
}
