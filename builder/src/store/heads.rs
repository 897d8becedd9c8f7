//! Tree heads of logs, as they were last seen: `heads/NAME`, the signed note.
//!
//! Unlike all else in the store, a head cannot be made again: it is what proves that a log has
//! changed what it said before. So it is synced before it takes the old one's place, `gc` leaves it
//! alone, and it is replaced only by whoever has seen the one that is there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use rustix::fs::FlockOperation;

use super::{Store, persist};

/// What became of a head that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadKept {
    /// It is kept.
    Yes,
    /// Another one is there than was thought: this note.
    Other(Option<String>),
}

impl Store {
    /// Where the head of a log is kept, by the name and hash of the log's key.
    pub fn head_file(&self, log: &str) -> PathBuf {
        // Names are hosts and paths.
        self.root.join("heads").join(log.replace('/', "!"))
    }

    /// The note with the head that was last seen.
    ///
    /// # Errors
    /// What kept it from being read.
    pub fn head(&self, log: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.head_file(log)) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a head in the place of `old`, if that is the one that is there.
    ///
    /// # Errors
    /// What kept it from being written.
    pub fn keep_head(&self, log: &str, old: Option<&str>, new: &str) -> io::Result<HeadKept> {
        let path = self.head_file(log);
        let folder = self.root.join("heads");
        fs::create_dir_all(&folder)?;
        let turn = File::options().read(true).open(&folder)?;
        while let Err(error) = rustix::fs::flock(&turn, FlockOperation::LockExclusive) {
            if error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
        }
        let there = self.head(log)?;
        if there.as_deref() != old {
            return Ok(HeadKept::Other(there));
        }
        let mut file = self.temporary()?;
        file.write_all(new.as_bytes())?;
        file.as_file().sync_all()?;
        persist(file.into_temp_path(), &path)?;
        turn.sync_all()?;
        Ok(HeadKept::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_replaced_by_who_has_seen_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let log = "sum.example/a+00000001";
        assert_eq!(store.head(log).unwrap(), None);
        assert_eq!(store.keep_head(log, None, "one").unwrap(), HeadKept::Yes);
        let other = HeadKept::Other(Some("one".to_owned()));
        assert_eq!(store.keep_head(log, None, "two").unwrap(), other);
        assert_eq!(store.keep_head(log, Some("none"), "two").unwrap(), other);
        assert_eq!(store.keep_head(log, Some("one"), "two").unwrap(), HeadKept::Yes);
        assert_eq!(store.head(log).unwrap().as_deref(), Some("two"));
        assert_eq!(store.head("sum.example/b+00000001").unwrap(), None);
        let limits = crate::store::Limits { since: std::time::SystemTime::now(), size: Some(0) };
        store.gc(&limits, false).unwrap();
        assert_eq!(store.head(log).unwrap().as_deref(), Some("two"));
    }
}
