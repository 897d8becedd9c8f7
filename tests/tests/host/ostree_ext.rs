//! The code with which rpm-ostree and bootc read images reads treelay's layers to their end. Of gzip
//! it takes the first member alone; an image with a layer of two is not imported.

use std::collections::BTreeSet;

use treelay_ci::tools::workspace;
use treelay_tests::Env;
use treelay_tests::tamper::Random;

/// Layers of several frames on a host's system: one is cut inside a file, and they have folders in
/// common.
const RECIPE: &str = r##"
name: derived
version: "1"
arch: [amd64]
epoch: 1735689600
layers:
  - name: large
    directory: {source: large, prefix: /usr/share/data}
  - name: many
    directory: {source: many, prefix: /usr/share/data}
  - name: settings
    files:
      - {path: /etc/derived.conf, content: "settings\n"}
      - {path: /usr/bin/derived, mode: "0755", content: "#!/bin/sh\n"}
      - {path: /usr/bin/link, link: derived}
image:
  base: oci:base
  compression: COMPRESSION
"##;

/// The ref of the commit that becomes the base.
const BASE: &str = "host/base";

/// A layout `base` with the smallest system that could be booted, and its commit in `base.repo`.
fn base(env: &Env) {
    env.write("system/usr/lib/modules/6.1.0/vmlinuz", "a kernel\n");
    env.write("system/usr/lib/os-release", "ID=test\nPRETTY_NAME=Test\n");
    env.write("system/usr/etc/host.conf", "of the host\n");
    env.ostree(["init", "--repo=base.repo", "--mode=bare-user"]).ok();
    let commit = ["commit", "--repo=base.repo", "--branch", BASE, "--bootable", "--no-xattrs"];
    env.ostree(commit).args(["--owner-uid=0", "--owner-gid=0", "system"]).ok();
    let image = format!("oci:{}", env.path("base").display());
    env.ostree_ext(["container", "encapsulate", "--repo=base.repo", BASE, &image]).ok();
}

/// Lines of numbers: they compress, but not to nothing.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut text = Vec::with_capacity(length + 80);
    while text.len() < length {
        text.extend(format!("{:x} and the rest of the line\n", random.draw()).bytes());
    }
    text.truncate(length);
    text
}

/// What is in a folder, a line for each path with its mode and content's digest.
fn listing(env: &Env, folder: &str) -> BTreeSet<String> {
    let script = workspace().join("tests/tests/real/independent.py");
    let list = env.run("/usr/bin/python3").arg("-B").arg(script).arg("tree");
    list.arg(env.path(folder)).ok().out().lines().map(str::to_owned).collect()
}

/// A path of an image where a commit has it.
fn as_commit(line: &str) -> String {
    match line.strip_prefix("etc") {
        Some(rest) if rest.starts_with([' ', '/']) => format!("usr/etc{rest}"),
        _ => line.to_owned(),
    }
}

/// Checks a commit out as the user of the test, and lists it.
fn commit(env: &Env, repo: &str, name: &str, folder: &str) -> BTreeSet<String> {
    let repo = format!("--repo={repo}");
    env.ostree(["checkout", "--user-mode", &repo, name, folder]).ok();
    listing(env, folder)
}

fn imports(compression: &str) {
    let env = Env::new();
    base(&env);
    for n in 0..300 {
        let path = format!("many/{}/a-name-that-takes-{}-of-room/{n}", n % 7, "plenty-".repeat(30));
        env.write(&path, text(n, 9000));
    }
    env.write("large/large", text(1000, (5 << 20) + 7));
    env.write("derived.yaml", RECIPE.replace("COMPRESSION", compression));
    env.treelay(["build", "derived.yaml", "-o", "oci:derived", "-o", "tree:tree"]).ok();
    let mut expected = commit(&env, "base.repo", BASE, "base.tree");
    let upper = listing(&env, "tree");
    assert!(upper.len() > 300);
    expected.extend(upper.iter().map(|line| as_commit(line)));

    env.ostree(["init", "--repo=host.repo", "--mode=bare-user"]).ok();
    let image = format!("ostree-unverified-image:oci:{}", env.path("derived").display());
    env.ostree_ext(["container", "image", "pull", "--quiet", "host.repo", &image]).ok();
    let refs = ["refs", "--repo=host.repo", "--list", "ostree/container/image"];
    let merged = env.ostree(refs).ok().out().trim().to_owned();
    let found = commit(&env, "host.repo", &merged, "merged.tree");
    let less: Vec<_> = expected.difference(&found).take(5).collect();
    let more: Vec<_> = found.difference(&expected).take(5).collect();
    assert!(found == expected, "the commit lacks {less:#?}\nand has {more:#?}");
    env.ostree(["fsck", "--quiet", "--repo=host.repo"]).ok();
}

#[test]
fn gzip_layers_are_imported_whole() {
    imports("gzip");
}

#[test]
fn zstd_layers_are_imported_whole() {
    imports("zstd");
}
