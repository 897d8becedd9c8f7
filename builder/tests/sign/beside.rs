//! What stands beside the manifests of an image: put there, looked at, taken away.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use treelay::image_store::layout::Layout;
use treelay::image_store::{
    Descriptor, ImageStore, Manifest, Placement, media, referrers, signatures,
};
use treelay::sign::{Form, ImageReport, RequiredForm, SubjectReport, VerifyOptions};
use treelay_recipes::Digest;
use treelay_signing::bundle::MEDIA_TYPE;
use treelay_signing::dsse::Envelope;
use treelay_signing::schemes::Scheme as _;
use treelay_signing::schemes::sigstore_bundle::{PREDICATE_TYPE, SigstoreBundle};
use treelay_signing::schemes::simplesigning::{self, SimpleSigning};
use treelay_signing::{Bundle, PublicKey, SecretKey, Subject};

use crate::fixture::{Image, REFERENCE, put};

pub const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
pub const SPDX: &str = "https://spdx.dev/Document";

/// The subject of a referrer.
pub async fn described(store: &Layout, digest: &Digest) -> Descriptor {
    store.manifest(digest).await.unwrap().descriptor()
}

/// A manifest that refers to a subject with a bundle, changed before it is written.
pub async fn referrer(
    store: &Layout,
    subject: &Descriptor,
    bundle: &str,
    change: impl FnOnce(&mut Value),
) -> Manifest {
    let layer = put(store, MEDIA_TYPE, bundle.as_bytes().to_vec()).await;
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": media::MANIFEST, "artifactType": MEDIA_TYPE,
        "config": put(store, media::EMPTY, b"{}".to_vec()).await,
        "layers": [layer], "subject": subject,
        "annotations": { PREDICATE: PREDICATE_TYPE },
    });
    change(&mut manifest);
    Manifest::new(media::MANIFEST, manifest.to_string().into_bytes())
}

/// Adds a bundle beside a subject.
pub async fn add(image: &Image, subject: &Digest, bundle: &str, change: impl FnOnce(&mut Value)) {
    let store = image.store();
    let subject = described(&store, subject).await;
    let manifest = referrer(&store, &subject, bundle, change).await;
    referrers::put_all(&store, &subject, &[manifest]).await.unwrap();
    store.commit().await.unwrap();
}

/// Lists these descriptors as what refers to a subject, and nothing else.
pub async fn list(image: &Image, subject: &Digest, listed: &[Value]) {
    let store = image.store();
    let index = json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": listed });
    let index = Manifest::new(media::INDEX, index.to_string().into_bytes());
    let (tag, annotations) = (referrers::fallback_tag(subject), BTreeMap::new());
    let placement = Placement::Tag { tag: &tag, annotations: &annotations };
    store.put_manifest(&index, placement).await.unwrap();
    store.commit().await.unwrap();
}

/// What is listed beside a subject, as JSON.
pub async fn listed(image: &Image, subject: &Digest) -> Vec<Value> {
    let listing = referrers::list(&image.store(), subject).await.unwrap();
    listing.referrers.iter().map(|one| serde_json::to_value(one).unwrap()).collect()
}

/// The bundle that is listed in this place beside a subject.
pub async fn bundle(image: &Image, subject: &Digest, at: usize) -> Bundle {
    let digest = listed(image, subject).await[at]["digest"].as_str().unwrap().to_owned();
    let manifest: Value =
        serde_json::from_slice(&fs::read(image.blob(&digest.parse().unwrap())).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    Bundle::parse(&fs::read(image.blob(&layer.parse().unwrap())).unwrap()).unwrap()
}

pub fn remove_tag(image: &Image, tag: &str) {
    image.edit_index(|entries| {
        entries.retain(|e| e["annotations"]["org.opencontainers.image.ref.name"] != tag);
    });
}

pub fn strip_sig(image: &Image, subject: &Digest) {
    remove_tag(image, &signatures::signature_tag(subject));
}

pub fn strip_bundles(image: &Image, subject: &Digest) {
    remove_tag(image, &referrers::fallback_tag(subject));
}

pub async fn verify(image: &Image, key: &PublicKey, required_form: RequiredForm) -> ImageReport {
    let options = VerifyOptions { required_form, ..VerifyOptions::default() };
    image.verify_with(std::slice::from_ref(key), &options).await
}

/// The kind of the refusal of a subject's bundles, and its message.
pub fn bundle_refusal(subject: &SubjectReport) -> (&'static str, String) {
    let refusal = subject.forms.bundle.refusal.as_ref();
    refusal.map_or(("", String::new()), |refusal| (refusal.kind(), refusal.to_string()))
}

/// A signed image whose arm64 manifest has no bundle, and the bundle it had.
pub async fn without_bundle(secret: &SecretKey) -> (Image, Bundle) {
    let image = Image::new().await;
    image.attach(std::slice::from_ref(secret)).await;
    let had = bundle(&image, &image.arm64, 0).await;
    strip_bundles(&image, &image.arm64);
    (image, had)
}

/// The envelope of a bundle, changed.
pub fn changed(bundle: &Bundle, change: impl FnOnce(&mut Envelope)) -> String {
    let mut bundle = bundle.clone();
    let treelay_signing::bundle::Content::Envelope(envelope) = &mut bundle.content else {
        panic!("no envelope")
    };
    change(envelope);
    bundle.to_json().unwrap()
}

/// Signs a subject in one form, as a cosign does that knows of no other.
pub async fn plain(image: &Image, subject: &Digest, form: Form, key: &SecretKey) {
    let digest = subject.to_string();
    let about = Subject::Image { digest: &digest, reference: Some(REFERENCE) };
    match form {
        Form::Sig => {
            let signature = SimpleSigning.sign(&about, key).unwrap();
            let annotations = BTreeMap::from([(
                simplesigning::SIGNATURE_ANNOTATION.to_owned(),
                BASE64.encode(&signature.bytes),
            )]);
            add_sig(image, subject, &signature.payload.unwrap(), annotations).await;
        }
        Form::Bundle => {
            let signature = SigstoreBundle.sign(&about, key).unwrap();
            let bundle = SigstoreBundle::to_bundle(&signature, key.public()).unwrap();
            add(image, subject, &bundle, |_| {}).await;
        }
    }
}

/// Adds a layer with a payload to the `.sig` of a subject.
pub async fn add_sig(
    image: &Image,
    subject: &Digest,
    payload: &[u8],
    annotations: BTreeMap<String, String>,
) {
    let store = image.store();
    let layer = put(&store, simplesigning::MEDIA_TYPE, payload.to_vec()).await;
    let layer = Descriptor { annotations, ..layer };
    signatures::add_signatures(&store, subject, &[layer]).await.unwrap();
    store.commit().await.unwrap();
}
