//! Why a bundle is not written or not taken in.

use std::io;

use treelay_recipes::Digest;

use crate::ostree_repo::OstreeError;

/// Why a bundle is not written or not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file could not be read.
    #[error("reading the bundle")]
    Reading(#[source] io::Error),
    /// It is something else.
    #[error("it is no bundle of inputs: {0}; `treelay bundle export` makes one")]
    NotABundle(String),
    /// It is of another version of the format.
    #[error("the bundle is of version {found} of the format, and this treelay reads version 1")]
    Version {
        /// What it says.
        found: u64,
    },
    /// Its manifest makes no sense.
    #[error("the bundle's manifest is refused: {0}")]
    Manifest(String),
    /// Something is not as the manifest has it.
    #[error("the bundle is damaged at {member}: {reason}; nothing of it is used")]
    Damaged {
        /// The member that should be there.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// Something is behind its end.
    #[error("the bundle is followed by what its manifest does not list; nothing of it is used")]
    Trailing,
    /// A base commit in it is not whole or not what it is called.
    #[error("base commit {commit} in the bundle is refused, and nothing of the bundle is used:\n  {}", .reasons.join("\n  "))]
    Commit {
        /// Its checksum.
        commit: String,
        /// What is wrong.
        reasons: Vec<String>,
    },
    /// The store lost something between being asked for it and being read.
    #[error("{what} is missing or damaged in the store; do the same again to have it fetched anew")]
    Lost {
        /// What.
        what: String,
    },
    /// Two recipes whose files have one name.
    #[error("two of the recipes are called {0}: a bundle keeps their files by name")]
    SameName(String),
    /// A repository.
    #[error(transparent)]
    Ostree(#[from] OstreeError),
    /// A place that is written to.
    #[error("{doing}")]
    Writing {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl BundleError {
    pub(super) fn writing(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Writing { doing, source }
    }

    pub(super) fn damaged(member: &str, reason: impl Into<String>) -> Self {
        Self::Damaged { member: member.to_owned(), reason: reason.into() }
    }

    pub(super) fn lost(what: &str, digest: &Digest) -> Self {
        Self::Lost { what: format!("{what} {digest}") }
    }
}
