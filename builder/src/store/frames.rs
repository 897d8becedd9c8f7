//! Compressed frames, remembered by their entries and codec.
//!
//! A frame file is 16 bytes (a CRC-32 of its key and of all that follows, the CRC-32 and the length
//! of the raw bytes, all little endian; 4, 4 and 8 bytes) and the packed bytes. A file that does not
//! agree with its sum is damaged.

use std::fs;
use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};
use treelay_layers::encode::{Checkpoint, FrameStore, Keep, Packed};
use treelay_recipes::Digest;

use super::{Store, persist};

const HEAD: usize = 16;
/// The kind of the records of checkpoints.
pub(super) const PREFIX: &str = "layer-prefix";

/// A [`Checkpoint`] as it is in a record; states in hex.
#[derive(Serialize, Deserialize)]
struct Remembered {
    stream: String,
    blob: String,
    crc: u32,
    raw: u64,
}

impl FrameStore for Store {
    fn get(&self, key: &Digest) -> Option<Packed> {
        if !self.mark(&self.path("frames", key)) {
            return None;
        }
        let packed = self.read_frame(key).ok()?;
        if packed.is_none() {
            self.damaged(&self.path("frames", key));
        }
        packed
    }

    fn has(&self, key: &Digest) -> bool {
        self.mark(&self.path("frames", key))
    }

    fn put(&self, key: &Digest, packed: &Packed) -> io::Result<Keep<'_>> {
        let mut file = vec![0; 4];
        file.extend_from_slice(&packed.crc.to_le_bytes());
        file.extend_from_slice(&packed.raw.to_le_bytes());
        file.extend_from_slice(&packed.bytes);
        let sum = sum(key, &file[4..]);
        file[..4].copy_from_slice(&sum.to_le_bytes());
        let mut temporary = self.temporary()?;
        temporary.write_all(&file)?;
        // Closed meanwhile: a large file has thousands of frames.
        let (temporary, path) = (temporary.into_temp_path(), self.path("frames", key));
        Ok(Box::new(move || persist(temporary, &path)))
    }

    fn checkpoint(&self, key: &Digest) -> Option<Checkpoint> {
        let Remembered { stream, blob, crc, raw } = self.product(PREFIX, key)?;
        let (stream, blob) = (hex::decode(stream).ok()?, hex::decode(blob).ok()?);
        Some(Checkpoint { stream, blob, crc, raw })
    }

    fn put_checkpoint(&self, key: &Digest, checkpoint: &Checkpoint) {
        let Checkpoint { stream, blob, crc, raw } = checkpoint;
        let (stream, blob) = (hex::encode(stream), hex::encode(blob));
        let remembered = Remembered { stream, blob, crc: *crc, raw: *raw };
        if let Err(error) = self.put_product(PREFIX, key, &remembered) {
            tracing::debug!("remembering the beginning of a layer: {error}");
        }
    }
}

impl Store {
    /// A frame, `None` if it is damaged; neither marked as used nor removed.
    pub(super) fn read_frame(&self, key: &Digest) -> io::Result<Option<Packed>> {
        Ok(parse(key, &fs::read(self.path("frames", key))?))
    }
}

fn sum(key: &Digest, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(rest);
    hasher.finalize()
}

/// The frame in a file, if it is whole.
pub(super) fn parse(key: &Digest, file: &[u8]) -> Option<Packed> {
    let (head, bytes) = file.split_at_checked(HEAD)?;
    let found = u32::from_le_bytes(head[..4].try_into().ok()?);
    let crc = u32::from_le_bytes(head[4..8].try_into().ok()?);
    let raw = u64::from_le_bytes(head[8..16].try_into().ok()?);
    (found == sum(key, &file[4..])).then(|| Packed { bytes: bytes.to_vec(), crc, raw })
}
