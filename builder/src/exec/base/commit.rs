//! Base commits: the OSTree tree that the layers of a recipe lie on.

use treelay_recipes::lock::LockedTree;
use treelay_recipes::recipe::OstreeBase;
use treelay_recipes::{Arch, Digest};

use super::super::{ExecError, Workshop};
use super::image::image_of;
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
    /// A remote's commit that is not to be trusted.
    #[error("{from} is refused:\n{}", indented(.reasons))]
    Refused {
        /// What the recipe says.
        from: String,
        /// Why.
        reasons: Vec<String>,
    },
    /// A remote went back in time.
    #[error(
        "{from} is commit {commit} now, which is older than {locked}, which is locked; if that is meant, name it in `commit`"
    )]
    Older {
        /// What the recipe says.
        from: String,
        /// What it is.
        commit: String,
        /// What it was.
        locked: String,
    },
    /// An image's root becomes another commit than when it was locked.
    #[error(
        "{from} becomes commit {found}, and {locked} is locked; another version of treelay locked it: run `treelay lock --update`"
    )]
    OtherCommit {
        /// What the recipe says.
        from: String,
        /// What it becomes.
        found: String,
        /// What is locked.
        locked: String,
    },
    /// A key cannot be read.
    #[error("reading the key {name}")]
    Key {
        /// The file, or the key.
        name: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
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

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

impl Workshop<'_> {
    /// Finds out what the base commit of an arch is. `keep` is what the lock said before, unless it is
    /// to be found anew; `old` is what it said in any case.
    pub(in crate::exec) async fn lock_tree(
        &self,
        base: &OstreeBase,
        arch: Arch,
        keep: Option<&LockedTree>,
        old: Option<&LockedTree>,
    ) -> Result<LockedTree, ExecError> {
        match (&base.remote, &base.image, keep) {
            (Some(_), _, Some(keep)) => Ok(keep.clone()),
            (Some(remote), _, None) => self.lock_remote(base, remote, arch, old).await,
            (None, Some(image), keep) => self.lock_image_tree(base, image, arch, keep).await,
            // What is local costs nothing to ask.
            (None, None, _) => self.lock_local(base, arch),
        }
    }

    fn lock_local(&self, base: &OstreeBase, arch: Arch) -> Result<LockedTree, ExecError> {
        let repository = self.local_repository(base)?;
        let commit = match (pinned(base, arch), &base.refname) {
            (Some(commit), _) => commit,
            (None, Some(refname)) => repository.resolve(refname).map_err(CommitBaseError::from)?,
            // A recipe that was parsed has one of them.
            (None, None) => return Err(ExecError::Damaged { what: base.describe(arch) }),
        };
        repository.base(&commit).map_err(CommitBaseError::from)?;
        Ok(checked(&repository, base, commit, arch)?)
    }

    /// The repository that holds a base commit, which is fetched where it is not at hand.
    ///
    /// # Errors
    /// [`CommitBaseError`].
    pub async fn base_repository(&self, tree: &PlannedTree) -> Result<Repository, ExecError> {
        let PlannedTree { place, commit, locked, from } = tree;
        if let Some(remote) = &place.remote {
            return self.whole_commit(place, remote, commit, from);
        }
        let Some(text) = &place.image else { return self.local_repository(place) };
        let Some(image) = image_of(locked, text) else {
            return Err(ExecError::Damaged { what: from.clone() });
        };
        let path = self.image_repository(&image.manifest)?;
        let opened = Repository::open_or_create(&path).map_err(CommitBaseError::from)?;
        if opened.has_whole(commit) {
            return Ok(opened);
        }
        let (repository, found) = self.image_commit(&image).await?;
        if found != *commit {
            let (from, found, locked) = (from.clone(), found.hex(), commit.hex());
            return Err(CommitBaseError::OtherCommit { from, found, locked }.into());
        }
        Ok(repository)
    }

    fn local_repository(&self, base: &OstreeBase) -> Result<Repository, ExecError> {
        let repo = base.repo.as_ref().map(|repo| repo.value.as_str()).unwrap_or_default();
        Ok(Repository::open(&self.folder.join(repo)).map_err(CommitBaseError::from)?)
    }
}

/// The commit that the recipe itself names.
pub(super) fn pinned(base: &OstreeBase, arch: Arch) -> Option<Digest> {
    Digest::from_hex(base.commit.as_ref()?.get(&arch)?).ok()
}

/// A commit that is for that arch and ref, as far as it says.
pub(super) fn checked(
    repository: &Repository,
    base: &OstreeBase,
    commit: Digest,
    arch: Arch,
) -> Result<LockedTree, CommitBaseError> {
    let from = base.describe(arch);
    let facts = repository.facts(&commit)?;
    if let Some(found) = facts.arch.filter(|found| found != arch.uname()) {
        return Err(CommitBaseError::OtherArch { from, arch, found });
    }
    if let Some(refname) = &base.refname
        && !facts.bound_to.is_empty()
        && !facts.bound_to.contains(&refname.value)
    {
        let (commit, bound) = (commit.hex(), facts.bound_to.join(", "));
        return Err(CommitBaseError::OtherRef { from, commit, bound });
    }
    Ok(LockedTree { arch, from, commit, image: None, released: facts.time })
}
