//! SELinux labels of what is new in a tree.

use std::collections::BTreeSet;

use treelay_layers::tree::{Entry, Node, SELINUX, Tree};

use super::error::Result;
use super::etc::on_host;

/// Says which label a path has. What it says of a path counts only where the layers bring it: what is
/// the base's keeps its own.
pub trait Labels: Sync {
    /// The value of `security.selinux`, with the NUL at its end; `None` leaves the path without.
    /// `path` is as the host will have it: absolute, with `/etc` where the commit has `/usr/etc`.
    ///
    /// # Errors
    /// Where it cannot be said.
    fn label(&self, path: &str, node: &Node) -> Result<Option<Vec<u8>>>;
}

/// No policy, no labels.
impl Labels for () {
    fn label(&self, _path: &str, _node: &Node) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

/// A tree with labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The tree.
    pub tree: Tree,
    /// Directories of which no layer says the label: over a base, the base's counts.
    pub dirs: BTreeSet<String>,
}

/// `tree` with a label on every entry that has one by `labels`. What a layer says itself stays.
///
/// # Errors
/// Those of `labels`.
pub fn with_labels(tree: Tree, labels: &dyn Labels) -> Result<Labelled> {
    let labelled = tree.entries().iter().map(|entry| {
        let host = format!("/{}", on_host(entry.path.as_str()));
        if entry.xattrs().iter().any(|(name, _)| name == SELINUX) {
            return Ok(None);
        }
        Ok(labels.label(&host, &entry.node)?.map(|label| {
            let mut xattrs = entry.xattrs().to_vec();
            xattrs.push((SELINUX.to_owned(), label));
            entry.clone().with_xattrs(xattrs)
        }))
    });
    let labelled: Vec<Option<Entry>> = labelled.collect::<Result<_>>()?;
    let new = labelled.iter().flatten().filter(|entry| matches!(entry.node, Node::Dir));
    let dirs = new.map(|entry| entry.path.to_string()).collect();
    if labelled.iter().all(Option::is_none) {
        return Ok(Labelled { tree, dirs });
    }
    let all = labelled.into_iter().zip(tree.entries());
    let entries = all.map(|(new, old)| new.unwrap_or_else(|| old.clone())).collect();
    // Cannot fail: paths and types are those of a tree.
    Ok(Labelled { tree: Tree::from_entries(entries).unwrap_or_default(), dirs })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct ByName;

    impl Labels for ByName {
        fn label(&self, path: &str, node: &Node) -> Result<Option<Vec<u8>>> {
            let kind = if matches!(node, Node::Dir) { "d" } else { "-" };
            Ok((path != "/usr").then(|| format!("{kind}{path}\0").into_bytes()))
        }
    }

    #[test]
    fn new_paths_get_theirs() {
        let text = "d 0755 0 0 usr\nd 0755 0 0 usr/etc\nl 0777 0 0 usr/etc/a -> b\n\
                    d 0755 0 0 usr/etcetera\n";
        let Labelled { tree, dirs } = with_labels(Tree::from_text(text).unwrap(), &ByName).unwrap();
        assert_eq!(dirs, ["usr/etc", "usr/etcetera"].map(str::to_owned).into());
        let labels: Vec<_> = tree
            .entries()
            .iter()
            .map(|entry| {
                entry.xattrs().iter().map(|(_, label)| label.as_slice()).collect::<Vec<_>>()
            })
            .collect();
        let expected: [&[&[u8]]; 4] = [&[], &[b"d/etc\0"], &[b"-/etc/a\0"], &[b"d/usr/etcetera\0"]];
        assert_eq!(labels, expected);
        // A label that is there stays.
        assert_eq!(with_labels(tree.clone(), &Other).unwrap().tree, tree);
        assert_eq!(with_labels(tree.clone(), &()).unwrap().tree, tree);
    }

    struct Other;

    impl Labels for Other {
        fn label(&self, path: &str, _node: &Node) -> Result<Option<Vec<u8>>> {
            Ok((path != "/usr").then(|| b"other\0".to_vec()))
        }
    }
}
