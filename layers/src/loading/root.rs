//! The files of an image, through its symbolic links.

use std::collections::VecDeque;

use crate::{Entry, Node, Tree};

/// Several trees, one above the other.
#[derive(Debug)]
pub(super) struct Root<'a> {
    /// The lowest first.
    trees: Vec<&'a Tree>,
}

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

impl<'a> Root<'a> {
    pub(super) fn new(trees: Vec<&'a Tree>) -> Self {
        Self { trees }
    }

    fn entry(&self, path: &str) -> Option<&'a Entry> {
        self.trees.iter().rev().find_map(|tree| tree.get(path))
    }

    /// The file that a path leads to, and its own path without links.
    pub(super) fn file(&self, path: &str) -> Option<(String, &'a Entry)> {
        let mut rest: VecDeque<&str> = path.split('/').collect();
        let mut at: Vec<&str> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            match part {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                name => at.push(name),
            }
            let entry = self.entry(&at.join("/"))?;
            match &entry.node {
                Node::Dir => {}
                Node::File { .. } if rest.is_empty() => return Some((at.join("/"), entry)),
                Node::File { .. } => return None,
                Node::Symlink { target } => {
                    links += 1;
                    if links > MOST_LINKS {
                        return None;
                    }
                    at.pop();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    target.split('/').rev().for_each(|part| rest.push_front(part));
                }
            }
        }
        None
    }

    /// A file of that name, wherever it is.
    pub(super) fn anywhere(&self, name: &str) -> Option<(String, &'a Entry)> {
        let entries = self.trees.iter().rev().flat_map(|tree| tree.entries());
        let mut named = entries.filter(|entry| entry.path.name() == name);
        named.find_map(|entry| self.file(entry.path.as_str()))
    }
}
