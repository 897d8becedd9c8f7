//! An ostree built with libsodium verifies what treelay signs with an Ed25519 key.

use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

use crate::fixture::{self, REFS, build};

/// Makes the pair, and `NAME.ed25519`, which is ostree's form of the public key: its 32 bytes in
/// base64; returns that.
fn key(env: &Env, name: &str) -> String {
    fixture::key(env, "ed25519", name);
    let der = fixture::der(env, name);
    let public = fixture::base64(env, der[der.len() - 32..].to_vec());
    env.write(&format!("{name}.ed25519"), format!("{public}\n"));
    public
}

fn verify(env: &Env, name: &str, refname: &str) -> Run {
    let file = format!("--keys-file={name}.ed25519");
    let sign = ["sign", "--repo=repo", "--verify", "--sign-type=ed25519", &file, refname];
    env.ostree_with_keys(sign)
}

/// Pulls into a new repository `name` whose remote trusts this key alone.
fn pull(env: &Env, server: &Server, name: &str, public: &str) -> Run {
    let repo = format!("--repo={name}");
    env.ostree_with_keys(["init", &repo, "--mode=bare-user"]).ok();
    let trust = format!("--sign-verify=ed25519=inline:{public}");
    let remote = ["remote", "add", &repo, "--no-gpg-verify", &trust, "origin", &server.url("")];
    env.ostree_with_keys(remote).ok();
    env.ostree_with_keys(["pull", &repo, "origin"]).args(REFS)
}

#[test]
fn ostree_sign_verifies_every_commit_and_refuses_another_key() {
    let env = Env::new();
    key(&env, "right");
    key(&env, "wrong");
    build(&env, "repo", Some("right"));
    for name in REFS {
        verify(&env, "right", name).ok().says("Signature verified successfully");
        verify(&env, "wrong", name).refuses().says("Signature couldn't be verified");
    }
}

#[test]
fn a_remote_with_sign_verify_pulls_only_what_its_key_signed() {
    let env = Env::new();
    let (right, wrong) = (key(&env, "right"), key(&env, "wrong"));
    build(&env, "repo", Some("right"));
    let server = Server::of(&env.path("repo"));
    pull(&env, &server, "host", &right).ok();
    env.ostree_with_keys(["cat", "--repo=host", &format!("origin:{}", REFS[1]), "/usr/etc/arch"])
        .ok()
        .says("ppc64le");
    pull(&env, &server, "stranger", &wrong).refuses().says("Can't verify commit");
}

#[test]
fn a_remote_with_sign_verify_refuses_unsigned_commits() {
    let env = Env::new();
    let public = key(&env, "right");
    build(&env, "repo", None);
    let server = Server::of(&env.path("repo"));
    pull(&env, &server, "host", &public).refuses().says("Can't verify commit");
}

#[test]
fn treelay_verifies_what_ostree_signs_and_ostree_signs_beside_treelay() {
    let env = Env::new();
    key(&env, "right");
    // RFC 8032, section 7.1, test 1: seed and public key, and the public key as a PEM file.
    let secret =
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
    env.write(
        "other.pub",
        "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
         -----END PUBLIC KEY-----\n",
    );
    build(&env, "repo", Some("right"));
    for name in REFS {
        env.ostree_with_keys(["sign", "--repo=repo", "--sign-type=ed25519", name, secret]).ok();
        let dest = format!("ostree:repo:{name}");
        for public in ["right.pub", "other.pub"] {
            env.treelay(["verify", &dest, "--key", public]).ok();
        }
        verify(&env, "right", name).ok();
    }
}
