//! Splitting a layer into what is equal on every arch and the rest.
//!
//! The shared part is stored, compressed, pushed and pulled once. An entry is shared when all trees
//! have it and agree in everything: type, content, mode, owner, attributes. Both parts hold the
//! directories that their entries need. What the two say together is exactly the whole, in any
//! order: a directory that arches disagree about is in the rest as it is, and where the shared part
//! needs it as a parent it is plain (0755, root's), which gives way when trees are merged. In an
//! image the rest lies above.

use crate::{Entry, Tree};

/// Less content than this is not worth a layer of its own.
pub const LEAST: u64 = 1 << 20;

/// The version of the rule: part of what a split is remembered under.
pub const RULE: &str = "share-1";

/// A layer in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What all trees have.
    pub shared: Tree,
    /// What else each has, in the order the trees were given.
    pub rest: Vec<Tree>,
}

/// Splits the trees of one layer, one for each arch; `None` where it does not pay: there is one
/// arch, all trees are equal, or less than [`LEAST`] bytes are shared.
pub fn split(trees: &[&Tree]) -> Option<Split> {
    let (first, others) = trees.split_first()?;
    if others.iter().all(|other| other == first) {
        return None;
    }
    // The trees are sorted, so one walk of all at once finds what they agree in.
    let mut cursors: Vec<_> = others.iter().map(|tree| tree.entries().iter().peekable()).collect();
    let mut shared = Vec::new();
    for entry in first.entries() {
        let mut everywhere = true;
        for cursor in &mut cursors {
            while cursor.next_if(|other| other.path < entry.path).is_some() {}
            everywhere &= cursor.peek().is_some_and(|other| *other == entry);
        }
        if everywhere {
            shared.push(entry.clone());
        }
    }
    let size: u64 = shared.iter().filter_map(Entry::file).map(|(_, size)| size).sum();
    if size < LEAST {
        return None;
    }
    let rest = trees.iter().map(|tree| without(tree, &shared)).collect();
    // Cannot fail: every parent of an entry of a tree is a directory in it, here too or added.
    let shared = Tree::from_entries(shared).ok()?;
    Some(Split { shared, rest })
}

/// What of `tree` is not in sorted `shared`, with the parents it needs.
fn without(tree: &Tree, shared: &[Entry]) -> Tree {
    let mut shared = shared.iter().peekable();
    tree.filter(|entry| {
        while shared.next_if(|other| other.path < entry.path).is_some() {}
        shared.peek().is_none_or(|other| other.path != entry.path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::fixture::tree;

    /// A megabyte that all have, without writing it out.
    fn big(arch: &str) -> String {
        let zeros = "0".repeat(64);
        format!(
            "f 0644 0 0 2000000 {zeros} usr/lib/go/src/big
             f 0644 0 0 =same usr/lib/go/VERSION
             f 0755 0 0 ={arch} usr/lib/go/bin/go
             d 0700 0 0 usr/lib/empty
             l 0777 0 0 usr/bin/go -> ../lib/go/bin/go"
        )
    }

    fn merged(split: &Split, at: usize) -> Tree {
        Tree::merge([("shared", &split.shared), ("rest", &split.rest[at])]).unwrap().tree
    }

    #[test]
    fn the_parts_together_are_the_whole() {
        let cases = [
            vec![big("a"), big("b"), big("c")],
            // One has a directory that others have with another mode, and as a parent.
            vec![
                big("a") + "\nd 0750 0 0 usr/lib/go/src\nf 0644 0 0 =x usr/lib/go/src/x",
                big("a") + "\nd 0700 0 0 usr/lib/go/src\nf 0644 0 0 =x usr/lib/go/src/x",
            ],
            // A path that is a file here and a directory there.
            vec![big("a") + "\nf 0644 0 0 =f etc/x", big("a") + "\nf 0644 0 0 =f etc/x/y"],
            // More on one side, on both ends.
            vec![big("a") + "\nf 0644 0 0 =1 a/a\nf 0644 0 0 =1 zz", big("a")],
            vec![big("a"), big("a") + "\nf 0644 7 0 =1 a/a\nl 0777 0 0 zz -> y"],
        ];
        for texts in cases {
            let trees: Vec<Tree> = texts.iter().map(|text| tree(text).0).collect();
            let split = split(&trees.iter().collect::<Vec<_>>()).unwrap();
            for (at, whole) in trees.iter().enumerate() {
                assert_eq!(merged(&split, at).to_text(), whole.to_text());
            }
            assert!(split.shared.get("usr/lib/go/src/big").is_some());
            for rest in &split.rest {
                assert!(rest.get("usr/lib/go/src/big").is_none());
                assert!(rest.get("usr/lib/empty").is_none());
            }
        }
    }

    #[test]
    fn no_split_where_it_does_not_pay() {
        let (a, _) = tree(&big("a"));
        let (b, _) = tree(&big("b"));
        let (small_a, _) = tree("f 0644 0 0 =same x\nf 0644 0 0 =a y");
        let (small_b, _) = tree("f 0644 0 0 =same x\nf 0644 0 0 =b y");
        assert_eq!(split(&[]), None);
        assert_eq!(split(&[&a]), None);
        assert_eq!(split(&[&a, &a]), None);
        assert_eq!(split(&[&small_a, &small_b]), None);
        assert!(split(&[&a, &b]).is_some());
    }
}
