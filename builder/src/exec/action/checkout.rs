//! Trees as files, for processes to read.
//!
//! Directories and what can be executed have mode 0755, the rest 0644: what an action's digest does
//! not say, a process must not see. A file's time is made of its content. Tools that tell by path,
//! size and time whether they have seen a file, as Go's index of packages does, are told the truth:
//! another content has another time, on every machine and whatever a cache remembers.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{Mode, Timespec, Timestamps};
use treelay_layers::tree::TreeError;
use treelay_layers::{Contents, Entry, Node, Tree};
use treelay_recipes::{Digest, HashingReader};

use super::ActionError;

/// What a process sees of a tree.
///
/// # Errors
/// None: the entries of a tree, with other modes, are one.
pub(super) fn seen(tree: &Tree) -> Result<Tree, TreeError> {
    let seen = |entry: &Entry| Entry {
        path: entry.path.clone(),
        node: entry.node.clone(),
        mode: mode(entry),
        owner: Default::default(),
        xattrs: None,
    };
    Tree::from_entries(tree.entries().iter().map(seen).collect())
}

fn mode(entry: &Entry) -> u16 {
    match entry.node {
        Node::Dir => 0o755,
        Node::Symlink { .. } => 0o777,
        Node::File { .. } if entry.mode & 0o100 != 0 => 0o755,
        Node::File { .. } => 0o644,
    }
}

/// 2000-01-01. Old enough for tools that trust no file which has just been written.
const OLD: i64 = 946_684_800;

/// A time between 2000 and 2017 that is as good as the content's own: one of 2^29 seconds and 10^9
/// nanoseconds.
fn time_of(content: &Digest) -> Timespec {
    let [a, b, c, d, e, f, g, h, ..] = *content.as_bytes();
    let seconds = u32::from_be_bytes([a, b, c, d]) >> 3;
    let nanos = u32::from_be_bytes([e, f, g, h]) % 1_000_000_000;
    Timespec { tv_sec: OLD + i64::from(seconds), tv_nsec: nanos.into() }
}

/// Fills an empty directory with `tree`, on `jobs` threads; every content is hashed on its way.
pub(super) fn fill(
    dir: &Dir,
    tree: &Tree,
    contents: &dyn Contents,
    jobs: usize,
) -> Result<(), ActionError> {
    let named = |entry: &Entry| {
        let path = entry.path.to_string();
        move |source: io::Error| ActionError::Input { path, source }
    };
    for entry in tree.entries() {
        match &entry.node {
            Node::Dir => dir.create_dir(entry.path.as_str()).and_then(|()| {
                // Whatever the umask.
                let mode = cap_std::fs::PermissionsExt::from_mode(0o755);
                dir.set_permissions(entry.path.as_str(), mode)
            }),
            Node::Symlink { target } => dir.symlink_contents(&**target, entry.path.as_str()),
            Node::File { .. } => Ok(()),
        }
        .map_err(named(entry))?;
    }
    let entries = tree.entries();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 8) {
            scope.spawn(|| {
                while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = file(dir, entry, contents) {
                        next.store(entries.len(), Ordering::Relaxed);
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.get_or_insert(named(entry)(error));
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn file(dir: &Dir, entry: &Entry, contents: &dyn Contents) -> io::Result<()> {
    let Some((digest, size)) = entry.file() else { return Ok(()) };
    let mut content = HashingReader::new(contents.open(digest, size)?);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = dir.open_with(entry.path.as_str(), &options)?;
    io::copy(&mut content, &mut file)?;
    if content.finish().0 != *digest {
        let reason = "it is not what it was when it was looked at";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode(entry).into()))?;
    let time = time_of(digest);
    rustix::fs::futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
    Ok(())
}
