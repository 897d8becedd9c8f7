//! Inputs of the kind `git`: from a commit to a tree in the store.
//!
//! What a commit's files are is remembered by the commit's id, whichever repository gave it: the
//! same id is the same files. So where the commit is known nothing is started.

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use treelay_layers::Tree;
use treelay_recipes::lock::{InputKind, LockedInput};
use treelay_recipes::recipe::{GitInput, Source};
use treelay_recipes::{Arch, Commit, Digest};

use super::inputs::describe;
use super::{ExecError, Workshop};
use crate::fetch::git::GitError;
use crate::store::StoreSink;

/// What a commit turned out to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    tree: Digest,
    time: u64,
}

/// The kind of product that remembers it, by commit and folder.
const KEPT: &str = "git-commit";

/// Commits that were looked for in this run: every arch asks for the same.
pub(super) type Looked = Mutex<Vec<(GitInput, LockedInput)>>;

impl Workshop<'_> {
    /// Finds out which commit an input is, and gets its files; once for all arches.
    pub(super) async fn lock_git(
        &self,
        input: &GitInput,
        name: &str,
        arch: Arch,
        looked: &Looked,
    ) -> Result<LockedInput, ExecError> {
        let mut looked = looked.lock().await;
        if let Some((_, locked)) =
            looked.iter().find(|(other, locked)| other == input && locked.name == name)
        {
            return Ok(LockedInput { arch, ..locked.clone() });
        }
        let what = describe(name, arch);
        let failed = |source| git_error(name, source);
        let (mut id, mut tag) = (input.commit.as_ref().map(|commit| commit.value.clone()), None);
        if let Some(refname) = &input.refname {
            let task = format!("looking for {refname} of {name}");
            self.observer.begin(&task);
            let repository = self.fetcher.repository(&what, &input.url, self.folder);
            let room =
                self.store.temporary_dir().map_err(ExecError::store("making a directory"))?;
            let found = match repository {
                Ok(repository) => repository.resolve(refname, room.path()).await,
                Err(error) => Err(error),
            };
            self.observer.end(&task);
            let found = found.map_err(failed)?;
            if let Some(expected) = id.filter(|id| *id != found.commit) {
                let (url, name) = (input.url.value.clone(), refname.value.clone());
                return Err(failed(GitError::Moved { url, name, expected, found: found.commit }));
            }
            (id, tag) = (Some(found.commit), found.tag);
        }
        // The recipe's check says so first.
        let none = || ExecError::NoSource { what: what.clone(), tried: Vec::new() };
        let id = id.ok_or_else(none)?;
        let kept = match self.kept(&id, input) {
            Some(kept) => kept,
            None => self.fetch_commit(input, &id, name, &what).await?,
        };
        let commit = Commit { id, time: kept.time, tag };
        let locked = LockedInput {
            name: name.to_owned(),
            arch,
            kind: InputKind::Git,
            version: Some(commit.version()),
            source: Source::Git,
            from: input.url.value.clone(),
            file: None,
            identity: kept.tree,
            released: Some(kept.time),
            sums: None,
            commit: Some(commit.id),
            evidence: vec![],
        };
        looked.push((input.clone(), locked.clone()));
        Ok(locked)
    }

    /// The files of a locked commit, fetched anew.
    pub(super) async fn git_from(
        &self,
        input: &GitInput,
        locked: &LockedInput,
        what: &str,
    ) -> Result<Tree, ExecError> {
        let none = || ExecError::NoSource { what: what.to_owned(), tried: Vec::new() };
        let id = locked.commit.as_ref().ok_or_else(none)?;
        let kept = self.fetch_commit(input, id, &locked.name, what).await?;
        if locked.released != Some(kept.time) {
            let (commit, found) = (id.clone(), kept.time);
            return Err(ExecError::OtherTime { what: what.to_owned(), commit, found });
        }
        let gone = || ExecError::Damaged { what: format!("tree {}", kept.tree) };
        self.store.tree(&kept.tree).ok_or_else(gone)
    }

    /// What the store knows of a commit, if it has all of it.
    fn kept(&self, id: &str, input: &GitInput) -> Option<Kept> {
        let kept: Kept = self.store.product(KEPT, &key(id, input))?;
        let tree = self.store.tree(&kept.tree)?;
        self.has_contents(&tree).then_some(kept)
    }

    async fn fetch_commit(
        &self,
        input: &GitInput,
        id: &str,
        name: &str,
        what: &str,
    ) -> Result<Kept, ExecError> {
        let failed = |source| git_error(name, source);
        let room = self.store.temporary_dir().map_err(ExecError::store("making a directory"))?;
        let repository = self.fetcher.repository(what, &input.url, self.folder).map_err(failed)?;
        let task = format!("fetching {name}");
        self.observer.begin(&task);
        let refname = input.refname.as_ref().map(|name| name.value.as_str());
        let objects = repository.fetch(id, refname, room).await;
        let read = objects.and_then(|mut objects| {
            let commit = objects.commit()?;
            let dir = input.dir.as_ref().map(|dir| dir.value.as_str());
            let tree = objects.tree(&commit, dir, &mut StoreSink::new(self.store))?;
            Ok((commit.time, tree))
        });
        self.observer.end(&task);
        let (time, tree) = read.map_err(failed)?;
        let kept = Kept { tree: self.keep_tree(&tree)?, time };
        self.store
            .put_product(KEPT, &key(id, input), &kept)
            .map_err(ExecError::store("remembering a commit"))?;
        Ok(kept)
    }
}

fn key(id: &str, input: &GitInput) -> Digest {
    let dir = input.dir.as_ref().map_or(".", |dir| &**dir);
    Digest::of(format!("git-commit-1 {id} {dir}"))
}

fn git_error(name: &str, source: GitError) -> ExecError {
    ExecError::Git { name: name.to_owned(), source: Box::new(source) }
}
