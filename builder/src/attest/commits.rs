//! Attestations of OSTree commits, as bundles in their detached metadata.

use serde_json::Value;
use treelay_recipes::Digest;
use treelay_signing::{Bundle, PublicKey, SecretKey};

use super::PredicateType;
use super::attach::{AttachedDocument, AttestError};
use super::documents::{Document, read};
use super::find::{AttestationForm, Found, Listed};
use super::signed::{judge, says, sign, statement};
use crate::ostree_repo::{MOST_ATTESTATIONS, Repository};
use crate::store::Store;

/// Signs documents about commits with every key and keeps them beside the commits. As for images,
/// what a key has signed before is not signed again.
///
/// # Errors
/// [`AttestError`].
pub fn attach_to_commits(
    repository: &Repository,
    store: &Store,
    documents: &[Document],
    keys: &[SecretKey],
) -> Result<Vec<AttachedDocument>, AttestError> {
    let mut attached = Vec::new();
    for Document { kind, subject, content } in documents {
        let there = repository.attestations(subject)?;
        let bytes = read(store, content)?;
        let predicate: Value = serde_json::from_slice(&bytes)
            .ok()
            .filter(Value::is_object)
            .ok_or(AttestError::NoObject { subject: *subject })?;
        let statement = statement(subject, kind, predicate);
        let mut new = Vec::new();
        for key in keys {
            let same = |bundle: &Vec<u8>| {
                judge(bundle, std::slice::from_ref(key.public()))
                    .is_ok_and(|(found, _)| found == statement)
            };
            let added = !there.iter().any(same);
            if added {
                let failed = |source| AttestError::Sign { subject: *subject, source };
                new.push(sign(&statement, key).map_err(failed)?.bundle);
            }
            attached.push(AttachedDocument {
                subject: *subject,
                kind: kind.to_string(),
                key: key.public().fingerprint(),
                added,
            });
        }
        if new.is_empty() {
            continue;
        }
        let bytes = repository.add_attestations(subject, &new)?;
        if bytes > MOST_ATTESTATIONS {
            let (commit, most) = (subject.hex(), MOST_ATTESTATIONS);
            return Err(AttestError::TooLarge { commit, bytes, most });
        }
    }
    Ok(attached)
}

/// Finds the attestations of a commit: see [`find`](super::find()).
///
/// # Errors
/// What reading the repository meets.
pub fn find_of_commit(
    repository: &Repository,
    commit: &Digest,
    kind: Option<&PredicateType>,
    keys: &[PublicKey],
) -> Result<Found, AttestError> {
    let mut found = Found::default();
    for bundle in repository.attestations(commit)? {
        let digest = Digest::of(&bundle);
        found.take(commit, kind, judge(&bundle, keys), AttestationForm::Detached, digest);
    }
    Ok(found)
}

/// What is beside a commit. Nobody has judged it.
///
/// # Errors
/// What reading the repository meets.
pub fn list_of_commit(
    repository: &Repository,
    commit: &Digest,
) -> Result<Vec<Listed>, AttestError> {
    let mut all = Vec::new();
    for bytes in repository.attestations(commit)? {
        let bundle = Bundle::parse(&bytes).ok();
        let said = bundle.and_then(|bundle| bundle.unverified_statement().ok());
        let Some(statement) = said.filter(|said| says(said, commit, None)) else { continue };
        all.push(Listed {
            predicate_type: statement.predicate_type,
            form: AttestationForm::Detached,
            digest: Digest::of(&bytes),
            size: statement.predicate.to_string().len(),
            predicate: statement.predicate,
        });
    }
    Ok(all)
}
