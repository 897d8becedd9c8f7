//! Commits over the root of a container image.

use treelay_tests::Env;

const BASE: &str = r##"
name: base
version: "1"
arch: [amd64, arm64]
epoch: 1700000000
layers:
  - name: root
    files:
      - {path: /usr/bin/sh, content: "sh {{ arch }}\n", mode: "0755"}
      - {path: /usr/bin/ping, content: ping, mode: "0755", caps: cap_net_raw=ep}
      - {path: /usr/lib/os-release, content: "ID=test\nPRETTY_NAME=Test\n"}
      - {path: /usr/lib/modules/6.1.0/vmlinuz, content: kernel, mode: "0600"}
      - {path: /usr/share/doc/a/text, content: a}
      - {path: /usr/share/opaque/old, content: old}
      - {path: /usr/share/empty, dir: true, mode: "2775", gid: 50}
      - {path: /etc/conf, content: "x\n", uid: 7}
      - {path: /bin, link: usr/bin}
image:
  config: {labels: {org.opencontainers.image.version: "41.2"}}
"##;

const RECIPE: &str = r##"
name: tools
version: "2"
arch: [amd64, arm64]
epoch: 1735689600
layers:
  - name: tools
    files:
      - {path: /usr/bin/tool, content: "{{ arch }}\n", mode: "0755"}
      - {path: /etc/tools, content: "x\n"}
ostree:
  base: {image: "oci:base:1"}
"##;

const REF: &str = "treelay/tools/x86_64";

/// A layout `base` of an image with a second layer, which removes and replaces.
fn env() -> Env {
    let env = Env::new();
    env.write("base.yaml", BASE);
    env.treelay(["build", "base.yaml", "-o", "oci:whole"]).ok();
    for arch in ["amd64", "arm64"] {
        // umoci knows images, not indexes of them.
        let from = format!("oci:{}:1", env.path("whole").display());
        let to = format!("oci:{}:{arch}", env.path(arch).display());
        env.skopeo(["copy", "--quiet", "--override-arch", arch, &from, &to]).ok();
        let image = format!("{}:{arch}", env.path(arch).display());
        env.write("new/fresh", "fresh\n");
        let insert = |args: &[&str]| env.umoci(["insert", "--image", &image]).args(args).ok();
        insert(&["--whiteout", "/usr/share/doc/a"]);
        let fresh = env.path("new").display().to_string();
        insert(&["--opaque", &fresh, "/usr/share/opaque"]);
    }
    env.write("tools.yaml", RECIPE.replace("oci:base:1", "oci:{{ arch }}:{{ arch }}"));
    env
}

#[test]
fn the_root_of_an_image_is_a_base() {
    let env = env();
    env.treelay(["lock", "tools.yaml"]).ok().says("base commit for amd64: oci:amd64:amd64 (");
    let lock = env.read("tools.lock");
    for key in ["from = \"oci:arm64:arm64\"", "commit = \"", "digest = \"", "manifest = \""] {
        assert!(lock.contains(key), "{lock}");
    }
    // The store has it all now.
    for arch in ["amd64", "arm64"] {
        std::fs::rename(env.path(arch), env.path(format!("{arch}-gone"))).unwrap();
    }
    let build = ["build", "tools.yaml", "-o", "ostree:out", "--locked", "--offline", "--json"];
    let report = env.treelay(build).ok().json();
    env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
    let listed = env.ostree(["ls", "-R", "-X", "--repo=out", REF]).ok().out();
    // Sizes and attributes shortened.
    let lines: Vec<String> = listed
        .lines()
        .map(|line| {
            let (left, path) = line.split_once(" } ").unwrap();
            let mut words = left.split_whitespace();
            let [mode, uid, gid] = [(); 3].map(|()| words.next().unwrap());
            let caps = if left.contains("security.capability") { " caps" } else { "" };
            format!("{mode} {uid} {gid} {path}{caps}")
        })
        .collect();
    let mut expected = [
        "d00755 0 0 /",
        "l00777 0 0 /bin -> usr/bin",
        "d00755 0 0 /usr",
        "d00755 0 0 /usr/bin",
        "-00755 0 0 /usr/bin/ping caps",
        "-00755 0 0 /usr/bin/sh",
        "-00755 0 0 /usr/bin/tool",
        "d00755 0 0 /usr/etc",
        "-00644 7 0 /usr/etc/conf",
        "-00644 0 0 /usr/etc/tools",
        "d00755 0 0 /usr/lib",
        "-00644 0 0 /usr/lib/os-release",
        "d00755 0 0 /usr/lib/modules",
        "d00755 0 0 /usr/lib/modules/6.1.0",
        "-00600 0 0 /usr/lib/modules/6.1.0/vmlinuz",
        "d00755 0 0 /usr/share",
        "d00755 0 0 /usr/share/doc",
        "d02775 0 50 /usr/share/empty",
        "d00755 0 0 /usr/share/opaque",
        "-00644 0 0 /usr/share/opaque/fresh",
    ]
    .map(str::to_owned);
    let mut lines = lines;
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
    let cat = env.ostree(["cat", "--repo=out", "treelay/tools/aarch64", "/usr/bin/sh"]);
    assert_eq!(cat.ok().out(), "sh arm64\n");
    for (key, value) in [("treelay.base.version", "'41.2'"), ("ostree.linux", "'6.1.0'")] {
        let key = format!("--print-metadata-key={key}");
        let shown = env.ostree(["show", "--repo=out", &key, REF]).ok().out();
        assert_eq!(shown.trim(), value);
    }

    // Anywhere else the same commit comes of the same image.
    for arch in ["amd64", "arm64"] {
        std::fs::rename(env.path(format!("{arch}-gone")), env.path(arch)).unwrap();
    }
    let again =
        ["build", "tools.yaml", "-o", "ostree:again", "--locked", "--store=other", "--json"];
    let again = env.treelay(again).ok().json();
    for at in 0..2 {
        assert_eq!(report["commits"][at]["checksum"], again["commits"][at]["checksum"]);
        assert_eq!(report["commits"][at]["base"], again["commits"][at]["base"]);
    }
}

/// Layers that GNU tar wrote, put into an image as they are.
#[test]
fn layers_of_others_lose_nothing() {
    let env = Env::new();
    env.write("base.yaml", BASE);
    env.treelay(["build", "base.yaml", "-o", "oci:whole"]).ok();
    let to = format!("oci:{}:1", env.path("one").display());
    env.skopeo(["copy", "--quiet", "--override-arch=amd64", "oci:whole:1", &to]).ok();
    let image = format!("{}:1", env.path("one").display());
    let add = |folder: &str, args: &[&str]| {
        let tar = format!("{folder}.tar");
        env.run("tar").args(["--create", "--owner=0", "--group=0", "--file", &tar]).args(args).ok();
        env.umoci(["raw", "add-layer", "--image", &image, &tar]).env("TZ", "Asia/Tokyo").ok();
    };
    // The first of two names, which is the one with the content, goes.
    env.write("a/usr/bin/perl", "perl\n");
    let names = ["perl", "perl5.36"].map(|name| env.path(format!("a/usr/bin/{name}")));
    std::fs::hard_link(&names[0], &names[1]).unwrap();
    std::os::unix::fs::symlink("usr/lib64", env.path("a/lib64")).unwrap();
    add("a", &["--directory=a", "usr/bin/perl", "usr/bin/perl5.36", "lib64"]);
    env.write("b/usr/bin/.wh.perl", "");
    env.write("b/lib64/ld.so", "ld\n");
    add("b", &["--directory=b", "usr/bin/.wh.perl", "lib64/ld.so"]);
    let created = "2026-10-19T22:20:36+02:00";
    env.umoci(["config", "--image", &image, "--created", created]).ok();

    let recipe = RECIPE.replace("[amd64, arm64]", "[amd64]").replace("oci:base:1", "oci:one:1");
    env.write("tools.yaml", recipe);
    env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok();
    let cat = |path: &str| env.ostree(["cat", "--repo=out", REF, path]).ok().out();
    assert_eq!((cat("/usr/bin/perl5.36"), cat("/lib64/ld.so")), ("perl\n".into(), "ld\n".into()));
    assert!(!env.ostree(["ls", "--repo=out", REF, "/usr/bin"]).ok().out().contains("perl\n"));
    // 20:20:36 in UTC.
    assert!(env.read("tools.lock").contains("released = 1792441236"), "{}", env.read("tools.lock"));

    let disk = env.write("c/usr/disk", "x");
    std::fs::File::options().write(true).open(disk).unwrap().set_len(1 << 20).unwrap();
    add("c", &["--directory=c", "--sparse", "--format=posix", "usr/disk"]);
    let build = ["build", "tools.yaml", "-o", "ostree:out"];
    env.treelay(build).refuses().says("member \"usr/disk\": a sparse file, which is not supported");
}
