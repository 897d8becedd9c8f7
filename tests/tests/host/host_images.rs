//! Hosts take both container forms of one tree from a registry, under a policy that wants
//! signatures: the ordinary image, and the encapsulated commit.

use std::fs;
use std::path::PathBuf;

use treelay_ci::tools::Kept;
use treelay_tests::{Run, tools};

use crate::fixture::Host;

/// A system of its own, for hosts to boot.
const BASE: &str = r##"
name: base
version: "41"
arch: [amd64]
epoch: 1735689600
layers:
  - name: system
    directory: {source: system, prefix: /}
  - name: links
    files: [{path: /ostree, link: sysroot/ostree}]
image:
  config: {labels: {containers.bootc: "1"}}
ostree:
  ref: host/base
  bootable: true
"##;

/// The same layer over it, as an image and as a commit.
const TOOLS: &str = r##"
name: tools
version: "VERSION"
arch: [amd64]
epoch: 1735689600
layers:
  - name: tools
    files:
      - {path: /etc/tool.conf, content: "settings of VERSION\n"}
      - {path: /usr/bin/tool, mode: "0755", content: "#!/bin/sh\n"}
image:
  base: oci:base
ostree:
  ref: host/tools
  base: {image: "oci:base"}
"##;

/// `$1` is where images come from.
const DEPLOY: &str = r#"set -eu
mount --bind "$POLICY" /etc/containers/policy.json
exec "$PWD/ostree-ext" container image deploy --sysroot sysroot --stateroot os --imgref "$1"
"#;

/// A host with an empty system root, and the images' registry.
pub fn host() -> Host {
    let host = Host::new();
    let env = &host.env;
    env.write("system/usr/lib/modules/6.1.0/vmlinuz", "a kernel\n");
    env.write("system/usr/lib/modules/6.1.0/initramfs.img", "an initramfs\n");
    env.write("system/usr/lib/os-release", "ID=test\nPRETTY_NAME=Test\n");
    env.write("system/etc/host.conf", "of the host\n");
    for empty in ["sysroot", "boot", "var", "proc", "sys", "dev", "run", "tmp"] {
        fs::create_dir_all(env.path("system").join(empty)).unwrap();
    }
    env.write("base.yaml", BASE);
    env.treelay(["build", "base.yaml", "-o", "oci:plain", "-o", "ostree:base.repo"]).ok();
    env.treelay(["copy", "ostree:base.repo:host/base", "oci:base"]).ok();
    recipe(&host, "1");
    env.write("deploy.sh", DEPLOY);
    fs::copy(tools::kept(Kept::OstreeExt), env.path("ostree-ext")).unwrap();
    fs::create_dir(env.path("sysroot")).unwrap();
    env.trixie(["ostree", "admin", "init-fs", "--modern", "sysroot"]).ok();
    env.trixie(["ostree", "admin", "os-init", "--sysroot=sysroot", "os"]).ok();
    host
}

fn recipe(host: &Host, version: &str) {
    host.env.write("tools.yaml", TOOLS.replace("VERSION", version));
}

/// Deploys an image as rpm-ostree and bootc do, with the policy of the test as the host's.
fn deploy(host: &Host, image: &str) -> Run {
    let policy = host.env.dir().join("home/.config/containers/policy.json");
    host.env.trixie(["sh", "deploy.sh", image]).env("POLICY", policy.to_str().unwrap())
}

/// The root of the deployment that would be booted.
fn deployed(host: &Host) -> PathBuf {
    let status = host.env.trixie(["ostree", "admin", "status", "--sysroot=sysroot"]).ok().out();
    let line = status.lines().next().unwrap();
    let name = line.trim_start_matches(['*', ' ']).strip_prefix("os ").unwrap();
    let name = name.split(' ').next().unwrap();
    host.env.path("sysroot/ostree/deploy/os/deploy").join(name)
}

fn read(host: &Host, path: &str) -> String {
    let path = deployed(host).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The version that hosts show of an image that they have.
fn version(host: &Host, image: &str) -> String {
    let show = ["./ostree-ext", "container", "image", "metadata", "--config"];
    let show = host.env.trixie(show).args(["--repo=sysroot/ostree/repo", image]).ok().json();
    show["config"]["Labels"]["org.opencontainers.image.version"].as_str().unwrap().to_owned()
}

/// What is not signed by the key of the policy is not deployed; nor is anything by a policy that
/// accepts all.
fn only_signed(host: &Host, build: impl Fn(&str, Option<&str>)) {
    let image = |tag: &str| host.registry.docker_name(&format!("os/tools:{tag}"));
    build(&image("none"), None);
    let signed = |tag: &str| format!("ostree-image-signed:{}", image(tag));
    deploy(host, &signed("none")).refuses().says("A signature was required, but no signature");
    crate::fixture::key(&host.env, "other");
    build(&image("other"), Some("other"));
    deploy(host, &signed("other")).refuses().says("invalid signature when validating");
    build(&image("1"), Some("trusted"));
    let default = serde_json::json!({"default": [{"type": "insecureAcceptAnything"}]});
    host.env.policy(&default);
    deploy(host, &signed("1")).refuses().says("default of `insecureAcceptAnything`");
    host.trusts(None);
    deploy(host, &signed("1")).ok();
    assert_eq!(read(host, "etc/tool.conf"), "settings of 1\n");
    assert_eq!(read(host, "etc/host.conf"), "of the host\n");
    assert_eq!(read(host, "usr/bin/tool"), "#!/bin/sh\n");
    assert_eq!(version(host, &image("1")), "1");
    let origin = fs::read_to_string(deployed(host).with_extension("0.origin")).unwrap();
    assert!(origin.contains(&format!("container-image-reference={}", signed("1"))), "{origin}");

    recipe(host, "2");
    build(&image("1"), Some("trusted"));
    deploy(host, &signed("1")).ok();
    assert_eq!(read(host, "etc/tool.conf"), "settings of 2\n");
    assert_eq!(version(host, &image("1")), "2");
    host.env.trixie(["ostree", "fsck", "--quiet", "--repo=sysroot/ostree/repo"]).ok();
}

#[test]
fn an_ordinary_image_is_deployed_where_it_is_signed() {
    let host = host();
    only_signed(&host, |image, key| {
        let key = key.map(|key| format!("--key={key}.key"));
        host.treelay(["build", "tools.yaml", "-o", image]).args(key).ok();
    });
    // Newer importers than the one of the test take an image without a commit in it, too.
    let plain = host.registry.docker_name("os/plain:1");
    host.treelay(["copy", "oci:plain", &plain, "--key=trusted.key"]).ok();
    let refused = deploy(&host, &format!("ostree-image-signed:{plain}")).refuses();
    refused.says("No ostree.final-diffid label found");
}

#[test]
fn an_encapsulated_commit_is_deployed_where_it_is_signed() {
    let host = host();
    let copy = |image: &str, key: Option<&str>| {
        host.treelay(["build", "tools.yaml", "-o", "ostree:repo"]).ok();
        let key = key.map(|key| format!("--key={key}.key"));
        host.treelay(["copy", "ostree:repo:host/tools", image]).args(key).ok();
    };
    only_signed(&host, copy);
    let commit = host.env.ostree(["rev-parse", "--repo=repo", "host/tools"]).ok().out();
    let place = host.registry.docker_name("os/tools:1");
    host.env.ostree(["init", "--repo=out", "--mode=bare-user"]).ok();
    let unpack = ["container", "unencapsulate", "--repo=out", "--write-ref=back"];
    host.env.ostree_ext(unpack).arg(format!("ostree-unverified-image:{place}")).ok();
    assert_eq!(host.env.ostree(["rev-parse", "--repo=out", "back"]).ok().out(), commit);
}

/// `ostree-remote-image:` looks at the signature of the commit in the image.
#[test]
fn the_signature_of_an_encapsulated_commit_is_what_its_remote_wants() {
    let host = host();
    let (own, other) = (host.env.gpg_key("own@example.org"), host.env.gpg_key("b@example.org"));
    for (name, key) in [("own", &own), ("other", &other)] {
        host.env.gpg(["--export", "--output", &format!("{name}.gpg"), key]).ok();
        let remote = ["ostree", "remote", "add", "--repo=sysroot/ostree/repo", name];
        let import = format!("--gpg-import={name}.gpg");
        host.env.trixie(remote).args([&import, "https://unused.example"]).ok();
    }
    let image = host.registry.docker_name("os/tools:1");
    let build = ["build", "tools.yaml", "-o", "ostree:repo", "--gpg-key", &own];
    host.treelay(build).ok();
    host.treelay(["copy", "ostree:repo:host/tools", &image, "--key=trusted.key"]).ok();
    let from = |remote: &str| format!("ostree-remote-image:{remote}:{image}");
    deploy(&host, &from("other")).refuses().says("Can't check signature: public key not found");
    deploy(&host, &from("own")).ok();
    assert_eq!(read(&host, "usr/bin/tool"), "#!/bin/sh\n");
}

/// What says that hosts can boot it is looked at before it is written.
#[test]
fn an_image_that_hosts_cannot_boot_is_not_built() {
    let host = host();
    let refused = |more: &str, problem: &str| {
        let recipe = TOOLS.replace("VERSION", "1").replace("image:", &format!("{more}image:"));
        host.env.write("bad.yaml", recipe.split("ostree:").next().unwrap());
        let build = host.treelay(["build", "bad.yaml", "-o", "oci:bad"]);
        build
            .fails(1)
            .says("hosts cannot boot the image for amd64, though its label")
            .says(problem);
    };
    let file = |path: &str| format!("      - {{path: {path}, content: x}}\n");
    refused(&file("/usr/lib/modules/6.2/vmlinuz"), "several kernels in /usr/lib/modules");
    refused(&file("/boot/grub.cfg"), "/boot/grub.cfg would be lost");
    refused(&file("/usr/etc/x"), "there is a /etc with host.conf in it beside /usr/etc");
    refused(&file("/etc/os-release"), "its os-release has no ID");
    assert!(!host.env.path("bad/index.json").exists());
}
