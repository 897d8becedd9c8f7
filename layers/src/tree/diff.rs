//! What differs between two trees.

use std::cmp::Ordering;
use std::fmt;

use super::{Entry, Node, SELINUX, Tree};

/// A path that is not the same in two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'t> {
    /// Only the second has it.
    Added(&'t Entry),
    /// Only the first has it.
    Removed(&'t Entry),
    /// Both have it.
    Changed {
        /// In the first.
        from: &'t Entry,
        /// In the second.
        to: &'t Entry,
        /// In what they differ; never empty.
        aspects: Vec<Aspect>,
    },
}

/// In what two entries of one path differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// One is a file, the other a directory or link.
    Type,
    /// The bytes of a file.
    Content,
    /// Where a link leads.
    Target,
    /// Permission bits.
    Mode,
    /// User or group.
    Owner,
    /// The extended attribute of that name.
    Xattr(String),
    /// The SELinux label.
    Label,
}

/// `content`, `mode`, …, `xattr user.note`.
impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "type",
            Self::Content => "content",
            Self::Target => "target",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Label => "label",
            Self::Xattr(name) => return write!(f, "xattr {name}"),
        })
    }
}

impl Change<'_> {
    /// Where.
    pub fn path(&self) -> &str {
        match self {
            Self::Added(entry) | Self::Removed(entry) | Self::Changed { to: entry, .. } => {
                entry.path.as_str()
            }
        }
    }
}

/// Every path that is not the same in both, sorted.
pub fn diff<'t>(from: &'t Tree, to: &'t Tree) -> Vec<Change<'t>> {
    let (mut left, mut right) = (from.entries(), to.entries());
    let mut changes = Vec::new();
    loop {
        let order = match (left.first(), right.first()) {
            (Some(a), Some(b)) => a.path.cmp(&b.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return changes,
        };
        let a = if order.is_le() { left.split_off_first() } else { None };
        let b = if order.is_ge() { right.split_off_first() } else { None };
        changes.extend(match (a, b) {
            (Some(entry), None) => Some(Change::Removed(entry)),
            (None, Some(entry)) => Some(Change::Added(entry)),
            (Some(from), Some(to)) if from != to => {
                Some(Change::Changed { from, to, aspects: aspects(from, to) })
            }
            _ => None,
        });
    }
}

fn aspects(from: &Entry, to: &Entry) -> Vec<Aspect> {
    let mut aspects = Vec::new();
    match (&from.node, &to.node) {
        (Node::File { .. }, Node::File { .. }) if from.node != to.node => {
            aspects.push(Aspect::Content);
        }
        (Node::Symlink { .. }, Node::Symlink { .. }) if from.node != to.node => {
            aspects.push(Aspect::Target);
        }
        (a, b) if std::mem::discriminant(a) != std::mem::discriminant(b) => {
            aspects.push(Aspect::Type);
        }
        _ => {}
    }
    if from.mode != to.mode {
        aspects.push(Aspect::Mode);
    }
    if from.owner != to.owner {
        aspects.push(Aspect::Owner);
    }
    let value = |entry: &Entry, name: &str| {
        let found = entry.xattrs().iter().find(|(there, _)| there == name);
        found.map(|(_, value)| value.clone())
    };
    let names = from.xattrs().iter().chain(to.xattrs()).map(|(name, _)| name);
    for name in names.filter(|name| value(from, name) != value(to, name)) {
        aspects.push(match name.as_str() {
            SELINUX => Aspect::Label,
            name => Aspect::Xattr(name.to_owned()),
        });
    }
    aspects.sort();
    aspects.dedup();
    aspects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::fixture::tree;

    fn told(from: &Tree, to: &Tree) -> Vec<String> {
        let change = |change: &Change<'_>| match change {
            Change::Added(entry) => format!("+ {}", entry.path),
            Change::Removed(entry) => format!("- {}", entry.path),
            Change::Changed { to, aspects, .. } => {
                let aspects: Vec<_> = aspects.iter().map(ToString::to_string).collect();
                format!("~ {}: {}", to.path, aspects.join(", "))
            }
        };
        diff(from, to).iter().map(change).collect()
    }

    #[test]
    fn every_aspect_is_told() {
        let (mut from, _) = tree(
            "d 0755 0 0 a
             f 0644 0 0 =1 a/content
             f 0644 0 0 =1 a/gone
             l 0777 0 0 a/link -> x
             f 0644 0 0 =1 a/mode
             f 0644 0 0 =1 a/owner
             f 0644 0 0 =1 a/type
             f 0644 0 0 =1 b",
        );
        let (mut to, _) = tree(
            "d 0755 0 0 a
             f 0644 0 0 =2 a/content
             l 0777 0 0 a/link -> y
             f 0755 0 0 =1 a/mode
             f 0600 7 0 =1 a/owner
             l 0777 0 0 a/type -> z
             f 0644 0 0 =1 b
             f 0644 0 0 =1 c",
        );
        let xattrs = |tree: &mut Tree, list: &[(&str, &str)]| {
            let list = list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let last = tree.entries.iter_mut().find(|entry| entry.path.as_str() == "b").unwrap();
            *last = last.clone().with_xattrs(list);
        };
        xattrs(&mut from, &[("user.same", "1"), ("user.gone", "1"), ("user.other", "1")]);
        xattrs(&mut to, &[("user.same", "1"), ("user.other", "2"), ("security.selinux", "l")]);
        assert_eq!(
            told(&from, &to),
            [
                "~ a/content: content",
                "- a/gone",
                "~ a/link: target",
                "~ a/mode: mode",
                "~ a/owner: mode, owner",
                "~ a/type: type, mode",
                "~ b: xattr user.gone, xattr user.other, label",
                "+ c",
            ]
        );
        assert_eq!(diff(&to, &to), []);
        assert_eq!(told(&Tree::default(), &from).len(), from.entries().len());
    }
}
