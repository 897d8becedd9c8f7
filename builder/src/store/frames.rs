//! Compressed frames, remembered by their entries and codec.
//!
//! A frame file is 20 bytes (CRC-32 of the raw bytes, their length, the CRC-32 and length of the
//! packed bytes, all little endian; 4, 8, 4 and 4 bytes) and the packed bytes. A file that does not
//! agree with its own numbers is not there.

use std::fs;

use treelay_layers::encode::{FrameCache, Packed};
use treelay_recipes::Digest;

use super::Store;

const HEAD: usize = 20;

impl FrameCache for Store {
    fn get(&self, key: &Digest) -> Option<Packed> {
        let path = self.path("frames", key);
        let file = fs::read(&path).ok()?;
        let packed = parse(&file);
        if packed.is_none() {
            tracing::warn!("{}: the frame was damaged, it is made again", path.display());
        }
        packed
    }

    fn put(&self, key: &Digest, packed: &Packed) {
        let mut file = Vec::with_capacity(HEAD + packed.bytes.len());
        file.extend_from_slice(&packed.crc.to_le_bytes());
        file.extend_from_slice(&packed.raw.to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&packed.bytes).to_le_bytes());
        file.extend_from_slice(&(packed.bytes.len() as u32).to_le_bytes());
        file.extend_from_slice(&packed.bytes);
        // A frame that cannot be remembered is only made again.
        if let Err(error) = self.write_new(&self.path("frames", key), &file) {
            tracing::debug!("remembering a frame: {error}");
        }
    }
}

fn parse(file: &[u8]) -> Option<Packed> {
    let (head, bytes) = file.split_at_checked(HEAD)?;
    let crc = u32::from_le_bytes(head[0..4].try_into().ok()?);
    let raw = u64::from_le_bytes(head[4..12].try_into().ok()?);
    let sum = u32::from_le_bytes(head[12..16].try_into().ok()?);
    let len = u32::from_le_bytes(head[16..20].try_into().ok()?);
    let whole = bytes.len() == len as usize && crc32fast::hash(bytes) == sum;
    whole.then(|| Packed { bytes: bytes.to_vec(), crc, raw })
}
