//! The two forms of signatures: how they go together, and what it is worth when one is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use treelay::image_store::ImageStore;
use treelay::sign::{
    AttachOptions, BOTH_FORMS, FORMS_ANNOTATION, Form, FormState, RequiredForm, VerifyOptions,
    attach_with,
};
use treelay_recipes::Digest;
use treelay_signing::bundle::MEDIA_TYPE;
use treelay_signing::schemes::sigstore_bundle::PREDICATE_TYPE;

use crate::beside::{PREDICATE, listed, plain, strip_bundles, strip_sig, verify};
use crate::fixture::{Image, REFERENCE, key};

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
    let forms = BTreeMap::from([(FORMS_ANNOTATION.to_owned(), BOTH_FORMS.to_owned())]);
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
        let both = annotations.clone().into_iter().chain(forms.clone()).collect::<BTreeMap<_, _>>();
        assert_eq!(found, [both.clone(), forms.clone(), both, forms.clone()]);
    }
    // What says that there are two forms is nobody else's to say.
    let options = AttachOptions { reference: REFERENCE, annotations: &forms };
    let refused = attach_with(&image.store(), &image.index, options, &keys).await.unwrap_err();
    assert!(refused.to_string().contains(FORMS_ANNOTATION), "{refused}");
}

#[tokio::test]
async fn a_form_that_was_stripped_is_refused_unless_the_other_alone_is_asked_for() {
    use RequiredForm::{Any, Both, Bundle, Sig};
    let (secret, public) = key();
    // What is taken from which subjects, and for each requirement whether the image is good.
    let one = |image: &Image| vec![image.arm64];
    let index = |image: &Image| vec![image.index];
    let all = |image: &Image| image.subjects().to_vec();
    type Which = fn(&Image) -> Vec<Digest>;
    let none: Which = |_| Vec::new();
    let cases: [(Which, Which, [bool; 4]); 9] = [
        (none, none, [true, true, true, true]),
        // Everywhere: so cosign 3, or cosign 2, would have signed it, but for what is signed.
        (all, none, [false, false, true, false]),
        (none, all, [false, true, false, false]),
        (index, none, [false, false, true, false]),
        (none, index, [false, true, false, false]),
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
            for subject in &report.subjects {
                let (sig, bundle) = (sigs(&image), bundles(&image));
                let (no_sig, no_bundle) =
                    (sig.contains(&subject.digest), bundle.contains(&subject.digest));
                let kind = match (required, no_sig, no_bundle) {
                    (_, true, true) if required == Bundle => "no-bundle",
                    (_, true, true) => "no-signature",
                    (Any | Both, true, false) | (Any | Both, false, true) => "stripped",
                    (Sig, true, false) => "no-signature",
                    (Bundle, false, true) => "no-bundle",
                    _ => "",
                };
                let refusal = subject.refusal.as_ref();
                assert_eq!(refusal.map_or("", |it| it.kind()), kind, "{n} {required:?}");
                let message = refusal.map(ToString::to_string).unwrap_or_default();
                let which = if no_sig { "its .sig by key" } else { "its bundle by key" };
                assert_eq!(kind == "stripped", message.contains(which), "{message}");
                assert_eq!(kind == "stripped", message.contains("sign it again"), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn signing_again_mends_what_was_stripped() {
    let (secret, public) = key();
    for strip in [strip_sig, strip_bundles] {
        let image = Image::new().await;
        image.attach(std::slice::from_ref(&secret)).await;
        let whole = image.files();
        strip(&image, &image.index);
        assert!(!verify(&image, &public, RequiredForm::Any).await.is_good());
        assert_eq!(image.attach(std::slice::from_ref(&secret)).await.added(), 1);
        assert!(verify(&image, &public, RequiredForm::Both).await.is_good());
        assert_eq!(image.attach(std::slice::from_ref(&secret)).await.added(), 0);
        let blobs = |files: BTreeMap<PathBuf, Vec<u8>>| -> Vec<_> {
            files.into_keys().filter(|path| !path.ends_with("index.json")).collect()
        };
        assert_eq!(blobs(whole), blobs(image.files()), "the same bytes");
    }
}

#[tokio::test]
async fn who_signs_in_one_form_alone_is_not_missed_in_the_other() {
    let ((secret, public), (other, other_public)) = (key(), key());
    for form in Form::ALL {
        let image = Image::new().await;
        for subject in image.subjects() {
            plain(&image, &subject, form, &secret).await;
        }
        let report = verify(&image, &public, RequiredForm::Any).await;
        assert!(report.is_good(), "{:?}", report.reasons());
        assert_eq!(report.warnings.len(), 3, "{:?}", report.warnings);

        // Another key made both forms, and one of them was taken away: that the first is good in it
        // does not hide that.
        image.attach(std::slice::from_ref(&other)).await;
        let keys = [public.clone(), other_public.clone()];
        let options = VerifyOptions::default();
        assert!(image.verify_with(&keys, &options).await.is_good());
        for subject in image.subjects() {
            match form {
                Form::Sig => strip_sig(&image, &subject),
                Form::Bundle => strip_bundles(&image, &subject),
            }
            plain(&image, &subject, form, &secret).await;
        }
        let report = image.verify_with(&keys, &options).await;
        let kinds: Vec<_> =
            report.subjects.iter().map(|it| it.refusal.as_ref().unwrap().kind()).collect();
        assert_eq!(kinds, ["stripped"; 3]);
        let message = report.subjects[0].refusal.as_ref().unwrap().to_string();
        assert!(message.contains(&other_public.fingerprint()), "{message}");
        // Who does not trust that key has not heard of it.
        assert!(verify(&image, &public, RequiredForm::Any).await.is_good());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["subjects"][0]["forms"]["stripped"]["form"], form.name());
    }
}

#[tokio::test]
async fn what_was_signed_without_saying_so_is_signed_again() {
    let image = Image::new().await;
    let (secret, public) = key();
    for (subject, form) in image.subjects().iter().flat_map(|it| Form::ALL.map(|form| (it, form))) {
        plain(&image, subject, form, &secret).await;
    }
    assert!(verify(&image, &public, RequiredForm::Both).await.is_good());
    assert_eq!(image.attach(std::slice::from_ref(&secret)).await.added(), 6);
    let report = verify(&image, &public, RequiredForm::Both).await;
    assert!(report.is_good() && report.warnings.is_empty(), "{:?}", report.reasons());
    assert_eq!(report.subjects[0].signatures.len(), 4);
}

#[tokio::test]
async fn a_bundle_alone_proves_no_name() {
    let image = Image::new().await;
    let (secret, public) = key();
    for subject in image.subjects() {
        plain(&image, &subject, Form::Bundle, &secret).await;
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
