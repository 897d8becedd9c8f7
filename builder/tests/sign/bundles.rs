//! Bundles: what is and is not taken for a signature in that form.

use std::fs;

use serde_json::{Value, json};
use treelay::image_store::{ImageStore, Placement, media};
use treelay::sign::{Judgement, RequiredForm};
use treelay_recipes::Digest;
use treelay_signing::bundle::MEDIA_TYPE;
use treelay_signing::dsse::{Envelope, EnvelopeSignature};
use treelay_signing::schemes::sigstore_bundle::PREDICATE_TYPE;
use treelay_signing::statement::PAYLOAD_TYPE;
use treelay_signing::{Bundle, SecretKey, Statement};

use crate::beside::{
    PREDICATE, SPDX, add, bundle_refusal, changed, described, list, referrer, strip_bundles,
    verify, without_bundle,
};
use crate::fixture::key;

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
            "must be spelled subject",
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
