//! [`Subject`]: what is signed. [`Signature`]: what came of it.

use sha2::{Digest as _, Sha256};

use crate::keys::KeyKind;

/// What a signature is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// An image: an index or a manifest.
    Image {
        /// Of the index's or manifest's bytes: `sha256:` and 64 lowercase hex digits.
        digest: &'a str,
        /// The name it is published under, `registry/repository:tag`. Signing needs it;
        /// verifying demands exactly this name when it is given.
        reference: Option<&'a str>,
    },
    /// An OSTree commit: the bytes of its commit object.
    Commit(&'a [u8]),
}

impl Subject<'_> {
    /// The subject's name: the image's digest, or the commit's checksum (64 hex digits, the
    /// SHA-256 of the commit object).
    pub fn name(&self) -> String {
        match self {
            Self::Image { digest, .. } => (*digest).to_owned(),
            Self::Commit(bytes) => hex::encode(Sha256::digest(bytes)),
        }
    }
}

/// A signature, made or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name of the scheme it was made by, as in [`Scheme::name`](crate::schemes::Scheme::name).
    pub scheme: &'static str,
    /// What it is meant to be about, as [`Subject::name`] says it: a label for people. What was
    /// really signed is found out by verifying.
    pub subject: String,
    /// The signature itself, in the scheme's form, not in base64.
    pub bytes: Vec<u8>,
    /// The bytes that are signed, where they are stored beside the signature.
    pub payload: Option<Vec<u8>>,
    /// [`PublicKey::fingerprint`](crate::keys::PublicKey::fingerprint) of the key it was made
    /// with; [`None`] when the signature was read from somewhere that does not say.
    pub key: Option<String>,
}

/// Why something cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The scheme does not sign with such keys.
    #[error("{scheme} signatures cannot be made with a {kind} key")]
    KeyKind {
        /// Name of the scheme.
        scheme: &'static str,
        /// Kind of the key.
        kind: KeyKind,
    },
    /// The scheme does not sign such subjects.
    #[error("{scheme} does not sign {subject}")]
    NotForScheme {
        /// Name of the scheme.
        scheme: &'static str,
        /// Name of the subject.
        subject: String,
    },
    /// An image is to be signed without its name.
    #[error("signing image {digest}: the name it will be published under is not known")]
    NoReference {
        /// Digest of the image.
        digest: String,
    },
    /// The name of an image is not one.
    #[error("{reference:?} is not the name of an image: expected registry/repository:tag")]
    BadReference {
        /// The name.
        reference: String,
    },
    /// The digest of an image is not one.
    #[error("{digest:?} is not a digest: expected sha256: and 64 lowercase hex digits")]
    BadDigest {
        /// The digest.
        digest: String,
    },
    /// An annotation whose name readers keep for something else, or that has none.
    #[error("{name:?} cannot be the name of an annotation")]
    BadAnnotation {
        /// The name.
        name: String,
    },
    /// The key cannot be used, which its parsing did not show.
    #[error("signing with the {kind} key: {detail}")]
    UnusableKey {
        /// Kind of the key.
        kind: KeyKind,
        /// What the cryptographic library says.
        detail: String,
    },
    /// The key lives elsewhere, and what lives there did not sign.
    #[error("{signer}: {detail}")]
    Signer {
        /// Where the key lives.
        signer: String,
        /// What was said there.
        detail: String,
    },
    /// The key lives elsewhere, and what came from there is no signature by it.
    #[error(
        "{signer} gave a wrong answer: expected a signature by its {kind} key {fingerprint}, got \
         {detail}"
    )]
    WrongAnswer {
        /// Where the key lives.
        signer: String,
        /// Kind of the key.
        kind: KeyKind,
        /// Of the key.
        fingerprint: String,
        /// What it is instead.
        detail: String,
    },
}
