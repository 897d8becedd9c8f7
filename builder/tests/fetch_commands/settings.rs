//! What treelay.toml says, held against servers that insist on it.

use super::peer::{Act, Peer};
use super::{World, archive, said};
use crate::fault_server::{Answer, Server};
use crate::fetch_rules::tls::Authority;

/// As a company runs it: a mirror with an authority of its own that lets in who has a certificate and a
/// login, and forwards to another server, which is to see neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_certificates_and_logins() {
    let content = archive(3000);
    let ours = Authority::new();
    let answers = vec![Answer::ok(&content); 9];
    let away = Server::start_tls(answers.clone(), ours.server_that_asks("127.0.0.1", false)).await;
    let at = |server: &Server, path: &str| format!("https://127.0.0.1:{}{path}", server.port());
    let leads = |code: u16| Answer::status(code).header(&format!("Location: {}", at(&away, "/y")));
    let inside = ours.server_that_insists_1_3("127.0.0.1");
    let mirror = Server::start_tls(vec![leads(302), leads(307), leads(308)], inside).await;
    let world = World::new();
    let (certificate, key) = ours.client_pems();
    let files = [("ca.pem", ours.pem()), ("me.pem", certificate), ("me.key", key)];
    for (name, text) in files {
        world.write_setting(name, text);
    }
    world.write_setting("token", "t0ken\n");
    let outside = format!("[host.\"127.0.0.1:{}\"]\nca = \"ca.pem\"\n", away.port());
    for login in [
        "token-file = \"token\"",
        "token-env = \"TOKEN\"",
        "user = \"me\"\npassword-file = \"token\"",
    ] {
        world.settings(&format!(
            "[[mirror]]\nfrom = \"files.test\"\nto = [\"{}\"]\n\
             [host.\"127.0.0.1:{}\"]\nca = \"ca.pem\"\nclient-cert = \"me.pem\"\n\
             client-key = \"me.key\"\nmin-tls = \"1.3\"\n{login}\n{outside}",
            at(&mirror, "/m/"),
            mirror.port()
        ));
        world.recipe(&["https://files.test/a/x?b=c".to_owned()], &content);
        let _ = std::fs::remove_dir_all(world.dir().join("store"));
        let mut lock = world.treelay(&["lock", "tool.yaml", "--update", "--json"]);
        lock.env("TOKEN", "t0ken");
        let served = said(lock).await.ok().served();
        assert_eq!(served["served"], at(&mirror, "/m/a/x"));
        let asked = mirror.requests().pop().unwrap();
        assert!(asked.known && asked.path == "/m/a/x?b=c", "{}", asked.path);
        let login = asked.header("authorization").unwrap();
        assert!(["Bearer t0ken", "Basic bWU6dDBrZW4="].contains(&login), "{login}");
    }
    assert_eq!(away.requests().len(), 3);
    for asked in away.requests() {
        assert!(!asked.known && asked.header("authorization").is_none());
    }
    // What the lock says is what the recipe says, whoever served.
    let lock = std::fs::read_to_string(world.path("tool.lock")).unwrap();
    assert!(lock.contains("from = \"https://files.test/a/x?b=c\"") && !lock.contains("127.0.0.1"));

    // Without a certificate it says what is lacking, or ends.
    let port = mirror.port();
    world.settings(&format!(
        "[[mirror]]\nfrom = \"files.test\"\nto = [\"{}\"]\nonly = true\n\
         [host.\"127.0.0.1:{port}\"]\nca = \"ca.pem\"\n[limits]\ntries = 2\nbackoff = \"1ms\"\n",
        at(&mirror, "/m/")
    ));
    let told = world.lock().await.fails().err();
    assert!(told.contains("client certificate") || told.contains("broke"), "{told}");
    assert_eq!(mirror.requests().len(), 3);
}

/// The stricter TLS counts, whoever asks for it; of limits that which the user says.
#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_stricter_and_no_more() {
    let content = archive(3000);
    let ours = Authority::new();
    let old = Server::start_tls(vec![Answer::ok(&content); 9], ours.server_1_2("127.0.0.1")).await;
    let url = format!("https://127.0.0.1:{}/x", old.port());
    let world = World::new();
    world.recipe(&[url], &content);
    world.write_setting("ca.pem", ours.pem());
    let user = "[host.\"127.0.0.1\"]\nca = \"ca.pem\"\nmin-tls = \"1.2\"\n";
    world.settings(&format!("{user}[limits]\nbackoff = \"1ms\"\n"));
    world.write("treelay.toml", "[limits]\ntries = 3\n");
    world.lock().await.ok();
    for project in ["[host.\"127.0.0.1\"]", "[host.\"*\"]"] {
        let project = format!("{project}\nmin-tls = \"1.3\"\n[limits]\ntries = 3\n");
        world.write("treelay.toml", project);
        let told = world.lock().await.fails().err();
        assert!(told.contains("TLS failed") && told.contains("(3 times)"), "{told}");
    }
    world.settings(&format!("{user}[limits]\nbackoff = \"1ms\"\ntries = 2\n"));
    let told = world.lock().await.fails().err();
    assert!(told.contains("(2 times)"), "{told}");
    assert_eq!(old.requests().len(), 1);
}

/// A server of files answers with a list of them where a list of releases is asked for, and a login page
/// answers with itself: then who is mirrored is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_without_a_list_is_followed_by_who_has_one() {
    let page = || Answer::ok(b"<html>Index of /dl").header("Content-Type: text/html");
    let mirror = Server::start(vec![page(), page(), page()]).await;
    let second = Server::start(vec![Answer::ok(b"[]"); 3]).await;
    let world = World::new();
    world.settings(&format!(
        "[[mirror]]\nfrom = \"https://go.dev/dl/\"\nto = [\"{}\", \"{}\"]\nonly = true\n",
        mirror.url("/dl"),
        second.url("/dl")
    ));
    world.write(
        "tool.yaml",
        "name: go\nversion: 1\narch: [amd64]\nepoch: 1\n\
         inputs: {go: {go-toolchain: {version: stable, sources: [go.dev]}}}\n\
         layers:\n- {name: go, go-toolchain: {input: go, prefix: /usr/lib/go}}\n",
    );
    let told = world.lock().await.fails().err();
    assert!(told.contains("https://go.dev/dl/ has no Go stable for amd64"), "{told}");
    assert_eq!((mirror.requests().len(), second.requests().len()), (1, 1));
}

/// A connection that its server closes after an answer, or just when it is asked again, costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_is_closed_is_no_failure() {
    let content = archive(3000);
    let sum = treelay_recipes::Digest::of(&content).hex();
    let answer = |body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        Act::Say([head.as_bytes(), body].concat())
    };
    for rest in [&[][..], &[Act::Hear], &[Act::Hear, Act::Reset]] {
        let first = [&[Act::Hear, answer(sum.as_bytes())], rest].concat();
        let peer = Peer::start(vec![first, vec![Act::Hear, answer(&content)]]).await;
        let world = World::new();
        world.write(
            "tool.yaml",
            format!(
                "name: go\nversion: 1\narch: [amd64]\nepoch: 1\n\
                 inputs: {{go: {{go-toolchain: {{version: 1.27.3, sources: [mirror], mirror: \"{}\"}}}}}}\n\
                 layers:\n- {{name: go, go-toolchain: {{input: go, prefix: /usr/lib/go}}}}\n",
                peer.url("/dl")
            ),
        );
        world.settings("[limits]\ntries = 1\n");
        // It is no distribution, and was had.
        let told = world.lock().await.fails().err();
        assert!(told.contains("Go distribution"), "{told}");
        let asked = peer.heads().len();
        assert_eq!(asked, if rest.is_empty() { 2 } else { 3 }, "{:?}", peer.heads());
    }
}

/// So many downloads at a time as are said, in all and from one host; and no fewer.
#[tokio::test(flavor = "multi_thread")]
async fn downloads_are_side_by_side_as_many_as_may_be() {
    // What is the same would be fetched once.
    let content = |path: &str| archive(3000 + path[1..].parse::<usize>().unwrap());
    for (limits, at_a_time, of_all) in
        [("per-host = 2", 2, 4), ("per-host = 9\nparallel = 3", 3, 3), ("parallel = 1", 1, 1)]
    {
        // Each answers when so many have come, which would be never if fewer were let in.
        let together = std::sync::Arc::new(tokio::sync::Barrier::new(of_all));
        let answers = vec![Answer::ok_of(content).together(&together); 6];
        let servers = [Server::start(answers.clone()).await, Server::start(answers).await];
        let input = |n: usize| {
            let url = servers[n % 2].url(&format!("/{n}"));
            let sha256 = treelay_recipes::Digest::of(content(&format!("/{n}"))).hex();
            format!("  i{n}: {{archive: {{urls: [\"{url}\"], sha256: {sha256}}}}}\n")
        };
        let inputs: String = (0..12).map(input).collect();
        let world = World::new();
        world.settings(&format!("[limits]\n{limits}\n"));
        world.write(
            "tool.yaml",
            format!(
                "name: t\nversion: 1\narch: [amd64]\nepoch: 1\ninputs:\n{inputs}\
                 layers: [{{name: a, files: [{{path: /a, content: a}}]}}]\n"
            ),
        );
        world.lock().await.ok();
        let most = servers.iter().map(Server::most_at_a_time).max();
        assert!(most <= Some(at_a_time), "{limits}: {most:?}");
        assert_eq!(servers.iter().map(|server| server.requests().len()).sum::<usize>(), 12);
    }
}
