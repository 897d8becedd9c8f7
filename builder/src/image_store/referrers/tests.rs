use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::image_store::layout::Layout;
use crate::image_store::shared::SharedList as _;
use crate::image_store::{BlobSource, ImageRef};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// An image of one layer.
async fn put_image(store: &dyn ImageStore, text: &str) -> Descriptor {
    let image = manifest(store, text, None, json!({})).await;
    let annotations = BTreeMap::new();
    let placement = Placement::Tag { tag: "1.0", annotations: &annotations };
    store.put_manifest(&image, placement).await.unwrap()
}

/// A manifest about `subject` whose layer is `text`; its blobs are put.
async fn manifest(
    store: &dyn ImageStore,
    text: &str,
    subject: Option<&Descriptor>,
    more: Value,
) -> Manifest {
    let (config, layer) = (BlobSource::from_bytes("{}"), BlobSource::from_bytes(text.to_owned()));
    store.put_blob(&config).await.unwrap();
    store.put_blob(&layer).await.unwrap();
    let config = Descriptor::new(media::EMPTY, *config.digest(), config.size());
    let layer = Descriptor::new("text/plain", *layer.digest(), layer.size());
    let mut made = json!({
        "schemaVersion": 2, "mediaType": media::MANIFEST, "config": config, "layers": [layer],
    });
    if let Some(subject) = subject {
        made["subject"] = json!(subject);
    }
    made.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Manifest::new(media::MANIFEST, made.to_string().into_bytes())
}

async fn bundle(store: &dyn ImageStore, text: &str, subject: &Descriptor) -> Manifest {
    let more = json!({"artifactType": BUNDLE, "annotations": {"by": text}});
    manifest(store, text, Some(subject), more).await
}

fn index_json(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("index.json")).unwrap()).unwrap()
}

/// One alone; the descriptor by which it is listed.
async fn put(
    store: &dyn ImageStore,
    subject: &Descriptor,
    manifest: &Manifest,
) -> Result<Descriptor> {
    put_all(store, subject, std::slice::from_ref(manifest)).await?;
    manifest.referrer_descriptor(&store.place())
}

#[tokio::test]
async fn a_layout_keeps_them_by_the_fallback_tag() {
    let dir = tempfile::tempdir().unwrap();
    let store = Layout::create(dir.path()).unwrap();
    let image = put_image(&store, "image").await;
    let (one, two) = (bundle(&store, "one", &image).await, bundle(&store, "two", &image).await);
    let listed = put(&store, &image, &one).await.unwrap();
    assert_eq!(listed.artifact_type.as_deref(), Some(BUNDLE));
    assert_eq!(listed.annotations["by"], "one");
    let listing = list(&store, &image.digest).await.unwrap();
    assert_eq!(listing.referrers, std::slice::from_ref(&listed), "before the commit");
    store.commit().await.unwrap();
    put_all(&store, &image, &[two.clone(), one.clone(), two.clone()]).await.unwrap();
    store.commit().await.unwrap();

    let fresh = Layout::open(dir.path()).unwrap();
    let listing = list(&fresh, &image.digest).await.unwrap();
    let digests: Vec<_> = listing.referrers.iter().map(|r| r.digest).collect();
    assert_eq!(digests, [one.digest(), two.digest()]);
    assert_eq!((listing.unreadable, listing.cut), (0, None));
    let index = index_json(dir.path());
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    let tag = &index["manifests"][1]["annotations"]["org.opencontainers.image.ref.name"];
    assert_eq!(tag.as_str(), Some(fallback_tag(&image.digest).as_str()));
    let found = fresh.resolve(&ImageRef::Default).await.unwrap().unwrap();
    assert_eq!(found.digest, image.digest, "a list of referrers is no image");

    put(&fresh, &image, &one).await.unwrap();
    fresh.commit().await.unwrap();
    assert_eq!(index_json(dir.path()), index, "again changes nothing");
    let read = read(&fresh, &image.digest, &listing.referrers[0]).await.unwrap();
    assert_eq!((read.lies.len(), read.subject.digest, read.manifest), (0, image.digest, one));
}

#[tokio::test]
async fn processes_at_once_lose_none() {
    let dir = tempfile::tempdir().unwrap();
    let image = {
        let store = Layout::create(dir.path()).unwrap();
        let image = put_image(&store, "image").await;
        store.commit().await.unwrap();
        image
    };
    let stores: Vec<_> = (0..6).map(|_| Layout::create(dir.path()).unwrap()).collect();
    for (n, store) in stores.iter().enumerate() {
        let made = bundle(store, &n.to_string(), &image).await;
        put(store, &image, &made).await.unwrap();
    }
    for store in stores.iter().rev() {
        store.commit().await.unwrap();
    }
    let listing = list(&Layout::open(dir.path()).unwrap(), &image.digest).await.unwrap();
    assert_eq!(listing.referrers.len(), 6);
}

#[tokio::test]
async fn what_oras_lists_in_index_json_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Layout::create(dir.path()).unwrap();
    let image = put_image(&store, "image").await;
    let plain = manifest(&store, "no type of its own", Some(&image), json!({})).await;
    let typed = bundle(&store, "typed", &image).await;
    put_manifests(&store, &[plain.clone(), typed.clone()]).await.unwrap();
    store.commit().await.unwrap();
    let mut index = index_json(dir.path());
    let entries = index["manifests"].as_array_mut().unwrap();
    entries.push(json!(plain.descriptor()));
    let lying = Descriptor { artifact_type: Some("text/x".into()), ..typed.descriptor() };
    entries.push(json!(lying));
    entries.push(json!(Descriptor::new(media::MANIFEST, Digest::of("not here"), 8)));
    std::fs::write(dir.path().join("index.json"), index.to_string()).unwrap();

    let store = Layout::open(dir.path()).unwrap();
    let listing = list(&store, &image.digest).await.unwrap();
    let kinds: Vec<_> = listing.referrers.iter().map(|r| r.artifact_type.as_deref()).collect();
    assert_eq!(kinds, [Some(media::EMPTY), Some("text/x")]);
    assert!(may_be(&listing.referrers[0], BUNDLE) && !may_be(&listing.referrers[1], BUNDLE));
    let found = read(&store, &image.digest, &listing.referrers[1]).await.unwrap();
    let (said, is) = ("text/x".to_owned(), BUNDLE.to_owned());
    assert_eq!(found.lies, [Lie::ArtifactType { said, is }]);
    assert_eq!(list(&store, &typed.digest()).await.unwrap(), Listing::default());

    put(&store, &image, &plain).await.unwrap();
    store.commit().await.unwrap();
    assert_eq!(index_json(dir.path()), index, "it is listed already");
}

#[tokio::test]
async fn a_stranger_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Layout::create(dir.path()).unwrap();
    let image = put_image(&store, "image").await;
    let other = Descriptor::new(media::MANIFEST, Digest::of("other"), 5);
    let about_other = bundle(&store, "x", &other).await;
    let about_none = manifest(&store, "x", None, json!({})).await;
    let lying = Descriptor { size: image.size + 1, ..image.clone() };
    let of_lie = bundle(&store, "x", &lying).await;
    for wrong in [&about_other, &about_none, &of_lie] {
        let put = put(&store, &image, wrong).await;
        assert!(matches!(put, Err(StoreError::BadManifest { .. })), "{put:?}");
        put_manifests(&store, std::slice::from_ref(wrong)).await.unwrap();
    }
    for wrong in [&about_other, &about_none] {
        let read = read(&store, &image.digest, &wrong.descriptor()).await.unwrap_err();
        assert!(read.to_string().contains("subject"), "{read}");
    }
    let subject = read(&store, &image.digest, &of_lie.descriptor()).await.unwrap().subject;
    assert_eq!(subject, lying, "callers compare it");
}

#[test]
fn lies_are_named() {
    let is = Descriptor {
        artifact_type: Some("a".into()),
        annotations: BTreeMap::from([("k".into(), "v".into()), ("l".into(), "w".into())]),
        ..Descriptor::new("m", Digest::of("x"), 7)
    };
    let said = |change: fn(&mut Descriptor)| {
        let mut said = is.clone();
        change(&mut said);
        lies(&said, &is).iter().map(Lie::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(said(|_| {}), "");
    assert_eq!(said(|d| d.annotations.clear()), "", "not saying is not lying");
    assert_eq!(
        said(|d| d.media_type = "n".into()),
        r#"it is listed with media type "n" and is "m""#
    );
    assert_eq!(said(|d| d.size = 8), "it is listed with 8 bytes and has 7");
    let no_type = r#"it is listed as artifact type "" and is "a""#;
    assert_eq!(said(|d| d.artifact_type = None), no_type);
    assert!(
        said(|d| {
            d.annotations.insert("k".into(), "x".into());
        })
        .contains(r#""k" "x""#)
    );
    assert!(
        said(|d| {
            d.annotations.insert("n".into(), "x".into());
        })
        .contains(r#""n" "x""#)
    );
}

#[test]
fn the_fallback_index_keeps_what_others_wrote() {
    let foreign = json!({
        "schemaVersion": 2, "x-own": 1, "mediaType": media::INDEX, "annotations": {"a": "b"},
        "manifests": [
            {"mediaType": "m", "digest": "sha512:abc", "size": 1, "data": "e30="},
            {"mediaType": "m", "digest": Digest::of("1"), "size": 1, "artifactType": "", "data": "e30="},
            7,
        ],
    });
    let manifest = Manifest::new(media::INDEX, foreign.to_string().into_bytes());
    let mut index = FallbackIndex::parse(&manifest, "here").unwrap();
    let mut one = Descriptor::new("m", Digest::of("1"), 1);
    one.artifact_type = Some("true".into());
    let two = Descriptor::new("m", Digest::of("2"), 1);
    assert!(index.add(&two) && !index.add(&two));
    let after: Value =
        serde_json::from_slice(index.make(None, "").unwrap().manifest.bytes()).unwrap();
    let mut expected = foreign;
    expected["manifests"].as_array_mut().unwrap().push(json!(two));
    assert_eq!(after, expected);
    assert!(index.add(&one), "a descriptor without its type is mended, in its place");
    assert_eq!(index.entries()[1], json!(one));
    let mut old = FallbackIndex::read(None, "").unwrap();
    assert!(old.merge(&index) && !old.merge(&index));
    assert_eq!(old.entries(), index.entries());

    let mut found = Collector::default();
    index.entries().iter().for_each(|entry| found.add_json(entry));
    let listing = found.finish();
    assert_eq!((listing.referrers, listing.unreadable), (vec![one, two], 2));
}

#[test]
fn too_many_are_told() {
    let mut found = Collector::default();
    for n in 0..MAX_REFERRERS {
        found.add(Descriptor::new("m", Digest::of(n.to_string()), 1));
    }
    found.add(Descriptor::new("m", Digest::of("0"), 1));
    assert!(!found.is_cut(), "the same one again");
    found.add(Descriptor::new("m", Digest::of("one more"), 1));
    let listing = found.finish();
    assert_eq!((listing.referrers.len(), listing.cut), (MAX_REFERRERS, Some(Cut::Number)));
}
