//! The directories of a commit, each dirtree read once, however many paths it serves.
//!
//! Dirtrees that name the same child twice make twice as many paths on each level: 20 of them, some
//! KB in all, are a million. So sums over all paths are made dirtree by dirtree, and who makes
//! something of each path asks first whether there are too many.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use ostree::ObjectType;
use ostree::glib::Variant;
use treelay_recipes::Digest;

use super::base::listing;
use super::error::{Doing, OstreeError, Result};
use super::overlay::{DirRef, Listing};
use super::{Repository, objects};

/// Linux's PATH_MAX, less the NUL, as for [`TreePath`](treelay_layers::TreePath).
pub(super) const LONGEST_PATH: usize = 4095;
/// How many paths are listed at most; the largest systems have some 100,000.
const MOST_PATHS: u64 = 4 << 20;
/// How many bytes these have at most.
const MOST_TEXT: u64 = 512 << 20;

/// Every dirtree of a commit.
pub(super) struct Trees {
    /// The root.
    pub root: DirRef,
    /// Dirtrees, each after all that it names.
    pub order: Vec<Digest>,
    listings: HashMap<Digest, Listing>,
}

/// What is at a path.
pub(super) enum At {
    /// A file or link: its content object.
    File(Digest),
    /// A directory: its dirtree.
    Dir(Digest),
}

/// What is below a directory, without itself.
#[derive(Clone, Copy, Default)]
struct Below {
    paths: u64,
    /// Bytes of all paths, from the directory on.
    text: u64,
    longest: u64,
}

impl Trees {
    pub fn listing(&self, tree: &Digest) -> &Listing {
        static NONE: Listing = Listing { files: BTreeMap::new(), dirs: BTreeMap::new() };
        self.listings.get(tree).unwrap_or(&NONE)
    }

    /// What is at a path, which has no slash at its ends; `""` is the root.
    pub fn find(&self, path: &str) -> Option<At> {
        let mut at = At::Dir(self.root.tree);
        for name in path.split('/').filter(|_| !path.is_empty()) {
            let At::Dir(tree) = at else { return None };
            let Listing { files, dirs } = self.listing(&tree);
            at = match dirs.get(name) {
                Some(dir) => At::Dir(dir.tree),
                None => At::File(*files.get(name)?),
            };
        }
        Some(at)
    }

    /// Refuses a commit of which no list of paths can be made.
    ///
    /// # Errors
    /// [`OstreeError::TooLarge`].
    pub fn check(&self, commit: &Digest) -> Result<()> {
        let mut below: HashMap<Digest, Below> = HashMap::new();
        for tree in &self.order {
            let Listing { files, dirs } = self.listing(tree);
            let mut all = Below::default();
            for name in files.keys() {
                all.add(name.len() as u64, Below::default());
            }
            for (name, dir) in dirs {
                all.add(name.len() as u64, below.get(&dir.tree).copied().unwrap_or_default());
            }
            below.insert(*tree, all);
        }
        let all = below.get(&self.root.tree).copied().unwrap_or_default();
        let reason = if all.longest > LONGEST_PATH as u64 {
            format!("it has a path of more than {LONGEST_PATH} bytes")
        } else if all.paths > MOST_PATHS {
            format!("it has more than {MOST_PATHS} paths")
        } else if all.text > MOST_TEXT {
            format!("its paths have more than {} MiB", MOST_TEXT >> 20)
        } else {
            return Ok(());
        };
        Err(OstreeError::TooLarge { commit: commit.hex(), reason })
    }
}

impl Below {
    /// Adds a child, and what is below it.
    fn add(&mut self, name: u64, below: Self) {
        self.paths = self.paths.saturating_add(below.paths).saturating_add(1);
        let before = (name + 1).saturating_mul(below.paths);
        self.text =
            self.text.saturating_add(below.text).saturating_add(before).saturating_add(name);
        let longest = if below.paths == 0 { name } else { below.longest.saturating_add(name + 1) };
        self.longest = self.longest.max(longest);
    }
}

impl Repository {
    /// The root of a commit.
    ///
    /// # Errors
    /// [`OstreeError::Library`] for a commit that cannot be read.
    pub(super) fn root(&self, commit: &Digest) -> Result<DirRef> {
        let reading = || format!("reading commit {}", commit.hex());
        let variant = self.load(ObjectType::Commit, commit)?;
        ostree::validate_structureof_commit(&variant).doing(reading)?;
        root_of(&variant).doing(reading)
    }

    /// Reads every dirtree of a commit.
    ///
    /// # Errors
    /// [`OstreeError::Library`] for an object that cannot be read.
    pub(super) fn trees(&self, commit: &Digest) -> Result<Trees> {
        let root = self.root(commit)?;
        let reading = || format!("reading commit {}", commit.hex());
        enum Step {
            Enter(Digest),
            Leave(Digest),
        }
        let (mut order, mut listings, mut above) = (Vec::new(), HashMap::new(), HashSet::new());
        let mut todo = vec![Step::Enter(root.tree)];
        while let Some(step) = todo.pop() {
            let tree = match step {
                Step::Enter(tree) => tree,
                Step::Leave(tree) => {
                    above.remove(&tree);
                    order.push(tree);
                    continue;
                }
            };
            // No bytes can have that checksum; but they are not checked here.
            if above.contains(&tree) {
                return Err(invalid(format!("dirtree {} is inside itself", tree.hex())))
                    .doing(reading);
            }
            if listings.contains_key(&tree) {
                continue;
            }
            let dirtree = self.load(ObjectType::DirTree, &tree)?;
            ostree::validate_structureof_dirtree(&dirtree).doing(reading)?;
            let found = listing(&dirtree).unwrap_or_default();
            above.insert(tree);
            todo.push(Step::Leave(tree));
            todo.extend(found.dirs.values().map(|dir| Step::Enter(dir.tree)));
            listings.insert(tree, found);
        }
        Ok(Trees { root, order, listings })
    }
}

fn root_of(commit: &Variant) -> io::Result<DirRef> {
    let digest = |at| objects::digest_of_bytes(&commit.child_value(at));
    match (digest(6), digest(7)) {
        (Some(tree), Some(meta)) => Ok(DirRef { tree, meta }),
        _ => Err(invalid("it has no tree".to_owned())),
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
