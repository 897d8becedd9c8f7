//! What an image that others made has in it, read from its layers (image-spec, layer.md).
//!
//! Paths, types, modes, owners, attributes and digests are kept, and which layer each is of. The layers
//! are somebody else's work and are passed on as they are, so what treelay would refuse in an archive
//! of its own (devices, names and link targets that are not UTF-8) is passed over here.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use super::delta::{Delta, Member};
use crate::{Entry, Node, Tree, TreePath};

/// The layers of an image, one above the other.
#[derive(Debug, Clone, Default)]
pub struct Lower {
    /// Each with the number of its layer.
    entries: BTreeMap<String, (Entry, usize)>,
    layers: usize,
}

impl Lower {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a layer above what is there: a tar, perhaps compressed with gzip or zstd.
    ///
    /// # Errors
    /// As [`Delta::read`].
    pub fn add(&mut self, layer: impl BufRead) -> io::Result<()> {
        self.put(&Delta::read(layer)?);
        Ok(())
    }

    /// Puts a layer above what is there.
    pub fn put(&mut self, layer: &Delta) {
        let number = self.layers;
        self.layers += 1;
        // Removals are of lower layers, wherever in the layer they stand.
        for member in layer.members() {
            match member {
                Member::Whiteout(path) => {
                    remove_below(&mut self.entries, path);
                    self.entries.remove(path);
                }
                Member::Opaque(path) => remove_below(&mut self.entries, path),
                _ => {}
            }
        }
        let mut own: BTreeMap<String, Entry> = BTreeMap::new();
        for member in layer.members() {
            let entry = match member {
                Member::Entry(entry) => Some(entry.clone()),
                Member::HardLink { path, target } => own
                    .get(target)
                    .or_else(|| self.entries.get(target).map(|(entry, _)| entry))
                    .map(|there| Entry { path: path.clone(), ..there.clone() }),
                _ => None,
            };
            own.extend(entry.map(|entry| (entry.path.to_string(), entry)));
        }
        for (path, entry) in own {
            if !matches!(entry.node, Node::Dir) {
                remove_below(&mut self.entries, &path);
            }
            // The directory that a member needs hides what is none below, as overlayfs has it.
            for (at, _) in path.match_indices('/') {
                let parent = self.entries.get(&path[..at]);
                if parent.is_some_and(|(entry, _)| !matches!(entry.node, Node::Dir)) {
                    self.entries.remove(&path[..at]);
                }
            }
            self.entries.insert(path, (entry, number));
        }
    }

    /// All of it as one tree.
    pub fn into_tree(self) -> Tree {
        self.into_tree_by_layer().0
    }

    /// All of it as one tree, and the number of the layer that each of its entries is of; none where a
    /// layer left a directory out.
    pub fn into_tree_by_layer(self) -> (Tree, Vec<Option<usize>>) {
        let entries = self.entries.values().map(|(entry, _)| entry.clone()).collect();
        // Cannot fail: each path is there once, and below directories only, which layers may leave out.
        let tree = Tree::from_entries(entries).unwrap_or_default();
        let layer = |entry: &Entry| Some(self.entries.get(entry.path.as_str())?.1);
        let layers = tree.entries().iter().map(layer).collect();
        (tree, layers)
    }
}

fn remove_below(entries: &mut BTreeMap<String, (Entry, usize)>, path: &str) {
    // '0' follows '/'.
    let range = if path.is_empty() { String::new().. } else { format!("{path}/").. };
    let end = format!("{path}0");
    let below: Vec<String> = entries
        .range(range)
        .map(|(below, _)| below)
        .take_while(|below| path.is_empty() || **below < end)
        .cloned()
        .collect();
    for path in below {
        entries.remove(&path);
    }
}

/// Why a layer cannot lie above a base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("/{path} is a {layer}, and {base} in the base{hint}")]
pub struct Misplaced {
    /// Where.
    pub path: TreePath,
    /// What the layer has there.
    pub layer: &'static str,
    /// What the base has there.
    pub base: String,
    hint: &'static str,
}

/// A layer's tree as it may lie above `base`: a directory that the layer has only because it needs a
/// parent (0755, root's) is as the base has it, since a layer that names a directory sets its mode
/// and owner.
///
/// # Errors
/// [`Misplaced`] where the layer would replace a directory of the base, or a link to one.
pub fn above(tree: &Tree, base: &Tree) -> Result<Tree, Misplaced> {
    let mut entries = Vec::with_capacity(tree.entries().len());
    for entry in tree.entries() {
        let there = base.get(entry.path.as_str());
        let misplaced = |base: String, hint| Misplaced {
            path: entry.path.clone(),
            layer: match entry.node {
                Node::Dir => "directory of the layer",
                Node::File { .. } => "file of the layer",
                Node::Symlink { .. } => "link of the layer",
            },
            base,
            hint,
        };
        entries.push(match (&entry.node, there.map(|there| (there, &there.node))) {
            (Node::Dir, Some((there, Node::Dir))) => {
                if entry.is_plain_dir() {
                    there.clone()
                } else {
                    entry.clone()
                }
            }
            (Node::Dir, Some((_, Node::Symlink { target }))) => {
                let hint = "; write below what the link leads to";
                return Err(misplaced(format!("a link to {target}"), hint));
            }
            (Node::Dir, Some((_, Node::File { .. }))) => {
                return Err(misplaced("a file".to_owned(), ""));
            }
            (_, Some((_, Node::Dir))) => {
                let hint = "; it would be gone with all in it";
                return Err(misplaced("a directory".to_owned(), hint));
            }
            _ => entry.clone(),
        });
    }
    // Cannot fail: paths and types are those of a tree.
    Ok(Tree::from_entries(entries).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::tree::fixture::tree;

    /// A tar of lines `KIND MODE NAME [TARGET or content]`.
    fn tar(lines: &[&str]) -> Vec<u8> {
        let mut tar = ::tar::Builder::new(Vec::new());
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let mut header = ::tar::Header::new_gnu();
            header.set_mode(u32::from_str_radix(words[1], 8).unwrap());
            let rest = words.get(3).copied().unwrap_or_default();
            let (kind, content) = match words[0] {
                "d" => (::tar::EntryType::Directory, ""),
                "l" => (::tar::EntryType::Symlink, ""),
                "h" => (::tar::EntryType::Link, ""),
                "c" => (::tar::EntryType::Char, ""),
                _ => (::tar::EntryType::Regular, rest),
            };
            header.set_entry_type(kind);
            header.set_uid(3);
            header.set_gid(4);
            header.set_size(content.len() as u64);
            if matches!(words[0], "l" | "h") {
                tar.append_link(&mut header, words[2], rest).unwrap();
            } else {
                tar.append_data(&mut header, words[2], content.as_bytes()).unwrap();
            }
        }
        tar.into_inner().unwrap()
    }

    fn paths(lower: Lower) -> Vec<String> {
        lower.into_tree().entries().iter().map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn layers_lie_above_each_other() {
        let mut lower = Lower::new();
        let first = tar(&[
            "d 1777 ./tmp/",
            "f 644 ./etc/a one",
            "h 644 ./etc/b ./etc/a",
            "l 777 bin usr/bin",
            "f 755 usr/bin/x x",
            "f 644 opt/d/e e",
            "f 644 var/old/f f",
            "c 600 dev/null",
        ]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&first).unwrap();
        lower.add(&gzip.finish().unwrap()[..]).unwrap();
        let tree = lower.clone().into_tree();
        assert_eq!(tree.get("etc/b").unwrap().file(), tree.get("etc/a").unwrap().file());
        let tmp = tree.get("tmp").unwrap();
        assert_eq!((tmp.mode, tmp.owner.uid, tmp.owner.gid), (0o1777, 3, 4));

        let second = tar(&[
            "f 644 etc/.wh.a ",
            "f 644 var/old/.wh..wh..opq ",
            "f 644 var/old/g g",
            "f 644 opt/d file-now",
            "f 644 .wh..wh.plnk ",
        ]);
        let zstd = zstd::encode_all(&second[..], 1).unwrap();
        lower.add(&zstd[..]).unwrap();
        assert_eq!(
            paths(lower),
            [
                "bin",
                "etc",
                "etc/b",
                "opt",
                "opt/d",
                "tmp",
                "usr",
                "usr/bin",
                "usr/bin/x",
                "var",
                "var/old",
                "var/old/g"
            ]
        );

        let mut cut = Lower::new();
        assert!(cut.add(&first[..700]).is_err());
        let unpadded = first.iter().rposition(|byte| *byte != 0).unwrap();
        cut.add(&first[..=unpadded]).unwrap();
        assert!(cut.add(&b"no tar at all"[..]).is_err());
    }

    #[test]
    fn a_layer_keeps_the_directories_of_the_base() {
        let (base, _) = tree(
            "d 0700 0 0 root
             d 1777 0 0 tmp
             f 0644 0 0 =x etc/x
             l 0777 0 0 lib -> usr/lib",
        );
        let (layer, _) = tree("f 0644 0 0 =1 root/a\nf 0644 0 0 =2 etc/x\nd 0750 7 0 tmp");
        let placed = above(&layer, &base).unwrap();
        assert_eq!(placed.get("root").unwrap().mode, 0o700);
        assert_eq!(placed.get("tmp").unwrap().mode, 0o750, "said by the recipe");
        assert_eq!(placed.entries().len(), layer.entries().len());

        for (layer, says) in [
            (
                "f 0644 0 0 =1 lib/a",
                "/lib is a directory of the layer, and a link to usr/lib in the \
              base; write below what the link leads to",
            ),
            ("f 0644 0 0 =1 etc/x/y", "/etc/x is a directory of the layer, and a file in the base"),
            (
                "l 0777 0 0 tmp -> x",
                "/tmp is a link of the layer, and a directory in the base; it would \
              be gone with all in it",
            ),
        ] {
            let (layer, _) = tree(layer);
            assert_eq!(above(&layer, &base).unwrap_err().to_string(), says);
        }
    }
}
