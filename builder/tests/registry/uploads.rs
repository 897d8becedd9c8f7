//! Blobs on their way into a registry.

use super::logins::options_with_login;
use super::*;

#[tokio::test]
async fn uploads_that_meet_trouble() {
    let mock = Mock::start().await;
    let content = big(350_000);
    let digest = Digest::of(&content);
    let source = || BlobSource::from_bytes(content.clone());
    let there = |path: &str| mock.blob(path, &digest) == Some(content.clone());

    // Hung up in the middle: goes on from where the session stands.
    mock.misbehave(|r, n| (r.method == "PUT" && n < 5).then_some(Fault::DropUpload(150_000)));
    assert_eq!(open(&mock, "a/cut").put_blob(&source()).await.unwrap(), Outcome::Moved);
    assert!(there("a/cut"));
    let ranges: Vec<_> =
        mock.log().iter().filter_map(|r| r.headers.get("content-range").cloned()).collect();
    assert_eq!(ranges, ["150000-349999"]);

    // Whole blobs are refused: chunks.
    mock.misbehave(|r, _| {
        let whole = r.method == "PUT" && r.headers["content-length"] != "0";
        whole.then(|| Fault::Answer(reply(413)))
    });
    assert_eq!(open(&mock, "a/chunks").put_blob(&source()).await.unwrap(), Outcome::Moved);
    assert!(there("a/chunks"));
    assert_eq!(mock.count("PATCH", ""), 4);

    // The session is lost each time: given up after the retries, nothing there.
    mock.misbehave(|r, _| r.is("PUT", "/uploads/").then(|| Fault::Answer(reply(404))));
    let error = open(&mock, "a/lost").put_blob(&source()).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { status: 404, .. }), "{error}");
    assert_eq!(mock.count("PUT", "/uploads/"), 3);

    // Silence while sending and after it.
    mock.misbehave(|r, _| r.is("PUT", "/uploads/").then_some(Fault::Silence));
    let error = open(&mock, "a/silent").put_blob(&source()).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error}");

    // A login that runs out between the session and the blob.
    let home = tempfile::tempdir().unwrap();
    mock.want_token("me:s3cret", None);
    let first = Mutex::new(true);
    let challenge = format!("Bearer realm=\"http://{}/token\"", mock.address);
    mock.misbehave(move |r, _| {
        (r.is("PUT", "/uploads/") && std::mem::take(&mut *first.lock().unwrap()))
            .then(|| Fault::Answer(reply(401).with("www-authenticate", challenge.clone())))
    });
    let registry = open_with(&mock, "a/late", options_with_login(home.path(), &mock, "me:s3cret"));
    assert_eq!(registry.put_blob(&source()).await.unwrap(), Outcome::Moved);
    assert!(there("a/late"));
}

#[tokio::test]
async fn a_source_that_lies_is_told_as_such() {
    let mock = Mock::start().await;
    let registry = open(&mock, "a/b");
    let content = big(300_000);
    let mut other = content.clone();
    other[299_999] ^= 1;
    let open: OpenRead = Arc::new(move || Ok(Box::new(Cursor::new(other.clone()))));
    let source = BlobSource::from_reader(Digest::of(&content), 300_000, open);
    let error = registry.put_blob(&source).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error}");
    // The connection may be closed before the server has seen the request.
    assert!(mock.count("PUT", "/uploads/") <= 1, "it is sent again");
    mock.behave();
    let missing: OpenRead = Arc::new(|| Err(std::io::ErrorKind::NotFound.into()));
    let source = BlobSource::from_reader(Digest::of(&content), 300_000, missing);
    let error = registry.put_blob(&source).await.unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(mock.count("PUT", "/uploads/") <= 1, "it is sent again");
    assert_eq!(mock.blob("a/b", &Digest::of(&content)), None);
}

#[tokio::test]
async fn mounts_from_a_neighbour() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<Outcome>>);
    impl Progress for Seen {
        fn finished(&self, _: &Item, outcome: Outcome) {
            self.0.lock().unwrap().push(outcome);
        }
    }
    let mock = Mock::start().await;
    let client = RegistryClient::new(options());
    let at = |path: &str| {
        client.repository(format!("{}/{path}", mock.address).parse().unwrap()).unwrap()
    };
    let (from, to) = (at("ns/from"), at("ns/to"));
    put_image(&from, big(300_000), Some("1.0")).await;
    mock.behave();
    let seen = Arc::new(Seen::default());
    let options = CopyOptions { progress: Arc::clone(&seen) as _, ..CopyOptions::default() };
    let image = ImageRef::Tag("1.0".into());
    copy(&from, &image, &to, Some("1.0"), &options).await.unwrap();
    assert_eq!(*seen.0.lock().unwrap(), [Outcome::Mounted; 2]);
    assert_eq!((mock.count("GET", "/blobs/"), mock.count("PUT", "/blobs/")), (0, 0));

    // A refused mount opens a session, which is used.
    let source = BlobSource::from_bytes("new")
        .mountable_from(format!("{}/ns/from", mock.address).parse().unwrap());
    mock.behave();
    assert_eq!(to.put_blob(&source).await.unwrap(), Outcome::Moved);
    assert_eq!(mock.count("POST", ""), 1);
    // A forbidden one is no failure either.
    mock.misbehave(|r, _| r.is("POST", "mount=").then(|| Fault::Answer(reply(403))));
    assert_eq!(at("ns/third").put_blob(&source).await.unwrap(), Outcome::Moved);
}
