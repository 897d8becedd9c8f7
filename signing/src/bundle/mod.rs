//! [`Bundle`]: a signature with everything that is needed to verify it, in one JSON document.
//!
//! Specified in sigstore's protobuf-specs, `sigstore_bundle.proto`. *Terms.* The *content* is a
//! [DSSE envelope](crate::dsse) with a statement, or a *message signature* over bytes that lie
//! elsewhere. The *verification material* says with what it is verified: a public key that the
//! reader must have already, named by a *hint*, or the certificate of a key that lived for minutes.
//! *Log entries* and *timestamps* prove when it was signed.
//!
//! | version | media type | what its rules are |
//! |---|---|---|
//! | 0.1 | `application/vnd.dev.sigstore.bundle+json;version=0.1` | log entries have a promise |
//! | 0.2 | `…bundle+json;version=0.2` | log entries have a proof with a checkpoint |
//! | 0.3 | `…bundle+json;version=0.3`, `…bundle.v0.3+json` | the same, and no chain of certificates |
//!
//! [`Bundle::parse`] takes what the specification allows and nothing else: no unknown names, no
//! names in another case, no two values of one name, and sizes as real bundles have them. It
//! verifies nothing: [`Bundle::verify_statement`] does for somebody who trusts a key. Bundles are
//! written in version 0.3, signed by a key, as cosign 3 writes them.

mod read;
#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

use crate::dsse::{Envelope, EnvelopeError};
use crate::form::FormError;
use crate::keys::{PublicKey, SecretKey};
use crate::statement::PAYLOAD_TYPE;
use crate::{Reason, SignError, Statement, Verdict};

/// Media type of the bundles that are written, and type of the artifacts that hold them.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Longest bundle that is read, in bytes.
pub const MAX_BUNDLE: usize = crate::dsse::MAX_ENVELOPE + 1024 * 1024;

/// A bundle, read and not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Its version, by its media type.
    pub version: BundleVersion,
    /// With what it is verified.
    pub material: Material,
    /// Its entries in transparency logs.
    pub log_entries: Vec<LogEntry>,
    /// Timestamps (RFC 3161, DER of the whole response) over the signature.
    pub timestamps: Vec<Vec<u8>>,
    /// What is signed.
    pub content: Content,
}

/// Version of the form of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BundleVersion {
    /// 0.1.
    V0_1,
    /// 0.2.
    V0_2,
    /// 0.3.
    V0_3,
}

/// With what a bundle is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// A key that the reader has. Of the hint nothing is proved; cosign writes
    /// [`PublicKey::hint`], others what they like or nothing.
    PublicKey {
        /// What its maker calls the key.
        hint: String,
    },
    /// The certificate of the key, in DER.
    Certificate(Vec<u8>),
    /// The certificate of the key and those of who issued it, each in DER; at least one.
    CertificateChain(Vec<Vec<u8>>),
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The payload that is in it.
    Envelope(Envelope),
    /// Bytes that lie elsewhere.
    Message(MessageSignature),
}

/// A signature over bytes that lie elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSignature {
    /// Their digest, so that they can be found. Proves nothing.
    pub digest: Option<MessageDigest>,
    /// The signature, not in base64.
    pub signature: Vec<u8>,
}

/// A digest of signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageDigest {
    /// As sigstore calls it: `SHA2_256`.
    pub algorithm: String,
    /// The bytes of it.
    pub digest: Vec<u8>,
}

/// An entry in a transparency log, as it is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number in the whole log.
    pub log_index: u64,
    /// SHA-256 of the log's public key; of newer logs, the hash of their name and key.
    pub log_id: Vec<u8>,
    /// Kind of the entry: `hashedrekord`, `dsse`, `intoto`.
    pub kind: String,
    /// Version of that kind: `0.0.1`.
    pub kind_version: String,
    /// When the log took it in, in seconds since 1970; 0 where the log does not say.
    pub integrated_time: u64,
    /// The log's promise to take it in: the *signed entry timestamp*.
    pub inclusion_promise: Option<Vec<u8>>,
    /// That it is in the log.
    pub inclusion_proof: Option<InclusionProof>,
    /// The entry itself, JSON.
    pub canonicalized_body: Vec<u8>,
}

/// That an entry is in a log (RFC 6962, section 2.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Its number in the tree of the proof.
    pub log_index: u64,
    /// The root of the tree, 32 bytes.
    pub root_hash: Vec<u8>,
    /// How many entries the tree has.
    pub tree_size: u64,
    /// The hashes from the entry up to the root, 32 bytes each.
    pub hashes: Vec<Vec<u8>>,
    /// The signed note that has the root in it.
    pub checkpoint: Option<String>,
}

/// Why something is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It has not the form of one.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Of a version that is not known, or something else.
    #[error("{found:?} is not the media type of a bundle of version 0.1, 0.2 or 0.3")]
    MediaType {
        /// The media type it names.
        found: String,
    },
    /// Exactly one of several things must be there.
    #[error("there must be exactly one of {names}; found {found}")]
    OneOf {
        /// The names.
        names: String,
        /// How many there are.
        found: usize,
    },
    /// What its version does not allow.
    #[error("a bundle of version {version} {rule}")]
    Rule {
        /// The version.
        version: BundleVersion,
        /// What is wrong.
        rule: &'static str,
    },
}

impl std::fmt::Display for BundleVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V0_1 => "0.1",
            Self::V0_2 => "0.2",
            Self::V0_3 => "0.3",
        })
    }
}

impl BundleVersion {
    /// The version that a media type means, in either of the two ways in which they were written.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        let rest = media_type.strip_prefix("application/vnd.dev.sigstore.bundle")?;
        let version = rest
            .strip_prefix("+json;version=")
            .or_else(|| rest.strip_prefix(".v").and_then(|rest| rest.strip_suffix("+json")))?;
        match version {
            "0.1" => Some(Self::V0_1),
            "0.2" => Some(Self::V0_2),
            "0.3" => Some(Self::V0_3),
            _ => None,
        }
    }
}

impl Bundle {
    /// Signs a statement, as it is, with a key.
    ///
    /// # Errors
    /// [`SignError`] when the key cannot be used, or lives elsewhere and gives no good answer.
    pub fn sign(statement: &Statement, key: &SecretKey) -> Result<Self, SignError> {
        let envelope = Envelope::sign(PAYLOAD_TYPE, statement.to_bytes(), key)?;
        Ok(Self::by_key(envelope, key.public()))
    }

    /// The bundle of an envelope that `key` has signed.
    pub fn by_key(envelope: Envelope, key: &PublicKey) -> Self {
        Self {
            version: BundleVersion::V0_3,
            material: Material::PublicKey { hint: key.hint() },
            log_entries: Vec::new(),
            timestamps: Vec::new(),
            content: Content::Envelope(envelope),
        }
    }

    /// The JSON of a bundle that a key signed, byte for byte as cosign 3.1 writes it; [`None`] for
    /// others, which are kept as they were read.
    pub fn to_json(&self) -> Option<String> {
        let Self { version: BundleVersion::V0_3, log_entries, timestamps, .. } = self else {
            return None;
        };
        let (Material::PublicKey { hint }, Content::Envelope(envelope), true, true) =
            (&self.material, &self.content, log_entries.is_empty(), timestamps.is_empty())
        else {
            return None;
        };
        let (hint, envelope) = (serde_json::Value::from(hint.as_str()), envelope.to_json());
        Some(format!(
            r#"{{"mediaType":"{MEDIA_TYPE}","verificationMaterial":{{"publicKey":{{"hint":{hint}}}}},"dsseEnvelope":{envelope}}}"#
        ))
    }

    /// The envelope, where there is one.
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.content {
            Content::Envelope(envelope) => Some(envelope),
            Content::Message(_) => None,
        }
    }

    /// Fingerprint of the key that the bundle says it was made with. [`None`] where it names none
    /// in the form of [`PublicKey::hint`]: then any key may have made it.
    pub fn key_fingerprint(&self) -> Option<String> {
        use base64::Engine as _;
        let Material::PublicKey { hint } = &self.material else { return None };
        let hash = base64::engine::general_purpose::STANDARD.decode(hint).ok()?;
        (hash.len() == Sha256::output_size()).then(|| hex::encode(hash))
    }

    /// What the bundle says, to somebody who does not ask whether it is true: for lists and
    /// messages alone.
    ///
    /// # Errors
    /// [`Reason`] why it says nothing.
    pub fn unverified_statement(&self) -> Result<Statement, Reason> {
        let envelope = self.envelope().ok_or(Reason::NoStatement)?;
        Statement::parse(envelope.statement_bytes()?).map_err(Reason::Statement)
    }

    /// Judges whether `key` signed this bundle's statement, and gives the statement. What it is
    /// about, and what it says, is the caller's to compare: see
    /// [`Statement::subject`] and [`Statement::predicate_type`].
    ///
    /// A bundle with a certificate is not signed by a key that anybody could trust, so it is
    /// [`Verdict::Unknown`] here.
    ///
    /// # Errors
    /// The verdict that is not [`Verdict::Good`]. Nothing is read from a statement that the key has
    /// not signed.
    pub fn verify_statement(&self, key: &PublicKey) -> Result<Statement, Verdict> {
        let Some(envelope) = self.envelope() else {
            return Err(Verdict::Bad(Reason::NoStatement));
        };
        if !matches!(self.material, Material::PublicKey { .. }) {
            let fingerprint = key.fingerprint();
            return Err(Verdict::Unknown(Reason::ByCertificate { fingerprint }));
        }
        envelope.verify_named(key, self.key_fingerprint())
    }
}

impl From<EnvelopeError> for Reason {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}
