//! What can go wrong with a repository.

use std::io;

use treelay_layers::tree::{NotATreePath, TreeError};

use crate::fetch::FetchError;

/// Why the files of a commit could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// git is missing.
    #[error("starting git, which fetches from repositories: install the package git")]
    NoGit(#[source] io::Error),
    /// It may not be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What git said.
    #[error("asking the repository {url}:\n{said}")]
    Failed {
        /// The repository, as the recipe has it.
        url: String,
        /// git's own words.
        said: String,
    },
    /// No branch or tag has this name.
    #[error("the repository {url} has no branch or tag {name:?}")]
    NoRef {
        /// The repository.
        url: String,
        /// The name.
        name: String,
    },
    /// A branch and a tag have this name.
    #[error(
        "the repository {url} has a branch and a tag {name:?}: write refs/heads/{name} or refs/tags/{name}"
    )]
    TwoRefs {
        /// The repository.
        url: String,
        /// The name.
        name: String,
    },
    /// A branch or tag is not where the recipe says.
    #[error(
        "the repository {url} has {name:?} at {found}, and the recipe says the commit {expected}"
    )]
    Moved {
        /// The repository.
        url: String,
        /// The branch or tag.
        name: String,
        /// The commit in the recipe.
        expected: String,
        /// Where it is.
        found: String,
    },
    /// The repository does not have the commit.
    #[error("the repository {url} has no commit {commit}")]
    NoCommit {
        /// The repository.
        url: String,
        /// The commit.
        commit: String,
    },
    /// The id is one of something else.
    #[error(
        "{id} is a {kind}, not a commit{}",
        .commit.as_ref().map(|commit| format!(": its commit is {commit}")).unwrap_or_default()
    )]
    NotACommit {
        /// The id.
        id: String,
        /// What it is: `tag`, `tree` or `blob`.
        kind: String,
        /// What a tag points at.
        commit: Option<String>,
    },
    /// The commit has no such folder.
    #[error("the commit {commit} has no folder {dir:?}")]
    NoDir {
        /// The commit.
        commit: String,
        /// The folder.
        dir: String,
    },
    /// Part of the files is in another repository.
    #[error(
        "{path} is a submodule, whose files are in another repository; submodules are not fetched: take a `dir` without them"
    )]
    Submodule {
        /// Its path.
        path: String,
    },
    /// An object is something else than its id says, or was made to collide with another.
    #[error("WRONG CONTENT: the {kind} {id} is not what its id says; nothing of it is used")]
    WrongObject {
        /// The id.
        id: String,
        /// What it should be.
        kind: &'static str,
    },
    /// An object makes no sense.
    #[error("the {kind} {id} {reason}")]
    Object {
        /// The id.
        id: String,
        /// What it is.
        kind: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        reason: String,
    },
    /// A name that no file may have.
    #[error(transparent)]
    Path(#[from] NotATreePath),
    /// The files make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file could not be kept.
    #[error("keeping {path}")]
    Keeping {
        /// Its path.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Something of this machine failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl GitError {
    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// Of starting git.
    pub(super) fn start(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoGit(error),
            _ => Self::Io { doing: "starting git", source: error },
        }
    }
}
