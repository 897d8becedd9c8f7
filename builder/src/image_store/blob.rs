//! Blobs on their way: [`BlobSource`] goes into a store, [`BlobStream`] comes out of one.
//!
//! Both move chunks of at most [`CHUNK`] bytes through channels of a few chunks, so a blob of any
//! length needs less than 2 MiB. A source can be opened again and again, which retries need.

use std::io::{self, Cursor, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};
use treelay_recipes::{Digest, Hasher};

use super::error::{Result, StoreError};
use super::repository::Repository;
use super::{Descriptor, ImageStore};
use crate::progress::{Item, Outcome, Progress, Unwatched};

/// Bytes that move at once.
pub(crate) const CHUNK: usize = 256 << 10;

/// Opens the content of a blob, from its beginning, as often as it is called.
pub type OpenRead = Arc<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// Opens the content of a blob once; for blocking threads.
pub(crate) type OpenOnce = Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send>> + Send>;

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A blob that is wanted in a store: digest, size and a way to read it.
pub struct BlobSource<'a> {
    item: Item,
    content: Content<'a>,
    mounts: Vec<Repository>,
    progress: Arc<dyn Progress>,
}

enum Content<'a> {
    Bytes(Bytes),
    Read(OpenRead),
    Store(&'a dyn ImageStore),
}

impl<'a> BlobSource<'a> {
    /// A small blob that is in memory, such as a config.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::new(Digest::of(&bytes), bytes.len() as u64, Content::Bytes(bytes))
    }

    /// A blob that `open` reads, such as a file. What it reads is verified against `digest` and
    /// `size` (in bytes) while it moves.
    pub fn from_reader(digest: Digest, size: u64, open: OpenRead) -> Self {
        Self::new(digest, size, Content::Read(open))
    }

    /// A blob of another store. Where that store is a repository, the blob can be mounted from it.
    pub fn from_store(store: &'a dyn ImageStore, blob: &Descriptor) -> Self {
        let mut source = Self::new(blob.digest, blob.size, Content::Store(store));
        source.mounts.extend(store.repository().cloned());
        source
    }

    fn new(digest: Digest, size: u64, content: Content<'a>) -> Self {
        let item = Item { name: digest.short(), digest, size };
        Self { item, content, mounts: Vec::new(), progress: Arc::new(Unwatched) }
    }

    /// What people call the blob.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.item.name = name.into();
        self
    }

    /// A repository that may have the blob; if it is of the same registry, the blob is mounted.
    #[must_use]
    pub fn mountable_from(mut self, repository: Repository) -> Self {
        self.mounts.push(repository);
        self
    }

    /// Who is told how far it is.
    #[must_use]
    pub fn watched_by(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Its digest.
    pub fn digest(&self) -> &Digest {
        &self.item.digest
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.item.size
    }

    pub(crate) fn mounts(&self) -> &[Repository] {
        &self.mounts
    }

    pub(crate) fn watcher(&self) -> Watcher {
        Watcher { item: self.item.clone(), progress: Arc::clone(&self.progress) }
    }

    pub(crate) fn finish(&self, outcome: Outcome) -> Outcome {
        self.progress.finished(&self.item, outcome);
        outcome
    }

    /// Opens it, from the beginning, as a stream that verifies.
    pub(crate) async fn open(&self) -> Result<BlobStream> {
        let (digest, size) = (self.item.digest, self.item.size);
        let place = format!("the source of {}", self.item.name);
        Ok(match &self.content {
            Content::Bytes(bytes) => {
                let once = stream::iter((!bytes.is_empty()).then(|| Ok(bytes.clone())));
                BlobStream::new(once, place, digest, size)
            }
            Content::Read(open) => {
                let open = Arc::clone(open);
                let doing = format!("reading {}", self.item.name);
                BlobStream::new(read_chunks(Box::new(move || open()), doing), place, digest, size)
            }
            Content::Store(store) => store.blob(&digest, size).await?,
        })
    }

    /// Opens it for a blocking thread; what is read is not verified.
    pub(crate) async fn open_blocking(&self) -> Result<OpenOnce> {
        Ok(match &self.content {
            Content::Bytes(bytes) => {
                let bytes = bytes.clone();
                Box::new(move || Ok(Box::new(Cursor::new(bytes))))
            }
            Content::Read(open) => {
                let open = Arc::clone(open);
                Box::new(move || open())
            }
            Content::Store(store) => {
                let stream = store.blob(&self.item.digest, self.item.size).await?;
                let bridge = SyncIoBridge::new(stream.into_async_read());
                Box::new(move || Ok(Box::new(bridge)))
            }
        })
    }
}

/// Tells one blob's progress.
#[derive(Clone)]
pub(crate) struct Watcher {
    item: Item,
    progress: Arc<dyn Progress>,
}

impl Watcher {
    pub(crate) fn at(&self, done: u64) {
        self.progress.at(&self.item, done);
    }
}

/// Reads on a blocking thread, at most a few chunks ahead of whoever takes them.
pub(crate) fn read_chunks(
    open: OpenOnce,
    doing: String,
) -> impl Stream<Item = Result<Bytes>> + Send {
    let (sender, mut receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let result = open().and_then(|mut reader| {
            loop {
                let chunk = read_chunk(&mut reader)?;
                // A closed channel means that nobody wants the rest.
                if chunk.is_empty() || sender.blocking_send(Ok(chunk)).is_err() {
                    return Ok(());
                }
            }
        });
        if let Err(error) = result {
            let _ = sender.blocking_send(Err(StoreError::io(doing)(error)));
        }
    });
    stream::poll_fn(move |context| receiver.poll_recv(context))
}

fn read_chunk(reader: &mut dyn Read) -> io::Result<Bytes> {
    let mut buffer = BytesMut::zeroed(CHUNK);
    let mut filled = 0;
    while filled < CHUNK {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(buffer.freeze())
}

/// A blob coming out of a store, chunk by chunk. Its last chunk is given out only when the digest
/// of the whole is right; otherwise an error comes in its place, and after an error nothing.
pub struct BlobStream {
    chunks: Chunks,
    place: String,
    digest: Digest,
    size: u64,
    seen: u64,
    /// Until the last expected byte was seen.
    hasher: Option<Hasher>,
    ended: bool,
}

impl BlobStream {
    /// Verifies `chunks` against `digest` and `size` in bytes; `place` is for errors.
    pub(crate) fn new(
        chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
        place: String,
        digest: Digest,
        size: u64,
    ) -> Self {
        let hasher = Some(Hasher::default());
        Self { chunks: Box::pin(chunks), place, digest, size, seen: 0, hasher, ended: false }
    }

    /// Everything, for blobs that must be small.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above `limit` bytes, and whatever the stream ends in.
    pub async fn read_all(mut self, limit: u64) -> Result<Vec<u8>> {
        if self.size > limit {
            let what = format!("blob {}", self.digest);
            return Err(StoreError::TooLarge { place: self.place, what, limit });
        }
        // Not the size that was promised: it may be a lie, and costs memory before a byte came.
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }

    /// As tokio's reader; a [`StoreError`] travels inside the [`io::Error`].
    pub fn into_async_read(self) -> impl AsyncRead + Send + Unpin + 'static {
        StreamReader::new(self.map_err(StoreError::into_io))
    }

    fn check(&mut self, chunk: &Bytes) -> Result<()> {
        self.seen += chunk.len() as u64;
        if self.seen > self.size {
            return Err(self.wrong_size());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(chunk);
        }
        if self.seen == self.size { self.check_digest() } else { Ok(()) }
    }

    fn check_digest(&mut self) -> Result<()> {
        match self.hasher.take().map(Hasher::finish) {
            Some(found) if found != self.digest => Err(StoreError::DigestMismatch {
                place: self.place.clone(),
                expected: self.digest,
                found,
            }),
            _ => Ok(()),
        }
    }

    fn check_end(&mut self) -> Result<()> {
        if self.seen < self.size { Err(self.wrong_size()) } else { self.check_digest() }
    }

    fn wrong_size(&self) -> StoreError {
        StoreError::SizeMismatch {
            place: self.place.clone(),
            digest: self.digest,
            expected: self.size,
            found: self.seen,
        }
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match ready!(self.chunks.as_mut().poll_next(cx)) {
            Some(Ok(chunk)) => Some(self.check(&chunk).map(|()| chunk)),
            Some(Err(error)) => Some(Err(error)),
            None => self.check_end().err().map(Err),
        };
        self.ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_of(chunks: &'static [&'static str], digest_of: &str, size: u64) -> BlobStream {
        let chunks = stream::iter(chunks.iter().map(|c| Ok(Bytes::from_static(c.as_bytes()))));
        BlobStream::new(chunks, "here".to_owned(), Digest::of(digest_of), size)
    }

    #[tokio::test]
    async fn gives_only_what_is_right() {
        let good = stream_of(&["ab", "c"], "abc", 3).read_all(9).await.unwrap();
        assert_eq!(good, b"abc");
        assert_eq!(stream_of(&[], "", 0).read_all(9).await.unwrap(), b"");
        assert!(matches!(
            stream_of(&["ab", "d"], "abc", 3).read_all(9).await,
            Err(StoreError::DigestMismatch { .. })
        ));
        for (chunks, size) in [(&["ab"][..], 3), (&["abc", "d"], 3), (&["abcd"], 3)] {
            let read = stream_of(chunks, "abc", size).read_all(9).await;
            assert!(matches!(read, Err(StoreError::SizeMismatch { .. })), "{chunks:?}");
        }
        assert!(matches!(
            stream_of(&["abc"], "abc", 3).read_all(2).await,
            Err(StoreError::TooLarge { .. })
        ));
    }

    #[tokio::test]
    async fn the_wrong_last_chunk_is_kept_back() {
        let mut stream = stream_of(&["ab", "d"], "abc", 3);
        assert_eq!(stream.next().await.unwrap().unwrap(), "ab");
        assert!(stream.next().await.unwrap().is_err());
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn reads_again_and_again_in_chunks() {
        let content = vec![7u8; CHUNK * 3 + 5];
        let digest = Digest::of(&content);
        let bytes = Bytes::from(content);
        let length = bytes.len() as u64;
        let open: OpenRead = Arc::new(move || Ok(Box::new(Cursor::new(bytes.clone()))));
        let source = BlobSource::from_reader(digest, length, open);
        for _ in 0..2 {
            assert_eq!(
                source.open().await.unwrap().read_all(length).await.unwrap().len() as u64,
                length
            );
        }
    }
}
