//! How each layer kind makes its tree.
//!
//! A kind is a function from its options and what they name to a [`Tree`]. It fetches nothing and
//! starts nothing: [`Kind::needs`] *returns* what it needs, the builder gets it, and
//! [`Kind::tree`] is given it. A kind whose content a process makes returns that too, as an
//! [`Action`]. [`Kind::options`] is the rest of what the tree depends on, so that
//! a tree can be remembered under it and the digests of the needs.
//!
//! One file here is one kind, and [`of`] is the list of them.

mod archive;
mod attributes;
mod certificates;
mod directory;
mod files;
mod globs;
mod go_build;
mod go_toolchain;
mod tzdata;
mod users;

#[cfg(test)]
mod tests;

use std::io;

use serde_json::Value;
use treelay_recipes::recipe::{At, LayerKind, Text};
use treelay_recipes::{Arch, Digest};

use crate::action::Action;
use crate::go::{GateError, GoError};
use crate::tree::{NotATreePath, TreeError};
use crate::{ContentSink, Contents, Entry, Tree, TreePath};

pub use attributes::{LayerOf, of_layer};
pub use globs::Globs;
pub use users::{AccountFiles, Clash};

/// The kind of a layer, with its options, which must have been expanded for the arch.
pub fn of<'a>(layer: LayerKind<'a>) -> &'a dyn Kind {
    match layer {
        LayerKind::GoToolchain(layer) => layer,
        LayerKind::GoBuild(layer) => layer,
        LayerKind::Files(layer) => layer,
        LayerKind::Directory(layer) => layer,
        LayerKind::Archive(layer) => layer,
        LayerKind::Users(layer) => layer,
        LayerKind::Certificates(layer) => layer,
        LayerKind::Tzdata(layer) => layer,
    }
}

/// A layer kind, implemented by its options.
pub trait Kind {
    /// What the recipe calls it: `go-toolchain`.
    fn name(&self) -> &'static str;

    /// What it needs to be given, in the order it will be given it.
    ///
    /// # Errors
    /// [`KindError`] for options that make no sense; found before anything is fetched.
    fn needs(&self, arch: Arch) -> Result<Vec<Need>, KindError>;

    /// What names its tree beside the digests of its needs: the kind, the version of its rules and
    /// its options, without where they stand in a file and without the names of what it needs.
    ///
    /// # Errors
    /// As [`Kind::needs`].
    fn options(&self, arch: Arch) -> Result<Value, KindError>;

    /// Whether its tree is made of what a process makes. Then [`Kind::action`] is that process, and
    /// the directory of its outputs is given to [`Kind::tree`] as a tree, after all needs.
    fn acts(&self) -> bool {
        false
    }

    /// What makes the content, on a machine of the arch `machine`.
    ///
    /// # Errors
    /// [`KindError`].
    fn action<'a>(
        &self,
        _arch: Arch,
        _machine: Arch,
        _given: &Given<'a>,
    ) -> Result<Option<Action<'a>>, KindError> {
        Ok(None)
    }

    /// A content that its action's inputs have and that nothing else has: the kind's own.
    fn brings(&self) -> Option<&'static str> {
        None
    }

    /// What may help whoever reads this output of the kind's process, which failed.
    fn explain(&self, _output: &str) -> Option<&'static str> {
        None
    }

    /// The tree. Contents that are the kind's own go into `sink`.
    ///
    /// # Errors
    /// [`KindError`].
    fn tree(
        &self,
        arch: Arch,
        given: &Given<'_>,
        sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError>;
}

/// Something that a layer kind needs. Paths are as the recipe has them, relative to its file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// The tree of an input of the recipe, for the arch; given as [`Item::Tree`].
    Input(Text),
    /// An input of the kind `go-toolchain` that is run here: its tree for the arch of the machine;
    /// given as [`Item::Tree`].
    Toolchain(Text),
    /// A local file; given as [`Item::File`].
    LocalFile(Text),
    /// A local directory with all below it; given as [`Item::Tree`] with the directory as its root.
    LocalDir {
        /// The directory.
        path: Text,
        /// What need not be read: paths below the directory that [`Globs`] of these match.
        exclude: Vec<Text>,
    },
}

/// What a layer kind is given.
pub struct Given<'a> {
    /// One for each need, in the same order.
    pub items: &'a [Item<'a>],
    /// The contents of the items' files.
    pub contents: &'a dyn Contents,
}

/// What one need became.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// The tree of an input or of a local directory.
    Tree(&'a Tree),
    /// A local file.
    File {
        /// SHA-256 of its content.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
}

impl<'a> Given<'a> {
    fn tree(&self, at: usize) -> Result<&'a Tree, KindError> {
        match self.items.get(at) {
            Some(Item::Tree(tree)) => Ok(tree),
            _ => Err(KindError::NotGiven { at }),
        }
    }

    fn file(&self, at: usize) -> Result<(Digest, u64, bool), KindError> {
        match self.items.get(at) {
            Some(Item::File { digest, size, executable }) => Ok((*digest, *size, *executable)),
            _ => Err(KindError::NotGiven { at }),
        }
    }
}

/// Why a layer has no tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// An option makes no sense.
    #[error("{reason}")]
    Option {
        /// Where the recipe says it.
        at: At,
        /// What is wrong.
        reason: String,
    },
    /// The Go distribution is not what was asked for.
    #[error(transparent)]
    Go(#[from] GoError),
    /// A program that was made is not what it must be.
    #[error("the program {program} {source}")]
    Gate {
        /// Its name.
        program: String,
        /// What is wrong.
        source: Box<GateError>,
    },
    /// The entries make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A path below the prefix is none.
    #[error(transparent)]
    Path(#[from] NotATreePath),
    /// A content could not be kept.
    #[error("keeping {path}: {source}")]
    Keeping {
        /// Whose content.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// The caller did not give what was needed.
    #[error("need {at} of the layer was not given as it was asked for")]
    NotGiven {
        /// Its place among the needs, counted from 0.
        at: usize,
    },
}

/// An option's error.
fn wrong(text: &Text, reason: impl Into<String>) -> KindError {
    KindError::Option { at: text.at, reason: reason.into() }
}

/// An absolute path of the recipe; `None` is the root.
fn absolute(text: &Text) -> Result<Option<TreePath>, KindError> {
    // A slash at the end is a common spelling of a directory.
    let path = if text.len() > 1 { text.strip_suffix('/').unwrap_or(text) } else { text };
    TreePath::from_absolute(path).map_err(|error| wrong(text, error.to_string()))
}

/// A file of root's with a kind's own content, mode 0644.
fn put(sink: &mut dyn ContentSink, path: &str, mut content: &[u8]) -> Result<Entry, KindError> {
    let path = TreePath::new(path)?;
    let kept = sink.put(&mut content);
    let (digest, size) =
        kept.map_err(|source| KindError::Keeping { path: path.clone(), source })?;
    Ok(Entry::new_file(path, 0o644, digest, size))
}

/// Permission bits in octal.
fn mode(text: &Text) -> Result<u16, KindError> {
    let octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    u16::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o7777).ok_or_else(|| {
        wrong(text, format!("{:?} is not a mode: expected octal digits, such as \"0644\"", &**text))
    })
}
