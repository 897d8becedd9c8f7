//! [`find`]: the attestations of a subject, judged by keys; and [`list`], what is there, judged by
//! nobody.

use serde::Serialize;
use serde_json::Value;
use treelay_recipes::Digest;
use treelay_signing::PublicKey;
use treelay_signing::bundle::{Bundle, MAX_BUNDLE, MEDIA_TYPE as BUNDLE};
use treelay_signing::dsse::Envelope;
use treelay_signing::statement::Statement;

use super::signed::{judge, says};
use super::{PredicateType, legacy};
use crate::image_store::attachments::{BUNDLE_PREDICATE_TYPE, SIGN_PREDICATE_TYPE};
use crate::image_store::{Descriptor, ImageStore, MANIFEST_LIMIT, Parts, StoreError, referrers};

/// Attestations of one subject that are read. Of more, those that come first.
const MOST: usize = 100;

/// Bytes of manifests and bundles beside one subject that are read.
const BYTES: u64 = 64 * 1024 * 1024;

/// What may still be read of what is beside one subject, where anyone may have put anything.
pub(super) struct Budget {
    bundles: usize,
    bytes: u64,
    /// Whether something was not read for it.
    pub(super) spent: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bundles: MOST, bytes: BYTES, spent: false }
    }
}

impl Budget {
    /// Whether so many bundles, and bytes, may be read.
    pub(super) fn take(&mut self, bundles: usize, bytes: u64) -> bool {
        match (self.bundles.checked_sub(bundles), self.bytes.checked_sub(bytes)) {
            (Some(bundles), Some(bytes)) => (self.bundles, self.bytes) = (bundles, bytes),
            _ => self.spent = true,
        }
        !self.spent
    }
}

/// In which form an attestation is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttestationForm {
    /// A Sigstore bundle that refers to its subject.
    Bundle,
    /// An envelope under the tag `sha256-<hex>.att`.
    Attachment,
    /// A bundle in a commit's detached metadata.
    Detached,
    /// The document itself, signed by nobody.
    Raw,
}

/// An attestation that a key vouches for.
#[derive(Debug, Clone, PartialEq)]
pub struct Attestation {
    /// What it says of the subject.
    pub predicate_type: String,
    /// The document.
    pub predicate: Value,
    /// The fingerprint of the key that signed it.
    pub key: String,
    /// In which form it was found.
    pub form: AttestationForm,
    /// The bundle's manifest, or the envelope's blob.
    pub digest: Digest,
}

/// What was found, and what of it is not believed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Signed by one of the keys, about the subject, and of the type that was asked for.
    pub good: Vec<Attestation>,
    /// Digests of others, and why they do not count, as the rest of a sentence.
    pub refused: Vec<(Digest, String)>,
    /// Whether there were too many to read all.
    pub cut: bool,
}

/// Finds the attestations of a subject, which is a digest and not a tag that could move. `kind` is
/// the only type that counts; without it all do. What is not believed keeps nothing else from being
/// found.
///
/// # Errors
/// What asking the store meets. A single attestation that cannot be read is not an error.
pub async fn find(
    images: &dyn ImageStore,
    subject: &Digest,
    kind: Option<&PredicateType>,
    keys: &[PublicKey],
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let listing = referrers::list(images, subject).await?;
    found.cut = listing.cut.is_some();
    let mut budget = Budget::default();
    for listed in &listing.referrers {
        // What a list says of a bundle is a claim, good enough to leave out what nobody asked for.
        let other = |said: &String| kind.is_some_and(|kind| said != kind.uri());
        if listed.annotations.get(BUNDLE_PREDICATE_TYPE).is_some_and(other) {
            continue;
        }
        let bundle = match bundle_of(images, subject, listed, &mut budget).await {
            Ok(Some(bundle)) => bundle,
            Ok(None) => continue,
            Err(error) => {
                found.refused.push((listed.digest, error.to_string()));
                continue;
            }
        };
        found.take(subject, kind, judge(&bundle, keys), AttestationForm::Bundle, listed.digest);
    }
    for layer in legacy::layers(images, subject).await? {
        if !budget.take(1, layer.size) {
            break;
        }
        let judged = legacy::statement(images, &layer, keys).await;
        found.take(subject, kind, judged, AttestationForm::Attachment, layer.digest);
    }
    found.cut |= budget.spent;
    Ok(found)
}

impl Found {
    /// Takes a bundle or envelope for what it is.
    pub(super) fn take(
        &mut self,
        subject: &Digest,
        kind: Option<&PredicateType>,
        judged: Result<(Statement, String), String>,
        form: AttestationForm,
        digest: Digest,
    ) {
        match judged {
            Ok((statement, key)) if says(&statement, subject, kind) => {
                let Statement { predicate_type, predicate, .. } = statement;
                self.good.push(Attestation { predicate_type, predicate, key, form, digest });
            }
            // Another type, which was not asked for.
            Ok((statement, _)) if statement.subject(&subject.hex()).is_some() => {}
            Ok(_) => self.refused.push((digest, "is a statement about something else".to_owned())),
            Err(reason) => self.refused.push((digest, reason)),
        }
    }
}

/// An attestation as it says itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// What it says that it is.
    #[serde(rename = "type")]
    pub predicate_type: String,
    /// In which form it is stored.
    pub form: AttestationForm,
    /// The manifest, or the envelope's blob.
    pub digest: Digest,
    /// The document's length in bytes, as JSON.
    pub size: usize,
    /// The document.
    #[serde(skip)]
    pub predicate: Value,
}

/// What is beside a subject. Nobody has judged it.
///
/// # Errors
/// As [`find`].
pub async fn list(images: &dyn ImageStore, subject: &Digest) -> Result<Vec<Listed>, StoreError> {
    let mut all = Vec::new();
    let mut add = |statement: Statement, form, digest| {
        let Statement { predicate_type, predicate, .. } = statement;
        let size = predicate.to_string().len();
        all.push(Listed { predicate_type, form, digest, size, predicate });
    };
    let mut budget = Budget::default();
    for listed in &referrers::list(images, subject).await?.referrers {
        let Ok(Some(bytes)) = bundle_of(images, subject, listed, &mut budget).await else {
            continue;
        };
        let bundle = Bundle::parse(&bytes).ok();
        if let Some(statement) = bundle.and_then(|bundle| bundle.unverified_statement().ok())
            && says(&statement, subject, None)
            && statement.predicate_type != SIGN_PREDICATE_TYPE
        {
            add(statement, AttestationForm::Bundle, listed.digest);
        }
    }
    for layer in legacy::layers(images, subject).await? {
        if !budget.take(1, layer.size) {
            break;
        }
        let Ok(bytes) = blob_of(images, &layer, MAX_BUNDLE as u64).await else { continue };
        let envelope = Envelope::parse(&bytes).ok();
        let payload = envelope.as_ref().and_then(|envelope| envelope.statement_bytes().ok());
        let statement = payload.and_then(|payload| Statement::parse(payload).ok());
        if let Some(statement) = statement.filter(|statement| says(statement, subject, None)) {
            add(statement, AttestationForm::Attachment, layer.digest);
        }
    }
    Ok(all)
}

/// The bundle that a referrer of `subject` is; `None` where it is something else, or where nothing
/// more may be read.
///
/// # Errors
/// What reading meets; a referrer that is not what a list says of it.
pub(super) async fn bundle_of(
    images: &dyn ImageStore,
    subject: &Digest,
    listed: &Descriptor,
    budget: &mut Budget,
) -> Result<Option<Vec<u8>>, StoreError> {
    // `read` refuses a manifest that is longer than any may be before it is asked for.
    let size = listed.size.min(MANIFEST_LIMIT);
    if !referrers::may_be(listed, BUNDLE) || !budget.take(0, size) {
        return Ok(None);
    }
    let referrer = referrers::read(images, subject, listed).await?;
    if referrer.descriptor.artifact_type.as_deref() != Some(BUNDLE) {
        return Ok(None);
    }
    let Parts::Image { layers, .. } = referrer.manifest.parts(&images.place())? else {
        return Ok(None);
    };
    match layers.as_slice() {
        [layer] if layer.media_type == BUNDLE => {
            // Longer ones are refused before they are asked for.
            if !budget.take(1, layer.size.min(MAX_BUNDLE as u64)) {
                return Ok(None);
            }
            blob_of(images, layer, MAX_BUNDLE as u64).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// A blob, whole.
pub(super) async fn blob_of(
    images: &dyn ImageStore,
    blob: &Descriptor,
    most: u64,
) -> Result<Vec<u8>, StoreError> {
    if blob.size > most {
        let (place, what) = (images.place(), format!("blob {}", blob.digest));
        return Err(StoreError::TooLarge { place, what, limit: most });
    }
    images.blob(&blob.digest, blob.size).await?.read_all(most).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use treelay_signing::{KeyKind, SecretKey};

    use super::super::signed::{sign, statement};
    use super::*;

    #[test]
    fn what_is_read_has_bounds() {
        let spent = |reads: &[(usize, u64)]| {
            let mut budget = Budget::default();
            let read = reads.iter().filter(|(bundles, bytes)| budget.take(*bundles, *bytes));
            (read.count(), budget.spent)
        };
        assert_eq!(spent(&[(1, 10); MOST]), (MOST, false));
        assert_eq!(spent(&[(1, 10); MOST + 7]), (MOST, true));
        assert_eq!(spent(&[(0, BYTES / 2), (1, BYTES / 2), (0, 1), (0, 0)]), (2, true));
    }

    #[test]
    fn only_what_is_about_the_subject_and_of_the_type_counts() {
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let other = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let (subject, elsewhere) = (Digest::of("a"), Digest::of("b"));
        let kind = PredicateType::cyclonedx();
        let bundle = |subject: &Digest, kind: &PredicateType, key: &SecretKey| {
            sign(&statement(subject, kind, json!({ "n": 1 })), key).unwrap().bundle
        };
        let good = bundle(&subject, &kind, &key);
        let text = String::from_utf8(good.clone()).unwrap();
        let flipped = text.replacen("\"sig\":\"M", "\"sig\":\"N", 1).into_bytes();
        assert_ne!(flipped, good);
        let keys = [key.public().clone()];
        // How many count, and how many are told of.
        for (bundle, wanted, expected) in [
            (good.clone(), Some(&kind), (1, 0)),
            (good, None, (1, 0)),
            (bundle(&elsewhere, &kind, &key), Some(&kind), (0, 1)),
            (bundle(&subject, &PredicateType::spdx(), &key), Some(&kind), (0, 0)),
            (bundle(&subject, &kind, &other), Some(&kind), (0, 1)),
            (flipped, Some(&kind), (0, 1)),
            (b"{}".to_vec(), None, (0, 1)),
        ] {
            let mut found = Found::default();
            let judged = judge(&bundle, &keys);
            found.take(&subject, wanted, judged, AttestationForm::Bundle, Digest::of("x"));
            assert_eq!((found.good.len(), found.refused.len()), expected, "{found:?}");
        }
    }
}
