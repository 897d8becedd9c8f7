//! The pipeline: a reader, a hasher of the stream, some workers, a writer.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use treelay_recipes::{Digest, Hasher};

use super::frames::{self, Frame};
use super::reader::{FrameReader, RawFrame};
use super::{Codec, EncodeError, Encoded, FrameCache, FrameCount, Packed, Remember, tar};
use crate::{Contents, Entry, Tree};

/// What all threads of one layer share.
struct Layer<'a> {
    entries: &'a [Entry],
    frames: Vec<Frame>,
    codec: Codec,
    cache: &'a dyn FrameCache,
    /// Something failed: there is no use in going on.
    failed: AtomicBool,
}

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

/// Writes `tree` as one layer blob into `sink`, compressed by `workers` threads (at least one).
///
/// # Errors
/// [`EncodeError`]; what `sink` then holds is to be thrown away.
pub fn encode(
    tree: &Tree,
    contents: &dyn Contents,
    codec: Codec,
    cache: &dyn FrameCache,
    workers: usize,
    sink: &mut dyn Write,
) -> Result<Encoded, EncodeError> {
    let workers = workers.max(1);
    let (entries, frames) = (tree.entries(), frames::cut(tree.entries()));
    let layer = Layer { entries, frames, codec, cache, failed: AtomicBool::new(false) };
    let layer = &layer;
    let (to_workers, raw) = sync_channel(workers + 1);
    let (to_stream, stream) = sync_channel(workers + 1);
    let (to_writer, done) = sync_channel(2 * workers);
    // Buffers go round: no more of them than the channels hold.
    let (give_back, buffers) = sync_channel(4 * workers + 4);
    // The workers alone own the receiver: when they are gone, the reader's next send fails and it ends.
    let raw = Arc::new(Mutex::new(raw));

    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            layer.watch(read_all(tree, contents, &layer.frames, [to_stream, to_workers], buffers))
        });
        let hasher = scope.spawn({
            let give_back = give_back.clone();
            move || layer.watch(layer.hash(stream, &give_back))
        });
        let mut pool = Vec::new();
        for _ in 0..workers {
            let (raw, to_writer, give_back) = (raw.clone(), to_writer.clone(), give_back.clone());
            pool.push(scope.spawn(move || layer.watch(layer.work(&raw, to_writer, give_back))));
        }
        drop((raw, to_writer, give_back));
        let written = layer.watch(write_all(layer, done, sink).map_err(EncodeError::Write));

        // Whoever failed first made the others end early: the reader and those who verify what it
        // read know best, and a hole in the sequence is nothing that the writer could tell of.
        let remember: Vec<_> = pool.into_iter().map(join).collect();
        let streamed = join(hasher);
        join(reader)?;
        let (diff_id, raw_size) = streamed?;
        let remember = remember.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (digest, size, mut count) = written?;
        remember.into_iter().flatten().for_each(|remember| remember());
        // The archive's end is no frame of the cache.
        count.all = count.all.saturating_sub(1);
        Ok(Encoded { digest, size, diff_id, raw_size, frames: count })
    })
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn read_all(
    tree: &Tree,
    contents: &dyn Contents,
    frames: &[Frame],
    to: [SyncSender<Arc<Raw>>; 2],
    buffers: Receiver<RawFrame>,
) -> Result<(), EncodeError> {
    let mut reader = FrameReader::new(tree, contents);
    // Whoever does not take any more has failed, and tells why.
    let send = |raw: Raw| {
        let raw = Arc::new(raw);
        to.iter().all(|to| to.send(raw.clone()).is_ok())
    };
    for (index, frame) in frames.iter().enumerate() {
        let mut raw = Raw { index, frame: buffers.try_recv().unwrap_or_default() };
        reader.read(frame, &mut raw.frame)?;
        if !send(raw) {
            return Ok(());
        }
    }
    let end = RawFrame { bytes: tar::END.to_vec(), contents: Vec::new() };
    send(Raw { index: frames.len(), frame: end });
    Ok(())
}

/// Gives the buffer back, if nobody else has it.
fn release(raw: Arc<Raw>, give_back: &SyncSender<RawFrame>) {
    if let Some(raw) = Arc::into_inner(raw) {
        // Full, or nobody needs it any more.
        let _ = give_back.try_send(raw.frame);
    }
}

impl<'a> Layer<'a> {
    /// Tells the others of a failure.
    fn watch<T>(&self, result: Result<T, EncodeError>) -> Result<T, EncodeError> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Digest and length of the stream. The contents that are in parts are verified here, where
    /// their parts come in order.
    fn hash(
        &self,
        raw: Receiver<Arc<Raw>>,
        give_back: &SyncSender<RawFrame>,
    ) -> Result<(Digest, u64), EncodeError> {
        let mut stream = Hasher::default();
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
            release(raw, give_back);
        }
        let bytes = stream.bytes();
        Ok((stream.finish(), bytes))
    }

    /// Packs frames as they come; what is only to be remembered when all is right.
    fn work(
        &self,
        raw: &Mutex<Receiver<Arc<Raw>>>,
        to_writer: SyncSender<Done>,
        give_back: SyncSender<RawFrame>,
    ) -> Result<Vec<Remember<'a>>, EncodeError> {
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
            // The archive's end is not worth remembering: it is 1 KiB of zeros.
            let key = frame.map(|frame| frame.key(self.entries, self.codec));
            let remembered = key.and_then(|key| self.cache.get(&key));
            let reused = remembered.is_some();
            let packed = match remembered {
                Some(packed) => packed,
                None => {
                    let packed = compressor.pack(bytes).map_err(EncodeError::Compress)?;
                    match (frame, key.map(|key| self.cache.put(&key, &packed))) {
                        (Some(Frame::Run(_)), Some(remember)) => remember(),
                        (_, remember) => later.extend(remember),
                    }
                    packed
                }
            };
            let index = raw.index;
            release(raw, &give_back);
            if to_writer.send(Done { index, packed, reused }).is_err() {
                return Ok(later);
            }
        }
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

fn write_all(
    layer: &Layer<'_>,
    done: Receiver<Done>,
    sink: &mut dyn Write,
) -> io::Result<(Digest, u64, FrameCount)> {
    let mut hasher = Hasher::default();
    let mut write = |bytes: &[u8]| {
        hasher.update(bytes);
        sink.write_all(bytes)
    };
    let mut crc = crc32fast::Hasher::new();
    let mut raw = 0;
    let mut count = FrameCount::default();
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    write(layer.codec.head())?;
    for frame in done {
        if layer.has_failed() {
            break;
        }
        waiting.insert(frame.index, frame);
        while let Some(Done { packed, reused, .. }) = waiting.remove(&next) {
            write(&packed.bytes)?;
            crc.combine(&crc32fast::Hasher::new_with_initial_len(packed.crc, packed.raw));
            raw += packed.raw;
            count.all += 1;
            count.reused += u64::from(reused);
            next += 1;
        }
    }
    write(&layer.codec.tail(crc.finalize(), raw))?;
    let size = hasher.bytes();
    Ok((hasher.finish(), size, count))
}
