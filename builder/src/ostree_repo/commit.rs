//! What a commit is to say, and what came of it.

use std::collections::BTreeMap;

use ostree::glib::Variant;
use ostree::prelude::ToVariant;
use treelay_recipes::{Arch, Digest};

use super::base::BaseFacts;
use super::error::{OstreeError, Result};
use super::origins::CommitLayer;
use super::{image_labels, objects, origins};

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
    /// Seconds since 1970. The commit's time is this, or its base's, or one more than its parent's,
    /// whatever is the latest: hosts refuse to go back.
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
    /// The version of the kernel that hosts boot, where they can.
    pub kernel: Option<String>,
    /// The layers that it says it was made of.
    pub layers: Vec<CommitLayer>,
    /// What was done; `None` if the ref's commit says the same already, so that none was made.
    pub written: Option<Written>,
}

/// What a new commit cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Content objects that were made.
    pub made: u64,
    /// Content objects that were there.
    pub reused: u64,
    /// Bytes of content that were read.
    pub read: u64,
    /// What the recipe removes and the base does not have.
    pub unused: Vec<String>,
}

/// What a commit says because of its tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeFacts {
    /// The commit below the layers.
    pub base: Option<BaseFacts>,
    /// The version of the kernel, where hosts can boot the tree.
    pub kernel: Option<String>,
    /// The layers that the tree was made of.
    pub layers: Vec<CommitLayer>,
}

/// The base commit's checksum.
pub(super) const BASE: &str = "treelay.base";
/// The base commit's version.
pub(super) const BASE_VERSION: &str = "treelay.base.version";

/// Keys that a recipe may not set: libostree's and rpm-ostree's own, what names base and layers, and
/// `version`.
fn is_reserved(key: &str) -> bool {
    ["version", BASE, BASE_VERSION, origins::KEY].contains(&key)
        || key.starts_with("ostree.")
        || key.starts_with("rpmostree.")
}

impl CommitSpec {
    /// `a{sv}`, sorted by key.
    pub(super) fn metadata(&self, facts: &TreeFacts) -> Variant {
        let mut entries: BTreeMap<&str, Variant> = BTreeMap::new();
        let own = self.metadata.iter();
        entries.extend(own.map(|(key, value)| (key.as_str(), value.to_variant())));
        if let Some(version) = &self.version {
            entries.insert("version", version.to_variant());
        }
        entries.insert("ostree.architecture", self.arch.uname().to_variant());
        entries.insert("ostree.ref-binding", vec![self.refname.as_str()].to_variant());
        if let Some(collection) = &self.collection {
            entries.insert("ostree.collection-binding", collection.to_variant());
        }
        if let Some(base) = &facts.base {
            entries.extend(base.kept.iter().map(|(key, value)| (*key, value.clone())));
            entries.insert(BASE, base.commit.hex().to_variant());
            if let Some(version) = &base.version {
                entries.insert(BASE_VERSION, version.to_variant());
            }
        }
        if let Some(kernel) = &facts.kernel {
            entries.insert(image_labels::BOOTABLE, true.to_variant());
            entries.insert(image_labels::LINUX, kernel.to_variant());
        }
        if !facts.layers.is_empty() {
            entries.insert(origins::KEY, origins::variant(&facts.layers));
        }
        objects::metadata(entries.into_iter())
    }

    /// The earliest that the commit may be of: its own epoch, and when its base was made.
    pub(super) fn earliest(&self, facts: &TreeFacts) -> u64 {
        facts.base.as_ref().map_or(self.epoch, |base| self.epoch.max(base.time))
    }

    /// Whether ref and collection are what OSTree takes, and the metadata may be set.
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
        match self.metadata.keys().find(|key| is_reserved(key)) {
            Some(key) => Err(OstreeError::ReservedKey(key.clone())),
            None => Ok(()),
        }
    }
}
