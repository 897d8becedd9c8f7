//! [`Tree`]: what a layer *is*.
//!
//! A tree is a manifest, not a stream: its entries name file contents by digest, and the contents
//! live elsewhere ([`Contents`](crate::Contents)). So one tree feeds a tar and an OSTree commit,
//! and is compared, split and merged without a byte of content being read.
//!
//! *Canonical form.* Entries are sorted by the bytes of their path, every parent directory is an
//! entry, the root itself is none (it is always a directory, mode 0755, owned by root), and there
//! are no times: every file time inside a layer is 0. [`Tree::to_text`] is the form that is stored
//! and hashed: two trees are the same exactly if their texts are.

mod diff;
mod entry;
mod merge;
mod path;
mod text;

pub use diff::{Aspect, Change, diff};
pub use entry::{Entry, Node, Owner, SELINUX, Xattrs};
pub use merge::{Conflict, Merged};
pub use path::{NotATreePath, TreePath};
pub use text::NotATree;
pub(crate) use text::write_entry;

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;

use treelay_recipes::{Digest, Hasher};

/// Sorted entries; see the module's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<Entry>,
}

/// Why entries do not make a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// One path twice.
    #[error("/{0} is there twice")]
    Twice(TreePath),
    /// A path below something that is not a directory.
    #[error("/{path} lies below /{parent}, which is not a directory")]
    BelowNoDirectory {
        /// The path.
        path: TreePath,
        /// What is in its way.
        parent: TreePath,
    },
}

impl Tree {
    /// Sorts `entries` and adds the parent directories that are missing (mode 0755, root's).
    ///
    /// # Errors
    /// [`TreeError`] where a path is there twice or lies below a file or link.
    pub fn from_entries(mut entries: Vec<Entry>) -> Result<Self, TreeError> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(TreeError::Twice(pair[0].path.clone()));
        }
        let missing = missing_parents(&entries)?;
        if !missing.is_empty() {
            entries.extend(missing.into_iter().map(|path| Entry::dir(path, 0o755)));
            entries.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(Self { entries })
    }

    /// The entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at `path`.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        Some(&self.entries[at])
    }

    /// Bytes of all files together.
    pub fn content_size(&self) -> u64 {
        self.entries.iter().filter_map(Entry::file).map(|(_, size)| size).sum()
    }

    /// The digest of [`Tree::to_text`].
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        self.text_in_parts(|part| {
            hasher.update(part.as_bytes());
            Ok::<_, Infallible>(())
        })
        .unwrap_or_else(|never| match never {});
        hasher.finish()
    }

    /// Gives [`Tree::to_text`] to `take`, some entries at a time: the text of a million is long.
    ///
    /// # Errors
    /// The first that `take` gives.
    pub fn text_in_parts<E>(&self, mut take: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let mut text = String::new();
        for entries in self.entries.chunks(1024) {
            text.clear();
            entries.iter().for_each(|entry| write_entry(&mut text, entry));
            take(&text)?;
        }
        Ok(())
    }

    /// The same entries below `prefix`.
    ///
    /// # Errors
    /// [`NotATreePath`] where a path becomes too long.
    pub fn under(&self, prefix: Option<&TreePath>) -> Result<Self, NotATreePath> {
        let Some(prefix) = prefix else { return Ok(self.clone()) };
        let mut parents: Vec<_> = prefix.ancestors().collect();
        parents.push(prefix.clone());
        // Sorted as they are: a path comes after what it begins with, and one prefix changes no order.
        let mut entries = Vec::with_capacity(self.entries.len() + parents.len());
        entries.extend(parents.into_iter().map(|path| Entry::dir(path, 0o755)));
        for entry in &self.entries {
            entries.push(Entry { path: prefix.join(entry.path.as_str())?, ..entry.clone() });
        }
        Ok(Self { entries })
    }

    /// The entries for which `keep` says yes, with the parents they need.
    pub fn filter(&self, mut keep: impl FnMut(&Entry) -> bool) -> Self {
        let kept: Vec<Entry> = self.entries.iter().filter(|entry| keep(entry)).cloned().collect();
        self.with_own_parents(kept)
    }

    /// Completes `kept`, a sorted part of this tree, with the parents it needs, as they are here.
    fn with_own_parents(&self, kept: Vec<Entry>) -> Self {
        let mut needed = HashSet::new();
        for entry in &kept {
            // A parent that is known has had its own parents looked at.
            parents(entry.path.as_str()).take_while(|parent| needed.insert(*parent)).for_each(drop);
        }
        let mut entries = Vec::with_capacity(kept.len() + needed.len());
        let mut rest = kept.iter().peekable();
        for entry in &self.entries {
            if let Some(kept) = rest.next_if(|kept| kept.path == entry.path) {
                entries.push(kept.clone());
            } else if matches!(entry.node, Node::Dir) && needed.contains(entry.path.as_str()) {
                entries.push(entry.clone());
            }
        }
        Self { entries }
    }
}

/// The directories above `path`, the deepest first, without the root.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rfind('/').map(|at| &path[..at])).skip(1)
}

/// The parents of sorted `entries` that are not among them.
fn missing_parents(entries: &[Entry]) -> Result<Vec<TreePath>, TreeError> {
    let mut missing = BTreeSet::new();
    // Neighbours mostly lie in one directory, and a parent that is an entry has its own parents
    // looked at as an entry: so one search for each directory is enough.
    let mut known = None;
    for entry in entries {
        let path = &entry.path;
        let parent = parents(path.as_str()).next();
        if parent.is_none() || parent == known {
            continue;
        }
        known = parent;
        for parent in path.ancestors_up() {
            match entries.binary_search_by(|entry| entry.path.cmp(&parent)) {
                Ok(at) if matches!(entries[at].node, Node::Dir) => break,
                Ok(_) => {
                    return Err(TreeError::BelowNoDirectory { path: path.clone(), parent });
                }
                Err(_) => {
                    missing.insert(parent);
                }
            }
        }
    }
    Ok(missing.into_iter().collect())
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
