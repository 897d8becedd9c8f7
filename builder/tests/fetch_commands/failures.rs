//! What goes wrong with servers, one after the other: how often each is asked, what is said of it, and
//! that the next address serves.

use futures_util::future::join_all;
use tokio::net::TcpListener;

use super::peer::{Act, Peer, say};
use super::{World, archive};
use crate::fault_server::{Answer, Server};
use crate::fetch_rules::tls::Authority;

const ONCE: usize = 1;
const TWICE: usize = 2;

/// Who misbehaves, and what is to be said of it.
struct Case {
    url: String,
    says: String,
    tries: usize,
    lied: bool,
    /// More that the user's treelay.toml says.
    settings: String,
    /// Serves until the case is over.
    _server: Keep,
}

/// What has to go on while a case does.
enum Keep {
    Nothing,
    Peer(#[allow(dead_code)] Peer),
    Server(#[allow(dead_code)] Server),
}

fn case(url: String, server: Keep, tries: usize, says: &str) -> Case {
    let (says, settings) = (says.to_owned(), String::new());
    Case { url, says, tries, lied: false, settings, _server: server }
}

async fn peer(acts: &[Act], tries: usize, says: &str) -> Case {
    let peer = Peer::start(vec![acts.to_vec(); 5]).await;
    case(peer.url("/x"), Keep::Peer(peer), tries, says)
}

async fn server(answer: Answer, tries: usize, says: &str) -> Case {
    let server = Server::start(vec![answer; 15]).await;
    case(server.url("/x"), Keep::Server(server), tries, says)
}

async fn tls(
    trusted: bool,
    config: std::sync::Arc<tokio_rustls::rustls::ServerConfig>,
    tries: usize,
    says: &str,
) -> Case {
    let server = Server::start_tls(vec![Answer::ok(b""); 5], config).await;
    let url = format!("https://127.0.0.1:{}/x", server.port());
    let mut case = case(url, Keep::Server(server), tries, says);
    if trusted {
        case.settings = "[host.\"127.0.0.1\"]\nca = \"ca.pem\"\n".to_owned();
    }
    case
}

/// Locks with a server that fails as the case has it, and another one behind it.
async fn observe(case: Case, content: &[u8], authority: &Authority) {
    let Case { url, says, tries, lied, settings, _server } = case;
    let good = Server::start(vec![Answer::ok(content); 3]).await;
    let world = World::new();
    world.recipe(&[url.clone(), good.url("/good")], content);
    world.write_setting("ca.pem", authority.pem());
    world.settings(&format!(
        "{settings}[limits]\ntries = 2\nbackoff = \"1ms\"\nconnect = \"2s\"\nfirst-byte = \"3s\"\n\
         stall = \"3s\"\n"
    ));
    let output = world.lock().await.ok();
    let served = output.served();
    let context = format!("{url}: {served:#}");
    assert_eq!(served["served"], good.url("/good"), "{context}");
    let attempts = served["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{context}");
    assert_eq!(attempts[0]["place"], url, "{context}");
    assert_eq!(attempts[0]["lied"], lied, "{context}");
    let failed = attempts[0]["failed"].as_str().unwrap();
    assert!(failed.contains(&says), "{says}: {context}");
    assert_eq!(failed.contains("(2 times)"), tries == TWICE, "{context}");
    assert!(!failed.contains(", then "), "{context}");
    assert_eq!(good.requests().len(), 1, "{context}");
    // It is told while it happens, and told apart from mere failure.
    assert!(output.err().contains(failed), "{}", output.err());
    let quarantine = world.dir().join("store/quarantine");
    let kept = std::fs::read_dir(quarantine).map_or(0, |entries| entries.count());
    assert_eq!(kept, usize::from(lied && says.contains("DIGEST")), "{context}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_is_followed_by_the_next_place() {
    let content = &archive(100_000);
    let ours = Authority::new();
    let size = content.len();
    let mut cases = Vec::new();

    // Connections.
    let closed = Server::start(Vec::new()).await;
    let url = closed.url("/x");
    closed.stop().await;
    cases.push(case(url, Keep::Nothing, TWICE, "connecting failed: Connection refused"));
    // Once it has heard: before that a client may see it while it connects.
    cases.push(peer(&[Act::Hear, Act::Reset], TWICE, "the connection broke").await);
    let begun = say("HTTP/1.1 200 OK\r\nContent-Le");
    cases.push(peer(&[Act::Hear, begun.clone(), Act::Reset], TWICE, "the connection broke").await);
    cases.push(peer(&[Act::Hear, begun], TWICE, "the connection broke").await);
    cases.push(peer(&[Act::Hear], TWICE, "the connection broke").await);
    cases.push(peer(&[Act::Hear, say("SSH-2.0-x\r\n")], TWICE, "the connection broke").await);
    let mut silent = peer(&[Act::Hold], TWICE, "no connection within 2 s").await;
    silent.url = silent.url.replace("http://", "https://");
    cases.push(silent);
    cases.push(peer(&[Act::Hear, Act::Hold], TWICE, "no answer within 3 s").await);

    // Statuses.
    for code in [408, 425, 429, 500, 502, 503, 504] {
        cases.push(server(Answer::status(code), TWICE, &format!("HTTP {code}")).await);
    }
    for code in [400, 401, 403, 404, 410] {
        cases.push(server(Answer::status(code), ONCE, &format!("HTTP {code}")).await);
    }
    let busy = |header: &str| Answer::status(429).header(header);
    let later = "not to be asked again for 7200 s, where 60 s is the most that is waited";
    cases.push(server(busy("Retry-After: 7200"), ONCE, later).await);
    let dated = busy("Retry-After: Sun, 06 Nov 1994 10:49:37 GMT")
        .header("Date: Sun, 06 Nov 1994 08:49:37 GMT");
    cases.push(server(dated, ONCE, later).await);

    // TLS.
    let unknown = "its certificate was not accepted";
    cases.push(tls(false, ours.server("127.0.0.1"), ONCE, unknown).await);
    cases.push(tls(true, ours.server("other.test"), ONCE, unknown).await);
    cases.push(tls(true, ours.server_expired("127.0.0.1"), ONCE, "expired").await);
    let mut old = tls(true, ours.server_1_2("127.0.0.1"), TWICE, "TLS failed").await;
    old.settings += "min-tls = \"1.3\"\n";
    cases.push(old);
    let asks = ours.server_that_asks("127.0.0.1", true);
    cases.push(tls(true, asks, TWICE, "lets in who shows a client certificate").await);

    // Bodies.
    let short = format!("the body ended after 4096 bytes of {size}");
    cases.push(server(Answer::ok(content).cut(4096), TWICE, &short).await);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhe";
    cases.push(peer(&[Act::Hear, say(chunked)], TWICE, "the body ended after 7 bytes").await);
    let stalled = "nothing more arrived for 3 s after 10 bytes";
    cases.push(server(Answer::ok(content).stall(10), TWICE, stalled).await);

    // Lies.
    let lies = [
        server(Answer::ok(b"<html>log in, please</html>"), ONCE, "WRONG DIGEST").await,
        server(Answer::ok(&content[..5000]), ONCE, "WRONG DIGEST").await,
        server(Answer::ok(&[content, &b"\n"[..]].concat()), ONCE, "WRONG DIGEST").await,
    ];
    cases.extend(lies.map(|case| Case { lied: true, ..case }));

    // Redirects.
    let to = |place: &str| Answer::status(302).header(&format!("Location: {place}"));
    cases.push(server(to("/x"), ONCE, "more than 10 redirects").await);
    cases.push(server(to("http://a.test/x"), ONCE, "http://a.test/x, which is not https").await);
    cases.push(server(to("file:///etc/hostname"), ONCE, "which is not https").await);
    cases.push(server(Answer::status(302), ONCE, "redirects to nowhere").await);

    join_all(cases.into_iter().map(|case| observe(case, content, &ours))).await;
}

/// What is odd and no failure.
#[tokio::test(flavor = "multi_thread")]
async fn odd_servers_serve() {
    let content = archive(3000);
    let text = |head: &str| Act::Say([head.as_bytes(), &content].concat());
    let length = format!("Content-Length: {}", content.len());
    let (first, rest) = content.split_at(1000);
    let chunk =
        |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let chunks = [chunk(first), chunk(rest), chunk(b"")].concat();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let six = TcpListener::bind("[::1]:0").await.unwrap();
    let at_six = format!("http://[::1]:{}/x", six.local_addr().unwrap().port());
    let whole = vec![Act::Hear, text(&format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"))];
    let peers = [
        Peer::start(vec![vec![Act::Hear, text("HTTP/1.0 200 OK\r\n\r\n")]]).await,
        Peer::start(vec![vec![Act::Hear, text("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")]])
            .await,
        Peer::start(vec![vec![Act::Hear, say(chunked), Act::Say(chunks)]]).await,
        // As servers do that take a file's name for its encoding: nothing was asked to be decoded.
        Peer::start(vec![vec![
            Act::Hear,
            text(&format!("HTTP/1.1 200 OK\r\nContent-Encoding: x-gzip\r\n{length}\r\n\r\n")),
        ]])
        .await,
        Peer::start(vec![vec![
            Act::Hear,
            say(&format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n")),
            Act::Say(content[..content.len() - 200].to_vec()),
            Act::Drip(content[content.len() - 200..].to_vec()),
        ]])
        .await,
        Peer::on(six, vec![whole]),
    ];
    let urls: Vec<String> = peers.iter().map(|peer| peer.url("/x")).collect();
    let runs = urls.into_iter().enumerate().map(|(at, url)| {
        let url = if at == 5 { at_six.clone() } else { url };
        let content = &content;
        async move {
            let world = World::new();
            world.recipe(std::slice::from_ref(&url), content);
            let served = world.lock().await.ok().served();
            assert_eq!(served["served"], url);
            assert_eq!(served["attempts"], serde_json::json!([]), "{url}");
        }
    });
    join_all(runs).await;
    assert!(peers[0].heads()[0].to_lowercase().contains("accept-encoding: identity\r\n"));
}

/// A body of no announced length that ends early is told by the size in the lock, and is no lie.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_is_short_where_the_lock_says_so() {
    let content = archive(3000);
    let short = [b"HTTP/1.0 200 OK\r\n\r\n", &content[..1500]].concat();
    let whole = [b"HTTP/1.0 200 OK\r\n\r\n", &content[..]].concat();
    let conversation = |bytes: &[u8]| vec![Act::Hear, Act::Say(bytes.to_vec())];
    let peer =
        Peer::start([&whole, &short, &whole].map(|bytes| conversation(bytes)).to_vec()).await;
    let world = World::new();
    world.settings("[limits]\nbackoff = \"1ms\"\n");
    world.recipe(&[peer.url("/x")], &content);
    world.lock().await.ok();
    std::fs::remove_dir_all(world.dir().join("store")).unwrap();
    let build = world.treelay(&["build", "tool.yaml", "--locked", "--json"]);
    let served = super::said(build).await.ok().served();
    assert_eq!(served["served"], peer.url("/x"));
    let said = format!("the body ended after 1500 bytes of {}", content.len());
    assert_eq!(served["attempts"][0]["failed"], said);
    assert_eq!(served["attempts"][0]["lied"], false);
}

/// Retry-After in both forms, each waited for: what is asked earlier is refused.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_when_to_come_back_is_asked_then() {
    let content = archive(3000);
    for after in [
        "Retry-After: 1",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:38 GMT",
    ] {
        let answers = vec![Answer::status(503).header(after), Answer::ok(&content)];
        let server = Server::start(answers).await;
        let world = World::new();
        world.settings("[limits]\nbackoff = \"1ms\"\n");
        world.recipe(&[server.url("/x")], &content);
        let begun = std::time::Instant::now();
        let served = world.lock().await.ok().served();
        assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "{after}");
        assert_eq!(served["attempts"][0]["failed"], "HTTP 503");
    }
}

/// Who lies is asked once in a run, and what several arches have in common is fetched once.
#[tokio::test(flavor = "multi_thread")]
async fn one_file_of_all_arches_is_asked_for_once() {
    let content = archive(3000);
    let liar = Server::start(vec![Answer::ok(b"another"); 5]).await;
    let good = Server::start(vec![Answer::ok(&content); 5]).await;
    let world = World::new();
    world.recipe(&[liar.url("/x"), good.url("/x")], &content);
    let text = std::fs::read_to_string(world.path("tool.yaml")).unwrap();
    world.write("tool.yaml", text.replace("[amd64]", "[amd64, arm64, ppc64le]"));
    let output = world.lock().await.ok();
    assert_eq!((liar.requests().len(), good.requests().len()), (1, 1));
    assert_eq!(output.served()["attempts"][0]["lied"], true);
    assert_eq!(
        std::fs::read_to_string(world.path("tool.lock")).unwrap().matches("[[input]]").count(),
        3
    );
}
