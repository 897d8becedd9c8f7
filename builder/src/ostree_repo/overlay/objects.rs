//! From a plan to dirtrees and dirmetas.

use std::collections::HashMap;

use ostree::glib::Variant;
use treelay_layers::tree::{Owner, SELINUX};
use treelay_recipes::Digest;

use super::{DirRef, File, Meta, Place, Plan};
use crate::ostree_repo::objects;

/// What one directory becomes.
pub(in crate::ostree_repo) struct DirObjects {
    /// Its checksums.
    pub named: DirRef,
    /// The dirtree; `None` where it is the base's.
    pub tree: Option<Variant>,
    /// The dirmeta; `None` where it is the base's.
    pub meta: Option<Variant>,
}

impl Plan<'_> {
    /// The objects of every directory that was made, the root's last. `object_of` gives the content
    /// object of the entry with that index.
    pub(in crate::ostree_repo) fn objects(
        &self,
        object_of: impl Fn(usize) -> Digest,
    ) -> Vec<DirObjects> {
        let mut reached = vec![false; self.dirs.len()];
        reached[0] = true;
        for (at, dir) in self.dirs.iter().enumerate() {
            if reached[at] {
                dir.dirs.values().for_each(|place| match place {
                    Place::Made(child) => reached[*child] = true,
                    Place::Kept(_) => {}
                });
            }
        }
        // Filled from the end, where the deepest are.
        let mut named: HashMap<usize, DirRef> = HashMap::with_capacity(self.dirs.len());
        let mut all = Vec::with_capacity(self.dirs.len());
        for (at, dir) in self.dirs.iter().enumerate().rev().filter(|(at, _)| reached[*at]) {
            let tree = objects::dirtree(
                dir.files.iter().map(|(name, file)| match file {
                    File::Base(object) => (name.as_str(), *object),
                    File::Own(entry) => (name.as_str(), object_of(*entry)),
                }),
                dir.dirs.iter().map(|(name, place)| {
                    let dir = match place {
                        Place::Kept(dir) => *dir,
                        Place::Made(child) => named[child],
                    };
                    (name.as_str(), dir.tree, dir.meta)
                }),
            );
            let (meta, meta_checksum) = self.meta(&dir.meta);
            let checksum = objects::checksum(&tree);
            let is_new = dir.was.is_none_or(|was| was.tree != checksum);
            let dir = DirRef { tree: checksum, meta: meta_checksum };
            named.insert(at, dir);
            all.push(DirObjects { named: dir, tree: is_new.then_some(tree), meta });
        }
        all
    }

    fn meta(&self, meta: &Meta) -> (Option<Variant>, Digest) {
        let made = match meta {
            Meta::Kept(meta) => return (None, *meta),
            Meta::Root { label } => {
                let xattrs: Vec<_> =
                    label.iter().map(|label| (SELINUX.to_owned(), label.clone())).collect();
                objects::dirmeta(0o755, Owner::default(), &xattrs)
            }
            Meta::Own { entry, label } => {
                let entry = &self.entries[*entry];
                match label {
                    None => objects::dirmeta(entry.mode, entry.owner, entry.xattrs()),
                    Some(label) => {
                        let mut xattrs = entry.xattrs().to_vec();
                        xattrs.retain(|(name, _)| name != SELINUX);
                        xattrs.push((SELINUX.to_owned(), label.clone()));
                        xattrs.sort();
                        objects::dirmeta(entry.mode, entry.owner, &xattrs)
                    }
                }
            }
        };
        let checksum = objects::checksum(&made);
        (Some(made), checksum)
    }
}
