//! Locks: the same wherever they are made, and changed by nothing but what is asked for.

use std::fs;

use sha2::{Digest as _, Sha256};
use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

use crate::golang::{Files, Member, Tar, distribution};
use crate::servers::{FILES, mirror, served, user_settings};

/// Two distributions and an archive, which has two addresses; told in no order.
fn recipe(server: &Server, archive: &[u8]) -> String {
    let sha256 = hex::encode(Sha256::digest(archive));
    let [first, second] = ["tool/first.tgz", "tool/second.tgz"].map(|path| server.url(path));
    format!(
        "name: all\nversion: \"1\"\narch: [arm64, amd64]\ninputs:\n\
         \x20 tool: {{archive: {{urls: [\"{first}\", \"{second}\"], sha256: {sha256}}}}}\n\
         \x20 go: {{go-toolchain: {{version: \"1.27\", sources: [go.dev]}}}}\n\
         \x20 another: {{go-toolchain: {{version: stable, sources: [go.dev]}}}}\n\
         layers:\n- {{name: tool, archive: {{input: tool, prefix: /opt}}}}\n\
         - {{name: go, go-toolchain: {{input: go, prefix: /usr/lib/go}}}}\n\
         - {{name: another, go-toolchain: {{input: another, prefix: /usr/lib/another}}}}\n"
    )
}

fn world() -> (Env, Server) {
    let (env, server) = served();
    let archive = Tar::default().with(b"tool/run", Member::File(b"#!/bin/sh\n")).gz();
    for path in ["srv/tool/first.tgz", "srv/tool/second.tgz"] {
        env.write(path, &archive);
    }
    env.write("all.yaml", recipe(&server, &archive));
    (env, server)
}

/// What a lock has for one input and arch.
fn stanzas(lock: &str) -> Vec<(String, String)> {
    let value = |stanza: &str, key: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let all = lock.split("[[input]]").skip(1);
    all.map(|s| (format!("{} {}", value(s, "name"), value(s, "arch")), s.to_owned())).collect()
}

#[test]
fn a_lock_is_the_same_on_every_machine() {
    let (env, server) = world();
    env.treelay(["lock", "all.yaml"]).ok();
    let lock = env.read("all.lock");
    let names: Vec<_> = stanzas(&lock).into_iter().map(|(name, _)| name).collect();
    let expected =
        ["another amd64", "another arm64", "go amd64", "go arm64", "tool amd64", "tool arm64"];
    assert_eq!(names, expected);
    for private in ["127.0.0.1", env.dir().to_str().unwrap()] {
        // Addresses of the recipe are as they are there.
        let own = stanzas(&lock).into_iter().filter(|(name, _)| !name.starts_with("tool"));
        assert!(own.into_iter().all(|(_, stanza)| !stanza.contains(private)), "{lock}");
    }

    // Another folder, home and store, other words and times; another mirror, which the user has; and
    // the archive's first address is gone.
    let far = Env::new();
    far.write("deep/er/all.yaml", env.read("all.yaml"));
    let other = Server::of(&env.path("srv"));
    user_settings(&far, &mirror(&other));
    fs::remove_file(env.path("srv/tool/first.tgz")).unwrap();
    let run = |run: Run| -> String {
        run.env("TZ", "Asia/Tokyo").env("LC_ALL", "tr_TR.UTF-8").after_shell("umask 077").ok();
        let made = far.read("deep/er/all.lock");
        fs::remove_file(far.path("deep/er/all.lock")).unwrap();
        made
    };
    let lock_there = ["lock", "deep/er/all.yaml", "--jobs=1"];
    assert_eq!(run(far.treelay(lock_there)), lock);
    assert!(other.requests() > 0 && server.heads().iter().any(|head| head.contains("second.tgz")));
    // With what is in the store by now.
    assert_eq!(run(far.treelay(lock_there)), lock);
    // And from where nothing is reached but a bundle.
    env.write("srv/tool/first.tgz", fs::read(env.path("srv/tool/second.tgz")).unwrap());
    env.treelay(["bundle", "export", "all.yaml", "all.tar.zst"]).ok();
    let bundle = env.path("all.tar.zst");
    far.treelay([
        "bundle",
        "import",
        bundle.to_str().unwrap(),
        "--store=new",
        "--recipes=new-work",
    ])
    .ok();
    assert_eq!(far.read("new-work/all.lock"), lock);
}

/// A newer release of both distributions.
fn newer(env: &Env) {
    let mut files = Vec::new();
    for (version, suffix) in [("1.27.4", "4"), ("1.27.3", "3")] {
        for arch in ["amd64", "arm64"] {
            let mut tree: Files = distribution(arch);
            tree[0].1 = format!("go{version}\ntime 2026-11-0{suffix}T00:00:00Z\n").into_bytes();
            let (name, archive) = (format!("go{version}.linux-{arch}.tar.gz"), Tar::of(&tree).gz());
            files.push((
                version,
                format!(
                    r#"{{"filename": "{name}", "sha256": "{}", "size": {}}}"#,
                    hex::encode(Sha256::digest(&archive)),
                    archive.len()
                ),
            ));
            env.write(&format!("{FILES}/{name}"), archive);
        }
    }
    let of = |version: &str| {
        let own = files.iter().filter(|(of, _)| *of == version).map(|(_, file)| file.clone());
        let own = own.collect::<Vec<_>>().join(",");
        format!(r#"{{"version": "go{version}", "stable": true, "files": [{own}]}}"#)
    };
    env.write(&format!("{FILES}/index"), format!("[{},{}]", of("1.27.4"), of("1.27.3")));
}

#[test]
fn an_update_changes_one_input_and_says_old_and_new() {
    let (env, _server) = world();
    env.treelay(["lock", "all.yaml"]).ok();
    let old = env.read("all.lock");
    newer(&env);
    // What is locked stays, also where it could be found no more.
    let output = env.treelay(["lock", "all.yaml"]).ok();
    assert!(output.out().ends_with("all.lock is up to date: 6 inputs\n"), "{output}");
    let output = env.treelay(["lock", "all.yaml", "--update", "go"]).ok();
    let told = crate::fixture::settle(&env, &output.out());
    let line = |arch: &str| {
        let from = |version| format!("https://go.dev/dl/go{version}.linux-{arch}.tar.gz");
        format!(
            "  go for {arch}: 1.27.3 ([SHORT]) from {} is now 1.27.4 ([SHORT]) from {}\n",
            from("1.27.3"),
            from("1.27.4")
        )
    };
    assert_eq!(told, format!("[WORK]/all.lock\n{}{}", line("amd64"), line("arm64")));
    let new = env.read("all.lock");
    for ((name, old), (_, new)) in stanzas(&old).into_iter().zip(stanzas(&new)) {
        assert_eq!(old == new, !name.starts_with("go "), "{name}");
    }
    env.treelay(["lock", "all.yaml", "--check"]).ok();
    // All of them where none is named.
    env.treelay(["lock", "all.yaml", "--update"]).ok().says("another for amd64: 1.27.3");
    assert!(!env.read("all.lock").contains("1.27.3"));
}
