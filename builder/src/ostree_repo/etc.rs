//! `/etc` becomes `/usr/etc`: OSTree keeps the defaults there and makes each host's `/etc` of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use treelay_layers::tree::{Entry, Node, Tree, TreePath};

use super::error::{OstreeError, Result};

/// Moves what is in `/etc` to `/usr/etc`, where something may be already.
///
/// A directory that both have is merged: one of mode 0755 and root's, without attributes, gives way
/// to what the other says of it. Hosts make `/etc` themselves: no empty one is left behind.
///
/// # Errors
/// [`OstreeError::EtcTwice`] where both have a path and differ, [`OstreeError::EtcIsNoDirectory`],
/// [`OstreeError::Etc`] where something else is in the way.
pub fn etc_to_usr_etc(tree: &Tree) -> Result<Tree> {
    let Some(etc) = tree.get("etc") else { return Ok(tree.clone()) };
    if !matches!(etc.node, Node::Dir) {
        return Err(OstreeError::EtcIsNoDirectory);
    }
    let mut union: BTreeMap<TreePath, Entry> = BTreeMap::new();
    let mut moved = Vec::new();
    for entry in tree.entries() {
        match below_etc(entry) {
            Some(_) => moved.push(entry),
            None => {
                union.insert(entry.path.clone(), entry.clone());
            }
        }
    }
    for entry in moved {
        let rest = below_etc(entry).unwrap_or_default();
        let twice = || OstreeError::EtcTwice { path: rest.to_owned() };
        // Only its length can make it none: then the original is at the kernel's limit already.
        let path = TreePath::new(&in_commit(entry.path.as_str())).map_err(|_| twice())?;
        let entry = Entry { path: path.clone(), ..entry.clone() };
        match union.get(&path) {
            Some(there) if *there == entry || (entry.is_plain_dir() && is_dir(there)) => {}
            Some(there) if !(there.is_plain_dir() && is_dir(&entry)) => return Err(twice()),
            _ => {
                union.insert(path, entry);
            }
        }
    }
    Ok(Tree::from_entries(union.into_values().collect())?)
}

/// The rest of its path, if it is `/etc` (then empty) or below.
pub(super) fn below_etc(entry: &Entry) -> Option<&str> {
    match entry.path.as_str().strip_prefix("etc")? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// Whether a path, without the first `/`, is `/etc` or below.
pub(super) fn is_etc(path: &str) -> bool {
    path == "etc" || path.starts_with("etc/")
}

/// A path of hosts and images, without the first `/`, as commits have it.
pub fn in_commit(path: &str) -> Cow<'_, str> {
    if is_etc(path) { format!("usr/{path}").into() } else { path.into() }
}

/// A path of commits, without the first `/`, as hosts and images have it.
pub fn on_host(path: &str) -> &str {
    path.strip_prefix("usr/").filter(|rest| is_etc(rest)).unwrap_or(path)
}

fn is_dir(entry: &Entry) -> bool {
    matches!(entry.node, Node::Dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_commits_and_hosts_are_each_others() {
        for (host, commit) in [
            ("etc", "usr/etc"),
            ("etc/a", "usr/etc/a"),
            ("etcetera", "etcetera"),
            ("usr/etcetera", "usr/etcetera"),
            ("a/etc/b", "a/etc/b"),
        ] {
            assert_eq!((&*in_commit(host), on_host(commit)), (commit, host));
        }
    }

    fn moved(text: &str) -> std::result::Result<String, String> {
        let tree = Tree::from_text(text).unwrap();
        etc_to_usr_etc(&tree).map(|tree| tree.to_text()).map_err(|error| error.to_string())
    }

    #[test]
    fn moves_and_merges() {
        for (before, after) in [
            ("", ""),
            ("d 0755 0 0 etcetera\n", "d 0755 0 0 etcetera\n"),
            (
                "d 0750 0 0 etc\nd 0755 0 0 etc/a\nl 0777 0 0 etc/a/b -> c\n",
                "d 0755 0 0 usr\nd 0750 0 0 usr/etc\nd 0755 0 0 usr/etc/a\n\
                 l 0777 0 0 usr/etc/a/b -> c\n",
            ),
            (
                "d 0755 0 0 etc\nd 0755 0 0 etc/a\nl 0777 0 0 etc/a/b -> c\nd 0755 0 0 usr\n\
                 d 0700 0 0 usr/etc\nd 0755 0 0 usr/etc/a\nl 0777 0 0 usr/etc/a/b -> c\n\
                 l 0777 0 0 usr/etc/z -> c\n",
                "d 0755 0 0 usr\nd 0700 0 0 usr/etc\nd 0755 0 0 usr/etc/a\n\
                 l 0777 0 0 usr/etc/a/b -> c\nl 0777 0 0 usr/etc/z -> c\n",
            ),
        ] {
            assert_eq!(moved(before).as_deref(), Ok(after), "{before}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_merged() {
        let both = "are both there, and differ";
        for (text, message) in [
            ("l 0777 0 0 etc -> x\n", "not a directory"),
            (
                "d 0755 0 0 etc\nl 0777 0 0 etc/a -> b\nd 0755 0 0 usr\nd 0755 0 0 usr/etc\nl 0777 0 0 usr/etc/a -> c\n",
                both,
            ),
            (
                "d 0755 0 0 etc\nd 0755 0 0 etc/a\nd 0755 0 0 usr\nd 0755 0 0 usr/etc\nl 0777 0 0 usr/etc/a -> c\n",
                both,
            ),
            ("d 0700 0 0 etc\nd 0755 0 0 usr\nd 0711 0 0 usr/etc\n", both),
            ("d 0755 0 0 etc\nl 0777 0 0 usr -> x\n", "moving /etc to /usr/etc"),
        ] {
            let error = moved(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
