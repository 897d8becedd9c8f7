//! The SELinux policy of a base: where it is, and labels by it.
//!
//! From ostree's `ostree-sepolicy.c`: `/etc/selinux/config` says whether there is one and which, and
//! `/proc` is labelled as `/mnt`, since hosts mount something there.

use treelay_layers::selinux::{Config, FileContexts, FileType, Own, Texts};
use treelay_layers::tree::Node;
use treelay_recipes::Digest;

use super::base::{Base, FileContent};
use super::boot::{MOST_LINKS, follow};
use super::error::{OstreeError, Result};
use super::labels::Labels;
use super::overlay::Lower as _;

/// Where configuration and policies are, as a commit has it.
const SELINUX: &str = "usr/etc/selinux";
/// The policy of a configuration that does not say which.
const DEFAULT: &str = "targeted";
/// What a file may take; those of distributions have half a megabyte.
const MOST_TEXT: u64 = 16 << 20;

/// A base's policy.
#[derive(Debug)]
pub struct Policy {
    commit: Digest,
    contexts: FileContexts,
}

impl Base<'_> {
    /// The policy, with `own` specifications beside its own; `None` if there is none, or its
    /// configuration does not have it in use.
    ///
    /// # Errors
    /// [`OstreeError::Policy`] where it cannot be used.
    pub fn policy(&self, own: &[Own]) -> Result<Option<Policy>> {
        let Some(config) = self.text(&format!("{SELINUX}/config"))? else { return Ok(None) };
        let config = Config::parse(&String::from_utf8_lossy(&config));
        if !config.enabled {
            return Ok(None);
        }
        let name = config.policy.as_deref().unwrap_or(DEFAULT);
        let file = format!("{SELINUX}/{name}/contexts/files/file_contexts");
        let Some(contexts) = self.text(&file)? else {
            return match self.find(&format!("{file}.bin"))? {
                None => Ok(None),
                Some(_) => Err(self.bad_policy(format!("/{file} is there in compiled form only"))),
            };
        };
        let part = |suffix: &str| -> Result<Vec<u8>> {
            Ok(self.text(&format!("{file}.{suffix}"))?.unwrap_or_default())
        };
        let texts = Texts {
            contexts: &contexts,
            homedirs: &part("homedirs")?,
            local: &part("local")?,
            subs: &part("subs")?,
            subs_dist: &part("subs_dist")?,
        };
        let contexts = FileContexts::parse(&texts, own);
        let contexts = contexts.map_err(|error| self.bad_policy(error.to_string()))?;
        Ok(Some(Policy { commit: self.checksum, contexts }))
    }

    fn bad_policy(&self, reason: String) -> OstreeError {
        OstreeError::Policy { commit: self.checksum.hex(), reason }
    }

    /// What is in the file that a path leads to; `None` if there is none.
    fn text(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(object) = self.find(path)? else { return Ok(None) };
        match self.repository.file(&object, MOST_TEXT + 1)? {
            FileContent::Bytes(bytes) if bytes.len() as u64 <= MOST_TEXT => Ok(Some(bytes)),
            FileContent::Bytes(_) => Err(self.bad_policy(format!("/{path} is too long"))),
            // `find` followed it.
            FileContent::Link(_) => Ok(None),
        }
    }

    /// The object of the file that a path leads to.
    fn find(&self, path: &str) -> Result<Option<Digest>> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            match self.step(&path)? {
                Step::File(object) => return Ok(Some(object)),
                Step::Nothing => return Ok(None),
                Step::Elsewhere(target) => path = target,
            }
        }
        Ok(None)
    }

    fn step(&self, path: &str) -> Result<Step> {
        let mut tree = self.root.tree;
        let mut end = 0;
        for name in path.split('/') {
            end += name.len();
            let listing = self.listing(&tree)?;
            if let Some(dir) = listing.dirs.get(name) {
                tree = dir.tree;
            } else if let Some(object) = listing.files.get(name) {
                let rest = &path[end..];
                return Ok(match self.repository.file(object, 0)? {
                    FileContent::Link(target) => {
                        let target = follow(&path[..end], &target) + rest;
                        // What hosts have in `/etc` is in `/usr/etc` yet.
                        let etc = target.strip_prefix("etc/").map(|rest| format!("usr/etc/{rest}"));
                        Step::Elsewhere(etc.unwrap_or(target))
                    }
                    FileContent::Bytes(_) if rest.is_empty() => Step::File(*object),
                    FileContent::Bytes(_) => Step::Nothing,
                });
            } else {
                break;
            }
            end += 1;
        }
        Ok(Step::Nothing)
    }
}

/// How far a path leads without links.
enum Step {
    File(Digest),
    Nothing,
    /// To a link, and by it to another path.
    Elsewhere(String),
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
        let bad = |reason: String| OstreeError::Policy { commit: self.commit.hex(), reason };
        let label = label.map_err(|error| bad(error.to_string()))?;
        Ok(label.map(|label| [label.as_bytes(), b"\0"].concat()))
    }
}
