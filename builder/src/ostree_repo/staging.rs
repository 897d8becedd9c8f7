//! Where content objects of an archive repository lie until they are durable.
//!
//! `tmp/treelay-<n>` in the repository, with a lock that its writer holds. One that nobody holds is
//! left from a run that was killed, and is removed by the next. In it are 16 directories, by the
//! first digit of the checksum: threads that write to one directory wait for each other.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt, PermissionsExt};
use rustix::fs::{FlockOperation, flock};
use treelay_recipes::Digest;

const PREFIX: &str = "treelay-";
const LOCK: &str = "lock";

/// A staging directory that is held.
pub(super) struct Staging {
    tmp: Dir,
    name: String,
    dir: Dir,
    shards: Vec<Dir>,
    objects: Mutex<BTreeSet<Digest>>,
    next: AtomicU64,
    /// Held until it is closed.
    _lock: File,
}

/// A file in the making; dropped without [`Staging::keep`], it goes with the directory.
pub(super) struct Draft {
    pub file: File,
    name: String,
}

impl Staging {
    /// Makes one in the repository's `tmp`, and removes those that nobody holds.
    pub(super) fn new(repository: &Dir) -> io::Result<Self> {
        let tmp = repository.open_dir("tmp")?;
        for entry in tmp.entries()? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) {
                remove_if_left(&tmp, name)?;
            }
        }
        for n in 0_u32.. {
            let name = format!("{PREFIX}{}-{n}", std::process::id());
            match tmp.create_dir(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let dir = tmp.open_dir(&name)?;
            let lock = dir.create(LOCK)?;
            // Between these calls another run may have taken it for one that was left.
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && tmp.exists(&name) {
                let (objects, next) = (Mutex::default(), AtomicU64::new(0));
                let shards = (0..16).map(|digit| {
                    let shard = format!("{digit:x}");
                    dir.create_dir(&shard)?;
                    dir.open_dir(&shard)
                });
                let shards = shards.collect::<io::Result<_>>()?;
                return Ok(Self { tmp, name, dir, shards, objects, next, _lock: lock });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// A new file, for an object whose checksum is not known yet.
    pub(super) fn draft(&self) -> io::Result<Draft> {
        let name = format!("draft-{}", self.next.fetch_add(1, Ordering::Relaxed));
        Ok(Draft { file: create(&self.dir, &name)?, name })
    }

    /// Names a complete file.
    pub(super) fn keep(&self, draft: Draft, object: Digest) -> io::Result<()> {
        self.dir.rename(&draft.name, self.shard(&object), object.hex())?;
        self.lock().insert(object);
        Ok(())
    }

    /// Writes a whole object.
    pub(super) fn write(&self, object: Digest, bytes: &[u8]) -> io::Result<()> {
        create(self.shard(&object), &object.hex())?.write_all(bytes)?;
        self.lock().insert(object);
        Ok(())
    }

    fn shard(&self, object: &Digest) -> &Dir {
        &self.shards[usize::from(object.as_bytes()[0] >> 4)]
    }

    /// Forgets a file.
    pub(super) fn discard(&self, draft: Draft) -> io::Result<()> {
        self.dir.remove_file(&draft.name)
    }

    pub(super) fn has(&self, object: &Digest) -> bool {
        self.lock().contains(object)
    }

    /// Moves everything to where objects belong, and removes the directory.
    pub(super) fn publish(self, repository: &Dir) -> io::Result<()> {
        let objects = repository.open_dir("objects")?;
        let mut there: Option<(u8, Dir)> = None;
        for object in std::mem::take(&mut *self.lock()) {
            let (hex, first) = (object.hex(), object.as_bytes()[0]);
            let dir = match there {
                Some((of, dir)) if of == first => dir,
                _ => open_or_make(&objects, &hex[..2])?,
            };
            self.shard(&object).rename(&hex, &dir, format!("{}.filez", &hex[2..]))?;
            there = Some((first, dir));
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        // A set is whole even when a thread that held it panicked.
        self.objects.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = self.tmp.remove_dir_all(&self.name);
    }
}

/// A new file, as readable for others as libostree makes its objects, whatever the umask. One that a
/// failure left half written is begun again.
fn create(dir: &Dir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    let file = dir.open_with(name, &options)?;
    file.set_permissions(cap_std::fs::Permissions::from_mode(0o644))?;
    Ok(file)
}

fn open_or_make(objects: &Dir, name: &str) -> io::Result<Dir> {
    match objects.open_dir(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match objects.create_dir(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => objects.open_dir(name),
    }
}

fn remove_if_left(tmp: &Dir, name: &str) -> io::Result<()> {
    // One without a lock is just being made; if its maker was killed at that moment, libostree
    // removes it after a day, as everything in `tmp`.
    let Ok(lock) = tmp.open_dir(name).and_then(|dir| dir.open(LOCK)) else { return Ok(()) };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
        match tmp.remove_dir_all(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
