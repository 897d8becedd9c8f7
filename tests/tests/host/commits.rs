//! ostree of Debian 13 pulls treelay's commits, and only those that the right GPG key signed.

use treelay_tests::http::Server;
use treelay_tests::{Env, Run, tamper};

use crate::fixture::{key, recipe};

const REFS: [&str; 3] = ["treelay/small/x86_64", "treelay/small/aarch64", "treelay/small/ppc64le"];

/// Builds the small recipe into `repo`, signed by these GPG keys.
fn build(env: &Env, gpg_keys: &[&str]) {
    recipe(env);
    let keys = gpg_keys.iter().map(|key| format!("--gpg-key={key}"));
    env.treelay(["build", "small.yaml", "-o", "ostree:repo"]).args(keys).ok();
}

/// A new repository `name` whose remote `origin` trusts `gpg_key` alone.
fn client(env: &Env, name: &str, server: &Server, gpg_key: &str) {
    let keyring = env.write(&format!("{name}.gpg"), env.gpg(["--export", gpg_key]).ok().stdout);
    let (repo, import) = (format!("--repo={name}"), format!("--gpg-import={}", keyring.display()));
    env.trixie(["ostree", "init", &repo, "--mode=bare-user"]).ok();
    env.trixie(["ostree", "remote", "add", &repo, &import, "origin", &server.url("")]).ok();
}

fn pull(env: &Env, name: &str) -> Run {
    env.trixie(["ostree", "pull", &format!("--repo={name}"), "origin"]).args(REFS)
}

#[test]
fn gpg_verify_accepts_the_commits_of_every_arch_by_the_key_that_was_imported() {
    let env = Env::new();
    let id = env.gpg_key("one@treelay.test");
    build(&env, &[&id]);
    let server = Server::of(&env.path("repo"));
    client(&env, "host", &server, &id);
    pull(&env, "host").ok();
    env.trixie(["ostree", "fsck", "--repo=host"]).ok();
    for (name, arch) in REFS.iter().zip(["amd64", "arm64", "ppc64le"]) {
        let remote = format!("origin:{name}");
        let file = env.trixie(["ostree", "cat", "--repo=host", &remote, "/usr/etc/arch"]).ok();
        assert_eq!(file.out(), format!("{arch}\n"));
        env.trixie(["ostree", "show", "--repo=host", &remote]).ok().says("Good signature");
    }
}

#[test]
fn gpg_verify_refuses_commits_by_another_key() {
    let env = Env::new();
    let (id, other) = (env.gpg_key("one@treelay.test"), env.gpg_key("two@treelay.test"));
    build(&env, &[&id]);
    let server = Server::of(&env.path("repo"));
    client(&env, "host", &server, &other);
    pull(&env, "host").refuses().says("public key not found");
}

#[test]
fn gpg_verify_accepts_commits_by_two_keys_of_which_it_knows_one() {
    let env = Env::new();
    let (id, other) = (env.gpg_key("one@treelay.test"), env.gpg_key("two@treelay.test"));
    build(&env, &[&id, &other]);
    let server = Server::of(&env.path("repo"));
    client(&env, "host", &server, &other);
    pull(&env, "host").ok();
}

#[test]
fn gpg_verify_refuses_commits_that_only_carry_other_kinds_of_signatures() {
    let env = Env::new();
    let id = env.gpg_key("one@treelay.test");
    recipe(&env);
    key(&env, "metadata");
    let build = ["build", "small.yaml", "-o", "ostree:repo", "--key=metadata.key"];
    env.treelay(build).env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    let server = Server::of(&env.path("repo"));
    client(&env, "host", &server, &id);
    pull(&env, "host").refuses().says("GPG verification enabled, but no signatures found");
}

#[test]
fn gpg_verify_refuses_a_signature_that_was_tampered_with_or_moved_to_another_commit() {
    let env = Env::new();
    let id = env.gpg_key("one@treelay.test");
    build(&env, &[&id]);
    let signatures = objects(&env, "commitmeta");
    let server = Server::of(&env.path("repo"));
    client(&env, "host", &server, &id);
    // The last bytes hold the signature's own numbers.
    let size = std::fs::metadata(&signatures[0]).unwrap().len();
    tamper::flip_at(&signatures[0], size - 20, 1);
    pull(&env, "host").refuses();
    tamper::flip_at(&signatures[0], size - 20, 1);
    std::fs::copy(&signatures[1], &signatures[0]).unwrap();
    pull(&env, "host").refuses().says("BAD signature");
}

#[test]
fn a_tampered_object_is_refused_by_its_checksum() {
    let env = Env::new();
    let id = env.gpg_key("one@treelay.test");
    build(&env, &[&id]);
    let server = Server::of(&env.path("repo"));
    for (kind, name) in
        [("commit", "commit"), ("dirtree", "dirtree"), ("dirmeta", "dirmeta"), ("filez", "file")]
    {
        // A new one each time: what a refused pull has fetched already is not fetched again.
        client(&env, kind, &server, &id);
        let object = &objects(&env, kind)[0];
        tamper::flip(object, 5);
        pull(&env, kind).refuses().says(&format!("Corrupted {name} object"));
        tamper::flip(object, 5);
        pull(&env, kind).ok();
    }
}

/// The repository's objects of one kind.
fn objects(env: &Env, kind: &str) -> Vec<std::path::PathBuf> {
    let mut objects = tamper::files(&env.path("repo/objects"));
    objects.retain(|path| path.extension().is_some_and(|found| found == kind));
    assert!(!objects.is_empty(), "the repository has no {kind}");
    objects
}
