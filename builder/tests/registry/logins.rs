//! Who logs in where.

use super::*;

#[tokio::test]
async fn a_limit_is_waited_for_when_it_is_short() {
    let (mock, dir, layout) = scene().await;
    let limited = |n: usize, after: &'static str| {
        mock.misbehave(move |r, number| {
            let now = r.target.contains("/ns/") && number <= n;
            now.then(|| Fault::Answer(reply(429).with("retry-after", after)))
        });
    };
    limited(usize::MAX, "3600");
    let error = refused(&mock, &dir, &layout).await;
    let hour = Some(Duration::from_secs(3600));
    assert!(matches!(error, StoreError::RateLimited { retry_after, .. } if retry_after == hour));
    assert_eq!(mock.log().len(), 1);

    // Request 0 finds out the scheme.
    limited(1, "1");
    let start = Instant::now();
    copied(&open(&mock, "ns/app"), &layout, "1.0").await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
}

pub fn options_with_login(dir: &Path, mock: &Mock, login: &str) -> RegistryOptions {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(login);
    let json = serde_json::json!({"auths": {mock.address.to_string(): {"auth": auth}}});
    let file = dir.join("auth.json");
    fs::write(&file, json.to_string()).unwrap();
    let places = LoginPlaces { registry_auth_file: Some(file), ..LoginPlaces::default() };
    let none = Arc::new(|_: &str, _: &str| Ok(None::<LoginKind>));
    RegistryOptions { logins: Logins::new(places, none), ..options() }
}

#[tokio::test]
async fn logins() {
    let (mock, dir, layout) = scene().await;
    let home = tempfile::tempdir().unwrap();
    for basic in [false, true] {
        if basic {
            mock.want_basic("me:s3cret")
        } else {
            mock.want_token("me:s3cret", None)
        }
        mock.behave();
        let error = refused(&mock, &dir, &layout).await;
        assert!(matches!(error, StoreError::Unauthorized { .. }), "{error}");
        assert!(error.to_string().contains("no login"), "{error}");

        let wrong = options_with_login(home.path(), &mock, "me:wr0ng");
        let from = open_with(&mock, "ns/app", wrong);
        let error = copied(&from, &layout, "1.0").await.unwrap_err();
        assert!(matches!(error, StoreError::Unauthorized { .. }), "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains("auth.json") && !text.contains("wr0ng"), "{text}");

        mock.behave();
        let right = options_with_login(home.path(), &mock, "me:s3cret");
        let registry = open_with(&mock, "ns/app", right);
        copied(&registry, &layout, "1.0").await.unwrap();
        put_index(&registry, "2.0").await;
        let tokens = mock.count("GET", "/token");
        assert_eq!(tokens, if basic { 0 } else { 2 }, "one to read, one to write");
        let unasked =
            mock.log().iter().filter(|r| !r.headers.contains_key("authorization")).count();
        assert_eq!(unasked, 1, "only the first request goes without");
    }
}

#[tokio::test]
async fn a_login_goes_nowhere_else() {
    let (mock, dir, layout) = scene().await;
    let home = tempfile::tempdir().unwrap();
    let storage = Mock::start().await;
    let blob = storage.add_blob("s", &big(300_000));
    mock.want_token("me:s3cret", None);
    let elsewhere = storage.address;
    mock.misbehave(move |r, _| {
        let digest = r.target.rsplit('/').next().unwrap();
        let url = format!("http://{elsewhere}/v2/s/blobs/{digest}?signed=1");
        let has_token = r.headers.contains_key("authorization");
        (has_token && r.is("GET", "/blobs/"))
            .then(|| Fault::Answer(reply(307).with("location", url)))
    });
    let login = || options_with_login(home.path(), &mock, "me:s3cret");
    let from = open_with(&mock, "ns/app", login());
    copied(&from, &layout, "1.0").await.unwrap();
    assert!(layout.has_blob(&blob, 300_000).await.unwrap());
    assert_eq!(storage.log().len(), 1, "the config was there already");
    assert!(storage.log().iter().all(|r| !r.headers.contains_key("authorization")));

    let _ = dir;
    let away = reply(307).with("location", "http://registry.example/blob");
    mock.misbehave(move |r, _| r.is("GET", "/blobs/").then(|| Fault::Answer(away.clone())));
    let error = from.blob(&blob, 300_000).await.err().unwrap();
    assert!(matches!(error, StoreError::PlainHttpRefused { .. }), "{error}");

    mock.want_token("me:s3cret", Some("http://tokens.example/"));
    mock.behave();
    let error = open_with(&mock, "ns/app", login()).tags().await.unwrap_err();
    assert!(matches!(error, StoreError::PlainHttpRefused { .. }), "{error}");

    let circle = reply(302).with("location", "/v2/ns/app/blobs/again");
    mock.misbehave(move |r, _| r.is("GET", "/blobs/").then(|| Fault::Answer(circle.clone())));
    let error = open(&mock, "ns/app").blob(&blob, 300_000).await.err().unwrap();
    assert!(error.to_string().contains("redirects"), "{error}");
}
