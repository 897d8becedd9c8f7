//! [`Verdict`]: what a signature is worth.

use crate::dsse::EnvelopeError;
use crate::form::FormError;
use crate::keys::KeyKind;

/// What a signature says about a subject, to somebody who trusts one key.
///
/// Only [`Verdict::Good`] may be acted on. The other two differ in what they tell people:
/// signatures by others are normal beside one's own, a [`Verdict::Bad`] one is not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Made by the key, over exactly the subject.
    Good,
    /// Says nothing, because it was not made by the key as far as can be told. Most forms carry no
    /// name of their key, so a signature by another key and a damaged one by this key look the
    /// same.
    Unknown(Reason),
    /// Cannot be right, whoever made it, or was made by the key over something else.
    Bad(Reason),
}

impl Verdict {
    /// Whether the signature may be trusted.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }

    /// Why it may not.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Good => None,
            Self::Unknown(reason) | Self::Bad(reason) => Some(reason),
        }
    }
}

/// Why a signature is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The signature does not fit the signed bytes under this key.
    #[error("not made by key {fingerprint}, or it or the signed bytes were changed afterwards")]
    NotByThisKey {
        /// Of the key that was tried.
        fingerprint: String,
    },
    /// The signature names the key it was made with, and it is another one.
    #[error("made by key {found}, not by {fingerprint}")]
    OtherKey {
        /// Of the key that was tried.
        fingerprint: String,
        /// Of the key the signature names.
        found: String,
    },
    /// The signature names this very key, and does not fit.
    #[error(
        "says it is made by key {fingerprint}, but does not fit: it or the signed bytes were \
         changed"
    )]
    DoesNotFit {
        /// Of the key that was tried.
        fingerprint: String,
    },
    /// The scheme does not know such keys.
    #[error("{scheme} signatures are not made with {kind} keys")]
    KeyKind {
        /// Name of the scheme.
        scheme: &'static str,
        /// Kind of the key that was tried.
        kind: KeyKind,
    },
    /// A signature of one scheme was handed to another, or a subject the scheme does not sign.
    #[error("{found} is not for the scheme {scheme}")]
    NotForScheme {
        /// Name of the scheme that was asked.
        scheme: &'static str,
        /// What it was asked about.
        found: String,
    },
    /// The bytes of the signature have the form of those by keys of another kind.
    #[error("made by a key of the kind {kind}, and key {fingerprint} is of another")]
    OtherKind {
        /// Of the key that was tried.
        fingerprint: String,
        /// Of the keys that make such signatures.
        kind: KeyKind,
    },
    /// The bytes of the signature have not the form of one.
    #[error("malformed signature of {length} bytes: expected {expected}")]
    Malformed {
        /// Their number.
        length: usize,
        /// The form.
        expected: &'static str,
    },
    /// The key made it, but over a hash that no verifier of the scheme computes.
    #[error(
        "made by the key, but with {hash}, which verifiers of {scheme} signatures do not \
         compute (cosign 3 does so by mistake): sign again"
    )]
    HashNobodyReads {
        /// Name of the scheme.
        scheme: &'static str,
        /// The hash.
        hash: &'static str,
    },
    /// The scheme signs a payload, and there is none.
    #[error("the signed payload is missing")]
    NoPayload,
    /// The payload is signed by the key, but it is not one.
    #[error("the signed payload is not acceptable: {0}")]
    Payload(#[from] FormError),
    /// The bundle holds no statement, but a signature over bytes that lie elsewhere.
    #[error("a signature over a file, not a statement about an image")]
    NoStatement,
    /// The envelope around the statement is not acceptable.
    #[error(transparent)]
    Envelope(EnvelopeError),
    /// The statement is signed by the key, but it is not one.
    #[error("the signed statement is not acceptable: {0}")]
    Statement(FormError),
    /// Signed by the key, but not to sign an image: an attestation, which says something about one.
    #[error(
        "signed by the key, but it is a statement of the type {found:?}, not a signature \
         ({expected})"
    )]
    NotASignature {
        /// Type of the predicate of a signature.
        expected: &'static str,
        /// Type of its predicate.
        found: String,
    },
    /// Made by a key that has a certificate and is named by nothing else.
    #[error("made by a key with a certificate, not by {fingerprint}")]
    ByCertificate {
        /// Of the key that was tried.
        fingerprint: String,
    },
    /// Signed by the key, for something else.
    #[error("signed by the key for {found}, not for {expected}")]
    OtherSubject {
        /// What was to be verified.
        expected: String,
        /// What the signature is for.
        found: String,
    },
    /// Signed by the key for the right bytes under another name.
    #[error("signed by the key under the name {found}, not {expected}")]
    OtherReference {
        /// The name that was asked for.
        expected: String,
        /// The name that was signed.
        found: String,
    },
}
