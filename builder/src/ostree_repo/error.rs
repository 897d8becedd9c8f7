//! What can go wrong with an OSTree repository.

use std::io;
use std::path::PathBuf;

use ostree::glib;
use treelay_recipes::Digest;

/// Why a repository could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OstreeError {
    /// A directory with something else in it, or a file.
    #[error("{path} is not an OSTree repository: {reason}")]
    NotARepository {
        /// What was named.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A repository of a mode that cannot hold the tree, or that only others may write.
    #[error("the repository {path} has mode {mode}, {reason}")]
    Mode {
        /// The repository.
        path: PathBuf,
        /// As its configuration has it.
        mode: &'static str,
        /// Why that does not do, as the rest of the sentence.
        reason: String,
    },
    /// A name that OSTree does not take for a ref.
    #[error("{refname:?} cannot be a ref: {reason}")]
    NotARef {
        /// What was named.
        refname: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that OSTree does not take for a collection.
    #[error("{0:?} cannot be a collection id: {1}")]
    NotACollection(String, String),
    /// A metadata key that the recipe may not set.
    #[error("the metadata key {0:?} is treelay's or OSTree's own and cannot be set by a recipe")]
    ReservedKey(String),
    /// Two commits of one run for one ref.
    #[error("two commits of one build are for the ref {0}")]
    RefTwice(String),
    /// A ref whose commit cannot be its successor's parent.
    #[error("the ref {refname} names commit {checksum}, which is damaged or missing: {reason}")]
    BadParent {
        /// The ref.
        refname: String,
        /// The commit's checksum.
        checksum: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing of that name is in the repository.
    #[error("there is no ref or commit {name:?} in {path}{has}")]
    NoSuchCommit {
        /// What was asked for.
        name: String,
        /// The repository.
        path: PathBuf,
        /// What there is instead, as the rest of the sentence.
        has: String,
    },
    /// A name that no remote of the configuration has.
    #[error("{path} has no remote {name:?}{has}")]
    NoSuchRemote {
        /// What was asked for.
        name: String,
        /// The repository.
        path: PathBuf,
        /// What there is instead, as the rest of the sentence.
        has: String,
    },
    /// The configuration of a remote, or a file that it names, cannot be used.
    #[error("the configuration of the remote {name} cannot be used: {reason}")]
    Remote {
        /// The remote.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else moved the ref between the moment it was read and the end.
    #[error("the ref {0} was moved by somebody else meanwhile; nothing was changed, build again")]
    Moved(String),
    /// Content that is not what the tree says it is.
    #[error("the content of /{path} is not what was promised: expected {expected}, found {found}")]
    WrongContent {
        /// The first path that has it.
        path: String,
        /// Digest and size that the tree names.
        expected: String,
        /// What was read.
        found: String,
    },
    /// Content that could not be read.
    #[error("reading {digest}, the content of /{path}")]
    Content {
        /// Which.
        digest: Digest,
        /// The first path that has it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// `/etc` and `/usr/etc` want different things.
    #[error("/etc/{path} and /usr/etc/{path} are both there, and differ")]
    EtcTwice {
        /// Below either.
        path: String,
    },
    /// `/etc` is not a directory.
    #[error("/etc is not a directory, so that it cannot become /usr/etc")]
    EtcIsNoDirectory,
    /// Something is in the way of `/usr/etc`.
    #[error("moving /etc to /usr/etc")]
    Etc(#[from] treelay_layers::tree::TreeError),
    /// A directory where the base has something else, or the reverse.
    #[error(
        "the layers have {own} at /{path}, where the base has {base}{hint}; to replace it, name it in `ostree.replace`"
    )]
    InTheWay {
        /// Where.
        path: String,
        /// What the layers have.
        own: &'static str,
        /// What the base has.
        base: String,
        /// More, as the rest of the sentence.
        hint: &'static str,
    },
    /// Something in `/var` that a host cannot be told to make.
    #[error(
        "/{path} {what}: `/var` is each host's own, and only directories and links in it can be made there, by tmpfiles.d"
    )]
    FileInVar {
        /// Where.
        path: String,
        /// What it is, as the rest of the sentence.
        what: &'static str,
    },
    /// Something where hosts mount something else.
    #[error("/{path} would be seen by no host: each has a /{dir} of its own there")]
    Hidden {
        /// What.
        path: String,
        /// The directory at the root.
        dir: &'static str,
    },
    /// Something is in the way of the lines for tmpfiles.d.
    #[error("adding what makes the directories and links in `/var`")]
    Tmpfiles(#[source] treelay_layers::tree::TreeError),
    /// A commit that nothing can be laid over.
    #[error("the base commit {commit} in {path} cannot be used: {reason}")]
    BadBase {
        /// Its checksum.
        commit: String,
        /// The repository.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A commit of which no list of paths can be made.
    #[error("the paths of commit {commit} cannot be listed: {reason}")]
    TooLarge {
        /// Its checksum.
        commit: String,
        /// What is too large.
        reason: String,
    },
    /// A policy that nothing can be labelled by.
    #[error("labelling by the SELinux policy of {of}: {reason}")]
    Policy {
        /// The commit or image that has it.
        of: String,
        /// What is wrong with it, with file and line.
        reason: String,
    },
    /// A tree that no host could boot, where it is meant to be booted.
    #[error("no host could boot the tree for {refname}: {reason}")]
    NotBootable {
        /// The ref it is for.
        refname: String,
        /// Why not.
        reason: String,
    },
    /// The ref that is written is the base's.
    #[error(
        "the base is the ref {0} of the repository that is written: each commit would be the base of the next"
    )]
    OwnBase(String),
    /// A file that holds no GPG keys.
    #[error("{path} is not a GPG keyring: {reason}")]
    NotAKeyring {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A signature could not be made.
    #[error("signing commit {commit} failed: {reason}")]
    Signing {
        /// The commit's checksum.
        commit: String,
        /// Why.
        reason: String,
    },
    /// What libostree says.
    #[error("{doing}")]
    Library {
        /// A gerund naming the object.
        doing: String,
        /// libostree's own words.
        source: glib::Error,
    },
    /// What the file system says.
    #[error("{doing}")]
    Io {
        /// A gerund naming the object.
        doing: String,
        /// Why.
        source: io::Error,
    },
}

pub(super) type Result<T> = std::result::Result<T, OstreeError>;

/// Adds what was being done to an error.
pub(super) trait Doing<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, glib::Error> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| OstreeError::Library { doing: doing(), source })
    }
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| OstreeError::Io { doing: doing(), source })
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| OstreeError::Io { doing: doing(), source: errno.into() })
    }
}
