//! A sorted [`Tree`] as directories in directories, which is how OSTree names it.

use std::collections::HashMap;

use ostree::glib::Variant;
use treelay_layers::tree::{Entry, Node, Owner, Tree};
use treelay_recipes::Digest;

use super::objects;

/// One directory: indices into the tree's entries and into [`Hierarchy::dirs`].
struct Dir<'t> {
    /// `None` for the root, which is no entry.
    entry: Option<&'t Entry>,
    files: Vec<usize>,
    dirs: Vec<(&'t str, usize)>,
}

/// The directories of a tree, parents before children.
pub(super) struct Hierarchy<'t> {
    entries: &'t [Entry],
    dirs: Vec<Dir<'t>>,
}

/// The dirtree and dirmeta of one directory.
pub(super) struct DirObjects {
    pub tree: Variant,
    pub tree_checksum: Digest,
    pub meta: Variant,
    pub meta_checksum: Digest,
}

impl<'t> Hierarchy<'t> {
    pub(super) fn new(tree: &'t Tree) -> Self {
        let entries = tree.entries();
        let mut dirs = vec![Dir { entry: None, files: Vec::new(), dirs: Vec::new() }];
        let mut by_path: HashMap<&str, usize> = HashMap::from([("", 0)]);
        for (at, entry) in entries.iter().enumerate() {
            let path = entry.path.as_str();
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            // Every parent of a tree's entry is an entry, and sorts before it.
            let parent = by_path.get(parent).copied().unwrap_or_default();
            if matches!(entry.node, Node::Dir) {
                by_path.insert(path, dirs.len());
                let child = dirs.len();
                dirs[parent].dirs.push((name, child));
                dirs.push(Dir { entry: Some(entry), files: Vec::new(), dirs: Vec::new() });
            } else {
                dirs[parent].files.push(at);
            }
        }
        Self { entries, dirs }
    }

    /// The objects of every directory, the root's last. `object_of` gives the content object of the
    /// entry with that index.
    pub(super) fn objects(&self, object_of: impl Fn(usize) -> Digest) -> Vec<DirObjects> {
        // By index into `dirs`, filled from the end, where the deepest are.
        let mut named: HashMap<usize, (Digest, Digest)> = HashMap::with_capacity(self.dirs.len());
        let mut all = Vec::with_capacity(self.dirs.len());
        for (at, dir) in self.dirs.iter().enumerate().rev() {
            let meta = match dir.entry {
                Some(entry) => objects::dirmeta(entry.mode, entry.owner, entry.xattrs()),
                None => objects::dirmeta(0o755, Owner::default(), &[]),
            };
            // Siblings keep the order of their paths, which is that of their names.
            let tree = objects::dirtree(
                dir.files.iter().map(|&file| (self.entries[file].path.name(), object_of(file))),
                dir.dirs.iter().map(|(name, child)| {
                    let (tree, meta) = named[child];
                    (*name, tree, meta)
                }),
            );
            let (tree_checksum, meta_checksum) =
                (objects::checksum(&tree), objects::checksum(&meta));
            named.insert(at, (tree_checksum, meta_checksum));
            all.push(DirObjects { tree, tree_checksum, meta, meta_checksum });
        }
        all
    }
}
