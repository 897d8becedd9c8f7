//! A small recipe whose commits are signed with a key.

use treelay_tests::{Env, Output};

pub const REFS: [&str; 2] = ["treelay/small/x86_64", "treelay/small/ppc64le"];

const RECIPE: &str = r#"
name: small
summary: A small tree
version: "1"
arch: [amd64, ppc64le]
epoch: 1735689600
layers:
  - name: own
    files:
      - {path: /etc/arch, content: "{{ arch }}\n"}
ostree:
  ref: treelay/{{ name }}/{{ arch.uname }}
"#;

/// A key pair `NAME.key` and `NAME.pub`.
pub fn key(env: &Env, kind: &str, name: &str) {
    let generate = ["key", "generate", "--type", kind, "--out", name];
    env.treelay(generate).env("COSIGN_PASSWORD", Env::PASSWORD).ok();
}

/// Builds the small recipe into `repo`, signed with `NAME.key` where a name is given.
pub fn build(env: &Env, repo: &str, key: Option<&str>) -> Output {
    env.write("small.yaml", RECIPE);
    let dest = format!("ostree:{repo}");
    let key = key.map(|name| format!("--key={name}.key"));
    let build = env.treelay(["build", "small.yaml", "-o", &dest]).args(key);
    build.env("COSIGN_PASSWORD", Env::PASSWORD).ok()
}

/// The DER form of `NAME.pub`.
pub fn der(env: &Env, name: &str) -> Vec<u8> {
    let file = format!("{name}.pub");
    env.openssl(["pkey", "-pubin", "-in", &file, "-outform", "DER"]).ok().stdout
}

/// Bytes as base64 on one line.
pub fn base64(env: &Env, bytes: Vec<u8>) -> String {
    env.openssl(["base64", "-A"]).stdin(bytes).ok().out()
}
