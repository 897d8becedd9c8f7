//! Where cosign 2 keeps attestations: the layers of one manifest, tagged `sha256-<hex>.att` after
//! the subject, each an envelope.

use std::collections::BTreeMap;

use treelay_recipes::Digest;
use treelay_signing::PublicKey;
use treelay_signing::dsse::{Envelope, MAX_ENVELOPE};
use treelay_signing::statement::Statement;

use super::PredicateType;
use super::find::blob_of;
use super::signed::why;
use crate::image_store::signatures::{Beside, SIGNATURE, beside};
use crate::image_store::{Descriptor, ImageStore, StoreError};

/// Media type of an envelope.
pub(super) const DSSE: &str = "application/vnd.dsse.envelope.v1+json";

/// What cosign notes of an envelope: no signature beside it, and of which kind the statement is.
pub(super) fn annotations(kind: &PredicateType) -> BTreeMap<String, String> {
    BTreeMap::from([
        (SIGNATURE.to_owned(), String::new()),
        ("predicateType".to_owned(), kind.uri().to_owned()),
    ])
}

/// The envelopes of a subject.
pub(super) async fn layers(
    images: &dyn ImageStore,
    subject: &Digest,
) -> Result<Vec<Descriptor>, StoreError> {
    let there = beside(images, subject, Beside::Attestations).await?;
    let mut layers = there.map(|(_, layers)| layers).unwrap_or_default();
    layers.retain(|layer| layer.media_type == DSSE);
    Ok(layers)
}

/// The statement in an envelope, if one of the keys signed it; else why it is not believed.
pub(super) async fn statement(
    images: &dyn ImageStore,
    layer: &Descriptor,
    keys: &[PublicKey],
) -> Result<(Statement, String), String> {
    // Where it cannot be read, others may be.
    let bytes = blob_of(images, layer, MAX_ENVELOPE as u64).await;
    let bytes = bytes.map_err(|error| error.to_string())?;
    let envelope =
        Envelope::parse(&bytes).map_err(|error| format!("it is no envelope: {error}"))?;
    let mut reason = "no key was given".to_owned();
    for key in keys {
        match envelope.verify(key) {
            Ok(statement) => return Ok((statement, key.fingerprint())),
            Err(verdict) => reason = why(verdict),
        }
    }
    Err(reason)
}
