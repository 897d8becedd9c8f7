//! Copying to and from registries that misbehave in every way that real ones do.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod beside;
mod logins;
mod mock_registry;
mod referrers;
mod requests;
mod uploads;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mock_registry::{Fault, Registry as Mock, reply};
use treelay::image_store::layout::Layout;
use treelay::image_store::registry::{
    LoginKind, LoginPlaces, Logins, Registry, RegistryClient, RegistryOptions,
};
use treelay::image_store::{
    BlobSource, CopyOptions, Descriptor, ImageRef, ImageStore, MANIFEST_LIMIT, Manifest, OpenRead,
    Parts, Placement, Result, StoreError, copy, media, signatures,
};
use treelay::progress::{Item, Outcome, Progress};
use treelay_recipes::Digest;

const STALL: Duration = Duration::from_millis(300);

fn options() -> RegistryOptions {
    RegistryOptions {
        retries: 2,
        backoff: Duration::from_millis(5),
        stall_timeout: STALL,
        finish_timeout: STALL,
        chunk_size: 100_000,
        ..RegistryOptions::default()
    }
}

fn open_with(mock: &Mock, path: &str, options: RegistryOptions) -> Registry {
    let repository = format!("{}/{path}", mock.address).parse().unwrap();
    RegistryClient::new(options).repository(repository).unwrap()
}

fn open(mock: &Mock, path: &str) -> Registry {
    open_with(mock, path, options())
}

/// Bytes that do not repeat, so that a piece in the wrong place shows.
fn big(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn put(store: &dyn ImageStore, bytes: Vec<u8>) -> Descriptor {
    let source = BlobSource::from_bytes(bytes);
    store.put_blob(&source).await.unwrap();
    Descriptor::new("application/x", *source.digest(), source.size())
}

async fn put_manifest(
    store: &dyn ImageStore,
    kind: &str,
    json: serde_json::Value,
    tag: Option<&str>,
) -> Descriptor {
    let manifest = Manifest::new(kind, json.to_string().into_bytes());
    let annotations = BTreeMap::new();
    let placement =
        tag.map_or(Placement::Child, |tag| Placement::Tag { tag, annotations: &annotations });
    store.put_manifest(&manifest, placement).await.unwrap()
}

async fn put_image(store: &dyn ImageStore, layer: Vec<u8>, tag: Option<&str>) -> Descriptor {
    let config = put(store, b"{}".to_vec()).await;
    let layers = [put(store, layer).await];
    let json = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
    put_manifest(store, media::MANIFEST, json, tag).await
}

/// An index of two images, with signatures of it and of its first child.
async fn put_index(store: &dyn ImageStore, tag: &str) -> Descriptor {
    let one = put_image(store, big(400_000), None).await;
    let two = put_image(store, b"small".to_vec(), None).await;
    let json =
        serde_json::json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": [one, two]});
    let index = put_manifest(store, media::INDEX, json, Some(tag)).await;
    for (subject, text) in [(&index, "sig of index"), (&one, "sig of child")] {
        let sig = signatures::signature_tag(&subject.digest);
        put_image(store, text.into(), Some(&sig)).await;
    }
    store.commit().await.unwrap();
    index
}

async fn copied(from: &dyn ImageStore, to: &dyn ImageStore, tag: &str) -> Result<Descriptor> {
    let image = ImageRef::Tag(tag.to_owned());
    let report = copy(from, &image, to, Some(tag), &CopyOptions::default()).await?;
    Ok(report.image.unwrap())
}

fn files(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path))
        } else {
            files.push(path.display().to_string())
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn layout_to_registry_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let mock = Mock::start().await;
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let from = Layout::create(&first).unwrap();
    let index = put_index(&from, "1.0").await;
    let registry = open(&mock, "ns/app");
    assert_eq!(copied(&from, &registry, "1.0").await.unwrap().digest, index.digest);
    let puts: Vec<_> = mock.log().into_iter().filter(|r| r.is("PUT", "/manifests/")).collect();
    assert!(puts.last().unwrap().target.ends_with("/manifests/1.0"), "the tag comes last");
    assert_eq!(registry.tags().await.unwrap().len(), 3, "over two pages");

    mock.behave();
    let report = copy(
        &from,
        &ImageRef::Default,
        &open(&mock, "ns/app"),
        Some("1.0"),
        &CopyOptions::default(),
    )
    .await
    .unwrap();
    assert_eq!((report.moved, report.children.len(), report.signed.len()), ((0, 0), 2, 2));
    assert_eq!(report.reused, 8);
    assert_eq!(mock.count("POST", "/blobs/uploads/"), 0, "nothing is sent again");

    let to = Layout::create(&second).unwrap();
    assert_eq!(copied(&open(&mock, "ns/app"), &to, "1.0").await.unwrap().digest, index.digest);
    let names = |dir: &Path| {
        let prefix = format!("{}/", dir.display());
        files(dir).into_iter().map(|f| f.replace(&prefix, "")).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), names(&second));
    let back = Layout::open(&second).unwrap();
    assert_eq!(back.resolve(&ImageRef::Default).await.unwrap().unwrap().digest, index.digest);
    assert_eq!(back.tags().await.unwrap().len(), 3);
}

#[tokio::test]
async fn signatures_in_the_destination_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| Layout::create(&dir.path().join(name)).unwrap();
    let (from, to) = (at("from"), at("to"));
    let sign = async |store: &Layout, subject: &Digest, by: &str| {
        let mut layer = put(store, b"payload".to_vec()).await;
        layer.annotations.insert(signatures::SIGNATURE.to_owned(), by.to_owned());
        signatures::add_signatures(store, subject, &[layer]).await.unwrap()
    };
    let image = put_image(&from, b"image".to_vec(), Some("1.0")).await;
    put_image(&to, b"image".to_vec(), Some("1.0")).await;
    let ours = sign(&from, &image.digest, "ours").await;
    let signers = async || {
        let (manifest, layers) =
            signatures::signatures_of(&to, &image.digest).await.unwrap().unwrap();
        let names = layers.iter().map(|l| l.annotations[signatures::SIGNATURE].clone());
        (manifest.digest(), names.collect::<Vec<_>>())
    };
    copied(&from, &to, "1.0").await.unwrap();
    assert_eq!(signers().await, (ours.digest, vec!["ours".to_owned()]));
    sign(&to, &image.digest, "theirs").await;
    for _ in 0..2 {
        copied(&from, &to, "1.0").await.unwrap();
        assert_eq!(signers().await.1, ["ours", "theirs"]);
    }
}

/// A registry with one image under `1.0`, and a layout that holds another under the same tag.
async fn scene() -> (Mock, tempfile::TempDir, Layout) {
    let mock = Mock::start().await;
    put_image(&open(&mock, "ns/app"), big(300_000), Some("1.0")).await;
    mock.behave();
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    put_image(&layout, b"the old one".to_vec(), Some("1.0")).await;
    layout.commit().await.unwrap();
    (mock, dir, layout)
}

/// Copies and expects an error that leaves `index.json` as it was and no unfinished file.
async fn refused(mock: &Mock, dir: &tempfile::TempDir, layout: &Layout) -> StoreError {
    let index = || fs::read(dir.path().join("index.json")).unwrap();
    let before = index();
    let error = copied(&open(mock, "ns/app"), layout, "1.0").await.unwrap_err();
    assert_eq!(index(), before);
    for file in files(&dir.path().join("blobs/sha256")) {
        let name = Path::new(&file).file_name().unwrap().to_str().unwrap();
        assert_eq!(Digest::of(fs::read(&file).unwrap()).hex(), name);
    }
    assert!(fs::read_dir(dir.path()).unwrap().count() == 3, "only the layout's own files");
    error
}

#[tokio::test]
async fn a_blob_that_breaks_off_goes_on() {
    let (mock, _dir, layout) = scene().await;
    let first = Mutex::new(true);
    mock.misbehave(move |r, _| {
        let fits = r.is("GET", "/blobs/") && !r.headers.contains_key("range");
        let big = !r.target.contains(&Digest::of(b"{}").hex());
        (fits && big && std::mem::take(&mut *first.lock().unwrap()))
            .then_some(Fault::CutBody(200_000))
    });
    copied(&open(&mock, "ns/app"), &layout, "1.0").await.unwrap();
    let ranges: Vec<_> =
        mock.log().iter().filter_map(|r| r.headers.get("range").cloned()).collect();
    assert_eq!(ranges, ["bytes=200000-"]);
}

#[tokio::test]
async fn hang_up_wrong_content_silence() {
    let (mock, dir, layout) = scene().await;
    mock.misbehave(|r, _| r.is("GET", "/blobs/").then_some(Fault::CutBody(1)));
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::HungUp { .. }), "{error}");

    mock.misbehave(|r, _| r.is("GET", "/blobs/").then_some(Fault::Corrupt));
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error}");

    mock.misbehave(|r, _| r.is("GET", "/manifests/sha256:").then_some(Fault::Corrupt));
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error}");

    mock.misbehave(|r, _| r.is("GET", "/blobs/").then_some(Fault::StallBody(1)));
    let start = Instant::now();
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::Timeout { waited, .. } if waited == STALL), "{error}");
    assert!(start.elapsed() > STALL * 3 && start.elapsed() < STALL * 20);

    mock.misbehave(|r, _| r.is("HEAD", "/manifests/").then_some(Fault::Silence));
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::Timeout { .. }), "{error}");

    let short = reply(200).body("short");
    mock.misbehave(move |r, _| r.is("GET", "/blobs/").then(|| Fault::Answer(short.clone())));
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::SizeMismatch { found: 5, .. }), "{error}");
}

#[tokio::test]
async fn answers_that_are_errors() {
    let (mock, dir, layout) = scene().await;
    let always = |status: u16, words: &'static str| {
        mock.misbehave(move |r, _| {
            r.target.contains("/ns/").then(|| Fault::Answer(reply(status).body(words)))
        });
    };
    always(404, "");
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("has no tag 1.0"), "{error}");

    mock.misbehave(|r, _| r.is("GET", "/blobs/").then(|| Fault::Answer(reply(404))));
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");

    mock.misbehave(|r, _| {
        r.is("GET", "/blobs/").then(|| Fault::Answer(reply(500).body("<p>on\nfire</p>")))
    });
    let error = refused(&mock, &dir, &layout).await;
    let right = matches!(&error, StoreError::ServerError { status: 500, excerpt, .. } if excerpt == "<p>on fire</p>");
    assert!(right, "{error}");

    always(403, "");
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::Forbidden { .. }), "{error}");
    assert_eq!(mock.log().len(), 1, "a refusal is not tried again");

    always(503, "");
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::ServerError { status: 503, .. }), "{error}");
    assert_eq!(mock.log().len(), 3, "one attempt and two retries");

    mock.misbehave(|r, _| {
        let long = vec![b' '; 5 << 20];
        r.is("GET", "/manifests/").then(|| Fault::Answer(reply(200).body(long)))
    });
    let error = refused(&mock, &dir, &layout).await;
    assert!(matches!(error, StoreError::TooLarge { limit: MANIFEST_LIMIT, .. }), "{error}");
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let repository = format!("{address}/a/b").parse().unwrap();
    let registry = RegistryClient::new(options()).repository(repository).unwrap();
    let error = registry.tags().await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}
