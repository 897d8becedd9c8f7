//! What can be wrong about a checksum database.

use super::{Hash, SignedHead};

/// Why an answer of a checksum database is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SumDbError {
    /// The signed text has not the form of a note.
    #[error("not a signed note: {0}")]
    MalformedNote(&'static str),
    /// No signature of the note is by the database's key.
    #[error("the note is not signed by {key}; it has signatures by: {found}")]
    NotSigned {
        /// Name and hash of the database's key.
        key: String,
        /// Names and hashes of the keys that it is signed by, or "nobody".
        found: String,
    },
    /// The note names the database's key, and the signature does not fit.
    #[error("the note says that it is signed by {key}, but the signature does not fit")]
    BadSignature {
        /// Name and hash of the key.
        key: String,
    },
    /// The signed text is no tree head.
    #[error("the signed text is not the head of a checksum database: {0}")]
    MalformedHead(&'static str),
    /// The answer to a lookup has not its form.
    #[error("not an answer to a lookup: {0}")]
    MalformedRecord(&'static str),
    /// The number of the record is beyond the tree.
    #[error("the answer is record {record} of a tree of {size}")]
    BeyondTree {
        /// Number of the record, counted from 0.
        record: u64,
        /// How many records the newest known tree has.
        size: u64,
    },
    /// A tile that the proof needs was not handed over.
    #[error("the proof needs {path}, which is missing")]
    MissingTile {
        /// The tile's path.
        path: String,
    },
    /// A tile is not as long as it must be.
    #[error("{path} has {found} bytes, not {expected}")]
    TileLength {
        /// The tile's path.
        path: String,
        /// Its length in bytes.
        found: usize,
        /// The length that it must have.
        expected: usize,
    },
    /// The tiles at the right edge of the tree do not make the signed root.
    #[error("the tiles of the tree of {size} make the root {found}, and {signed} is signed")]
    WrongRoot {
        /// How many records the tree has.
        size: u64,
        /// The root that the tiles make.
        found: Hash,
        /// The signed root.
        signed: Hash,
    },
    /// A tile is not the one that the signed tree has.
    #[error("{path} is not the one of the signed tree: it makes {found} instead of {expected}")]
    WrongTile {
        /// The tile's path.
        path: String,
        /// Hash over the tile.
        found: Hash,
        /// What the tile above it says.
        expected: Hash,
    },
    /// The record is not the one in the tree.
    #[error("record {record} of the signed tree is another one: {expected}, not {found}")]
    NotIncluded {
        /// Number of the record.
        record: u64,
        /// Hash of the answer's record.
        found: Hash,
        /// Hash in the tree.
        expected: Hash,
    },
    /// Two heads, both signed, that cannot be of one log.
    #[error(
        "the checksum database shows two histories. It has signed a tree of {} with the root {}, \
         and a tree of {} that does not continue it (its first {} records have the root {computed}). \
         Keep both notes, and show them to whoever watches over it.\n{}\n{}",
        older.head().size, older.head().root, newer.head().size, older.head().size,
        older.note(), newer.note()
    )]
    Fork {
        /// The head with fewer records.
        older: Box<SignedHead>,
        /// The head with more of them.
        newer: Box<SignedHead>,
        /// The root that the newer tree gives to the older one's records.
        computed: Hash,
    },
    /// The newest head has fewer records than one that was seen before.
    #[error(
        "the checksum database went back: it has signed a tree of {} records, and now says that \
         the newest has {}.\n{}\n{}",
        seen.head().size, latest.head().size, seen.note(), latest.note()
    )]
    RolledBack {
        /// The head that was seen before.
        seen: Box<SignedHead>,
        /// What it calls its newest now.
        latest: Box<SignedHead>,
    },
    /// The record is about something else.
    #[error("the record is not about {module} {version}")]
    OtherModule {
        /// Path of the module that was asked for.
        module: String,
        /// Its version.
        version: String,
    },
    /// A module is not what the database says.
    #[error("{what} is {found}, and the checksum database says {expected}")]
    OtherSum {
        /// The module and version, or its go.mod.
        what: String,
        /// What was computed.
        found: String,
        /// What the record says.
        expected: String,
    },
    /// The record lacks the sum that is to be checked.
    #[error("the checksum database does not say what {what} is")]
    NoSum {
        /// The module and version, or its go.mod.
        what: String,
    },
}

/// Why a text is not the key of a checksum database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the key of a checksum database (name+hash+key): {reason}")]
pub struct KeyTextError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why a GOSUMDB is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// Nothing in it.
    #[error("GOSUMDB is empty: give a name, name+key, \"name+key url\", or off")]
    Empty,
    /// More than two words.
    #[error("GOSUMDB has {0} words: at most a key and an address are given")]
    TooMany(usize),
    /// A name alone, of a database whose key is not known.
    #[error("the key of the checksum database {0:?} is not known: give it as name+hash+key")]
    UnknownName(String),
    /// The key is none.
    #[error(transparent)]
    Key(#[from] KeyTextError),
    /// The name can be no address.
    #[error("{0:?} is not the name of a checksum database: expected host or host/path")]
    BadName(String),
    /// The address is none that is asked.
    #[error("{0:?} is not the address of a checksum database: expected https://…")]
    BadUrl(String),
}

/// Why a list of patterns is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a pattern of module paths: {reason}")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}
