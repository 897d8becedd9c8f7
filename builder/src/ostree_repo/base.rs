//! A commit that a tree is laid over, read as far as it is asked for.

use std::collections::BTreeMap;
use std::io::Read as _;

use ostree::gio::prelude::*;
use ostree::glib::Variant;
use ostree::{ObjectType, RepoCommitState, gio};
use treelay_layers::tree::SELINUX;
use treelay_recipes::Digest;

use super::error::{Doing, OstreeError, Result};
use super::overlay::{DirRef, Listing, Lower};
use super::sign::dictionary;
use super::{NONE, Repository, objects};

/// What of a base's metadata is true of what is laid over it too: what rpm-ostree says of packages,
/// repositories, advisories and the initramfs, none of which layers change.
const KEPT: [&str; 4] = [
    "rpmostree.advisories",
    "rpmostree.initramfs-args",
    "rpmostree.rpmdb.pkglist",
    "rpmostree.rpmmd-repos",
];

/// A commit below layers.
pub struct Base<'r> {
    pub(super) repository: &'r Repository,
    pub(super) checksum: Digest,
    pub(super) root: DirRef,
    facts: BaseFacts,
}

/// What a commit says because of its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFacts {
    /// The base commit.
    pub commit: Digest,
    /// Its time, in seconds since 1970.
    pub time: u64,
    /// Its `version`.
    pub version: Option<String>,
    /// Its `ostree.architecture`, as `uname -m` has it.
    pub arch: Option<String>,
    /// Its `ostree.ref-binding`: the refs it was made for.
    pub bound_to: Vec<String>,
    /// What of its metadata is kept.
    pub(super) kept: BTreeMap<&'static str, Variant>,
}

/// A file or link of a commit.
pub(super) enum FileContent {
    Bytes(Vec<u8>),
    Link(String),
}

impl Repository {
    /// What a commit says that something may be laid over; the tree need not be there.
    ///
    /// # Errors
    /// [`OstreeError::BadBase`] where it is not there, or not what its name says.
    pub fn facts(&self, checksum: &Digest) -> Result<BaseFacts> {
        Ok(self.base_commit(checksum)?.0.facts)
    }

    /// A whole commit, to lay something over.
    ///
    /// # Errors
    /// [`OstreeError::BadBase`] where it is not there whole, or not what its name says.
    pub fn base(&self, checksum: &Digest) -> Result<Base<'_>> {
        match self.base_commit(checksum)? {
            (base, true) => Ok(base),
            (_, false) => Err(OstreeError::BadBase {
                commit: checksum.hex(),
                path: self.path.clone(),
                reason: "the repository holds only a part of it".to_owned(),
            }),
        }
    }

    /// A commit, and whether it is whole.
    pub(super) fn base_commit(&self, checksum: &Digest) -> Result<(Base<'_>, bool)> {
        let bad = |reason: &str| OstreeError::BadBase {
            commit: checksum.hex(),
            path: self.path.clone(),
            reason: reason.to_owned(),
        };
        let (commit, state) =
            self.repo.load_commit(&checksum.hex()).map_err(|error| bad(error.message()))?;
        if objects::checksum(&commit) != *checksum {
            return Err(bad("its bytes do not have that checksum"));
        }
        ostree::validate_structureof_commit(&commit).map_err(|error| bad(error.message()))?;
        let digest = |at| objects::digest_of_bytes(&commit.child_value(at));
        let (Some(tree), Some(meta)) = (digest(6), digest(7)) else {
            return Err(bad("it has no tree"));
        };
        let metadata = dictionary(&commit.child_value(0));
        let kept = KEPT.iter().filter_map(|key| Some((*key, metadata.get(*key)?.clone())));
        let facts = BaseFacts {
            commit: *checksum,
            time: ostree::commit_get_timestamp(&commit),
            version: metadata.get("version").and_then(|version| version.get()),
            arch: metadata.get("ostree.architecture").and_then(|arch| arch.get()),
            bound_to: metadata
                .get("ostree.ref-binding")
                .and_then(|bound| bound.get())
                .unwrap_or_default(),
            kept: kept.collect(),
        };
        let root = DirRef { tree, meta };
        let whole = !state.contains(RepoCommitState::PARTIAL);
        Ok((Base { repository: self, checksum: *checksum, root, facts }, whole))
    }

    /// Whether a commit is there, whole as far as the repository knows.
    pub fn has_whole(&self, commit: &Digest) -> bool {
        let loaded = self.repo.load_commit(&commit.hex());
        loaded.is_ok_and(|(_, state)| !state.contains(RepoCommitState::PARTIAL))
    }

    /// The first bytes of a file, at most `limit`, or where a link leads.
    pub(super) fn file(&self, object: &Digest, limit: u64) -> Result<FileContent> {
        let reading = || format!("reading object {}", object.hex());
        let (stream, info, _) = self.repo.load_file(&object.hex(), NONE).doing(reading)?;
        let Some(stream) = stream.filter(|_| info.file_type() == gio::FileType::Regular) else {
            let target = info.symlink_target().unwrap_or_default();
            return Ok(FileContent::Link(target.to_string_lossy().into_owned()));
        };
        let mut bytes = Vec::new();
        stream.into_read().take(limit).read_to_end(&mut bytes).doing(reading)?;
        Ok(FileContent::Bytes(bytes))
    }
}

impl Base<'_> {
    /// The content of a regular file, at most `limit` bytes of it; `None` where there is none. `path`
    /// has no `/` at its ends; links are not followed.
    ///
    /// # Errors
    /// What reading the directories above it, or itself, met.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut listing = self.listing(&self.root.tree)?;
        for name in above.split('/').filter(|name| !name.is_empty()) {
            let Some(dir) = listing.dirs.get(name).copied() else { return Ok(None) };
            listing = self.listing(&dir.tree)?;
        }
        let Some(object) = listing.files.get(name) else { return Ok(None) };
        match self.repository.file(object, limit)? {
            FileContent::Bytes(bytes) => Ok(Some(bytes)),
            FileContent::Link(_) => Ok(None),
        }
    }

    /// What a commit laid over it says of it.
    pub fn facts(&self) -> &BaseFacts {
        &self.facts
    }
}

impl Lower for Base<'_> {
    fn listing(&self, tree: &Digest) -> Result<Listing> {
        let bad = |reason: String| OstreeError::BadBase {
            commit: self.checksum.hex(),
            path: self.repository.path.clone(),
            reason: format!("dirtree {}: {reason}", tree.hex()),
        };
        let dirtree = self.repository.load(ObjectType::DirTree, tree)?;
        if objects::checksum(&dirtree) != *tree {
            return Err(bad("its bytes do not have that checksum".to_owned()));
        }
        ostree::validate_structureof_dirtree(&dirtree)
            .map_err(|error| bad(error.message().to_owned()))?;
        listing(&dirtree).ok_or_else(|| bad("it is none".to_owned()))
    }

    fn label(&self, meta: &Digest) -> Result<Option<Vec<u8>>> {
        let dirmeta = self.repository.load(ObjectType::DirMeta, meta)?;
        let xattrs = dirmeta.child_value(3);
        Ok(xattrs.iter().find_map(|pair| {
            let name: Vec<u8> = pair.child_value(0).fixed_array().ok()?.to_vec();
            let is_label = name.strip_suffix(b"\0") == Some(SELINUX.as_bytes());
            let value: Vec<u8> = pair.child_value(1).fixed_array().ok()?.to_vec();
            is_label.then_some(value)
        }))
    }

    fn describe(&self, object: &Digest) -> Result<String> {
        Ok(match self.repository.file(object, 0)? {
            FileContent::Bytes(_) => "a file".to_owned(),
            FileContent::Link(target) => format!("a link to {target}"),
        })
    }
}

/// Of a dirtree; `None` if it is none.
pub(super) fn listing(dirtree: &Variant) -> Option<Listing> {
    let name = |child: &Variant| child.child_value(0).get::<String>();
    let digest = |child: &Variant, at| objects::digest_of_bytes(&child.child_value(at));
    let files = dirtree.child_value(0);
    let files = files.iter().map(|file| Some((name(&file)?, digest(&file, 1)?)));
    let dirs = dirtree.child_value(1);
    let dirs = dirs
        .iter()
        .map(|dir| Some((name(&dir)?, DirRef { tree: digest(&dir, 1)?, meta: digest(&dir, 2)? })));
    Some(Listing { files: files.collect::<Option<_>>()?, dirs: dirs.collect::<Option<_>>()? })
}
