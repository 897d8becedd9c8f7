//! What a log entry says: that somebody's key signed something.
//!
//! An entry that is in a log proves nothing about a signature unless it is about that very
//! signature, by that certificate or key, over that content. Kinds of entries: Rekor,
//! `pkg/types/*/*_schema.json`, and, of version 2, protobuf-specs, `rekor/v2/*.proto`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::artifact::Artifact;
use super::certificate::Certificate;
use super::error::KeylessError;
use super::key::Hash;
use crate::bundle::{LogEntry, MAX_BUNDLE};
use crate::dsse::Envelope;
use crate::form::{self, Limits};
use crate::keys::PublicKey;

/// Values in an entry; real ones have about twenty.
const MAX_VALUES: usize = 1000;

/// What an entry must be about.
pub(super) struct Fact<'a> {
    pub signature: &'a [u8],
    pub signer: Signer<'a>,
    pub content: Content<'a>,
}

/// Who signed.
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    Certificate(&'a Certificate),
    Key(&'a PublicKey),
}

/// What was signed.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Message(&'a Artifact<'a>),
    Envelope(&'a Envelope),
}

/// Whether it is an entry of Rekor version 2, whose logs promise nothing and tell no time.
pub(super) fn is_v2(entry: &LogEntry) -> bool {
    entry.kind_version == "0.0.2" && matches!(entry.kind.as_str(), "hashedrekord" | "dsse")
}

/// Checks that the entry is about `fact`.
///
/// # Errors
/// [`KeylessError::Entry`] and [`KeylessError::OtherEntry`].
pub(super) fn check(entry: &LogEntry, fact: &Fact<'_>) -> Result<(), KeylessError> {
    let limits = Limits { bytes: MAX_BUNDLE, values: MAX_VALUES };
    let body = form::parse(&entry.canonicalized_body, limits)
        .map_err(|error| malformed(entry, error.to_string()))?;
    let reader = Body { entry, body: &body };
    for (path, expected) in [("/kind", &entry.kind), ("/apiVersion", &entry.kind_version)] {
        let found = reader.text(path)?;
        if found != expected {
            return Err(malformed(entry, format!("{path} is {found:?}, not {expected:?}")));
        }
    }
    match (entry.kind.as_str(), entry.kind_version.as_str(), fact.content) {
        ("hashedrekord", "0.0.1", Content::Message(artifact)) => {
            reader.signature("/spec/signature/content", fact)?;
            reader.pem_signer("/spec/signature/publicKey/content", fact)?;
            let algorithm = reader.text("/spec/data/hash/algorithm")?;
            let digest = reader.hex("/spec/data/hash/value")?;
            reader.message(artifact, algorithm, &digest)
        }
        ("hashedrekord", "0.0.2", content) => {
            reader.signature("/spec/hashedRekordV002/signature/content", fact)?;
            reader.signer("/spec/hashedRekordV002/signature/verifier", fact)?;
            let algorithm = reader.text("/spec/hashedRekordV002/data/algorithm")?;
            let digest = reader.bytes("/spec/hashedRekordV002/data/digest")?;
            match content {
                Content::Message(artifact) => reader.message(artifact, algorithm, &digest),
                Content::Envelope(envelope) => {
                    reader.hash("payload", algorithm, &digest, &envelope.pae())
                }
            }
        }
        ("dsse", "0.0.1", Content::Envelope(envelope)) => {
            reader.one_signature("/spec/signatures")?;
            reader.signature("/spec/signatures/0/signature", fact)?;
            reader.pem_signer("/spec/signatures/0/verifier", fact)?;
            // The hash of the envelope is over JSON of which nobody knows any more how it was
            // written; payload and signature are all that the envelope says.
            let digest = reader.hex("/spec/payloadHash/value")?;
            let algorithm = reader.text("/spec/payloadHash/algorithm")?;
            reader.hash("payload", algorithm, &digest, &envelope.payload)
        }
        ("dsse", "0.0.2", Content::Envelope(envelope)) => {
            reader.one_signature("/spec/dsseV002/signatures")?;
            reader.signature("/spec/dsseV002/signatures/0/content", fact)?;
            reader.signer("/spec/dsseV002/signatures/0/verifier", fact)?;
            let digest = reader.bytes("/spec/dsseV002/payloadHash/digest")?;
            let algorithm = reader.text("/spec/dsseV002/payloadHash/algorithm")?;
            reader.hash("payload", algorithm, &digest, &envelope.payload)
        }
        ("intoto", "0.0.2", Content::Envelope(envelope)) => {
            reader.one_signature("/spec/content/envelope/signatures")?;
            // In base64 twice.
            let twice = reader.bytes("/spec/content/envelope/signatures/0/sig")?;
            let signature = BASE64
                .decode(twice)
                .map_err(|_| malformed(entry, "the signature is not in base64 twice".to_owned()))?;
            reader.equal("signature", signature == fact.signature)?;
            reader.pem_signer("/spec/content/envelope/signatures/0/publicKey", fact)?;
            let payload_type = reader.text("/spec/content/envelope/payloadType")?;
            reader.equal("payload type", payload_type == envelope.payload_type)?;
            let digest = reader.hex("/spec/content/payloadHash/value")?;
            let algorithm = reader.text("/spec/content/payloadHash/algorithm")?;
            reader.hash("payload", algorithm, &digest, &envelope.payload)
        }
        (kind, version, _) => Err(malformed(
            entry,
            format!("an entry of the kind {kind} {version} is not one of such a signature"),
        )),
    }
}

fn malformed(entry: &LogEntry, detail: String) -> KeylessError {
    KeylessError::Entry { index: entry.log_index, detail }
}

/// The entry's JSON.
struct Body<'a> {
    entry: &'a LogEntry,
    body: &'a Value,
}

impl Body<'_> {
    fn text(&self, path: &str) -> Result<&str, KeylessError> {
        self.body
            .pointer(path)
            .and_then(Value::as_str)
            .ok_or_else(|| malformed(self.entry, format!("there is no text at {path}")))
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, KeylessError> {
        BASE64
            .decode(self.text(path)?)
            .map_err(|_| malformed(self.entry, format!("{path} is not in base64")))
    }

    fn hex(&self, path: &str) -> Result<Vec<u8>, KeylessError> {
        hex::decode(self.text(path)?)
            .map_err(|_| malformed(self.entry, format!("{path} is not in hex digits")))
    }

    fn equal(&self, what: &'static str, equal: bool) -> Result<(), KeylessError> {
        if equal {
            return Ok(());
        }
        Err(KeylessError::OtherEntry { index: self.entry.log_index, what })
    }

    fn one_signature(&self, path: &str) -> Result<(), KeylessError> {
        match self.body.pointer(path).and_then(Value::as_array).map(Vec::len) {
            Some(1) => Ok(()),
            _ => Err(malformed(self.entry, format!("expected one signature at {path}"))),
        }
    }

    fn signature(&self, path: &str, fact: &Fact<'_>) -> Result<(), KeylessError> {
        let found = self.bytes(path)?;
        self.equal("signature", found == fact.signature)
    }

    /// A certificate or key in PEM, in base64.
    fn pem_signer(&self, path: &str, fact: &Fact<'_>) -> Result<(), KeylessError> {
        let pem = self.bytes(path)?;
        match fact.signer {
            Signer::Certificate(certificate) => {
                let found = Certificate::parse_pem(&pem);
                self.equal("certificate", found.is_ok_and(|found| found == *certificate))
            }
            Signer::Key(key) => {
                self.equal("key", PublicKey::parse(&pem).is_ok_and(|found| found == *key))
            }
        }
    }

    /// A certificate or key in DER, as entries of version 2 have them.
    fn signer(&self, path: &str, fact: &Fact<'_>) -> Result<(), KeylessError> {
        match fact.signer {
            Signer::Certificate(certificate) => {
                let at = format!("{path}/x509Certificate/rawBytes");
                let found =
                    self.body.pointer(&at).is_some().then(|| self.bytes(&at)).transpose()?;
                self.equal("certificate", found.as_deref() == Some(&certificate.der))
            }
            Signer::Key(key) => {
                let at = format!("{path}/publicKey/rawBytes");
                let found =
                    self.body.pointer(&at).is_some().then(|| self.bytes(&at)).transpose()?;
                self.equal("key", found.as_deref() == Some(key.spki_der()))
            }
        }
    }

    fn hash_named(&self, algorithm: &str) -> Result<Hash, KeylessError> {
        match algorithm {
            "sha256" | "SHA2_256" => Ok(Hash::Sha256),
            "sha384" | "SHA2_384" => Ok(Hash::Sha384),
            "sha512" | "SHA2_512" => Ok(Hash::Sha512),
            other => Err(malformed(self.entry, format!("the hash {other:?} is not supported"))),
        }
    }

    fn hash(
        &self,
        what: &'static str,
        algorithm: &str,
        digest: &[u8],
        of: &[u8],
    ) -> Result<(), KeylessError> {
        let hash = self.hash_named(algorithm)?;
        self.equal(what, hash.of(of) == digest)
    }

    fn message(
        &self,
        artifact: &Artifact<'_>,
        algorithm: &str,
        digest: &[u8],
    ) -> Result<(), KeylessError> {
        let hash = self.hash_named(algorithm)?;
        let expected = artifact.need(hash)?;
        self.equal("artifact", expected == digest)
    }
}
