//! What can be wrong with evidence.

use std::io;
use std::path::PathBuf;

use treelay_layers::go::modules::SumError;
use treelay_recipes::Digest;
use treelay_signing::openpgp::{FingerprintError, NotGood, ReadError, TrustError};
use treelay_signing::sumdb::{PatternError, SettingError, SumDbError};

use super::sums::SumsError;
use crate::fetch::{Attempt, FetchError};

/// Two who say different things of a file.
#[derive(Debug, thiserror::Error)]
#[error("{from} says that {file} is {says}, but {other} says {other_says}")]
pub struct Disagreement {
    /// Name of the file.
    pub file: String,
    /// Who says the one thing.
    pub from: String,
    /// What it says.
    pub says: Digest,
    /// Who says the other.
    pub other: String,
    /// What that says.
    pub other_says: Digest,
}

/// Why an input is not verified as its recipe asks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A signature, list or answer could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A list of checksums does not say what the file is.
    #[error("{from}: {source}")]
    Sums {
        /// Where the list is.
        from: String,
        /// What is wrong with it.
        source: SumsError,
    },
    /// Two say different things of the file.
    #[error(transparent)]
    Disagree(Box<Disagreement>),
    /// A file is no text.
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    /// A key file could not be read.
    #[error("reading the key file {}: {source}", path.display())]
    KeyFile {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is given as a fingerprint is none.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// The pinned keys are not to be had from the key files.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A file of signatures is none.
    #[error("{from} is no signature: {source}")]
    Signature {
        /// Where it is.
        from: String,
        /// What is wrong with it.
        source: ReadError,
    },
    /// A signed list is not signed by whom it should be.
    #[error("{from}: {source}")]
    NotGood {
        /// The list.
        from: String,
        /// Each of its signatures.
        source: NotGood,
    },
    /// The signature that was to be of a list of checksums has the archive's text in it, or none.
    #[error(
        "{from} is a clear-signed text, and no signature over the archive: give the list of checksums as `checksum`, and `over: checksum`"
    )]
    ClearSigned {
        /// Where it is.
        from: String,
    },
    /// The environment's GOSUMDB, or the recipe's `sumdb`.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// GONOSUMDB, GOPRIVATE, or the recipe's `private`.
    #[error(transparent)]
    Patterns(#[from] PatternError),
    /// The environment forbids it.
    #[error(
        "GOSUMDB is off in the environment: name the database in the recipe, as `sumdb: sum.golang.org`, or leave `sumdb` out of `verify`"
    )]
    Off,
    /// The database does not have the module.
    #[error(
        "the checksum database {database} does not have {module}; a module that is nobody's business is named in `private`, GONOSUMDB or GOPRIVATE"
    )]
    NotInDatabase {
        /// Name of the database.
        database: String,
        /// Module and version.
        module: String,
    },
    /// The database's answers prove nothing, or the contrary.
    #[error("{0}")]
    SumDb(#[from] Box<SumDbError>),
    /// What is in the archive can have no sum that a database would have.
    #[error("the archive is not what any checksum database has: {0}")]
    NoSum(#[from] SumError),
    /// What was kept of a database cannot be read.
    #[error("the head of the checksum database that is kept in {} is damaged: {reason}. Where it cannot be restored, remove it, and the database is trusted anew", path.display())]
    KeptHead {
        /// Where it is kept.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed.
    #[error("keeping what the checksum database has shown: {0}")]
    Store(#[source] io::Error),
}

impl VerifyError {
    /// Whether what was served is something else than was said or signed.
    pub(in crate::exec) fn lied(&self) -> bool {
        match self {
            Self::Disagree(_) | Self::NotGood { .. } | Self::NoSum(_) => true,
            // All else that a database answers is its own affair.
            Self::SumDb(error) => matches!(**error, SumDbError::OtherSum { .. }),
            _ => false,
        }
    }

    /// Whether no other source can mend it.
    pub(in crate::exec) fn is_ours(&self) -> bool {
        match self {
            Self::KeyFile { .. }
            | Self::Fingerprint(_)
            | Self::Trust(_)
            | Self::Setting(_)
            | Self::Patterns(_)
            | Self::Off
            | Self::KeptHead { .. }
            | Self::Store(_) => true,
            Self::SumDb(error) => {
                matches!(**error, SumDbError::Fork { .. } | SumDbError::RolledBack { .. })
            }
            _ => false,
        }
    }

    /// What became of the places that were asked.
    pub(in crate::exec) fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Fetch(error) => error.attempts(),
            _ => &[],
        }
    }
}

impl From<SumDbError> for VerifyError {
    fn from(error: SumDbError) -> Self {
        Self::SumDb(Box::new(error))
    }
}
