//! Compressed frames, remembered by their entries and codec.
//!
//! A frame file is 16 bytes (a CRC-32 of its key and of all that follows, the CRC-32 and the length
//! of the raw bytes, all little endian; 4, 4 and 8 bytes) and the packed bytes. A file that does not
//! agree with its sum is damaged.

use std::fs;
use std::io::Write as _;

use treelay_layers::encode::{FrameCache, Packed, Remember};
use treelay_recipes::Digest;

use super::{Store, persist};

const HEAD: usize = 16;

impl FrameCache for Store {
    fn get(&self, key: &Digest) -> Option<Packed> {
        let path = self.path("frames", key);
        if !self.mark(&path) {
            return None;
        }
        let file = fs::read(&path).ok()?;
        let packed = parse(key, &file);
        if packed.is_none() {
            self.damaged(&path);
        }
        packed
    }

    fn put(&self, key: &Digest, packed: &Packed) -> Remember<'_> {
        let mut file = vec![0; 4];
        file.extend_from_slice(&packed.crc.to_le_bytes());
        file.extend_from_slice(&packed.raw.to_le_bytes());
        file.extend_from_slice(&packed.bytes);
        let sum = sum(key, &file[4..]);
        file[..4].copy_from_slice(&sum.to_le_bytes());
        let path = self.path("frames", key);
        // Closed meanwhile: a large file has thousands of frames.
        let written = self.temporary().and_then(|mut temporary| {
            temporary.write_all(&file)?;
            Ok(temporary.into_temp_path())
        });
        // A frame that cannot be remembered is only made again.
        Box::new(move || {
            if let Err(error) = written.and_then(|temporary| persist(temporary, &path)) {
                tracing::debug!("remembering a frame: {error}");
            }
        })
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
