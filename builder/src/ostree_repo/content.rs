//! Content objects: which are known, and how the others are made, several at a time.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ostree::gio::ReadInputStream;
use ostree::{ObjectType, Repo, RepoMode};
use treelay_layers::Contents;
use treelay_layers::tree::{Entry, Node};
use treelay_recipes::{Digest, Hasher};

use super::NONE;
use super::error::{Doing, OstreeError, Result};
use super::filez::{self, IN_ONE_PIECE, Packer};
use super::objects::FileMeta;
use super::staging::Staging;

/// Remembers across runs which content object a file became. The answer depends on nothing but the
/// key, so one memory serves every repository.
pub trait ObjectMemory: Sync {
    /// The object's checksum, if it is remembered. `key` covers content, type, mode, owner and
    /// attributes.
    fn get(&self, key: &Digest) -> Option<Digest>;

    /// Remembers it. One that cannot is asked again next time, and no worse.
    fn put(&self, key: &Digest, object: &Digest);
}

/// Remembers nothing.
impl ObjectMemory for () {
    fn get(&self, _key: &Digest) -> Option<Digest> {
        None
    }

    fn put(&self, _key: &Digest, _object: &Digest) {}
}

/// One file or link that needs an object.
pub(super) struct Job<'t> {
    entry: &'t Entry,
    meta: FileMeta,
    pub key: Digest,
}

impl<'t> Job<'t> {
    /// Of a file or link; `None` for a directory.
    pub(super) fn of(entry: &'t Entry) -> Option<Self> {
        let meta = FileMeta::of(entry)?;
        let mut key = Hasher::default();
        // Names the rule, should it ever change.
        key.update(b"ostree-file-1\0");
        key.update(&meta.header());
        if let Some((digest, _)) = entry.file() {
            key.update(digest.as_bytes());
        }
        Some(Self { entry, meta, key: key.finish() })
    }

    /// A link's object needs no content to be known.
    pub(super) fn known(&self) -> Option<Digest> {
        matches!(self.entry.node, Node::Symlink { .. }).then(|| Digest::of(self.meta.header()))
    }

    /// Bytes of content.
    pub(super) fn size(&self) -> u64 {
        self.entry.file().map_or(0, |(_, size)| size)
    }

    fn path(&self) -> String {
        self.entry.path.to_string()
    }
}

/// What became of a job.
pub(super) struct Made {
    /// Index of the job.
    pub job: usize,
    pub object: Digest,
    /// `false` if the object was there.
    pub new: bool,
}

/// Where objects go.
pub(super) struct Target<'a> {
    pub repo: &'a Repo,
    /// For archive repositories; the others are written by libostree.
    pub staging: Option<&'a Staging>,
    /// zlib's scale.
    pub level: i32,
    pub threads: usize,
}

/// Makes the objects of `jobs`, on several threads; `progress` hears of bytes of content.
pub(super) fn make(
    target: &Target<'_>,
    contents: &dyn Contents,
    jobs: &[Job<'_>],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Made>> {
    // The largest first, so that no thread is left alone with one at the end.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&job| std::cmp::Reverse(jobs[job].size()));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = |mut worker: Worker<'_>| -> Result<Vec<Made>> {
        let mut made = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(&job) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            match worker.make(&jobs[job]) {
                Ok((object, new)) => made.push(Made { job, object, new }),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            progress(jobs[job].size());
        }
        Ok(made)
    };
    std::thread::scope(|scope| {
        let threads = target.threads.clamp(1, jobs.len().max(1));
        let work = &work;
        let running: Vec<_> = (0..threads)
            .map(|_| {
                let worker = Worker {
                    repo: target.repo.clone(),
                    staging: target.staging,
                    contents,
                    packer: Packer::new(target.level),
                    buffer: Vec::new(),
                };
                scope.spawn(move || work(worker))
            })
            .collect();
        let mut made = Vec::with_capacity(jobs.len());
        for thread in running {
            match thread.join() {
                Ok(part) => made.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(made)
    })
}

/// One thread's own.
struct Worker<'a> {
    repo: Repo,
    staging: Option<&'a Staging>,
    contents: &'a dyn Contents,
    packer: Packer,
    buffer: Vec<u8>,
}

impl Worker<'_> {
    fn make(&mut self, job: &Job<'_>) -> Result<(Digest, bool)> {
        let Some((digest, size)) = job.entry.file() else { return self.link(job) };
        let unreadable =
            |source| OstreeError::Content { digest: *digest, path: job.path(), source };
        let content = self.contents.open(digest, size).map_err(unreadable)?;
        if size > IN_ONE_PIECE {
            let outcome = Arc::new(OnceLock::new());
            let content = Verified {
                inner: content,
                content: Hasher::default(),
                object: Hasher::default(),
                expected: (*digest, size),
                outcome: Arc::clone(&outcome),
            };
            return match self.staging {
                Some(staging) => self.pack_stream(staging, job, content, &outcome),
                None => self.write_stream(job, content, &outcome),
            };
        }
        self.buffer.clear();
        content.take(size + 1).read_to_end(&mut self.buffer).map_err(unreadable)?;
        if Digest::of(&self.buffer) != *digest {
            return Err(wrong(job, &describe(&Digest::of(&self.buffer), self.buffer.len() as u64)));
        }
        let mut object = Hasher::default();
        object.update(&job.meta.header());
        object.update(&self.buffer);
        let object = object.finish();
        if self.is_there(&object)? {
            return Ok((object, false));
        }
        let writing = || writing(job);
        match self.staging {
            Some(staging) => {
                let packed = self.packer.pack(&job.meta, &self.buffer).doing(writing)?;
                staging.write(object, packed).doing(writing)?;
            }
            None => {
                let FileMeta { uid, gid, mode, xattrs, .. } = &job.meta;
                let (hex, xattrs) = (object.hex(), Some(xattrs));
                self.repo
                    .write_regfile_inline(Some(&hex), *uid, *gid, *mode, xattrs, &self.buffer, NONE)
                    .doing(writing)?;
            }
        }
        Ok((object, true))
    }

    fn link(&mut self, job: &Job<'_>) -> Result<(Digest, bool)> {
        let object = Digest::of(job.meta.header());
        if self.is_there(&object)? {
            return Ok((object, false));
        }
        let FileMeta { uid, gid, symlink, xattrs, .. } = &job.meta;
        match self.staging {
            Some(staging) => {
                staging.write(object, &filez::pack_link(&job.meta)).doing(|| writing(job))?;
            }
            None => {
                self.repo
                    .write_symlink(Some(&object.hex()), *uid, *gid, Some(xattrs), symlink, NONE)
                    .doing(|| writing(job))?;
            }
        }
        Ok((object, true))
    }

    /// Into an archive repository.
    fn pack_stream(
        &mut self,
        staging: &Staging,
        job: &Job<'_>,
        mut content: Verified,
        outcome: &OnceLock<Outcome>,
    ) -> Result<(Digest, bool)> {
        content.object.update(&job.meta.header());
        let mut draft = staging.draft().doing(|| writing(job))?;
        let packed = self.packer.pack_stream(&job.meta, job.size(), &mut content, &mut draft.file);
        let object = judge(job, outcome.get(), || packed.doing(|| writing(job)))?;
        let new = !self.is_there(&object)?;
        let done = if new { staging.keep(draft, object) } else { staging.discard(draft) };
        done.doing(|| writing(job))?;
        Ok((object, new))
    }

    /// Into a bare repository.
    fn write_stream(
        &mut self,
        job: &Job<'_>,
        mut content: Verified,
        outcome: &OnceLock<Outcome>,
    ) -> Result<(Digest, bool)> {
        let header = job.meta.header();
        content.object.update(&header);
        let length = header.len() as u64 + job.size();
        let stream = ReadInputStream::new(io::Cursor::new(header).chain(content));
        let written = self.repo.write_content(None, &stream, length, NONE);
        let object = judge(job, outcome.get(), || written.map(drop).doing(|| writing(job)))?;
        Ok((object, true))
    }

    fn is_there(&self, object: &Digest) -> Result<bool> {
        if self.staging.is_some_and(|staging| staging.has(object)) {
            return Ok(true);
        }
        self.repo
            .has_object(ObjectType::File, &object.hex(), NONE)
            .doing(|| format!("looking for object {}", object.hex()))
    }
}

fn writing(job: &Job<'_>) -> String {
    format!("writing the object of /{}", job.entry.path)
}

/// The verdict on a stream: what is wrong with the content counts before what came of it.
fn judge(
    job: &Job<'_>,
    outcome: Option<&Outcome>,
    written: impl FnOnce() -> Result<()>,
) -> Result<Digest> {
    match outcome {
        Some(Outcome::Good(object)) => written().map(|()| *object),
        Some(Outcome::Wrong(found)) => Err(wrong(job, found)),
        Some(Outcome::Unreadable(kind, message)) => Err(OstreeError::Content {
            digest: job.entry.file().map_or_else(|| job.key, |(digest, _)| *digest),
            path: job.path(),
            source: io::Error::new(*kind, message.clone()),
        }),
        // The writer gave up first, or left something unread.
        None => written().and_then(|()| Err(wrong(job, "more than was read"))),
    }
}

fn wrong(job: &Job<'_>, found: &str) -> OstreeError {
    let expected = job.entry.file().map(|(digest, size)| describe(digest, size));
    let (path, expected) = (job.path(), expected.unwrap_or_default());
    OstreeError::WrongContent { path, expected, found: found.to_owned() }
}

fn describe(digest: &Digest, size: u64) -> String {
    format!("{digest} ({size} bytes)")
}

/// What was found at the end of a stream.
enum Outcome {
    /// With the checksum of the object.
    Good(Digest),
    Wrong(String),
    Unreadable(io::ErrorKind, String),
}

/// Content on its way into an object; fails at its end unless it is what was promised.
struct Verified {
    inner: Box<dyn Read + Send>,
    content: Hasher,
    /// Starts with the object's header.
    object: Hasher,
    expected: (Digest, u64),
    outcome: Arc<OnceLock<Outcome>>,
}

impl Verified {
    fn read_inner(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let _ = self.outcome.set(Outcome::Unreadable(error.kind(), error.to_string()));
                    return Err(error);
                }
                read => return read,
            }
        }
    }

    fn settle(&self) -> io::Result<()> {
        let found = (self.content.clone().finish(), self.content.bytes());
        if found == self.expected {
            let _ = self.outcome.set(Outcome::Good(self.object.clone().finish()));
            return Ok(());
        }
        let _ = self.outcome.set(Outcome::Wrong(describe(&found.0, found.1)));
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.outcome.get().is_some() {
            return Ok(0);
        }
        let n = self.read_inner(buffer)?;
        self.content.update(&buffer[..n]);
        self.object.update(&buffer[..n]);
        // A reader that knows the length may never ask for the end.
        if n == 0 {
            self.settle()?;
        } else if self.content.bytes() >= self.expected.1 {
            if self.read_inner(&mut [0])? != 0 {
                let found = format!("more than {} bytes", self.expected.1);
                let _ = self.outcome.set(Outcome::Wrong(found));
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.settle()?;
        }
        Ok(n)
    }
}

/// Refuses what a bare-user-only repository cannot say: it keeps neither owners nor attributes.
pub(super) fn fits(mode: RepoMode, entries: &[Entry]) -> std::result::Result<(), String> {
    if mode != RepoMode::BareUserOnly {
        return Ok(());
    }
    for entry in entries {
        let what = if entry.owner != treelay_layers::tree::Owner::default() {
            "an owner other than root"
        // ostree-repo-commit.c, _ostree_validate_bareuseronly_mode: 0775 at most.
        } else if entry.mode & !0o775 != 0 && !matches!(entry.node, Node::Symlink { .. }) {
            "a mode beyond 0775"
        } else if !entry.xattrs().is_empty() {
            "extended attributes"
        } else {
            continue;
        };
        return Err(format!("which cannot hold /{}, because it has {what}", entry.path));
    }
    Ok(())
}
