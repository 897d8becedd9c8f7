//! Why an archive is not unpacked.

use std::io;

use crate::tree::TreeError;

/// Why an archive is not unpacked. `member` is the name as the archive has it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The first bytes are those of nothing that can be unpacked.
    #[error("it is {found}; expected a tar, tar.gz, tar.xz, tar.zst, zip or ar archive")]
    UnknownFormat {
        /// What it looks like.
        found: &'static str,
    },
    /// The archive itself could not be read.
    #[error("reading the archive: {0}")]
    Reading(#[source] io::Error),
    /// It ends before it is complete.
    #[error("the archive is truncated: it ends{}", at(member))]
    Truncated {
        /// The last member that was begun; empty at the very start.
        member: String,
    },
    /// A checksum or a structure is wrong.
    #[error("the archive is damaged{}: {reason}", at(member))]
    Corrupt {
        /// The last member that was begun; empty for the archive as a whole.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// Something other than zeros follows the end.
    #[error("the archive is followed by other data")]
    TrailingData,
    /// A path that no tree can have.
    #[error("member {member:?} of the archive has a path that {reason}")]
    Path {
        /// Its name.
        member: String,
        /// What is wrong with it, as the rest of a sentence.
        reason: &'static str,
    },
    /// A name, link target or attribute name that is not UTF-8.
    #[error("the name or link target of member {member:?} of the archive is not UTF-8")]
    NotUtf8 {
        /// Its name, with replacement characters.
        member: String,
    },
    /// A symbolic link that leaves the root.
    #[error("member {member:?} of the archive is a link that leaves its root: {target:?}")]
    LinkLeaves {
        /// The link.
        member: String,
        /// Its target.
        target: String,
    },
    /// A hard link to what did not come before it.
    #[error(
        "member {member:?} of the archive is a hard link to {target:?}, which is no file before it"
    )]
    HardLink {
        /// The link.
        member: String,
        /// What it names.
        target: String,
    },
    /// A device, FIFO or socket.
    #[error("member {member:?} of the archive is a {kind}, not a file, directory or link")]
    Special {
        /// Its name.
        member: String,
        /// What it is.
        kind: &'static str,
    },
    /// One path twice.
    #[error("member {member:?} is in the archive twice, and the two differ")]
    Twice {
        /// Its name.
        member: String,
    },
    /// An encrypted member.
    #[error("member {member:?} of the archive is encrypted")]
    Encrypted {
        /// Its name.
        member: String,
    },
    /// A feature that is not supported.
    #[error("member {member:?} of the archive uses what is not supported: {what}")]
    Unsupported {
        /// Its name.
        member: String,
        /// The feature.
        what: String,
    },
    /// More than [`Limits`](super::Limits) allow.
    #[error("the archive goes over the limit of {allowed} {what}{}", at(member))]
    Limit {
        /// Where.
        member: String,
        /// What is counted: `members`, `bytes in all`…
        what: &'static str,
        /// How many there may be.
        allowed: u64,
    },
    /// Members that cannot be in one tree.
    #[error("the archive's members make no tree: {0}")]
    Tree(#[from] TreeError),
    /// The sink failed.
    #[error("keeping member {member:?} of the archive: {source}")]
    Keeping {
        /// The member.
        member: String,
        /// Why.
        source: io::Error,
    },
}

/// Where in the archive; nothing can be said before the first member.
fn at(member: &str) -> String {
    if member.is_empty() { String::new() } else { format!(" at member {member:?}") }
}

/// What a reader of an archive met that is not an input or output error; travels inside an
/// [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the archive is followed by other data")]
    Trailing,
    #[error("it goes over the limit of {allowed} {what}")]
    Limit { what: &'static str, allowed: u64 },
    #[error("{0}")]
    Corrupt(&'static str),
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

impl ArchiveError {
    /// What `error`, met while reading at `member`, means.
    pub(super) fn reading(member: &str, error: io::Error) -> Self {
        let member = member.to_owned();
        // What the operating system says is about the source; all else is about its bytes.
        if error.raw_os_error().is_some() {
            return Self::Reading(error);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Truncated { member };
        }
        match error.downcast::<Fault>() {
            Ok(Fault::Trailing) => Self::TrailingData,
            Ok(Fault::Limit { what, allowed }) => Self::Limit { member, what, allowed },
            Ok(Fault::Corrupt(reason)) => Self::Corrupt { member, reason: reason.to_owned() },
            Err(error) => Self::Corrupt { member, reason: error.to_string() },
        }
    }
}
