//! The forms a signature takes, one file each.
//!
//! | scheme | signs | keys | read by |
//! |---|---|---|---|
//! | [`simplesigning`] | images | all | cosign 2 and 3, podman, skopeo, rpm-ostree, bootc |
//! | [`sigstore_bundle`] | images | all | cosign 3 |
//! | [`ostree_ed25519`] | commits | Ed25519 | ostree built with libsodium or OpenSSL; boot-time composefs |
//! | [`ostree_spki`] | commits | all | ostree 2025.2 and newer built with OpenSSL |
//!
//! To add one: a file here and a line in [`SCHEMES`]; the contract test then walks it too.
//!
//! Keyless signatures trust an identity instead of a key, and say more than whether they are good: they
//! have their own entry points, [`crate::keyless::verify`] and [`crate::keyless::verify_legacy`], which
//! give [`crate::keyless::Signed`] or the reason why not, and no [`Verdict`].

pub mod ostree_ed25519;
pub mod ostree_spki;
pub mod sigstore_bundle;
pub mod simplesigning;
#[cfg(test)]
mod tests;

use crate::keys::{Fit, PublicKey, SecretKey};
use crate::{Reason, SignError, Signature, Subject, Verdict};

/// All schemes, in the order in which they are tried and shown.
pub const SCHEMES: &[&dyn Scheme] = &[
    &simplesigning::SimpleSigning,
    &sigstore_bundle::SigstoreBundle,
    &ostree_ed25519::OstreeEd25519,
    &ostree_spki::OstreeSpki,
];

/// One form of signature.
pub trait Scheme: Sync {
    /// Its name, in [`Signature::scheme`] and in reports.
    fn name(&self) -> &'static str;

    /// Whether it signs such subjects.
    fn covers(&self, subject: &Subject<'_>) -> bool;

    /// Whether a run that signs with `key` should sign in this form.
    fn can_sign(&self, key: &SecretKey) -> bool;

    /// Signs. The same key and subject give the same bytes, always, unless the key lives elsewhere and
    /// what signs there takes random numbers.
    ///
    /// # Errors
    /// [`SignError`] when the scheme does not cover the subject, cannot sign with the key, or the
    /// subject lacks what the form needs.
    fn sign(&self, subject: &Subject<'_>, key: &SecretKey) -> Result<Signature, SignError>;

    /// Judges a signature for somebody who trusts `key` alone. Any doubt and any error is not
    /// [`Verdict::Good`].
    fn verify(&self, subject: &Subject<'_>, signature: &Signature, key: &PublicKey) -> Verdict;
}

/// The scheme called `name`.
pub fn by_name(name: &str) -> Option<&'static dyn Scheme> {
    SCHEMES.iter().copied().find(|scheme| scheme.name() == name)
}

/// Signs in every form that covers the subject and goes with the key; empty when there is none.
///
/// # Errors
/// [`SignError`] of the first scheme that fails.
pub fn sign_all(subject: &Subject<'_>, key: &SecretKey) -> Result<Vec<Signature>, SignError> {
    SCHEMES
        .iter()
        .filter(|scheme| scheme.covers(subject) && scheme.can_sign(key))
        .map(|scheme| scheme.sign(subject, key))
        .collect()
}

/// Signs `message`, of which `subject` is the name, for the scheme called `scheme`.
pub(crate) fn sign_bytes(
    scheme: &'static str,
    subject: String,
    message: &[u8],
    key: &SecretKey,
) -> Result<Signature, SignError> {
    let bytes = key.sign(message)?;
    let fingerprint = key.public().fingerprint();
    Ok(Signature { scheme, subject, bytes, payload: None, key: Some(fingerprint) })
}

/// Judges whether `key` made `signature` over `message`.
pub(crate) fn verify_bytes(message: &[u8], signature: &Signature, key: &PublicKey) -> Verdict {
    let fingerprint = key.fingerprint();
    if let Some(found) = &signature.key
        && *found != fingerprint
    {
        return Verdict::Unknown(Reason::OtherKey { fingerprint, found: found.clone() });
    }
    match key.fits(message, &signature.bytes) {
        Fit::Yes => Verdict::Good,
        Fit::OtherKind(kind) => Verdict::Unknown(Reason::OtherKind { fingerprint, kind }),
        Fit::Malformed(expected) => {
            Verdict::Bad(Reason::Malformed { length: signature.bytes.len(), expected })
        }
        Fit::No => {
            if let Some(hash) = key.fits_with_other_hash(message, &signature.bytes) {
                return Verdict::Bad(Reason::HashNobodyReads { scheme: signature.scheme, hash });
            }
            match signature.key {
                Some(_) => Verdict::Bad(Reason::DoesNotFit { fingerprint }),
                None => Verdict::Unknown(Reason::NotByThisKey { fingerprint }),
            }
        }
    }
}

/// Refuses a signature of another scheme.
fn check_scheme(scheme: &dyn Scheme, signature: &Signature) -> Option<Verdict> {
    if signature.scheme == scheme.name() {
        return None;
    }
    let found = format!("a {} signature", signature.scheme);
    Some(Verdict::Unknown(Reason::NotForScheme { scheme: scheme.name(), found }))
}
