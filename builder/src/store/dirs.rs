//! Directories: trees as files, for processes to read, and what tools keep between runs.
//!
//! `checkouts/ab/cdef…` is the tree of that digest, `caches/ab/cdef…` what a tool keeps under that
//! key, `bases/ab/cdef…` the OSTree repository of what was pulled from an address or taken out of an
//! image. Each is used and removed as a whole; its own modification time is when it was last used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tempfile::TempDir;
use treelay_recipes::Digest;

use super::Store;

/// Rooms of directories `ab/cdef…`.
pub(super) const DIR_ROOMS: [&str; 3] = ["checkouts", "caches", "bases"];

impl Store {
    /// A directory that disappears unless it is kept.
    ///
    /// # Errors
    /// What kept it from being made.
    pub fn temporary_dir(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("d").tempdir_in(self.root.join("tmp"))
    }

    /// Where the tree of that digest is checked out, if it is.
    pub fn checkout(&self, tree: &Digest) -> Option<PathBuf> {
        Some(self.path("checkouts", tree)).filter(|path| self.mark(path))
    }

    /// Keeps a directory that holds the tree of that digest; where it is now.
    ///
    /// # Errors
    /// What kept it from being renamed.
    pub fn keep_checkout(&self, made: TempDir, tree: &Digest) -> io::Result<PathBuf> {
        let path = self.path("checkouts", tree);
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        // The same run would not mark it, nor need to: its time is of now.
        match fs::rename(made.path(), &path) {
            Ok(()) => {
                let _ = made.keep();
            }
            // Another process was first, and has the same.
            Err(error) if is_there(&error) => {
                self.mark(&path);
            }
            Err(error) => return Err(error),
        }
        Ok(path)
    }

    /// Removes a checkout that is not what it should be, and says so.
    pub fn forget_checkout(&self, tree: &Digest) {
        let path = self.path("checkouts", tree);
        // What cannot be removed is met again when it is made anew, and told then.
        let _ = fs::remove_dir_all(&path);
        self.damaged(&path);
    }

    /// The directory that a tool keeps under that key; made where it is not there.
    ///
    /// # Errors
    /// What kept it from being made.
    pub fn cache(&self, key: &Digest) -> io::Result<PathBuf> {
        let path = self.path("caches", key);
        if !self.mark(&path) {
            fs::create_dir_all(&path)?;
        }
        Ok(path)
    }

    /// Where the OSTree repository is, or will be, that holds what was pulled from an address.
    ///
    /// # Errors
    /// What kept the directory above it from being made.
    pub fn base_repository(&self, url: &str) -> io::Result<PathBuf> {
        let path = self.path("bases", &Digest::of(url));
        if !self.mark(&path) {
            fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        }
        Ok(path)
    }

    /// Every one that there is, relative to the store's root.
    ///
    /// # Errors
    /// What kept it from looking.
    pub fn base_repositories(&self) -> io::Result<Vec<PathBuf>> {
        let relative = |path: PathBuf| path.strip_prefix(&self.root).map(Path::to_owned).ok();
        Ok(self.dirs("bases")?.into_iter().filter_map(relative).collect())
    }

    /// The directories of a room of directories.
    pub(super) fn dirs(&self, room: &str) -> io::Result<Vec<PathBuf>> {
        let mut dirs = Vec::new();
        for folder in self.folders(room)? {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    dirs.push(entry.path());
                }
            }
        }
        dirs.sort();
        Ok(dirs)
    }
}

fn is_there(error: &io::Error) -> bool {
    [Errno::EXIST, Errno::NOTEMPTY]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// What a directory and all in it take on disk, in blocks of 4 KiB.
pub(super) fn size(dir: &Path) -> io::Result<u64> {
    let mut size = 4096;
    // Who uses a cache may remove what is in it meanwhile.
    for entry in super::gc::some(fs::read_dir(dir))?.into_iter().flatten() {
        let entry = entry?;
        let Some(metadata) = super::gc::some(entry.metadata())? else { continue };
        size += match metadata.is_dir() {
            true => self::size(&entry.path())?,
            false => super::gc::blocks(&metadata),
        };
    }
    Ok(size)
}
