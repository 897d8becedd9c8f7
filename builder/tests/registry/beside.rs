//! What has a tag beside an image, added to by several at once.

use treelay::image_store::signatures::{SIGNATURE, add_signatures, signature_tag, signatures_of};

use super::*;

/// A signature by somebody, its blob put.
async fn signature(store: &dyn ImageStore, by: &str) -> Descriptor {
    let mut layer = put(store, format!("payload of {by}").into_bytes()).await;
    layer.annotations.insert(SIGNATURE.to_owned(), by.to_owned());
    layer
}

async fn sign(store: &dyn ImageStore, subject: &Digest, by: &str) -> Descriptor {
    let layer = signature(store, by).await;
    add_signatures(store, subject, &[layer]).await.unwrap()
}

/// Who signed, sorted; and that the config tells of as many layers.
async fn signers(store: &dyn ImageStore, subject: &Digest) -> Vec<String> {
    let (manifest, layers) = signatures_of(store, subject).await.unwrap().unwrap();
    let Parts::Image { config, .. } = manifest.parts("").unwrap() else { panic!("an index") };
    let config = store.blob(&config.digest, config.size).await.unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&config.read_all(1 << 20).await.unwrap()).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), layers.len());
    let mut by: Vec<_> = layers.iter().map(|layer| layer.annotations[SIGNATURE].clone()).collect();
    by.sort();
    by
}

#[tokio::test]
async fn signers_at_once_lose_no_signature() {
    for conditions in [false, true] {
        let mock = Mock::start().await;
        if conditions {
            mock.heed_conditions();
        }
        let image = put_image(&open(&mock, "ns/app"), b"image".to_vec(), Some("1.0")).await;
        let names = ["a", "b", "c", "d", "e", "f"];
        // A client for each: they know nothing of each other.
        let stores: Vec<_> = names.iter().map(|_| open(&mock, "ns/app")).collect();
        let signs = stores.iter().zip(names).map(|(s, name)| sign(s, &image.digest, name));
        futures_util::future::join_all(signs).await;
        assert_eq!(signers(&stores[0], &image.digest).await, names, "conditions: {conditions}");
    }
}

/// A signer that is faster between our reading and our writing, and one that was slower and replaced
/// ours with what it made before.
#[tokio::test]
async fn a_signature_of_another_signer_in_between_is_kept() {
    for (conditions, method, at) in [(true, "PUT", 1), (false, "HEAD", 1), (false, "GET", 2)] {
        let mock = Mock::start().await;
        if conditions {
            mock.heed_conditions();
        }
        let store = open(&mock, "ns/app");
        let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
        let tag = signature_tag(&image.digest);
        // What the other one makes, elsewhere.
        let other = open(&mock, "ns/other");
        let config = sign(&other, &image.digest, "other").await;
        let manifest = other.manifest(&config.digest).await.unwrap();
        let Parts::Image { config, .. } = manifest.parts("").unwrap() else { panic!("an index") };
        let config = mock.blob("ns/other", &config.digest).unwrap();
        mock.add_blob("ns/app", &config);
        let (rival, name, times) = (mock.clone(), tag.clone(), Mutex::new(0));
        mock.misbehave(move |r, _| {
            if r.is(method, &format!("/ns/app/manifests/{name}")) {
                let mut times = times.lock().unwrap();
                *times += 1;
                if *times == at {
                    rival.add_manifest("ns/app", &name, media::MANIFEST, manifest.bytes());
                }
            }
            None
        });
        sign(&store, &image.digest, "ours").await;
        let by = signers(&store, &image.digest).await;
        assert_eq!(by, ["other", "ours"], "{method}");
        // With conditions, or after a look, the other one was never replaced.
        let puts = mock.log().into_iter().filter(|r| r.is("PUT", &format!("manifests/{tag}")));
        let refused = usize::from(method == "PUT");
        assert!(puts.count() - refused <= 2, "{method}");
    }
}

#[tokio::test]
async fn a_copy_replaces_no_signature_that_comes_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let from = Layout::create(dir.path()).unwrap();
    let image = put_image(&from, b"image".to_vec(), Some("1.0")).await;
    let ours = sign(&from, &image.digest, "ours").await;
    from.commit().await.unwrap();
    let mock = Mock::start().await;
    let to = open(&mock, "ns/app");
    copied(&from, &to, "1.0").await.unwrap();
    let tag = signature_tag(&image.digest);
    let copied_one = to.tagged(&tag).await.unwrap().unwrap();
    assert_eq!(copied_one.digest(), ours.digest, "alone it is copied as it is");

    let (first, last) = (open(&mock, "ns/again"), open(&mock, "ns/again"));
    put_image(&first, b"image".to_vec(), Some("1.0")).await;
    let copy = copied(&from, &first, "1.0");
    let (copied, _) = futures_util::join!(copy, sign(&last, &image.digest, "theirs"));
    copied.unwrap();
    assert_eq!(signers(&first, &image.digest).await, ["ours", "theirs"]);
}

/// As docker-registry does while another client sends the same blob.
#[tokio::test]
async fn a_registry_that_knows_no_blob_for_a_moment_is_asked_again() {
    let mock = Mock::start().await;
    let store = open(&mock, "ns/app");
    let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
    let first = Mutex::new(true);
    mock.misbehave(move |r, _| {
        let words = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#;
        (r.is("PUT", ".sig") && std::mem::take(&mut *first.lock().unwrap()))
            .then(|| Fault::Answer(reply(400).body(words)))
    });
    sign(&store, &image.digest, "ours").await;
    assert_eq!(signers(&store, &image.digest).await, ["ours"]);
}

#[tokio::test]
async fn a_signer_that_never_gets_through_says_so() {
    let mock = Mock::start().await;
    let store = open(&mock, "ns/app");
    let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
    let layer = signature(&store, "ours").await;
    mock.misbehave(|r, _| r.is("PUT", ".sig").then(|| Fault::Answer(reply(201))));
    let error = add_signatures(&store, &image.digest, &[layer]).await.unwrap_err();
    assert!(matches!(error, StoreError::Contended { .. }), "{error}");
}

/// Several processes with one layout: what each knew when it began is not what is there in the end.
#[tokio::test]
async fn layouts_that_are_committed_one_after_the_other_keep_all_signatures() {
    let dir = tempfile::tempdir().unwrap();
    let layout = || Layout::create(dir.path()).unwrap();
    let image = put_image(&layout(), b"image".to_vec(), Some("1.0")).await;
    let first = layout();
    sign(&first, &image.digest, "first").await;
    first.commit().await.unwrap();
    let stores = [layout(), layout(), layout()];
    for (store, by) in stores.iter().zip(["a", "b", "c"]) {
        sign(store, &image.digest, by).await;
        sign(store, &image.digest, &format!("{by}2")).await;
        assert_eq!(signers(store, &image.digest).await.len(), 3, "each sees its own at once");
    }
    for store in &stores {
        store.commit().await.unwrap();
    }
    let all = ["a", "a2", "b", "b2", "c", "c2", "first"];
    assert_eq!(signers(&layout(), &image.digest).await, all);
    let before = files(dir.path());
    for by in all {
        let store = layout();
        sign(&store, &image.digest, by).await;
        store.commit().await.unwrap();
    }
    assert_eq!(files(dir.path()), before, "again changes nothing");
}
