//! Checking everything: contents and blobs against their names, trees, frames and records against
//! their sums, and records against what they refer to.
//!
//! Trees are not checked against objects: contents of local files are never copied into the store,
//! so an object that is missing says nothing.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;
use serde::Serialize;
use treelay_layers::Tree;
use treelay_recipes::Digest;

use super::objects::hash_file;
use super::{Store, frames, gc, hex_of};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, by path.
    pub problems: Vec<Problem>,
    /// Whether all that is wrong was removed.
    pub repaired: bool,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file, relative to the store.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// What that means for whoever builds.
    pub meaning: &'static str,
}

/// Rooms of files `ab/cdef…`, and what it means when one of them is lost.
const ROOMS: [(&str, &str); 4] = [
    (
        "objects",
        "a file's content; what it belongs to is unpacked or fetched again when it is used",
    ),
    ("trees", "a tree; it is made again when it is used"),
    ("blobs", "a layer; it is compressed again when it is used"),
    ("frames", "a part of a layer; it is compressed again when it is used"),
];
const RECORD: &str = "a record of what was made; it is made again when it is used";

impl Store {
    /// Reads and checks everything, on `threads` threads with a small buffer each (for trees: the
    /// tree). Builds may be at work meanwhile. With `repair`, what is wrong is removed.
    ///
    /// # Errors
    /// What kept it from looking or removing.
    pub fn check(&self, threads: usize, repair: bool) -> io::Result<CheckReport> {
        // Nothing is removed by `gc` between being listed and being read.
        let _turn = self.turn(FlockOperation::LockShared)?;
        let mut report = CheckReport::default();
        for (room, meaning) in ROOMS {
            let check = |path: &Path| self.wrong(room, path);
            report.add(self.check_room(room, threads, meaning, &check)?);
        }
        let bad: HashSet<PathBuf> =
            report.problems.iter().map(|problem| self.root.join(&problem.path)).collect();
        let check = |path: &Path| self.wrong_record(path, &bad);
        report.add(self.check_room("products", threads, RECORD, &check)?);
        report.problems.sort();
        if repair {
            // Records first: what they refer to goes after them.
            let (records, others): (Vec<_>, Vec<_>) =
                report.problems.iter().partition(|problem| problem.path.starts_with("products"));
            for problem in records.into_iter().chain(others) {
                match fs::remove_file(self.root.join(&problem.path)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            report.repaired = true;
        }
        Ok(report)
    }

    fn check_room(
        &self,
        room: &str,
        threads: usize,
        meaning: &'static str,
        check: &(dyn Fn(&Path) -> io::Result<Option<String>> + Sync),
    ) -> io::Result<CheckReport> {
        let folders = self.folders(room)?;
        let next = AtomicUsize::new(0);
        let found = Mutex::new(CheckReport::default());
        let work = || -> io::Result<()> {
            while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut report = CheckReport::default();
                for (path, metadata) in gc::files(folder.clone())? {
                    let reason = match check(&path) {
                        // Who uses the store may have found it damaged too, and removed it.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        Err(error) => Some(format!("it cannot be read: {error}")),
                        Ok(reason) => reason,
                    };
                    report.files += 1;
                    report.bytes += metadata.len();
                    let path = path.strip_prefix(&self.root).unwrap_or(&path).to_owned();
                    let problem = reason.map(|reason| Problem { path, reason, meaning });
                    report.problems.extend(problem);
                }
                found.lock().unwrap_or_else(PoisonError::into_inner).add(report);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is wrong with a file of a room.
    fn wrong(&self, room: &str, path: &Path) -> io::Result<Option<String>> {
        let Some(name) = hex_of(path).filter(|_| path.extension().is_none()) else {
            return Ok(Some("its name is no digest".to_owned()));
        };
        Ok(match room {
            "blobs" => self.wrong_blob(&name)?,
            "frames" => {
                let whole = frames::parse(&name, &fs::read(path)?).is_some();
                (!whole).then(|| "it does not agree with its sum".to_owned())
            }
            "trees" => {
                let text = fs::read(path)?;
                let parses = || Tree::from_text(&String::from_utf8_lossy(&text)).is_ok();
                other_digest(&name, &Digest::of(&text))
                    .or_else(|| (!parses()).then(|| "it is no tree".to_owned()))
            }
            _ => other_digest(&name, &hash_file(path)?),
        })
    }

    /// What is wrong with a record, when the files `bad` are.
    fn wrong_record(&self, path: &Path, bad: &HashSet<PathBuf>) -> io::Result<Option<String>> {
        let Some(record) = self.record(path) else {
            // To tell one that is gone.
            fs::metadata(path)?;
            return Ok(Some("it does not agree with its sum".to_owned()));
        };
        let lost = record.refers().into_iter().find_map(|(room, digest, needed)| {
            let path = self.path(room, &digest);
            let why = if bad.contains(&path) { "damaged" } else { "missing" };
            let lost = needed && (why == "damaged" || !path.exists());
            lost.then(|| format!("it refers to {room}/{}, which is {why}", digest.short()))
        });
        Ok(lost)
    }
}

impl CheckReport {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.problems.extend(other.problems);
    }
}

fn other_digest(name: &Digest, found: &Digest) -> Option<String> {
    (name != found).then(|| format!("its SHA-256 is {}", found.hex()))
}
