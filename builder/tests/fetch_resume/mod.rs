//! What broke off and goes on: only what is missing comes again, and only of the same content.

use std::os::fd::OwnedFd;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use treelay::fetch::{Fetcher, Outcome};
use treelay::store::Store;
use treelay_recipes::Digest;

use super::fault_server::{Answer, Server};
use super::{body, fetch, options, wanted};

#[tokio::test(flavor = "multi_thread")]
async fn what_broke_off_is_continued() {
    let content = body(600_000);
    let server = Server::start(vec![
        Answer::ok(&content).header("ETag: \"v1\"").cut(500_000),
        Answer::range(&content),
    ])
    .await;
    let (result, sink) = fetch(&wanted(&[server.url("/x")], &content)).await;
    let fetched = result.unwrap();
    assert_eq!((fetched.digest, fetched.size), (Digest::of(&content), 600_000));
    assert_eq!(sink.0.lock().unwrap().blobs[&fetched.digest], content);
    assert_eq!(sink.0.lock().unwrap().begun, 1);
    let requests = server.requests();
    // What had arrived in whole chunks is not asked for again.
    let range = requests[1].header("range").unwrap();
    let from: u64 =
        range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
    assert!(from > 0 && from <= 500_000, "{range}");
    assert_eq!(requests[1].header("if-range"), Some("\"v1\""));
    let cut = Outcome::Cut { got: from, expected: Some(600_000) };
    assert_eq!(fetched.attempts[0].tries, [cut]);
}

/// What a connection costs that is dropped near the end: the rest alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_a_drop_is_not_served_again() {
    let content = body(10_000_000);
    let server = Server::start(vec![
        Answer::ok(&content).header("ETag: \"v1\"").cut(9_000_000),
        Answer::range(&content),
    ])
    .await;
    let (result, sink) = fetch(&wanted(&[server.url("/x")], &content)).await;
    assert_eq!(sink.0.lock().unwrap().blobs[&result.unwrap().digest], content);
    assert_eq!(server.requests()[1].header("range"), Some("bytes=9000000-"));
    assert_eq!(server.sent(), content.len());
}

/// Verification reads nothing back: the kernel would tell.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_into_the_store_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let content = body(3_000_000);
    let server = Server::start(vec![Answer::ok(&content)]).await;
    let wanted = wanted(&[server.url("/x")], &content);
    let digest = wanted.digest.unwrap();
    let objects = folder.path().join("objects").join(&digest.hex()[..2]);
    std::fs::create_dir_all(&objects).unwrap();
    let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
    let told = WatchFlags::ACCESS | WatchFlags::MODIFY | WatchFlags::MOVED_TO;
    for place in [&folder.path().join("tmp"), &objects] {
        inotify::add_watch(&watch, place, told).unwrap();
    }
    Fetcher::new(options()).fetch(&wanted, &store, &()).await.unwrap();
    let events = happened(&watch);
    assert!(events.contains(ReadFlags::MODIFY | ReadFlags::MOVED_TO), "{events:?}");
    assert!(!events.contains(ReadFlags::ACCESS), "{events:?}");
    assert_eq!(std::fs::read(store.object(&digest).unwrap()).unwrap(), content);
    assert!(happened(&watch).contains(ReadFlags::ACCESS));
}

/// What was done to files since this was last asked.
fn happened(watch: &OwnedFd) -> ReadFlags {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    let mut all = ReadFlags::empty();
    while let Ok(event) = reader.next() {
        all |= event.events();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_changed_meanwhile_begins_anew() {
    let (old, new) = (body(300_000), body(200_000));
    let server = Server::start(vec![
        Answer::ok(&old).header("ETag: \"v1\"").cut(100_000),
        Answer::ok(&new).header("ETag: \"v2\""),
    ])
    .await;
    let (result, sink) = fetch(&wanted(&[server.url("/x")], &new)).await;
    assert_eq!(result.unwrap().size, 200_000);
    assert_eq!(sink.0.lock().unwrap().begun, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_do_not_fit_are_fetched_anew_before_anyone_is_called_a_liar() {
    let (old, new) = (vec![0; 300_000], body(300_000));
    let date = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
    let server = Server::start(vec![
        Answer::ok(&old).header(date).cut(100_000),
        Answer::range(&new),
        Answer::ok(&new).header(date),
    ])
    .await;
    let (result, sink) = fetch(&wanted(&[server.url("/x")], &new)).await;
    let fetched = result.unwrap();
    assert_eq!(sink.0.lock().unwrap().blobs[&fetched.digest], new);
    assert!(matches!(&fetched.attempts[0].tries[..], [Outcome::Cut { .. }, Outcome::Nonsense(_)]));
    assert!(!fetched.attempts[0].lied());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_strong_validator_nothing_is_continued() {
    let content = body(300_000);
    let server = Server::start(vec![
        Answer::ok(&content).header("ETag: W/\"v1\"").cut(100_000),
        Answer::ok(&content),
    ])
    .await;
    let (result, _) = fetch(&wanted(&[server.url("/x")], &content)).await;
    assert_eq!(result.unwrap().size, 300_000);
    assert_eq!(server.requests()[1].header("range"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_range_than_was_asked_for_is_not_taken() {
    let content = body(300_000);
    let server = Server::start(vec![
        Answer::ok(&content).header("ETag: \"v1\"").cut(100_000),
        Answer::status(206).header("Content-Range: bytes 7-299999/300000").body(&content[7..]),
        Answer::ok(&content),
    ])
    .await;
    let (result, _) = fetch(&wanted(&[server.url("/x")], &content)).await;
    assert_eq!(result.unwrap().attempts[0].tries.len(), 2);
}

/// It ends before what is there, or began anew and does not say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_cannot_be_had_begins_anew() {
    let content = body(300_000);
    let server = Server::start(vec![
        Answer::ok(&content).header("ETag: \"v1\"").cut(100_000),
        Answer::status(416).header("Content-Range: bytes */50000"),
        Answer::ok(&content),
    ])
    .await;
    let (result, sink) = fetch(&wanted(&[server.url("/x")], &content)).await;
    let tries = &result.unwrap().attempts[0].tries;
    assert!(
        matches!(&tries[..], [Outcome::Cut { .. }, Outcome::Status { code: 416 }]),
        "{tries:?}"
    );
    let ranges: Vec<bool> =
        server.requests().iter().map(|request| request.header("range").is_some()).collect();
    assert_eq!((ranges, sink.0.lock().unwrap().begun), (vec![false, true, false], 2));
}
