//! Signing, and what is and is not taken for a signature.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};
use treelay::image_store::layout::Layout;
use treelay::image_store::{
    Descriptor, ImageRef, ImageStore, Manifest, Placement, StoreError, media, signatures,
};
use treelay::sign::{
    Form, Judgement, Refusal, SignatureError, SubjectReport, VerifyOptions, attach, verify_image,
};
use treelay_recipes::Digest;
use treelay_signing::schemes::simplesigning::{MEDIA_TYPE, NAME, SIGNATURE_ANNOTATION};

use crate::fixture::{Changes, Image, REFERENCE, key, put};

fn refusal(subject: &SubjectReport) -> &Refusal {
    subject.refusal.as_ref().unwrap()
}

#[tokio::test]
async fn signs_index_and_children() {
    let image = Image::new().await;
    let (secret, public) = key();
    let report = image.attach(&[secret.clone(), secret]).await;
    assert_eq!(report.added(), 6, "a key that is given twice signs once in each form");
    let digests: Vec<Digest> = report.subjects.iter().map(|subject| subject.digest).collect();
    assert_eq!(digests, image.subjects());
    for (subject, digest) in report.subjects.iter().zip(image.subjects()) {
        let tag = ImageRef::Tag(signatures::signature_tag(&digest));
        let found = image.store().resolve(&tag).await.unwrap().unwrap();
        assert_eq!(found.digest, subject.signatures);
        assert_eq!(found.annotations["kind"], "dev.cosignproject.cosign/sigs");
    }
    let report = image.verify(std::slice::from_ref(&public)).await;
    assert!(report.is_good(), "{:?}", report.reasons());
    assert!(report.reasons().is_empty());
    let names: Vec<&str> = report.subjects.iter().map(|subject| subject.name.as_str()).collect();
    assert_eq!(names, ["index", "linux/amd64", "linux/arm64/v8"]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["good"], true);
    let signature = &json["subjects"][2]["signatures"][0];
    assert_eq!(signature["key"], public.fingerprint());
    assert_eq!(signature["reference"], REFERENCE);
    assert_eq!(signature["verdict"], "good");
}

#[tokio::test]
async fn signing_again_changes_nothing() {
    let image = Image::new().await;
    let (secret, _) = key();
    image.attach(std::slice::from_ref(&secret)).await;
    let (before, inode) = (image.files(), inode(&image));
    let report = image.attach(&[secret]).await;
    assert_eq!(report.added(), 0);
    assert_eq!(image.files(), before);
    assert_eq!(self::inode(&image), inode, "index.json was written again");
}

fn inode(image: &Image) -> u64 {
    fs::metadata(image.path().join("index.json")).unwrap().ino()
}

#[tokio::test]
async fn a_second_key_keeps_the_first() {
    let image = Image::new().await;
    let ((one, one_public), (two, two_public)) = (key(), key());
    image.attach(std::slice::from_ref(&one)).await;
    let first = signatures::signatures_of(&image.store(), &image.arm64).await.unwrap().unwrap().1;
    let report = image.attach(&[two, one]).await;
    assert_eq!(report.added(), 6);
    let both = signatures::signatures_of(&image.store(), &image.arm64).await.unwrap().unwrap().1;
    assert_eq!((both.len(), &both[..1]), (2, &first[..]));
    for keys in [vec![one_public.clone()], vec![two_public.clone()], vec![two_public, one_public]] {
        assert!(image.verify(&keys).await.is_good());
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let image = Image::new().await;
    let ((secret, _), (_, other)) = (key(), key());
    image.attach(&[secret]).await;
    let report = image.verify(std::slice::from_ref(&other)).await;
    assert!(!report.is_good());
    for subject in &report.subjects {
        let tag = signatures::signature_tag(&subject.digest);
        let keys = vec![other.fingerprint()];
        assert_eq!(
            *refusal(subject),
            Refusal::OtherKeys { tag, signatures: 1, keys, identity: None }
        );
        assert_eq!(subject.signatures[0].verdict, Judgement::Unknown);
        assert_eq!(subject.signatures[0].reference, None, "read from what nobody vouched for");
    }
    assert_eq!(report.reasons().len(), 6, "three subjects, two forms");
    let (store, options) = (image.store(), VerifyOptions::default());
    let none = verify_image(&store, &ImageRef::Default, &[], &options).await;
    assert!(matches!(none, Err(SignatureError::NoKeys)));
}

#[tokio::test]
async fn an_unsigned_child_is_refused() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    let tag = signatures::signature_tag(&image.arm64);
    image.edit_index(|entries| {
        entries.retain(|e| e["annotations"]["org.opencontainers.image.ref.name"] != tag.as_str());
    });
    let report = image.verify(std::slice::from_ref(&public)).await;
    assert!(!report.is_good());
    let good: Vec<bool> = report.subjects.iter().map(SubjectReport::is_good).collect();
    assert_eq!(good, [true, true, false]);
    let place = image.store().place();
    let signer = format!("key {}", public.fingerprint());
    assert_eq!(*refusal(&report.subjects[2]), Refusal::Stripped { form: Form::Sig, signer });
    let missing = Some(Refusal::NoSignature { place, tag });
    assert_eq!(report.subjects[2].forms.sig.refusal, missing);
    assert!(report.problems.is_empty());
}

#[tokio::test]
async fn a_signature_of_another_image_is_refused() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    let store = image.store();
    let (of_index, _) = signatures::signatures_of(&store, &image.index).await.unwrap().unwrap();
    signatures::put_signatures(&store, &image.arm64, &of_index).await.unwrap();
    store.commit().await.unwrap();
    let report = image.verify(std::slice::from_ref(&public)).await;
    assert!(!report.is_good());
    let subject = &report.subjects[2];
    assert!(matches!(refusal(subject), Refusal::OtherImage { .. }), "{:?}", subject.refusal);
    assert!(refusal(subject).to_string().contains(&image.index.to_string()));
    assert_eq!(subject.signatures[0].verdict, Judgement::Bad);
    assert_eq!(subject.signatures[0].key, Some(public.fingerprint()));
}

#[tokio::test]
async fn a_signature_under_another_name_is_refused() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    for (expected, good) in [
        (REFERENCE, true),
        ("registry.example/tools/go", true),
        ("registry.example/tools/go:1.1", false),
        ("registry.example/tools/rust", false),
        ("other.example/tools/go:1.0", false),
    ] {
        let expected_reference = Some(expected);
        let options = VerifyOptions { expected_reference, ..VerifyOptions::default() };
        let report = image.verify_with(std::slice::from_ref(&public), &options).await;
        assert_eq!(report.is_good(), good, "{expected}");
        for subject in report.subjects.iter().filter(|_| !good) {
            let refused = refusal(subject);
            assert!(matches!(refused, Refusal::OtherReference { .. }), "{refused}");
            let text = refused.to_string();
            assert!(text.contains(expected) && text.contains(REFERENCE), "{text}");
        }
    }
}

/// A signature as a layer, with anything in its annotation.
fn layer(payload: Descriptor, signature: Option<&str>) -> Descriptor {
    let mut layer = payload;
    let annotation = signature.map(|text| (SIGNATURE_ANNOTATION.to_owned(), text.to_owned()));
    layer.annotations.extend(annotation);
    layer
}

/// Puts a manifest of these layers in the place of the index's signatures.
async fn replace(image: &Image, store: &Layout, media_type: &str, layers: &[Descriptor]) {
    let config = put(store, "application/vnd.oci.image.config.v1+json", b"{}".to_vec()).await;
    let json = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
    });
    let manifest = Manifest::new(media_type, json.to_string().into_bytes());
    signatures::put_signatures(store, &image.index, &manifest).await.unwrap();
    store.commit().await.unwrap();
}

#[tokio::test]
async fn junk_does_not_hide_a_good_signature_nor_become_one() {
    let image = Image::new().await;
    let ((secret, public), (foreign, _)) = (key(), key());
    image.attach(&[foreign]).await;
    let store = image.store();
    let (_, by_foreign) = signatures::signatures_of(&store, &image.index).await.unwrap().unwrap();
    image.attach(&[secret]).await;
    let store = image.store();
    let (_, both) = signatures::signatures_of(&store, &image.index).await.unwrap().unwrap();
    let good = both[1].clone();
    let text = good.annotations[SIGNATURE_ANNOTATION].clone();
    let payload = |bytes: &str| put(&store, MEDIA_TYPE, bytes.as_bytes().to_vec());
    let bare = Descriptor::new(MEDIA_TYPE, good.digest, good.size);
    let other_type = Descriptor { media_type: "application/json".into(), ..good.clone() };
    let mut junk = vec![
        by_foreign[0].clone(),
        layer(bare.clone(), None),
        layer(bare.clone(), Some("")),
        layer(bare.clone(), Some("not base64!")),
        layer(bare.clone(), Some("anVuaw==")),
        layer(bare.clone(), Some(&format!("{text}="))),
        layer(payload("not a payload").await, Some(&text)),
        layer(payload("").await, Some(&text)),
        other_type,
    ];
    for with_good in [true, false] {
        let mut layers = junk.clone();
        layers.extend(with_good.then(|| good.clone()));
        replace(&image, &store, media::MANIFEST, &layers).await;
        let report = image.verify(std::slice::from_ref(&public)).await;
        assert_eq!(report.is_good(), with_good, "{:?}", report.reasons());
        let of_tag = report.subjects[0].signatures.iter().filter(|s| s.scheme == NAME);
        let verdicts = of_tag.map(|s| s.verdict);
        let verdicts: Vec<Judgement> = verdicts.collect();
        assert_eq!(verdicts.len(), layers.len());
        assert_eq!(
            verdicts.iter().filter(|v| **v == Judgement::Good).count(),
            usize::from(with_good)
        );
    }
    // A payload that is gone, or of another size than named: damage, which only a full check minds.
    junk.push(Descriptor::new(MEDIA_TYPE, Digest::of("gone"), 4));
    junk.push(Descriptor { size: good.size + 1, ..good.clone() });
    junk.push(good);
    replace(&image, &store, media::MANIFEST, &junk).await;
    let keys = [public];
    assert!(image.verify_with(&keys, &VerifyOptions::default()).await.is_good());
    let full = image.verify(&keys).await;
    assert!(!full.is_good());
    let kinds: Vec<_> = full.problems.iter().map(|p| p.fault.kind()).collect();
    assert_eq!(kinds, ["missing", "size"]);
}

#[tokio::test]
async fn what_is_no_manifest_of_signatures() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(std::slice::from_ref(&secret)).await;
    let store = image.store();
    let (manifest, layers) =
        signatures::signatures_of(&store, &image.index).await.unwrap().unwrap();
    let refused = async || {
        let report =
            image.verify_with(std::slice::from_ref(&public), &VerifyOptions::default()).await;
        assert!(!report.is_good());
        refusal(&report.subjects[0]).clone()
    };

    replace(&image, &store, media::DOCKER_MANIFEST, &layers).await;
    assert!(matches!(refused().await, Refusal::Malformed { .. }));
    replace(&image, &store, media::MANIFEST, &[]).await;
    assert!(matches!(refused().await, Refusal::Malformed { .. }));
    let index = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": []});
    let index = Manifest::new(media::INDEX, index.to_string().into_bytes());
    signatures::put_signatures(&store, &image.index, &index).await.unwrap();
    store.commit().await.unwrap();
    assert!(matches!(refused().await, Refusal::Malformed { .. }));
    // It is in somebody's way, and not ours to remove.
    let again = attach(&image.store(), &image.index, REFERENCE, &[secret]).await;
    assert!(matches!(again, Err(SignatureError::Store(StoreError::BadManifest { .. }))));

    // Good but for its length, which no store would take: put there by hand.
    let mut long: Value = serde_json::from_slice(manifest.bytes()).unwrap();
    long["annotations"] = json!({"x": "x".repeat(4 << 20)});
    let long = long.to_string().into_bytes();
    fs::write(image.blob(&Digest::of(&long)), &long).unwrap();
    let tag = signatures::signature_tag(&image.index);
    image.edit_index(|entries| {
        let name = "org.opencontainers.image.ref.name";
        let entry = entries.iter_mut().find(|e| e["annotations"][name] == tag.as_str()).unwrap();
        (entry["digest"], entry["size"]) = (json!(Digest::of(&long)), json!(long.len()));
    });
    let text = refused().await.to_string();
    assert!(text.contains("longer than 4194304 bytes"), "{text}");
}

#[tokio::test]
async fn only_what_is_there_is_signed() {
    let (secret, _) = key();
    let keys = [secret];
    let missing = |i: &mut Value| i["manifests"][1]["digest"] = json!(Digest::of("gone"));
    let image = Image::changed(Changes { index: missing, ..Changes::default() }).await;
    let before = image.files();
    for (digest, reference) in
        [(image.index, REFERENCE), (Digest::of("gone"), REFERENCE), (image.amd64, "not a name")]
    {
        let store = image.store();
        assert!(attach(&store, &digest, reference, &keys).await.is_err());
        store.commit().await.unwrap();
        assert_eq!(image.files(), before, "{digest} {reference}");
    }
    let none = attach(&image.store(), &image.amd64, REFERENCE, &[]).await;
    assert!(matches!(none, Err(SignatureError::NoKeys)));
}

#[tokio::test]
async fn a_manifest_alone_is_an_image_too() {
    let image = Image::new().await;
    let (secret, public) = key();
    let store = image.store();
    attach(&store, &image.amd64, REFERENCE, &[secret]).await.unwrap();
    store.commit().await.unwrap();
    let (by_digest, keys) = (ImageRef::Digest(image.amd64), [public]);
    let options = VerifyOptions { check_blobs: true, ..VerifyOptions::default() };
    let report = verify_image(&store, &by_digest, &keys, &options).await.unwrap();
    assert!(report.is_good(), "{:?}", report.reasons());
    assert_eq!(report.subjects.len(), 1);
    // Which does not make the index a signed one.
    let report = image.verify(&keys).await;
    assert!(!report.is_good());
    let absent = verify_image(&store, &ImageRef::Tag("2.0".into()), &keys, &options).await;
    assert!(matches!(absent, Err(SignatureError::Store(StoreError::NotFound { .. }))));
    assert_eq!(report.image, image.index);
}

#[tokio::test]
async fn indexes_in_indexes_are_followed_so_far() {
    let image = Image::new().await;
    let ((secret, public), store) = (key(), image.store());
    let keys = [secret];
    let options = VerifyOptions { check_blobs: true, ..VerifyOptions::default() };
    let mut outer = store.manifest(&image.index).await.unwrap().descriptor();
    for depth in 1..=5 {
        let json = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": [outer]});
        let manifest = Manifest::new(media::INDEX, json.to_string().into_bytes());
        outer = store.put_manifest(&manifest, Placement::Child).await.unwrap();
        let signed = attach(&store, &outer.digest, REFERENCE, &keys).await;
        let by_digest = ImageRef::Digest(outer.digest);
        let report = verify_image(&store, &by_digest, std::slice::from_ref(&public), &options)
            .await
            .unwrap();
        // Four indexes, and then manifests.
        assert_eq!(signed.is_ok(), depth <= 3, "{depth}");
        assert_eq!(report.is_good(), depth <= 3, "{depth}: {:?}", report.reasons());
        if let Ok(signed) = signed {
            assert_eq!(signed.subjects.len(), 3 + depth);
        }
    }
}
