//! The rules of fallback over real TLS, with certificates of a CA of the test's own; and what is set
//! up about servers.

pub mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tls::Authority;
use treelay::fetch::{
    Attempt, Base, Config, EVERY_HOST, FetchError, FetchOptions, Fetched, Fetcher, Host, Login,
    LookingUp, Lookup, MinTls, Mirror, Outcome, Place, Secret,
};
use treelay_recipes::Digest;
use treelay_recipes::recipe::Source;

use super::fault_server::{Answer, Server};
use super::{Memory, ask, body, options, outcomes, wanted};

/// Every name is of this machine.
fn loopback() -> Lookup {
    Arc::new(|_| {
        let found: io::Result<Vec<SocketAddr>> = Ok(vec![(Ipv4Addr::LOCALHOST, 0).into()]);
        Box::pin(async { found }) as LookingUp
    })
}

fn with(hosts: &[(&str, Host)]) -> FetchOptions {
    let hosts = hosts.iter().map(|(name, host)| ((*name).to_owned(), host.clone())).collect();
    let config = Config { hosts, ..Config::default() };
    FetchOptions { config, lookup: Some(loopback()), ..options() }
}

fn trusting(authority: &Authority) -> Host {
    Host { ca: Some(Ok(authority.pem().into_bytes())), ..Host::default() }
}

fn https(name: &str, server: &Server, path: &str) -> String {
    format!("https://{name}:{}{path}", server.port())
}

async fn fetch(options: FetchOptions, urls: &[String]) -> Result<Fetched, FetchError> {
    Fetcher::new(options).fetch(&wanted(urls, b"hello"), &Memory::default(), &()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_trusted_for_its_host_alone() {
    let ours = Authority::new();
    let server = Server::start_tls(vec![Answer::ok(b"hello"); 9], ours.server("a.test")).await;
    let other = Server::start_tls(vec![Answer::ok(b"hello"); 9], ours.server("b.test")).await;
    let (a, b) = (https("a.test", &server, "/x"), https("b.test", &other, "/x"));
    let set = || with(&[("a.test", trusting(&ours))]);
    assert_eq!(fetch(set(), std::slice::from_ref(&a)).await.unwrap().served_by, a);
    // What is no failure of the moment is not tried again, and the next place is.
    let fetched = fetch(set(), &[b.clone(), a.clone()]).await.unwrap();
    assert_eq!(fetched.served_by, a);
    assert!(matches!(&fetched.attempts[0].tries[..], [Outcome::Certificate(_)]));
    let every = || with(&[(EVERY_HOST, trusting(&ours))]);
    assert_eq!(fetch(every(), std::slice::from_ref(&b)).await.unwrap().served_by, b);
    // A certificate for another name is none, whoever signed it.
    let tried = fetch(every(), &[https("c.test", &other, "/x")]).await.unwrap_err();
    assert!(matches!(&outcomes(&tried)[..], [Outcome::Certificate(_)]), "{tried}");
    let strangers = with(&[("a.test", trusting(&Authority::new()))]);
    let tried = fetch(strangers, &[a]).await.unwrap_err();
    assert!(matches!(&outcomes(&tried)[..], [Outcome::Certificate(_)]), "{tried}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_to_its_host_alone() {
    let ours = Authority::new();
    let answers = vec![Answer::ok(b"hello"); 9];
    let server = Server::start_tls(answers, ours.server_that_asks("a.test", true)).await;
    let asking =
        Server::start_tls(vec![Answer::ok(b"hello")], ours.server_that_asks("b.test", false)).await;
    let away = Answer::status(302).header(&format!("Location: {}", https("b.test", &asking, "/y")));
    let first = Server::start_tls(vec![away], ours.server_that_asks("c.test", true)).await;
    let me = Host { identity: Some(Ok(Secret::new(ours.client()))), ..trusting(&ours) };
    let url = https("a.test", &server, "/x");

    let unknown = with(&[("a.test", trusting(&ours))]);
    let tried = outcomes(&fetch(unknown, std::slice::from_ref(&url)).await.unwrap_err());
    assert_eq!(tried.len(), 3);
    assert!(tried.iter().all(|outcome| matches!(outcome, Outcome::Tls(_))), "{tried:?}");
    let known = with(&[("a.test", me.clone()), ("c.test", me), (EVERY_HOST, trusting(&ours))]);
    fetch(known.clone(), &[url]).await.unwrap();
    assert!(server.requests()[0].known);
    fetch(known, &[https("c.test", &first, "/x")]).await.unwrap();
    assert!(first.requests()[0].known && !asking.requests()[0].known);

    let broken = Host { identity: Some(Err("k.pem: not there".into())), ..trusting(&ours) };
    let error = fetch(with(&[("a.test", broken)]), &[https("a.test", &server, "/x")]).await;
    let told = "setting up the client certificate for a.test: k.pem: not there";
    assert_eq!(error.unwrap_err().to_string(), told);
}

/// pip's `trusted-host` is for that host, and not for whom it redirects to; and where any certificate
/// is accepted nobody is told a secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_pip_trusts_gives_its_trust_to_nobody() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let page = Answer::ok(b"<html></html>").header("Content-Type: text/html");
    let away = Server::start_tls(vec![page.clone(); 9], foreign.server("b.test")).await;
    let leads = Answer::status(302).header(&format!("Location: {}", https("b.test", &away, "/")));
    let login = Host {
        login: Some(Ok(Login::Bearer(Secret::new("s3cret".to_owned())))),
        ..Host::default()
    };
    let resolve = async |server: &Server, hosts: &[(&str, Host)]| {
        let mut set = with(hosts);
        for (key, value) in [
            ("PIP_CONFIG_FILE", "/dev/null".to_owned()),
            ("PIP_INDEX_URL", https("a.test", server, "/simple")),
            ("PIP_TRUSTED_HOST", "a.test".to_owned()),
        ] {
            set.env.insert(key.to_owned(), value);
        }
        Fetcher::new(set).resolve(Source::Pypi, &ask("1.27.3")).await.unwrap_err().to_string()
    };
    let server = Server::start_tls(vec![leads; 9], foreign.server("a.test")).await;
    let error = resolve(&server, &[("b.test", login.clone())]).await;
    assert!(error.contains("certificate"), "{error}");
    assert_eq!((server.requests().len(), away.requests().len()), (1, 0));

    let server = Server::start_tls(vec![page; 9], foreign.server("a.test")).await;
    let error = resolve(&server, &[("a.test", login.clone())]).await;
    assert!(error.contains("the login for a.test: it is not sent where any"), "{error}");
    let me = Host { identity: Some(Ok(Secret::new(ours.client()))), ..Host::default() };
    let error = resolve(&server, &[("a.test", me)]).await;
    assert!(error.contains("the client certificate for a.test: it is not sent where"), "{error}");
    assert_eq!(server.requests().len(), 0);
    // With an authority it is known who that is.
    resolve(&server, &[("a.test", Host { ..trusting(&ours) })]).await;
    assert_eq!(server.requests().len(), 0);
    resolve(&server, &[("a.test", Host { login: login.login, ..trusting(&foreign) })]).await;
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_tls_than_is_wanted_is_refused() {
    let ours = Authority::new();
    let server = Server::start_tls(vec![Answer::ok(b"hello"); 9], ours.server_1_2("a.test")).await;
    let url = [https("a.test", &server, "/x")];
    fetch(with(&[("a.test", trusting(&ours))]), &url).await.unwrap();
    // The strictest of all that is said of a host counts, by whatever name.
    for name in ["a.test", "*"] {
        let mut strict = with(&[("a.test", trusting(&ours))]);
        let port = url[0].rsplit(':').next().unwrap().trim_end_matches("/x");
        let said = [(name.to_owned(), MinTls::V1_3), (format!("a.test:{port}"), MinTls::V1_2)];
        strict.config.min_tls = BTreeMap::from(said);
        let tried = outcomes(&fetch(strict, &url).await.unwrap_err());
        assert!(matches!(&tried[..], [Outcome::Tls(_), ..]), "{tried:?}");
        assert_eq!(tried.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_never_leads_to_http() {
    let ours = Authority::new();
    let plain = Server::start(vec![Answer::ok(b"hello")]).await;
    let away = Answer::status(301).header(&format!("Location: {}", plain.url("/x")));
    let server = Server::start_tls(vec![away], ours.server("a.test")).await;
    let error =
        fetch(with(&[("a.test", trusting(&ours))]), &[https("a.test", &server, "/x")]).await;
    let refused = format!("it redirects to {}, which is not https", plain.url("/x"));
    assert_eq!(outcomes(&error.unwrap_err()), [Outcome::Redirect(refused)]);
    assert_eq!(plain.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_go_to_their_host_alone() {
    let ours = Authority::new();
    let other = Server::start_tls(vec![Answer::ok(b"hello")], ours.server("b.test")).await;
    let away = https("me:s3cret@b.test", &other, "/y");
    let answers = vec![Answer::status(307).header(&format!("Location: {away}"))];
    let server = Server::start_tls(answers, ours.server("a.test")).await;
    let token = Login::Bearer(Secret::new("t0ken".to_owned()));
    let host = Host { login: Some(Ok(token)), ..trusting(&ours) };
    let set = with(&[("a.test", host), (EVERY_HOST, trusting(&ours))]);
    fetch(set, &[https("a.test", &server, "/x")]).await.unwrap();
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer t0ken"));
    assert_eq!(other.requests()[0].header("authorization"), None);
    let lacking = Host { login: Some(Err("the variable T is not set".into())), ..Host::default() };
    let error = fetch(with(&[("a.test", lacking)]), &[https("a.test", &server, "/x")]).await;
    let told = "setting up the login for a.test: the variable T is not set";
    assert_eq!(error.unwrap_err().to_string(), told);
}

/// As over plain http: TLS takes no rule away.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_over_tls_is_continued() {
    let ours = Authority::new();
    let content = body(600_000);
    let answers = vec![
        Answer::ok(&content).header("ETag: \"v1\"").reset(200_000),
        Answer::range(&content).header("ETag: \"v1\"").cut(200_000),
        Answer::status(503),
        Answer::range(&content),
    ];
    let server = Server::start_tls(answers, ours.server("a.test")).await;
    let mut set = with(&[("a.test", trusting(&ours))]);
    set.limits.tries = 4;
    let wanted = wanted(&[https("a.test", &server, "/x")], &content);
    let fetched = Fetcher::new(set).fetch(&wanted, &Memory::default(), &()).await.unwrap();
    let tries = &fetched.attempts[0].tries;
    assert!(
        matches!(
            &tries[..],
            [Outcome::Cut { .. }, Outcome::Cut { .. }, Outcome::Status { code: 503 }]
        ),
        "{tries:?}"
    );
    let ranges: Vec<u64> = server.requests()[1..]
        .iter()
        .map(|request| {
            request
                .header("range")
                .unwrap()
                .trim_matches(|c: char| !c.is_ascii_digit())
                .parse()
                .unwrap()
        })
        .collect();
    assert!(ranges[0] > 0 && ranges[1] > ranges[0] && ranges[2] == ranges[1], "{ranges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_in_the_middle_is_continued() {
    let content = body(300_000);
    let server = Server::start(vec![
        Answer::ok(&content).header("ETag: \"v1\"").reset(150_000),
        Answer::range(&content),
    ])
    .await;
    let wanted = wanted(&[server.url("/x")], &content);
    let fetched = Fetcher::new(options()).fetch(&wanted, &Memory::default(), &()).await.unwrap();
    assert!(matches!(&fetched.attempts[0].tries[..], [Outcome::Cut { got, .. }] if *got > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_not_looked_up_for_ever() {
    let server = Server::start(vec![Answer::ok(b"hello")]).await;
    let lookup: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
    let mut set = FetchOptions { lookup: Some(lookup), ..options() };
    set.limits.resolve = Duration::from_millis(30);
    let fetched = fetch(set, &["https://gone.test/x".to_owned(), server.url("/x")]).await.unwrap();
    assert_eq!(fetched.served_by, server.url("/x"));
    let said = "connecting failed: the name gone.test could not be resolved within 30 ms";
    assert_eq!(fetched.attempts[0].tries, vec![Outcome::Connect(said.to_owned()); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_that_may_go_away_is_tried_again_and_no_other() {
    for (code, tries) in [
        (408, 3),
        (425, 3),
        (429, 3),
        (500, 3),
        (503, 3),
        (400, 1),
        (401, 1),
        (403, 1),
        (404, 1),
        (410, 1),
    ] {
        let server = Server::start(vec![Answer::status(code); 5]).await;
        let error = fetch(options(), &[server.url("/x")]).await.unwrap_err();
        assert_eq!(outcomes(&error), vec![Outcome::Status { code }; tries]);
    }
}

/// A mirror of `https://go.dev/dl/` at `server`, and nobody else.
fn go_dev_at(server: &Server) -> FetchOptions {
    let at = |text: &str| text.parse().unwrap();
    let to = vec![Base::Url(at(&server.url("/go/")))];
    let mirror = Mirror { from: at("https://go.dev/dl/"), to, only: true, by_user: true };
    let config = Config { mirrors: vec![mirror], ..Config::default() };
    FetchOptions { config, ..options() }
}

fn releases(versions: &[&str], content: &[u8]) -> String {
    let one = |version: &&str| {
        let (name, sha256) = (format!("go{version}.linux-amd64.tar.gz"), Digest::of(content).hex());
        let size = content.len();
        format!(
            r#"{{"version": "go{version}", "stable": true, "files": [{{"filename": "{name}", "os": "linux",
            "arch": "amd64", "version": "go{version}", "sha256": "{sha256}", "size": {size}, "kind": "archive"}}]}}"#
        )
    };
    format!("[{}]", versions.iter().map(one).collect::<Vec<_>>().join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn go_dev_says_which_release_and_what_it_is() {
    let list = releases(&["1.28rc1", "1.27.3", "1.27.10"], b"hello");
    let server =
        Server::start(vec![Answer::status(503), Answer::ok(list.as_bytes()), Answer::ok(b"hello")])
            .await;
    let fetcher = Fetcher::new(go_dev_at(&server));
    for (version, expected) in [("1.27", "1.27.10"), ("stable", "1.27.10"), ("1.27.3", "1.27.3")] {
        let resolved = fetcher.resolve(Source::GoDev, &ask(version)).await.unwrap();
        assert_eq!(resolved.from, format!("https://go.dev/dl/go{expected}.linux-amd64.tar.gz"));
        assert_eq!(resolved.wanted.digest, Some(Digest::of("hello")));
        assert_eq!(resolved.wanted.size, Some(5));
    }
    let resolved = fetcher.resolve(Source::GoDev, &ask("stable")).await.unwrap();
    let fetched = fetcher.fetch(&resolved.wanted, &Memory::default(), &()).await.unwrap();
    assert_eq!(fetched.served_by, server.url("/go/go1.27.10.linux-amd64.tar.gz"));
    // The list was asked for once, with its query.
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    let list = "/go/?mode=json&include=all";
    assert_eq!(paths, [list, list, "/go/go1.27.10.linux-amd64.tar.gz"]);
    let error = fetcher.resolve(Source::GoDev, &ask("1.27.4")).await.unwrap_err();
    let told = "https://go.dev/dl/ has no Go 1.27.4 for amd64; the nearest there: 1.28rc1, 1.27.10, 1.27.3";
    assert_eq!(error.to_string(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_have_digests_beside_their_files() {
    let sum = format!("{}  go1.27.3.linux-amd64.tar.gz\n", Digest::of("hello").hex());
    let server = Server::start(vec![
        Answer::ok(sum.as_bytes()),
        Answer::ok(b"evil!"),
        Answer::ok(b"<html>"),
    ])
    .await;
    let fetcher = Fetcher::new(options());
    let of = |version| treelay::fetch::Ask { mirror: Some(server.url("/go")), ..ask(version) };
    let resolved = fetcher.resolve(Source::Mirror, &of("1.27.3")).await.unwrap();
    let sink = Memory::default();
    let error = fetcher.fetch(&resolved.wanted, &sink, &()).await.unwrap_err();
    assert!(error.to_string().contains("WRONG CONTENT"), "{error}");
    assert!(error.attempts()[0].lied());
    assert_eq!(sink.0.lock().unwrap().rejected, [Digest::of("evil!")]);
    let error = fetcher.resolve(Source::Mirror, &of("1.27.3")).await.unwrap_err();
    assert!(error.to_string().contains("it answered no SHA-256 digest"), "{error}");
    let error = fetcher.resolve(Source::Mirror, &of("1.27")).await.unwrap_err();
    assert!(matches!(error, FetchError::NothingToAsk { kind: "mirror", .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_are_asked_of_proxies_in_order() {
    let list =
        "v0.0.1-go1.27.3.linux-amd64\nv0.0.1-go1.27.9.linux-arm64\nv0.0.1-go1.27.10.linux-amd64\n";
    let server = Server::start(vec![Answer::status(404), Answer::ok(list.as_bytes())]).await;
    let proxies = format!("{},{},off,https://never.test", server.url("/a"), server.url("/b"));
    let proxies = treelay::fetch::goproxy::parse(&proxies, std::path::Path::new("/"));
    let ask = treelay::fetch::Ask { proxies, ..ask("1.27") };
    let fetcher = Fetcher::new(options());
    let resolved = fetcher.resolve(Source::Module, &ask).await.unwrap();
    assert_eq!(resolved.from, "golang.org/toolchain@v0.0.1-go1.27.10.linux-amd64");
    let places: Vec<_> = resolved.wanted.places.iter().map(Place::to_string).collect();
    let file = "golang.org/toolchain/@v/v0.0.1-go1.27.10.linux-amd64.zip";
    assert_eq!(places, ["a", "b"].map(|at| server.url(&format!("/{at}/{file}"))));
    let offline = Fetcher::new(FetchOptions { offline: true, ..options() });
    let error = offline.resolve(Source::Module, &ask).await.unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error}");
}

/// A mirror that fails or lies is followed by what it mirrors, or by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn mirrors_are_tried_before_what_they_mirror() {
    let server =
        Server::start(vec![Answer::status(404), Answer::ok(b"evil!"), Answer::ok(b"hello")]).await;
    let at = |path: &str| server.url(path).parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("x")).unwrap();
    let to =
        vec![Base::Url(at("/one/")), Base::Folder(folder.path().into()), Base::Url(at("/two/"))];
    let mirror = Mirror { from: at("/"), to, only: false, by_user: true };
    let config = Config { mirrors: vec![mirror], ..Config::default() };
    let set = FetchOptions { config, ..options() };
    let fetched = fetch(set, &[server.url("/x")]).await.unwrap();
    assert_eq!(fetched.served_by, server.url("/x"));
    let lied: Vec<_> = fetched.attempts.iter().map(Attempt::lied).collect();
    assert_eq!(lied, [false, false, true]);
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/one/x", "/two/x", "/x"]);
}
