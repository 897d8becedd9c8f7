//! What can be wrong with keys and signatures.

use super::policy::day;
use super::{Fingerprint, Judged};

/// Why a file of keys or signatures cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Neither armour nor packets.
    #[error("not OpenPGP: expected {0}")]
    NotOpenPgp(&'static str),
    /// Longer than anything of its kind.
    #[error("{length} bytes are more than the {most} that are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// What is read at most.
        most: usize,
    },
    /// The armour is damaged or ends early.
    #[error("damaged armour: {0}")]
    Armor(&'static str),
    /// The armour is of something else.
    #[error("the armour is of {found:?}, and {expected:?} is wanted")]
    OtherArmor {
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The packets are damaged or end early.
    #[error("damaged packets: {0}")]
    Packets(&'static str),
    /// A secret key where a public one is needed.
    #[error("a secret key: give the public key that belongs to it, and keep this one to yourself")]
    SecretKey,
    /// A packet that does not belong into such a file.
    #[error("a packet that does not belong there: {0}")]
    Foreign(String),
    /// There is nothing in it.
    #[error("no {0} in it")]
    Empty(&'static str),
    /// More signatures than any file has.
    #[error("more than {0} signatures")]
    TooMany(usize),
    /// More packets than any file of its kind has.
    #[error("more than {0} packets")]
    TooManyPackets(usize),
    /// The clear-signed text has not the form of one.
    #[error("line {line} of the signed text: {reason}")]
    Clear {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Why keys are not to be had from the files that should have them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Nothing is pinned.
    #[error("no key is pinned: give the fingerprint of at least one")]
    NoPin,
    /// A file cannot be read.
    #[error("reading file {file} of the keys: {source}")]
    Read {
        /// Which of the files, counted from 1 in the order in which they are given.
        file: usize,
        /// What is wrong with it.
        source: ReadError,
    },
    /// No file has the key.
    #[error("the key {pin} is not among the given ones: {found}")]
    Missing {
        /// The fingerprint that is wanted.
        pin: Fingerprint,
        /// The fingerprints that are there, and what the wanted one is of them.
        found: String,
    },
}

/// Why a signature counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// By a key that is not pinned.
    #[error("made by the key {0}, which is not pinned")]
    OtherKey(String),
    /// A version that is not read.
    #[error("version {0} of signatures is not accepted")]
    Version(u8),
    /// Over something that is no file.
    #[error("a signature of type {0:#04x}, which is not over a file")]
    Type(u8),
    /// The hash is too weak, or unknown.
    #[error("the hash {0} is not accepted")]
    Hash(String),
    /// A clear-signed text does not name the signature's hash.
    #[error("the hash {0} is not among those that the text names")]
    HashNotNamed(String),
    /// The key is too weak, or of an unknown kind.
    #[error("the key {key} is not accepted: {reason}")]
    WeakKey {
        /// Its fingerprint.
        key: Fingerprint,
        /// What is wrong.
        reason: String,
    },
    /// The signature does not fit the file.
    #[error("says it is made by key {0}, but does not fit: it or the file was changed")]
    DoesNotFit(Fingerprint),
    /// No time, or something else that each has.
    #[error("the signature lacks {0}")]
    Lacks(&'static str),
    /// Its parts contradict each other.
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    /// A critical part that is not understood.
    #[error("a critical part is not understood: {0}")]
    Critical(String),
    /// Made later than now.
    #[error("made on {}, which is later than {}", day(*.made), day(*.at))]
    Future {
        /// When, in seconds since 1970.
        made: u64,
        /// The time of the verification.
        at: u64,
    },
    /// It said how long it holds.
    #[error("the signature has expired on {}", day(*.0))]
    Expired(u64),
    /// Made before the key.
    #[error("made on {}, and the key {key} on {}", day(*.made), day(*.created))]
    BeforeKey {
        /// Fingerprint of the key.
        key: Fingerprint,
        /// When the signature was made, in seconds since 1970.
        made: u64,
        /// When the key was made.
        created: u64,
    },
    /// Made after the key had expired.
    #[error("made on {}, and the key {key} has expired on {}", day(*.made), day(*.expired))]
    AfterKey {
        /// Fingerprint of the key.
        key: Fingerprint,
        /// When the signature was made, in seconds since 1970.
        made: u64,
        /// When the key expired.
        expired: u64,
    },
    /// The key was revoked, for all times or before the signature.
    #[error("the key {key} was revoked on {}: {reason}", day(*.revoked))]
    Revoked {
        /// Fingerprint of the key.
        key: Fingerprint,
        /// When, in seconds since 1970.
        revoked: u64,
        /// What the revocation says.
        reason: String,
    },
    /// The primary key says nothing valid of itself.
    #[error("the key {0} has no valid self-signature")]
    NoSelfSignature(Fingerprint),
    /// The primary key does not say that the subkey is its own.
    #[error("the subkey {0} has no valid binding signature")]
    NoBinding(Fingerprint),
    /// The subkey does not say that it belongs to the primary key.
    #[error("the subkey {0} does not sign its primary key back")]
    NoBackSignature(Fingerprint),
    /// The key is for something else.
    #[error("the key {0} is not for signing files")]
    NotForSigning(Fingerprint),
}

/// No signature of a file is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotGood {
    /// Each of them.
    pub signatures: Vec<Judged>,
}

impl std::fmt::Display for NotGood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no good signature by a pinned key")?;
        for Judged { fault } in &self.signatures {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotGood {}
