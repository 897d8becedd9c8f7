//! Bundles: what is and is not taken for a signature in that form, and how the two forms go
//! together.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use treelay::image_store::layout::Layout;
use treelay::image_store::{
    Descriptor, ImageRef, ImageStore, Manifest, Placement, media, referrers, signatures,
};
use treelay::sign::{
    AttachOptions, FormState, ImageReport, Judgement, RequiredForm, SubjectReport, VerifyOptions,
    attach_with, verify_image,
};
use treelay_recipes::Digest;
use treelay_signing::bundle::MEDIA_TYPE;
use treelay_signing::dsse::{Envelope, EnvelopeSignature};
use treelay_signing::schemes::sigstore_bundle::PREDICATE_TYPE;
use treelay_signing::statement::PAYLOAD_TYPE;
use treelay_signing::{Bundle, PublicKey, SecretKey, Statement};

use crate::fixture::{Image, REFERENCE, key, put};

const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const SPDX: &str = "https://spdx.dev/Document";

/// The subject of a referrer.
async fn described(store: &Layout, digest: &Digest) -> Descriptor {
    store.manifest(digest).await.unwrap().descriptor()
}

/// A manifest that refers to a subject with a bundle, changed before it is written.
async fn referrer(
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
async fn add(image: &Image, subject: &Digest, bundle: &str, change: impl FnOnce(&mut Value)) {
    let store = image.store();
    let subject = described(&store, subject).await;
    let manifest = referrer(&store, &subject, bundle, change).await;
    referrers::put_all(&store, &subject, &[manifest]).await.unwrap();
    store.commit().await.unwrap();
}

/// Lists these descriptors as what refers to a subject, and nothing else.
async fn list(image: &Image, subject: &Digest, listed: &[Value]) {
    let store = image.store();
    let index = json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": listed });
    let index = Manifest::new(media::INDEX, index.to_string().into_bytes());
    let (tag, annotations) = (referrers::fallback_tag(subject), BTreeMap::new());
    let placement = Placement::Tag { tag: &tag, annotations: &annotations };
    store.put_manifest(&index, placement).await.unwrap();
    store.commit().await.unwrap();
}

/// What is listed beside a subject, as JSON.
async fn listed(image: &Image, subject: &Digest) -> Vec<Value> {
    let listing = referrers::list(&image.store(), subject).await.unwrap();
    listing.referrers.iter().map(|one| serde_json::to_value(one).unwrap()).collect()
}

/// The bundle that is listed in this place beside a subject.
async fn bundle(image: &Image, subject: &Digest, at: usize) -> Bundle {
    let digest = listed(image, subject).await[at]["digest"].as_str().unwrap().to_owned();
    let manifest: Value =
        serde_json::from_slice(&fs::read(image.blob(&digest.parse().unwrap())).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    Bundle::parse(&fs::read(image.blob(&layer.parse().unwrap())).unwrap()).unwrap()
}

fn remove_tag(image: &Image, tag: &str) {
    image.edit_index(|entries| {
        entries.retain(|e| e["annotations"]["org.opencontainers.image.ref.name"] != tag);
    });
}

fn strip_sig(image: &Image, subject: &Digest) {
    remove_tag(image, &signatures::signature_tag(subject));
}

fn strip_bundles(image: &Image, subject: &Digest) {
    remove_tag(image, &referrers::fallback_tag(subject));
}

async fn verify(image: &Image, key: &PublicKey, required_form: RequiredForm) -> ImageReport {
    let options = VerifyOptions { required_form, ..VerifyOptions::default() };
    image.verify_with(std::slice::from_ref(key), &options).await
}

/// The kind of the refusal of a subject's bundles, and its message.
fn bundle_refusal(subject: &SubjectReport) -> (&'static str, String) {
    let refusal = subject.forms.bundle.refusal.as_ref();
    refusal.map_or(("", String::new()), |refusal| (refusal.kind(), refusal.to_string()))
}

/// A signed image whose arm64 manifest has no bundle, and the bundle it had.
async fn without_bundle(secret: &SecretKey) -> (Image, Bundle) {
    let image = Image::new().await;
    image.attach(std::slice::from_ref(secret)).await;
    let had = bundle(&image, &image.arm64, 0).await;
    strip_bundles(&image, &image.arm64);
    (image, had)
}

/// The envelope of a bundle, changed.
fn changed(bundle: &Bundle, change: impl FnOnce(&mut Envelope)) -> String {
    let mut bundle = bundle.clone();
    let treelay_signing::bundle::Content::Envelope(envelope) = &mut bundle.content else {
        panic!("no envelope")
    };
    change(envelope);
    bundle.to_json().unwrap()
}

#[tokio::test]
async fn both_forms_are_on_every_manifest() {
    let image = Image::new().await;
    let (secret, public) = key();
    let report = image.attach(&[secret]).await;
    for (signed, digest) in report.subjects.iter().zip(image.subjects()) {
        let listed = listed(&image, &digest).await;
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0]["digest"], signed.bundles[0].to_string());
        // The true type and annotations: buildx, for one, looks there.
        assert_eq!(listed[0]["artifactType"], MEDIA_TYPE);
        assert_eq!(listed[0]["annotations"][PREDICATE], PREDICATE_TYPE);
        assert_eq!(listed[0]["annotations"]["dev.sigstore.bundle.content"], "dsse-envelope");
        // The fixture's configs say no time.
        let created = &listed[0]["annotations"]["org.opencontainers.image.created"];
        assert_eq!(created, "1970-01-01T00:00:00Z");
    }
    let report = verify(&image, &public, RequiredForm::Both).await;
    assert!(report.is_good(), "{:?}", report.reasons());
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    for subject in &report.subjects {
        let schemes: Vec<_> = subject.signatures.iter().map(|one| one.scheme).collect();
        assert_eq!(schemes, ["simplesigning", "sigstore-bundle"]);
        assert!(subject.signatures.iter().all(|one| one.key == Some(public.fingerprint())));
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["subjects"][0]["forms"]["bundle"], json!({ "state": "good" }));
}

#[tokio::test]
async fn annotations_are_signed_in_both_forms_and_are_another_claim() {
    let image = Image::new().await;
    let (secret, public) = key();
    let keys = [secret];
    let annotations = BTreeMap::from([("build".to_owned(), "<7>".to_owned())]);
    let options = AttachOptions { reference: REFERENCE, annotations: &annotations };
    for added in [6, 0] {
        let store = image.store();
        let report = attach_with(&store, &image.index, options, &keys).await.unwrap();
        store.commit().await.unwrap();
        assert_eq!(report.added(), added);
    }
    assert_eq!(image.attach(&keys).await.added(), 6);
    let report = verify(&image, &public, RequiredForm::Both).await;
    assert!(report.is_good(), "{:?}", report.reasons());
    for subject in report.subjects {
        let found: Vec<_> = subject.signatures.into_iter().map(|one| one.annotations).collect();
        let none = BTreeMap::new;
        assert_eq!(found, [annotations.clone(), none(), annotations.clone(), none()]);
    }
}

#[tokio::test]
async fn stripped_forms_are_told_apart() {
    use RequiredForm::{Any, Both, Bundle, Sig};
    let (secret, public) = key();
    // What is taken from which subjects, and for each requirement whether the image is good.
    let one = |image: &Image| vec![image.arm64];
    let all = |image: &Image| image.subjects().to_vec();
    type Which = fn(&Image) -> Vec<Digest>;
    let none: Which = |_| Vec::new();
    let cases: [(Which, Which, [bool; 4]); 7] = [
        (none, none, [true, true, true, true]),
        // Everywhere: so cosign 3, or cosign 2, would have signed it.
        (all, none, [true, false, true, false]),
        (none, all, [true, true, false, false]),
        // From one alone: that is no way to sign.
        (one, none, [false, false, true, false]),
        (none, one, [false, true, false, false]),
        (one, one, [false, false, false, false]),
        (all, all, [false, false, false, false]),
    ];
    for (n, (sigs, bundles, expected)) in cases.into_iter().enumerate() {
        let image = Image::new().await;
        image.attach(std::slice::from_ref(&secret)).await;
        for subject in sigs(&image) {
            strip_sig(&image, &subject);
        }
        for subject in bundles(&image) {
            strip_bundles(&image, &subject);
        }
        for (required, good) in [Any, Sig, Bundle, Both].into_iter().zip(expected) {
            let report = verify(&image, &public, required).await;
            assert_eq!(report.is_good(), good, "{n} {required:?} {:?}", report.reasons());
            let arm64 = &report.subjects[2];
            let states = [arm64.forms.sig.state(), arm64.forms.bundle.state()];
            let state = |stripped: Vec<Digest>| match stripped.contains(&image.arm64) {
                true => FormState::Absent,
                false => FormState::Good,
            };
            assert_eq!(states, [state(sigs(&image)), state(bundles(&image))], "{n}");
            let told = report.reasons().len() + report.warnings.len();
            assert_eq!(told == 0, n == 0, "{n} {required:?}: silent");
        }
    }
}

#[tokio::test]
async fn a_bundle_alone_proves_no_name() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    for subject in image.subjects() {
        strip_sig(&image, &subject);
    }
    for (name_must_be_signed, good) in [(false, true), (true, false)] {
        let expected_reference = Some("registry.example/other:1");
        let options =
            VerifyOptions { expected_reference, name_must_be_signed, ..VerifyOptions::default() };
        let report = image.verify_with(std::slice::from_ref(&public), &options).await;
        assert_eq!(report.is_good(), good, "{:?}", report.reasons());
        if !good {
            let refusal = report.subjects[0].refusal.as_ref().unwrap();
            assert_eq!(refusal.kind(), "name-not-signed");
        }
    }
}

#[tokio::test]
async fn nothing_but_a_signature_by_the_key_is_one() {
    let ((secret, public), (other, _)) = (key(), key());
    let (image, good) = without_bundle(&secret).await;
    let hex = image.arm64.hex();
    let sign = |statement: &Statement, key: &SecretKey| {
        Bundle::sign(statement, key).unwrap().to_json().unwrap()
    };
    let about = |digest: &Digest, kind: &str| Statement::about(&digest.hex(), kind, json!({}));
    let raw = |payload: &str| {
        let envelope = Envelope::sign(PAYLOAD_TYPE, payload.into(), &secret).unwrap();
        Bundle::by_key(envelope, &public).to_json().unwrap()
    };
    let statement = String::from_utf8(about(&image.arm64, PREDICATE_TYPE).to_bytes()).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(statement.contains(from), "{from}");
        raw(&statement.replacen(from, to, 1))
    };
    let flipped = changed(&good, |envelope| envelope.signatures[0].sig[20] ^= 1);
    let twice = changed(&good, |envelope| {
        let EnvelopeSignature { sig, keyid } = envelope.signatures[0].clone();
        envelope.signatures.push(EnvelopeSignature { sig, keyid });
    });
    let text = good.to_json().unwrap();
    let json_type = Envelope::sign("application/json", statement.clone().into(), &secret).unwrap();
    let json_type = Bundle::by_key(json_type, &public);
    for (what, bundle, kind, says) in [
        (
            "another key",
            sign(&about(&image.arm64, PREDICATE_TYPE), &other),
            "other-keys",
            "not made",
        ),
        (
            "another digest",
            sign(&about(&image.amd64, PREDICATE_TYPE), &secret),
            "other-image",
            "for sha256:",
        ),
        ("an attestation", sign(&about(&image.arm64, SPDX), &secret), "attestation", SPDX),
        ("a flipped bit", flipped, "malformed", "does not fit"),
        ("no signature", changed(&good, |it| it.signatures.clear()), "malformed", "0 signatures"),
        ("two signatures", twice, "malformed", "2 signatures"),
        ("another payload type", json_type.to_json().unwrap(), "malformed", "application/json"),
        (
            "a swapped payload type",
            changed(&json_type, |it| it.payload_type = PAYLOAD_TYPE.to_owned()),
            "malformed",
            "does not fit",
        ),
        (
            "another payload",
            changed(&good, |it| it.payload.push(b' ')),
            "malformed",
            "does not fit",
        ),
        ("an unknown version", text.replace("v0.3+json", "v0.9+json"), "malformed", "media type"),
        ("junk", "junk".to_owned(), "malformed", "not proper JSON"),
        (
            "two of one name",
            text.replacen('{', "{\"mediaType\":\"\",", 1),
            "malformed",
            "two values",
        ),
        ("another case", text.replacen('{', "{\"MediaType\":\"\",", 1), "malformed", "no place"),
        ("more", text.replacen('{', "{\"more\":1,", 1), "malformed", "no place"),
        (
            "a statement with two subjects lists",
            edit("\"subject\":", "\"subject\":[],\"subject\":"),
            "malformed",
            "two values",
        ),
        (
            "a statement in another case",
            edit("\"subject\":", "\"Subject\":[],\"subject\":"),
            "malformed",
            "no place",
        ),
        (
            "no subject",
            edit(&format!("{{\"digest\":{{\"sha256\":\"{hex}\"}}}}"), ""),
            "malformed",
            "subject is missing",
        ),
        ("an old statement", edit("Statement/v1", "Statement/v0.1"), "attestation", "statement"),
    ] {
        for also_good in [false, true] {
            strip_bundles(&image, &image.arm64);
            // The junk first: it must not hide what comes after it.
            add(&image, &image.arm64, &bundle, |_| {}).await;
            if also_good {
                add(&image, &image.arm64, &text, |_| {}).await;
            }
            let report = verify(&image, &public, RequiredForm::Both).await;
            assert_eq!(report.is_good(), also_good, "{what}: {:?}", report.reasons());
            let arm64 = &report.subjects[2];
            let found = &arm64.signatures[1];
            assert_ne!(found.verdict, Judgement::Good, "{what}");
            assert!(found.reason.is_some(), "{what}");
            if !also_good {
                let (found, message) = bundle_refusal(arm64);
                assert_eq!(found, kind, "{what}: {message}");
                assert!(message.contains(says), "{what}: {message}");
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_of_a_bundle_is_what_it_should_be() {
    let (secret, public) = key();
    let (image, good) = without_bundle(&secret).await;
    let (store, text) = (image.store(), good.to_json().unwrap());
    let subject = described(&store, &image.arm64).await;
    let other = described(&store, &image.amd64).await;
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 7] = [
        ("size of the subject", |it| it["subject"]["size"] = json!(7), "its subject is"),
        (
            "type of the subject",
            |it| it["subject"]["mediaType"] = json!(media::INDEX),
            "its subject is",
        ),
        ("no subject", |it| it["subject"] = Value::Null, "has no subject"),
        (
            "unknown type",
            |it| it["artifactType"] = json!("application/vnd.dev.sigstore.bundle.v0.9+json"),
            "artifact type",
        ),
        (
            "type of the layer",
            |it| it["layers"][0]["mediaType"] = json!("application/json"),
            "media type",
        ),
        (
            "two layers",
            |it| {
                let one = it["layers"][0].clone();
                it["layers"] = json!([one, one])
            },
            "2 layers",
        ),
        ("too long", |it| it["annotations"]["x"] = json!("x".repeat(4 << 20)), "4194304"),
    ];
    for (what, change, says) in changes {
        let manifest = referrer(&store, &subject, &text, change).await;
        // Some of these no store would take: put there by hand.
        fs::write(image.blob(&manifest.digest()), manifest.bytes()).unwrap();
        let mut entry = serde_json::to_value(manifest.descriptor()).unwrap();
        entry["artifactType"] = json!(MEDIA_TYPE);
        if what == "unknown type" {
            entry["artifactType"] = json!("application/vnd.dev.sigstore.bundle.v0.9+json");
        }
        list(&image, &image.arm64, &[entry]).await;
        let report = verify(&image, &public, RequiredForm::Both).await;
        let (kind, message) = bundle_refusal(&report.subjects[2]);
        assert_eq!(kind, "malformed", "{what}: {message}");
        assert!(message.contains(says), "{what}: {message}");
        // By default too: of the others the bundles are good.
        assert!(!verify(&image, &public, RequiredForm::Any).await.is_good(), "{what}");
    }
    // Another's bundle in the list of this one.
    let moved = referrer(&store, &other, &text, |_| {}).await;
    store.put_manifest(&moved, Placement::Child).await.unwrap();
    let entry = serde_json::to_value(moved.referrer_descriptor("").unwrap()).unwrap();
    list(&image, &image.arm64, &[entry]).await;
    let report = verify(&image, &public, RequiredForm::Both).await;
    let (_, message) = bundle_refusal(&report.subjects[2]);
    assert!(message.contains("its subject is"), "{message}");
}

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
async fn attestations_are_no_signatures_and_are_listed() {
    let (secret, public) = key();
    let (image, good) = without_bundle(&secret).await;
    let statement = Statement::about(&image.arm64.hex(), SPDX, json!({}));
    let sbom = Bundle::sign(&statement, &secret).unwrap().to_json().unwrap();
    add(&image, &image.arm64, &sbom, |it| it["annotations"][PREDICATE] = json!(SPDX)).await;
    // Too long for a signature.
    let long = Statement::about(&image.arm64.hex(), SPDX, json!({ "x": "x".repeat(200_000) }));
    let long = Bundle::sign(&long, &secret).unwrap().to_json().unwrap();
    add(&image, &image.arm64, &long, |it| it["annotations"][PREDICATE] = json!(SPDX)).await;
    let report = verify(&image, &public, RequiredForm::Both).await;
    let (kind, message) = bundle_refusal(&report.subjects[2]);
    assert_eq!(kind, "no-bundle");
    assert!(message.contains("cosign 3 looks at"), "{message}");
    let kinds = report.subjects[2].attestations.iter().map(|one| one.predicate_type.as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), [SPDX, SPDX]);

    // A long one that poses as a signature is one that cannot be used.
    strip_bundles(&image, &image.arm64);
    add(&image, &image.arm64, &long, |_| {}).await;
    let report = verify(&image, &public, RequiredForm::Both).await;
    let (kind, message) = bundle_refusal(&report.subjects[2]);
    assert_eq!(kind, "malformed");
    assert!(message.contains("131072"), "{message}");

    strip_bundles(&image, &image.arm64);
    add(&image, &image.arm64, &sbom, |it| it["annotations"][PREDICATE] = json!(SPDX)).await;
    add(&image, &image.arm64, &good.to_json().unwrap(), |_| {}).await;
    let report = verify(&image, &public, RequiredForm::Both).await;
    assert!(report.is_good(), "{:?}", report.reasons());
    assert_eq!(report.subjects[2].attestations.len(), 1);
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

#[tokio::test]
async fn a_child_of_another_arch_is_not_what_was_signed() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    let store = image.store();
    let mut index: Value =
        serde_json::from_slice(store.manifest(&image.index).await.unwrap().bytes()).unwrap();
    let amd64 = index["manifests"][0].clone();
    for name in ["digest", "size"] {
        index["manifests"][1][name] = amd64[name].clone();
    }
    let swapped = Manifest::new(media::INDEX, index.to_string().into_bytes());
    let annotations = BTreeMap::new();
    let placement = Placement::Tag { tag: crate::fixture::TAG, annotations: &annotations };
    store.put_manifest(&swapped, placement).await.unwrap();
    store.commit().await.unwrap();
    let report = verify(&image, &public, RequiredForm::Any).await;
    assert!(!report.is_good());
    assert_eq!(report.subjects[0].refusal.as_ref().unwrap().kind(), "no-signature");
    // With the signatures of the right index put beside the wrong one.
    let of_index = signatures::signatures_of(&store, &image.index).await.unwrap().unwrap().0;
    signatures::put_signatures(&store, &swapped.digest(), &of_index).await.unwrap();
    store.commit().await.unwrap();
    let theirs = bundle(&image, &image.index, 0).await.to_json().unwrap();
    add(&image, &swapped.digest(), &theirs, |_| {}).await;
    let report = verify(&image, &public, RequiredForm::Any).await;
    let forms = &report.subjects[0].forms;
    for form in [&forms.sig, &forms.bundle] {
        assert_eq!(form.refusal.as_ref().unwrap().kind(), "other-image");
    }
}

#[tokio::test]
async fn a_tag_is_resolved_once() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    let store = Moving { inner: image.store(), to: image.amd64, asked: Default::default() };
    let (tag, keys) = (ImageRef::Tag(crate::fixture::TAG.to_owned()), [public]);
    let options = VerifyOptions { check_blobs: true, ..VerifyOptions::default() };
    let report = verify_image(&store, &tag, &keys, &options).await.unwrap();
    assert!(report.is_good(), "{:?}", report.reasons());
    assert_eq!(report.image, image.index);
    assert_eq!(store.asked.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// A store whose tag names something else as soon as it was asked for.
struct Moving {
    inner: Layout,
    to: Digest,
    asked: std::sync::atomic::AtomicUsize,
}

#[async_trait::async_trait]
impl ImageStore for Moving {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn resolve(&self, image: &ImageRef) -> treelay::image_store::Result<Option<Descriptor>> {
        if *image != ImageRef::Tag(crate::fixture::TAG.to_owned()) {
            return self.inner.resolve(image).await;
        }
        match self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => self.inner.resolve(image).await,
            _ => self.inner.resolve(&ImageRef::Digest(self.to)).await,
        }
    }

    async fn manifest(&self, digest: &Digest) -> treelay::image_store::Result<Manifest> {
        self.inner.manifest(digest).await
    }

    async fn referrers(
        &self,
        subject: &Digest,
    ) -> treelay::image_store::Result<treelay::image_store::Listing> {
        self.inner.referrers(subject).await
    }

    async fn put_referrers(
        &self,
        subject: &Digest,
        manifests: &[Manifest],
    ) -> treelay::image_store::Result<()> {
        self.inner.put_referrers(subject, manifests).await
    }

    async fn put_manifest(
        &self,
        manifest: &Manifest,
        placement: Placement<'_>,
    ) -> treelay::image_store::Result<Descriptor> {
        self.inner.put_manifest(manifest, placement).await
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> treelay::image_store::Result<bool> {
        self.inner.has_blob(digest, size).await
    }

    async fn blob(
        &self,
        digest: &Digest,
        size: u64,
    ) -> treelay::image_store::Result<treelay::image_store::BlobStream> {
        self.inner.blob(digest, size).await
    }

    async fn put_blob(
        &self,
        source: &treelay::image_store::BlobSource<'_>,
    ) -> treelay::image_store::Result<treelay::progress::Outcome> {
        self.inner.put_blob(source).await
    }

    async fn tags(&self) -> treelay::image_store::Result<Vec<String>> {
        self.inner.tags().await
    }

    async fn commit(&self) -> treelay::image_store::Result<()> {
        self.inner.commit().await
    }
}
