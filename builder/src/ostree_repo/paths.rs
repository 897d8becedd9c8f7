//! What is in a commit, path by path.

use std::collections::{BTreeMap, HashMap};

use ostree::gio::prelude::*;
use ostree::glib::Variant;
use ostree::{ObjectType, gio};
use treelay_layers::tree::{Entry, Owner, Xattrs};
use treelay_layers::{Node, TreePath};
use treelay_recipes::{Digest, HashingReader};

use super::error::{Doing, Result};
use super::sign::dictionary;
use super::{NONE, Repository, objects};

/// The object that a path of a commit is. The same object is the same entry, but for its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathObject {
    /// A file or link: its content object.
    File(Digest),
    /// A directory: its dirmeta.
    Dir(Digest),
}

/// Entries by the object that they were made of, to read each object once.
pub type KnownEntries = HashMap<PathObject, Entry>;

impl Repository {
    /// Every path of a commit but its root.
    ///
    /// # Errors
    /// [`OstreeError::Library`](super::OstreeError::Library) for an object that cannot be read,
    /// [`OstreeError::TooLarge`](super::OstreeError::TooLarge) for more paths than any system has.
    pub fn paths(&self, commit: &Digest) -> Result<BTreeMap<String, PathObject>> {
        let trees = self.trees(commit)?;
        trees.check(commit)?;
        let mut paths = BTreeMap::new();
        let mut todo = vec![(String::new(), trees.root.tree)];
        while let Some((folder, tree)) = todo.pop() {
            let found = trees.listing(&tree);
            for (name, object) in &found.files {
                paths.insert(format!("{folder}{name}"), PathObject::File(*object));
            }
            for (name, dir) in &found.dirs {
                let path = format!("{folder}{name}");
                todo.push((format!("{path}/"), dir.tree));
                paths.insert(path, PathObject::Dir(dir.meta));
            }
        }
        Ok(paths)
    }

    /// The dirtree and the dirmeta of a commit's root: commits in which both are the same have the
    /// same paths.
    ///
    /// # Errors
    /// [`OstreeError::Library`](super::OstreeError::Library) for a commit that cannot be read.
    pub fn root_objects(&self, commit: &Digest) -> Result<(Digest, Digest)> {
        let root = self.root(commit)?;
        Ok((root.tree, root.meta))
    }

    /// `ostree.architecture` of a commit, as `uname -m` has it.
    ///
    /// # Errors
    /// As [`Repository::paths`].
    pub fn arch_of(&self, commit: &Digest) -> Result<Option<String>> {
        let commit = self.load(ObjectType::Commit, commit)?;
        let metadata = dictionary(&commit.child_value(0));
        Ok(metadata.get("ostree.architecture").and_then(|arch| arch.get()))
    }

    /// What an object is at a path; its content is read for its digest, unless it is known.
    ///
    /// # Errors
    /// [`OstreeError::Library`](super::OstreeError::Library) for an object that cannot be read.
    pub fn entry(
        &self,
        path: &str,
        object: &PathObject,
        known: &mut KnownEntries,
    ) -> Result<Entry> {
        let reading = || format!("reading /{path}");
        let place = TreePath::new(path)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
            .doing(reading)?;
        if let Some(there) = known.get(object) {
            return Ok(Entry { path: place, ..there.clone() });
        }
        let entry = match object {
            PathObject::Dir(meta) => {
                let meta = self.load(ObjectType::DirMeta, meta)?;
                ostree::validate_structureof_dirmeta(&meta).doing(reading)?;
                let (owner, mode) = objects::owner_and_mode(&meta);
                let entry = Entry::dir(place, mode);
                Entry { owner, ..entry }.with_xattrs(xattrs(&meta.child_value(3)))
            }
            PathObject::File(object) => self.file_entry(place, object)?,
        };
        known.insert(*object, entry.clone());
        Ok(entry)
    }

    fn file_entry(&self, path: TreePath, object: &Digest) -> Result<Entry> {
        let reading = || format!("reading object {}, which is /{path}", object.hex());
        let (stream, info, attributes) = self.repo.load_file(&object.hex(), NONE).doing(reading)?;
        let number = |name| info.attribute_uint32(name);
        let owner = Owner { uid: number("unix::uid"), gid: number("unix::gid") };
        let node = match stream.filter(|_| info.file_type() == gio::FileType::Regular) {
            Some(stream) => {
                let mut reader = HashingReader::new(stream.into_read());
                std::io::copy(&mut reader, &mut std::io::sink()).doing(reading)?;
                let (digest, size) = reader.finish();
                Node::File { digest, size }
            }
            None => {
                let target = info.symlink_target().unwrap_or_default();
                Node::Symlink { target: target.to_string_lossy().into() }
            }
        };
        let mode = match node {
            Node::Symlink { .. } => 0o777,
            _ => (number("unix::mode") & 0o7777) as u16,
        };
        let list = xattrs(&attributes);
        Ok(Entry { path, node, mode, owner, xattrs: None }.with_xattrs(list))
    }
}

/// Reads an `a(ayay)`; names end with a NUL. A name that is not UTF-8 is passed over.
fn xattrs(list: &Variant) -> Xattrs {
    let bytes =
        |pair: &Variant, at| pair.child_value(at).fixed_array::<u8>().ok().map(<[u8]>::to_vec);
    let pair = |pair: Variant| {
        let mut name = bytes(&pair, 0)?;
        name.pop_if(|last| *last == 0);
        Some((String::from_utf8(name).ok()?, bytes(&pair, 1)?))
    };
    list.iter().filter_map(pair).collect()
}
