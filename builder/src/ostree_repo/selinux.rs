//! The SELinux policy of a tree: where it is, and labels by it.
//!
//! From ostree's `ostree-sepolicy.c`: `/etc/selinux/config` says whether there is one and which, and
//! `/proc` is labelled as `/mnt`, since hosts mount something there.

use std::io::Read as _;

use treelay_layers::Contents;
use treelay_layers::selinux::{Config, FileContexts, FileType, Own, Texts};
use treelay_layers::tree::{Entry, Node, Tree};
use treelay_recipes::Digest;

use super::base::{Base, FileContent};
use super::boot::{MOST_LINKS, follow};
use super::error::{OstreeError, Result};
use super::etc::{in_commit, on_host};
use super::labels::Labels;
use super::overlay::Lower as _;

/// Where configuration and policies are, as a commit has it.
const POLICIES: &str = "usr/etc/selinux";
/// The policy of a configuration that does not say which.
const DEFAULT: &str = "targeted";
/// What a file may take; those of distributions have half a megabyte.
const MOST_TEXT: u64 = 16 << 20;

/// A policy that is in use.
#[derive(Debug)]
pub struct Policy {
    /// The commit or image that has it.
    of: String,
    contexts: FileContexts,
}

impl Base<'_> {
    /// The policy, with `own` specifications beside its own; `None` if there is none, or its
    /// configuration does not have it in use.
    ///
    /// # Errors
    /// [`OstreeError::Policy`] where it cannot be used.
    pub fn policy(&self, own: &[Own]) -> Result<Option<Policy>> {
        Policy::read(self, &format!("the base commit {}", self.checksum.hex()), own)
    }
}

impl Policy {
    /// That of a whole tree with `/usr/etc`; `of` is what messages call the tree.
    ///
    /// # Errors
    /// As [`Base::policy`].
    pub fn of_tree(tree: &Tree, contents: &dyn Contents, of: &str) -> Result<Option<Self>> {
        Self::read(&Whole { tree, contents }, of, &[])
    }

    fn read(files: &impl Files, of: &str, own: &[Own]) -> Result<Option<Self>> {
        let bad = |reason: String| OstreeError::Policy { of: of.to_owned(), reason };
        let text = |path: &str| -> Result<Option<Vec<u8>>> {
            let Some(file) = find(files, path)? else { return Ok(None) };
            let bytes = files.read(&file, MOST_TEXT + 1)?;
            if bytes.len() as u64 > MOST_TEXT {
                return Err(bad(format!("/{path} is too long")));
            }
            Ok(Some(bytes))
        };
        let Some(config) = text(&format!("{POLICIES}/config"))? else { return Ok(None) };
        let config = Config::parse(&String::from_utf8_lossy(&config));
        if !config.enabled {
            return Ok(None);
        }
        let name = config.policy.as_deref().unwrap_or(DEFAULT);
        let file = format!("{POLICIES}/{name}/contexts/files/file_contexts");
        let Some(contexts) = text(&file)? else {
            return match find(files, &format!("{file}.bin"))? {
                None => Ok(None),
                Some(_) => Err(bad(format!("/{file} is there in compiled form only"))),
            };
        };
        let part = |suffix: &str| -> Result<Vec<u8>> {
            Ok(text(&format!("{file}.{suffix}"))?.unwrap_or_default())
        };
        let texts = Texts {
            contexts: &contexts,
            homedirs: &part("homedirs")?,
            local: &part("local")?,
            subs: &part("subs")?,
            subs_dist: &part("subs_dist")?,
        };
        let contexts = FileContexts::parse(&texts, own).map_err(|error| bad(error.to_string()))?;
        Ok(Some(Self { of: of.to_owned(), contexts }))
    }
}

/// The files of a tree, which has no `/` at the beginning of paths.
trait Files {
    type File;

    /// How far a path leads without links.
    fn step(&self, path: &str) -> Result<Step<Self::File>>;

    /// The first bytes of a file, at most `limit`.
    fn read(&self, file: &Self::File, limit: u64) -> Result<Vec<u8>>;
}

enum Step<F> {
    File(F),
    Nothing,
    /// To a link with this target, which is at this many bytes of the path.
    Link(usize, String),
}

/// The file that a path leads to.
fn find<F: Files>(files: &F, path: &str) -> Result<Option<F::File>> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match files.step(&path)? {
            Step::File(file) => return Ok(Some(file)),
            Step::Nothing => return Ok(None),
            Step::Link(end, target) => {
                // What hosts have in `/etc` is in `/usr/etc` yet, and links mean what they mean there.
                let target = follow(on_host(&path[..end]), &target) + &path[end..];
                path = in_commit(&target).into_owned();
            }
        }
    }
    Ok(None)
}

/// The end of each name of a path.
fn ends(path: &str) -> impl Iterator<Item = usize> {
    path.match_indices('/').map(|(at, _)| at).chain([path.len()])
}

impl Files for Base<'_> {
    type File = Digest;

    fn step(&self, path: &str) -> Result<Step<Digest>> {
        let mut tree = self.root.tree;
        for end in ends(path) {
            let name = path[..end].rsplit('/').next().unwrap_or_default();
            let listing = self.listing(&tree)?;
            if let Some(dir) = listing.dirs.get(name) {
                tree = dir.tree;
                continue;
            }
            let Some(object) = listing.files.get(name) else { break };
            return Ok(match self.repository.file(object, 0)? {
                FileContent::Link(target) => Step::Link(end, target),
                FileContent::Bytes(_) if end == path.len() => Step::File(*object),
                FileContent::Bytes(_) => Step::Nothing,
            });
        }
        Ok(Step::Nothing)
    }

    fn read(&self, file: &Digest, limit: u64) -> Result<Vec<u8>> {
        match self.repository.file(file, limit)? {
            FileContent::Bytes(bytes) => Ok(bytes),
            // It was a file before.
            FileContent::Link(_) => Ok(Vec::new()),
        }
    }
}

/// A tree that is laid over nothing.
struct Whole<'t> {
    tree: &'t Tree,
    contents: &'t dyn Contents,
}

impl<'t> Files for Whole<'t> {
    type File = &'t Entry;

    fn step(&self, path: &str) -> Result<Step<&'t Entry>> {
        for end in ends(path) {
            let Some(entry) = self.tree.get(&path[..end]) else { break };
            match &entry.node {
                Node::Dir => {}
                Node::Symlink { target } => return Ok(Step::Link(end, target.to_string())),
                Node::File { .. } if end == path.len() => return Ok(Step::File(entry)),
                Node::File { .. } => break,
            }
        }
        Ok(Step::Nothing)
    }

    fn read(&self, file: &&'t Entry, limit: u64) -> Result<Vec<u8>> {
        let Some((digest, size)) = file.file() else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        let content = self.contents.open(digest, size);
        let read = content.and_then(|content| content.take(limit).read_to_end(&mut bytes));
        let path = file.path.to_string();
        read.map_err(|source| OstreeError::Content { digest: *digest, path, source })?;
        Ok(bytes)
    }
}

impl Labels for Policy {
    fn label(&self, path: &str, node: &Node) -> Result<Option<Vec<u8>>> {
        let kind = match node {
            Node::Dir => FileType::Directory,
            Node::File { .. } => FileType::Regular,
            Node::Symlink { .. } => FileType::Symlink,
        };
        let path = if path == "/proc" { "/mnt" } else { path };
        let label = self.contexts.label(path.as_bytes(), kind);
        let bad = |reason: String| OstreeError::Policy { of: self.of.clone(), reason };
        let label = label.map_err(|error| bad(error.to_string()))?;
        Ok(label.map(|label| [label.as_bytes(), b"\0"].concat()))
    }
}
