//! A blob being sent: its stream, cut into the pieces that requests carry.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::image_store::blob::{BlobSource, BlobStream, Watcher};
use crate::image_store::error::{Result, StoreError};

/// Where a blob's bytes come from while they are sent. A request takes the next piece of it; a
/// request that failed spoils it, and the blob is opened again.
pub(super) struct Feed {
    shared: Arc<Shared>,
}

struct Shared {
    position: AsyncMutex<Position>,
    watcher: Watcher,
}

struct Position {
    stream: BlobStream,
    /// What was read and not yet taken.
    rest: Bytes,
    at: u64,
}

impl Feed {
    /// Opens the blob and goes to `offset`, in bytes. All before is read too: it belongs to the
    /// digest that is verified.
    pub(super) async fn open(source: &BlobSource<'_>, offset: u64) -> Result<Self> {
        let stream = source.open().await?;
        let mut position = Position { stream, rest: Bytes::new(), at: 0 };
        while position.at < offset {
            position.next(offset - position.at).await?;
        }
        let watcher = source.watcher();
        watcher.at(offset);
        Ok(Self { shared: Arc::new(Shared { position: AsyncMutex::new(position), watcher }) })
    }

    /// The next `length` bytes, for the body of a request, and the meter that watches them.
    pub(super) async fn take(
        &self,
        length: u64,
    ) -> Result<(impl Stream<Item = std::io::Result<Bytes>> + Send + 'static, Arc<Meter>)> {
        let meter = Arc::new(Meter::new(length));
        let state = (Arc::clone(&self.shared), Arc::clone(&meter), length);
        let pieces = stream::unfold(state, |(shared, meter, left)| async move {
            if left == 0 {
                return None;
            }
            let mut position = shared.position.lock().await;
            let item = match position.next(left).await {
                Ok(piece) => {
                    meter.moved(piece.len() as u64);
                    shared.watcher.at(position.at);
                    Ok(piece)
                }
                Err(error) => {
                    meter.set_error(error);
                    Err(std::io::Error::other("the blob cannot be read"))
                }
            };
            let left = item.as_ref().map_or(0, |piece| left - piece.len() as u64);
            drop(position);
            Some((item, (shared, meter, left)))
        });
        Ok((pieces, meter))
    }
}

impl Position {
    /// At least one byte and at most `most`.
    async fn next(&mut self, most: u64) -> Result<Bytes> {
        while self.rest.is_empty() {
            match self.stream.next().await {
                Some(chunk) => self.rest = chunk?,
                None => {
                    let short = std::io::ErrorKind::UnexpectedEof;
                    return Err(StoreError::io("reading a blob")(short.into()));
                }
            }
        }
        let n = usize::try_from(most).unwrap_or(usize::MAX).min(self.rest.len());
        self.at += n as u64;
        Ok(self.rest.split_to(n))
    }
}

/// Watches one request's body.
pub(super) struct Meter {
    left: AtomicU64,
    state: Mutex<(Instant, Option<StoreError>)>,
}

impl Meter {
    fn new(length: u64) -> Self {
        Self { left: AtomicU64::new(length), state: Mutex::new((Instant::now(), None)) }
    }

    fn moved(&self, bytes: u64) {
        self.left.fetch_sub(bytes, Ordering::Relaxed);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = Instant::now();
    }

    fn set_error(&self, error: StoreError) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(error);
    }

    /// The blob's own error, which ended the request.
    pub(super) fn take_error(&self) -> Option<StoreError> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }

    pub(super) fn last_move(&self) -> Instant {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn is_complete(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}
