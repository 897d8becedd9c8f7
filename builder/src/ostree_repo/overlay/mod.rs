//! Laying a tree over a base: which directories change, and in what. Pure.
//!
//! The base is asked only for the directories that the tree or a removal touches. All others are
//! kept as what they are, a dirtree and a dirmeta by their checksums: a base of any size costs as
//! much as what is laid over it.

mod look;
mod objects;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use treelay_layers::kinds::Globs;
use treelay_layers::tree::{Entry, Node, SELINUX, Tree};
use treelay_recipes::Digest;

use super::boot::follow;
use super::error::{OstreeError, Result};
use super::etc::{in_commit, is_etc};

pub(in crate::ostree_repo) use look::Look;

/// A directory, as whatever is above it names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ostree_repo) struct DirRef {
    pub tree: Digest,
    pub meta: Digest,
}

/// What a dirtree lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::ostree_repo) struct Listing {
    /// Content objects by name.
    pub files: BTreeMap<String, Digest>,
    pub dirs: BTreeMap<String, DirRef>,
}

/// The base, as far as it is asked for.
pub(in crate::ostree_repo) trait Lower {
    /// What a dirtree lists.
    fn listing(&self, tree: &Digest) -> Result<Listing>;

    /// The `security.selinux` of a dirmeta.
    fn label(&self, meta: &Digest) -> Result<Option<Vec<u8>>>;

    /// What a content object is, in words: `a file`, `a link to usr/lib`.
    fn describe(&self, object: &Digest) -> Result<String>;
}

/// What the recipe says of the base.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    remove: Vec<(String, Globs)>,
    /// Paths of the base to leave out, with all below them.
    gone: BTreeSet<String>,
    replace: BTreeSet<String>,
    /// Directories of the tree whose label gives way to the base's.
    labelled: BTreeSet<String>,
}

impl Rules {
    /// `remove`: patterns of absolute paths of the base to leave out. `replace`: absolute paths where
    /// a directory may become a file, or the reverse. `/etc` is `/usr/etc` in both.
    pub fn new<'a>(
        remove: impl IntoIterator<Item = &'a str>,
        replace: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let remove = remove.into_iter().map(|pattern| {
            let etc = pattern.strip_prefix('/').filter(|pattern| is_etc(pattern));
            let in_usr = etc.map(|pattern| format!("/usr/{pattern}"));
            (
                pattern.to_owned(),
                Globs::new([Some(pattern), in_usr.as_deref()].into_iter().flatten()),
            )
        });
        let replace =
            replace.into_iter().map(|path| in_commit(path.trim_matches('/')).into_owned());
        let (remove, replace) = (remove.collect(), replace.collect());
        Self { remove, replace, ..Self::default() }
    }

    /// The same, with directories of the tree whose label gives way to the base's: no layer says it.
    pub fn with_labelled(self, labelled: BTreeSet<String>) -> Self {
        Self { labelled, ..self }
    }

    /// Paths of commits, without the first `/`: those to leave out, and those where a directory may
    /// become a file, or the reverse.
    pub fn exact(gone: BTreeSet<String>, replace: BTreeSet<String>) -> Self {
        Self { gone, replace, ..Self::default() }
    }

    fn may_remove_below(&self, dir: &str) -> bool {
        let below = format!("{dir}/");
        let gone = self.gone.range(below.clone()..).next();
        gone.is_some_and(|path| path.starts_with(&below))
            || self.remove.iter().any(|(_, globs)| globs.reach_below(dir))
    }
}

/// A file or link of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ostree_repo) enum File {
    /// The base's, by its content object.
    Base(Digest),
    /// The tree's, by the index of its entry.
    Own(usize),
}

/// A directory of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ostree_repo) enum Place {
    /// As it is in the base, with all below it.
    Kept(DirRef),
    /// One of [`Plan::dirs`].
    Made(usize),
}

/// A directory's own metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ostree_repo) enum Meta {
    /// The base's.
    Kept(Digest),
    /// The entry's of the tree, by its index, with this label in the place of its own.
    Own { entry: usize, label: Option<Vec<u8>> },
    /// 0755 and root's: what no one says of the root.
    Root { label: Option<Vec<u8>> },
}

/// A directory that may differ from the base's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ostree_repo) struct Dir {
    pub meta: Meta,
    pub files: BTreeMap<String, File>,
    pub dirs: BTreeMap<String, Place>,
    /// What it is in the base.
    pub was: Option<DirRef>,
}

/// The result.
#[derive(Debug)]
pub(in crate::ostree_repo) struct Plan<'t> {
    pub entries: &'t [Entry],
    /// Every directory after the one it is in; the first is the root.
    pub dirs: Vec<Dir>,
    /// What the base has where a file or link of the tree is, by the index of its entry.
    pub replaced: HashMap<usize, Digest>,
    /// Patterns of [`Rules`] that match nothing.
    pub unused: Vec<String>,
}

impl Plan<'_> {
    /// Gives the root a label, unless it is the base's.
    pub(in crate::ostree_repo) fn label_root(&mut self, new: &[u8]) {
        if let Some(Dir { meta: Meta::Root { label }, .. }) = self.dirs.first_mut() {
            *label = Some(new.to_vec());
        }
    }
}

/// Lays `tree` over the directory `root` of a base.
///
/// # Errors
/// [`OstreeError::InTheWay`], and what `lower` meets.
pub(in crate::ostree_repo) fn lay<'t>(
    tree: &'t Tree,
    root: Option<(DirRef, &dyn Lower)>,
    rules: &Rules,
) -> Result<Plan<'t>> {
    let own = Own::of(tree);
    let mut used = vec![false; rules.remove.len()];
    let mut plan = Plan {
        entries: tree.entries(),
        dirs: Vec::new(),
        replaced: HashMap::new(),
        unused: Vec::new(),
    };
    let (base, lower) = root.unzip();
    plan.dirs.push(Dir::new(
        base.map_or(Meta::Root { label: None }, |base| Meta::Kept(base.meta)),
        base,
    ));
    let mut todo = vec![Work { at: 0, path: String::new(), own: Some(0) }];
    while let Some(work) = todo.pop() {
        let listing = match (plan.dirs[work.at].was, lower) {
            (Some(was), Some(lower)) => lower.listing(&was.tree)?,
            _ => Listing::default(),
        };
        let mut join =
            Join { work: &work, own: &own, plan: &mut plan, todo: &mut todo, lower, rules };
        join.base(listing, &mut used);
        join.files()?;
        join.dirs()?;
    }
    let unused = rules.remove.iter().zip(used).filter(|(_, used)| !used);
    plan.unused = unused.map(|((pattern, _), _)| pattern.clone()).collect();
    Ok(plan)
}

/// A directory to look into.
struct Work {
    /// In [`Plan::dirs`].
    at: usize,
    path: String,
    /// In [`Own::dirs`], where the tree has it.
    own: Option<usize>,
}

impl Work {
    fn below(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        }
    }
}

impl Dir {
    fn new(meta: Meta, was: Option<DirRef>) -> Self {
        Self { meta, files: BTreeMap::new(), dirs: BTreeMap::new(), was }
    }
}

/// What comes of one directory.
struct Join<'j, 't> {
    work: &'j Work,
    own: &'j Own<'t>,
    plan: &'j mut Plan<'t>,
    todo: &'j mut Vec<Work>,
    lower: Option<&'j dyn Lower>,
    rules: &'j Rules,
}

impl Join<'_, '_> {
    /// What of the base is not removed.
    fn base(&mut self, listing: Listing, used: &mut [bool]) {
        let mut is_removed = |path: &str| {
            let hits = self.rules.remove.iter().zip(&mut *used);
            hits.fold(self.rules.gone.contains(path), |any, ((_, globs), used)| {
                let hit = globs.matches(path);
                *used |= hit;
                any || hit
            })
        };
        for (name, object) in listing.files {
            if !is_removed(&self.work.below(&name)) {
                self.plan.dirs[self.work.at].files.insert(name, File::Base(object));
            }
        }
        for (name, dir) in listing.dirs {
            let path = self.work.below(&name);
            if is_removed(&path) {
                continue;
            }
            let place = if self.rules.may_remove_below(&path) {
                let (at, own) = (self.plan.dirs.len(), None);
                self.plan.dirs.push(Dir::new(Meta::Kept(dir.meta), Some(dir)));
                self.todo.push(Work { at, path, own });
                Place::Made(at)
            } else {
                Place::Kept(dir)
            };
            self.plan.dirs[self.work.at].dirs.insert(name, place);
        }
    }

    /// Files and links of the tree.
    fn files(&mut self) -> Result<()> {
        let Some(own) = self.work.own else { return Ok(()) };
        for &entry in &self.own.dirs[own].files {
            let name = self.plan.entries[entry].path.name();
            let path = self.work.below(name);
            if self.plan.dirs[self.work.at].dirs.contains_key(name) {
                if !self.rules.replace.contains(&path) {
                    let (own, base) = (kind(&self.plan.entries[entry]), "a directory".to_owned());
                    let hint = "; it would be gone with all in it";
                    return Err(OstreeError::InTheWay { path, own, base, hint });
                }
                self.forget(name);
            }
            let dir = &mut self.plan.dirs[self.work.at];
            if let Some(File::Base(base)) = dir.files.insert(name.to_owned(), File::Own(entry)) {
                self.plan.replaced.insert(entry, base);
            }
        }
        Ok(())
    }

    /// Directories of the tree.
    fn dirs(&mut self) -> Result<()> {
        let Some(own) = self.work.own else { return Ok(()) };
        for &(name, child) in &self.own.dirs[own].dirs {
            let path = self.work.below(name);
            let dir = &mut self.plan.dirs[self.work.at];
            if let Some(File::Base(object)) = dir.files.get(name).copied() {
                if !self.rules.replace.contains(&path) {
                    let base = match self.lower {
                        Some(lower) => lower.describe(&object)?,
                        None => "a file".to_owned(),
                    };
                    let hint = match base.strip_prefix("a link to ") {
                        Some(target) if leads_into_var(&path, target) => {
                            "; what is there belongs to each host, so put it below /usr"
                        }
                        Some(_) => "; write below what the link leads to",
                        None => "",
                    };
                    return Err(OstreeError::InTheWay { path, own: "a directory", base, hint });
                }
                dir.files.remove(name);
            }
            let there = dir.dirs.get(name).copied();
            let entry = self.own.dirs[child].entry;
            let was = match there {
                Some(Place::Kept(was)) => Some(was),
                Some(Place::Made(at)) => self.plan.dirs[at].was,
                None => None,
            };
            let meta = self.meta(entry, was)?;
            let at = match there {
                // Made by a removal below it, and waiting.
                Some(Place::Made(at)) => {
                    self.todo.retain(|work| work.at != at);
                    self.plan.dirs[at].meta = meta;
                    at
                }
                _ => {
                    self.plan.dirs.push(Dir::new(meta, was));
                    self.plan.dirs.len() - 1
                }
            };
            self.plan.dirs[self.work.at].dirs.insert(name.to_owned(), Place::Made(at));
            self.todo.push(Work { at, path, own: Some(child) });
        }
        Ok(())
    }

    /// A directory of the base keeps what it is, unless the tree says more of it than that it is
    /// there.
    fn meta(&self, entry: usize, was: Option<DirRef>) -> Result<Meta> {
        let (Some(was), Some(lower)) = (was, self.lower) else {
            return Ok(Meta::Own { entry, label: None });
        };
        let own = &self.plan.entries[entry];
        let others = own.xattrs().iter().filter(|(name, _)| name != SELINUX).count();
        // A label says nothing: it is one's own only of a directory that is new.
        if others == 0 && (Entry { xattrs: None, ..own.clone() }).is_plain_dir() {
            return Ok(Meta::Kept(was.meta));
        }
        let says_label =
            own.xattrs().len() > others && !self.rules.labelled.contains(own.path.as_str());
        let label = if says_label { None } else { lower.label(&was.meta)? };
        Ok(Meta::Own { entry, label })
    }

    /// Takes a directory of the base out, which a file replaces.
    fn forget(&mut self, name: &str) {
        if let Some(Place::Made(at)) = self.plan.dirs[self.work.at].dirs.remove(name) {
            self.todo.retain(|work| work.at != at);
        }
    }
}

fn leads_into_var(path: &str, target: &str) -> bool {
    let target = follow(path, target);
    target == "var" || target.starts_with("var/")
}

fn kind(entry: &Entry) -> &'static str {
    match entry.node {
        Node::Dir => "a directory",
        Node::File { .. } => "a file",
        Node::Symlink { .. } => "a link",
    }
}

/// A sorted tree as directories in directories.
struct Own<'t> {
    dirs: Vec<OwnDir<'t>>,
}

struct OwnDir<'t> {
    /// Not the root's, which is no entry.
    entry: usize,
    files: Vec<usize>,
    dirs: Vec<(&'t str, usize)>,
}

impl<'t> Own<'t> {
    fn of(tree: &'t Tree) -> Self {
        let mut dirs = vec![OwnDir { entry: 0, files: Vec::new(), dirs: Vec::new() }];
        let mut by_path: HashMap<&str, usize> = HashMap::from([("", 0)]);
        for (at, entry) in tree.entries().iter().enumerate() {
            let path = entry.path.as_str();
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            // Every parent of a tree's entry is an entry, and sorts before it.
            let parent = by_path.get(parent).copied().unwrap_or_default();
            if matches!(entry.node, Node::Dir) {
                let child = dirs.len();
                by_path.insert(path, child);
                dirs[parent].dirs.push((name, child));
                dirs.push(OwnDir { entry: at, files: Vec::new(), dirs: Vec::new() });
            } else {
                dirs[parent].files.push(at);
            }
        }
        Self { dirs }
    }
}

#[cfg(test)]
mod tests;
