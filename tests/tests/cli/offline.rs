//! That `--offline` opens no socket: whoever opens one here is killed.

use std::fs;

use treelay_tests::{Env, Run};

use crate::fixture::listing;
use crate::servers::{recipe, served, user_settings};

/// A filter for seccomp(2) that ends whoever calls socket(2), in the machine's byte order.
fn no_sockets() -> Vec<u8> {
    let socket: u32 = match std::env::consts::ARCH {
        "x86_64" => 41,
        "aarch64" => 198,
        "powerpc64" => 326,
        other => panic!("no number of socket(2) is known for {other}"),
    };
    // Load the number; where it is that of socket(2) end the process, else allow.
    let program: [(u16, u8, u8, u32); 4] = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, socket),
        (0x06, 0, 0, 0x8000_0000),
        (0x06, 0, 0, 0x7fff_0000),
    ];
    let bytes = |(code, jt, jf, k): (u16, u8, u8, u32)| {
        [code.to_ne_bytes().as_slice(), &[jt, jf], &k.to_ne_bytes()].concat()
    };
    program.into_iter().flat_map(bytes).collect()
}

/// treelay, without sockets; the programs that it starts have none either.
fn shut(env: &Env, args: &[&str]) -> Run {
    let filter = env.dir().join("filter");
    fs::write(&filter, no_sockets()).unwrap();
    let script = "exec bwrap --dev-bind / / --seccomp 9 \"$@\" 9<\"$0\"";
    env.treelay(args).through(["/bin/sh", "-c", script, filter.to_str().unwrap()])
}

/// What killed it, as a shell has it.
const SIGSYS: i32 = 128 + 31;

#[test]
fn offline_opens_no_socket_at_all() {
    let (env, _server) = served();
    env.write("go.yaml", recipe("version: stable, sources: [go.dev]"));
    let output = shut(&env, &["lock", "go.yaml"]).output();
    assert_eq!(output.status.code(), Some(SIGSYS), "{output}");
    // What is not at hand is told, by every command.
    for args in [&["lock", "go.yaml", "--offline"][..], &["plan", "go.yaml", "--offline"]] {
        shut(&env, args).fails(1).says("being offline forbids to download it");
    }
    env.treelay(["lock", "go.yaml"]).ok();
    env.treelay(["key", "generate", "--out", "k"]).env("COSIGN_PASSWORD", "").ok();
    user_settings(&env, "");
    shut(&env, &["plan", "go.yaml", "--offline"]).ok();
    let build = ["build", "go.yaml", "--locked", "--offline", "-o", "oci:out", "-o", "ostree:repo"];
    shut(&env, &build).ok();
    let signed = ["--key=k.key", "--sign-as=m.test/go:1", "--attest=provenance,spdx,cyclonedx"];
    shut(&env, &[&build[..], &signed].concat()).env("COSIGN_PASSWORD", "").ok();
    shut(&env, &["build", "go.yaml", "--offline", "--check-reproducible"]).ok();
    shut(&env, &["bundle", "export", "go.yaml", "go.tar.zst", "--offline"]).ok();
    shut(&env, &["bundle", "import", "go.tar.zst", "--store=other"]).ok();
    let none = ["--offline", "--store=none"];
    for command in [&["build", "go.yaml", "--locked"][..], &["bundle", "export", "go.yaml", "x"]] {
        let output = shut(&env, &[command, &none].concat()).fails(1);
        output.says("being offline forbids to download it");
    }
    assert!(!env.path("x").exists());
}

#[test]
fn no_source_and_no_base_opens_one_offline() {
    let env = Env::new();
    let go = |options: &str| recipe(&format!("version: 1.27.3, sources: [{options}"));
    let one = |rest: &str| format!("name: x\nversion: \"1\"\nepoch: 1\narch: [amd64]\n{rest}\n");
    env.write("src/go.mod", "module m.test/x\n\nrequire m.test/y v1.0.0\n");
    let sum = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    env.write("src/go.sum", format!("m.test/y v1.0.0 {sum}\nm.test/y v1.0.0/go.mod {sum}\n"));
    let sha256 = "a".repeat(64);
    let pin = format!("sha256:{sha256}");
    let recipes = [
        go("go.dev]"),
        go("pypi]"),
        go("module]"),
        go("mirror], mirror: \"https://m.test/\""),
        go("mirror], mirror: \"https://m.test/\", verify: [checksum]"),
        go("go.dev], verify: [openpgp]"),
        go("module], verify: [sumdb]"),
        go(&format!("oci], oci: {{image: \"docker://m.test/go@{pin}\", path: /go.tgz}}")),
        one(&format!(
            "inputs: {{x: {{archive: {{urls: [\"https://m.test/x.tgz\"], sha256: {sha256}}}}}}}\n\
             layers: [{{name: x, archive: {{input: x, prefix: /opt}}}}]"
        )),
        one("inputs: {x: {go-modules: {dir: src}}}\n\
             layers: [{name: a, files: [{path: /a, content: a}]}]"),
        one("inputs: {x: {git: {url: \"https://m.test/x.git\", ref: v1}}}\n\
             layers: [{name: x, archive: {input: x, prefix: /opt}}]"),
        one(&format!(
            "layers: [{{name: a, files: [{{path: /a, content: a}}]}}]\nimage: {{base: \"docker://m.test/base@{pin}\"}}"
        )),
        one(
            "layers: [{name: a, files: [{path: /a, content: a}]}]\nostree: {ref: x, base: {remote: {url: \"https://m.test/os\", \
             unverified: true}, ref: os}}",
        ),
    ];
    for text in recipes {
        env.write("x.yaml", &text);
        let output = shut(&env, &["lock", "x.yaml", "--offline"]).output();
        assert_eq!(output.status.code(), Some(1), "{text}{output}");
        assert!(output.err().contains("offline"), "{text}{output}");
    }
}

/// For CI: nobody is asked, nothing is had, nothing is written.
#[test]
fn checking_a_lock_needs_no_network_and_writes_nothing() {
    let (env, _server) = served();
    env.write("go.yaml", recipe("version: 1.27, sources: [go.dev]"));
    env.treelay(["lock", "go.yaml"]).ok();
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    user_settings(&env, "");
    let before = listing(&env.path(""));
    let output = shut(&env, &["lock", "go.yaml", "--check"]).ok();
    assert!(output.out().ends_with("go.lock fits the recipe\n"), "{output}");
    let json = shut(&env, &["lock", "go.yaml", "--check", "--json"]).ok().json();
    assert_eq!(
        (&json["changes"], &json["served"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );
    assert_eq!(listing(&env.path("")), before);
    // A release that the word does not mean, another source, one input more.
    let text = env.read("go.yaml");
    for (from, to, said) in [
        ("version: 1.27,", "version: 1.28,", "input \"go\""),
        (
            "version: 1.27,",
            "version: 1.27.4,",
            "input \"go\" is now version 1.27.4, 1.27.3 is locked",
        ),
        ("arch: [amd64, arm64]", "arch: [amd64, arm64, ppc64le]", "ppc64le"),
    ] {
        env.write("go.yaml", text.replace(from, to));
        let before = listing(&env.path(""));
        let output = shut(&env, &["lock", "go.yaml", "--check"]).fails(1);
        assert!(output.err().contains("does not fit the recipe"), "{output}");
        assert!(output.err().contains(said), "{to}: {output}");
        assert_eq!(listing(&env.path("")), before);
    }
}
