//! Signatures by an identity, in both forms, judged by the same rules as those by keys.

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use treelay::sign::{
    BOTH_FORMS, FORMS_ANNOTATION, Form, FormReport, Identity, ImageReport, Judgement, RequiredForm,
    SignatureReport, VerifyOptions,
};
use treelay_recipes::Digest;
use treelay_signing::keyless::TrustedRoot;
use treelay_signing::schemes::sigstore_bundle::PREDICATE_TYPE;
use treelay_signing::schemes::simplesigning::{Payload, SIGNATURE_ANNOTATION};
use treelay_signing::{PublicKey, Statement};

use crate::beside::{SPDX, add, add_sig, strip_bundles, strip_sig};
use crate::fixture::{Image, REFERENCE, key};
use crate::world::{IDENTITY, ISSUER, World, policy};

/// What is signed of a subject, and how.
#[derive(Clone, Copy)]
struct Claim<'a> {
    /// Of what it is.
    of: &'a Digest,
    reference: &'a str,
    predicate_type: &'a str,
    /// What it says of forms.
    forms: Option<&'a str>,
}

impl<'a> Claim<'a> {
    fn of(of: &'a Digest) -> Self {
        Self { of, reference: REFERENCE, predicate_type: PREDICATE_TYPE, forms: None }
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        self.forms
            .map(|forms| (FORMS_ANNOTATION.to_owned(), forms.to_owned()))
            .into_iter()
            .collect()
    }

    /// A bundle; its JSON can still be changed.
    fn bundle(&self) -> Value {
        let mut statement = Statement::about(&self.of.hex(), self.predicate_type, json!({}));
        let annotations = self.annotations().into_iter();
        statement.subjects[0].annotations =
            Some(annotations.map(|(name, text)| (name, text.into())).collect());
        let content = statement.to_bytes();
        World { content, entry: ("dsse", "0.0.1"), ..World::new() }.bundle()
    }

    /// Payload and annotations of a layer of the `.sig`.
    fn sig(&self) -> (Vec<u8>, BTreeMap<String, String>) {
        let payload = Payload::new(self.reference, &self.of.to_string()).unwrap();
        let payload = payload.annotated(&self.annotations()).unwrap().to_bytes();
        let world = World { content: payload.clone(), ..World::new() };
        let (signature, certificate, chain, bundle) = world.annotations();
        let beside = [
            (SIGNATURE_ANNOTATION, BASE64.encode(signature)),
            ("dev.sigstore.cosign/certificate", certificate),
            ("dev.sigstore.cosign/chain", chain),
            ("dev.sigstore.cosign/bundle", bundle),
        ];
        (payload, beside.into_iter().map(|(name, text)| (name.to_owned(), text)).collect())
    }

    /// Puts it beside a subject.
    async fn put(&self, image: &Image, subject: &Digest, form: Form) {
        match form {
            Form::Sig => {
                let (payload, annotations) = self.sig();
                add_sig(image, subject, &payload, annotations).await;
            }
            Form::Bundle => add(image, subject, &self.bundle().to_string(), |_| {}).await,
        }
    }
}

fn strip(image: &Image, subject: &Digest, form: Form) {
    match form {
        Form::Sig => strip_sig(image, subject),
        Form::Bundle => strip_bundles(image, subject),
    }
}

/// An image of which every manifest is signed in these forms.
async fn signed(forms: &[Form]) -> Image {
    let image = Image::new().await;
    for subject in image.subjects() {
        for form in forms {
            Claim::of(&subject).put(&image, &subject, *form).await;
        }
    }
    image
}

fn identity(who: &str, issuer: &str) -> Identity {
    Identity { policy: policy(who, issuer), root: World::new().root() }
}

async fn verify_by(
    image: &Image,
    identity: Option<&Identity>,
    keys: &[PublicKey],
    required_form: RequiredForm,
) -> ImageReport {
    let options = VerifyOptions { identity, required_form, ..VerifyOptions::default() };
    image.verify_with(keys, &options).await
}

async fn verify(image: &Image, required_form: RequiredForm) -> ImageReport {
    verify_by(image, Some(&identity(IDENTITY, ISSUER)), &[], required_form).await
}

/// The kind of what is wrong with a form of the arm64 image, and its message.
fn refusal(report: &ImageReport, form: Form) -> (&'static str, String) {
    let FormReport { refusal } = report.subjects[2].forms.of(form);
    refusal.as_ref().map_or(("", String::new()), |it| (it.kind(), it.to_string()))
}

/// The only signature of the arm64 image.
fn only(report: &ImageReport) -> &SignatureReport {
    let [signature] = report.subjects[2].signatures.as_slice() else {
        panic!("{:?}", report.subjects[2].signatures)
    };
    signature
}

#[tokio::test]
async fn an_identity_signs_in_one_form_or_both() {
    for form in Form::ALL {
        let image = signed(&[form]).await;
        let report = verify(&image, RequiredForm::Any).await;
        assert!(report.is_good(), "{:?}", report.reasons());
        assert_eq!(report.warnings.len(), 3, "the other form: {:?}", report.warnings);
        assert!(!verify(&image, RequiredForm::Both).await.is_good());
        let signer = only(&report).signer.as_ref().unwrap();
        assert_eq!((signer.identity.as_str(), signer.issuer.as_str()), (IDENTITY, ISSUER));
        let report = serde_json::to_value(only(&report)).unwrap();
        assert_eq!(report["signer"]["times"][0]["time"], "2023-11-14T22:13:20Z", "{report}");
        assert_eq!(report["signer"]["log"][0]["index"], 1, "{report}");
        assert_eq!(report["key"], Value::Null);
        let scheme = ["simplesigning", "sigstore-bundle"][usize::from(form == Form::Bundle)];
        assert_eq!(report["scheme"], scheme);
    }
    let image = signed(&Form::ALL).await;
    let report = verify(&image, RequiredForm::Both).await;
    assert!(report.is_good(), "{:?}", report.reasons());
    // Beside a key: either will do, and of every manifest somebody must have signed.
    let (secret, public) = key();
    let other = identity("somebody@treelay.example", ISSUER);
    let keys = [public];
    assert!(!verify_by(&image, Some(&other), &keys, RequiredForm::Any).await.is_good());
    image.attach(&[secret]).await;
    assert!(verify_by(&image, Some(&other), &keys, RequiredForm::Both).await.is_good());
    let report = verify_by(&image, None, &keys, RequiredForm::Both).await;
    assert!(report.is_good(), "{:?}", report.reasons());
    // Of a certificate that nobody asked for nothing is told: it was not verified.
    let unknown = &report.subjects[2].signatures[0];
    assert_eq!((unknown.verdict, &unknown.signer), (Judgement::Unknown, &None));
    let reasons = format!("{:?}", report.subjects[2].signatures);
    assert!(!reasons.contains(IDENTITY), "{reasons}");
}

#[tokio::test]
async fn others_are_unknown_and_named_once_they_are_verified() {
    for form in Form::ALL {
        let image = signed(&[form]).await;
        let by = format!("signed by {IDENTITY}, not by somebody@treelay.example");
        let unknown_authority =
            Identity { policy: policy(IDENTITY, ISSUER), root: no_authorities() };
        for (identity, says) in [
            (identity("somebody@treelay.example", ISSUER), by.as_str()),
            (identity(IDENTITY, "https://other.example"), "not by https://other.example"),
            (unknown_authority, "trusted root"),
        ] {
            let report = verify_by(&image, Some(&identity), &[], RequiredForm::Any).await;
            assert!(!report.is_good());
            let (kind, message) = refusal(&report, form);
            assert_eq!(kind, "other-identity", "{message}");
            assert!(message.contains(says), "{message}");
            assert_eq!(only(&report).verdict, Judgement::Unknown);
            assert_eq!(only(&report).signer, None);
        }
        // Signed with a key, and no key is trusted.
        let image = Image::new().await;
        image.attach(&[key().0]).await;
        let report = verify(&image, RequiredForm::Any).await;
        let (kind, message) = refusal(&report, form);
        assert_eq!(kind, "other-keys");
        assert!(message.contains(&format!("by {IDENTITY}, says {ISSUER}")), "{message}");
    }
}

/// A root that knows the logs and no authority.
fn no_authorities() -> TrustedRoot {
    TrustedRoot::parse(World::new().trusted_root.to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn what_proves_nothing_is_refused_and_hides_nothing() {
    for form in Form::ALL {
        let image = signed(&[form]).await;
        let other = image.amd64;
        let good = Claim::of(&image.arm64);
        let changed = |what: &str| {
            // Another signature than the good one, which would not be added a second time.
            let bad = Claim { forms: Some("another"), ..good };
            let mut bundle = bad.bundle();
            let (payload, mut annotations) = bad.sig();
            match what {
                "log" => {
                    let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
                    entry["integratedTime"] = json!("1700000001");
                    let log = annotations.get_mut("dev.sigstore.cosign/bundle").unwrap();
                    *log = log.replace("1700000000", "1700000001");
                }
                "no log" => {
                    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
                    annotations.remove("dev.sigstore.cosign/bundle");
                }
                _ => {
                    let signature = Claim::of(&other).bundle()["dsseEnvelope"].take();
                    bundle["dsseEnvelope"]["signatures"] = signature["signatures"].clone();
                    let (_, mut others) = Claim::of(&other).sig();
                    let signature = others.remove(SIGNATURE_ANNOTATION).unwrap();
                    annotations.insert(SIGNATURE_ANNOTATION.to_owned(), signature);
                }
            }
            (bundle.to_string(), payload, annotations)
        };
        for (what, kind, says) in [
            ("another image", "other-image", "for sha256:"),
            ("log", "malformed", "signed entry timestamp"),
            ("no log", "malformed", "log"),
            ("signature", "malformed", "does not fit"),
        ] {
            for also_good in [false, true] {
                strip(&image, &image.arm64, form);
                if what == "another image" {
                    Claim::of(&other).put(&image, &image.arm64, form).await;
                } else {
                    let (bundle, payload, annotations) = changed(what);
                    match form {
                        Form::Sig => add_sig(&image, &image.arm64, &payload, annotations).await,
                        Form::Bundle => add(&image, &image.arm64, &bundle, |_| {}).await,
                    }
                }
                if also_good {
                    good.put(&image, &image.arm64, form).await;
                }
                let report = verify(&image, RequiredForm::Any).await;
                assert_eq!(report.is_good(), also_good, "{what}: {:?}", report.reasons());
                let first = &report.subjects[2].signatures[0];
                assert_ne!(first.verdict, Judgement::Good, "{what}");
                if !also_good {
                    let (found, message) = refusal(&report, form);
                    assert_eq!(found, kind, "{what}: {message}");
                    assert!(message.contains(says), "{what}: {message}");
                }
            }
        }
    }
    // Something else that they signed is no signature.
    let image = signed(&[Form::Bundle]).await;
    strip_bundles(&image, &image.arm64);
    let attestation = Claim { predicate_type: SPDX, ..Claim::of(&image.arm64) };
    attestation.put(&image, &image.arm64, Form::Bundle).await;
    let report = verify(&image, RequiredForm::Bundle).await;
    assert_eq!(refusal(&report, Form::Bundle).0, "attestation");
    // Another name.
    let image = signed(&[Form::Sig]).await;
    for (name, good) in [("registry.example/tools/go", true), ("registry.example/other", false)] {
        let who = identity(IDENTITY, ISSUER);
        let (identity, expected_reference) = (Some(&who), Some(name));
        let options = VerifyOptions { identity, expected_reference, ..VerifyOptions::default() };
        let report = image.verify_with(&[], &options).await;
        assert_eq!(report.is_good(), good, "{:?}", report.reasons());
        assert_eq!(refusal(&report, Form::Sig).0, if good { "" } else { "other-reference" });
    }
}

#[tokio::test]
async fn what_was_stripped_is_missed() {
    for form in Form::ALL {
        // From one alone.
        let image = signed(&Form::ALL).await;
        strip(&image, &image.arm64, form);
        let report = verify(&image, RequiredForm::Any).await;
        let kind = if form == Form::Sig { "no-signature" } else { "no-bundle" };
        assert_eq!(report.subjects[2].refusal.as_ref().unwrap().kind(), kind);
        // From all, where they said that they sign in both.
        let image = Image::new().await;
        for subject in image.subjects() {
            let claim = Claim { forms: Some(BOTH_FORMS), ..Claim::of(&subject) };
            claim.put(&image, &subject, form.other()).await;
        }
        let report = verify(&image, RequiredForm::Any).await;
        let refusal = report.subjects[0].refusal.as_ref().unwrap();
        assert_eq!(refusal.kind(), "stripped");
        assert!(refusal.to_string().contains(IDENTITY), "{refusal}");
        for subject in image.subjects() {
            Claim::of(&subject).put(&image, &subject, form).await;
        }
        assert!(verify(&image, RequiredForm::Any).await.is_good());
    }
}

#[tokio::test]
async fn the_command_tells_who_signed_when_and_where_it_is_logged() {
    let image = signed(&Form::ALL).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.json");
    let world = World::new();
    std::fs::write(&path, world.root_json().to_string()).unwrap();
    let dest = format!("oci:{}", image.path().display());
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_treelay"));
        let output = command.arg("verify").arg(&dest).args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let root = format!("--trusted-root={}", path.display());
    let who = ["--identity", IDENTITY, "--issuer", ISSUER, "--require-form=both"];
    let (code, out, err) = run(&[&[root.as_str()], &who[..]].concat());
    assert_eq!(code, Some(0), "{out}{err}");
    for form in [".sig", "bundle"] {
        let words = format!(": good {form} by {IDENTITY}, says {ISSUER}");
        assert_eq!(out.matches(&words).count(), 3, "{out}");
    }
    let when = "at 2023-11-14T22:13:20Z by the log https://log.treelay.example \
                logged as entry 1 of https://log.treelay.example (";
    assert_eq!(out.matches(when).count(), 6, "{out}");
    let pattern = ["--identity-regexp=.*@treelay\\.example", "--issuer-regexp=https://.*"];
    assert_eq!(run(&[&[root.as_str()], &pattern[..]].concat()).0, Some(0));
    let file = dir.path().join("key.pub");
    std::fs::write(&file, key().1.to_pem()).unwrap();
    let key = format!("--key={}", file.display());
    for (args, says) in [
        (&who[..], "against a trusted root"),
        (&["--identity", IDENTITY, root.as_str()], "--identity needs --issuer"),
        (&[key.as_str(), root.as_str()], "--trusted-root is for signatures of images by"),
    ] {
        let (code, out, err) = run(args);
        assert_eq!(code, Some(2), "{out}{err}");
        assert!(err.contains(says), "{err}");
    }
}
