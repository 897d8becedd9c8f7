//! Reading all that a repository has.

use ostree::RepoCommitState;
use treelay_recipes::Digest;

use super::error::{Doing, Result};
use super::verify::{CommitReport, Damage, damage};
use super::{NONE, Repository, integrity, objects};

/// What there is in a repository.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many objects were computed again.
    pub objects: u64,
    /// Those that are not what they are called, and those that are missing.
    pub damage: Vec<Damage>,
}

impl Repository {
    /// Reads every commit that is there with all it reaches, on `threads` threads. With `remove`, what
    /// is wrong is removed, and its commit counts as partial then: who needs it pulls the rest again.
    ///
    /// # Errors
    /// What kept it from looking or removing.
    pub fn check_all(&self, threads: usize, remove: bool) -> Result<Checked> {
        let mut checked = Checked::default();
        for commit in self.commits()? {
            let mut report = CommitReport::of(commit, None);
            let loaded = self.repo.load_commit(&commit.hex());
            let whole = match &loaded {
                Ok((variant, _)) if objects::checksum(variant) != commit => {
                    Err(format!("its bytes have the checksum {}", objects::checksum(variant).hex()))
                }
                Ok((variant, state)) => ostree::validate_structureof_commit(variant)
                    .map(|()| !state.contains(RepoCommitState::PARTIAL))
                    .map_err(|error| error.message().to_owned()),
                Err(error) => Err(error.message().to_owned()),
            };
            match (whole, loaded) {
                (Ok(true), Ok((variant, _))) => {
                    integrity::check(self, &variant, threads, &mut report)?;
                    if remove && !report.damage.is_empty() {
                        self.forget(&commit, &report.damage)?;
                    }
                }
                (Err(reason), _) => {
                    report.damage.push(damage(&commit, "commit", "", &reason));
                    if remove {
                        self.remove_commit(&commit)?;
                    }
                }
                // What is missing of it is known to be.
                _ => {}
            }
            checked.objects += report.objects + 1;
            checked.damage.append(&mut report.damage);
        }
        // Commits may have an object in common.
        checked.damage.sort_by(|a, b| a.object.cmp(&b.object));
        checked.damage.dedup_by(|a, b| a.object == b.object);
        Ok(checked)
    }

    fn commits(&self) -> Result<Vec<Digest>> {
        let listing = || format!("listing the commits of {}", self.path.display());
        let names = self.repo.list_commit_objects_starting_with(None, NONE).doing(listing)?;
        let commits = names.iter().filter_map(|name| Digest::from_hex(name).ok());
        let mut commits: Vec<Digest> = commits.collect();
        commits.sort();
        Ok(commits)
    }
}
