use std::collections::BTreeMap;
use std::fs;

use futures_util::StreamExt;

use super::*;
use crate::image_store::{OpenRead, media, signatures};

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// An image of one layer, `text`, under `tag`.
async fn put_image(layout: &Layout, text: &str, tag: &str) -> Descriptor {
    let config = BlobSource::from_bytes(format!("{{\"c\":{text:?}}}"));
    let layer = BlobSource::from_bytes(text.to_owned());
    layout.put_blob(&config).await.unwrap();
    layout.put_blob(&layer).await.unwrap();
    let of = |b: &BlobSource<'_>| Descriptor::new("x/y", *b.digest(), b.size());
    let json =
        serde_json::json!({"schemaVersion": 2, "config": of(&config), "layers": [of(&layer)]});
    let manifest = Manifest::new(media::MANIFEST, json.to_string().into_bytes());
    layout.put_manifest(&manifest, Placement::Tag { tag, annotations: &none() }).await.unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn tags_are_seen_after_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let layout = Layout::create(&path).unwrap();
    let image = put_image(&layout, "one", "1.0").await;
    let tag = ImageRef::Tag("1.0".into());
    assert_eq!(layout.resolve(&tag).await.unwrap().unwrap().digest, image.digest);
    assert!(matches!(Layout::open(&path), Err(StoreError::NotALayout { .. })));
    layout.commit().await.unwrap();
    let reader = Layout::open(&path).unwrap();
    let found = reader.resolve(&ImageRef::Default).await.unwrap().unwrap();
    assert_eq!((found.digest, found.media_type.as_str()), (image.digest, media::MANIFEST));
    assert_eq!(names(&path), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(reader.tags().await.unwrap(), ["1.0"]);
}

#[tokio::test]
async fn an_unchanged_commit_writes_nothing() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let inode = || fs::metadata(dir.path().join("index.json")).unwrap().ino();
    for _ in 0..2 {
        let layout = Layout::create(dir.path()).unwrap();
        put_image(&layout, "one", "1.0").await;
        layout.commit().await.unwrap();
    }
    let before = inode();
    let layout = Layout::create(dir.path()).unwrap();
    put_image(&layout, "one", "1.0").await;
    layout.commit().await.unwrap();
    assert_eq!(inode(), before);
}

#[tokio::test]
async fn the_only_image_or_a_question() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    assert_eq!(layout.resolve(&ImageRef::Default).await.unwrap(), None);
    let image = put_image(&layout, "one", "1.0").await;
    put_image(&layout, "sig", &signatures::signature_tag(&image.digest)).await;
    assert_eq!(layout.resolve(&ImageRef::Default).await.unwrap().unwrap().digest, image.digest);
    put_image(&layout, "two", "2.0").await;
    let error = layout.resolve(&ImageRef::Default).await.unwrap_err().to_string();
    assert!(error.ends_with(": 1.0, 2.0"), "{error}");
}

/// oras lists every manifest in `index.json`, those of platforms and referrers too.
#[tokio::test]
async fn entries_without_a_tag_are_images_where_nothing_explains_them() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    let child = put_image(&layout, "child", "child").await;
    let text = serde_json::json!({"schemaVersion": 2, "manifests": [child]}).to_string();
    let index = Manifest::new(media::INDEX, text.into_bytes());
    let about = |what: &Descriptor| {
        let empty = Descriptor::new(media::EMPTY, Digest::of("{}"), 2);
        let json = serde_json::json!(
            {"schemaVersion": 2, "config": empty, "layers": [], "subject": what}
        );
        Manifest::new(media::MANIFEST, json.to_string().into_bytes())
    };
    let referrer = about(&index.descriptor());
    for manifest in [&index, &referrer] {
        layout.put_manifest(manifest, Placement::Child).await.unwrap();
    }
    let other = put_image(&layout, "other", "other").await;
    layout.commit().await.unwrap();
    let write = |entries: &[&Descriptor]| {
        let json = serde_json::json!({"schemaVersion": 2, "manifests": entries});
        fs::write(dir.path().join("index.json"), json.to_string()).unwrap();
        Layout::open(dir.path()).unwrap()
    };
    let (root, referrer) = (index.descriptor(), referrer.descriptor());
    let layout = write(&[&child, &referrer, &root]);
    assert_eq!(layout.resolve(&ImageRef::Default).await.unwrap().unwrap().digest, root.digest);
    let layout = write(&[&child, &referrer, &root, &other]);
    let error = layout.resolve(&ImageRef::Default).await.unwrap_err();
    let expected = [&root, &other].map(|image| format!("@{}", image.digest));
    assert!(matches!(error, StoreError::Ambiguous { tags, .. } if tags == expected));
    let layout = write(&[&referrer]);
    let alone = layout.resolve(&ImageRef::Default).await.unwrap().unwrap();
    assert_eq!(alone.digest, referrer.digest, "it is all there is");
}

#[tokio::test]
async fn a_tag_that_moves_leaves_what_is_attached_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    let old = put_image(&layout, "old", "1.0").await;
    let json = serde_json::json!({
        "schemaVersion": 2, "subject": old, "layers": [],
        "config": Descriptor::new("x/y", Digest::of("old"), 3),
    });
    let referrer = Manifest::new(media::MANIFEST, json.to_string().into_bytes());
    layout.put_referrers(&old.digest, std::slice::from_ref(&referrer)).await.unwrap();
    layout.commit().await.unwrap();

    let layout = Layout::create(dir.path()).unwrap();
    let new = put_image(&layout, "new", "1.0").await;
    layout.commit().await.unwrap();
    let layout = Layout::open(dir.path()).unwrap();
    assert_eq!(layout.resolve(&ImageRef::Default).await.unwrap().unwrap().digest, new.digest);
    let of_old = layout.referrers(&old.digest).await.unwrap().referrers;
    assert_eq!(of_old[0].digest, referrer.digest());
    assert_eq!(layout.referrers(&new.digest).await.unwrap(), Listing::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_once_lose_no_tag() {
    let dir = tempfile::tempdir().unwrap();
    let mut tasks = Vec::new();
    for n in 0..8 {
        let path = dir.path().join("new");
        tasks.push(tokio::spawn(async move {
            let layout = Layout::create(&path).unwrap();
            put_image(&layout, &n.to_string(), &format!("t{n}")).await;
            layout.commit().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let layout = Layout::open(&dir.path().join("new")).unwrap();
    assert_eq!(layout.tags().await.unwrap().len(), 8);
}

#[tokio::test]
async fn what_lies_about_itself_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    for (text, size) in [("abd", 3), ("ab", 3), ("abcd", 3)] {
        let open: OpenRead = Arc::new(move || Ok(Box::new(text.as_bytes())));
        let source = BlobSource::from_reader(Digest::of("abc"), size, open);
        let error = layout.put_blob(&source).await.unwrap_err();
        let right = match text {
            "abd" => matches!(error, StoreError::DigestMismatch { .. }),
            _ => matches!(error, StoreError::SizeMismatch { .. }),
        };
        assert!(right, "{error}");
    }
    assert!(names(&dir.path().join("blobs/sha256")).is_empty());
    assert_eq!(names(dir.path()), ["blobs", "oci-layout"]);
}

#[tokio::test]
async fn leftovers_are_hashed_before_use() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    let digest = Digest::of("abc");
    let file = dir.path().join("blobs/sha256").join(digest.hex());
    fs::write(&file, "xyz").unwrap();
    assert!(!layout.has_blob(&digest, 3).await.unwrap());
    let source = BlobSource::from_bytes("abc");
    assert_eq!(layout.put_blob(&source).await.unwrap(), Outcome::Moved);
    assert_eq!(fs::read(&file).unwrap(), b"abc");
    assert_eq!(layout.put_blob(&source).await.unwrap(), Outcome::Reused);
}

#[tokio::test]
async fn damage_is_found_when_read() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    let image = put_image(&layout, "one", "1.0").await;
    let blob = |d: &Digest| dir.path().join("blobs/sha256").join(d.hex());
    fs::write(blob(&Digest::of("one")), "onE").unwrap();
    let mut stream = layout.blob(&Digest::of("one"), 3).await.unwrap();
    assert!(matches!(stream.next().await, Some(Err(StoreError::DigestMismatch { .. }))));
    let mut bytes = fs::read(blob(&image.digest)).unwrap();
    bytes.push(b' ');
    fs::write(blob(&image.digest), bytes).unwrap();
    let read = layout.manifest(&image.digest).await;
    assert!(matches!(read, Err(StoreError::DigestMismatch { .. })));
    let gone = layout.blob(&Digest::of("gone"), 3).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
}

#[test]
fn refuses_what_is_not_a_layout() {
    let dir = tempfile::tempdir().unwrap();
    let reason = |result: Result<Layout>| match result {
        Err(StoreError::NotALayout { reason, .. }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    };
    let at = |name: &str| dir.path().join(name);
    assert!(reason(Layout::open(&at("missing"))).contains("no such directory"));
    fs::write(at("file"), "").unwrap();
    assert!(reason(Layout::create(&at("file"))).contains("not a directory"));
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/notes.txt"), "").unwrap();
    assert!(reason(Layout::create(&at("full"))).contains("notes.txt"));
    assert_eq!(names(&at("full")), ["notes.txt"]);
    fs::create_dir(at("old")).unwrap();
    fs::write(at("old/oci-layout"), r#"{"imageLayoutVersion":"2.0"}"#).unwrap();
    assert!(reason(Layout::create(&at("old"))).contains("2.0"));
    fs::write(at("old/oci-layout"), MARKER_TEXT).unwrap();
    assert!(reason(Layout::open(&at("old"))).contains("blobs"));
}

const MARKER_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
