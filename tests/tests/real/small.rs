//! A small image, for what needs no toolchain.

use std::path::PathBuf;

use serde_json::Value;
use treelay_tests::{Env, Run};

use crate::sdk::with_password;

/// The arches of the recipe, as image names have them.
pub const ARCHES: [&str; 3] = ["amd64", "arm64", "ppc64le"];

/// One layer that the arches share and one that they do not.
const RECIPE: &str = r##"
name: small
summary: A small image
version: "1"
arch: [amd64, arm64, ppc64le]
epoch: 1735689600
layers:
  - name: shared
    files:
      - {path: /usr/share/words, content: "the quick brown fox\n"}
      - {path: /usr/bin/words, link: ../share/words}
      - {path: /usr/bin/say, mode: "0755", content: "#!/bin/sh\nexec cat /usr/share/words\n"}
  - name: own
    files:
      - {path: /etc/arch, content: "{{ arch }}\n"}
      - {path: /usr/share/arches, dir: true}
image:
  reference: registry.example/tools/small
ostree:
  ref: treelay/{{ name }}/{{ arch.uname }}
"##;

/// An environment with the recipe `small.yaml` and the key pair `good`.
pub fn env() -> Env {
    let env = Env::new();
    env.write("small.yaml", RECIPE);
    key(&env, "good");
    env
}

/// A key pair `NAME.key` and `NAME.pub`.
pub fn key(env: &Env, name: &str) {
    with_password(env.treelay(["key", "generate", "--out", name])).ok();
}

/// Builds the recipe to `dest`, signed with the keys.
pub fn build(env: &Env, dest: &str, keys: &[&str]) -> Run {
    let keys = keys.iter().map(|key| format!("--key={key}.key"));
    with_password(env.treelay(["build", "small.yaml", "-o", dest]).args(keys))
}

/// The digests of the index and of every image in it, from `build --json`.
pub fn subjects(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let images = report["images"].as_array().unwrap().iter().map(|image| text(&image["digest"]));
    std::iter::once(text(&report["index"]["digest"])).chain(images).collect()
}

/// The file of a blob of a layout.
pub fn blob(env: &Env, layout: &str, digest: &str) -> PathBuf {
    env.path(layout).join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}
