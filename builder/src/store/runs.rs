//! Who is at work with the store, and what is in use.
//!
//! A *run* is a process at work. It holds a lock on a file of its own in `runs/`, whose
//! modification time is when the run began. The modification time of everything else is when it
//! was last *used*: every thing that a run comes to rely on is made by it or marked by it. So what
//! a run uses has a time no earlier than the run, or is referred to by something that has, and
//! that is what [`gc`](super::gc) keeps as long as the run lasts.
//!
//! A *turn* is a lock on the file `lock`. Whoever begins a run or marks something holds it shared,
//! for microseconds; `gc` holds it alone, from looking to removing. So nothing comes into use
//! while things are being removed, and builds wait for `gc` no longer than it works.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW};

use super::Store;

/// A run that lasts until it is dropped.
pub(super) struct Run {
    /// Locked; removed at the end.
    _file: tempfile::NamedTempFile,
    /// When it began, by the file system's clock.
    since: SystemTime,
}

/// The runs that last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Running {
    pub count: usize,
    /// When the first of them began.
    pub since: Option<SystemTime>,
}

impl Store {
    /// Says that this process is at work with the store, as long as the store is not dropped: what
    /// it uses from now on stays.
    ///
    /// # Errors
    /// Whatever keeps it from being said.
    pub fn begin(&mut self) -> io::Result<()> {
        let _turn = self.turn(FlockOperation::LockShared)?;
        let folder = self.root.join("runs");
        fs::create_dir_all(&folder)?;
        let file = tempfile::Builder::new().prefix("r").tempfile_in(folder)?;
        rustix::fs::flock(file.as_file(), FlockOperation::NonBlockingLockExclusive)?;
        let since = file.as_file().metadata()?.modified()?;
        self.run = Some(Run { _file: file, since });
        Ok(())
    }

    /// The runs that last. Files of runs that were killed are removed. Needs the turn alone.
    pub(super) fn running(&self) -> Running {
        let mut running = Running::default();
        for entry in fs::read_dir(self.root.join("runs")).into_iter().flatten().flatten() {
            let Ok(file) = File::open(entry.path()) else { continue };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
                // Nobody holds it. Where it cannot be removed, it is nobody's the next time too.
                let _ = fs::remove_file(entry.path());
                continue;
            }
            // A time that cannot be read protects everything.
            let since = file.metadata().and_then(|metadata| metadata.modified());
            let since = since.unwrap_or(SystemTime::UNIX_EPOCH);
            running.count += 1;
            running.since = Some(running.since.map_or(since, |first| first.min(since)));
        }
        running
    }

    /// Waits for a turn; it ends when the file is dropped.
    pub(super) fn turn(&self, how: FlockOperation) -> io::Result<File> {
        let path = self.root.join("lock");
        let file = File::options().create(true).write(true).truncate(false).open(path)?;
        loop {
            match rustix::fs::flock(&file, how) {
                Err(rustix::io::Errno::INTR) => {}
                locked => return locked.map(|()| file).map_err(Into::into),
            }
        }
    }

    /// Marks the file as used; whether it is there.
    pub(super) fn mark(&self, path: &Path) -> bool {
        let Ok(used) = fs::metadata(path).and_then(|metadata| metadata.modified()) else {
            return self.borrow(path);
        };
        if self.is_ours(used) {
            return true;
        }
        // Without a turn or a mark, which only a store of somebody else's can mean, it may be
        // removed too early. That is found when it is used.
        let _turn = self.turn(FlockOperation::LockShared);
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        match rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()) {
            Ok(()) => true,
            Err(_) => path.exists(),
        }
    }

    /// Whether something that was used at this time is in use by this run already.
    pub(super) fn is_ours(&self, used: SystemTime) -> bool {
        self.run.as_ref().is_some_and(|run| used >= run.since)
    }
}
