//! What a commit says of itself.

use std::collections::{BTreeMap, HashMap};

use ostree::ObjectType;
use ostree::glib::Variant;
use serde::Serialize;
use treelay_recipes::Digest;

use super::base::listing;
use super::commit::{BASE, BASE_VERSION};
use super::error::{Doing, Result};
use super::origins::{self, CommitLayer, LayerOf};
use super::sign::{GPG_KEY, dictionary, signatures};
use super::{NONE, Repository, objects, parse, run};

/// A commit, as [`Repository::inspect`] reads it. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitInfo {
    /// Its checksum.
    pub checksum: Digest,
    /// The checksum of its tree.
    pub content_checksum: Digest,
    /// The commit before it.
    pub parent: Option<Digest>,
    /// Seconds since 1970.
    pub time: u64,
    /// One line.
    pub subject: String,
    /// More lines; may be empty.
    pub body: String,
    /// `version`.
    pub version: Option<String>,
    /// `ostree.architecture`, as `uname -m` has it.
    pub arch: Option<String>,
    /// `ostree.ref-binding`: the refs it was made for.
    pub bound_to: Vec<String>,
    /// `ostree.collection-binding`.
    pub collection: Option<String>,
    /// The commit that it lies on.
    pub base: Option<Digest>,
    /// The version of that.
    pub base_version: Option<String>,
    /// The layers over that, in the order in which they were merged; empty where it says none.
    pub layers: Vec<LayerInfo>,
    /// All other metadata: strings as they are, anything else in GVariant's text form.
    pub metadata: BTreeMap<String, String>,
    /// How many signatures of each scheme are beside it: `ostree.sign.ed25519`,
    /// `ostree.sign.spki`, `gpg`.
    pub signatures: BTreeMap<String, usize>,
    /// Paths that are files or links.
    pub files: u64,
    /// Paths that are directories, without the root.
    pub dirs: u64,
    /// Bytes of all files, each path counted.
    pub bytes: u64,
}

/// A layer of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// What the commit says of it.
    #[serde(flatten)]
    pub said: CommitLayer,
    /// How many files and links of the commit are its; `None` where the commit does not say which.
    pub files: Option<u64>,
    /// How many bytes these have.
    pub bytes: Option<u64>,
}

impl Repository {
    /// Describes the commit that a local ref or a checksum names.
    ///
    /// # Errors
    /// [`OstreeError::NoSuchCommit`](super::OstreeError::NoSuchCommit), or
    /// [`OstreeError::Library`](super::OstreeError::Library) for an object that cannot be read.
    pub fn inspect(&self, name: &str) -> Result<CommitInfo> {
        let checksum = self.resolve(name)?;
        let commit = self.load(ObjectType::Commit, &checksum)?;
        let reading = || format!("reading commit {}", checksum.hex());
        ostree::validate_structureof_commit(&commit).doing(reading)?;
        let metadata = dictionary(&commit.child_value(0));
        let text = |key: &str| metadata.get(key).and_then(|value| value.get::<String>());
        let bound = metadata.get("ostree.ref-binding").and_then(|value| value.get());
        let layers = origins::read(&commit.child_value(0));
        let layer_of = LayerOf::new(&layers);
        let layers = layers.into_iter().map(|said| {
            let none = said.paths.as_ref().map(|_| 0);
            LayerInfo { said, files: none, bytes: none }
        });
        let layers: Vec<_> = layers.collect();
        let others = metadata.iter().filter(|(key, _)| layers.is_empty() || *key != origins::KEY);
        let mut info = CommitInfo {
            checksum,
            content_checksum: run::content_checksum(&commit),
            parent: ostree::commit_get_parent(&commit).and_then(|parent| parse(&parent).ok()),
            time: ostree::commit_get_timestamp(&commit),
            subject: commit.child_value(3).get().unwrap_or_default(),
            body: commit.child_value(4).get().unwrap_or_default(),
            version: text("version"),
            arch: text("ostree.architecture"),
            bound_to: bound.unwrap_or_default(),
            collection: text("ostree.collection-binding"),
            base: text(BASE).and_then(|base| Digest::from_hex(&base).ok()),
            base_version: text(BASE_VERSION),
            metadata: others.map(|(key, value)| (key.clone(), print(value))).collect(),
            layers,
            signatures: self.count_signatures(&checksum)?,
            files: 0,
            dirs: 0,
            bytes: 0,
        };
        if let Some(root) = objects::digest_of_bytes(&commit.child_value(6)) {
            self.count(root, &layer_of, &mut info)?;
        }
        Ok(info)
    }

    /// The version that a commit says it is of.
    ///
    /// # Errors
    /// [`OstreeError::Library`](super::OstreeError::Library) for one that cannot be read.
    pub fn version(&self, commit: &Digest) -> Result<Option<String>> {
        let commit = self.load(ObjectType::Commit, commit)?;
        let metadata = dictionary(&commit.child_value(0));
        Ok(metadata.get("version").and_then(|version| version.get()))
    }

    fn count_signatures(&self, checksum: &Digest) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for (key, value) in self.detached(checksum)? {
            let scheme = match key.as_str() {
                GPG_KEY => "gpg",
                key if key.starts_with("ostree.sign.") => key,
                _ => continue,
            };
            let count = signatures(&value).map_or(0, |signatures| signatures.len());
            counts.insert(scheme.to_owned(), count);
        }
        Ok(counts)
    }

    fn count(&self, root: Digest, layer_of: &LayerOf, info: &mut CommitInfo) -> Result<()> {
        // Many paths share an object.
        let mut sizes: HashMap<Digest, u64> = HashMap::new();
        let mut todo = vec![(String::new(), root)];
        while let Some((folder, tree)) = todo.pop() {
            let found = listing(&self.load(ObjectType::DirTree, &tree)?).unwrap_or_default();
            for (name, object) in found.files {
                let size = match sizes.get(&object) {
                    Some(size) => *size,
                    None => *sizes.entry(object).or_insert(self.size_of(&object)?),
                };
                info.bytes += size;
                info.files += 1;
                let layer = layer_of.get(&format!("{folder}{name}"));
                if let Some(layer) = layer.and_then(|layer| info.layers.get_mut(layer)) {
                    layer.files = layer.files.map(|files| files + 1);
                    layer.bytes = layer.bytes.map(|bytes| bytes + size);
                }
            }
            for (name, dir) in found.dirs {
                info.dirs += 1;
                todo.push((format!("{folder}{name}/"), dir.tree));
            }
        }
        Ok(())
    }

    fn size_of(&self, object: &Digest) -> Result<u64> {
        let reading = || format!("reading object {}", object.hex());
        let (info, _) = self.repo.query_file(&object.hex(), NONE).doing(reading)?;
        let is_file = info.file_type() == ostree::gio::FileType::Regular;
        Ok(if is_file { info.size().try_into().unwrap_or_default() } else { 0 })
    }
}

fn print(value: &Variant) -> String {
    value.get::<String>().unwrap_or_else(|| value.print(false).into())
}
