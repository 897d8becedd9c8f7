//! The lock file: what every input of a recipe turned out to be, for each arch.
//!
//! The file is TOML, one stanza for each input and arch, sorted, so that a change is a small
//! difference in review. A build takes nothing but what the lock names; whether the lock still fits
//! the recipe is answered by [`Lock::fits`].

mod evidence;
mod fits;
mod hex;
mod meaning;
mod proofs;
mod read;
mod write;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use crate::error::LockError;
use crate::recipe::{Input, Source};
use crate::{Arch, Commit, Digest, Known, Recipe};
pub use evidence::{Evidence, Field};
pub use fits::Misfit;

/// What every input of a recipe is, pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What the recipe said of each input when it was locked, as a digest of its meaning.
    recipe_inputs: BTreeMap<String, Digest>,
    /// Sorted by name and arch, each pair once.
    inputs: Vec<LockedInput>,
    /// Sorted by arch, each once.
    bases: Vec<LockedBase>,
    /// Sorted by arch, each once.
    trees: Vec<LockedTree>,
}

/// The OSTree commit below the layers, on one arch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedTree {
    /// The arch it was locked for.
    pub arch: Arch,
    /// What the recipe says, expanded: [`OstreeBase::describe`](crate::recipe::OstreeBase::describe).
    pub from: String,
    /// The commit.
    pub commit: Digest,
    /// Of an image: the digest that its name means, an index or the manifest itself, and that of the
    /// arch's manifest.
    pub image: Option<(Digest, Digest)>,
    /// The commit's time, in seconds since 1970.
    pub released: u64,
}

/// The image below the layers, on one arch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBase {
    /// The arch it was locked for.
    pub arch: Arch,
    /// What the recipe says, expanded.
    pub image: String,
    /// What that names: an index, or the manifest itself.
    pub digest: Digest,
    /// The manifest of the arch.
    pub manifest: Digest,
    /// When it was made, in seconds since 1970, where its config tells.
    #[serde(default)]
    pub released: Option<u64>,
}

/// One input on one arch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedInput {
    /// Its name in the recipe.
    pub name: String,
    /// The arch it was locked for.
    pub arch: Arch,
    /// What it is.
    pub kind: InputKind,
    /// Its version, where the kind has one: `1.27.3`.
    pub version: Option<String>,
    /// The source it was taken from. An input of the kind `archive` has [`Source::Archive`].
    pub source: Source,
    /// The place it was taken from: for `pypi` the package, its version and the file's name,
    /// without a host; for `archive` and `git` the URL or the path as the recipe has it; for `dir`
    /// that path.
    pub from: String,
    /// The fetched file; none for `dir` and `git`.
    pub file: Option<LockedFile>,
    /// What the unpacked content is, equal from every source.
    pub identity: Digest,
    /// When it was released, in seconds since 1970, where the source tells.
    pub released: Option<u64>,
    /// Of `go-modules`: the digest of what go.sum says.
    pub sums: Option<Digest>,
    /// What was verified of it on top of its digest, in the order of [`Verify`](crate::recipe::Verify).
    pub evidence: Vec<Evidence>,
    /// Of `git`: the commit, in hex.
    pub commit: Option<String>,
}

/// A file as it is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockedFile {
    /// Its digest.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// The kinds of inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// A Go distribution.
    GoToolchain,
    /// Any archive.
    Archive,
    /// A package of the Python package index.
    Pypi,
    /// The modules that Go programs need.
    GoModules,
    /// A commit of a git repository.
    Git,
}

impl InputKind {
    /// The key that names it in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            InputKind::GoToolchain => "go-toolchain",
            InputKind::Archive => "archive",
            InputKind::Pypi => "pypi",
            InputKind::GoModules => "go-modules",
            InputKind::Git => "git",
        }
    }
}

impl Input {
    /// Its kind.
    pub fn kind(&self) -> InputKind {
        match self {
            Input::GoToolchain(_) => InputKind::GoToolchain,
            Input::Archive(_) => InputKind::Archive,
            Input::Pypi(_) => InputKind::Pypi,
            Input::GoModules(_) => InputKind::GoModules,
            Input::Git(_) => InputKind::Git,
        }
    }
}

impl Lock {
    /// The lock of `recipe` with these inputs, in any order. `recipe` is as parsed, not expanded.
    ///
    /// # Errors
    /// [`Misfit`] when they are not what the recipe asks for.
    pub fn new(
        recipe: &Recipe,
        mut inputs: Vec<LockedInput>,
        mut bases: Vec<LockedBase>,
        mut trees: Vec<LockedTree>,
    ) -> Result<Self, Misfit> {
        bases.sort_by_key(|base| base.arch);
        trees.sort_by_key(|tree| tree.arch);
        inputs.sort_by(|a, b| (&a.name, a.arch).cmp(&(&b.name, b.arch)));
        inputs.iter_mut().for_each(|input| input.evidence.sort());
        let recipe_inputs = recipe
            .inputs
            .keys()
            .map(|name| (name.clone(), meaning::meaning(recipe, name)))
            .collect();
        let lock = Self { recipe_inputs, inputs, bases, trees };
        lock.fits(recipe)?;
        Ok(lock)
    }

    /// Every stanza, sorted by name and arch.
    pub fn inputs(&self) -> &[LockedInput] {
        &self.inputs
    }

    /// The base on an arch; none where the recipe starts from scratch.
    pub fn base(&self, arch: Arch) -> Option<&LockedBase> {
        self.bases.iter().find(|base| base.arch == arch)
    }

    /// The OSTree commit below the layers on an arch, if there is one.
    pub fn tree(&self, arch: Arch) -> Option<&LockedTree> {
        self.trees.iter().find(|tree| tree.arch == arch)
    }

    /// An input on an arch.
    pub fn input(&self, name: &str, arch: Arch) -> Option<&LockedInput> {
        self.inputs
            .binary_search_by(|input| (input.name.as_str(), input.arch).cmp(&(name, arch)))
            .ok()
            .map(|index| &self.inputs[index])
    }

    /// What the inputs turned out to be, for [`Scope::new`](crate::Scope::new).
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        for input in &self.inputs {
            let (name, version) = (input.name.clone(), input.version.clone());
            if let Some(id) = &input.commit {
                let time = input.released.unwrap_or_default();
                known.commits.insert(name, Commit::locked(id, time, version.as_deref()));
            } else if let Some(version) = version {
                known.versions.insert(name, version);
            }
        }
        known
    }

    /// The newest release date among the inputs and the base image, in seconds since 1970; where
    /// none of them tells, the time of the newest OSTree commit below the layers.
    pub fn newest_release(&self) -> Option<u64> {
        let bases = self.bases.iter().filter_map(|base| base.released);
        let newest = self.inputs.iter().filter_map(|input| input.released).chain(bases).max();
        newest.or_else(|| self.trees.iter().map(|tree| tree.released).max())
    }
}

#[cfg(test)]
mod tests;
