//! `ostree.sign.ed25519`: 64 bytes of plain Ed25519 over the bytes of a commit object.
//!
//! Made and read by libostree's `ostree-sign-ed25519.c`. Hosts keep public keys one per line in
//! `trusted.ed25519`, in the form of [`PublicKey::to_ostree_line`].

use super::{Scheme, check_scheme, sign_bytes, verify_bytes};
use crate::keys::{KeyKind, PublicKey, SecretKey};
use crate::{Reason, SignError, Signature, Subject, Verdict};

/// Key in a commit's detached metadata; its value is an array of signatures (`aay`).
pub const METADATA_KEY: &str = "ostree.sign.ed25519";

/// The scheme.
#[derive(Debug, Clone, Copy)]
pub struct OstreeEd25519;

impl Scheme for OstreeEd25519 {
    fn name(&self) -> &'static str {
        METADATA_KEY
    }

    fn covers(&self, subject: &Subject<'_>) -> bool {
        matches!(subject, Subject::Commit(_))
    }

    fn can_sign(&self, key: &SecretKey) -> bool {
        key.kind() == KeyKind::Ed25519
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
        let scheme = self.name();
        if let Some(verdict) = check_scheme(self, signature) {
            return verdict;
        }
        let Subject::Commit(commit) = subject else {
            return Verdict::Unknown(Reason::NotForScheme { scheme, found: subject.name() });
        };
        if key.kind() != KeyKind::Ed25519 {
            return Verdict::Unknown(Reason::KeyKind { scheme, kind: key.kind() });
        }
        verify_bytes(commit, signature, key)
    }
}
