//! What a Go distribution is, whichever source gave it.
//!
//! The same release reaches users as a tarball (everything under `go/`), as wheels (the same, less
//! documentation and tests, with Python's files beside it) and unpacked in a directory. What they
//! share is made *canonical* here, so that the identity of a release is the same from every source:
//!
//! - *paths*: VERSION and go.env, and all files below bin, pkg, src and lib; directories that hold
//!   one of those, and no others;
//! - *names*: in the module `golang.org/toolchain` every go.mod is called `_go.mod`, since modules
//!   have no other modules in them; it is go.mod here;
//! - *modes*, by path alone because not every source keeps them: 0755 for directories, for `bin/*`
//!   and `pkg/tool/*/*`, for scripts (`*.bash`, `*.sh`, `*.pl`, `*.rc`) and `lib/wasm/go_*_exec`,
//!   and 0644 for the rest. These are the modes of the official tarballs;
//! - *owner*: 0 and 0, without extended attributes.
//!
//! Go's LICENSE and PATENTS, which not every source carries, are treelay's own copies
//! ([`LICENSE`], [`PATENTS`]); layers that redistribute Go add them.

mod buildinfo;
pub(crate) mod gate;
pub mod modules;
mod rebuild;
pub(crate) mod running;
mod version;

use std::io::Read;

use treelay_recipes::recipe::GoRelease;
use treelay_recipes::{Arch, Digest};

use crate::elf::Elf;
use crate::tree::{NotATreePath, TreeError};
use crate::{Contents, Entry, Node, Tree, TreePath};

pub use buildinfo::{BuildInfo, BuiltModule};
pub use gate::{Gate, GateError, find as find_text};
pub use rebuild::Rebuild;
pub use version::GoVersion;

/// The terms under which Go may be redistributed; they ask for a copy of themselves.
pub const LICENSE: &str = include_str!("LICENSE-go");
/// The patent grant that goes with them.
pub const PATENTS: &str = include_str!("PATENTS-go");

/// The version of the canonical form: part of what identities are remembered under.
pub const CANONICAL: &str = "go-2";

/// Where sources put the distribution: at the root, or below this directory.
const ROOT: &str = "go/";
const FILES: [&str; 2] = ["VERSION", "go.env"];
const DIRECTORIES: [&str; 4] = ["bin/", "pkg/", "src/", "lib/"];
const SCRIPTS: [&str; 4] = [".bash", ".sh", ".pl", ".rc"];
/// What a VERSION file holds at most; real ones have 35 bytes.
const MAX_VERSION: u64 = 4096;

/// A Go distribution in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoDistribution {
    tree: Tree,
    version: GoVersion,
}

/// Why a tree is not the Go distribution that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoError {
    /// Nothing in it looks like one.
    #[error("there is no Go distribution in it: VERSION is neither at its top nor in go/")]
    NotFound,
    /// A file that every distribution has is not there.
    #[error("the Go distribution has no {path}")]
    Missing {
        /// The file or directory.
        path: String,
    },
    /// A link where no distribution has one.
    #[error("the Go distribution has a symbolic link, {path}, where official ones have files")]
    Link {
        /// The link.
        path: TreePath,
    },
    /// VERSION cannot be read.
    #[error("VERSION of the Go distribution {0}")]
    Version(String),
    /// It is another release.
    #[error("the Go distribution is version {found}, but {expected} was asked for")]
    OtherVersion {
        /// What its VERSION says.
        found: String,
        /// What the recipe says.
        expected: String,
    },
    /// A program is for another machine.
    #[error("{path} of the Go distribution is for {found}, but {expected} was asked for")]
    OtherMachine {
        /// The program.
        path: TreePath,
        /// What its ELF header says, or that it has none.
        found: String,
        /// What the arch would say.
        expected: Elf,
    },
    /// A program cannot be made again.
    #[error("nothing in the source of the Go distribution makes its {path}")]
    NotFromSource {
        /// The program.
        path: TreePath,
    },
    /// A content could not be read.
    #[error("reading {path} of the Go distribution: {source}")]
    Reading {
        /// The file.
        path: TreePath,
        /// Why.
        source: std::io::Error,
    },
    /// The files make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A path that no tree can have.
    #[error(transparent)]
    Path(#[from] NotATreePath),
}

/// Whether `path` of an archive may be part of a Go distribution; what [`canonical`] would leave
/// out need not be unpacked.
pub fn is_part(path: &str) -> bool {
    in_it(path.strip_prefix(ROOT).unwrap_or(path))
}

/// The canonical form of the distribution in `raw`, at its top or in `go/`; of a canonical tree,
/// the tree itself.
///
/// # Errors
/// [`GoError::NotFound`], [`GoError::Link`].
pub fn canonical(raw: &Tree) -> Result<Tree, GoError> {
    let is_file = |path: &str| raw.get(path).is_some_and(|entry| entry.file().is_some());
    let root = match () {
        () if is_file("VERSION") => "",
        () if is_file("go/VERSION") => ROOT,
        () => return Err(GoError::NotFound),
    };
    let is_inner = |entry: &Entry| entry.path.as_str().strip_prefix(root).is_some_and(in_it);
    let link = |entry: &&Entry| matches!(entry.node, Node::Symlink { .. }) && is_inner(entry);
    if let Some(link) = raw.entries().iter().find(link) {
        return Err(GoError::Link { path: link.path.clone() });
    }
    let part = raw.filter(|entry| entry.file().is_some() && is_inner(entry));
    let mut entries = Vec::with_capacity(part.entries().len());
    let of_module = part.get(&format!("{root}src/{GO_MOD_OF_MODULE}")).is_some();
    for entry in part.entries() {
        let path = match entry.path.as_str().strip_prefix(root) {
            Some(path) if of_module && is_go_mod_of_module(path) => {
                let own = path.len() - GO_MOD_OF_MODULE.len();
                let path = format!("{}go.mod", &path[..own]);
                // Where the go command itself unpacked it, both are there.
                if part.get(&format!("{root}{path}")).is_some() {
                    continue;
                }
                TreePath::new(&path)?
            }
            Some(_) if root.is_empty() => entry.path.clone(),
            Some(path) => TreePath::new(path)?,
            // The directory `go` itself.
            None => continue,
        };
        entries.push(match entry.file() {
            Some((digest, size)) => {
                let mode = if is_executable(path.as_str()) { 0o755 } else { 0o644 };
                Entry::new_file(path, mode, *digest, size)
            }
            None => Entry::dir(path, 0o755),
        });
    }
    Ok(Tree::from_entries(entries)?)
}

/// What every go.mod is called in the module `golang.org/toolchain` (cmd/distpack).
const GO_MOD_OF_MODULE: &str = "_go.mod";

fn is_go_mod_of_module(path: &str) -> bool {
    path.rsplit('/').next() == Some(GO_MOD_OF_MODULE)
}

fn in_it(path: &str) -> bool {
    FILES.contains(&path) || DIRECTORIES.iter().any(|directory| path.starts_with(directory))
}

/// Whether the file at `path` of a distribution can be run.
fn is_executable(path: &str) -> bool {
    is_program(path)
        || SCRIPTS.iter().any(|suffix| path.ends_with(suffix))
        || path
            .strip_prefix("lib/wasm/go_")
            .is_some_and(|rest| rest.ends_with("_exec") && !rest.contains('/'))
}

/// Whether the file at `path` of a distribution is a compiled program.
fn is_program(path: &str) -> bool {
    let components: Vec<&str> = path.split('/').collect();
    matches!(components[..], ["bin", _] | ["pkg", "tool", _, _])
}

impl GoDistribution {
    /// Finds the distribution in `raw` and reads its VERSION.
    ///
    /// # Errors
    /// [`GoError`] where there is none, or its VERSION cannot be understood.
    pub fn find(raw: &Tree, contents: &dyn Contents) -> Result<Self, GoError> {
        Self::of(canonical(raw)?, contents)
    }

    /// The distribution in `tree`, which is [`canonical`] already, with its VERSION read.
    ///
    /// # Errors
    /// As [`GoDistribution::find`].
    pub fn of(tree: Tree, contents: &dyn Contents) -> Result<Self, GoError> {
        let missing = |path: &str| GoError::Missing { path: path.to_owned() };
        let entry = tree.get("VERSION").ok_or_else(|| missing("VERSION"))?;
        let (digest, size) = entry.file().ok_or_else(|| missing("VERSION"))?;
        let mut text = String::new();
        contents
            .open(digest, size)
            .and_then(|content| content.take(MAX_VERSION).read_to_string(&mut text))
            .map_err(|source| GoError::Reading { path: entry.path.clone(), source })?;
        let version = GoVersion::parse(&text).map_err(GoError::Version)?;
        Ok(Self { tree, version })
    }

    /// The canonical tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The canonical tree, alone.
    pub fn into_tree(self) -> Tree {
        self.tree
    }

    /// What VERSION says.
    pub fn version(&self) -> &GoVersion {
        &self.version
    }

    /// The digest of the canonical tree: equal from every source.
    pub fn identity(&self) -> Digest {
        self.tree.digest()
    }

    /// Checks that it is a release that `expected` means, such as `1.27.3`, `1.27` or `stable`.
    ///
    /// # Errors
    /// [`GoError::OtherVersion`], naming both.
    pub fn check_version(&self, expected: &str) -> Result<(), GoError> {
        if GoRelease::of(expected).is(&self.version.version) {
            return Ok(());
        }
        let (found, expected) = (self.version.version.clone(), expected.to_owned());
        Err(GoError::OtherVersion { found, expected })
    }

    /// Checks that it is complete and for `arch`: the ELF header of every program is read.
    ///
    /// # Errors
    /// [`GoError::Missing`], [`GoError::OtherMachine`], [`GoError::Reading`].
    pub fn check_arch(&self, arch: Arch, contents: &dyn Contents) -> Result<(), GoError> {
        let tools = format!("pkg/tool/linux_{}", arch.go());
        // The programs first: a distribution for another arch lacks the tools' folder as well, and
        // its machine says best what is wrong.
        self.require(&["bin/go", "bin/gofmt"])?;
        let expected = Elf::of(arch);
        for entry in self.tree.entries() {
            let Some((digest, size)) = entry.file() else { continue };
            if !is_program(entry.path.as_str()) {
                continue;
            }
            let path = entry.path.clone();
            let header = contents.open(digest, size).and_then(|mut file| Elf::read(&mut file));
            match header {
                Err(source) => return Err(GoError::Reading { path, source }),
                Ok(Some(found)) if found == expected => {}
                Ok(found) => {
                    let found = found.map_or("no ELF machine".to_owned(), |elf| elf.to_string());
                    return Err(GoError::OtherMachine { path, found, expected });
                }
            }
        }
        let compiler = format!("{tools}/compile");
        self.require(&["src", &tools, &compiler])
    }

    fn require(&self, paths: &[&str]) -> Result<(), GoError> {
        match paths.iter().find(|path| self.tree.get(path).is_none()) {
            Some(path) => Err(GoError::Missing { path: (*path).to_owned() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
