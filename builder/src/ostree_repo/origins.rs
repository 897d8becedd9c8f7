//! Which layers a commit was made of, as the commit itself says it: `treelay.layers`.
//!
//! An array of dictionaries (`aa{sv}`), one for each layer of the recipe in the order in which they
//! are merged: its `name`, the digest of its `tree`, and `paths`, what of the commit is the layer's.
//! Each of these is one path, or, with a slash at its end, a directory with all below it, where all
//! that is the same layer's: a toolchain of 12,000 files is `/usr/lib/golang/`. What no layer has is
//! the base's, and so is a file that a layer brings just as the base has it. A file of several layers,
//! which is the same in all of them, is the last one's; a directory in which several of them, or the
//! base, have something is of none.
//!
//! A commit is the first that hosts fetch, and libostree takes none of more than 10 MB: where the
//! paths would take more than [`MOST`], none are said.

use std::collections::HashMap;
use std::sync::Arc;

use ostree::ObjectType;
use ostree::glib::Variant;
use ostree::prelude::ToVariant;
use serde::{Deserialize, Serialize};
use treelay_layers::tree::Tree;
use treelay_recipes::Digest;

use super::error::Result;
use super::overlay::{File, Meta, Place, Plan};
use super::sign::dictionary;
use super::{Repository, etc, objects, var};

/// The metadata key.
pub(super) const KEY: &str = "treelay.layers";

/// How many bytes of paths a commit says at most.
const MOST: usize = 256 << 10;

/// A layer, as a commit says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitLayer {
    /// Its name in the recipe.
    pub name: String,
    /// The digest of its tree.
    pub tree: Digest,
    /// Absolute paths of the commit, sorted; one that ends with a slash is a directory with all below
    /// it. `None` where there are too many to say.
    pub paths: Option<Vec<String>>,
}

/// Which layer each entry of a tree is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    layers: Vec<(String, Digest)>,
    /// By the index of the entry.
    of: Vec<Option<u16>>,
}

impl Origins {
    /// Of a tree that was made of the trees of `layers`, in order of merge. `name` is the recipe's, by
    /// which the file is called that tells what was in `/var`.
    pub fn of(tree: &Tree, layers: &[(String, Digest, Arc<Tree>)], name: &str) -> Self {
        let mut of = vec![None; tree.entries().len()];
        let tmpfiles = var::tmpfiles(name);
        for (number, (_, _, layer)) in layers.iter().enumerate() {
            // More layers than that make no image either.
            let number = u16::try_from(number).ok();
            for entry in layer.entries() {
                let at = find(tree, &etc::in_commit(entry.path.as_str()))
                    .or_else(|| find(tree, &tmpfiles).filter(|_| var::is_in_var(entry)));
                if let Some(at) = at {
                    of[at] = number;
                }
            }
        }
        let layers = layers.iter().map(|(name, digest, _)| (name.clone(), *digest)).collect();
        Self { layers, of }
    }

    /// What a commit of `plan` says. `object_of` gives the content object of the entry with that
    /// index.
    pub(super) fn said(
        &self,
        plan: &Plan<'_>,
        object_of: impl Fn(usize) -> Digest,
    ) -> Vec<CommitLayer> {
        let of_entry = |at: usize| match self.of.get(at).copied().flatten() {
            Some(layer) => Whose::Layer(layer),
            None => Whose::None,
        };
        let of_file = |file: &File| match file {
            File::Own(at) if plan.replaced.get(at) != Some(&object_of(*at)) => of_entry(*at),
            _ => Whose::None,
        };
        let mut of_dirs = vec![Whose::None; plan.dirs.len()];
        // Each directory comes after the one that it is in.
        for (at, dir) in plan.dirs.iter().enumerate().rev() {
            let dirs = dir.dirs.values().map(|place| match place {
                Place::Made(child) => of_dirs[*child],
                Place::Kept(_) => Whose::None,
            });
            let all = dir.files.values().map(of_file).chain(dirs);
            let all = all.reduce(|a, b| if a == b { a } else { Whose::Several });
            of_dirs[at] = all.unwrap_or_else(|| match &dir.meta {
                Meta::Own { entry, .. } => of_entry(*entry),
                Meta::Kept(_) | Meta::Root { .. } => Whose::None,
            });
        }
        let mut paths: Vec<Vec<String>> = vec![Vec::new(); self.layers.len()];
        let mut say = |layer: u16, path: String| paths[usize::from(layer)].push(path);
        let mut todo = vec![(0, "/".to_owned())];
        while let Some((at, path)) = todo.pop() {
            match of_dirs[at] {
                Whose::None => continue,
                Whose::Layer(layer) => {
                    say(layer, path);
                    continue;
                }
                Whose::Several => {}
            }
            for (name, file) in &plan.dirs[at].files {
                if let Whose::Layer(layer) = of_file(file) {
                    say(layer, format!("{path}{name}"));
                }
            }
            for (name, place) in &plan.dirs[at].dirs {
                if let Place::Made(child) = place {
                    todo.push((*child, format!("{path}{name}/")));
                }
            }
        }
        paths.iter_mut().for_each(|paths| paths.sort());
        let all: usize = paths.iter().flatten().map(String::len).sum();
        let layers = self.layers.iter().zip(paths).map(|((name, tree), paths)| CommitLayer {
            name: name.clone(),
            tree: *tree,
            paths: (all <= MOST).then_some(paths),
        });
        layers.collect()
    }
}

/// Of whom everything in a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Of no layer.
    None,
    Layer(u16),
    Several,
}

fn find(tree: &Tree, path: &str) -> Option<usize> {
    tree.entries().binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()
}

/// As a commit's metadata has it.
pub(super) fn variant(layers: &[CommitLayer]) -> Variant {
    let each = layers.iter().map(|layer| {
        let said = [
            ("name", Some(layer.name.to_variant())),
            ("paths", layer.paths.as_ref().map(ToVariant::to_variant)),
            ("tree", Some(layer.tree.to_string().to_variant())),
        ];
        objects::metadata(said.into_iter().filter_map(|(key, value)| Some((key, value?))))
    });
    objects::array("a{sv}", each)
}

/// Of a commit's metadata; empty where it does not say.
pub(super) fn read(metadata: &Variant) -> Vec<CommitLayer> {
    let Some(said) = dictionary(metadata).remove(KEY) else { return Vec::new() };
    if said.type_().as_str() != "aa{sv}" {
        return Vec::new();
    }
    let layer = |said: Variant| {
        let said = dictionary(&said);
        let text = |key| said.get(key).and_then(Variant::get::<String>);
        let paths = said.get("paths").map(|paths| paths.get().ok_or(())).transpose();
        Some(CommitLayer {
            name: text("name")?,
            tree: text("tree")?.parse().ok()?,
            paths: paths.ok()?,
        })
    };
    said.iter().map(layer).collect::<Option<_>>().unwrap_or_default()
}

/// Finds the layer of a path of a commit.
#[derive(Debug, Default)]
pub struct LayerOf {
    /// Without slashes at the ends.
    by_path: HashMap<String, usize>,
}

impl LayerOf {
    /// By what the commit says.
    pub fn new(layers: &[CommitLayer]) -> Self {
        let each = layers.iter().enumerate();
        let by_path = each.flat_map(|(number, layer)| {
            let paths = layer.paths.iter().flatten();
            paths.map(move |path| (path.trim_matches('/').to_owned(), number))
        });
        Self { by_path: by_path.collect() }
    }

    /// The paths that are said, without slashes at the ends, each with the index of its layer.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, usize)> {
        self.by_path.iter().map(|(path, layer)| (path.as_str(), *layer))
    }

    /// The index of the layer that a path is of; `path` has no slash at its ends.
    pub fn get(&self, path: &str) -> Option<usize> {
        let mut at = path;
        loop {
            if let Some(layer) = self.by_path.get(at) {
                return Some(*layer);
            }
            if at.is_empty() {
                return None;
            }
            at = at.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
}

impl Repository {
    /// The layers that a commit says it was made of; empty where it does not say.
    ///
    /// # Errors
    /// [`OstreeError::Library`](super::OstreeError::Library) where the commit cannot be read.
    pub fn layers_of(&self, commit: &Digest) -> Result<Vec<CommitLayer>> {
        Ok(read(&self.load(ObjectType::Commit, commit)?.child_value(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ostree_repo::overlay::lay;
    use crate::ostree_repo::{Rules, etc_to_usr_etc, without_var};

    /// What a commit of these layers says, without a base.
    fn said(layers: &[(&str, String)]) -> Vec<CommitLayer> {
        let trees = layers.iter().map(|(name, text)| {
            let tree = Tree::from_text(text).unwrap();
            (name.to_string(), tree.digest(), Arc::new(tree))
        });
        let trees: Vec<_> = trees.collect();
        let merged = Tree::merge(trees.iter().map(|(name, _, tree)| (&**name, &**tree))).unwrap();
        let tree = without_var(&etc_to_usr_etc(&merged.tree).unwrap()).unwrap();
        let tree = match tree.lines.clone() {
            Some(lines) => tree.with_lines("recipe", Digest::of(&lines), 1).unwrap(),
            None => tree.tree,
        };
        let plan = lay(&tree, None, &Rules::default()).unwrap();
        Origins::of(&tree, &trees, "recipe").said(&plan, |_| Digest::of("object"))
    }

    fn tree(paths: &[&str]) -> String {
        let entries = paths.iter().map(|path| {
            let kept = path.trim_end_matches('/');
            let place = treelay_layers::TreePath::new(kept).unwrap();
            match *path == kept {
                true => treelay_layers::Entry::symlink(place, "x"),
                false => treelay_layers::Entry::dir(place, 0o755),
            }
        });
        Tree::from_entries(entries.collect()).unwrap().to_text()
    }

    #[test]
    fn directories_stand_for_what_is_one_layers() {
        let layers = said(&[
            ("go", tree(&["usr/lib/go/a", "usr/lib/go/b/c", "usr/bin/go", "etc/go/x", "var/go/"])),
            ("none", tree(&["usr/lib/go/a"])),
            ("tools", tree(&["usr/bin/a", "usr/bin/b", "etc/a", "usr/share/empty/", "etc/go/"])),
        ]);
        let paths = |at: usize| -> Vec<&str> {
            layers[at].paths.iter().flatten().map(String::as_str).collect()
        };
        assert_eq!(
            paths(0),
            ["/usr/bin/go", "/usr/etc/go/", "/usr/lib/go/b/", "/usr/lib/tmpfiles.d/"]
        );
        assert_eq!(paths(1), ["/usr/lib/go/a"]);
        assert_eq!(paths(2), ["/usr/bin/a", "/usr/bin/b", "/usr/etc/a", "/usr/share/"]);
        let of = LayerOf::new(&layers);
        for (path, layer) in [
            ("usr/etc/go", Some(0)),
            ("usr/etc/go/x", Some(0)),
            ("usr/etc", None),
            ("usr/lib/tmpfiles.d/treelay-recipe.conf", Some(0)),
            ("usr/lib/go/a", Some(1)),
            ("usr/lib/go/b/c", Some(0)),
            ("usr/bin/b", Some(2)),
            ("usr/share/empty", Some(2)),
            ("usr/bin/bb", None),
        ] {
            assert_eq!(of.get(path), layer, "{path}");
        }
        // What is of one layer alone is told in one line.
        let one = said(&[("go", tree(&["usr/lib/go/a", "etc/x"]))]);
        assert_eq!(one[0].paths.as_deref(), Some(&["/".to_owned()][..]));
        assert_eq!(LayerOf::new(&one).get("usr/lib"), Some(0));
    }

    #[test]
    fn metadata_gives_back_what_it_was_made_of() {
        let layer = |paths| CommitLayer { name: "a".to_owned(), tree: Digest::of("t"), paths };
        let layers = vec![layer(Some(vec!["/a".to_owned()])), layer(None), layer(Some(vec![]))];
        let metadata = |value| objects::metadata([(KEY, value)].into_iter());
        assert_eq!(read(&metadata(variant(&layers))), layers);
        assert_eq!(read(&metadata(variant(&[]))), []);
        // Not by treelay.
        assert_eq!(read(&metadata("a".to_variant())), []);
        let nameless = objects::metadata([("tree", "a".to_variant())].into_iter());
        assert_eq!(read(&metadata(objects::array("a{sv}", [nameless].into_iter()))), []);
        assert_eq!(read(&objects::metadata(std::iter::empty())), []);
    }

    #[test]
    fn too_many_paths_are_not_said() {
        let scattered = |count: usize| -> Vec<CommitLayer> {
            let paths: Vec<String> = (0..count).map(|n| format!("usr/share/{n:06}")).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let (even, odd): (Vec<_>, Vec<_>) = paths.iter().partition(|path| path.ends_with('0'));
            said(&[("even", tree(&even)), ("odd", tree(&odd))])
        };
        let length = "/usr/share/000000".len();
        let most = scattered(MOST / length);
        assert!(most.iter().all(|layer| layer.paths.is_some()));
        let many = scattered(MOST / length + 1);
        assert!(many.iter().all(|layer| layer.paths.is_none()));
        assert_eq!((&*many[1].name, LayerOf::new(&many).get("usr/share")), ("odd", None));
    }
}
