//! What differs between images and commits: each is read as a tree, and the trees are compared path
//! by path.
//!
//! *An image and a commit* of one recipe differ by the mapping between the two forms (ARCHITECTURE.md,
//! "OCI and OSTree from one tree"): a commit's `/usr/etc` is compared as `/etc`, and labels, which no
//! image carries, are left out. *An image with a commit encapsulated in it* has every file twice, as an
//! object too, and its files carry no attributes: beside anything else neither counts. *Two commits* are compared by their objects first: what is the same
//! object is not read.

mod by_layer;
mod image;
mod sides;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use treelay_layers::tree::{Aspect, Change, SELINUX, TreeError, diff};
use treelay_layers::{Entry, Node, Tree, TreePath};
use treelay_recipes::Digest;

use crate::image_store::StoreError;
use crate::ostree_repo::{KnownEntries, LayerOf, OstreeError, PathObject, in_commit, on_host};
use sides::Held;

pub use by_layer::LayerChange;
pub use image::{ImageContents, KnownLayers, contents};
pub use sides::{Part, Side, pairs};

/// What is left out beside an encapsulated commit.
const ATTRIBUTES: &str = "extended attributes, which files of encapsulated commits do not carry";
/// Where the objects of an encapsulated commit are.
const REPOSITORY: &str = "sysroot/ostree";
/// What is made for containers where the commit does not have it.
const STANDARD: [&str; 3] = ["sysroot", "var", "var/tmp"];

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The image.
    #[error(transparent)]
    Image(#[from] StoreError),
    /// The repository.
    #[error(transparent)]
    Commit(#[from] OstreeError),
    /// A commit with something in the way of its own paths.
    #[error("commit {commit} is no tree")]
    NoTree {
        /// The commit.
        commit: String,
        /// Why.
        source: TreeError,
    },
    /// Two commits for one arch, of which either may be meant.
    #[error("{first} and {second} are both commits for {arch}: name one of them")]
    Several {
        /// A ref.
        first: String,
        /// Another one.
        second: String,
        /// Their arch.
        arch: String,
    },
}

/// What was read before, to read nothing twice.
#[derive(Default)]
pub struct Known {
    layers: KnownLayers,
    entries: KnownEntries,
}

/// How two images or commits of an arch differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The arch, or `OS/ARCH/VARIANT` where a side has several of it; both names where they differ.
    pub arch: String,
    /// Manifest or commit of the first.
    pub from: Digest,
    /// Of the second.
    pub to: Digest,
    /// Paths that only the second has.
    pub added: Vec<PathInfo>,
    /// Paths that only the first has.
    pub removed: Vec<PathInfo>,
    /// Paths that are something else.
    pub changed: Vec<PathChange>,
    /// What of all that each layer has, by name; last what is in no layer, or in one that is not known.
    pub layers: Vec<LayerChange>,
    /// What was not compared.
    pub left_out: Vec<&'static str>,
}

/// A path of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathInfo {
    /// Absolute.
    pub path: String,
    /// `file`, `directory` or `link`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Bytes of a file; 0 for anything else.
    pub size: u64,
    /// Four octal digits.
    pub mode: String,
    /// User and group.
    pub owner: (u32, u32),
    /// SHA-256 of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where a link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Extended attributes, in hexadecimal; the label as text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
    /// The layer that it is of, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
}

/// A path of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathChange {
    /// In what it differs: `content`, `mode`, `owner`, `xattr NAME`, `label`, `target`, `type`.
    pub aspects: Vec<String>,
    /// In the first.
    pub from: PathInfo,
    /// In the second.
    pub to: PathInfo,
}

impl Comparison {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn add(&mut self, from: &Layered, to: &Layered) {
        for change in diff(&from.tree, &to.tree) {
            match change {
                Change::Added(entry) => self.added.push(to.info(entry)),
                Change::Removed(entry) => self.removed.push(from.info(entry)),
                Change::Changed { from: a, to: b, aspects } => self.changed.push(PathChange {
                    aspects: aspects.iter().map(Aspect::to_string).collect(),
                    from: from.info(a),
                    to: to.info(b),
                }),
            }
        }
    }
}

/// Compares what two sides have for an arch.
///
/// # Errors
/// [`DiffError`].
pub async fn compare(
    first: &Part<'_>,
    second: &Part<'_>,
    known: &mut Known,
) -> Result<Comparison, DiffError> {
    let mut left_out = Vec::new();
    let (from, to) = match (&first.held, &second.held) {
        // The same objects are the same paths.
        (Held::Commit { tree: a, .. }, Held::Commit { tree: b, .. }) if a == b => {
            Default::default()
        }
        (Held::Commit { .. }, Held::Commit { .. }) => {
            let (a, b) = (first.commit_paths()?, second.commit_paths()?);
            let differ = differing(&a, &b);
            let wanted = |path: &str| differ.contains(path);
            let from = first.commit_tree(&a, known, false, wanted)?;
            (from, second.commit_tree(&b, known, false, wanted)?)
        }
        (a, b) => {
            let mixed = matches!(a, Held::Commit { .. }) != matches!(b, Held::Commit { .. });
            let mut from = first.whole(known, mixed).await?;
            let mut to = second.whole(known, mixed).await?;
            if from.encapsulated != to.encapsulated {
                match from.encapsulated {
                    true => from.as_beside(&mut to),
                    false => to.as_beside(&mut from),
                }
                left_out.push(ATTRIBUTES);
            }
            (from, to)
        }
    };
    let mut comparison = Comparison {
        arch: sides::names(first, second),
        from: first.digest,
        to: second.digest,
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        layers: Vec::new(),
        left_out,
    };
    if let Some((from, to)) = first.root(known)?.zip(second.root(known)?) {
        comparison.add(&from, &to);
        for info in comparison.changed.iter_mut().flat_map(|root| [&mut root.from, &mut root.to]) {
            "/".clone_into(&mut info.path);
        }
    }
    comparison.add(&from, &to);
    comparison.layers = by_layer::sums(&comparison);
    Ok(comparison)
}

/// The paths that are another object in the one than in the other, and the directories above them,
/// without which they are no tree.
fn differing<'p>(
    a: &'p BTreeMap<String, PathObject>,
    b: &'p BTreeMap<String, PathObject>,
) -> BTreeSet<&'p str> {
    let mut all = BTreeSet::new();
    for (ours, others) in [(a, b), (b, a)] {
        for (path, _) in ours.iter().filter(|(path, object)| others.get(*path) != Some(object)) {
            let mut path = path.as_str();
            while all.insert(path)
                && let Some((above, _)) = path.rsplit_once('/')
            {
                path = above;
            }
        }
    }
    all
}

/// A tree, and the layers its entries are of.
#[derive(Default)]
struct Layered {
    tree: Tree,
    /// By the index of the entry.
    layer_of: Vec<Option<usize>>,
    layers: Vec<String>,
    /// Whether it is of an image with a commit in it.
    encapsulated: bool,
}

impl Part<'_> {
    /// All of it; `mixed` where it is compared with something of the other form.
    async fn whole(&self, known: &mut Known, mixed: bool) -> Result<Layered, DiffError> {
        match &self.held {
            Held::Image(store) => {
                let image = contents(*store, &self.digest, &mut known.layers).await?;
                let ImageContents { tree, layer_of, layers, encapsulated, .. } = image;
                let mut all = Layered { tree, layer_of, layers, encapsulated };
                if encapsulated {
                    all.keep(|entry| !is_in(entry.path.as_str(), REPOSITORY));
                }
                Ok(all)
            }
            Held::Commit { .. } => self.commit_tree(&self.commit_paths()?, known, mixed, |_| true),
        }
    }

    /// Every path of a commit but its root.
    fn commit_paths(&self) -> Result<BTreeMap<String, PathObject>, DiffError> {
        match &self.held {
            Held::Commit { repository, .. } => Ok(repository.paths(&self.digest)?),
            Held::Image(_) => Ok(BTreeMap::new()),
        }
    }

    /// The root of a commit, under a name of its own since it has none. Images do not say theirs.
    fn root(&self, known: &mut Known) -> Result<Option<Layered>, DiffError> {
        let Held::Commit { repository, meta, layers, .. } = &self.held else { return Ok(None) };
        let entry = repository.entry("root", &PathObject::Dir(*meta), &mut known.entries)?;
        Ok(Some(Layered {
            tree: self.checked(Tree::from_entries(vec![entry]))?,
            layer_of: vec![LayerOf::new(layers).get("")],
            layers: layers.iter().map(|layer| layer.name.clone()).collect(),
            encapsulated: false,
        }))
    }

    /// The paths of a commit for which `wanted` says yes.
    fn commit_tree(
        &self,
        paths: &BTreeMap<String, PathObject>,
        known: &mut Known,
        mixed: bool,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Layered, DiffError> {
        let Held::Commit { repository, layers, .. } = &self.held else {
            return Ok(Layered::default());
        };
        let wanted = paths.iter().filter(|(path, _)| wanted(path));
        let entries = wanted
            .map(|(path, object)| repository.entry(path, object, &mut known.entries))
            .collect::<Result<_, _>>()?;
        let mut tree = self.checked(Tree::from_entries(entries))?;
        if mixed {
            tree = self.checked(as_in_images(&tree))?;
        }
        let of_path = LayerOf::new(layers);
        let layer_of = tree.entries().iter().map(|entry| {
            let path = entry.path.as_str();
            if mixed { of_path.get(&in_commit(path)) } else { of_path.get(path) }
        });
        let layers = layers.iter().map(|layer| layer.name.clone()).collect();
        Ok(Layered { layer_of: layer_of.collect(), tree, layers, encapsulated: false })
    }

    fn checked(&self, tree: Result<Tree, TreeError>) -> Result<Tree, DiffError> {
        tree.map_err(|source| DiffError::NoTree { commit: self.digest.hex(), source })
    }
}

fn without_attributes(tree: &Tree) -> Tree {
    let entries = tree.entries().iter().map(|entry| Entry { xattrs: None, ..entry.clone() });
    // Cannot fail: the paths are those of a tree.
    Tree::from_entries(entries.collect()).unwrap_or_default()
}

/// The tree of a commit as an image of the same recipe has it.
fn as_in_images(tree: &Tree) -> Result<Tree, TreeError> {
    let entries = tree.entries().iter().map(|entry| {
        // Not longer than what it is made of, and of the same parts.
        let path = TreePath::new(on_host(entry.path.as_str()));
        let path = path.unwrap_or_else(|_| entry.path.clone());
        let xattrs = entry.xattrs().iter().filter(|(name, _)| name != SELINUX).cloned().collect();
        Entry { path, xattrs: None, ..entry.clone() }.with_xattrs(xattrs)
    });
    Tree::from_entries(entries.collect())
}

fn is_in(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Layered {
    fn keep(&mut self, keep: impl Fn(&Entry) -> bool) {
        let entries = self.tree.entries().iter().zip(&self.layer_of);
        self.layer_of = entries.filter(|(entry, _)| keep(entry)).map(|(_, layer)| *layer).collect();
        self.tree = self.tree.filter(keep);
    }

    /// The tree of an encapsulated commit beside another one, so that they can be compared.
    fn as_beside(&mut self, other: &mut Self) {
        self.keep(|entry| {
            let path = entry.path.as_str();
            !STANDARD.contains(&path) || other.tree.get(path).is_some()
        });
        self.tree = without_attributes(&self.tree);
        other.tree = without_attributes(&other.tree);
    }

    fn info(&self, entry: &Entry) -> PathInfo {
        let at = self.tree.entries().binary_search_by(|other| other.path.cmp(&entry.path)).ok();
        let layer = at.and_then(|at| self.layer_of.get(at).copied().flatten());
        let layer = layer.and_then(|layer| self.layers.get(layer));
        let value = |(name, value): &(String, Vec<u8>)| {
            let text = match name.as_str() {
                SELINUX => String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
                _ => value.iter().map(|byte| format!("{byte:02x}")).collect(),
            };
            (name.clone(), text)
        };
        PathInfo {
            path: format!("/{}", entry.path),
            kind: match entry.node {
                Node::Dir => "directory",
                Node::File { .. } => "file",
                Node::Symlink { .. } => "link",
            },
            size: entry.file().map_or(0, |(_, size)| size),
            mode: format!("{:04o}", entry.mode),
            owner: (entry.owner.uid, entry.owner.gid),
            digest: entry.file().map(|(digest, _)| *digest),
            target: match &entry.node {
                Node::Symlink { target } => Some(target.to_string()),
                _ => None,
            },
            xattrs: entry.xattrs().iter().map(value).collect(),
            layer: layer.cloned(),
        }
    }
}
