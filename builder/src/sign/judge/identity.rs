//! What verification with a certificate says, as what a signature is worth.

use treelay_signing::keyless::{IdentityError, KeylessError, Signed, SignedBy};

use super::Class;
use crate::sign::report::{IdentityReport, Judgement};

/// Who signed, once everything is verified; [`None`] for a key.
pub(super) fn report(signed: &Signed) -> Option<IdentityReport> {
    let SignedBy::Identity { identity, identity_form, issuer, certificate } = &signed.by else {
        return None;
    };
    Some(IdentityReport {
        identity: identity.clone(),
        identity_form: *identity_form,
        issuer: issuer.clone(),
        certificate: certificate.clone(),
        times: signed.times.clone(),
        log: signed.log.clone(),
    })
}

/// What a signature is worth that is not by the identity, or not over the image.
///
/// Names are compared after certificate, log and time are verified, so that who is named in an
/// [`IdentityError`] did sign; and content after that, so that it was signed by the identity.
pub(super) fn judgement(error: &KeylessError) -> (Judgement, Class) {
    match error {
        KeylessError::NoCertificate { .. } => (Judgement::Unknown, Class::OtherKeys),
        KeylessError::Identity(
            IdentityError::OtherIdentity { .. }
            | IdentityError::OtherIssuer { .. }
            | IdentityError::NoIssuer { .. }
            | IdentityError::Nobody,
        )
        // By people of another instance, or in a root that is too old.
        | KeylessError::UnknownAuthority { .. }
        | KeylessError::ForeignCertificate { .. }
        | KeylessError::UnknownLog { .. } => (Judgement::Unknown, Class::OtherIdentity),
        KeylessError::OtherArtifact { .. } => (Judgement::Bad, Class::OtherImage),
        _ => (Judgement::Bad, Class::Malformed),
    }
}
