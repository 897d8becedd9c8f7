//! The code with which rpm-ostree and bootc read images reads treelay's layers to their end. Of gzip
//! it takes the first member alone; an image with a layer of two is not imported.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

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
    // ostree-ext leaves out the dirtree of /sysroot unless another directory has the same.
    for empty in ["sysroot", "boot"] {
        std::fs::create_dir_all(env.path("system").join(empty)).unwrap();
    }
    symlink("sysroot/ostree", env.path("system/ostree")).unwrap();
    env.ostree(["init", "--repo=base.repo", "--mode=bare-user"]).ok();
    let commit = ["commit", "--repo=base.repo", "--branch", BASE, "--bootable", "--no-xattrs"];
    let arch = "--add-metadata-string=ostree.architecture=x86_64";
    env.ostree(commit).args(["--owner-uid=0", "--owner-gid=0", arch, "system"]).ok();
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

const OVER_BASE: &str = r##"
name: over
version: "2"
arch: [amd64]
epoch: 1735689600
layers:
  - name: tools
    files:
      - {path: /etc/tool.conf, content: "settings\n"}
      - {path: /usr/bin/tool, mode: "0755", caps: cap_net_raw=ep, content: "#!/bin/sh\n"}
      - {path: /usr/bin/link, link: tool}
      - {path: /usr/share/empty, content: ""}
      - {path: LONG, content: "of a long path\n"}
ostree:
  ref: host/over
  base: {repo: base.repo, ref: host/base}
"##;

/// A commit laid over a base becomes an image that hosts take, signatures and all, and gives the very
/// same commit back.
#[test]
fn encapsulated_commits_come_back_as_they_were() {
    let env = Env::new();
    base(&env);
    let long = format!("/usr/share/{}/{}", "a".repeat(120), "b".repeat(120));
    env.write("over.yaml", OVER_BASE.replace("LONG", &long));
    let key = ["key", "generate", "--type", "ed25519", "--out", "key"];
    env.treelay(key).env("COSIGN_PASSWORD", "secret").ok();
    let build = ["build", "over.yaml", "-o", "ostree:over.repo", "--key", "key.key", "--json"];
    let report = env.treelay(build).env("COSIGN_PASSWORD", "secret").ok().json();
    let checksum = report["commits"][0]["checksum"].as_str().unwrap();
    let copy = |dest: &str| {
        env.treelay(["copy", "ostree:over.repo:host/over", dest, "--json"]).ok().json()
    };
    let (first, second) = (copy("oci:one:2"), copy("oci:two:2"));
    assert_eq!(first["digest"], second["digest"]);
    let inspected = env.treelay(["inspect", "oci:one", "--json"]).ok().json();
    let image = &inspected["images"][0];
    let labels = &image["config"]["Labels"];
    assert_eq!(labels["ostree.commit"], checksum);
    assert_eq!(labels["ostree.bootable"], "true");
    assert_eq!(labels["containers.bootc"], "1");
    assert_eq!(labels["ostree.linux"], "6.1.0");
    assert_eq!(labels["org.opencontainers.image.version"], "2");
    assert_eq!(image["annotations"], *labels);
    let layers = image["layers"].as_array().unwrap();
    assert_eq!(labels["ostree.final-diffid"], layers.last().unwrap()["diff_id"]);
    let names: Vec<_> = layers.iter().map(|it| it["created_by"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "over 2",
            "the rest",
            "usr/etc",
            "usr/lib 2 of 4",
            "usr/lib/modules",
            "treelay layer tools"
        ]
    );

    let place = format!("ostree-unverified-image:oci:{}:2", env.path("one").display());
    env.ostree(["init", "--repo=host.repo", "--mode=bare-user"]).ok();
    let unpack = ["container", "unencapsulate", "--repo=host.repo", "--write-ref=host/over"];
    env.ostree_ext(unpack).arg(&place).ok();
    assert_eq!(
        env.ostree(["rev-parse", "--repo=host.repo", "host/over"]).ok().out().trim(),
        checksum
    );
    env.ostree(["fsck", "--quiet", "--repo=host.repo"]).ok();
    env.treelay(["verify", "ostree:host.repo:host/over", "--key", "key.pub"]).ok();

    // As rpm-ostree pulls it, layer by layer.
    env.ostree(["init", "--repo=pulled.repo", "--mode=bare-user"]).ok();
    env.ostree_ext(["container", "image", "pull", "--quiet", "pulled.repo", &place]).ok();
    let refs = ["refs", "--repo=pulled.repo", "--list", "ostree/container/image"];
    let merged = env.ostree(refs).ok().out().trim().to_owned();
    assert_eq!(
        env.ostree(["rev-parse", "--repo=pulled.repo", &merged]).ok().out().trim().len(),
        64
    );
    let (found, expected) = (
        commit(&env, "pulled.repo", &merged, "pulled.tree"),
        commit(&env, "over.repo", "host/over", "over.tree"),
    );
    assert_eq!(found, expected);
}

/// Where there is but one layer, it is what ostree-ext makes of the same commit, to the byte.
#[test]
fn a_commit_layer_is_what_the_importers_own_exporter_writes() {
    let env = Env::new();
    base(&env);
    // Nothing but directories and metadata, so that neither has a second layer.
    let dirs = ["usr/etc", "usr/lib/modules", "var", "sysroot", "boot", "usr/share/empty"];
    for dir in dirs {
        std::fs::create_dir_all(env.path("only").join(dir)).unwrap();
    }
    env.ostree(["commit", "--repo=base.repo", "--branch=only", "--no-xattrs", "--owner-uid=0"])
        .args(["--owner-gid=0", "--timestamp=@1735689600", "only"])
        .args(["--add-metadata-string=ostree.architecture=x86_64"])
        .ok();
    env.treelay(["copy", "ostree:base.repo:only", "oci:ours:1"]).ok();
    let theirs = format!("oci:{}", env.path("theirs").display());
    env.ostree_ext(["container", "encapsulate", "--repo=base.repo", "only", &theirs]).ok();
    let layer = |image: &str| {
        let said = env.treelay(["inspect", image, "--json"]).ok().json();
        let layers = said["images"][0]["layers"].as_array().unwrap().clone();
        assert_eq!(layers.len(), 1);
        layers[0]["diff_id"].clone()
    };
    assert_eq!(layer("oci:ours"), layer("oci:theirs"));
}

const TWO_LAYERS: &str = r##"
name: over
version: "VERSION"
arch: [amd64]
epoch: 1735689600
layers:
  - name: server
    files:
      - {path: /usr/libexec/server/run, mode: "0755", content: "RUN\n"}
      - {path: /usr/libexec/server/license, content: "MORE"}
      - {path: /etc/server.conf, content: "settings\n"}
      - {path: /usr/bin/server, link: ../libexec/server/run}
  - name: tools
    files:
      - {path: /usr/bin/tool, mode: "0755", content: "#!/bin/sh\n"}
      - {path: /usr/share/tool/license, content: "all rights"}
      - {path: /usr/share/tool/empty, content: ""}
      - {path: /usr/etc/host.conf, content: "of the host\n"}
ostree:
  ref: host/over
  base: {repo: base.repo, ref: host/base}
"##;

/// The name and the digest of each layer of an image.
fn layers(env: &Env, image: &str) -> Vec<(String, String)> {
    let said = env.treelay(["inspect", image, "--json"]).ok().json();
    let layers = said["images"][0]["layers"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    layers.iter().map(|it| (text(&it["created_by"]), text(&it["digest"]))).collect()
}

/// When a layer of the recipe changes, hosts fetch its chunk and the commit's: everything else is what
/// it was, and the base's is what its own image has.
#[test]
fn a_changed_layer_changes_its_own_chunk() {
    let env = Env::new();
    env.write("system/usr/share/licenses/a/license", "all rights");
    env.write("system/usr/share/tool.empty", "");
    env.write("system/usr/bin/sh", "#!\n");
    base(&env);
    let mut images = Vec::new();
    for (version, run, more) in [("1", "one", "all rights"), ("2", "two", "none")] {
        let recipe = TWO_LAYERS.replace("VERSION", version);
        env.write("over.yaml", recipe.replace("RUN", run).replace("MORE", more));
        env.treelay(["build", "over.yaml", "-o", "ostree:over.repo"]).ok();
        let image = format!("oci:images:{version}");
        env.treelay(["copy", "ostree:over.repo:host/over", &image]).ok();
        images.push(layers(&env, &image));

        // Each of them is the commit that it was made of, and the second lies over the first.
        let place =
            format!("ostree-unverified-image:oci:{}:{version}", env.path("images").display());
        if version == "1" {
            env.ostree(["init", "--repo=host.repo", "--mode=bare-user"]).ok();
        }
        let unpack = ["container", "unencapsulate", "--repo=host.repo", "--write-ref=host/over"];
        env.ostree_ext(unpack).arg(&place).ok();
        let commit = |repo: &str| {
            let repo = format!("--repo={repo}");
            env.ostree(["rev-parse", &repo, "host/over"]).ok().out().trim().to_owned()
        };
        assert_eq!(commit("host.repo"), commit("over.repo"));
        env.ostree_ext(["container", "image", "pull", "--quiet", "host.repo", &place]).ok();
        env.ostree(["fsck", "--quiet", "--repo=host.repo"]).ok();
    }
    let [first, second] = &images[..] else { unreachable!("two were made") };
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[0], "over 1");
    assert_eq!(names[names.len() - 2..], ["treelay layer server", "treelay layer tools"]);
    let changed: Vec<&str> =
        second.iter().filter(|it| !first.contains(it)).map(|it| &*it.0).collect();
    assert_eq!(changed, ["over 2", "treelay layer server"]);

    env.treelay(["copy", "ostree:base.repo:host/base", "oci:images:base"]).ok();
    let of_base = layers(&env, "oci:images:base");
    assert_eq!(of_base[1..], first[1..first.len() - 2]);

    // The manifest says what is in which, as rpm-ostree tells it.
    let manifest = env.treelay(["inspect", "oci:images:2", "--json"]).ok().json();
    let digest = manifest["images"][0]["digest"].as_str().unwrap().replace(':', "/");
    let manifest = std::fs::read(env.path("images/blobs").join(digest)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let components = manifest["layers"].as_array().unwrap().iter();
    let components: Vec<_> =
        components.map(|layer| layer["annotations"]["ostree.components"].as_str()).collect();
    assert_eq!(components[0], None);
    assert_eq!(components[components.len() - 2..], [Some("server"), Some("tools")]);

    // As a container, it has every file at its path, whichever layers its objects are in.
    let image = format!("{}:2", env.path("images").display());
    env.umoci(["unpack", "--image", &image]).arg(env.path("bundle")).ok();
    let root = env.path("bundle/rootfs");
    for (path, content) in [
        ("etc/host.conf", "of the host\n"),
        ("usr/bin/sh", "#!\n"),
        ("usr/libexec/server/run", "two\n"),
        ("usr/share/licenses/a/license", "all rights"),
        ("usr/share/tool.empty", ""),
        ("usr/share/tool/empty", ""),
        ("usr/share/tool/license", "all rights"),
    ] {
        assert_eq!(std::fs::read_to_string(root.join(path)).unwrap(), content, "{path}");
    }
}
