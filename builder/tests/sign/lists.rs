//! Lists of what refers to an image: what they say wrongly, how long they are, what else is in them.

use std::fs;

use serde_json::{Value, json};
use treelay::image_store::{ImageStore, Placement, media};
use treelay::sign::RequiredForm;
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
