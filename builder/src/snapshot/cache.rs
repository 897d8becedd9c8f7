//! The cache of stat results: which digest a file had when it was last hashed.
//!
//! *Key.* Device, inode, size, modification and change time. The path is not part of it: an inode
//! whose change time is the same has neither been written nor renamed nor given another name, so
//! the path can add nothing.
//!
//! *The racy case* (as in git's index): a file that is written twice within one tick of the file
//! system's clock has the same times after both. So only what had settled before the snapshot
//! began is remembered: a later write then has a later time. The change time counts, since nobody
//! can set it; the modification time too, so that a file from the future is simply hashed again.
//! (Writes through a shared mapping may show in the times late: a limit that git has as well.)
//!
//! *File.* 16 bytes of magic, one record of 72 bytes a file (the key's five numbers, big-endian,
//! and the digest), the SHA-256 of all that. What is torn, foreign or of another version is as good
//! as no cache.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;
use treelay_recipes::{Digest, Hasher};

/// What tells whether a file is still what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatKey {
    /// The device it is on.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime: i64,
    /// Change time in nanoseconds since 1970.
    pub ctime: i64,
}

impl StatKey {
    /// From what the kernel says.
    pub fn of(stat: &Stat) -> Self {
        // Times beyond the year 2262 wrap, the same way each time.
        let nanos =
            |seconds: i64, nanos: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos);
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size as u64,
            mtime: nanos(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime: nanos(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }

    /// Whether a write after `now` (nanoseconds since 1970) is sure to leave other times.
    fn settled(&self, now: i64) -> bool {
        let last = self.mtime.max(self.ctime);
        // The kernel stamps with a clock that ticks every 1 to 10 ms. A time without a fraction
        // hints at a file system that keeps whole seconds, or two as FAT does.
        let whole = self.mtime % 1_000_000_000 == 0 && self.ctime % 1_000_000_000 == 0;
        let tick = if whole { Duration::from_secs(2) } else { Duration::from_millis(20) };
        last < now.saturating_sub(tick.as_nanos() as i64)
    }
}

/// Remembers digests by stat results.
pub trait StatCache: Sync {
    /// The digest of a file that has not changed since it was remembered.
    fn lookup(&self, key: &StatKey) -> Option<Digest>;

    /// How many files it remembers.
    fn len(&self) -> usize;

    /// Whether it remembers none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Remembers `records`, in any order, and forgets all others.
    ///
    /// # Errors
    /// Whatever keeps them from being written; then what was remembered stays.
    fn store(&self, records: Vec<(StatKey, Digest)>) -> io::Result<()>;
}

/// Remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

impl StatCache for NoCache {
    fn lookup(&self, _key: &StatKey) -> Option<Digest> {
        None
    }

    fn len(&self) -> usize {
        0
    }

    fn store(&self, _records: Vec<(StatKey, Digest)>) -> io::Result<()> {
        Ok(())
    }
}

/// A cache in one file, for one source.
pub struct StatFile {
    path: PathBuf,
    /// When the run began, in nanoseconds since 1970.
    now: i64,
    /// Records, as in the file.
    records: Vec<u8>,
    /// Record numbers from 1, hashed by inode with linear probing; 0 is free. A power of two
    /// long, at most half full.
    slots: Vec<u32>,
}

/// The last byte but one is the version.
const MAGIC: &[u8; 16] = b"treelay stats 1\n";
const KEY: usize = 40;
const RECORD: usize = KEY + 32;

impl StatFile {
    /// Loads the cache at `path`; it need not exist. `now` is a time before the first file is
    /// looked at, such as when the program started.
    pub fn load(path: &Path, now: SystemTime) -> Self {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let records = std::fs::read(path).ok().and_then(checked).unwrap_or_default();
        let count = records.len() / RECORD;
        let mut slots = vec![0u32; (count * 2).next_power_of_two()];
        for (at, record) in records.chunks_exact(RECORD).enumerate() {
            let mut slot = home(&record[8..16], slots.len());
            while slots[slot] != 0 {
                slot = (slot + 1) % slots.len();
            }
            slots[slot] = at as u32 + 1;
        }
        Self { path: path.to_owned(), now, records, slots }
    }

    /// A file name for the cache of the source at `source`, an absolute path.
    pub fn name_for(source: &Path) -> String {
        use std::os::unix::ffi::OsStrExt as _;
        Digest::of(source.as_os_str().as_bytes()).hex()
    }
}

/// Where the search for an inode begins.
fn home(ino: &[u8], slots: usize) -> usize {
    let ino = ino.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    // Fibonacci hashing: neighbouring inodes spread.
    (ino.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (slots - 1)
}

/// The records of a cache's file, if it is whole.
fn checked(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let end = bytes.len().checked_sub(32)?;
    let fits = end >= MAGIC.len() && (end - MAGIC.len()).is_multiple_of(RECORD);
    if !fits || !bytes.starts_with(MAGIC) || bytes[end..] != *Digest::of(&bytes[..end]).as_bytes() {
        return None;
    }
    bytes.truncate(end);
    bytes.drain(..MAGIC.len());
    Some(bytes)
}

/// The key as it is in the file.
fn encoded(key: &StatKey) -> [u8; KEY] {
    let mut bytes = [0; KEY];
    let numbers = [key.dev, key.ino, key.size, key.mtime as u64, key.ctime as u64];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

impl StatCache for StatFile {
    fn lookup(&self, key: &StatKey) -> Option<Digest> {
        let wanted = encoded(key);
        let mut slot = home(&wanted[8..16], self.slots.len());
        while self.slots[slot] != 0 {
            let start = (self.slots[slot] as usize - 1) * RECORD;
            let record = &self.records[start..start + RECORD];
            if record[..KEY] == wanted {
                return record[KEY..].try_into().ok().map(Digest::from_bytes);
            }
            slot = (slot + 1) % self.slots.len();
        }
        None
    }

    fn len(&self) -> usize {
        self.records.len() / RECORD
    }

    fn store(&self, mut records: Vec<(StatKey, Digest)>) -> io::Result<()> {
        records.retain(|(key, _)| key.settled(self.now));
        records.sort_unstable();
        records.dedup();
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.ok_or_else(|| io::Error::other("its path names no folder"))?;
        std::fs::create_dir_all(dir)?;
        let mut file = io::BufWriter::new(tempfile::NamedTempFile::new_in(dir)?);
        let mut sum = Hasher::default();
        let mut write = |bytes: &[u8]| {
            sum.update(bytes);
            file.write_all(bytes)
        };
        write(MAGIC)?;
        for (key, digest) in &records {
            write(&encoded(key))?;
            write(digest.as_bytes())?;
        }
        file.write_all(sum.finish().as_bytes())?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.persist(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn key(ino: u64, time: i64) -> StatKey {
        StatKey { dev: 1, ino, size: 5, mtime: time, ctime: time }
    }

    fn at(nanos: i64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos as u64)
    }

    #[test]
    fn remembers_across_runs_and_any_change_is_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/stats");
        let cache = StatFile::load(&path, at(100 * SECOND));
        let records: Vec<_> =
            (0..1000).rev().map(|ino| (key(ino, 7), Digest::of(ino.to_string()))).collect();
        cache.store(records).unwrap();
        let cache = StatFile::load(&path, at(200 * SECOND));
        assert_eq!(cache.len(), 1000);
        for ino in 0..1000 {
            assert_eq!(cache.lookup(&key(ino, 7)), Some(Digest::of(ino.to_string())));
        }
        let known = key(3, 7);
        for other in [
            StatKey { dev: 2, ..known },
            StatKey { ino: 1000, ..known },
            StatKey { size: 6, ..known },
            StatKey { mtime: 8, ..known },
            StatKey { ctime: 8, ..known },
        ] {
            assert_eq!(cache.lookup(&other), None, "{other:?}");
        }
    }

    #[test]
    fn the_racy_are_not_remembered() {
        let now = 100 * SECOND;
        let half = SECOND / 2;
        for (mtime, ctime, expected) in [
            (98 * SECOND + half, 98 * SECOND + half, true),
            (now - 21_000_000, now - 21_000_000, true),
            (now - 20_000_000, now - 20_000_000, false),
            (98 * SECOND + half, now, false),
            (now + 1, 98 * SECOND + half, false),
            (now + SECOND, now + SECOND, false),
            // Whole seconds: the clock may tick that slowly.
            (97 * SECOND, 97 * SECOND, true),
            (99 * SECOND, 99 * SECOND, false),
            // A time that somebody set, in a file system with a fine clock.
            (0, 99 * SECOND + half, true),
        ] {
            let key = StatKey { mtime, ctime, ..key(1, 0) };
            assert_eq!(key.settled(now), expected, "{mtime} {ctime}");
        }
    }

    #[test]
    fn what_is_torn_or_foreign_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stats");
        StatFile::load(&path, at(SECOND)).store(vec![(key(1, 7), Digest::of("x"))]).unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[40] ^= 1;
        for bytes in [&good[..good.len() - 1], &good[..20], &flipped, b"", b"something else"] {
            std::fs::write(&path, bytes).unwrap();
            let cache = StatFile::load(&path, at(SECOND));
            assert!(cache.is_empty());
            assert_eq!(cache.lookup(&key(1, 7)), None);
        }
        std::fs::write(&path, &good).unwrap();
        assert_eq!(StatFile::load(&path, at(SECOND)).len(), 1);
    }
}
