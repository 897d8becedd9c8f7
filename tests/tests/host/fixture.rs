//! A small signed image in a registry, and a host that trusts one key and nothing else.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use treelay_tests::registry::Registry;
use treelay_tests::{Env, Run, tools};

/// The arches of the small image, as image names have them.
pub const ARCHES: [&str; 3] = ["amd64", "arm64", "ppc64le"];

/// What podman and skopeo say of a signature of another name.
pub const NOT_ACCEPTED: &str = "is not accepted";

/// The repository that hosts pull from.
pub const REPOSITORY: &str = "tools/small";

/// One layer that the arches share (a static busybox of the machine's own arch) and one that they
/// do not.
const RECIPE: &str = r#"
name: small
summary: A small image
version: "1"
arch: [amd64, arm64, ppc64le]
epoch: 1735689600
layers:
  - name: shared
    files:
      - {path: /bin/busybox, source: busybox, mode: "0755"}
  - name: own
    files:
      - {path: /etc/arch, content: "{{ arch }}\n"}
      - {path: "/etc/arches/{{ arch }}", content: "{{ arch.uname }}\n"}
image:
  config:
    entrypoint: [/bin/busybox]
    env: {PATH: /bin}
ostree:
  ref: treelay/{{ name }}/{{ arch.uname }}
"#;

/// A host, its registry, and the key that it trusts.
pub struct Host {
    pub env: Env,
    pub registry: Registry,
}

impl Host {
    /// The registry is empty, and the policy accepts images of it that `trusted.key` signed.
    pub fn new() -> Self {
        let env = Env::new();
        let registry = Registry::docker(&env);
        env.plain_http(&registry);
        key(&env, "trusted");
        let host = Self { env, registry };
        host.trusts(None);
        host.env.signatures_beside(&host.registry.address());
        recipe(&host.env);
        host
    }

    /// The same, with the small image as version 1 in [`REPOSITORY`], signed.
    pub fn with_signed() -> Self {
        let host = Self::new();
        host.push(&host.image("1"), Some("trusted"));
        host
    }

    /// Everything but the registry's images is rejected, and those need a signature by the trusted
    /// key under the rule `identity`; containers-policy.json(5) has `matchRepoDigestOrExact`
    /// where there is none.
    pub fn trusts(&self, identity: Option<Value>) {
        let mut rule = json!({"type": "sigstoreSigned", "keyPath": self.env.path("trusted.pub")});
        if let Some(identity) = identity {
            rule["signedIdentity"] = identity;
        }
        self.env.policy(&json!({
            "default": [{"type": "reject"}],
            "transports": {"docker": {self.registry.address(): [rule]}},
        }));
    }

    /// The `docker://` name of a tag in [`REPOSITORY`].
    pub fn image(&self, tag: &str) -> String {
        self.registry.docker_name(&format!("{REPOSITORY}:{tag}"))
    }

    /// Builds the small image into the registry; returns what the build says as JSON.
    pub fn push(&self, image: &str, key: Option<&str>) -> Value {
        let build = self.treelay(["build", "small.yaml", "--json", "-o", image]);
        let key = key.map(|key| format!("--key={key}.key"));
        build.args(key).ok().json()
    }

    /// treelay with the keys' password.
    pub fn treelay<const N: usize>(&self, args: [&str; N]) -> Run {
        self.env.treelay(args).env("COSIGN_PASSWORD", Env::PASSWORD)
    }

    /// What the registry answers for a manifest of the repository, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Value {
        let name = match reference.contains(':') {
            true => format!("{repository}@{reference}"),
            false => format!("{repository}:{reference}"),
        };
        let name = self.registry.docker_name(&name);
        self.env.skopeo(["inspect", "--raw", "--tls-verify=false", &name]).ok().json()
    }

    /// The digest of an arch's image.
    pub fn child(&self, repository: &str, tag: &str, arch: &str) -> String {
        let index = self.manifest(repository, tag);
        let children = index["manifests"].as_array().unwrap();
        let child = children.iter().find(|child| child["platform"]["architecture"] == arch);
        child.unwrap()["digest"].as_str().unwrap().to_owned()
    }

    /// Copies between places as someone does who asks for no signatures.
    pub fn copy_unchecked(&self, from: &str, to: &str) {
        self.env.skopeo(["--insecure-policy", "copy", "--quiet", "--all", from, to]).ok();
    }

    /// Takes a tag of the repository out of the registry, with the manifest it names.
    pub fn delete(&self, tag: &str) {
        self.env.skopeo(["delete", &self.image(tag)]).ok();
    }

    /// Where the registry keeps a blob or manifest.
    pub fn stored(&self, digest: &str) -> PathBuf {
        let port = self.registry.address().rsplit_once(':').unwrap().1.to_owned();
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = format!("registry-{port}/docker/registry/v2/blobs/sha256");
        self.env.dir().join(blobs).join(&hex[..2]).join(hex).join("data")
    }

    /// podman 5 pulls.
    pub fn podman_pull(&self, image: &str) -> Run {
        self.env.trixie(["podman", "pull", "--quiet", image])
    }

    /// skopeo copies the image of the machine's own arch into a folder.
    pub fn skopeo_copy(&self, image: &str) -> Run {
        let to = format!("dir:{}", self.env.path("copied").display());
        self.env.trixie(["skopeo", "copy", "--quiet", image, &to])
    }

    /// skopeo copies the index and the images of every arch into a folder.
    pub fn skopeo_copy_all(&self, image: &str) -> Run {
        self.skopeo_copy(image).arg("--all")
    }

    /// Both pull the image.
    #[track_caller]
    pub fn accepted(&self, image: &str) {
        self.podman_pull(image).ok();
        self.skopeo_copy(image).ok();
    }

    /// Neither pulls the image, and each says why.
    #[track_caller]
    pub fn refused(&self, image: &str, why: &str) {
        self.podman_pull(image).refuses().says(why);
        self.skopeo_copy(image).refuses().says(why);
    }
}

/// The tag of a manifest's signatures.
pub fn signature_tag(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}

/// A key pair `NAME.key` and `NAME.pub` in the environment's work folder, ECDSA P-256.
pub fn key(env: &Env, name: &str) {
    key_of(env, "ecdsa-p256", name);
}

/// A key pair of a kind that `treelay key generate` knows.
pub fn key_of(env: &Env, kind: &str, name: &str) {
    let generate = ["key", "generate", "--type", kind, "--out", name];
    env.treelay(generate).env("COSIGN_PASSWORD", Env::PASSWORD).ok();
}

/// `small.yaml`, with what it needs beside it.
pub fn recipe(env: &Env) {
    env.write("small.yaml", RECIPE);
    fs::copy(tools::program("busybox"), env.path("busybox")).unwrap();
}
