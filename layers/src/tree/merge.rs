//! Merging layers into one tree.

use std::collections::BTreeMap;

use super::{Entry, Node, Tree, TreePath};

/// Two layers that want different things at one path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layers {first:?} and {second:?} both write /{path}, differently: {difference}")]
pub struct Conflict {
    /// Where.
    pub path: TreePath,
    /// The lower layer.
    pub first: String,
    /// The upper layer.
    pub second: String,
    /// In what they differ.
    pub difference: &'static str,
}

/// Several layers as one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The union.
    pub tree: Tree,
}

impl Tree {
    /// The union of named layers. The same path may be in several layers as long as it says the
    /// same everywhere; a directory that one layer has only because it needs a parent (0755,
    /// root's, no attributes) gives way to what another layer says of it.
    ///
    /// # Errors
    /// [`Conflict`], naming both layers and the path.
    pub fn merge<'a>(
        layers: impl IntoIterator<Item = (&'a str, &'a Tree)>,
    ) -> Result<Merged, Conflict> {
        let mut union: BTreeMap<&TreePath, (&'a str, &Entry)> = BTreeMap::new();
        for (name, tree) in layers {
            for entry in &tree.entries {
                match union.get(&entry.path) {
                    Some((_, there)) if entry.is_plain_dir() && matches!(there.node, Node::Dir) => {
                    }
                    Some((first, there)) if *there != entry && !there.is_plain_dir() => {
                        return Err(conflict(first, name, there, entry));
                    }
                    Some((first, there)) if !matches!(entry.node, Node::Dir) && *there != entry => {
                        return Err(conflict(first, name, there, entry));
                    }
                    _ => {
                        union.insert(&entry.path, (name, entry));
                    }
                }
            }
        }
        check_parents(&union)?;
        let entries = union.into_values().map(|(_, entry)| entry.clone()).collect();
        Ok(Merged { tree: Tree { entries } })
    }
}

fn check_parents(union: &BTreeMap<&TreePath, (&str, &Entry)>) -> Result<(), Conflict> {
    for (path, (name, entry)) in union {
        let Some(parent) = path.parent() else { continue };
        if let Some((first, there)) = union.get(&parent)
            && !matches!(there.node, Node::Dir)
        {
            return Err(conflict(first, name, there, entry));
        }
    }
    Ok(())
}

fn conflict(first: &str, second: &str, a: &Entry, b: &Entry) -> Conflict {
    let difference = if std::mem::discriminant(&a.node) != std::mem::discriminant(&b.node) {
        "one is a file, the other a directory or link"
    } else if a.node != b.node {
        "content"
    } else if a.mode != b.mode {
        "mode"
    } else if a.owner != b.owner {
        "owner"
    } else {
        "extended attributes"
    };
    Conflict {
        path: a.path.clone(),
        first: first.to_owned(),
        second: second.to_owned(),
        difference,
    }
}
