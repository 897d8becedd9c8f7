//! The bundle form of image signatures: a DSSE envelope with an in-toto statement that names an
//! image's digest, in a Sigstore bundle.
//!
//! Written by cosign 3 (`internal/pkg/cosign` and `cmd/cosign/cli/sign`, the new bundle format):
//! the statement's subject is the digest, its predicate is of [`PREDICATE_TYPE`] and empty, and the
//! annotations of the signature are annotations of the subject; treelay's own always have
//! `dev.treelay.forms`, as in the other form. Beside an image the bundle lives as
//! the layer of a manifest whose `subject` is the image.
//!
//! A bundle names no repository and no tag: whoever demands a name asks for the other form,
//! [`simplesigning`](super::simplesigning).
//!
//! What verifiers of cosign 3.1 compute is plain Ed25519, and SHA-256 for every other kind of key;
//! that is what is made here. cosign 3.1 itself *signs* with Ed25519ph and, on P-384, with SHA-384,
//! which it then refuses ([`Reason::HashNobodyReads`]).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Scheme, check_scheme, sign_bytes, verify_bytes};
use crate::bundle::{Bundle, Material};
use crate::dsse::{self, Envelope, EnvelopeSignature};
use crate::keys::{PublicKey, SecretKey};
use crate::statement::{PAYLOAD_TYPE, Statement, TYPE};
use crate::{Reason, SignError, Signature, Subject, Verdict};

/// Name of the scheme.
pub const NAME: &str = "sigstore-bundle";

/// What a statement that is a signature says: nothing but that it signs. A statement with another
/// predicate is an attestation, and no signature of the image.
pub const PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The scheme. Its [`Signature::payload`] is the statement, its [`Signature::bytes`] are the
/// signature of the envelope, its [`Signature::key`] is what the bundle names in its hint.
#[derive(Debug, Clone, Copy)]
pub struct SigstoreBundle;

impl SigstoreBundle {
    /// Signs an image with annotations.
    ///
    /// # Errors
    /// As of [`Scheme::sign`].
    pub fn sign_annotated(
        subject: &Subject<'_>,
        annotations: &BTreeMap<String, String>,
        key: &SecretKey,
    ) -> Result<Signature, SignError> {
        let Subject::Image { digest, .. } = *subject else {
            return Err(SignError::NotForScheme { scheme: NAME, subject: subject.name() });
        };
        let payload = statement(digest, annotations)?.to_bytes();
        let encoded = dsse::pae(PAYLOAD_TYPE, &payload);
        let signature = sign_bytes(NAME, subject.name(), &encoded, key)?;
        Ok(Signature { payload: Some(payload), ..signature })
    }

    /// The bundle of a signature of this scheme, as it is stored; [`None`] for one of another.
    pub fn to_bundle(signature: &Signature, key: &PublicKey) -> Option<String> {
        let payload = signature.payload.clone().filter(|_| signature.scheme == NAME)?;
        let sig = signature.bytes.clone();
        let signatures = vec![EnvelopeSignature { sig, keyid: String::new() }];
        let payload_type = PAYLOAD_TYPE.to_owned();
        Bundle::by_key(Envelope { payload_type, payload, signatures }, key).to_json()
    }

    /// The signature in a bundle, without a verdict; `subject` is what it is stored beside.
    ///
    /// # Errors
    /// [`Reason`] why the bundle holds no signature of an image by a key.
    pub fn of_bundle(subject: &Subject<'_>, bundle: &Bundle) -> Result<Signature, Reason> {
        let envelope = bundle.envelope().ok_or(Reason::NoStatement)?;
        Ok(Signature {
            scheme: NAME,
            subject: subject.name(),
            payload: Some(envelope.statement_bytes()?.to_vec()),
            bytes: envelope.signature()?.sig.clone(),
            key: match bundle.material {
                Material::PublicKey { .. } => bundle.key_fingerprint(),
                _ => None,
            },
        })
    }
}

/// The statement that is signed.
fn statement(digest: &str, annotations: &BTreeMap<String, String>) -> Result<Statement, SignError> {
    let hex = super::simplesigning::sha256_of(digest)
        .ok_or_else(|| SignError::BadDigest { digest: digest.to_owned() })?;
    let mut statement = Statement::about(hex, PREDICATE_TYPE, json!({}));
    let annotations =
        annotations.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
    for subject in &mut statement.subjects {
        subject.annotations = Some(annotations.clone().collect());
    }
    Ok(statement)
}

impl Scheme for SigstoreBundle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn covers(&self, subject: &Subject<'_>) -> bool {
        matches!(subject, Subject::Image { .. })
    }

    fn can_sign(&self, _key: &SecretKey) -> bool {
        true
    }

    fn sign(&self, subject: &Subject<'_>, key: &SecretKey) -> Result<Signature, SignError> {
        Self::sign_annotated(subject, &BTreeMap::new(), key)
    }

    /// A name in the subject is not compared: bundles have none.
    fn verify(&self, subject: &Subject<'_>, signature: &Signature, key: &PublicKey) -> Verdict {
        if let Some(verdict) = check_scheme(self, signature) {
            return verdict;
        }
        let Subject::Image { digest, .. } = *subject else {
            let found = subject.name();
            return Verdict::Unknown(Reason::NotForScheme { scheme: NAME, found });
        };
        let Some(payload) = &signature.payload else { return Verdict::Bad(Reason::NoPayload) };
        // Nothing is read from a statement that the key has not signed.
        match verify_bytes(&dsse::pae(PAYLOAD_TYPE, payload), signature, key) {
            Verdict::Good => {}
            other => return other,
        }
        let statement = match Statement::parse(payload) {
            Ok(statement) => statement,
            Err(error) => return Verdict::Bad(Reason::Statement(error)),
        };
        if statement.predicate_type != PREDICATE_TYPE || statement.statement_type != TYPE {
            let found = match statement.predicate_type == PREDICATE_TYPE {
                true => format!("{PREDICATE_TYPE} in a _type {}", statement.statement_type),
                false => statement.predicate_type,
            };
            return Verdict::Bad(Reason::NotASignature { expected: PREDICATE_TYPE, found });
        }
        let hex = super::simplesigning::sha256_of(digest);
        if hex.is_some_and(|hex| statement.subject(hex).is_some()) {
            return Verdict::Good;
        }
        let names = statement.subjects.iter().filter_map(|subject| subject.sha256());
        let names: Vec<_> = names.take(4).map(|hex| format!("sha256:{hex}")).collect();
        Verdict::Bad(Reason::OtherSubject {
            expected: digest.to_owned(),
            found: if names.is_empty() { "no SHA-256".to_owned() } else { names.join(", ") },
        })
    }
}
