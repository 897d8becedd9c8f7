//! [`attach()`]: signatures onto an image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use treelay_recipes::Digest;
use treelay_signing::schemes::{Scheme, simplesigning, simplesigning::SimpleSigning};
use treelay_signing::{SecretKey, Signature, Subject};

use super::error::SignatureError;
use super::judge;
use super::walk::{self, Node};
use crate::image_store::{BlobSource, Descriptor, ImageRef, ImageStore, Platform, signatures};

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
    /// The manifest that holds its signatures, those of others with them.
    pub signatures: Digest,
    /// Each of the given keys, once.
    pub keys: Vec<AttachedKey>,
}

/// A key that has signed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AttachedKey {
    /// Its fingerprint.
    pub key: String,
    /// Name of the scheme: `simplesigning`.
    pub scheme: &'static str,
    /// False when it had signed the same before: then nothing was written.
    pub added: bool,
}

/// Signs an image with every key: its index, and every manifest below. `reference` is the name the
/// image is published under, `registry/repository:tag`; it is part of what is signed.
///
/// Signatures that are there are kept, in their order; a key that has signed the same claim before
/// adds nothing, so that signing again changes no byte. Nothing is written before all of the image
/// is found and all signatures are made. In a layout they become visible when the caller commits.
///
/// # Errors
/// [`SignatureError::Store`] also when a manifest of the image is missing or damaged, or when what
/// is in the place of the signatures is something else: that is never replaced.
pub async fn attach(
    store: &dyn ImageStore,
    image: &Digest,
    reference: &str,
    keys: &[SecretKey],
) -> Result<AttachReport, SignatureError> {
    let keys = distinct(keys);
    if keys.is_empty() {
        return Err(SignatureError::NoKeys);
    }
    let root = walk::resolve(store, &ImageRef::Digest(*image)).await?;
    let mut pending = Vec::new();
    for node in walk::subjects(walk::walk(store, root).await) {
        pending.push(Pending::new(store, node, reference, &keys).await?);
    }
    let mut subjects = Vec::new();
    // The index last: who finds it signed finds its children signed.
    for pending in pending.into_iter().rev() {
        subjects.push(pending.write(store).await?);
    }
    subjects.reverse();
    Ok(AttachReport { image: *image, reference: reference.to_owned(), subjects })
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
    descriptor: Descriptor,
    /// Where the signatures are that are there already.
    there: Option<Digest>,
    payload: Vec<u8>,
    layers: Vec<Descriptor>,
    keys: Vec<AttachedKey>,
}

impl Pending {
    async fn new(
        store: &dyn ImageStore,
        node: Node,
        reference: &str,
        keys: &[&SecretKey],
    ) -> Result<Self, SignatureError> {
        let Node { name, descriptor, content } = node;
        content?;
        let digest = descriptor.digest.to_string();
        let subject = Subject::Image { digest: &digest, reference: Some(reference) };
        let there = signatures::signatures_of(store, &descriptor.digest).await?;
        let (holder, known) = match there {
            Some((manifest, layers)) => (Some(manifest.digest()), layers),
            None => (None, Vec::new()),
        };
        let (mut payload, mut layers, mut attached) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            let sign = |source| SignatureError::Sign { what: format!("{name} ({digest})"), source };
            let signature = SimpleSigning.sign(&subject, key).map_err(sign)?;
            let layer = layer(&signature);
            payload = signature.payload.unwrap_or_default();
            let added = !has_signed(&descriptor.digest, &known, &layer, &payload, key);
            if added {
                layers.push(layer);
            }
            let key = key.public().fingerprint();
            attached.push(AttachedKey { key, scheme: simplesigning::NAME, added });
        }
        Ok(Self { name, descriptor, there: holder, payload, layers, keys: attached })
    }

    async fn write(self, store: &dyn ImageStore) -> Result<SignedSubject, SignatureError> {
        let Self { name, descriptor: Descriptor { digest, platform, .. }, keys, .. } = self;
        let signatures = match self.there {
            Some(there) if self.layers.is_empty() => there,
            _ => {
                let payload = BlobSource::from_bytes(self.payload).named("signature");
                store.put_blob(&payload).await?;
                signatures::add_signatures(store, &digest, &self.layers).await?.digest
            }
        };
        Ok(SignedSubject { name, digest, platform, signatures, keys })
    }
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
        judge::signature_in(subject, other, payload.to_vec())
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
