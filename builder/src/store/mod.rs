//! The store: everything that was expensive to make, under what it was made from.
//!
//! ```text
//! objects/ab/cd…     contents and fetched files, by their SHA-256
//! trees/ab/cd…       canonical texts of trees, by their digest
//! blobs/ab/cd…       which frames layer blobs are made of, by their SHA-256
//! frames/ab/cd…      compressed frames, by entries and codec
//! products/KIND/…    small records: what a thing became, by the digest of what it was made from
//! checkouts/ab/cd…   trees as files, for processes to read, by the tree's digest
//! caches/ab/cd…      what tools keep between runs, such as GOCACHE
//! bases/ab/cd…       OSTree repositories of base commits, by the address they are pulled from
//! heads/             tree heads of checksum databases, as they were last seen
//! stats/             digests of local files, by their stat results
//! ostree-objects     the OSTree objects that files became
//! quarantine/        rejected downloads, size-limited
//! tmp/               files on their way; leftovers of killed runs are removed when old
//! runs/, lock        who is at work with the store
//! ```
//!
//! Every file is written to `tmp/` and renamed when complete. But for heads nothing is synced: all else can be made
//! again, and all of it is checked when it is used, so what a power loss tore is found then and made
//! anew. Outputs, which cannot be made again by whoever has them, are synced. Several processes may
//! use one store at once: files are immutable and named by what is in them, so whoever comes second
//! replaces equal bytes with equal bytes.
//!
//! *Damage.* Whoever reads a content or blob hashes it again; trees, records and frames carry or are
//! their own sums. What is damaged is removed where it is found, made anew as what was never there,
//! and told ([`Store::mishaps`]). [`Store::check`] looks at everything at once.
//!
//! *Use.* A file's modification time is when it was last used; [`Store::gc`] removes what was not
//! used for long, and never what a process uses that is at work ([`Store::begin`]).

mod apart;
mod blobs;
mod check;
mod dirs;
mod frames;
mod gc;
mod heads;
mod intake;
mod objects;
mod products;
mod runs;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use treelay_layers::Tree;
use treelay_recipes::Digest;

pub use check::{CheckReport, Problem};
pub use gc::{GcReport, Limits, Tally};
pub use heads::HeadKept;
pub use intake::{Intake, Room};
pub use objects::StoreSink;
pub use products::{LayerBlob, ObjectIndex};

/// A store directory.
pub struct Store {
    root: PathBuf,
    run: Option<runs::Run>,
    mishaps: Mutex<Vec<String>>,
    lender: Option<apart::Lender>,
}

/// Why the store could not be used.
#[derive(Debug, thiserror::Error)]
#[error("opening the store {}", root.display())]
pub struct StoreFailure {
    root: PathBuf,
    #[source]
    source: io::Error,
}

/// What the directory says it is, so that nothing else is ever mistaken for a store.
const MARK: &str = "treelay store 1\n";
/// Where it says so.
const MARK_FILE: &str = "treelay-store";
/// Temporary files older than this belong to no running build.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Opens the store at `root`, making it where nothing is.
    ///
    /// # Errors
    /// [`StoreFailure`] where it cannot be made, or something else is there.
    pub fn open(root: &Path) -> Result<Self, StoreFailure> {
        let (root, mishaps) = (root.to_owned(), Mutex::default());
        let store = Self { root, run: None, mishaps, lender: None };
        let opened = store.is_marked().and_then(|marked| {
            if !marked {
                store.start()?;
            }
            fs::create_dir_all(store.root.join("tmp"))
        });
        match opened {
            Ok(()) => Ok(store),
            Err(source) => Err(StoreFailure { root: store.root, source }),
        }
    }

    /// Whether the directory says that it is a store.
    fn is_marked(&self) -> io::Result<bool> {
        match fs::read_to_string(self.root.join(MARK_FILE)) {
            Ok(text) if text == MARK => Ok(true),
            Ok(text) => Err(io::Error::other(format!("it is of another kind: {:?}", text.trim()))),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Ok(false),
                io::ErrorKind::NotADirectory => Err(io::Error::other("it is not a directory")),
                _ => Err(error),
            },
        }
    }

    /// Makes a store where nothing is.
    fn start(&self) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        let mut entries = fs::read_dir(&self.root)?;
        // A second process may be making it at the same moment: its `tmp` is no stranger, and all
        // else comes after the mark.
        if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "tmp")) {
            if self.is_marked()? {
                return Ok(());
            }
            return Err(io::Error::other("the directory is neither empty nor a store"));
        }
        fs::create_dir_all(self.root.join("tmp"))?;
        self.write_new(&self.root.join(MARK_FILE), MARK.as_bytes())
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes temporary files that no running build can own any more, as seen at `now`.
    pub fn sweep(&self, now: SystemTime) {
        let Ok(entries) = fs::read_dir(self.root.join("tmp")) else { return };
        for entry in entries.flatten() {
            let old = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > ABANDONED));
            if old {
                // Another process may have removed it; nothing depends on it.
                let path = entry.path();
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
        }
    }

    /// Keeps a tree; its digest.
    ///
    /// # Errors
    /// Whatever kept it from being written.
    pub fn put_tree(&self, tree: &Tree) -> io::Result<Digest> {
        let digest = tree.digest();
        let path = self.path("trees", &digest);
        if !self.mark(&path) {
            let mut file = self.temporary()?;
            tree.text_in_parts(|part| file.write_all(part.as_bytes()))?;
            persist(file.into_temp_path(), &path)?;
        }
        Ok(digest)
    }

    /// The tree with this digest, if it is there and whole.
    pub fn tree(&self, digest: &Digest) -> Option<Tree> {
        let path = self.path("trees", digest);
        if !self.mark(&path) {
            return None;
        }
        let text = fs::read(&path).ok()?;
        if Digest::of(&text) != *digest {
            self.damaged(&path);
            return None;
        }
        Tree::from_text(std::str::from_utf8(&text).ok()?).ok()
    }

    /// Whether the tree is there, without reading it.
    pub fn has_tree(&self, digest: &Digest) -> bool {
        self.mark(&self.path("trees", digest))
    }

    /// Where the cache of stat results of that name is, or will be.
    pub fn stats(&self, name: &str) -> PathBuf {
        let path = self.root.join("stats").join(name);
        self.mark(&path);
        path
    }

    /// What was found damaged since this was last asked; it is removed already.
    pub fn mishaps(&self) -> Vec<String> {
        std::mem::take(&mut self.mishaps.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes a file that is damaged. It is made anew as if it had never been there.
    fn damaged(&self, path: &Path) {
        // Another process may have done it.
        let _ = fs::remove_file(path);
        let shown = path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
        self.mishaps.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
    }

    /// `room/ab/cdef…`
    fn path(&self, room: &str, digest: &Digest) -> PathBuf {
        place(&self.root, room, digest)
    }

    /// A temporary file that disappears unless it is persisted.
    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix("t").tempfile_in(self.root.join("tmp"))
    }

    /// Writes a whole small file.
    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.temporary()?;
        file.write_all(bytes)?;
        persist(file.into_temp_path(), path)
    }
}

fn place(root: &Path, room: &str, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    root.join(room).join(&hex[..2]).join(&hex[2..])
}

/// The digest that a file is named by.
fn hex_of(path: &Path) -> Option<Digest> {
    let start = path.parent()?.file_name()?.to_str()?;
    let rest = path.file_stem()?.to_str()?;
    Digest::from_hex(&format!("{start}{rest}")).ok()
}

/// Renames a complete temporary file to where it belongs.
fn persist(file: tempfile::TempPath, path: &Path) -> io::Result<()> {
    file.persist(path).or_else(|failed| match failed.error.kind() {
        io::ErrorKind::NotFound => {
            // The first object of its folder.
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            failed.path.persist(path).map_err(|failed| failed.error)
        }
        _ => Err(failed.error),
    })
}

#[cfg(test)]
mod tests;
