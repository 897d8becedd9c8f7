//! The pipeline: a reader, a hasher of the stream, some workers, a writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use treelay_recipes::{Digest, Hasher};

use super::checkpoints::{Places, State};
use super::frames::{self, Frame};
use super::reader::{FrameReader, RawFrame};
use super::{
    Checkpoint, Codec, EncodeError, Encoded, FrameCount, FrameStore, Keep, Packed, Piece, tar,
};
use crate::{Contents, Entry, Tree};

/// More workers than this would only wait: one thread hashes the stream, at the speed at which a dozen
/// compress.
const MOST_WORKERS: usize = 16;

/// What all threads of one layer share.
struct Layer<'a> {
    entries: &'a [Entry],
    frames: Vec<Frame>,
    /// What the frames are kept under.
    keys: Vec<Digest>,
    places: Places,
    codec: Codec,
    store: &'a dyn FrameStore,
    /// Something failed: there is no use in going on.
    failed: AtomicBool,
}

/// States of a hash, each after so many frames.
type States = Vec<(usize, Vec<u8>)>;

/// A frame on its way from the reader; buffers go back to it by `give_back`.
struct Raw {
    index: usize,
    frame: RawFrame,
}

/// A frame on its way to the writer.
struct Done {
    index: usize,
    packed: Packed,
    reused: bool,
}

/// Makes one layer blob of `tree`, compressed by `workers` threads (at least one), whose frames are in
/// `store` then.
///
/// # Errors
/// [`EncodeError`].
pub fn encode(
    tree: &Tree,
    contents: &dyn Contents,
    codec: Codec,
    store: &dyn FrameStore,
    workers: usize,
) -> Result<Encoded, EncodeError> {
    let workers = workers.clamp(1, MOST_WORKERS);
    let (entries, frames) = (tree.entries(), frames::cut(tree.entries()));
    let keys: Vec<Digest> = frames.iter().map(|frame| frame.key(entries, codec)).collect();
    let places = Places::of(&frames, &keys);
    let from = places.resume(&keys, store);
    let failed = AtomicBool::new(false);
    let layer = &Layer { entries, frames, keys, places, codec, store, failed };

    let (to_workers, raw) = sync_channel(workers + 1);
    let (to_stream, stream) = sync_channel(workers + 1);
    let (to_writer, done) = sync_channel(2 * workers);
    // A ticket is a frame that was read and is not yet joined: so many are in memory at most.
    let ahead = 2 * workers + 4;
    let (give_ticket, tickets) = sync_channel(ahead);
    for _ in 0..ahead {
        // There is room for all.
        let _ = give_ticket.try_send(());
    }
    // Buffers go round.
    let (give_back, buffers) = sync_channel(ahead);
    // The workers alone own the receiver: when they are gone, the reader's next send fails and it ends.
    let raw = Arc::new(Mutex::new(raw));

    thread::scope(|scope| {
        let State { frames: first, stream: stream_hash, blob: blob_hash, crc, raw: raw_size } =
            from;
        let reader = scope.spawn(move || {
            layer.watch(|| {
                let to = [to_stream, to_workers];
                layer.read(tree, contents, first, &to, &buffers, &tickets)
            })
        });
        let hasher = scope.spawn({
            let give_back = give_back.clone();
            move || layer.watch(|| layer.hash(stream_hash, stream, &give_back))
        });
        let mut pool = Vec::new();
        for _ in 0..workers {
            let (raw, to_writer, give_back) = (raw.clone(), to_writer.clone(), give_back.clone());
            pool.push(
                scope.spawn(move || layer.watch(|| layer.work(&raw, &to_writer, &give_back))),
            );
        }
        drop((raw, to_writer, give_back));
        let crc = crc32fast::Hasher::new_with_initial_len(crc, raw_size);
        let blob = Blob { hasher: blob_hash, crc, raw: raw_size, next: first, end: Vec::new() };
        let assembled = layer.assemble(blob, done, &give_ticket);

        // Whoever failed first made the others end early: the reader and those who verify what it
        // read know best.
        let worked: Vec<_> = pool.into_iter().map(join).collect();
        let streamed = join(hasher);
        join(reader)?;
        let (stream, streams) = streamed?;
        let keeps = worked.into_iter().collect::<Result<Vec<_>, _>>()?;
        for keep in keeps.into_iter().flatten() {
            keep().map_err(EncodeError::Write)?;
        }
        let Assembled { digest, size, end, reused, checkpoints } = assembled;
        layer.places.save(streams, checkpoints, store);
        let frames = layer.keys.iter().copied().map(Piece::Frame);
        let mut pieces = vec![Piece::Bytes(codec.head().to_vec())];
        pieces.extend(frames);
        pieces.push(Piece::Bytes(end));
        let frames = FrameCount { all: layer.keys.len() as u64, reused: first as u64 + reused };
        let raw_size = stream.bytes();
        Ok(Encoded { digest, size, diff_id: stream.finish(), raw_size, frames, pieces })
    })
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Gives the buffer back, if nobody else has it.
fn release(raw: Arc<Raw>, give_back: &SyncSender<RawFrame>) {
    if let Some(raw) = Arc::into_inner(raw) {
        // Full, or nobody needs it any more.
        let _ = give_back.try_send(raw.frame);
    }
}

impl<'a> Layer<'a> {
    /// Does a thread's work, and tells the others when it fails or panics.
    fn watch<T>(&self, work: impl FnOnce() -> Result<T, EncodeError>) -> Result<T, EncodeError> {
        struct Alarm<'a>(&'a AtomicBool);
        impl Drop for Alarm<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        let _alarm = Alarm(&self.failed);
        let result = work();
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Waits until another frame may be read; `false` when that is no use any more.
    fn may_read(&self, tickets: &Receiver<()>) -> bool {
        loop {
            match tickets.recv_timeout(Duration::from_millis(100)) {
                Ok(()) => return !self.has_failed(),
                Err(RecvTimeoutError::Timeout) if !self.has_failed() => {}
                Err(_) => return false,
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Reads the frames from `first` on.
    fn read(
        &self,
        tree: &Tree,
        contents: &dyn Contents,
        first: usize,
        to: &[SyncSender<Arc<Raw>>; 2],
        buffers: &Receiver<RawFrame>,
        tickets: &Receiver<()>,
    ) -> Result<(), EncodeError> {
        let mut reader = FrameReader::new(tree, contents);
        // Whoever does not take any more has failed, and tells why.
        let send = |raw: Raw| {
            let raw = Arc::new(raw);
            to.iter().all(|to| to.send(raw.clone()).is_ok())
        };
        for (index, frame) in self.frames.iter().enumerate().skip(first) {
            if !self.may_read(tickets) {
                return Ok(());
            }
            let mut raw = Raw { index, frame: buffers.try_recv().unwrap_or_default() };
            reader.read(frame, &mut raw.frame)?;
            if !send(raw) {
                return Ok(());
            }
        }
        let end = RawFrame { bytes: tar::END.to_vec(), contents: Vec::new() };
        send(Raw { index: self.frames.len(), frame: end });
        Ok(())
    }

    /// The hash of the stream, and its states on the way. The contents that are in parts are
    /// verified here, where their parts come in order.
    fn hash(
        &self,
        mut stream: Hasher,
        raw: Receiver<Arc<Raw>>,
        give_back: &SyncSender<RawFrame>,
    ) -> Result<(Hasher, States), EncodeError> {
        let mut states = Vec::new();
        let mut content = Hasher::default();
        for raw in raw {
            if self.has_failed() {
                break;
            }
            stream.update(&raw.frame.bytes);
            if let Some(Frame::Part { entry, bytes }) = self.frames.get(raw.index) {
                for (_, range) in &raw.frame.contents {
                    content.update(&raw.frame.bytes[range.clone()]);
                }
                if self.entries[*entry].file().is_none_or(|(_, size)| size == bytes.end) {
                    self.check(*entry, std::mem::take(&mut content).finish())?;
                }
            }
            let frames = raw.index + 1;
            if self.places.has(frames) {
                states.push((frames, stream.save()));
            }
            release(raw, give_back);
        }
        Ok((stream, states))
    }

    /// Packs frames as they come; what is only to be kept when all is right.
    fn work(
        &self,
        raw: &Mutex<Receiver<Arc<Raw>>>,
        to_writer: &SyncSender<Done>,
        give_back: &SyncSender<RawFrame>,
    ) -> Result<Vec<Keep<'a>>, EncodeError> {
        let mut compressor = self.codec.compressor().map_err(EncodeError::Compress)?;
        let mut later = Vec::new();
        loop {
            // Only a panic poisons the lock, and then the whole scope panics.
            let next = raw.lock().unwrap_or_else(|poison| poison.into_inner()).recv();
            let Some(raw) = next.ok().filter(|_| !self.has_failed()) else { return Ok(later) };
            let frame = self.frames.get(raw.index);
            let bytes = &raw.frame.bytes;
            if let Some(Frame::Run(_)) = frame {
                for (entry, range) in &raw.frame.contents {
                    self.check(*entry, Digest::of(&bytes[range.clone()]))?;
                }
            }
            // The archive's end has none: it is 1 KiB of zeros.
            let key = self.keys.get(raw.index);
            // The store checks its own sum; this one is of what the frame must give.
            let fits = |packed: &Packed| {
                packed.raw == bytes.len() as u64 && packed.crc == crc32fast::hash(bytes)
            };
            let there = key.and_then(|key| self.store.get(key)).filter(fits);
            let reused = there.is_some();
            let packed = match there {
                Some(packed) => packed,
                None => {
                    let packed = compressor.pack(bytes).map_err(EncodeError::Compress)?;
                    if let Some(key) = key {
                        let keep = self.store.put(key, &packed).map_err(EncodeError::Write)?;
                        match frame {
                            Some(Frame::Part { .. }) => later.push(keep),
                            _ => keep().map_err(EncodeError::Write)?,
                        }
                    }
                    packed
                }
            };
            let index = raw.index;
            release(raw, give_back);
            if to_writer.send(Done { index, packed, reused }).is_err() {
                return Ok(later);
            }
        }
    }

    /// Takes the frames in order.
    fn assemble(
        &self,
        mut blob: Blob,
        done: Receiver<Done>,
        give_ticket: &SyncSender<()>,
    ) -> Assembled {
        let mut reused = 0;
        let mut checkpoints = Vec::new();
        let mut waiting = BTreeMap::new();
        if blob.next == 0 {
            blob.hasher.update(self.codec.head());
        }
        for frame in done {
            // There may be a hole in the sequence: what waits for it would only become more.
            if self.has_failed() {
                break;
            }
            waiting.insert(frame.index, frame);
            while let Some(done) = waiting.remove(&blob.next) {
                // The reader may be gone.
                let _ = give_ticket.try_send(());
                reused += u64::from(done.reused);
                blob.add(&done.packed);
                if blob.next > self.frames.len() {
                    blob.end = done.packed.bytes;
                } else if self.places.has(blob.next) {
                    checkpoints.push((blob.next, blob.checkpoint()));
                }
            }
        }
        let tail = self.codec.tail(blob.crc.clone().finalize(), blob.raw);
        blob.hasher.update(&tail);
        blob.end.extend_from_slice(&tail);
        let size = blob.hasher.bytes();
        Assembled { digest: blob.hasher.finish(), size, end: blob.end, reused, checkpoints }
    }

    fn check(&self, entry: usize, found: Digest) -> Result<(), EncodeError> {
        let entry = &self.entries[entry];
        match entry.file() {
            Some((expected, _)) if *expected != found => {
                Err(EncodeError::Changed { path: entry.path.clone(), expected: *expected, found })
            }
            _ => Ok(()),
        }
    }
}

/// A blob in the making.
struct Blob {
    hasher: Hasher,
    crc: crc32fast::Hasher,
    raw: u64,
    /// The index of the frame that comes next.
    next: usize,
    /// What comes after the last frame of the store.
    end: Vec<u8>,
}

impl Blob {
    fn add(&mut self, packed: &Packed) {
        self.hasher.update(&packed.bytes);
        self.crc.combine(&crc32fast::Hasher::new_with_initial_len(packed.crc, packed.raw));
        self.raw += packed.raw;
        self.next += 1;
    }

    /// All of it but the stream's hash, which another thread has.
    fn checkpoint(&self) -> Checkpoint {
        let crc = self.crc.clone().finalize();
        Checkpoint { stream: Vec::new(), blob: self.hasher.save(), crc, raw: self.raw }
    }
}

/// A blob of which nothing is missing, unless somebody failed.
struct Assembled {
    digest: Digest,
    size: u64,
    end: Vec<u8>,
    reused: u64,
    checkpoints: Vec<(usize, Checkpoint)>,
}
