//! Lists of what refers to an image: what they say wrongly, how long they are, what else is in them.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};
use treelay::image_store::signatures::{Addition, Beside};
use treelay::image_store::{
    BlobSource, BlobStream, Descriptor, ImageRef, ImageStore, Listing, Manifest, Placement, Result,
    media, signatures,
};
use treelay::sign::evidence::{self, SigTag};
use treelay::sign::{RequiredForm, VerifyOptions, verify_image};
use treelay_recipes::Digest;
use treelay_signing::bundle::MEDIA_TYPE;

use crate::beside::{
    PREDICATE, SPDX, add, bundle_refusal, described, list, listed, referrer, verify, without_bundle,
};
use crate::fixture::{Image, key};

#[tokio::test]
async fn a_descriptor_that_lies_is_refused() {
    let (secret, public) = key();
    let image = Image::new().await;
    image.attach(&[secret]).await;
    let right = listed(&image, &image.arm64).await.remove(0);
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 5] = [
        (|it| it["size"] = json!(7), "bytes"),
        (
            |it| it["artifactType"] = json!("application/vnd.dev.sigstore.bundle.v0.2+json"),
            "artifact type",
        ),
        (|it| it["mediaType"] = json!(media::INDEX), "media type"),
        (|it| it["annotations"][PREDICATE] = json!(SPDX), "annotation"),
        (|it| it["annotations"]["more"] = json!("x"), "annotation"),
    ];
    for (change, says) in changes {
        let mut lying = right.clone();
        change(&mut lying);
        list(&image, &image.arm64, std::slice::from_ref(&lying)).await;
        let report = verify(&image, &public, RequiredForm::Bundle).await;
        assert!(!report.is_good(), "{lying}");
        let (kind, message) = bundle_refusal(&report.subjects[2]);
        assert_eq!(kind, "malformed");
        assert!(message.contains(says), "{message}");
    }
    // What others leave out, and what cosign 3.1 writes there, is no lie.
    for artifact_type in [Value::Null, json!(""), json!(media::EMPTY)] {
        let mut usual = right.clone();
        usual["artifactType"] = artifact_type;
        usual["annotations"] = json!({});
        list(&image, &image.arm64, &[usual]).await;
        assert!(verify(&image, &public, RequiredForm::Both).await.is_good());
    }
    // An entry that hides the bundle as something else hides it from cosign, too.
    let mut hidden = right;
    hidden["artifactType"] = json!("application/spdx+json");
    list(&image, &image.arm64, &[hidden]).await;
    let report = verify(&image, &public, RequiredForm::Both).await;
    let (_, message) = bundle_refusal(&report.subjects[2]);
    assert!(message.contains("application/spdx+json"), "{message}");
}

#[tokio::test]
async fn thousands_of_referrers_are_looked_at_so_far() {
    let (secret, public) = key();
    let (image, good) = without_bundle(&secret).await;
    let store = image.store();
    let subject = described(&store, &image.arm64).await;
    let good = referrer(&store, &subject, &good.to_json().unwrap(), |_| {}).await;
    store.put_manifest(&good, Placement::Child).await.unwrap();
    let good = serde_json::to_value(good.referrer_descriptor("").unwrap()).unwrap();
    let mut junk: Vec<Value> = (0..3000)
        .map(|n| json!({ "mediaType": media::MANIFEST, "digest": Digest::of(format!("{n}")), "size": 3, "artifactType": MEDIA_TYPE }))
        .collect();
    junk.insert(500, good.clone());
    list(&image, &image.arm64, &junk).await;
    let report = verify(&image, &public, RequiredForm::Both).await;
    assert!(report.is_good(), "{:?}", report.reasons());
    let warning = report.warnings.iter().map(ToString::to_string).find(|it| it.contains("1000"));
    assert!(warning.is_some(), "{:?}", report.warnings);
    // Behind them it is not found, which is said.
    junk.remove(500);
    junk.push(good);
    list(&image, &image.arm64, &junk).await;
    let report = verify(&image, &public, RequiredForm::Both).await;
    let (_, message) = bundle_refusal(&report.subjects[2]);
    assert!(message.contains("1000 were looked at"), "{message}");
}

#[tokio::test]
async fn what_else_refers_to_an_image_is_no_signature_and_is_read_when_all_is() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(std::slice::from_ref(&secret)).await;
    let kind = |it: &mut Value| {
        it["artifactType"] = json!("application/spdx+json");
        it["layers"][0]["mediaType"] = json!("application/spdx+json");
    };
    add(&image, &image.arm64, "{\"spdx\":1}", kind).await;
    let keys = [public];
    let report = image.verify(&keys).await;
    assert!(report.is_good(), "{:?}", report.reasons());
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(report.subjects[2].signatures.len(), 2);
    assert!(report.subjects[2].attestations.is_empty());
    let sbom = listed(&image, &image.arm64).await[1]["digest"].as_str().unwrap().to_owned();
    for digest in [sbom.parse().unwrap(), Digest::of("{\"spdx\":1}")] {
        let path = image.blob(&digest);
        let content = fs::read(&path).unwrap();
        let mut changed = content.clone();
        changed[0] ^= 1;
        fs::write(&path, changed).unwrap();
        let report = image.verify(&keys).await;
        let reasons = report.reasons().join("\n");
        assert!(!report.is_good() && reasons.contains(&digest.hex()), "{reasons}");
        // It says nothing about the signatures.
        assert!(verify(&image, &keys[0], RequiredForm::Both).await.is_good());
        fs::write(path, content).unwrap();
    }
}

/// Counts what is read of a layout.
struct Counting {
    inner: treelay::image_store::layout::Layout,
    bytes: std::sync::atomic::AtomicU64,
    blobs: std::sync::atomic::AtomicU64,
}

#[async_trait::async_trait]
impl ImageStore for Counting {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn resolve(&self, image: &ImageRef) -> Result<Option<Descriptor>> {
        self.inner.resolve(image).await
    }

    async fn manifest(&self, digest: &Digest) -> Result<Manifest> {
        let manifest = self.inner.manifest(digest).await?;
        self.bytes.fetch_add(manifest.bytes().len() as u64, Relaxed);
        Ok(manifest)
    }

    async fn referrers(&self, subject: &Digest) -> Result<Listing> {
        self.inner.referrers(subject).await
    }

    async fn put_referrers(&self, subject: &Digest, manifests: &[Manifest]) -> Result<()> {
        self.inner.put_referrers(subject, manifests).await
    }

    async fn add_beside(
        &self,
        subject: &Digest,
        what: Beside,
        addition: &Addition,
    ) -> Result<Descriptor> {
        self.inner.add_beside(subject, what, addition).await
    }

    async fn put_manifest(
        &self,
        manifest: &Manifest,
        placement: Placement<'_>,
    ) -> Result<Descriptor> {
        self.inner.put_manifest(manifest, placement).await
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        self.inner.has_blob(digest, size).await
    }

    async fn blob(&self, digest: &Digest, size: u64) -> Result<BlobStream> {
        self.bytes.fetch_add(size, Relaxed);
        self.blobs.fetch_add(1, Relaxed);
        self.inner.blob(digest, size).await
    }

    async fn put_blob(&self, source: &BlobSource<'_>) -> Result<treelay::progress::Outcome> {
        self.inner.put_blob(source).await
    }

    async fn tags(&self) -> Result<Vec<String>> {
        self.inner.tags().await
    }

    async fn commit(&self) -> Result<()> {
        self.inner.commit().await
    }
}

fn counting(image: &Image) -> Counting {
    Counting { inner: image.store(), bytes: 0.into(), blobs: 0.into() }
}

#[tokio::test]
async fn long_junk_is_read_so_far_and_that_is_told() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(std::slice::from_ref(&secret)).await;
    let store = image.store();
    let subject = described(&store, &image.arm64).await;
    let mut entries = listed(&image, &image.arm64).await;
    let padding = "x".repeat(2_200_000);
    for n in 0..20 {
        let junk = json!({
            "schemaVersion": 2, "mediaType": media::MANIFEST, "artifactType": "application/junk",
            "config": { "mediaType": media::EMPTY, "digest": Digest::of("{}"), "size": 2 },
            "layers": [], "subject": subject, "annotations": { "n": n.to_string() },
            "padding": padding,
        });
        let junk = Manifest::new(media::MANIFEST, junk.to_string().into_bytes());
        store.put_manifest(&junk, Placement::Child).await.unwrap();
        entries.push(serde_json::to_value(junk.referrer_descriptor("").unwrap()).unwrap());
    }
    // It is no less long for what the list says of it.
    for lying in [false, true] {
        for entry in entries.iter_mut().skip(1).filter(|_| lying) {
            entry["size"] = json!(10);
        }
        list(&image, &image.arm64, &entries).await;
        let counting = counting(&image);
        let tag = ImageRef::Tag(crate::fixture::TAG.to_owned());
        let keys = std::slice::from_ref(&public);
        let report = verify_image(&counting, &tag, keys, &VerifyOptions::default()).await.unwrap();
        assert!(report.is_good(), "{:?}", report.reasons());
        let bytes = counting.bytes.load(Relaxed);
        // Of lists that lie, what is under way is read too.
        assert!(bytes < if lying { 40 << 20 } else { 17 << 20 }, "{bytes}");
        let warnings: Vec<_> = report.warnings.iter().map(ToString::to_string).collect();
        let told =
            warnings.iter().find(|it| it.contains("of what refers to it were not looked at"));
        assert!(told.is_some_and(|it| it.contains("16 MiB")), "{warnings:?}");
    }
}

#[tokio::test]
async fn a_payload_that_many_layers_share_is_read_once() {
    let image = Image::new().await;
    let (secret, _) = key();
    image.attach(&[secret]).await;
    let store = image.store();
    let (_, layers) = signatures::signatures_of(&store, &image.index).await.unwrap().unwrap();
    let junk = crate::fixture::put(&store, &layers[0].media_type, vec![b'x'; 60_000]).await;
    for (copies, is_usable) in [(50, true), (300, false)] {
        let mut all = layers.clone();
        all.extend(vec![junk.clone(); copies]);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::MANIFEST,
            "config": { "mediaType": media::EMPTY, "digest": Digest::of("{}"), "size": 2 },
            "layers": all,
        });
        let manifest = Manifest::new(media::MANIFEST, manifest.to_string().into_bytes());
        let store = image.store();
        signatures::put_signatures(&store, &image.index, &manifest).await.unwrap();
        store.commit().await.unwrap();
        let counting = counting(&image);
        let tag = ImageRef::Tag(crate::fixture::TAG.to_owned());
        let found = evidence::gather(&counting, &tag, false).await.unwrap();
        match &found.subjects[0].sig {
            SigTag::Found(attached) => {
                assert!(is_usable);
                assert_eq!(attached.len(), copies + 1);
            }
            SigTag::Unusable(reason) => {
                assert!(
                    !is_usable && reason.contains("not looked at: more than 16 MiB"),
                    "{reason}"
                );
            }
            SigTag::Absent => panic!("it is there"),
        }
        // One of each platform's manifest, and of the index both or none.
        let blobs = counting.blobs.load(Relaxed);
        assert_eq!(blobs, if is_usable { 4 } else { 2 });
    }
}
