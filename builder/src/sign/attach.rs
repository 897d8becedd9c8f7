//! [`attach()`]: signatures onto an image, in both forms.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{StreamExt, TryStreamExt, stream};
use treelay_recipes::Digest;
use treelay_signing::schemes::{
    Scheme, sigstore_bundle, sigstore_bundle::SigstoreBundle, simplesigning,
    simplesigning::SimpleSigning,
};
use treelay_signing::{SecretKey, Signature, Subject};

use super::budget::Budget;
use super::bundles::{self, Bundles, Content, NewBundle};
use super::created;
use super::error::SignatureError;
use super::forms::{BOTH_FORMS, FORMS_ANNOTATION};
use super::judge;
use super::walk::{self, Node};
use crate::image_store::{
    BlobSource, Descriptor, ImageRef, ImageStore, Manifest, Parts, Platform, referrers, signatures,
};

/// Subjects whose signatures are read, or written, at once.
const AT_ONCE: usize = 4;

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AttachReport {
    /// The index or manifest that was named.
    pub image: Digest,
    /// The name that was signed.
    pub reference: String,
    /// The index and every manifest below it, each once.
    pub subjects: Vec<SignedSubject>,
}

impl AttachReport {
    /// How many signatures are new.
    pub fn added(&self) -> usize {
        let keys = self.subjects.iter().flat_map(|subject| &subject.keys);
        keys.filter(|key| key.added).count()
    }
}

/// A subject and who signed it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SignedSubject {
    /// What people call it: `index`, `linux/arm64/v8`.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// The platform, by the index.
    pub platform: Option<Platform>,
    /// The manifest of the tag, which holds its signatures, those of others with them.
    pub signatures: Digest,
    /// The manifests of the bundles by the given keys.
    pub bundles: Vec<Digest>,
    /// Each of the given keys, once for each form.
    pub keys: Vec<AttachedKey>,
}

/// A key that has signed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AttachedKey {
    /// Its fingerprint.
    pub key: String,
    /// Name of the scheme: `simplesigning` for the tag, `sigstore-bundle`.
    pub scheme: &'static str,
    /// False when it had signed the same before: then nothing was written.
    pub added: bool,
}

/// How an image is signed.
#[derive(Clone, Copy)]
pub struct AttachOptions<'a> {
    /// The name the image is published under, `registry/repository:tag`. The signatures of the tag
    /// carry it; bundles have no name.
    pub reference: &'a str,
    /// What else is signed, by name: cosign's `-a`. Not [`FORMS_ANNOTATION`], which is always.
    pub annotations: &'a BTreeMap<String, String>,
}

/// Signs an image with every key, in both forms, without annotations: see [`attach_with`].
///
/// # Errors
/// As of [`attach_with`].
pub async fn attach(
    store: &dyn ImageStore,
    image: &Digest,
    reference: &str,
    keys: &[SecretKey],
) -> Result<AttachReport, SignatureError> {
    let options = AttachOptions { reference, annotations: &BTreeMap::new() };
    attach_with(store, image, options, keys).await
}

/// Signs an image with every key: its index, and every manifest below, each in both forms, the tag
/// `sha256-<hex>.sig` and a bundle that refers to it. Each says that there is the other
/// ([`FORMS_ANNOTATION`]).
///
/// Signatures that are there are kept, in their order; a key that has signed the same claim before
/// adds nothing, whatever made that signature, so that signing again changes no byte. Nothing is
/// written before all of the image is found and all signatures are made. In a layout they become
/// visible when the caller commits.
///
/// # Errors
/// [`SignatureError::ReservedAnnotation`]; [`SignatureError::Store`] also when a manifest of the image is missing or damaged, or when what
/// is in the place of the signatures is something else: that is never replaced.
pub async fn attach_with(
    store: &dyn ImageStore,
    image: &Digest,
    options: AttachOptions<'_>,
    keys: &[SecretKey],
) -> Result<AttachReport, SignatureError> {
    let keys = distinct(keys);
    if keys.is_empty() {
        return Err(SignatureError::NoKeys);
    }
    let mut annotations = options.annotations.clone();
    if annotations.insert(FORMS_ANNOTATION.to_owned(), BOTH_FORMS.to_owned()).is_some() {
        return Err(SignatureError::ReservedAnnotation { name: FORMS_ANNOTATION });
    }
    let options = AttachOptions { annotations: &annotations, ..options };
    let root = walk::resolve(store, &ImageRef::Digest(*image)).await?;
    let nodes = walk::subjects(walk::walk(store, root).await);
    let created = created::of(store, &nodes).await;
    let keys = &keys;
    let making = nodes.into_iter().zip(created).map(|(node, created)| async move {
        Pending::new(store, node, &created, options, keys).await
    });
    let pending: Vec<Pending> = stream::iter(making).buffered(AT_ONCE).try_collect().await?;
    // Indexes last, and the outermost at the end: who finds one signed finds what is in it signed.
    let (indexes, images): (Vec<_>, Vec<_>) =
        pending.into_iter().enumerate().partition(|(_, pending)| pending.is_index);
    let write = async |(n, pending): (usize, Pending)| {
        pending.write(store).await.map(|subject| (n, subject))
    };
    let images = stream::iter(images.into_iter().map(write)).buffered(AT_ONCE);
    let mut subjects: Vec<(usize, SignedSubject)> = images.try_collect().await?;
    for index in indexes.into_iter().rev() {
        subjects.push(write(index).await?);
    }
    subjects.sort_by_key(|(n, _)| *n);
    let subjects = subjects.into_iter().map(|(_, subject)| subject).collect();
    let reference = options.reference.to_owned();
    Ok(AttachReport { image: *image, reference, subjects })
}

fn distinct(keys: &[SecretKey]) -> Vec<&SecretKey> {
    let mut distinct: Vec<&SecretKey> = Vec::new();
    for key in keys {
        if distinct.iter().all(|other| other.public() != key.public()) {
            distinct.push(key);
        }
    }
    distinct
}

/// A subject with signatures that are made and not written.
struct Pending {
    name: String,
    platform: Option<Platform>,
    is_index: bool,
    /// As the bundles name it.
    subject: Descriptor,
    /// Where the signatures are that are there already.
    there: Option<Digest>,
    payload: Vec<u8>,
    layers: Vec<Descriptor>,
    bundles: Vec<NewBundle>,
    /// The bundles that are there already.
    known_bundles: Vec<Digest>,
    keys: Vec<AttachedKey>,
}

impl Pending {
    async fn new(
        store: &dyn ImageStore,
        node: Node,
        created: &str,
        options: AttachOptions<'_>,
        keys: &[&SecretKey],
    ) -> Result<Self, SignatureError> {
        let Node { name, descriptor, content } = node;
        let content = content?;
        let is_index = matches!(content.parts, Parts::Index(_));
        let subject = Descriptor::new(content.media_type, descriptor.digest, content.size);
        let digest = subject.digest.to_string();
        let image = Subject::Image { digest: &digest, reference: Some(options.reference) };
        let budget = Budget::of_image();
        let share = budget.of_subject();
        let (there, beside) = futures_util::join!(
            signatures::signatures_of(store, &subject.digest),
            bundles::of(store, &subject, &share, false)
        );
        let (there, known) = match there? {
            Some((manifest, layers)) => (Some(manifest.digest()), layers),
            None => (None, Vec::new()),
        };
        let mut pending = Self {
            name,
            platform: descriptor.platform,
            is_index,
            subject,
            there,
            payload: Vec::new(),
            layers: Vec::new(),
            bundles: Vec::new(),
            known_bundles: Vec::new(),
            keys: Vec::new(),
        };
        let beside = beside?;
        for key in keys {
            let sign = |source| SignatureError::Sign {
                what: format!("{} ({digest})", pending.name),
                source,
            };
            let signature = SimpleSigning::sign_annotated(&image, options.annotations, key);
            let signature = signature.map_err(sign)?;
            let bundle = SigstoreBundle::sign_annotated(&image, options.annotations, key);
            let bundle = bundle.map_err(sign)?;
            pending.add_signature(signature, &known, key);
            pending.add_bundle(&bundle, &beside, created, options.annotations, key);
        }
        Ok(pending)
    }

    fn add_signature(&mut self, signature: Signature, known: &[Descriptor], key: &SecretKey) {
        let layer = layer(&signature);
        self.payload = signature.payload.unwrap_or_default();
        let added = !has_signed(&self.subject.digest, known, &layer, &self.payload, key);
        if added {
            self.layers.push(layer);
        }
        let key = key.public().fingerprint();
        self.keys.push(AttachedKey { key, scheme: simplesigning::NAME, added });
    }

    fn add_bundle(
        &mut self,
        signature: &Signature,
        beside: &Bundles,
        created: &str,
        annotations: &BTreeMap<String, String>,
        key: &SecretKey,
    ) {
        let known = bundle_of(&self.subject.digest, beside, annotations, key);
        match (known, SigstoreBundle::to_bundle(signature, key.public())) {
            (Some(known), _) => self.known_bundles.push(known),
            (None, Some(bundle)) => {
                self.bundles.push(NewBundle::new(&self.subject, bundle, created));
            }
            // The signature is of this scheme.
            (None, None) => {}
        }
        let (key, added) = (key.public().fingerprint(), known.is_none());
        self.keys.push(AttachedKey { key, scheme: sigstore_bundle::NAME, added });
    }

    async fn write(self, store: &dyn ImageStore) -> Result<SignedSubject, SignatureError> {
        let Self { name, subject, platform, keys, .. } = self;
        let signatures = match self.there {
            Some(there) if self.layers.is_empty() => there,
            _ => {
                let payload = BlobSource::from_bytes(self.payload).named("signature");
                store.put_blob(&payload).await?;
                signatures::add_signatures(store, &subject.digest, &self.layers).await?.digest
            }
        };
        for blob in self.bundles.iter().flat_map(|bundle| &bundle.blobs) {
            store.put_blob(blob).await?;
        }
        let new: Vec<Manifest> = self.bundles.into_iter().map(|bundle| bundle.manifest).collect();
        if !new.is_empty() {
            referrers::put_all(store, &subject, &new).await?;
        }
        let mut bundles = self.known_bundles;
        bundles.extend(new.iter().map(Manifest::digest));
        Ok(SignedSubject { name, digest: subject.digest, platform, signatures, bundles, keys })
    }
}

/// The bundle in which the key has signed the very same claim, whoever made it.
fn bundle_of(
    subject: &Digest,
    beside: &Bundles,
    annotations: &BTreeMap<String, String>,
    key: &SecretKey,
) -> Option<Digest> {
    let digest = subject.to_string();
    let image = Subject::Image { digest: &digest, reference: None };
    let same = |found: &&bundles::Found| {
        let Content::Bundle(bundle) = &found.content else { return false };
        let good = SigstoreBundle::of_bundle(&image, bundle)
            .is_ok_and(|it| SigstoreBundle.verify(&image, &it, key.public()).is_good());
        good && judge::bundle::annotations(bundle, key.public(), subject) == *annotations
    };
    beside.found.iter().find(same).map(|found| found.manifest)
}

/// The layer that holds a signature.
fn layer(signature: &Signature) -> Descriptor {
    let payload = signature.payload.as_deref().unwrap_or_default();
    let size = payload.len() as u64;
    let mut layer = Descriptor::new(simplesigning::MEDIA_TYPE, Digest::of(payload), size);
    let annotation = simplesigning::SIGNATURE_ANNOTATION.to_owned();
    layer.annotations.insert(annotation, BASE64.encode(&signature.bytes));
    layer
}

/// Whether the key's signature over these very bytes is among those that are there. It need not be
/// equal to ours: cosign makes another one each time.
fn has_signed(
    subject: &Digest,
    known: &[Descriptor],
    layer: &Descriptor,
    payload: &[u8],
    key: &SecretKey,
) -> bool {
    let same_claim = |other: &&Descriptor| {
        other.digest == layer.digest
            && other.size == layer.size
            && other.media_type == layer.media_type
    };
    let digest = subject.to_string();
    let image = Subject::Image { digest: &digest, reference: None };
    known.iter().filter(same_claim).any(|other| {
        judge::sig::signature_in(subject, other, payload.to_vec())
            .is_ok_and(|signature| SimpleSigning.verify(&image, &signature, key.public()).is_good())
    })
}

#[cfg(test)]
mod tests {
    use treelay_signing::keys::SecretKeyFile;

    use super::*;

    #[test]
    fn what_cosign_signed_with_the_key_is_not_signed_again() {
        let payload = include_bytes!("../../../signing/fixtures/image.payload");
        let by_cosign = include_str!("../../../signing/fixtures/cosign-2.5-p256.sig").trim();
        let file = include_bytes!("../../../signing/fixtures/cosign-2.5-p256.key");
        let SecretKeyFile::Sealed(sealed) = SecretKeyFile::parse(file).unwrap() else {
            panic!("not sealed");
        };
        let key = sealed.open(b"treelay").unwrap();
        let other = SecretKey::generate(treelay_signing::KeyKind::EcdsaP256).unwrap();
        let digest = "sha256:db270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683";
        let reference = Some("127.0.0.1:5077/demo/img");
        let image = Subject::Image { digest, reference };
        let ours = SimpleSigning.sign(&image, &key).unwrap();
        assert_eq!(ours.payload.as_deref(), Some(&payload[..]));
        let ours = layer(&ours);
        let mut theirs = ours.clone();
        let annotation = simplesigning::SIGNATURE_ANNOTATION.to_owned();
        theirs.annotations.insert(annotation, by_cosign.to_owned());
        assert_ne!(theirs, ours, "they use random numbers");

        let subject: Digest = digest.parse().unwrap();
        let signed = |known: &[Descriptor], key: &SecretKey| {
            has_signed(&subject, known, &ours, payload, key)
        };
        assert!(signed(std::slice::from_ref(&theirs), &key));
        assert!(!signed(std::slice::from_ref(&theirs), &other));
        let other_size = Descriptor { size: theirs.size + 1, ..theirs.clone() };
        let other_type = Descriptor { media_type: "application/json".into(), ..theirs };
        assert!(!signed(&[other_size, other_type], &key));
    }
}
