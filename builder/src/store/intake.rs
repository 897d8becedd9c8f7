//! Taking in many files at once: all of them, or none.
//!
//! They wait in a folder of their own in `tmp/` until whoever brings them has seen the last one and
//! says that all are right; then each is renamed to where it belongs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use treelay_recipes::Digest;

use super::Store;

/// Where in the store a file belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Contents and fetched files.
    Objects,
    /// Texts of trees.
    Trees,
}

impl Room {
    fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Trees => "trees",
        }
    }
}

/// Files that wait. Dropped, they are gone.
pub struct Intake<'s> {
    store: &'s Store,
    place: TempDir,
    waiting: Vec<(Room, Digest)>,
}

impl Store {
    /// Begins to take files in.
    ///
    /// # Errors
    /// What kept the folder from being made.
    pub fn intake(&self) -> io::Result<Intake<'_>> {
        let place = self.temporary_dir()?;
        Ok(Intake { store: self, place, waiting: Vec::new() })
    }
}

impl Intake<'_> {
    /// Takes a file in. The caller verifies that `content` is what `digest` says, before
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// What reading or writing it met.
    pub fn put(&mut self, room: Room, digest: &Digest, content: &mut dyn Read) -> io::Result<()> {
        let mut file = File::create_new(self.path(room, digest))?;
        io::copy(content, &mut file)?;
        self.waiting.push((room, *digest));
        Ok(())
    }

    /// Reads a file that waits.
    ///
    /// # Errors
    /// What reading it met; [`io::ErrorKind::NotFound`] where it was not taken in.
    pub fn read(&self, room: Room, digest: &Digest) -> io::Result<Vec<u8>> {
        fs::read(self.path(room, digest))
    }

    /// A folder for what else is made meanwhile; it goes with the intake.
    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    fn path(&self, room: Room, digest: &Digest) -> PathBuf {
        self.place.path().join(format!("{}-{}", room.name(), digest.hex()))
    }

    /// Puts everything where it belongs: contents before the trees that name them. What is there
    /// already is replaced, which mends it where it is damaged.
    ///
    /// # Errors
    /// What kept a file from being renamed. Those that were renamed before are right, and stay.
    pub fn finish(mut self) -> io::Result<TempDir> {
        self.waiting.sort();
        for (room, digest) in &self.waiting {
            let to = self.store.path(room.name(), digest);
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            fs::rename(self.path(*room, digest), to)?;
        }
        Ok(self.place)
    }
}
