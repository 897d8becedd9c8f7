//! The `.sig` form of image signatures: a small JSON payload that names an image's digest and
//! reference, and a signature over the payload's bytes.
//!
//! Specified in containers/image, `docs/containers-signature.5.md`, and cosign,
//! `specs/SIGNATURE_SPEC.md`. Beside an image it lives as an OCI manifest tagged
//! `sha256-<hex>.sig`: one layer per signature, of [`MEDIA_TYPE`], whose blob is the payload and
//! whose annotation [`SIGNATURE_ANNOTATION`] is the signature in base64.
//!
//! Annotations stand in the payload's `optional`. treelay's own always have `dev.treelay.forms`,
//! which names the forms that are made of the same image, so that one that is taken away is missed.
//!
//! The signature says nothing about its key. Verifiers (cosign 2.5 and 3.1, containers/image)
//! compute plain Ed25519, and SHA-256 for every other kind of key. cosign 3.1 *signs* with
//! Ed25519ph and, on P-384, with SHA-384, which nobody including itself then accepts
//! ([`Reason::HashNobodyReads`]).

mod payload;

use std::collections::BTreeMap;

pub(crate) use payload::sha256_of;
pub use payload::{MAX_PAYLOAD, Payload};

use super::{Scheme, check_scheme, sign_bytes, verify_bytes};
use crate::FormError;
use crate::keys::{PublicKey, SecretKey};
use crate::{Reason, SignError, Signature, Subject, Verdict};

/// Media type of the layer whose blob is the payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Annotation of that layer: the signature in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";

/// Name of the scheme.
pub const NAME: &str = "simplesigning";

/// The scheme.
#[derive(Debug, Clone, Copy)]
pub struct SimpleSigning;

impl SimpleSigning {
    /// Signs an image with annotations, which stand in the payload's `optional`.
    ///
    /// # Errors
    /// As of [`Scheme::sign`], and [`SignError::BadAnnotation`].
    pub fn sign_annotated(
        subject: &Subject<'_>,
        annotations: &BTreeMap<String, String>,
        key: &SecretKey,
    ) -> Result<Signature, SignError> {
        let Subject::Image { digest, reference } = *subject else {
            return Err(SignError::NotForScheme { scheme: NAME, subject: subject.name() });
        };
        let reference =
            reference.ok_or_else(|| SignError::NoReference { digest: digest.to_owned() })?;
        let payload = Payload::new(reference, digest)?.annotated(annotations)?.to_bytes();
        let signature = sign_bytes(NAME, subject.name(), &payload, key)?;
        Ok(Signature { payload: Some(payload), ..signature })
    }
}

impl Scheme for SimpleSigning {
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

    fn verify(&self, subject: &Subject<'_>, signature: &Signature, key: &PublicKey) -> Verdict {
        if let Some(verdict) = check_scheme(self, signature) {
            return verdict;
        }
        let Subject::Image { digest, reference } = *subject else {
            let found = subject.name();
            return Verdict::Unknown(Reason::NotForScheme { scheme: NAME, found });
        };
        let Some(payload) = &signature.payload else { return Verdict::Bad(Reason::NoPayload) };
        if payload.len() > MAX_PAYLOAD {
            let (length, limit) = (payload.len(), MAX_PAYLOAD);
            return Verdict::Bad(FormError::TooLong { length, limit }.into());
        }
        // Nothing is read from a payload that the key has not signed.
        match verify_bytes(payload, signature, key) {
            Verdict::Good => {}
            other => return other,
        }
        let payload = match Payload::parse(payload) {
            Ok(payload) => payload,
            Err(error) => return Verdict::Bad(error.into()),
        };
        if payload.digest() != digest {
            return Verdict::Bad(Reason::OtherSubject {
                expected: digest.to_owned(),
                found: payload.digest().to_owned(),
            });
        }
        match reference {
            Some(expected) if payload.reference() != expected => {
                Verdict::Bad(Reason::OtherReference {
                    expected: expected.to_owned(),
                    found: payload.reference().to_owned(),
                })
            }
            _ => Verdict::Good,
        }
    }
}
