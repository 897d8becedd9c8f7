//! [`Problem`]: something in an image that is not what it should be.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use treelay_recipes::Digest;

use crate::image_store::StoreError;

/// What is wrong with one object of an image.
///
/// Serialised as an object of `what`, `digest`, `kind` (a fixed word), `message`, and where there
/// are two values, `expected` and `found`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({digest}): {fault}")]
pub struct Problem {
    /// What people call the object: `layer 2 of linux/arm64/v8`.
    pub what: String,
    /// The digest it is named by.
    pub digest: Digest,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The content is not what its digest says.
    #[error("its content has digest {found}")]
    Digest {
        /// Of what is stored.
        found: Digest,
    },
    /// The length is not what is named.
    #[error("it has {found} bytes, but {expected} are named")]
    Size {
        /// Bytes, by the descriptor.
        expected: u64,
        /// Bytes there are, or were when reading stopped.
        found: u64,
    },
    /// It is not in the store.
    #[error("it is missing")]
    Missing,
    /// It cannot be read.
    #[error("reading it: {reason}")]
    Unreadable {
        /// What happened.
        reason: String,
    },
    /// The layer unpacks to something else than the config says.
    #[error("it unpacks to diffID {found}, but the config names {expected}")]
    DiffId {
        /// By the config.
        expected: Digest,
        /// SHA-256 of what the layer unpacks to.
        found: Digest,
    },
    /// The layer's compression is broken.
    #[error("unpacking it: {reason}")]
    Compression {
        /// What the decoder says.
        reason: String,
    },
    /// The layer is gzip of several members (RFC 1952, section 2.2), which ostree-ext, the reader
    /// of rpm-ostree and bootc, takes for the first alone.
    #[error("its gzip has {found} members, of which rpm-ostree and bootc read only the first")]
    GzipMembers {
        /// How many.
        found: u64,
    },
    /// The media type is not the one that belongs there.
    #[error("its media type is {found:?}, expected {expected}")]
    MediaType {
        /// What belongs there.
        expected: String,
        /// What is named.
        found: String,
    },
    /// Index and config speak of different platforms.
    #[error("the index says it is for {expected}, its config says {found}")]
    Platform {
        /// By the index.
        expected: String,
        /// By the config.
        found: String,
    },
    /// The config has another number of diffIDs than the manifest has layers.
    #[error("it names {found} diffIDs for {expected} layers")]
    LayerCount {
        /// Layers of the manifest.
        expected: usize,
        /// DiffIDs of the config.
        found: usize,
    },
    /// The history has another number of steps that made a layer than there are layers.
    #[error("its history tells of {found} layers, but there are {expected}")]
    History {
        /// Layers of the manifest.
        expected: usize,
        /// Entries of the history that are not empty.
        found: usize,
    },
    /// One form of its signatures is not good, or stands beside what is not.
    #[error("{reason}")]
    Signature {
        /// What is to be known.
        reason: String,
    },
    /// It cannot be understood.
    #[error("{reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
}

impl Fault {
    /// What a store says about `digest`, as a fault of that object.
    pub(super) fn of(error: &StoreError, digest: &Digest) -> Self {
        match error {
            StoreError::DigestMismatch { expected, found, .. } if expected == digest => {
                Self::Digest { found: *found }
            }
            StoreError::SizeMismatch { digest: of, expected, found, .. } if of == digest => {
                Self::Size { expected: *expected, found: *found }
            }
            StoreError::NotFound { .. } => Self::Missing,
            StoreError::BadManifest { digest: of, reason, .. } if of == digest => {
                Self::Malformed { reason: reason.clone() }
            }
            other => Self::Unreadable { reason: with_causes(other) },
        }
    }

    /// One word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Digest { .. } => "digest",
            Self::Size { .. } => "size",
            Self::Missing => "missing",
            Self::Unreadable { .. } => "unreadable",
            Self::DiffId { .. } => "diff-id",
            Self::Compression { .. } => "compression",
            Self::GzipMembers { .. } => "gzip-members",
            Self::MediaType { .. } => "media-type",
            Self::Platform { .. } => "platform",
            Self::LayerCount { .. } => "layer-count",
            Self::History { .. } => "history",
            Self::Signature { .. } => "signature",
            Self::Malformed { .. } => "malformed",
        }
    }

    /// The two values that differ, where there are two.
    fn values(&self, digest: &Digest) -> Option<(String, String)> {
        let texts = |a: &dyn ToString, b: &dyn ToString| Some((a.to_string(), b.to_string()));
        match self {
            Self::Digest { found } => texts(digest, found),
            Self::Size { expected, found } => texts(expected, found),
            Self::DiffId { expected, found } => texts(expected, found),
            Self::GzipMembers { found } => texts(&1, found),
            Self::MediaType { expected, found } | Self::Platform { expected, found } => {
                texts(expected, found)
            }
            Self::LayerCount { expected, found } | Self::History { expected, found } => {
                texts(expected, found)
            }
            Self::Missing
            | Self::Unreadable { .. }
            | Self::Compression { .. }
            | Self::Signature { .. }
            | Self::Malformed { .. } => None,
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.fault.values(&self.digest);
        let mut fields =
            serializer.serialize_struct("Problem", if values.is_some() { 6 } else { 4 })?;
        fields.serialize_field("what", &self.what)?;
        fields.serialize_field("digest", &self.digest)?;
        fields.serialize_field("kind", self.fault.kind())?;
        if let Some((expected, found)) = values {
            fields.serialize_field("expected", &expected)?;
            fields.serialize_field("found", &found)?;
        }
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

/// An error with everything that caused it.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
