//! `verify`: what is verified when an input is locked, that the lock says so, and what is refused.

use std::fs;

use sha2::{Digest as _, Sha256};
use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

use crate::fixture::{listing, store_is_clean};
use crate::golang::{Member, Tar};

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A recipe with that input.
pub fn recipe(input: &str) -> String {
    format!(
        "name: x\nversion: 1\narch: [amd64]\nepoch: 1\ninputs: {{in: {input}}}\n\
         layers: [{{name: a, files: [{{path: /a, content: a}}]}}]\n"
    )
}

pub fn archive() -> Vec<u8> {
    Tar::default().with(b"a.txt", Member::File(b"a")).gz()
}

pub fn lock(env: &Env) -> Run {
    env.treelay(["lock", "x.yaml"])
}

/// Nothing was locked, and nothing of what was refused is in the store.
pub fn is_refused(env: &Env, run: Run, says: &[&str]) {
    let before = env.path("x.lock").exists().then(|| env.read("x.lock"));
    let objects = env.dir().join("store/objects");
    let files = || -> Vec<String> {
        let all = if objects.exists() { listing(&objects) } else { String::new() };
        all.lines().filter(|line| !line.ends_with("directory")).map(str::to_owned).collect()
    };
    let stored = files();
    let output = run.fails(1);
    let told = output.err().split_whitespace().collect::<Vec<_>>().join(" ");
    for text in says {
        assert!(told.contains(text), "{text}\n{output}");
    }
    assert_eq!(env.path("x.lock").exists().then(|| env.read("x.lock")), before);
    assert_eq!(files(), stored, "{output}");
    store_is_clean(&env.dir().join("store"));
}

#[test]
fn a_publishers_list_is_the_first_trust() {
    let env = Env::new();
    let archive = archive();
    let sum = sha256(&archive);
    env.write("served/tool-1.tar.gz", &archive);
    let other = sha256(b"other");
    let sums = format!("{other}  tool-0.tar.gz\n{sum}  tool-1.tar.gz\n");
    env.write("served/SHA256SUMS", &sums);
    env.write("served/sums.json", format!("{{\"tool-1.tar.gz\": \"{sum}\"}}"));
    env.write("local.sha256", &sum);
    let server = Server::of(&env.path("served"));
    let input = |list: &str| {
        let url = server.url("tool-1.tar.gz");
        recipe(&format!("{{archive: {{urls: [\"{url}\"], verify: {{checksum: \"{list}\"}}}}}}"))
            .replace("files: [{path: /a, content: a}]", "archive: {input: in, prefix: /a}")
    };
    for list in [server.url("SHA256SUMS"), server.url("sums.json"), "local.sha256".to_owned()] {
        env.write("x.yaml", input(&list));
        lock(&env).arg("--update").ok();
        let text = env.read("x.lock");
        let evidence = format!("    {{ method = \"checksum\", from = \"{list}\" }},\n");
        assert!(
            text.contains(&evidence) && text.contains(&format!("sha256 = \"{sum}\"")),
            "{text}"
        );
        env.treelay(["lock", "x.yaml", "--check"]).ok();
    }
    // A build takes the lock's word.
    fs::remove_file(env.path("local.sha256")).unwrap();
    let fresh = format!("--store={}", env.path("fresh").display());
    env.treelay(["build", "x.yaml", "-o", "oci:out", "--locked", &fresh]).ok();
    // A lock without the evidence is none for this recipe.
    let text = env.read("x.lock");
    let start = text.find("evidence = [").unwrap();
    let end = start + text[start..].find("]\n").unwrap() + 2;
    env.write("x.lock", format!("{}{}", &text[..start], &text[end..]));
    env.treelay(["lock", "x.yaml", "--check"])
        .fails(1)
        .says("input \"in\" of amd64 was locked without `verify: [checksum]`");
    env.write("x.lock", text);

    // What is served is something else, or the list is.
    let fresh =
        || lock(&env).args(["--update", &format!("--store={}", env.path("none").display())]);
    env.write("x.yaml", input(&server.url("SHA256SUMS")));
    env.write("served/tool-1.tar.gz", Tar::default().with(b"evil", Member::File(b"a")).gz());
    is_refused(&env, fresh(), &["WRONG CONTENT for in for amd64", "tool-1.tar.gz: WRONG DIGEST"]);
    env.write("served/SHA256SUMS", format!("{other}  tool-0.tar.gz\n"));
    is_refused(
        &env,
        fresh(),
        &[
            "`verify: checksum` of in for amd64",
            "does not have tool-1.tar.gz; it has: tool-0.tar.gz",
        ],
    );
    fs::remove_file(env.path("served/SHA256SUMS")).unwrap();
    is_refused(&env, fresh(), &["`verify: checksum` of in for amd64", "HTTP 404"]);
    assert!(!env.path("none/objects").exists());

    // The recipe and the list do not agree.
    env.write("served/SHA256SUMS", &sums);
    let pinned =
        input(&server.url("SHA256SUMS")).replace("verify:", &format!("sha256: {other}, verify:"));
    env.write("x.yaml", pinned);
    is_refused(&env, fresh(), &[&format!("is sha256:{sum}, but the recipe says sha256:{other}")]);
}

#[test]
fn what_a_publisher_changed_under_the_same_name_is_told() {
    let env = Env::new();
    let publish = |archive: &[u8]| {
        env.write("served/tool.tar.gz", archive);
        env.write("served/SUMS", format!("{} *tool.tar.gz\r\n", sha256(archive)));
        sha256(archive)
    };
    let first = publish(&archive());
    let server = Server::of(&env.path("served"));
    let (url, list) = (server.url("tool.tar.gz"), server.url("SUMS"));
    let archive = format!("{{archive: {{urls: [\"{url}\"], verify: {{checksum: \"{list}\"}}}}}}");
    env.write("x.yaml", recipe(&archive));
    lock(&env).ok();
    let text = env.read("x.lock");
    // The same contents, in an archive that is written otherwise.
    let second = publish(&Tar::default().with(b"./a.txt", Member::File(b"a")).gz());
    assert_ne!(first, second);
    // It stays as it is locked until somebody asks for the new one.
    lock(&env).ok();
    assert_eq!(env.read("x.lock"), text);
    lock(&env)
        .arg("--update")
        .ok()
        .says(&format!("the file was sha256:{first} and is sha256:{second}"));
    assert_eq!(env.read("x.lock").replace(&second, &first).lines().count(), text.lines().count());
}
