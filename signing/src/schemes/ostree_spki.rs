//! `ostree.sign.spki`: what OpenSSL's `EVP_DigestSign` makes of the bytes of a commit object with
//! the default digest of the key: ECDSA over SHA-256 in DER, RSA PKCS#1 v1.5 over SHA-256, plain
//! Ed25519.
//!
//! Made and read by libostree's `ostree-sign-spki.c` and `otcore-spki-verify.c`, since 2025.2 and
//! only where ostree was built with OpenSSL: hosts without it need GPG or
//! [`ostree.sign.ed25519`](super::ostree_ed25519). Hosts keep public keys as PEM in
//! `trusted.spki`, in the form of [`PublicKey::to_pem`].
//!
//! Ostree's verifier takes every non-zero answer of `EVP_DigestVerify` for success, also the
//! negative ones that mean an error, such as a signature that is not DER. Here an error is bad.

use super::{Scheme, check_scheme, sign_bytes, verify_bytes};
use crate::keys::{KeyKind, PublicKey, SecretKey};
use crate::{Reason, SignError, Signature, Subject, Verdict};

/// Key in a commit's detached metadata; its value is an array of signatures (`aay`).
pub const METADATA_KEY: &str = "ostree.sign.spki";

/// The scheme. It verifies with keys of every kind, and signs with all but Ed25519: those have
/// their own scheme, which more hosts read, and a second copy of the same bytes proves no more.
#[derive(Debug, Clone, Copy)]
pub struct OstreeSpki;

impl Scheme for OstreeSpki {
    fn name(&self) -> &'static str {
        METADATA_KEY
    }

    fn covers(&self, subject: &Subject<'_>) -> bool {
        matches!(subject, Subject::Commit(_))
    }

    fn can_sign(&self, key: &SecretKey) -> bool {
        key.kind() != KeyKind::Ed25519
    }

    fn sign(&self, subject: &Subject<'_>, key: &SecretKey) -> Result<Signature, SignError> {
        let scheme = self.name();
        let Subject::Commit(commit) = subject else {
            return Err(SignError::NotForScheme { scheme, subject: subject.name() });
        };
        if !self.can_sign(key) {
            return Err(SignError::KeyKind { scheme, kind: key.kind() });
        }
        sign_bytes(scheme, subject.name(), commit, key)
    }

    fn verify(&self, subject: &Subject<'_>, signature: &Signature, key: &PublicKey) -> Verdict {
        if let Some(verdict) = check_scheme(self, signature) {
            return verdict;
        }
        let Subject::Commit(commit) = subject else {
            let scheme = self.name();
            return Verdict::Unknown(Reason::NotForScheme { scheme, found: subject.name() });
        };
        verify_bytes(commit, signature, key)
    }
}
