//! [`attach`]: documents onto the image they are about.
//!
//! Each is stored three times, for those who look in one place only: as a Sigstore bundle that
//! refers to its subject (cosign 3, and policies), as an envelope under the tag `sha256-<hex>.att`
//! (cosign 2), and, where scanners know the kind of document, as it is, unsigned, as a referrer of
//! its own type.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use treelay_recipes::Digest;
use treelay_signing::bundle::MEDIA_TYPE as BUNDLE;
use treelay_signing::{SecretKey, SignError};

use super::PredicateType;
use super::documents::{Document, read};
use super::find::{Budget, bundle_of};
use super::legacy::{self, DSSE};
use super::signed::{judge, says, sign, statement};
use crate::image_store::attachments::{
    BUNDLE_CONTENT, BUNDLE_PREDICATE_TYPE as PREDICATE, CREATED, is_signature,
};
use crate::image_store::referrers::{self, EMPTY_CONFIG, artifact};
use crate::image_store::signatures::{Beside, add_beside};
use crate::image_store::{BlobSource, Descriptor, ImageStore, Manifest, StoreError};
use crate::store::Store;

/// When it was made. What is attached says no time that nobody can check, so that attaching it again
/// changes nothing; cosign expects the annotation, and this is what it writes for an unknown time.
const UNKNOWN_TIME: (&str, &str) = (CREATED, "1970-01-01T00:00:00Z");

/// Why documents could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The key cannot sign.
    #[error("signing a statement about {subject}")]
    Sign {
        /// The subject.
        subject: Digest,
        /// Why not.
        source: SignError,
    },
    /// The document is no JSON object.
    #[error("the document about {subject} is no JSON object")]
    NoObject {
        /// The subject.
        subject: Digest,
    },
    /// cosign 3 takes any bundle for a signature's and then looks at nothing else, so an attestation
    /// beside an image without a signature in a bundle makes it refuse the image.
    #[error(
        "{subject} has no signature in the form of a bundle, and attestations beside it would make cosign 3 refuse it"
    )]
    NotSigned {
        /// The subject.
        subject: Digest,
    },
    /// More attestations than commits carry.
    #[error(
        "the attestations of commit {commit} would have {bytes} bytes, which every host that pulls it would load; {most} are allowed"
    )]
    TooLarge {
        /// The commit.
        commit: String,
        /// All of them.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// The place of images.
    #[error(transparent)]
    Images(#[from] StoreError),
    /// The repository of commits.
    #[error(transparent)]
    Commits(#[from] crate::ostree_repo::OstreeError),
    /// The store.
    #[error("reading or keeping a document in the store")]
    Store(#[from] std::io::Error),
}

/// A document and a key that vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttachedDocument {
    /// The subject's digest.
    pub subject: Digest,
    /// The kind of document.
    #[serde(rename = "type")]
    pub kind: String,
    /// The key's fingerprint.
    pub key: String,
    /// False when it was there already: then nothing was written.
    pub added: bool,
}

/// What is remembered of an attestation: nothing of it has to be read to find it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    /// The manifest of the bundle.
    manifest: Digest,
    /// The envelope.
    envelope: Digest,
}

const KEPT: &str = "attestation";

/// Signs documents with every key and puts them beside their subjects, which the store has. What is
/// there is kept; a document that a key has signed about the same subject before is not signed
/// again, so that attaching again changes no byte. In a layout they become visible when the caller
/// commits.
///
/// # Errors
/// [`AttestError`].
pub async fn attach(
    images: &dyn ImageStore,
    store: &Store,
    subjects: &[Descriptor],
    documents: &[Document],
    keys: &[SecretKey],
) -> Result<Vec<AttachedDocument>, AttestError> {
    let mut attached = Vec::new();
    for subject in subjects {
        let about: Vec<&Document> =
            documents.iter().filter(|document| document.subject == subject.digest).collect();
        if about.is_empty() {
            continue;
        }
        // Only what a bundle's descriptor may say is written, whatever the index has beside it.
        let subject = Descriptor::new(&subject.media_type, subject.digest, subject.size);
        let on = On::find(images, store, subject).await?;
        attached.extend(on.attach(&about, keys).await?);
    }
    Ok(attached)
}

/// A subject, and what is beside it.
struct On<'a> {
    images: &'a dyn ImageStore,
    store: &'a Store,
    subject: Descriptor,
    listed: Vec<Descriptor>,
    legacy: Vec<Descriptor>,
}

/// What is to be written.
#[derive(Default)]
struct New {
    manifests: Vec<Manifest>,
    layers: Vec<Descriptor>,
}

impl<'a> On<'a> {
    async fn find(
        images: &'a dyn ImageStore,
        store: &'a Store,
        subject: Descriptor,
    ) -> Result<Self, AttestError> {
        let listed = referrers::list(images, &subject.digest).await?.referrers;
        let signed = listed.iter().any(is_signature);
        if !signed && !has_signature(images, &subject.digest, &listed).await? {
            return Err(AttestError::NotSigned { subject: subject.digest });
        }
        let legacy = legacy::layers(images, &subject.digest).await?;
        Ok(Self { images, store, subject, listed, legacy })
    }

    async fn attach(
        &self,
        documents: &[&Document],
        keys: &[SecretKey],
    ) -> Result<Vec<AttachedDocument>, AttestError> {
        let mut new = New::default();
        let mut attached = Vec::new();
        for document in documents {
            for key in keys {
                let added = self.add(document, key, &mut new).await?;
                attached.push(AttachedDocument {
                    subject: self.subject.digest,
                    kind: document.kind.to_string(),
                    key: key.public().fingerprint(),
                    added,
                });
            }
            self.add_raw(document, &mut new).await?;
        }
        if !new.layers.is_empty() {
            let what = Beside::Attestations;
            add_beside(self.images, &self.subject.digest, what, &new.layers).await?;
        }
        if !new.manifests.is_empty() {
            referrers::put_all(self.images, &self.subject, &new.manifests).await?;
        }
        Ok(attached)
    }

    /// Signs a document, unless the key's attestation of it is there.
    async fn add(
        &self,
        document: &Document,
        key: &SecretKey,
        new: &mut New,
    ) -> Result<bool, AttestError> {
        let Document { kind, subject, content } = document;
        let name = Digest::of(format!(
            "attestation-1 {subject} {} {content} {}",
            kind.uri(),
            key.public().fingerprint()
        ));
        let has = |digest: &Digest| self.listed.iter().any(|one| one.digest == *digest);
        let in_legacy = |digest: &Digest| self.legacy.iter().any(|one| one.digest == *digest);
        if let Some(kept) = self.store.product::<Kept>(KEPT, &name)
            && has(&kept.manifest)
            && in_legacy(&kept.envelope)
        {
            return Ok(false);
        }
        let bytes = read(self.store, content)?;
        let predicate: Value = serde_json::from_slice(&bytes)
            .ok()
            .filter(Value::is_object)
            .ok_or(AttestError::NoObject { subject: *subject })?;
        let statement = statement(subject, kind, predicate);
        if let Some(kept) = self.find_same(&statement, kind, key).await {
            self.store.put_product(KEPT, &name, &kept)?;
            return Ok(false);
        }
        let failed = |source| AttestError::Sign { subject: *subject, source };
        let signed = sign(&statement, key).map_err(failed)?;
        let annotations = [BUNDLE_CONTENT, (PREDICATE, kind.uri()), UNKNOWN_TIME];
        let manifest = self.put_artifact(BUNDLE, signed.bundle, &annotations).await?;
        let envelope = BlobSource::from_bytes(signed.envelope).named("attestation");
        self.images.put_blob(&envelope).await?;
        let mut layer = Descriptor::new(DSSE, *envelope.digest(), envelope.size());
        layer.annotations = legacy::annotations(kind);
        let kept = Kept { manifest: manifest.digest(), envelope: layer.digest };
        let added = !has(&kept.manifest) || !in_legacy(&kept.envelope);
        if !has(&kept.manifest) {
            new.manifests.push(manifest);
        }
        if !in_legacy(&kept.envelope) {
            new.layers.push(layer);
        }
        self.store.put_product(KEPT, &name, &kept)?;
        Ok(added)
    }

    /// The same statement by the same key that is there in both forms, signed with other random
    /// numbers.
    async fn find_same(
        &self,
        statement: &treelay_signing::statement::Statement,
        kind: &PredicateType,
        key: &SecretKey,
    ) -> Option<Kept> {
        let keys = [key.public().clone()];
        let mut budget = Budget::default();
        for listed in &self.listed {
            if listed.annotations.get(PREDICATE).is_some_and(|it| it != kind.uri()) {
                continue;
            }
            // Anyone may list anything: what cannot be read is not the same, and no error.
            let bundle = bundle_of(self.images, &self.subject.digest, listed, &mut budget).await;
            let Ok(Some(bundle)) = bundle else { continue };
            let Ok((found, _)) = judge(&bundle, &keys) else { continue };
            if !says(&found, &self.subject.digest, Some(kind))
                || found.predicate != statement.predicate
            {
                continue;
            }
            for layer in &self.legacy {
                if !budget.take(1, layer.size) {
                    break;
                }
                let same = legacy::statement(self.images, layer, &keys).await;
                if same.is_ok_and(|(same, _)| same.predicate == statement.predicate) {
                    return Some(Kept { manifest: listed.digest, envelope: layer.digest });
                }
            }
        }
        None
    }

    /// The document itself, for scanners.
    async fn add_raw(&self, document: &Document, new: &mut New) -> Result<(), AttestError> {
        let Some(media_type) = document.kind.raw_media_type() else { return Ok(()) };
        let path = self.store.object(&document.content);
        let size = path.and_then(|path| path.metadata().ok()).map_or(0, |it| it.len());
        let manifest =
            artifact(&self.subject, media_type, (&document.content, size), &[UNKNOWN_TIME]);
        if self.listed.iter().any(|one| one.digest == manifest.digest()) {
            return Ok(());
        }
        let bytes = read(self.store, &document.content)?;
        new.manifests.push(self.put_artifact(media_type, bytes, &[UNKNOWN_TIME]).await?);
        Ok(())
    }

    /// Puts the blobs of an artifact of one layer; its manifest.
    async fn put_artifact(
        &self,
        media_type: &str,
        bytes: Vec<u8>,
        annotations: &[(&str, &str)],
    ) -> Result<Manifest, AttestError> {
        let blob = BlobSource::from_bytes(bytes).named("attestation");
        self.images.put_blob(&blob).await?;
        self.images.put_blob(&BlobSource::from_bytes(EMPTY_CONFIG)).await?;
        Ok(artifact(&self.subject, media_type, (blob.digest(), blob.size()), annotations))
    }
}

/// Whether one of those referrers, of which nothing is said, is a signature.
async fn has_signature(
    images: &dyn ImageStore,
    subject: &Digest,
    listed: &[Descriptor],
) -> Result<bool, AttestError> {
    for one in listed.iter().filter(|one| one.annotations.is_empty()) {
        if !referrers::may_be(one, BUNDLE) {
            continue;
        }
        let about = referrers::read(images, subject, one).await;
        let about = about.is_ok_and(|it| is_signature(&it.descriptor));
        if about {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use treelay_signing::KeyKind;

    use super::*;
    use crate::attest::documents::keep;
    use crate::image_store::attachments::SIGN_PREDICATE_TYPE;
    use crate::image_store::layout::Layout;
    use crate::image_store::media;

    /// Puts something that says it is a bundle about `subject`; its layer is not there.
    async fn put_junk(images: &dyn ImageStore, subject: &Descriptor, text: &str, kind: &str) {
        images.put_blob(&BlobSource::from_bytes(EMPTY_CONFIG)).await.unwrap();
        let annotations = [BUNDLE_CONTENT, (PREDICATE, kind)];
        let junk = artifact(subject, BUNDLE, (&Digest::of(text), 5), &annotations);
        referrers::put_all(images, subject, &[junk]).await.unwrap();
    }

    #[tokio::test]
    async fn junk_beside_an_image_keeps_nobody_from_attesting() {
        let dir = tempfile::tempdir().unwrap();
        let images = Layout::create(&dir.path().join("images")).unwrap();
        let subject = Descriptor::new(media::MANIFEST, Digest::of("image"), 5);
        let kind = PredicateType::spdx();
        put_junk(&images, &subject, "what counts as a signature here", SIGN_PREDICATE_TYPE).await;
        for text in ["not there", "nor is this"] {
            put_junk(&images, &subject, text, kind.uri()).await;
        }
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        for (round, added) in [true, false].into_iter().enumerate() {
            // Each has a store of its own, which remembers nothing.
            let store = Store::open(&dir.path().join(format!("store{round}"))).unwrap();
            let content = keep(&store, b"{\"spdxVersion\": \"SPDX-2.3\"}").unwrap();
            let document = Document { kind: kind.clone(), subject: subject.digest, content };
            let keys = std::slice::from_ref(&key);
            let subjects = std::slice::from_ref(&subject);
            let attached = attach(&images, &store, subjects, &[document], keys).await.unwrap();
            images.commit().await.unwrap();
            let found: Vec<bool> = attached.iter().map(|one| one.added).collect();
            assert_eq!(found, [added], "round {round}");
        }
    }
}
