//! Whether hosts can boot the images that say so.
//!
//! Who reads them: rpm-ostree and bootc take an ordinary image whose config has a label of
//! [`image_labels::OF_HOSTS`],
//! make `/usr/etc` of its `/etc`, and deploy it as a commit. What they need beside what ostree needs
//! (`ostree_repo::boot`) is in bootc's `lints.rs` and in ostree-ext's `container/store.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use treelay_layers::tree::{Entry, Node, Tree, TreePath};
use treelay_recipes::{Arch, Digest};

use super::{BaseImage, Bases, ExecError, Layers, Workshop};
use crate::ostree_repo::{
    image_labels::{self, LAST_LAYER},
    what_it_boots,
};
use crate::plan::{Plan, PlannedImage};
use crate::sources::{Everything, Sources};

/// The kind of product that remembers what is wrong with an image.
const HOST_IMAGE: &str = "host-image";
/// What a file may be called that os-release(5) is in, or leads to.
const OS_RELEASE: &str = "os-release";

impl Workshop<'_> {
    /// Looks at every image that says that hosts can boot it, as its layers lie on its base.
    ///
    /// # Errors
    /// [`ExecError::NotBootable`], with all that is wrong.
    pub fn check_host_images(
        &self,
        plan: &Plan,
        layers: &Layers<'_>,
        bases: &Bases,
        sources: &Sources,
    ) -> Result<(), ExecError> {
        for image in &plan.images {
            let arch = image.arch;
            let base = bases.get(&arch);
            let labels = Labels { image, base };
            let Some(label) =
                image_labels::OF_HOSTS.into_iter().find(|label| labels.get(label).is_some())
            else {
                continue;
            };
            let mut problems: Vec<String> = wrong_last_layer(&labels).into_iter().collect();
            let mut key = format!("host-image-1 {arch} {:?}", base.map(|base| base.manifest));
            for layer in layers.by_arch.get(&arch).into_iter().flatten() {
                key += &format!(" {}", layer.tree);
            }
            let key = Digest::of(key);
            problems.extend(match self.store.product::<Vec<String>>(HOST_IMAGE, &key) {
                Some(known) => known,
                None => {
                    let found = self.wrong_tree(arch, layers, base, sources)?;
                    let remembering = ExecError::store("remembering what hosts can boot");
                    self.store.put_product(HOST_IMAGE, &key, &found).map_err(remembering)?;
                    found
                }
            });
            if !problems.is_empty() {
                return Err(ExecError::NotBootable { arch, label, problems });
            }
        }
        Ok(())
    }

    fn wrong_tree(
        &self,
        arch: Arch,
        layers: &Layers<'_>,
        base: Option<&BaseImage>,
        sources: &Sources,
    ) -> Result<Vec<String>, ExecError> {
        let lower = base.map(|base| self.base_tree(base)).transpose()?;
        let of_arch = layers.by_arch.get(&arch).map(Vec::as_slice).unwrap_or_default();
        let own = of_arch.iter().map(|layer| layers.tree(&layer.tree));
        let own: Vec<Arc<Tree>> = own.collect::<Result<_, _>>()?;
        let tree = whole(lower.iter().chain(&own))?;
        if let (Some(base), Some(lower)) = (base, &lower) {
            let of_layers: BTreeSet<&Digest> =
                own.iter().flat_map(|tree| tree.entries()).filter_map(digest).collect();
            let named = |entry: &&Entry| entry.path.name().contains(OS_RELEASE);
            let wanted = tree.entries().iter().filter(named).filter_map(digest);
            let wanted = wanted.filter(|digest| !of_layers.contains(digest)).copied().collect();
            self.base_contents(base, lower, &wanted)?;
        }
        let contents = Everything { sources, store: self.store };
        let boots = what_it_boots(&tree, &contents)
            .map_err(|source| ExecError::Boots { arch, source: Box::new(source) })?;
        Ok(boots.err().into_iter().chain(wrong_places(&tree)).collect())
    }
}

fn digest(entry: &Entry) -> Option<&Digest> {
    entry.file().map(|(digest, _)| digest)
}

/// Trees over each other; what may lie on what was found out before.
fn whole<'t>(trees: impl Iterator<Item = &'t Arc<Tree>>) -> Result<Tree, ExecError> {
    let mut whole: BTreeMap<&TreePath, &Entry> = BTreeMap::new();
    for tree in trees {
        whole.extend(tree.entries().iter().map(|entry| (&entry.path, entry)));
    }
    let entries = whole.into_values().cloned().collect();
    Tree::from_entries(entries)
        .map_err(|error| super::base::nonsense("the base", &error.to_string()))
}

/// What is not where hosts need it, or where they do not take it from.
fn wrong_places(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    // With something in both, hosts do not know which is meant, and that was told.
    if tree.get("usr/etc").is_some() && tree.get("etc").is_none() {
        problems.push("there is a /usr/etc: images have /etc, and hosts make the other".to_owned());
    }
    match tree.get("sysroot").map(|entry| &entry.node) {
        Some(Node::Dir) => {}
        Some(_) => problems.push("/sysroot is no directory".to_owned()),
        None => problems.push("there is no directory /sysroot".to_owned()),
    }
    match tree.get("ostree").map(|entry| &entry.node) {
        Some(Node::Symlink { target }) if is_repository(target) => {}
        Some(Node::Symlink { target }) => {
            problems.push(format!("/ostree is a link to {target}, not to sysroot/ostree"));
        }
        Some(_) => problems.push("/ostree is no link to sysroot/ostree".to_owned()),
        None => problems.push("there is no link /ostree to sysroot/ostree".to_owned()),
    }
    let in_boot = |entry: &&Entry| entry.path.as_str().starts_with("boot/");
    if let Some(entry) = tree.entries().iter().find(in_boot) {
        let text = format!("/{} would be lost: hosts have a /boot of their own", entry.path);
        problems.push(text);
    }
    problems
}

fn is_repository(target: &str) -> bool {
    let names = target.split('/').filter(|name| !matches!(*name, "" | "."));
    names.eq(["sysroot", "ostree"])
}

/// The labels of an image, some of them its base's.
struct Labels<'a> {
    image: &'a PlannedImage,
    base: Option<&'a BaseImage>,
}

impl Labels<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let own = self.image.labels.get(name).map(String::as_str);
        let below = || self.base?.config.get("config")?.get("Labels")?.get(name);
        own.or_else(|| below().and_then(Value::as_str))
    }
}

/// What is encapsulated is known by its last layer, which must be there.
fn wrong_last_layer(labels: &Labels<'_>) -> Option<String> {
    let last = labels.get(LAST_LAYER)?;
    let ids = labels.base.map(|base| base.diff_ids.as_slice()).unwrap_or_default();
    let is_there = ids.iter().any(|id| id.to_string() == last);
    let text = || format!("its label {LAST_LAYER} names {last}, which is no layer of its base");
    (!is_there).then(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_hosts_need_are_named() {
        let fine = ["sysroot/", "ostree=sysroot/ostree", "boot/", "etc/"];
        let table: [(&[&str], &[&str], &[&str]); 7] = [
            (&[], &[], &[]),
            (&["ostree=./sysroot/ostree/"], &[], &[]),
            (&[], &["sysroot/"], &["there is no directory /sysroot"]),
            (&["sysroot=x"], &[], &["/sysroot is no directory"]),
            (&["ostree=usr"], &[], &["/ostree is a link to usr, not to sysroot/ostree"]),
            (
                &["ostree/", "boot/efi/"],
                &[],
                &[
                    "/ostree is no link to sysroot/ostree",
                    "/boot/efi would be lost: hosts have a /boot of their own",
                ],
            ),
            (
                &["usr/", "usr/etc/"],
                &["etc/", "ostree=sysroot/ostree"],
                &[
                    "there is a /usr/etc: images have /etc, and hosts make the other",
                    "there is no link /ostree to sysroot/ostree",
                ],
            ),
        ];
        for (more, less, expected) in table {
            let mut entries = BTreeMap::new();
            for line in fine.iter().filter(|line| !less.contains(line)).chain(more) {
                let (path, target) = line.split_once('=').unwrap_or((line, ""));
                let path = TreePath::new(path.trim_end_matches('/')).unwrap();
                let entry = match target {
                    "" => Entry::dir(path.clone(), 0o755),
                    target => Entry::symlink(path.clone(), target),
                };
                entries.insert(path, entry);
            }
            let tree = Tree::from_entries(entries.into_values().collect()).unwrap();
            assert_eq!(wrong_places(&tree), expected, "{more:?} {less:?}");
        }
    }
}
