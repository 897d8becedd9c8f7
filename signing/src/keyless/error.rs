//! [`KeylessError`].

use super::identity::IdentityError;
use super::time::{Period, Time};
use super::timestamp::TimestampError;
use crate::FormError;
use crate::dsse::EnvelopeError;

/// Why a signature with a certificate, or with entries in a log, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeylessError {
    /// It was made with a key that has no certificate.
    #[error(
        "signed with a key that the verifier must have (hint {hint:?}), not with a certificate: \
         give the key"
    )]
    NoCertificate {
        /// What the bundle calls the key.
        hint: String,
    },
    /// It was made with a certificate, so no key that anybody has fits.
    #[error("signed with a certificate, not with a key: give an identity and its issuer")]
    ByCertificate,
    /// The certificate is not one, or not one that signs.
    #[error("the certificate is not acceptable: {detail}")]
    Certificate {
        /// What is wrong.
        detail: String,
    },
    /// The certificate was not valid any more when the signature was made.
    #[error("signed at {signed}, when the certificate of {subject} had expired: {period}")]
    Expired {
        /// When it was signed.
        signed: Time,
        /// Whose certificate it is.
        subject: String,
        /// When it is valid.
        period: Period,
    },
    /// The certificate was not valid yet when the signature was made.
    #[error("signed at {signed}, when the certificate of {subject} was not valid yet: {period}")]
    NotYetValid {
        /// When it was signed.
        signed: Time,
        /// Whose certificate it is.
        subject: String,
        /// When it is valid.
        period: Period,
    },
    /// No authority of the trusted root has issued the certificate.
    #[error("the certificate was issued by {issuer}, which is no authority of the trusted root")]
    UnknownAuthority {
        /// Who says to have issued it.
        issuer: String,
    },
    /// The authority was not to be trusted then.
    #[error(
        "the authority {authority} is trusted {period}, and the certificate was used at {signed}"
    )]
    AuthorityPeriod {
        /// Whose authority it is.
        authority: String,
        /// When it is trusted.
        period: Period,
        /// When it was signed.
        signed: Time,
    },
    /// A certificate between the signer's and the root may not stand there.
    #[error("the chain of certificates is not acceptable: {detail}")]
    Chain {
        /// What is wrong.
        detail: String,
    },
    /// The bundle brings a certificate of an authority that the trusted root does not have.
    #[error("the certificate of {subject} in the bundle's chain is not in the trusted root")]
    ForeignCertificate {
        /// Whose certificate it is.
        subject: String,
    },
    /// The certificate is in no certificate transparency log.
    #[error(
        "the certificate has no signed certificate timestamp (SCT) of a log of the trusted root{detail}"
    )]
    NoSct {
        /// What there is instead; begins with a colon, or empty.
        detail: String,
    },
    /// A certificate transparency log did not sign this certificate.
    #[error("the signed certificate timestamp (SCT) is not acceptable: {detail}")]
    Sct {
        /// What is wrong.
        detail: String,
    },
    /// Nothing of it is in a transparency log.
    #[error("no entry in a transparency log")]
    NoLogEntry,
    /// The log is none of the trusted root.
    #[error("entry {index} is in the log {key_id}, which is not in the trusted root")]
    UnknownLog {
        /// Number of the entry.
        index: u64,
        /// Name of the log, in hex digits.
        key_id: String,
    },
    /// The log is in the trusted root, in a form that is not known here.
    #[error(
        "entry {index} is in the log that the trusted root has as {log}, which cannot be used: \
         {detail}"
    )]
    UnusableLog {
        /// Number of the entry.
        index: u64,
        /// Where it is in the root, and its address.
        log: String,
        /// Why it cannot be used.
        detail: String,
    },
    /// An entry stands there twice.
    #[error("log entry {index} is there twice: one is evidence once")]
    EntryTwice {
        /// Number of the entry.
        index: u64,
    },
    /// The log was not to be trusted then.
    #[error("the key of the log {log} is trusted {period}, and the signature is of {time}")]
    LogPeriod {
        /// Address of the log.
        log: String,
        /// When its key is trusted.
        period: Period,
        /// When it was signed.
        time: Time,
    },
    /// The entry is not one, or of a kind that is not known.
    #[error("log entry {index} is not acceptable: {detail}")]
    Entry {
        /// Number of the entry.
        index: u64,
        /// What is wrong.
        detail: String,
    },
    /// The entry is about something else.
    #[error("log entry {index} is of another {what}")]
    OtherEntry {
        /// Number of the entry.
        index: u64,
        /// What is another: signature, certificate, artifact, payload.
        what: &'static str,
    },
    /// The entry is not in the log, or is not proved to be.
    #[error("log entry {index} is not proved to be in the log: {detail}")]
    Proof {
        /// Number of the entry.
        index: u64,
        /// What is wrong.
        detail: String,
    },
    /// The checkpoint of the proof is not the log's, or of another tree.
    #[error("the checkpoint of log entry {index} is not acceptable: {detail}")]
    Checkpoint {
        /// Number of the entry.
        index: u64,
        /// What is wrong.
        detail: String,
    },
    /// The signed entry timestamp was not made by the log for this entry.
    #[error("the signed entry timestamp (SET) of log entry {index} was not made by {log} for it")]
    Promise {
        /// Number of the entry.
        index: u64,
        /// Address of the log.
        log: String,
    },
    /// A signed timestamp is not acceptable.
    #[error("a signed timestamp is not acceptable: {0}")]
    Timestamp(#[from] TimestampError),
    /// Nobody says when it was signed.
    #[error("nothing proves when it was signed: {detail}")]
    NoTime {
        /// What is missing.
        detail: &'static str,
    },
    /// Somebody else signed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The signature does not fit.
    #[error("the signature does not fit {by}: it or the signed bytes were changed")]
    Signature {
        /// The certificate, or the key.
        by: String,
    },
    /// The bundle names the key it was made with, and it is another one.
    #[error("made by key {found}, not by {fingerprint}")]
    OtherKey {
        /// Of the key that was tried.
        fingerprint: String,
        /// Of the key that is named.
        found: String,
    },
    /// The key made it, but over a hash that no verifier computes.
    #[error(
        "made by the key, but with {hash}, which verifiers do not compute for such a key (cosign 3 \
         does so by mistake): sign again"
    )]
    HashNobodyReads {
        /// The hash.
        hash: &'static str,
    },
    /// What is signed is another hash than the one that is known, or the bytes themselves.
    #[error("this signature is over more than the given digest ({kind}): give the file itself")]
    NeedsBytes {
        /// Kind of the key, or of the hash.
        kind: &'static str,
    },
    /// Signed for something else.
    #[error("signed for {found}, not for {expected}")]
    OtherArtifact {
        /// Digest of what was to be verified.
        expected: String,
        /// Digest of what is signed.
        found: String,
    },
    /// The envelope is not acceptable.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The statement in the envelope is not acceptable.
    #[error("the signed statement is not acceptable: {0}")]
    Statement(FormError),
    /// Something beside a signature of the old form is not what it should be.
    #[error("the annotation {annotation} is not acceptable: {detail}")]
    Annotation {
        /// Its name.
        annotation: &'static str,
        /// What is wrong.
        detail: String,
    },
}
