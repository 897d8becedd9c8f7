//! The walk: all folders below a root, on several threads, content read only where it must be.
//!
//! Every name is looked up relative to the open folder it was found in and never followed as a
//! link, so a tree that changes meanwhile cannot lead the walk outside. Work is a stack, so that
//! the walk goes deep first and few folders are open at a time.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use treelay_layers::{Entry, TreePath};
use treelay_recipes::Digest;

use super::{SnapshotError, StatCache, StatKey, Work, hash, permissions};

/// What the walk found: a few sorted runs, one after the other.
#[derive(Default)]
pub struct Walked {
    pub entries: Vec<Entry>,
    pub records: Vec<(StatKey, Digest)>,
    pub work: Work,
}

/// One piece of work.
enum Job {
    /// A folder to list.
    List { parent: Arc<OwnedFd>, name: CString, path: TreePath },
    /// Files of one folder to hash.
    Hash { dir: Arc<OwnedFd>, files: Vec<(CString, TreePath)> },
}

/// Files in one [`Job::Hash`], and about how many bytes: small enough to share a folder among
/// threads, large enough that taking a job costs nothing beside doing it.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: u64 = 4 << 20;

/// Walks all below `root`.
pub fn walk(
    path: &Path,
    root: OwnedFd,
    cache: &dyn StatCache,
    threads: usize,
) -> Result<Walked, SnapshotError> {
    let queue = Queue::default();
    let root = Arc::new(root);
    // Most likely there is what was there: no growing and copying meanwhile.
    let each = cache.len() / threads + cache.len() / 8;
    let worker = || Worker::new(path, cache, &queue, each);
    let mut first = worker();
    first.list(&root, None)?;
    std::thread::scope(|scope| {
        let run = || worker().run();
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut all = first.run();
        for other in others {
            let walked = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.entries.extend(walked.entries);
            all.records.extend(walked.records);
            all.work.files += walked.work.files;
            all.work.hashed_files += walked.work.hashed_files;
            all.work.hashed_bytes += walked.work.hashed_bytes;
        }
        match queue.lock().failed.take() {
            Some(error) => Err(error),
            None => Ok(all),
        }
    })
}

/// The stack of jobs that all threads share.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    /// Threads that are doing a job, and may bring more.
    busy: usize,
    failed: Option<SnapshotError>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; `None` when all is done or something failed.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if let Some(job) = state.jobs.pop() {
                state.busy += 1;
                return Some(job);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, result: Result<(), SnapshotError>) {
        let mut state = self.lock();
        state.busy -= 1;
        if let Err(error) = result {
            state.failed.get_or_insert(error);
        }
        if state.failed.is_some() || (state.busy == 0 && state.jobs.is_empty()) {
            self.changed.notify_all();
        }
    }

    fn push(&self, jobs: Vec<Job>) {
        if !jobs.is_empty() {
            self.lock().jobs.extend(jobs);
            self.changed.notify_all();
        }
    }
}

/// One thread's part.
struct Worker<'a> {
    root: &'a Path,
    cache: &'a dyn StatCache,
    queue: &'a Queue,
    walked: Walked,
    /// For `getdents`, and for hashing.
    names: Vec<MaybeUninit<u8>>,
    bytes: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(root: &'a Path, cache: &'a dyn StatCache, queue: &'a Queue, files: usize) -> Self {
        let names = vec![MaybeUninit::uninit(); 64 << 10];
        let (entries, records) = (Vec::with_capacity(files), Vec::with_capacity(files));
        let walked = Walked { entries, records, work: Work::default() };
        let bytes = Vec::new();
        Self { root, cache, queue, walked, names, bytes }
    }

    fn run(mut self) -> Walked {
        while let Some(job) = self.queue.next() {
            let result = match job {
                Job::List { parent, name, path } => self.open_and_list(&parent, &name, &path),
                Job::Hash { dir, files } => self.hash(&dir, files),
            };
            self.queue.done(result);
        }
        // Sorting what each thread found is theirs to do; the runs are quickly merged.
        self.walked.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.walked
    }

    fn open_and_list(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: &TreePath,
    ) -> Result<(), SnapshotError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(parent, name, flags, Mode::empty())
            .map_err(|error| self.reading(path.as_str(), error))?;
        self.list(&Arc::new(dir), Some(path))
    }

    /// Takes in all entries of `dir`, and queues the folders and unknown files among them.
    fn list(&mut self, dir: &Arc<OwnedFd>, path: Option<&TreePath>) -> Result<(), SnapshotError> {
        let mut jobs = Vec::new();
        let mut unknown = Vec::new();
        let mut bytes = 0;
        let mut names = std::mem::take(&mut self.names);
        let mut listing = RawDir::new(&**dir, &mut names);
        while let Some(found) = listing.next() {
            let found = found.map_err(|e| self.reading(path.map_or("", TreePath::as_str), e))?;
            let name = found.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let below = self.below(path, name)?;
            let stat = rustix::fs::statat(&**dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| self.reading(below.as_str(), error))?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let mode = permissions(stat.st_mode);
                    self.walked.entries.push(Entry::dir(below.clone(), mode));
                    jobs.push(Job::List {
                        parent: dir.clone(),
                        name: name.to_owned(),
                        path: below,
                    });
                }
                FileType::RegularFile => match self.cache.lookup(&StatKey::of(&stat)) {
                    Some(digest) => self.file(below, &stat, digest),
                    None => {
                        unknown.push((name.to_owned(), below));
                        bytes += stat.st_size as u64;
                        if unknown.len() >= BATCH_FILES || bytes >= BATCH_BYTES {
                            let files = std::mem::take(&mut unknown);
                            bytes = 0;
                            jobs.push(Job::Hash { dir: dir.clone(), files });
                        }
                    }
                },
                FileType::Symlink => self.link(dir, name, below)?,
                other => return Err(self.special(&below, other)),
            }
        }
        if !unknown.is_empty() {
            jobs.push(Job::Hash { dir: dir.clone(), files: unknown });
        }
        self.names = names;
        self.queue.push(jobs);
        Ok(())
    }

    /// The path of `name`, found in the folder at `path`.
    fn below(&self, path: Option<&TreePath>, name: &CStr) -> Result<TreePath, SnapshotError> {
        let text = name.to_str().map_err(|_| SnapshotError::NotUtf8 {
            path: self.absolute(path.map_or("", TreePath::as_str)).join(&*name.to_string_lossy()),
            what: "has a name",
        })?;
        let below = path.map_or_else(|| TreePath::new(text), |path| path.join(text));
        below.map_err(|error| SnapshotError::BadPath {
            path: self.absolute(&error.path),
            reason: format!("it {}", error.reason),
        })
    }

    fn link(&mut self, dir: &OwnedFd, name: &CStr, path: TreePath) -> Result<(), SnapshotError> {
        let target = rustix::fs::readlinkat(dir, name, Vec::new())
            .map_err(|error| self.reading(path.as_str(), error))?;
        let target = target.to_str().map_err(|_| SnapshotError::NotUtf8 {
            path: self.absolute(path.as_str()),
            what: "is a link to a path",
        })?;
        self.walked.entries.push(Entry::symlink(path, target));
        Ok(())
    }

    fn hash(
        &mut self,
        dir: &OwnedFd,
        files: Vec<(CString, TreePath)>,
    ) -> Result<(), SnapshotError> {
        if self.bytes.is_empty() {
            self.bytes = hash::buffer();
        }
        // Without NONBLOCK a FIFO that took a file's place would block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        for (name, path) in files {
            let file = rustix::fs::openat(dir, &name, flags, Mode::empty())
                .map_err(|error| self.reading(path.as_str(), error))?;
            let stat =
                rustix::fs::fstat(&file).map_err(|error| self.reading(path.as_str(), error))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(SnapshotError::Changed(self.absolute(path.as_str())));
            }
            let (digest, size) = hash::hash(file, &stat, &mut self.bytes)
                .map_err(|failed| failed.at(&self.absolute(path.as_str())))?;
            self.walked.work.hashed_files += 1;
            self.walked.work.hashed_bytes += size;
            self.file(path, &stat, digest);
        }
        Ok(())
    }

    fn file(&mut self, path: TreePath, stat: &Stat, digest: Digest) {
        let key = StatKey::of(stat);
        self.walked.work.files += 1;
        self.walked.records.push((key, digest));
        let mode = permissions(stat.st_mode);
        self.walked.entries.push(Entry::new_file(path, mode, digest, key.size));
    }

    fn absolute(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.to_owned() } else { self.root.join(path) }
    }

    fn reading(&self, path: &str, error: rustix::io::Errno) -> SnapshotError {
        super::reading(&self.absolute(path), error.into())
    }

    fn special(&self, path: &TreePath, kind: FileType) -> SnapshotError {
        let kind = match kind {
            FileType::Fifo => "a FIFO",
            FileType::Socket => "a socket",
            FileType::CharacterDevice | FileType::BlockDevice => "a device node",
            _ => "something unknown",
        };
        SnapshotError::Special { path: self.absolute(path.as_str()), kind }
    }
}
