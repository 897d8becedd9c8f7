//! Bundles that cosign made, and what is made of them.

use serde_json::{Value, json};

use super::*;
use crate::keys::SecretKeyFile;
use crate::schemes::sigstore_bundle::{self, PREDICATE_TYPE, SigstoreBundle};
use crate::{KeyKind, Subject, schemes::Scheme as _};

const BY_P256: &str = include_str!("../../fixtures/cosign-3.1-p256.bundle.json");
const ANNOTATED: &str = include_str!("../../fixtures/cosign-3.1-p256-annotated.bundle.json");
const BY_RSA: &str = include_str!("../../fixtures/cosign-3.1-rsa.bundle.json");
const BY_P384: &str = include_str!("../../fixtures/cosign-3.1-p384.bundle.json");
const BY_ED25519: &str = include_str!("../../fixtures/cosign-3.1-ed25519.bundle.json");

/// The image that they are about.
const HEX: &str = "7af112925c5f8ebe0f4a4d5a38476adc973d2c4ba0d11c0dba11b65b1799581a";

fn image(digest: &str) -> Subject<'_> {
    Subject::Image { digest, reference: None }
}

fn public(name: &str) -> PublicKey {
    let file: &[u8] = match name {
        "p256" => include_bytes!("../../fixtures/cosign-3.1-p256.pub"),
        "p384" => include_bytes!("../../fixtures/cosign-3.1-p384.pub"),
        "rsa" => include_bytes!("../../fixtures/cosign-3.1-rsa.pub"),
        _ => include_bytes!("../../fixtures/cosign-2.5-ed25519.pub"),
    };
    PublicKey::parse(file).unwrap()
}

fn judge(text: &str, digest: &str, key: &PublicKey) -> Verdict {
    let bundle = Bundle::parse(text.as_bytes()).unwrap();
    match SigstoreBundle::of_bundle(&image(digest), &bundle) {
        Ok(signature) => SigstoreBundle.verify(&image(digest), &signature, key),
        Err(reason) => Verdict::Bad(reason),
    }
}

#[test]
fn what_cosign_signed_is_good_and_is_written_in_the_same_way() {
    let digest = format!("sha256:{HEX}");
    for (name, text) in [("p256", BY_P256), ("p256", ANNOTATED), ("rsa", BY_RSA)] {
        let bundle = Bundle::parse(text.as_bytes()).unwrap();
        assert_eq!(bundle.to_json().as_deref(), Some(text), "{name}");
        assert_eq!(bundle.key_fingerprint(), Some(public(name).fingerprint()));
        let statement = bundle.verify_statement(&public(name)).unwrap();
        assert_eq!(statement.predicate_type, PREDICATE_TYPE);
        assert!(statement.subject(HEX).is_some());
        assert_eq!(bundle.unverified_statement().unwrap(), statement);
        assert_eq!(judge(text, &digest, &public(name)), Verdict::Good, "{name}");
    }
}

#[test]
fn what_cosign_signs_and_refuses_is_said_to_be_so() {
    for (name, text, expected) in
        [("p384", BY_P384, "SHA-384"), ("ed25519", BY_ED25519, "Ed25519ph")]
    {
        let verdict = judge(text, &format!("sha256:{HEX}"), &public(name));
        let Verdict::Bad(Reason::HashNobodyReads { hash, .. }) = verdict else {
            panic!("{name}: {verdict:?}")
        };
        assert_eq!(hash, expected);
    }
}

#[test]
fn the_same_statement_as_cosigns_is_signed() {
    let file = include_bytes!("../../fixtures/cosign-3.1-p256.key");
    let SecretKeyFile::Sealed(sealed) = SecretKeyFile::parse(file).unwrap() else {
        panic!("not sealed")
    };
    let key = sealed.open(b"treelay").unwrap();
    let digest = format!("sha256:{HEX}");
    for (theirs, annotations) in
        [(BY_P256, json!({})), (ANNOTATED, json!({ "foo": "bar", "n": "2" }))]
    {
        let annotations = serde_json::from_value(annotations).unwrap();
        let signature =
            SigstoreBundle::sign_annotated(&image(&digest), &annotations, &key).unwrap();
        let ours = SigstoreBundle::to_bundle(&signature, key.public()).unwrap();
        // But for the signature, which is of random numbers with cosign.
        let without = |text: &str| {
            let mut bundle: Value = serde_json::from_str(text).unwrap();
            bundle["dsseEnvelope"]["signatures"][0]["sig"].take();
            bundle
        };
        assert_eq!(without(&ours), without(theirs));
        assert_eq!(judge(&ours, &digest, key.public()), Verdict::Good);
    }
}

#[test]
fn a_signature_is_for_one_image_by_one_key_and_no_attestation() {
    let digest = format!("sha256:{HEX}");
    let other = format!("sha256:{}", "00".repeat(32));
    let verdict = judge(BY_P256, &other, &public("p256"));
    assert!(matches!(verdict, Verdict::Bad(Reason::OtherSubject { .. })), "{verdict:?}");
    for other in ["p384", "rsa", "ed25519"] {
        let verdict = judge(BY_P256, &digest, &public(other));
        assert!(matches!(verdict, Verdict::Unknown(Reason::OtherKey { .. })), "{verdict:?}");
    }
    let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
    let statement = Statement::about(HEX, "https://spdx.dev/Document", json!({}));
    let attestation = Bundle::sign(&statement, &key).unwrap();
    assert_eq!(attestation.verify_statement(key.public()), Ok(statement));
    let verdict = judge(&attestation.to_json().unwrap(), &digest, key.public());
    assert!(matches!(verdict, Verdict::Bad(Reason::NotASignature { .. })), "{verdict:?}");
    let mut statement = Statement::about(HEX, sigstore_bundle::PREDICATE_TYPE, json!({}));
    statement.statement_type = crate::statement::OLD_TYPE.to_owned();
    let old = Bundle::sign(&statement, &key).unwrap();
    let Verdict::Bad(reason) = judge(&old.to_json().unwrap(), &digest, key.public()) else {
        panic!("a statement of the old type");
    };
    assert!(
        reason.to_string().contains("in a _type https://in-toto.io/Statement/v0.1"),
        "{reason}"
    );
    assert_eq!(sigstore_bundle::NAME, SigstoreBundle.name());
}

#[test]
fn no_bit_of_a_bundle_can_be_flipped() {
    let digest = format!("sha256:{HEX}");
    let key = public("p256");
    for at in 0..BY_P256.len() {
        let mut bytes = BY_P256.as_bytes().to_vec();
        bytes[at] ^= 1 << (at % 8);
        let Ok(bundle) = Bundle::parse(&bytes) else { continue };
        let verdict = match SigstoreBundle::of_bundle(&image(&digest), &bundle) {
            Ok(signature) => SigstoreBundle.verify(&image(&digest), &signature, &key),
            Err(reason) => Verdict::Bad(reason),
        };
        // The hint may be broken so that it names no key: then the signature itself counts.
        let broken_hint = bundle.key_fingerprint().is_none();
        assert!(!verdict.is_good() || broken_hint, "{at}: {}", String::from_utf8_lossy(&bytes));
    }
}

/// A bundle of a keyless signature, with a proof of everything; nothing in it is true.
fn keyless(media_type: &str) -> Value {
    let hash = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    json!({
        "mediaType": media_type,
        "verificationMaterial": {
            "certificate": { "rawBytes": "MAA=" },
            "tlogEntries": [{
                "logIndex": "7",
                "logId": { "keyId": hash },
                "kindVersion": { "kind": "dsse", "version": "0.0.1" },
                "integratedTime": "1700000000",
                "inclusionPromise": { "signedEntryTimestamp": "AAAA" },
                "inclusionProof": {
                    "logIndex": "7", "rootHash": hash, "treeSize": "8", "hashes": [hash, hash],
                    "checkpoint": { "envelope": "log\n8\n\n" },
                },
                "canonicalizedBody": "e30=",
            }],
            "timestampVerificationData": { "rfc3161Timestamps": [{ "signedTimestamp": "MAA=" }] },
        },
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": hash },
            "signature": "AAAA",
        },
    })
}

fn parse(value: &Value) -> Result<Bundle, BundleError> {
    Bundle::parse(value.to_string().as_bytes())
}

#[test]
fn every_version_is_read_in_both_ways_of_writing_it() {
    for (media_type, version) in [
        ("application/vnd.dev.sigstore.bundle+json;version=0.1", BundleVersion::V0_1),
        ("application/vnd.dev.sigstore.bundle+json;version=0.2", BundleVersion::V0_2),
        ("application/vnd.dev.sigstore.bundle+json;version=0.3", BundleVersion::V0_3),
        ("application/vnd.dev.sigstore.bundle.v0.1+json", BundleVersion::V0_1),
        ("application/vnd.dev.sigstore.bundle.v0.2+json", BundleVersion::V0_2),
        ("application/vnd.dev.sigstore.bundle.v0.3+json", BundleVersion::V0_3),
    ] {
        let bundle = parse(&keyless(media_type)).unwrap();
        assert_eq!(bundle.version, version, "{media_type}");
        let entry = &bundle.log_entries[0];
        assert_eq!((entry.log_index, entry.integrated_time), (7, 1_700_000_000));
        assert_eq!(entry.inclusion_proof.as_ref().unwrap().hashes.len(), 2);
        assert_eq!(bundle.timestamps, [b"\x30\x00"]);
        assert_eq!(bundle.material, Material::Certificate(b"\x30\x00".to_vec()));
        assert!(matches!(bundle.content, Content::Message(_)));
        // It is kept as it was read.
        assert_eq!(bundle.to_json(), None);
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        assert_eq!(bundle.verify_statement(key.public()), Err(Verdict::Bad(Reason::NoStatement)));
    }
    for media_type in [
        "",
        "application/json",
        "application/vnd.dev.sigstore.bundle+json;version=0.4",
        "application/vnd.dev.sigstore.bundle.v0.4+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json;version=0.3",
        "application/vnd.dev.sigstore.bundle+json; version=0.3",
        "Application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle.v00.3+json",
    ] {
        let refused = parse(&keyless(media_type)).unwrap_err();
        assert!(matches!(refused, BundleError::MediaType { .. }), "{media_type}: {refused}");
    }
}

#[test]
fn each_version_has_its_rules() {
    let of = |version: &str| {
        keyless(&format!("application/vnd.dev.sigstore.bundle+json;version={version}"))
    };
    let rule = |value: &Value| match parse(value) {
        Ok(_) => None,
        Err(BundleError::Rule { rule, .. }) => Some(rule),
        Err(other) => panic!("{other}"),
    };
    let chain = json!({ "certificates": [{ "rawBytes": "MAA=" }, { "rawBytes": "MAA=" }] });
    for (version, change, expected) in [
        ("0.1", "promise", Some("promise")),
        ("0.2", "promise", None),
        ("0.3", "promise", None),
        ("0.1", "proof", None),
        ("0.2", "proof", Some("Proof")),
        ("0.3", "proof", Some("Proof")),
        ("0.1", "checkpoint", None),
        ("0.2", "checkpoint", Some("checkpoint")),
        ("0.1", "chain", None),
        ("0.2", "chain", None),
        ("0.3", "chain", Some("x509CertificateChain")),
    ] {
        let mut bundle = of(version);
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let entry = material["tlogEntries"][0].as_object_mut().unwrap();
        match change {
            "promise" => drop(entry.remove("inclusionPromise")),
            "proof" => drop(entry.remove("inclusionProof")),
            "checkpoint" => entry["inclusionProof"]["checkpoint"] = Value::Null,
            _ => {
                material.remove("certificate");
                material.insert("x509CertificateChain".to_owned(), chain.clone());
            }
        }
        let found = rule(&bundle);
        let fits = match (found, expected) {
            (None, None) => true,
            (Some(rule), Some(word)) => rule.to_lowercase().contains(&word.to_lowercase()),
            _ => false,
        };
        assert!(fits, "{version} {change}: {found:?}");
    }
}

#[test]
fn nothing_ambiguous_unknown_or_absurd_is_read() {
    let good = keyless("application/vnd.dev.sigstore.bundle.v0.3+json");
    let text = good.to_string();
    let change = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Bundle::parse(text.replacen(from, to, 1).as_bytes())
    };
    for (from, to) in [
        ("{\"mediaType\"", "{\"x\":1,\"mediaType\""),
        ("{\"mediaType\"", "{\"MediaType\":\"\",\"mediaType\""),
        ("{\"mediaType\"", "{\"mediaType\":\"\",\"mediaType\""),
        ("\"messageSignature\"", "\"dsseEnvelope\":{},\"messageSignature\""),
        ("\"messageSignature\"", "\"messagesignature\""),
        ("\"messageSignature\"", "\"message_signature\""),
        ("\"certificate\":", "\"publicKey\":{},\"certificate\":"),
        ("\"certificate\":", "\"Certificate\":"),
        ("\"rawBytes\"", "\"rawbytes\""),
        ("\"logIndex\":\"7\"", "\"logIndex\":\"-7\""),
        ("\"logIndex\":\"7\"", "\"logIndex\":7.5"),
        ("\"logIndex\":\"7\"", "\"logIndex\":\"9223372036854775808\""),
        ("\"algorithm\":\"SHA2_256\"", "\"algorithm\":\"SHA2_512\""),
        ("\"algorithm\":\"SHA2_256\"", "\"algorithm\":\"MD5\""),
        ("\"signature\":\"AAAA\"", "\"signature\":\"AAA A\""),
        ("\"signedTimestamp\"", "\"other\""),
        ("\"keyId\"", "\"keyid\""),
        ("\"kind\":\"dsse\"", "\"kind\":1"),
        ("\"hashes\":[\"", "\"hashes\":[\"AAAA\",\""),
    ] {
        assert!(change(from, to).is_err(), "{from} {to}");
    }
    // Null is what is left out.
    assert!(change("\"certificate\":", "\"publicKey\":null,\"certificate\":").is_ok());

    let long = |path: &str, many: usize| {
        let mut bundle = good.clone();
        let list = bundle.pointer_mut(path).unwrap().as_array_mut().unwrap();
        *list = vec![list[0].clone(); many];
        parse(&bundle).is_ok()
    };
    for (path, most) in [
        ("/verificationMaterial/tlogEntries", 32),
        ("/verificationMaterial/timestampVerificationData/rfc3161Timestamps", 32),
        ("/verificationMaterial/tlogEntries/0/inclusionProof/hashes", 64),
    ] {
        assert!(long(path, most), "{path}");
        assert!(!long(path, most + 1), "{path}");
    }
    let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
    let statement = Statement::about(HEX, PREDICATE_TYPE, json!({}));
    let mut bundle = Bundle::sign(&statement, &key).unwrap();
    bundle.material = Material::PublicKey { hint: "x".repeat(2000) };
    assert!(Bundle::parse(bundle.to_json().unwrap().as_bytes()).is_err());
    // Other hints are allowed, and say nothing about the key.
    bundle.material = Material::PublicKey { hint: "the key in the vault".to_owned() };
    let bundle = Bundle::parse(bundle.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(bundle.verify_statement(key.public()), Ok(statement));
}
