//! A document as a signed bundle.

use serde_json::Value;
use treelay_recipes::Digest;
use treelay_signing::bundle::Bundle;
use treelay_signing::statement::Statement;
use treelay_signing::{PublicKey, SecretKey, SignError, Verdict};

use super::PredicateType;

/// The statement that a document makes about its subject.
pub(super) fn statement(subject: &Digest, kind: &PredicateType, predicate: Value) -> Statement {
    Statement::about(&subject.hex(), kind.uri(), predicate)
}

/// A signed statement, in the two forms in which it is stored.
pub(super) struct Signed {
    /// The bundle.
    pub(super) bundle: Vec<u8>,
    /// The envelope alone, as cosign 2 stores it.
    pub(super) envelope: Vec<u8>,
}

/// Signs a statement.
pub(super) fn sign(statement: &Statement, key: &SecretKey) -> Result<Signed, SignError> {
    let bundle = Bundle::sign(statement, key)?;
    // A bundle that a key has just signed has both.
    let envelope = bundle.envelope().map(|envelope| envelope.to_json()).unwrap_or_default();
    let bundle = bundle.to_json().unwrap_or_default();
    Ok(Signed { bundle: bundle.into_bytes(), envelope: envelope.into_bytes() })
}

/// Whether a statement is about this subject, and of this type.
pub(super) fn says(statement: &Statement, subject: &Digest, kind: Option<&PredicateType>) -> bool {
    statement.subject(&subject.hex()).is_some()
        && kind.is_none_or(|kind| kind.uri() == statement.predicate_type)
}

/// Why a verdict is not good.
pub(super) fn why(verdict: Verdict) -> String {
    match verdict {
        Verdict::Good => "it is good".to_owned(),
        Verdict::Unknown(reason) | Verdict::Bad(reason) => reason.to_string(),
    }
}

/// The statement in a bundle, if one of the keys signed it; else why it is not believed.
pub(super) fn judge(bundle: &[u8], keys: &[PublicKey]) -> Result<(Statement, String), String> {
    let bundle = Bundle::parse(bundle).map_err(|error| format!("it is no bundle: {error}"))?;
    let mut reason = "no key was given".to_owned();
    for key in keys {
        match bundle.verify_statement(key) {
            Ok(statement) => return Ok((statement, key.fingerprint())),
            Err(verdict) => reason = why(verdict),
        }
    }
    Err(reason)
}
