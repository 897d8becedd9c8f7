//! What a commit is to say, and what came of it.

use std::collections::BTreeMap;

use ostree::glib::Variant;
use ostree::prelude::ToVariant;
use treelay_recipes::{Arch, Digest};

use super::error::{OstreeError, Result};
use super::objects;

/// What a commit says besides its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSpec {
    /// The local ref that will name it.
    pub refname: String,
    /// For `ostree.architecture`.
    pub arch: Arch,
    /// What `ostree admin status` and `rpm-ostree status` show as its version.
    pub version: Option<String>,
    /// One line for `ostree log`.
    pub subject: String,
    /// More lines; may be empty.
    pub body: String,
    /// Seconds since 1970. The commit's time is this, or one more than its parent's if that is
    /// later: hosts refuse to go back.
    pub epoch: u64,
    /// The recipe's own strings.
    pub metadata: BTreeMap<String, String>,
    /// The collection that the commit is bound to.
    pub collection: Option<String>,
}

/// What came of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOutcome {
    /// The ref.
    pub refname: String,
    /// The commit's checksum.
    pub checksum: Digest,
    /// The checksum of the root's dirtree and dirmeta: the identity of the tree, whatever the
    /// commit's parent and time.
    pub content_checksum: Digest,
    /// The commit before it.
    pub parent: Option<Digest>,
    /// Seconds since 1970.
    pub time: u64,
    /// What was done; `None` if the ref's commit says the same already, so that none was made.
    pub written: Option<Written>,
}

/// What a new commit cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Content objects that were made.
    pub made: u64,
    /// Content objects that were there.
    pub reused: u64,
    /// Bytes of content that were read.
    pub read: u64,
}

/// Keys that a recipe may not set: libostree's and rpm-ostree's own, and `version`.
fn is_reserved(key: &str) -> bool {
    key == "version" || key.starts_with("ostree.") || key.starts_with("rpmostree.")
}

impl CommitSpec {
    /// `a{sv}`, sorted by key.
    pub(super) fn metadata(&self) -> Result<Variant> {
        let mut entries: BTreeMap<&str, Variant> = BTreeMap::new();
        for (key, value) in &self.metadata {
            if is_reserved(key) {
                return Err(OstreeError::ReservedKey(key.clone()));
            }
            entries.insert(key, value.to_variant());
        }
        if let Some(version) = &self.version {
            entries.insert("version", version.to_variant());
        }
        entries.insert("ostree.architecture", self.arch.uname().to_variant());
        entries.insert("ostree.ref-binding", vec![self.refname.as_str()].to_variant());
        if let Some(collection) = &self.collection {
            entries.insert("ostree.collection-binding", collection.to_variant());
        }
        Ok(objects::metadata(entries.into_iter()))
    }

    /// Whether ref and collection are what OSTree takes.
    pub(super) fn check(&self) -> Result<()> {
        let not = |reason: &str| OstreeError::NotARef {
            refname: self.refname.clone(),
            reason: reason.to_owned(),
        };
        if self.refname.contains(':') {
            return Err(not("a colon separates a remote from its ref"));
        }
        if Digest::from_hex(&self.refname).is_ok() {
            return Err(not("it reads as a commit's checksum"));
        }
        ostree::validate_rev(&self.refname).map_err(|error| not(error.message()))?;
        if let Some(collection) = &self.collection {
            ostree::validate_collection_id(Some(collection)).map_err(|error| {
                OstreeError::NotACollection(collection.clone(), error.message().to_owned())
            })?;
        }
        Ok(())
    }
}
