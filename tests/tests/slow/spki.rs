//! An ostree of 2025.2 or newer, built with OpenSSL, verifies what treelay signs with a P-256 key.
//!
//! Where set-up could build no ostree that new, each of these fails and says why; `cargo xtask
//! test` leaves them out then and says so in its summary.

use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

use crate::fixture::{REFS, base64, build, der, key};

/// ostree reads PEM files of public keys for spki, which is what treelay writes.
fn verify(env: &Env, name: &str, refname: &str) -> Run {
    let file = format!("--keys-file={name}.pub");
    let sign = ["sign", "--repo=repo", "--verify", "--sign-type=spki", &file, refname];
    env.ostree_with_spki(sign)
}

#[test]
fn ostree_sign_verifies_every_commit_and_refuses_another_key() {
    let env = Env::new();
    key(&env, "ecdsa-p256", "right");
    key(&env, "ecdsa-p256", "wrong");
    build(&env, "repo", Some("right"));
    for name in REFS {
        verify(&env, "right", name).ok().says("Signature verified successfully");
        verify(&env, "wrong", name).refuses().says("Signature couldn't be verified");
    }
}

#[test]
fn a_remote_with_sign_verify_pulls_only_what_its_key_signed() {
    let env = Env::new();
    key(&env, "ecdsa-p256", "right");
    key(&env, "ecdsa-p256", "wrong");
    build(&env, "repo", Some("right"));
    let server = Server::of(&env.path("repo"));
    let pull = |name: &str| {
        let repo = format!("--repo={name}-host");
        env.ostree_with_spki(["init", &repo, "--mode=bare-user"]).ok();
        let trust = format!("--sign-verify=spki=inline:{}", base64(&env, der(&env, name)));
        let remote = ["remote", "add", &repo, "--no-gpg-verify", &trust, "origin", &server.url("")];
        env.ostree_with_spki(remote).ok();
        env.ostree_with_spki(["pull", &repo, "origin"]).args(REFS)
    };
    pull("right").ok();
    pull("wrong").refuses().says("Can't verify commit");
}
