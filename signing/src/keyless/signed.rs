//! [`Signed`]: what is true once everything is verified.

use std::fmt;

use serde::Serialize;

use super::identity::IdentityForm;
use super::time::Time;
use crate::Statement;
use crate::bundle::BundleVersion;

/// Who signed what, when, and in which form: all of it verified.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signed {
    /// What: `sha256:` and 64 hex digits.
    pub artifact: String,
    /// Who.
    #[serde(flatten)]
    pub by: SignedBy,
    /// When, by everybody who vouches for a time: at least one for a certificate.
    pub times: Vec<SigningTime>,
    /// In which form.
    #[serde(flatten)]
    pub form: SignedForm,
    /// Where it is logged: at least one for a certificate.
    pub log: Vec<LogRecord>,
    /// The statement, where it is one.
    #[serde(skip)]
    pub statement: Option<Statement>,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum SignedBy {
    /// Who had a certificate for a key that lived for minutes.
    Identity {
        /// Name of the signer.
        identity: String,
        /// Form of that name.
        identity_form: IdentityForm,
        /// Who issued the identity.
        issuer: String,
        /// SHA-256 of the certificate, 64 lowercase hex digits.
        certificate: String,
    },
    /// Who has a key.
    Key {
        /// [`PublicKey::fingerprint`](crate::PublicKey::fingerprint).
        key: String,
    },
}

/// A time at which the signature was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SigningTime {
    /// When.
    pub time: Time,
    /// Who says so.
    pub source: TimeSource,
    /// Its address.
    pub authority: String,
}

/// Who vouches for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// A log, by a signed entry timestamp.
    Log,
    /// A timestamp authority.
    TimestampAuthority,
}

/// In which form it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
pub enum SignedForm {
    /// A bundle with a signature over the bytes.
    MessageSignature {
        /// Version of the bundle.
        #[serde(serialize_with = "in_words")]
        bundle: BundleVersion,
    },
    /// A bundle with a statement about them.
    Statement {
        /// Version of the bundle.
        #[serde(serialize_with = "in_words")]
        bundle: BundleVersion,
        /// What the predicate is.
        predicate_type: String,
    },
    /// A payload with a signature and annotations beside it, cosign's form before bundles.
    Annotations,
}

/// An entry in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogRecord {
    /// Address of the log.
    pub log: String,
    /// Number of the entry: in the whole log where the log signed that, else in one tree of it.
    pub index: u64,
    /// Kind and version of the entry, `hashedrekord 0.0.1`.
    pub kind: String,
}

fn in_words<S: serde::Serializer>(it: &BundleVersion, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(it)
}

impl fmt::Display for SignedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity { identity, issuer, .. } => write!(f, "{identity}, says {issuer}"),
            Self::Key { key } => write!(f, "key {key}"),
        }
    }
}

impl fmt::Display for SigningTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.source {
            TimeSource::Log => "the log",
            TimeSource::TimestampAuthority => "the timestamp authority",
        };
        write!(f, "{} by {what} {}", self.time, self.authority)
    }
}

impl fmt::Display for SignedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageSignature { bundle } => {
                write!(f, "a bundle of version {bundle} with a signature over the bytes")
            }
            Self::Statement { bundle, predicate_type } => {
                write!(f, "a bundle of version {bundle} with a statement, {predicate_type}")
            }
            Self::Annotations => f.write_str("a signature with annotations"),
        }
    }
}

impl fmt::Display for LogRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of {} ({})", self.index, self.log, self.kind)
    }
}
