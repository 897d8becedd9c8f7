//! Base commits: the OSTree tree that the layers of a recipe lie on.

use treelay_recipes::lock::LockedTree;
use treelay_recipes::recipe::OstreeBase;
use treelay_recipes::{Arch, Digest};

use super::super::{ExecError, Workshop};
use crate::ostree_repo::{OstreeError, Repository};
use crate::plan::PlannedTree;

/// Why there is no base commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitBaseError {
    /// The repository, or the commit in it.
    #[error(transparent)]
    Ostree(#[from] OstreeError),
    /// It is the commit of another arch.
    #[error("{from} is for {found}, not for {arch}")]
    OtherArch {
        /// What the recipe says.
        from: String,
        /// The arch.
        arch: Arch,
        /// What its metadata say.
        found: String,
    },
    /// It was made for another ref.
    #[error("{from}: commit {commit} was not made for that ref, but for {bound}")]
    OtherRef {
        /// What the recipe says.
        from: String,
        /// The commit.
        commit: String,
        /// The refs it is bound to.
        bound: String,
    },
}

impl Workshop<'_> {
    /// Finds out what the base commit of an arch is.
    pub(in crate::exec) fn lock_tree(
        &self,
        base: &OstreeBase,
        arch: Arch,
    ) -> Result<LockedTree, ExecError> {
        let from = base.describe(arch);
        let repository = self.tree_repository(base)?;
        let commit = match (pinned(base, arch), &base.refname) {
            (Some(commit), _) => commit,
            (None, Some(refname)) => repository.resolve(refname).map_err(CommitBaseError::from)?,
            // A recipe that was parsed has one of them.
            (None, None) => return Err(ExecError::Damaged { what: from }),
        };
        let opened = repository.base(&commit).map_err(CommitBaseError::from)?;
        let facts = opened.facts();
        if let Some(found) = facts.arch.as_ref().filter(|found| *found != arch.uname()) {
            let found = found.clone();
            return Err(CommitBaseError::OtherArch { from, arch, found }.into());
        }
        if let Some(refname) = &base.refname
            && !facts.bound_to.is_empty()
            && !facts.bound_to.contains(&refname.value)
        {
            let (commit, bound) = (commit.hex(), facts.bound_to.join(", "));
            return Err(CommitBaseError::OtherRef { from, commit, bound }.into());
        }
        Ok(LockedTree { arch, from, commit, released: facts.time })
    }

    /// The repository that holds a base commit.
    ///
    /// # Errors
    /// [`CommitBaseError`].
    pub fn base_repository(&self, tree: &PlannedTree) -> Result<Repository, ExecError> {
        self.tree_repository(&tree.place)
    }

    fn tree_repository(&self, base: &OstreeBase) -> Result<Repository, ExecError> {
        let repo = base.repo.as_ref().map(|repo| repo.value.as_str()).unwrap_or_default();
        Ok(Repository::open(&self.folder.join(repo)).map_err(CommitBaseError::from)?)
    }
}

/// The commit that the recipe itself names.
fn pinned(base: &OstreeBase, arch: Arch) -> Option<Digest> {
    Digest::from_hex(base.commit.as_ref()?.get(&arch)?).ok()
}
