//! Doing what the plan says: fetching, unpacking, making trees, encoding layers.
//!
//! Everything here asks the store first and does only what it does not have.

mod action;
mod actions;
pub mod again;
mod base;
pub mod credential_helper;
mod encode;
mod git;
mod host_image;
mod inputs;
mod layers;
mod loading;
mod lock;
mod mend;
mod modules;
mod portable;
mod rebuild;
mod share;
mod toolchains;
mod verify;

use std::io;
use std::path::Path;
use std::time::Duration;

use treelay_layers::archive::ArchiveError;
use treelay_layers::encode::EncodeError;
use treelay_layers::go::GoError;
use treelay_layers::kinds::KindError;
use treelay_layers::tree::Conflict;
use treelay_recipes::{Arch, Digest, Misfit};

use crate::fetch::git::GitError;
use crate::fetch::{FetchError, Fetcher, Outcome, Watch};
use crate::ostree_repo::OstreeError;
use crate::store::Store;

pub use action::{ActionError, Executor, LocalExecutor, LocalOptions, NoSandbox, Sandbox};
use again::Difference;
pub use base::{BaseError, BaseImage, Bases, CarriedImage, CommitBaseError, remember_image};
pub use encode::Blobs;
pub use layers::{BuiltLayer, Layers, Part};
pub use lock::{BASE, Locked, TREE, relock};
pub use modules::{ModuleError, Turns};
pub use portable::Portable;
pub use verify::{Databases, Disagreement, SumsError, VerifyError, find_sum};

/// What execution works with.
pub struct Workshop<'a> {
    /// Where products are kept.
    pub store: &'a Store,
    /// Fetches.
    pub fetcher: &'a Fetcher,
    /// The folder of the recipe.
    pub folder: &'a Path,
    /// Carries out what layers need processes for.
    pub executor: &'a dyn Executor,
    /// The arch of this machine, where treelay knows it.
    pub machine: Option<Arch>,
    /// Threads.
    pub jobs: usize,
    /// Told what happens.
    pub observer: &'a dyn Observer,
    /// Who fetches which module.
    pub turns: Turns,
    /// Checksum databases that were asked.
    pub databases: Databases,
    /// The time that signatures are judged at, in seconds since 1970.
    pub now: u64,
}

/// Watches a build. Calls come from several threads and must return at once.
pub trait Observer: Send + Sync {
    /// Something begins: `fetching go for arm64`.
    fn begin(&self, what: &str) {
        let _ = what;
    }
    /// Bytes of it that are done, of `size` where known.
    fn advance(&self, what: &str, bytes: u64, size: Option<u64>) {
        let _ = (what, bytes, size);
    }
    /// It is done.
    fn end(&self, what: &str) {
        let _ = what;
    }
    /// Something that a user should read even when all goes well.
    fn note(&self, text: &str) {
        let _ = text;
    }
}

/// Watches nothing.
impl Observer for () {}

/// Why the plan could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// An input could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The base image.
    #[error("taking the base image")]
    Base(#[from] BaseError),
    /// The base commit.
    #[error("taking the base commit")]
    Tree(#[from] CommitBaseError),
    /// An input's archive cannot be unpacked.
    #[error("unpacking {what} from {from}")]
    Unpack {
        /// The input and arch.
        what: String,
        /// The file, as the recipe or the index names it.
        from: String,
        /// Why not.
        source: ArchiveError,
    },
    /// An input is not the Go distribution it should be.
    #[error("checking {what} from {from}")]
    Go {
        /// The input and arch.
        what: String,
        /// The file or directory, as the recipe or the index names it.
        from: String,
        /// What is wrong.
        source: GoError,
    },
    /// Go modules could not be had.
    #[error("getting {what}")]
    Modules {
        /// The input and arch.
        what: String,
        /// Why not.
        source: Box<ModuleError>,
    },
    /// A commit could not be had.
    #[error("getting {name}")]
    Git {
        /// The input.
        name: String,
        /// Why not.
        source: Box<GitError>,
    },
    /// The lock has a commit's time otherwise than the commit.
    #[error(
        "{what} is not what the lock says: the commit {commit} was made at {found}; if that is meant, run `treelay lock --update`"
    )]
    OtherTime {
        /// The input and arch.
        what: String,
        /// The commit.
        commit: String,
        /// Its time, in seconds since 1970.
        found: u64,
    },
    /// No source of an input had it.
    #[error("locking {what}: none of its sources has it:\n{}", .tried.join("\n"))]
    NoSource {
        /// The input and arch.
        what: String,
        /// A line for each source.
        tried: Vec<String>,
    },
    /// An input's content is not what the lock says.
    #[error(
        "{what} is not what the lock says: expected {expected}, found {found}; if that is meant, run `treelay lock --update`"
    )]
    OtherIdentity {
        /// The input and arch.
        what: String,
        /// In the lock.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// A local distribution is gone.
    #[error("{what} is locked to the directory {dir}, which is not there")]
    DirGone {
        /// The input and arch.
        what: String,
        /// As the recipe has it.
        dir: String,
    },
    /// A process that a layer needs failed.
    #[error("building layer {layer:?} for {arch}")]
    Action {
        /// The layer.
        layer: String,
        /// The arch.
        arch: Arch,
        /// Why.
        source: ActionError,
    },
    /// What was built again is something else.
    #[error(
        "layer {layer:?} for {arch} is not reproducible: built again, it has other bytes:\n{}",
        differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    )]
    NotReproducible {
        /// The layer.
        layer: String,
        /// The arch.
        arch: Arch,
        /// Where.
        differences: Vec<Difference>,
    },
    /// An input is not verified as the recipe asks.
    #[error("`verify: {method}` of {what}")]
    Verify {
        /// The input and arch.
        what: String,
        /// The method.
        method: &'static str,
        /// Why not.
        source: Box<VerifyError>,
    },
    /// A distribution could not be made again.
    #[error("rebuilding {what} from its source, for `verify: [rebuild]`")]
    Rebuild {
        /// The input and arch.
        what: String,
        /// Why not.
        source: ActionError,
    },
    /// A distribution is not what its source makes.
    #[error(
        "{what} from {from} IS NOT WHAT ITS SOURCE MAKES: rebuilt by Go for {by}, it has other bytes, and nothing of it is used:\n{}",
        differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    )]
    NotRebuilt {
        /// The input and arch.
        what: String,
        /// Where it came from, as the lock would have it.
        from: String,
        /// The arch of the toolchain that rebuilt it.
        by: Arch,
        /// Where.
        differences: Vec<Difference>,
    },
    /// This machine is of an arch that there is no toolchain for.
    #[error("`verify: [rebuild]` of {what}: this machine is none that treelay builds on")]
    NoRebuilder {
        /// The input and arch.
        what: String,
    },
    /// A recipe is not for this machine, and its sources have no toolchain for it.
    #[error(
        "`verify: [rebuild]` of {what} takes the same Go for {machine}, the arch of this machine, which cannot be had"
    )]
    RebuilderNotHad {
        /// The input and arch.
        what: String,
        /// The arch of this machine.
        machine: Arch,
        /// Why not.
        source: Box<ExecError>,
    },
    /// A layer is built with a toolchain that is not there for this machine.
    #[error(
        "layer {layer:?} is built with the toolchain {input:?}, which is locked for other arches than {machine}, the arch of this machine: add {machine} to the recipe's `arch`"
    )]
    NoToolchain {
        /// The layer.
        layer: String,
        /// The toolchain.
        input: String,
        /// The arch of this machine.
        machine: Arch,
    },
    /// This machine is of an arch that there is no toolchain for.
    #[error("layer {layer:?} is built, and this machine is none that treelay builds on")]
    NoMachine {
        /// The layer.
        layer: String,
    },
    /// A layer has no tree.
    #[error("making layer {layer:?} for {arch}")]
    Layer {
        /// The layer.
        layer: String,
        /// The arch.
        arch: Arch,
        /// Why not.
        source: KindError,
    },
    /// Two layers want different things at one path.
    #[error("merging the layers for {arch}")]
    Merge {
        /// The arch.
        arch: Arch,
        /// Which, where, in what.
        source: Conflict,
    },
    /// A layer could not be encoded.
    #[error("encoding layer {layer:?}")]
    Encode {
        /// The layer.
        layer: String,
        /// Why not.
        source: EncodeError,
    },
    /// What layers bring cannot be loaded on their base.
    #[error(
        "the image for {arch} cannot load what its layers bring:\n{}\nWhere that is meant, say `elf: unchecked` in the layer",
        .problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
    )]
    Unloadable {
        /// The arch.
        arch: Arch,
        /// Which files, and why.
        problems: Vec<String>,
    },
    /// An image says that hosts can boot it, and they cannot.
    #[error(
        "hosts cannot boot the image for {arch}, though its label {label} says so:\n{}\nWhere they need not, take the label away",
        .problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
    )]
    NotBootable {
        /// The arch.
        arch: Arch,
        /// The label.
        label: &'static str,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// It could not be found out whether hosts can boot an image.
    #[error("finding out whether hosts can boot the image for {arch}")]
    Boots {
        /// The arch.
        arch: Arch,
        /// Why not.
        source: Box<OstreeError>,
    },
    /// A file could not be read.
    #[error("reading {path}")]
    Reading {
        /// The file, in a layer or in the base.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The inputs found make no lock for the recipe.
    #[error("locking the inputs")]
    Misfit(#[from] Misfit),
    /// The store had something that turned out to be damaged. It is forgotten: the same build makes
    /// it anew when it is done again.
    #[error("{what} was damaged in the store")]
    Damaged {
        /// What.
        what: String,
    },
    /// The store failed.
    #[error("{doing} in the store")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl ExecError {
    fn store(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Store { doing, source }
    }
}

/// Tells an [`Observer`] how a download goes.
struct Watched<'a> {
    observer: &'a dyn Observer,
    what: String,
    size: Option<u64>,
}

impl Watch for Watched<'_> {
    fn at(&self, bytes: u64) {
        self.observer.advance(&self.what, bytes, self.size);
    }

    fn retrying(&self, place: &str, outcome: &Outcome, wait: Duration) {
        let wait = wait.as_secs_f32();
        let what = &self.what;
        self.observer.note(&format!("{what}: {place}: {outcome}; trying again in {wait:.1} s"));
    }

    fn failed(&self, attempt: &crate::fetch::Attempt) {
        self.observer.note(&format!("{}: {attempt}; trying the next place", self.what));
    }
}
