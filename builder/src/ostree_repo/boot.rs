//! What a tree needs so that a host can boot it.
//!
//! From ostree's `ostree-sysroot-deploy.c`: `get_kernel_from_tree_usrlib_modules` takes the one
//! `/usr/lib/modules/*/vmlinuz` and refuses several; `/etc` is made of `/usr/etc` and must not be
//! there beside it; the boot entry is named by os-release.

use std::io::Read as _;

use treelay_layers::Contents;
use treelay_layers::tree::{self, Node};

use super::base::{Base, FileContent};
use super::error::{OstreeError, Result};
use super::etc::in_commit;
use super::overlay::{File, Look, Lower, Plan, Rules, lay};

/// Where kernels are.
const MODULES: &str = "usr/lib/modules";
/// Links that are followed until it is taken for a circle.
pub(super) const MOST_LINKS: usize = 16;

/// Where something is mounted or linked to while a host boots; nothing can be made there then.
const NEEDED: [&str; 9] = ["boot", "dev", "ostree", "proc", "run", "sys", "sysroot", "tmp", "var"];

/// What an os-release may take; those of distributions have some hundred bytes.
const MOST_TEXT: u64 = 64 << 10;

/// Whether hosts shall be able to boot a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bootable {
    /// Where they can boot its base they must be able to; else it is found out.
    #[default]
    Auto,
    /// They must.
    Yes,
    /// It is not looked at.
    No,
}

/// The version of the kernel of a tree that hosts can boot.
///
/// # Errors
/// [`OstreeError::NotBootable`] where they must be able to.
pub(super) fn kernel(
    plan: &Plan<'_>,
    base: Option<&Base<'_>>,
    bootable: Bootable,
    contents: &dyn Contents,
    refname: &str,
) -> Result<Option<String>> {
    if bootable == Bootable::No {
        return Ok(None);
    }
    let lower = base.map(|base| base as &dyn Lower);
    let read = |file: &File, most| read(file, most, plan, base, contents);
    let tree = Tree { plan, lower, read: &read };
    let checked = match (tree.check()?, base) {
        (Ok(kernel), Some(base)) => tree.lost(base, &kernel)?.map_or(Ok(kernel), Err),
        (checked, _) => checked,
    };
    let reason = match checked {
        Ok(kernel) => return Ok(Some(kernel)),
        Err(reason) => reason,
    };
    let must = bootable == Bootable::Yes || base.map(boots).transpose()?.unwrap_or_default();
    match must {
        true => Err(OstreeError::NotBootable { refname: refname.to_owned(), reason }),
        false => Ok(None),
    }
}

/// The version of the kernel of a whole tree that hosts can boot, or why they cannot; `/etc` may be
/// where it is on hosts.
///
/// # Errors
/// What cannot be read.
pub fn what_it_boots(
    tree: &tree::Tree,
    contents: &dyn Contents,
) -> Result<std::result::Result<String, String>> {
    let plan = lay(tree, None, &Rules::default())?;
    let read = |file: &File, most| read(file, most, &plan, None, contents);
    Tree { plan: &plan, lower: None, read: &read }.check()
}

/// Whether hosts can boot the base itself.
fn boots(base: &Base<'_>) -> Result<bool> {
    let nothing = tree::Tree::default();
    let plan = lay(&nothing, Some((base.root, base)), &Rules::default())?;
    let read = |file: &File, most| read(file, most, &plan, Some(base), &NoContents);
    Ok((Tree { plan: &plan, lower: Some(base), read: &read }).check()?.is_ok())
}

/// A base has no contents but its own.
struct NoContents;

impl Contents for NoContents {
    fn open(
        &self,
        _digest: &treelay_recipes::Digest,
        _size: u64,
    ) -> std::io::Result<Box<dyn std::io::Read + Send>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// What is in a file, at most `most` bytes of it; it need not be at hand where nothing is asked for.
fn read(
    file: &File,
    most: u64,
    plan: &Plan<'_>,
    base: Option<&Base<'_>>,
    contents: &dyn Contents,
) -> Result<Content> {
    let text = |bytes: Vec<u8>| Content::Text(String::from_utf8_lossy(&bytes).into_owned());
    match (file, base) {
        (File::Own(entry), _) => {
            let entry = &plan.entries[*entry];
            match &entry.node {
                Node::Symlink { target } => Ok(Content::Link(target.to_string())),
                Node::Dir => Ok(text(Vec::new())),
                Node::File { .. } if most == 0 => Ok(text(Vec::new())),
                Node::File { digest, size } => {
                    let mut bytes = Vec::new();
                    let read = contents
                        .open(digest, *size)
                        .and_then(|content| content.take(most).read_to_end(&mut bytes));
                    read.map_err(|source| OstreeError::Content {
                        digest: *digest,
                        path: entry.path.to_string(),
                        source,
                    })?;
                    Ok(text(bytes))
                }
            }
        }
        (File::Base(object), Some(base)) => Ok(match base.repository.file(object, most)? {
            FileContent::Bytes(bytes) => text(bytes),
            FileContent::Link(target) => Content::Link(target),
        }),
        (File::Base(_), None) => Ok(text(Vec::new())),
    }
}

/// A tree, to be looked at.
struct Tree<'p> {
    plan: &'p Plan<'p>,
    lower: Option<&'p dyn Lower>,
    read: &'p dyn Fn(&File, u64) -> Result<Content>,
}

/// What a file or link says.
enum Content {
    Text(String),
    Link(String),
}

impl Tree<'_> {
    /// The version of the kernel that it boots, or why it does not.
    fn check(&self) -> Result<std::result::Result<String, String>> {
        let kernels = self.kernels()?;
        let kernel = match kernels.as_slice() {
            [] => return Ok(Err(format!("there is no kernel /{MODULES}/*/vmlinuz"))),
            [kernel] => kernel.clone(),
            several => {
                let names = several.join(" and ");
                return Ok(Err(format!("there are several kernels in /{MODULES}: {names}")));
            }
        };
        if let Some(reason) = self.wrong_etc()? {
            return Ok(Err(reason));
        }
        Ok(match self.os_release()? {
            None => Err("there is no os-release in /usr/lib or /etc".to_owned()),
            Some(text) => {
                let has = |key| value(&text, key).is_some_and(|value| !value.is_empty());
                match ["ID", "PRETTY_NAME"].into_iter().find(|key| !has(key)) {
                    Some(key) => Err(format!("its os-release has no {key}")),
                    None => Ok(kernel),
                }
            }
        })
    }

    /// What of its base hosts need to boot, and the tree has no more.
    fn lost(&self, base: &Base<'_>, kernel: &str) -> Result<Option<String>> {
        let nothing = tree::Tree::default();
        let was = lay(&nothing, Some((base.root, base)), &Rules::default())?;
        let initramfs = format!("{MODULES}/{kernel}/initramfs.img");
        for path in NEEDED.into_iter().chain([initramfs.as_str()]) {
            if was.look(path, Some(base))?.is_some() && self.look(path)?.is_none() {
                return Ok(Some(format!("/{path} of its base is gone")));
            }
        }
        Ok(None)
    }

    fn kernels(&self) -> Result<Vec<String>> {
        let Some(Look::Dir { dirs, .. }) = self.look(MODULES)? else { return Ok(Vec::new()) };
        let mut kernels = Vec::new();
        for version in dirs {
            if self.is_there(format!("{MODULES}/{version}/vmlinuz"))? {
                kernels.push(version);
            }
        }
        Ok(kernels)
    }

    /// Whether a path leads to a file.
    fn is_there(&self, mut path: String) -> Result<bool> {
        for _ in 0..MOST_LINKS {
            let Some(Look::File(file)) = self.look(&path)? else { return Ok(false) };
            match (self.read)(&file, 0)? {
                Content::Text(_) => return Ok(true),
                Content::Link(target) => path = follow(&path, &target),
            }
        }
        Ok(false)
    }

    fn wrong_etc(&self) -> Result<Option<String>> {
        let (Some(Look::Dir { files, dirs }), Some(_)) = (self.look("etc")?, self.look("usr/etc")?)
        else {
            return Ok(None);
        };
        let some = files.iter().chain(&dirs).next();
        Ok(some.map(|name| format!("there is a /etc with {name} in it beside /usr/etc")))
    }

    /// As ostree finds it: `/etc/os-release`, which is in `/usr/etc` yet, else `/usr/lib/os-release`.
    fn os_release(&self) -> Result<Option<String>> {
        for path in ["etc/os-release", "usr/lib/os-release"] {
            if let Some(text) = self.text(path)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The text of a file that the path of a running host leads to.
    fn text(&self, path: &str) -> Result<Option<String>> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let found = match self.look(&path)? {
                None => self.look(&in_commit(&path))?,
                found => found,
            };
            let Some(Look::File(file)) = found else { return Ok(None) };
            match (self.read)(&file, MOST_TEXT)? {
                Content::Text(text) => return Ok(Some(text)),
                Content::Link(target) => path = follow(&path, &target),
            }
        }
        Ok(None)
    }

    fn look(&self, path: &str) -> Result<Option<Look>> {
        self.plan.look(path, self.lower)
    }
}

/// The path that a link at `path` leads to. Directories on the way are taken for directories.
pub(super) fn follow(path: &str, target: &str) -> String {
    let mut names: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => path.split('/').collect(),
    };
    names.pop();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// A value of os-release(5).
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let value =
        text.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    value.map(|value| value.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tree of links boots; a link's target stands for the text of a file, unless it begins
    /// with `-> `.
    fn boots(text: &str) -> std::result::Result<String, String> {
        let entries = text.lines().map(|line| {
            let (path, what) = line.trim().split_once('=').unwrap();
            let path = treelay_layers::TreePath::new(path).unwrap();
            tree::Entry::symlink(path, &what.replace(';', "\n"))
        });
        let tree = tree::Tree::from_entries(entries.collect()).unwrap();
        let plan = lay(&tree, None, &Rules::default()).unwrap();
        let read = |file: &File, _: u64| {
            let File::Own(entry) = file else { unreachable!() };
            let Node::Symlink { target } = &plan.entries[*entry].node else { unreachable!() };
            Ok(match target.strip_prefix("-> ") {
                Some(target) => Content::Link(target.to_owned()),
                None => Content::Text(target.to_string()),
            })
        };
        let tree = Tree { plan: &plan, lower: None, read: &read };
        tree.check().unwrap()
    }

    #[test]
    fn what_is_missing_is_named() {
        let kernel = "usr/lib/modules/6.1/vmlinuz=k\nusr/lib/modules/6.1/x=y\n";
        let release = "usr/lib/os-release=ID=debian;PRETTY_NAME=\"Debian 12\"";
        let with = |more: &str| format!("{kernel}{release}\n{more}");
        for (tree, expected) in [
            (with(""), Ok("6.1")),
            (release.to_owned(), Err("there is no kernel /usr/lib/modules/*/vmlinuz")),
            (with("usr/lib/modules/6.2/x=y"), Ok("6.1")),
            (with("usr/lib/modules/6.2/vmlinuz=-> ../6.1/vmlinux"), Ok("6.1")),
            (
                with("usr/lib/modules/6.2/vmlinuz=-> ../6.1/vmlinuz"),
                Err("there are several kernels in /usr/lib/modules: 6.1 and 6.2"),
            ),
            (
                with("usr/lib/modules/6.2/vmlinuz=k"),
                Err("there are several kernels in /usr/lib/modules: 6.1 and 6.2"),
            ),
            (kernel.to_owned(), Err("there is no os-release in /usr/lib or /etc")),
            (
                format!("{kernel}usr/lib/os-release=PRETTY_NAME=x;#ID=y"),
                Err("its os-release has no ID"),
            ),
            (
                format!("{kernel}usr/lib/os-release=ID=x;PRETTY_NAME=\"\""),
                Err("its os-release has no PRETTY_NAME"),
            ),
            // The first that ostree finds counts, wherever it leads.
            (with("usr/etc/os-release=ID=y"), Err("its os-release has no PRETTY_NAME")),
            (with("usr/etc/os-release=-> ../usr/lib/os-release"), Ok("6.1")),
            (with("usr/etc/os-release=-> /usr/lib/os-release"), Ok("6.1")),
            (with("usr/etc/os-release=-> os-release"), Ok("6.1")),
            (with("etc/a=b"), Ok("6.1")),
            (with("etc/a=b\nusr/etc/c=d"), Err("there is a /etc with a in it beside /usr/etc")),
        ] {
            let found = boots(&tree);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{tree}");
        }
    }
}
