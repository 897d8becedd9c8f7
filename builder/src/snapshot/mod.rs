//! Digests of local sources: what a recipe's folders and files hold right now.
//!
//! A snapshot reads metadata always and content only where it must: a cache of stat results
//! ([`StatCache`]) knows the digest of every file that has not changed since it was last hashed.
//! Nothing is copied. A [`Snapshot`] is [`Contents`] by opening the referenced file; whoever reads
//! it hashes it again, so that a file that changes underneath is an error and never a wrong layer.
//!
//! *What is taken:* directories, regular files (a hard link is just a file) and symbolic links as
//! they are written, never followed; permission bits as they are. *What is not:* owners, times and
//! extended attributes: they belong to the machine, and a recipe that wants some says so.
//! *What is refused*, by name: devices, FIFOs and sockets, names and links that are not UTF-8,
//! and what cannot be read.

mod cache;
mod hash;
mod walk;

use std::fmt;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cap_std::fs::{OpenOptions, OpenOptionsExt as _};
use rustix::fs::{FileType, Mode, OFlags};
use treelay_layers::{Contents, Entry, Tree};
use treelay_recipes::Digest;

pub use cache::{NoCache, StatCache, StatFile, StatKey};

/// What a local folder holds.
pub struct Snapshot {
    /// Sorted; modes as they are there, owned by root.
    pub tree: Tree,
    /// How much work it was.
    pub work: Work,
    path: PathBuf,
    root: cap_std::fs::Dir,
    digest: OnceLock<Digest>,
    /// Entries of `tree` that are files, by number, sorted by digest: 4 bytes a file. Made when
    /// first asked for, since a build that has nothing to do opens nothing.
    by_digest: OnceLock<Vec<u32>>,
}

/// How much work a snapshot was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Regular files that are there.
    pub files: u64,
    /// Those whose content had to be read, since the cache did not know them.
    pub hashed_files: u64,
    /// Their bytes.
    pub hashed_bytes: u64,
}

/// What a single local file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSnapshot {
    /// Where it is.
    pub path: PathBuf,
    /// Its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its permission bits, at most 0o7777.
    pub mode: u16,
}

/// Why a local source cannot be used. Each names the path.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is nothing.
    #[error("{} does not exist", .0.display())]
    NotThere(PathBuf),
    /// A folder was expected.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A file was expected.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Something that cannot be in a layer.
    #[error("{} is {kind}, which cannot be in a layer", .path.display())]
    Special {
        /// The path.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A name or a link's target that is not UTF-8.
    #[error("{} {what} that is not UTF-8", .path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
        /// Which of the two, as the rest of a sentence.
        what: &'static str,
    },
    /// A path that no layer can hold.
    #[error("{}: {reason}", .path.display())]
    BadPath {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It changed while it was looked at.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// It cannot be read.
    #[error("reading {}", .path.display())]
    Reading {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Takes a snapshot of the folder at `path` on `jobs` threads. `path` itself may be a symbolic
/// link to a folder.
///
/// # Errors
/// [`SnapshotError`], with the first of the refused paths that was met.
pub fn snapshot_dir(
    path: &Path,
    cache: &dyn StatCache,
    jobs: usize,
) -> Result<Snapshot, SnapshotError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::NOENT => SnapshotError::NotThere(path.to_owned()),
        rustix::io::Errno::NOTDIR => SnapshotError::NotADirectory(path.to_owned()),
        other => SnapshotError::Reading { path: path.to_owned(), source: other.into() },
    })?;
    let own = root.try_clone().map_err(|source| reading(path, source))?;
    let walked = walk::walk(path, own, cache, jobs.max(1))?;
    // Where nothing new was learned and nothing is gone, there is nothing to write. (Hard links
    // are several records here and one there, so more is no news.) A cache that cannot be written
    // costs time and nothing else.
    if (walked.work.hashed_files > 0 || walked.records.len() < cache.len())
        && let Err(error) = cache.store(walked.records)
    {
        tracing::warn!("remembering the digests of {}: {error}", path.display());
    }
    let tree = Tree::from_entries(walked.entries).map_err(|error| SnapshotError::BadPath {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Snapshot::new(path.to_owned(), root, tree, walked.work))
}

/// Takes a snapshot of the file at `path`, which may be a symbolic link to a file. `cache` is that
/// file's own: what else it remembers is forgotten when the file has to be hashed.
///
/// # Errors
/// [`SnapshotError`].
pub fn snapshot_file(path: &Path, cache: &dyn StatCache) -> Result<FileSnapshot, SnapshotError> {
    // Opening a FIFO for reading blocks without NONBLOCK.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::NOENT => SnapshotError::NotThere(path.to_owned()),
        // A socket cannot be opened at all.
        rustix::io::Errno::NXIO => SnapshotError::NotAFile(path.to_owned()),
        other => SnapshotError::Reading { path: path.to_owned(), source: other.into() },
    })?;
    let stat = rustix::fs::fstat(&file).map_err(|error| reading(path, error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(SnapshotError::NotAFile(path.to_owned()));
    }
    let key = StatKey::of(&stat);
    let digest = match cache.lookup(&key) {
        Some(digest) => digest,
        None => {
            let mut buffer = hash::buffer();
            let (digest, _) = hash::hash(file, &stat, &mut buffer).map_err(|e| e.at(path))?;
            if let Err(error) = cache.store(vec![(key, digest)]) {
                tracing::warn!("remembering the digest of {}: {error}", path.display());
            }
            digest
        }
    };
    let mode = permissions(stat.st_mode);
    Ok(FileSnapshot { path: path.to_owned(), digest, size: key.size, mode })
}

impl Snapshot {
    fn new(path: PathBuf, root: OwnedFd, tree: Tree, work: Work) -> Self {
        let root = cap_std::fs::Dir::from_std_file(root.into());
        let (digest, by_digest) = Default::default();
        Self { tree, work, path, root, digest, by_digest }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of its tree.
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| self.tree.digest())
    }

    /// A file with this content.
    pub fn find(&self, digest: &Digest) -> Option<&Entry> {
        let sorted = self.sorted();
        let entries = self.tree.entries();
        let key = |at: &u32| entries[*at as usize].file().map(|file| *file.0);
        let found = sorted.binary_search_by_key(&Some(*digest), key).ok()?;
        Some(&entries[sorted[found] as usize])
    }

    /// Sorts the files by their content, which the first [`find`](Self::find) would do.
    pub fn prepare(&self) {
        self.sorted();
    }

    fn sorted(&self) -> &[u32] {
        self.by_digest.get_or_init(|| {
            let entries = self.tree.entries();
            let key = |at: &u32| entries[*at as usize].file().map(|file| *file.0);
            // A tree of more than 2^32 entries would need a terabyte of memory first.
            let mut files: Vec<u32> = (0..entries.len() as u32).collect();
            files.retain(|at| key(at).is_some());
            files.sort_unstable_by_key(key);
            files
        })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("path", &self.path).field("work", &self.work).finish()
    }
}

impl Contents for Snapshot {
    fn open(&self, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>> {
        let entry = self.find(digest).ok_or(io::ErrorKind::NotFound)?;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        let file = self.root.open_with(entry.path.as_str(), &options);
        let path = || self.path.join(entry.path.as_str());
        unchanged(file.map(cap_std::fs::File::into_std), size, path)
    }
}

impl Contents for FileSnapshot {
    fn open(&self, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>> {
        use std::os::unix::fs::OpenOptionsExt as _;

        if *digest != self.digest {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut options = std::fs::OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        unchanged(options.open(&self.path), size, || self.path.clone())
    }
}

/// A file that was opened, if it can still be what it was; its content is for the reader to hash.
fn unchanged(
    file: io::Result<std::fs::File>,
    size: u64,
    path: impl Fn() -> PathBuf,
) -> io::Result<Box<dyn Read + Send>> {
    let named = |kind, reason: &dyn fmt::Display| {
        io::Error::new(kind, format!("{}: {reason}", path().display()))
    };
    let file = file.map_err(|error| named(error.kind(), &error))?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() != size {
        return Err(named(io::ErrorKind::InvalidData, &"it changed since it was looked at"));
    }
    Ok(Box::new(file))
}

fn reading(path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Reading { path: path.to_owned(), source }
}

/// The permission bits of a raw mode, with setuid, setgid and sticky.
fn permissions(raw: u32) -> u16 {
    (raw & 0o7777) as u16
}

#[cfg(test)]
mod tests;
