//! Referrers in registries with and without their API, and copied between all kinds of stores.

use serde_json::{Value, json};
use treelay::image_store::attachments;
use treelay::image_store::referrers::{self, Cut, fallback_tag};
use treelay::image_store::signatures::Beside;

use super::*;
use crate::mock_registry::ReferrersApi;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SBOM: &str = "application/spdx+json";
const API: Option<ReferrersApi> = Some(ReferrersApi { header: true, page: 2 });
const SILENT: Option<ReferrersApi> = Some(ReferrersApi { header: false, page: 100 });

/// A manifest about `subject` whose one layer is `text`, its blobs put.
async fn referrer(
    store: &dyn ImageStore,
    subject: &Descriptor,
    kind: &str,
    text: &str,
) -> Manifest {
    let config = put(store, b"{}".to_vec()).await;
    let layer = put(store, text.as_bytes().to_vec()).await;
    let json = json!({
        "schemaVersion": 2, "mediaType": media::MANIFEST, "artifactType": kind, "config": config,
        "layers": [layer], "subject": subject, "annotations": {"by": text},
    });
    Manifest::new(media::MANIFEST, json.to_string().into_bytes())
}

async fn attach(
    store: &dyn ImageStore,
    subject: &Descriptor,
    kind: &str,
    text: &str,
) -> Descriptor {
    let manifest = referrer(store, subject, kind, text).await;
    referrers::put_all(store, subject, std::slice::from_ref(&manifest)).await.unwrap();
    manifest.referrer_descriptor("").unwrap()
}

/// The texts of what refers to `subject`, sorted.
async fn texts(store: &dyn ImageStore, subject: &Digest) -> Vec<String> {
    let listing = referrers::list(store, subject).await.unwrap();
    assert_eq!((listing.unreadable, listing.cut), (0, None));
    let mut texts: Vec<_> = listing.referrers.iter().map(|r| r.annotations["by"].clone()).collect();
    texts.sort();
    texts
}

fn fallback(mock: &Mock, subject: &Digest) -> Option<Value> {
    let bytes = mock.manifest("ns/app", &fallback_tag(subject))?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn by_the_api_in_one_request_for_each_page() {
    let mock = Mock::start().await;
    mock.keep_referrers(API);
    let store = open(&mock, "ns/app");
    let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
    for text in ["a", "b", "c"] {
        let put = attach(&store, &image, BUNDLE, text).await;
        assert_eq!(put.artifact_type.as_deref(), Some(BUNDLE));
    }
    assert_eq!(fallback(&mock, &image.digest), None);
    mock.behave();
    assert_eq!(texts(&open(&mock, "ns/app"), &image.digest).await, ["a", "b", "c"]);
    assert_eq!(mock.log().len(), 2, "{:?}", mock.log());
    assert_eq!(texts(&store, &Digest::of("another")).await, [""; 0]);
}

#[tokio::test]
async fn without_the_api_by_the_fallback_tag_and_asked_once() {
    let mock = Mock::start().await;
    let store = open(&mock, "ns/app");
    let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
    let foreign = json!({
        "schemaVersion": 2, "mediaType": media::INDEX, "manifests": [
            {"mediaType": "m", "digest": Digest::of("foreign"), "size": 3, "artifactType": "x",
             "annotations": {"by": "foreign"}, "data": "e30="},
        ],
    });
    let tag = fallback_tag(&image.digest);
    mock.add_manifest("ns/app", &tag, media::INDEX, foreign.to_string().as_bytes());
    attach(&store, &image, BUNDLE, "a").await;
    attach(&store, &image, SBOM, "b").await;
    attach(&store, &image, SBOM, "b").await;
    let index = fallback(&mock, &image.digest).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries[0], foreign["manifests"][0]);
    let kinds: Vec<_> = entries.iter().map(|e| e["artifactType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["x", BUNDLE, SBOM]);
    assert_eq!(texts(&store, &image.digest).await, ["a", "b", "foreign"]);
    assert_eq!(mock.count("GET", "/referrers/"), 1, "it is not asked again");

    // Another client, several subjects one after the other: the first answer is remembered.
    mock.behave();
    let store = open(&mock, "ns/app");
    for subject in [Digest::of("1"), image.digest, Digest::of("2")] {
        referrers::list(&store, &subject).await.unwrap();
    }
    assert_eq!(mock.log().len(), 4, "{:?}", mock.log());
}

#[tokio::test]
async fn a_registry_that_lists_and_does_not_say_so_needs_no_tag() {
    let mock = Mock::start().await;
    mock.keep_referrers(SILENT);
    let store = open(&mock, "ns/app");
    let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
    attach(&store, &image, BUNDLE, "a").await;
    assert_eq!(texts(&store, &image.digest).await, ["a"]);
    assert_eq!(fallback(&mock, &image.digest), None);

    // One that answers any path with a page for people has no such API.
    mock.misbehave(|r, _| {
        let page = reply(200).with("content-type", "text/html").body("<p>welcome");
        r.is("GET", "/referrers/").then_some(Fault::Answer(page))
    });
    mock.keep_referrers(None);
    let store = open(&mock, "ns/app");
    attach(&store, &image, BUNDLE, "b").await;
    assert_eq!(texts(&store, &image.digest).await, ["b"]);
}

#[tokio::test]
async fn an_old_fallback_tag_does_not_count_beside_the_api() {
    let mock = Mock::start().await;
    let image = put_image(&open(&mock, "ns/app"), b"image".to_vec(), Some("1.0")).await;
    attach(&open(&mock, "ns/app"), &image, BUNDLE, "before").await;
    mock.keep_referrers(API);
    let store = open(&mock, "ns/app");
    let old = fallback(&mock, &image.digest).unwrap();
    attach(&store, &image, BUNDLE, "after").await;
    assert_eq!(texts(&store, &image.digest).await, ["after", "before"]);
    assert_eq!(fallback(&mock, &image.digest).unwrap(), old, "it is left as it is");
}

#[tokio::test]
async fn writers_at_once_lose_nothing() {
    for conditions in [false, true] {
        let mock = Mock::start().await;
        if conditions {
            mock.heed_conditions();
        }
        let image = put_image(&open(&mock, "ns/app"), b"image".to_vec(), Some("1.0")).await;
        let names = ["a", "b", "c", "d", "e", "f"];
        // A client for each: they know nothing of each other.
        let stores: Vec<_> = names.iter().map(|_| open(&mock, "ns/app")).collect();
        let puts = stores.iter().zip(names).map(|(s, name)| attach(s, &image, BUNDLE, name));
        futures_util::future::join_all(puts).await;
        assert_eq!(texts(&stores[0], &image.digest).await, names, "conditions: {conditions}");
    }
}

/// A writer that is faster between our reading and our writing, where the registry knows
/// conditions; and one that was slower, and replaced ours with what it made before.
#[tokio::test]
async fn what_another_writer_did_in_between_is_kept() {
    for (conditions, method, at) in [(true, "PUT", 1), (false, "GET", 2)] {
        let mock = Mock::start().await;
        if conditions {
            mock.heed_conditions();
        }
        let store = open(&mock, "ns/app");
        let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
        let tag = fallback_tag(&image.digest);
        let other = json!({
            "schemaVersion": 2, "mediaType": media::INDEX, "manifests": [
                {"mediaType": "m", "digest": Digest::of("1"), "size": 3, "annotations": {"by": "other"}},
            ],
        });
        let (rival, name, times) = (mock.clone(), tag.clone(), Mutex::new(0));
        mock.misbehave(move |r, _| {
            if r.is(method, &name) {
                let mut times = times.lock().unwrap();
                *times += 1;
                if *times == at {
                    rival.add_manifest("ns/app", &name, media::INDEX, other.to_string().as_bytes());
                }
            }
            None
        });
        attach(&store, &image, BUNDLE, "ours").await;
        assert_eq!(texts(&store, &image.digest).await, ["other", "ours"], "{method}");
    }
}

#[tokio::test]
async fn a_writer_that_never_gets_through_says_so() {
    let mock = Mock::start().await;
    let store = open(&mock, "ns/app");
    let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
    mock.misbehave(|r, _| r.is("PUT", "/manifests/sha256-").then(|| Fault::Answer(reply(201))));
    let manifest = referrer(&store, &image, BUNDLE, "ours").await;
    let error = referrers::put_all(&store, &image, &[manifest]).await.unwrap_err();
    assert!(matches!(error, StoreError::Contended { .. }), "{error}");
}

#[tokio::test]
async fn lists_without_end_are_cut_and_it_is_told() {
    let mock = Mock::start().await;
    let subject = Digest::of("subject");
    let answer = |entries: Vec<Value>, link: Option<&str>| {
        let body = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": entries});
        let answer = reply(200).with("content-type", media::INDEX).body(body.to_string());
        match link {
            Some(link) => answer.with("link", format!("<{link}>; rel=\"next\"")),
            None => answer,
        }
    };
    let entry = |n: usize| json!(Descriptor::new("m", Digest::of(n.to_string()), 1));
    let serve = |answer: mock_registry::Reply| {
        mock.misbehave(move |r, _| {
            r.is("GET", "/referrers/").then(|| Fault::Answer(answer.clone()))
        });
    };
    let list = async || referrers::list(&open(&mock, "ns/app"), &subject).await;

    serve(answer(vec![entry(0), json!(7)], Some("/v2/ns/app/referrers/again")));
    let listing = list().await.unwrap();
    assert_eq!((listing.referrers.len(), listing.cut), (1, Some(Cut::Pages)));
    assert_eq!((listing.unreadable, mock.log().len()), (referrers::MAX_PAGES, 100));

    serve(answer((0..3000).map(entry).collect(), Some("/v2/ns/app/referrers/again")));
    let listing = list().await.unwrap();
    assert_eq!((listing.referrers.len(), listing.cut), (1000, Some(Cut::Number)));
    assert_eq!(mock.log().len(), 1);

    let long = vec![b' '; MANIFEST_LIMIT as usize + 1];
    serve(answer(Vec::new(), None).body(long));
    let listing = list().await.unwrap();
    assert_eq!((listing.referrers.len(), listing.cut), (0, Some(Cut::Bytes)));
    assert_eq!(mock.log().len(), 1, "it is not tried again");

    serve(answer(vec![entry(0)], Some("http://127.0.0.1:1/v2/x")));
    let error = list().await.unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
}

#[tokio::test]
async fn what_lies_is_found_out() {
    let mock = Mock::start().await;
    let store = open(&mock, "ns/app");
    let image = put_image(&store, b"image".to_vec(), Some("1.0")).await;
    let true_one = attach(&store, &image, BUNDLE, "a").await;
    let other = Descriptor::new(media::MANIFEST, Digest::of("other"), 3);
    let about_other = attach(&store, &other, BUNDLE, "b").await;
    let mut lie = true_one.clone();
    lie.size += 1;
    lie.artifact_type = Some(SBOM.into());
    lie.annotations.insert("by".into(), "someone".into());
    let gone = Descriptor::new(media::MANIFEST, Digest::of("gone"), 3);
    let body = json!({"schemaVersion": 2, "mediaType": media::INDEX,
        "manifests": [lie, about_other, gone]});
    let tag = fallback_tag(&image.digest);
    mock.add_manifest("ns/app", &tag, media::INDEX, body.to_string().as_bytes());

    let listing = referrers::list(&store, &image.digest).await.unwrap();
    let read = async |n: usize| referrers::read(&store, &image.digest, &listing.referrers[n]).await;
    let found = read(0).await.unwrap();
    assert_eq!((found.lies.len(), &found.descriptor), (3, &true_one));
    let stranger = read(1).await.unwrap_err().to_string();
    assert!(stranger.contains(&format!("its subject is {}", other.digest)), "{stranger}");
    assert!(matches!(read(2).await, Err(StoreError::NotFound { .. })));

    let shown = attachments::of(&store, &[image.digest]).await.unwrap();
    assert_eq!((shown.attached.len(), shown.problems.len()), (1, 5), "{shown:?}");

    // Only what is about the image is copied, and how it should be listed.
    let dir = tempfile::tempdir().unwrap();
    let to = Layout::create(dir.path()).unwrap();
    let tag = ImageRef::Tag("1.0".into());
    let report = copy(&store, &tag, &to, Some("1.0"), &CopyOptions::default()).await.unwrap();
    assert_eq!(report.left.len(), 2, "{:?}", report.left);
    let copied = referrers::list(&to, &image.digest).await.unwrap();
    assert_eq!(copied.referrers, [true_one]);
}

/// All stores there are, in an order in which each kind is copied to each.
#[tokio::test]
async fn all_that_is_attached_is_copied_everywhere_and_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let layout = |name: &str| -> Box<dyn ImageStore> {
        Box::new(Layout::create(&dir.path().join(name)).unwrap())
    };
    let (without, with) = (Mock::start().await, Mock::start().await);
    with.keep_referrers(API);
    let registry = |mock: &Mock, path: &str| -> Box<dyn ImageStore> { Box::new(open(mock, path)) };
    let places = [
        layout("first"),
        registry(&without, "ns/app"),
        registry(&with, "ns/app"),
        registry(&without, "ns/again"),
        layout("second"),
        registry(&with, "ns/again"),
        layout("third"),
        layout("last"),
    ];
    let first = &*places[0];
    let index = put_index(first, "1.0").await;
    let Parts::Index(children) = first.manifest(&index.digest).await.unwrap().parts("").unwrap()
    else {
        panic!("no index")
    };
    let child = Descriptor { annotations: BTreeMap::new(), ..children[1].clone() };
    let tag = Beside::Attestations.tag(&index.digest);
    put_image(first, b"attestation".to_vec(), Some(&tag)).await;
    attach(first, &index, BUNDLE, "of index").await;
    attach(first, &child, BUNDLE, "of child").await;
    let sbom = attach(first, &child, SBOM, "sbom").await;
    let sbom = Descriptor { annotations: BTreeMap::new(), artifact_type: None, ..sbom };
    attach(first, &sbom, BUNDLE, "of sbom").await;
    put_image(first, b"sig of sbom".to_vec(), Some(&Beside::Signatures.tag(&sbom.digest))).await;
    first.commit().await.unwrap();

    let image = ImageRef::Tag("1.0".into());
    let options = CopyOptions::default();
    for pair in places.windows(2) {
        let (from, to) = (&*pair[0], &*pair[1]);
        // Someone was here before.
        attach(to, &index, BUNDLE, "by others").await;
        to.commit().await.unwrap();
        for again in [false, true] {
            let before = (without.manifests(), with.manifests(), files(dir.path()));
            let report = copy(from, &image, to, Some("1.0"), &options).await.unwrap();
            assert_eq!(report.left, [], "{}", to.place());
            let mut kinds: Vec<_> = report.attached.iter().map(|a| a.kind.as_str()).collect();
            kinds.sort();
            kinds.retain(|kind| *kind != BUNDLE);
            assert_eq!(kinds, [SBOM, "att", "sig", "sig", "sig"]);
            if again {
                assert_eq!(report.moved, (0, 0));
                assert_eq!(before, (without.manifests(), with.manifests(), files(dir.path())));
            }
        }
        assert_eq!(texts(to, &index.digest).await, ["by others", "of index"], "{}", to.place());
        assert_eq!(texts(to, &child.digest).await, ["of child", "sbom"]);
        assert_eq!(texts(to, &sbom.digest).await, ["of sbom"]);
        let shown = attachments::of(to, &[index.digest, sbom.digest]).await.unwrap();
        let by: Vec<_> = shown.attached.iter().map(|a| a.by).collect();
        assert_eq!(by, ["sig", "att", "referrer", "referrer", "sig", "referrer"]);
    }

    let bare = layout("bare");
    let options = CopyOptions { signatures: false, ..options };
    let report = copy(&*places[7], &image, &*bare, Some("1.0"), &options).await.unwrap();
    assert_eq!((report.attached.len(), bare.tags().await.unwrap().len()), (0, 1));
    assert_eq!(referrers::list(&*bare, &index.digest).await.unwrap().referrers, []);
}

#[tokio::test]
async fn what_is_attached_too_deep_is_told_and_left() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| Layout::create(&dir.path().join(name)).unwrap();
    let (from, to) = (at("from"), at("to"));
    let mut chain = vec![put_image(&from, b"image".to_vec(), Some("1.0")).await];
    for text in ["1", "2", "3", "4", "5"] {
        let last = chain.last().unwrap();
        let next = attach(&from, last, SBOM, text).await;
        chain.push(Descriptor::new(next.media_type, next.digest, next.size));
    }
    from.commit().await.unwrap();
    let image = ImageRef::Tag("1.0".into());
    let report = copy(&from, &image, &to, Some("1.0"), &CopyOptions::default()).await.unwrap();
    let copied: Vec<_> = report.attached.iter().map(|one| one.digest).collect();
    assert_eq!(copied, [1, 2, 3].map(|n| chain[n].digest));
    assert_eq!(report.left.len(), 1);
    assert_eq!(report.left[0].subject, chain[3].digest);
    assert!(report.left[0].reason.contains("levels deep"), "{:?}", report.left);
}

/// An API that forbids, or does not know, the path; and a fallback tag that is no list.
#[tokio::test]
async fn odd_answers_about_referrers() {
    let mock = Mock::start().await;
    let image = put_image(&open(&mock, "ns/app"), b"image".to_vec(), Some("1.0")).await;
    attach(&open(&mock, "ns/app"), &image, BUNDLE, "a").await;
    for status in [400, 403, 404, 405, 406, 501] {
        mock.misbehave(move |r, _| {
            r.is("GET", "/referrers/").then(|| Fault::Answer(reply(status)))
        });
        assert_eq!(texts(&open(&mock, "ns/app"), &image.digest).await, ["a"], "{status}");
    }
    mock.misbehave(|r, _| r.is("GET", "/referrers/").then(|| Fault::Answer(reply(503))));
    let error = referrers::list(&open(&mock, "ns/app"), &image.digest).await.unwrap_err();
    assert!(matches!(error, StoreError::ServerError { status: 503, .. }), "{error}");

    mock.behave();
    let tag = fallback_tag(&image.digest);
    let other = mock.manifest("ns/app", "1.0").unwrap();
    mock.add_manifest("ns/app", &tag, media::MANIFEST, &other);
    let store = open(&mock, "ns/app");
    let error = referrers::list(&store, &image.digest).await.unwrap_err();
    assert!(error.to_string().contains("has the tag of a list of referrers"), "{error}");
    let manifest = referrer(&store, &image, BUNDLE, "b").await;
    let error = referrers::put_all(&store, &image, &[manifest]).await.unwrap_err();
    assert!(matches!(error, StoreError::BadManifest { .. }), "{error}");
    assert_eq!(mock.manifest("ns/app", &tag).unwrap(), other, "it is never replaced");

    let long = vec![b' '; MANIFEST_LIMIT as usize + 1];
    mock.add_manifest("ns/app", &tag, media::INDEX, &long);
    let listing = referrers::list(&store, &image.digest).await.unwrap();
    assert_eq!((listing.referrers.len(), listing.cut), (0, Some(Cut::Bytes)));
}
