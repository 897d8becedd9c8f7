//! A store apart: empty but for what was fetched, to make everything else again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Store, StoreFailure};

/// What may be taken from another store: what is named by what is in it, and records of what was
/// fetched. Nothing of them says what became of anything.
const LENT: [&str; 2] = ["objects", "trees"];
const LENT_RECORDS: [&str; 3] = ["base-image", "git-commit", "go-module"];

/// Where a store takes what it has not.
pub(super) struct Lender {
    root: PathBuf,
    /// Goes when the store does.
    _place: TempDir,
}

impl Store {
    /// A store that has what this one fetched and nothing that was made; it is gone when it is
    /// dropped.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub fn apart(&self) -> Result<Self, StoreFailure> {
        let failed = |source| StoreFailure { root: self.root.join("tmp"), source };
        let place = self.temporary_dir().map_err(failed)?;
        let mut store = Self::open(&place.path().join("store"))?;
        store.lender = Some(Lender { root: self.root.clone(), _place: place });
        Ok(store)
    }

    /// Whether a file that is not here could be had from the lender, and now is here.
    pub(super) fn borrow(&self, path: &Path) -> bool {
        let Some(lender) = &self.lender else { return false };
        let Ok(place) = path.strip_prefix(&self.root) else { return false };
        let lent = LENT.iter().any(|room| place.starts_with(room))
            || (place.starts_with("products")
                && place.extension().is_some_and(|kind| LENT_RECORDS.iter().any(|it| kind == *it)));
        lent && self.link(&lender.root.join(place), path).is_ok()
    }

    /// A file is in both stores from then on; neither ever changes it.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        match fs::hard_link(from, to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }
}
