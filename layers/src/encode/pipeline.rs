//! The pipeline: one reader, some workers, one writer.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use treelay_recipes::{Digest, Hasher};

use super::frames::{self, Frame};
use super::reader::FrameReader;
use super::{Codec, EncodeError, Encoded, FrameCache, FrameCount, Packed};
use crate::{Contents, Tree};

/// A frame on its way to a worker.
struct Raw {
    index: usize,
    key: Option<Digest>,
    bytes: Vec<u8>,
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
    let frames = frames::cut(tree.entries());
    let (to_workers, raw) = sync_channel(workers + 1);
    let (to_writer, done) = sync_channel(2 * workers);
    // Buffers go round: the writer's side never holds more than the channels do.
    let (give_back, buffers) = sync_channel(2 * workers + 4);
    // The workers alone own the receiver: when they are gone, the reader's next send fails and it ends.
    let raw = Arc::new(Mutex::new(raw));

    thread::scope(|scope| {
        let reader = scope.spawn(|| read_all(tree, contents, codec, &frames, to_workers, buffers));
        let mut pool = Vec::new();
        for _ in 0..workers {
            let (raw, to_writer, give_back) = (raw.clone(), to_writer.clone(), give_back.clone());
            pool.push(scope.spawn(move || work(codec, cache, &raw, to_writer, give_back)));
        }
        drop((raw, to_writer, give_back));
        let written = write_all(codec, done, sink);
        // A worker that failed leaves a hole in the sequence: its error is the one to tell.
        let worked: Result<Vec<()>, io::Error> = pool.into_iter().map(join).collect();
        let read = join(reader);
        let (diff_id, raw_size) = read?;
        worked.map_err(EncodeError::Compress)?;
        let (digest, size, frames) = written.map_err(EncodeError::Write)?;
        Ok(Encoded { digest, size, diff_id, raw_size, frames })
    })
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn read_all(
    tree: &Tree,
    contents: &dyn Contents,
    codec: Codec,
    frames: &[Frame],
    to_workers: SyncSender<Raw>,
    buffers: Receiver<Vec<u8>>,
) -> Result<(Digest, u64), EncodeError> {
    let mut reader = FrameReader::new(tree, contents);
    for (index, frame) in frames.iter().enumerate() {
        let mut bytes = buffers.try_recv().unwrap_or_default();
        reader.read(frame, &mut bytes)?;
        let key = Some(frame.key(tree.entries(), codec));
        if to_workers.send(Raw { index, key, bytes }).is_err() {
            // The workers are gone because one of them or the writer failed; they tell why.
            return Ok(reader.finish());
        }
    }
    // The end is not worth remembering: it is 1 KiB of zeros.
    let end = Raw { index: frames.len(), key: None, bytes: reader.end().to_vec() };
    let _ = to_workers.send(end);
    Ok(reader.finish())
}

fn work(
    codec: Codec,
    cache: &dyn FrameCache,
    raw: &Mutex<Receiver<Raw>>,
    to_writer: SyncSender<Done>,
    give_back: SyncSender<Vec<u8>>,
) -> io::Result<()> {
    let mut compressor = codec.compressor()?;
    loop {
        // Only a panic poisons the lock, and then the whole scope panics.
        let next = raw.lock().unwrap_or_else(|poison| poison.into_inner()).recv();
        let Ok(Raw { index, key, bytes }) = next else { return Ok(()) };
        let remembered = key.and_then(|key| cache.get(&key));
        let reused = remembered.is_some();
        let packed = match remembered {
            Some(packed) => packed,
            None => {
                let packed = compressor.pack(&bytes)?;
                if let Some(key) = key {
                    cache.put(&key, &packed);
                }
                packed
            }
        };
        let _ = give_back.try_send(bytes);
        if to_writer.send(Done { index, packed, reused }).is_err() {
            return Ok(());
        }
    }
}

fn write_all(
    codec: Codec,
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
    write(codec.head())?;
    for frame in done {
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
    write(&codec.tail(crc.finalize(), raw))?;
    let size = hasher.bytes();
    // The archive's end is no frame of the cache.
    count.all = count.all.saturating_sub(1);
    Ok((hasher.finish(), size, count))
}
