//! What a commit says of itself.

use std::collections::{BTreeMap, HashMap};

use ostree::ObjectType;
use ostree::glib::Variant;
use serde::Serialize;
use treelay_recipes::Digest;

use super::commit::{BASE, BASE_VERSION};
use super::error::{Doing, Result};
use super::origins::{self, CommitLayer, LayerOf};
use super::sign::{GPG_KEY, dictionary, signatures};
use super::trees::At;
use super::{NONE, Repository, parse, run};

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
        self.count(&layer_of, &mut info)?;
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

    /// Sums over all paths, dirtree by dirtree.
    fn count(&self, layer_of: &LayerOf, info: &mut CommitInfo) -> Result<()> {
        let trees = self.trees(&info.checksum)?;
        // Many paths share an object.
        let mut sizes: HashMap<Digest, u64> = HashMap::new();
        let mut sums: HashMap<Digest, Sum> = HashMap::new();
        for tree in &trees.order {
            let mut sum = Sum::default();
            let found = trees.listing(tree);
            for object in found.files.values() {
                let size = match sizes.get(object) {
                    Some(size) => *size,
                    None => *sizes.entry(*object).or_insert(self.size_of(object)?),
                };
                sum.add(Sum { files: 1, dirs: 0, bytes: size });
            }
            for dir in found.dirs.values() {
                sum.add(sums.get(&dir.tree).copied().unwrap_or_default());
                sum.add(Sum { dirs: 1, ..Sum::default() });
            }
            sums.insert(*tree, sum);
        }
        let all = sums.get(&trees.root.tree).copied().unwrap_or_default();
        (info.files, info.dirs, info.bytes) = (all.files, all.dirs, all.bytes);
        // What is at each path that a layer has, less what is another's further down.
        let mut of_layers = vec![(0_i128, 0_i128); info.layers.len()];
        let mut add = |layer: Option<usize>, sum: Sum, sign: i128| {
            if let Some((files, bytes)) = layer.and_then(|layer| of_layers.get_mut(layer)) {
                *files += sign * i128::from(sum.files);
                *bytes += sign * i128::from(sum.bytes);
            }
        };
        for (path, layer) in layer_of.paths() {
            let there = match trees.find(path) {
                Some(At::File(object)) => {
                    Sum { files: 1, dirs: 0, bytes: sizes.get(&object).copied().unwrap_or(0) }
                }
                Some(At::Dir(tree)) => sums.get(&tree).copied().unwrap_or_default(),
                None => continue,
            };
            add(Some(layer), there, 1);
            if !path.is_empty() {
                let above = path.rsplit_once('/').map_or("", |(above, _)| above);
                add(layer_of.get(above), there, -1);
            }
        }
        for (layer, (files, bytes)) in info.layers.iter_mut().zip(of_layers) {
            let number = |sum: i128| u64::try_from(sum.max(0)).unwrap_or(u64::MAX);
            layer.files = layer.files.map(|_| number(files));
            layer.bytes = layer.bytes.map(|_| number(bytes));
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

/// What is below a directory.
#[derive(Clone, Copy, Default)]
struct Sum {
    files: u64,
    dirs: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.dirs = self.dirs.saturating_add(other.dirs);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

fn print(value: &Variant) -> String {
    value.get::<String>().unwrap_or_else(|| value.print(false).into())
}
