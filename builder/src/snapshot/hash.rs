//! Hashing one open file.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::Stat;
use treelay_recipes::{Digest, Hasher};

use super::{SnapshotError, StatKey};

/// Bytes a read: large enough that calls cost nothing beside hashing, small enough for the
/// processor's cache.
const BUFFER: usize = 256 << 10;

/// A buffer for [`hash`], to be used again and again.
pub fn buffer() -> Vec<u8> {
    vec![0; BUFFER]
}

/// Why a file could not be hashed.
pub enum Failed {
    Changed,
    Reading(io::Error),
}

impl Failed {
    /// The same, with the path.
    pub fn at(self, path: &Path) -> SnapshotError {
        match self {
            Self::Changed => SnapshotError::Changed(path.to_owned()),
            Self::Reading(source) => super::reading(path, source),
        }
    }
}

impl From<rustix::io::Errno> for Failed {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Reading(error.into())
    }
}

/// Digest and length of a regular file whose `stat` was taken after it was opened. That nothing
/// changed in between is found out by a second look.
pub fn hash(file: OwnedFd, stat: &Stat, buffer: &mut [u8]) -> Result<(Digest, u64), Failed> {
    let mut hasher = Hasher::default();
    loop {
        match rustix::io::read(&file, &mut *buffer) {
            Ok(0) => break,
            Ok(n) => hasher.update(&buffer[..n]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let key = StatKey::of(stat);
    if StatKey::of(&rustix::fs::fstat(&file)?) != key || hasher.bytes() != key.size {
        return Err(Failed::Changed);
    }
    let size = hasher.bytes();
    Ok((hasher.finish(), size))
}
