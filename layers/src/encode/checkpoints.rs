//! Where a layer goes on whose beginning was there before.

use treelay_recipes::{Digest, Hasher};

use super::frames::Frame;
use super::{Checkpoint, FrameStore};

/// Frames between two checkpoints: about 16 MiB, which is a hundredth of a second of hashing.
const EVERY: usize = 16;

/// The places of a layer where its hashes are remembered.
pub(super) struct Places {
    /// How many frames are before the place, and what it is remembered under. In order.
    places: Vec<(usize, Digest)>,
}

/// The state of both hashes somewhere in a layer.
#[derive(Default)]
pub(super) struct State {
    /// Frames before.
    pub frames: usize,
    pub stream: Hasher,
    pub blob: Hasher,
    pub crc: u32,
    pub raw: u64,
}

/// What the checkpoints of a layer whose frames have these keys may be remembered under: whoever finds
/// one of the frames, or what came of them, wrong, forgets them.
pub fn checkpoint_keys(frames: &[Digest]) -> Vec<Digest> {
    sums(frames).map(|(_, sum)| sum).collect()
}

/// The sum of all keys so far, at every place that comes into question.
fn sums(keys: &[Digest]) -> impl Iterator<Item = (usize, Digest)> {
    let mut sum = Hasher::default();
    // With the layout of saved hashes: another one is another number.
    sum.update(b"layer-prefix-1\n");
    let sums = keys.iter().enumerate().map(move |(at, key)| {
        sum.update(key.as_bytes());
        ((at + 1).is_multiple_of(EVERY)).then(|| (at + 1, sum.clone().finish()))
    });
    sums.flatten()
}

impl Places {
    /// The places of a layer of `frames`, whose keys are `keys`.
    pub(super) fn of(frames: &[Frame], keys: &[Digest]) -> Self {
        // Not within a content: its own hash is not remembered.
        let within = |at: usize| matches!(frames.get(at), Some(Frame::Part { bytes, .. }) if bytes.start > 0);
        Self { places: sums(keys).filter(|(at, _)| !within(*at)).collect() }
    }

    /// Whether hashes are remembered after `frames` frames.
    pub(super) fn has(&self, frames: usize) -> bool {
        self.places.binary_search_by_key(&frames, |place| place.0).is_ok()
    }

    /// The last place whose state is remembered and before which every frame is there; else the
    /// beginning.
    pub(super) fn resume(&self, keys: &[Digest], store: &dyn FrameStore) -> State {
        let remembered = self.places.iter().rev().find_map(|(frames, key)| {
            let checkpoint = store.checkpoint(key)?;
            let state = State {
                frames: *frames,
                stream: Hasher::resume(&checkpoint.stream)
                    .filter(|it| it.bytes() == checkpoint.raw)?,
                blob: Hasher::resume(&checkpoint.blob)?,
                crc: checkpoint.crc,
                raw: checkpoint.raw,
            };
            keys[..*frames].iter().all(|key| store.has(key)).then_some(state)
        });
        remembered.unwrap_or_default()
    }

    /// Remembers the states of both hashes, each after how many frames.
    pub(super) fn save(
        &self,
        streams: Vec<(usize, Vec<u8>)>,
        blobs: Vec<(usize, Checkpoint)>,
        store: &dyn FrameStore,
    ) {
        for ((frames, stream), (_, blob)) in streams.into_iter().zip(blobs) {
            if let Ok(at) = self.places.binary_search_by_key(&frames, |place| place.0) {
                store.put_checkpoint(&self.places[at].1, &Checkpoint { stream, ..blob });
            }
        }
    }
}
