//! Whether a symbolic link leaves the root of its tree.

use crate::{Node, Tree, TreePath};

/// What the kernel follows at most (Linux, MAXSYMLINKS).
const MAX_HOPS: usize = 40;

/// Whether following `target` from the link at `path` climbs above the root, other links of the
/// tree being followed on the way. An absolute target starts at the root again. A loop, and a path
/// that is not in the tree, lead nowhere and so do not leave.
pub(super) fn leaves(tree: &Tree, path: &TreePath, target: &str) -> bool {
    let mut at: Vec<&str> = parent_components(path).collect();
    let mut ahead: Vec<&str> = target.rsplit('/').collect();
    if target.starts_with('/') {
        at.clear();
    }
    let mut hops = 0;
    while let Some(name) = ahead.pop() {
        match name {
            "" | "." => {}
            ".." => {
                if at.pop().is_none() {
                    return true;
                }
            }
            name => {
                at.push(name);
                let Some(entry) = tree.get(&at.join("/")) else { continue };
                if let Node::Symlink { target } = &entry.node {
                    hops += 1;
                    if hops > MAX_HOPS {
                        return false;
                    }
                    at.pop();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    ahead.extend(target.rsplit('/'));
                }
            }
        }
    }
    false
}

fn parent_components(path: &TreePath) -> impl Iterator<Item = &str> {
    let text = path.as_str();
    text.rfind('/').map(|end| &text[..end]).into_iter().flat_map(|parent| parent.split('/'))
}
