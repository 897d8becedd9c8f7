//! Commits over a base that the `ostree` command made.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;
use treelay_tests::Env;

const ARCHES: [(&str, &str); 2] = [("amd64", "x86_64"), ("arm64", "aarch64")];

const RECIPE: &str = r##"
name: tools
version: "2"
arch: [amd64, arm64]
epoch: 1735689600
layers:
  - name: tools
    files:
      - {path: /usr/bin/tool, content: "{{ arch }}\n", mode: "0755"}
      - {path: /usr/bin/sh, content: "another\n", mode: "0755"}
      - {path: /etc/tools/conf, content: "x\n"}
      - {path: /var/lib/tools, dir: true, mode: "0750", uid: 7, gid: 8}
      - {path: /var/tools, link: lib/tools}
ostree:
  ref: ours/{{ arch.uname }}
  base: {repo: os, ref: "os/{{ arch.uname }}"}
  remove: [/usr/share/doc/**, /etc/gone]
"##;

/// A small system, committed for each arch.
fn env() -> Env {
    let env = Env::new();
    for (_, uname) in ARCHES {
        let root = format!("root-{uname}");
        let write = |path: &str, content: &str| env.write(&format!("{root}/{path}"), content);
        write("usr/bin/sh", "sh\n");
        write("usr/bin/ping", &format!("ping {uname}\n"));
        write("usr/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        write("usr/etc/gone", "gone\n");
        write("usr/lib/modules/6.1.0-44/vmlinuz", "kernel\n");
        write("usr/lib/os-release", "ID=debian\nPRETTY_NAME=\"Debian 12\"\n");
        write("usr/share/doc/a/copyright", "text\n");
        for dir in ["usr/share/empty", "sysroot", "boot", "tmp", "var"] {
            fs::create_dir(env.path(format!("{root}/{dir}"))).unwrap();
        }
        symlink("usr/bin", env.path(format!("{root}/bin"))).unwrap();
        symlink("var/opt", env.path(format!("{root}/opt"))).unwrap();
        symlink("sysroot/ostree", env.path(format!("{root}/ostree"))).unwrap();
        let ping = env.path(format!("{root}/usr/bin/ping"));
        fs::hard_link(&ping, env.path(format!("{root}/usr/bin/ping6"))).unwrap();
        env.run("setfattr").args(["-n", "user.note", "-v", "hi"]).arg(&ping).ok();
    }
    env.ostree(["init", "--repo=os", "--mode=archive"]).ok();
    commit(&env, "12.7");
    env.write("tools.yaml", RECIPE);
    env
}

fn commit(env: &Env, version: &str) {
    for (_, uname) in ARCHES {
        let branch = format!("--branch=os/{uname}");
        let arch = format!("--add-metadata-string=ostree.architecture={uname}");
        let version = format!("--add-metadata-string=version={version}");
        let list = "--add-metadata=rpmostree.rpmdb.pkglist=[('bash', '0', '5', '1', 'x')]";
        let hash = "--add-metadata-string=rpmostree.inputhash=abc";
        let commit = ["commit", "--repo=os", &branch, &arch, &version, list, hash];
        env.ostree(commit).args(["--owner-uid=0", "--owner-gid=0", &format!("root-{uname}")]).ok();
    }
}

fn build(env: &Env) -> Value {
    env.treelay(["build", "tools.yaml", "-o", "ostree:out", "--json"]).ok().json()
}

/// The lines of `ostree ls` that are only in one of both.
fn differences(env: &Env, uname: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let list = |repo: &str, name: &str| -> BTreeSet<String> {
        let listed = env.ostree(["ls", "-R", "-X", "-C", repo, name]).ok().out();
        listed.lines().map(str::to_owned).collect()
    };
    let base = list("--repo=os", &format!("os/{uname}"));
    let ours = list("--repo=out", &format!("ours/{uname}"));
    (base.difference(&ours).cloned().collect(), ours.difference(&base).cloned().collect())
}

fn paths(lines: &BTreeSet<String>) -> Vec<String> {
    let mut paths: Vec<String> =
        lines.iter().map(|line| line.split(" } ").nth(1).unwrap().to_owned()).collect();
    paths.sort();
    paths
}

#[test]
fn layers_are_merged_over_the_base_of_each_arch() {
    let env = env();
    let report = build(&env);
    env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
    for (go, uname) in ARCHES {
        let (gone, new) = differences(&env, uname);
        // What changed, and the directories above it; all else has the same mode, owner, attributes
        // and object.
        assert_eq!(
            paths(&gone),
            [
                "/",
                "/usr",
                "/usr/bin",
                "/usr/bin/sh",
                "/usr/etc",
                "/usr/etc/gone",
                "/usr/lib",
                "/usr/share",
                "/usr/share/doc",
                "/usr/share/doc/a",
                "/usr/share/doc/a/copyright",
            ]
        );
        assert_eq!(
            paths(&new),
            [
                "/",
                "/usr",
                "/usr/bin",
                "/usr/bin/sh",
                "/usr/bin/tool",
                "/usr/etc",
                "/usr/etc/tools",
                "/usr/etc/tools/conf",
                "/usr/lib",
                "/usr/lib/tmpfiles.d",
                "/usr/lib/tmpfiles.d/treelay-tools.conf",
                "/usr/share",
                "/usr/share/doc",
            ]
        );
        let name = format!("ours/{uname}");
        let cat = |path: &str| env.ostree(["cat", "--repo=out", &name, path]).ok().out();
        assert_eq!(cat("/usr/bin/tool"), format!("{go}\n"));
        assert_eq!(cat("/usr/bin/ping6"), format!("ping {uname}\n"));
        assert_eq!(
            cat("/usr/lib/tmpfiles.d/treelay-tools.conf"),
            "d /var/lib/tools 0750 7 8 - -\nL /var/tools - - - - lib/tools\n"
        );
        let base = env.ostree(["rev-parse", "--repo=os", &format!("os/{uname}")]).ok().out();
        for (key, value) in [
            ("version", "'2'".to_owned()),
            ("ostree.architecture", format!("'{uname}'")),
            ("ostree.ref-binding", format!("['{name}']")),
            ("ostree.bootable", "true".to_owned()),
            ("ostree.linux", "'6.1.0-44'".to_owned()),
            ("treelay.base", format!("'{}'", base.trim())),
            ("treelay.base.version", "'12.7'".to_owned()),
            ("rpmostree.rpmdb.pkglist", "[('bash', '0', '5', '1', 'x')]".to_owned()),
        ] {
            let key = format!("--print-metadata-key={key}");
            let shown = env.ostree(["show", "--repo=out", &key, &name]).ok().out();
            assert_eq!(shown.trim(), value, "{key}");
        }
        let raw = env.ostree(["show", "--repo=out", "--raw", &name]).ok().out();
        assert!(!raw.contains("inputhash"), "{raw}");
    }

    // Again: nothing is done.
    let again = build(&env);
    for (one, other) in
        report["commits"].as_array().unwrap().iter().zip(again["commits"].as_array().unwrap())
    {
        assert_eq!(one["checksum"], other["checksum"]);
        assert_eq!((&one["unchanged"], &other["unchanged"]), (&false.into(), &true.into()));
    }

    // Hosts would boot it: nothing is missing in a checkout.
    env.ostree(["checkout", "--repo=out", "--user-mode", "ours/x86_64", "deployed"]).ok();
    assert!(env.path("deployed/usr/share/empty").is_dir());
    assert_eq!(env.read("deployed/bin/sh"), "another\n");
}

#[test]
fn the_lock_pins_the_base() {
    let env = env();
    env.treelay(["lock", "tools.yaml"]).ok().says("base commit for amd64: ostree:os:os/x86_64 (");
    let lock = env.read("tools.lock");
    let first = env.ostree(["rev-parse", "--repo=os", "os/x86_64"]).ok().out();
    let stanza = format!(
        "[[ostree-base]]\narch = \"amd64\"\nfrom = \"ostree:os:os/x86_64\"\ncommit = \"{}\"\n",
        first.trim()
    );
    assert!(lock.contains(&stanza), "{lock}");
    env.treelay(["lock", "tools.yaml", "--check"]).ok();

    // The base moves: who wants what was locked gets it, who asks again gets the new one.
    commit(&env, "12.8");
    let locked = ["build", "tools.yaml", "-o", "ostree:out", "--locked", "--offline"];
    env.treelay(locked).ok();
    let key = "--print-metadata-key=treelay.base.version";
    let version = || env.ostree(["show", "--repo=out", key, "ours/x86_64"]).ok().out();
    assert_eq!(version().trim(), "'12.7'");
    assert_eq!(env.read("tools.lock"), lock);
    env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok().says("locked base commit for");
    assert_eq!(version().trim(), "'12.8'");

    // A commit by its checksum, and one that is not there.
    let of = |commit: &str| {
        let arm = env.ostree(["rev-parse", "--repo=os", "os/aarch64"]).ok().out();
        let base = format!("{{repo: os, commit: {{amd64: {commit}, arm64: {}}}}}", arm.trim());
        RECIPE.replace("{repo: os, ref: \"os/{{ arch.uname }}\"}", &base)
    };
    env.write("tools.yaml", of(first.trim()));
    env.treelay(["lock", "tools.yaml", "--check"])
        .fails(1)
        .says("the base commit for amd64 is now");
    build(&env);
    assert_eq!(version().trim(), "'12.7'");
    env.write("tools.yaml", of(&"0".repeat(64)));
    env.treelay(["lock", "tools.yaml"]).fails(1).says("cannot be used");

    // The other arch's.
    let swapped = RECIPE.replace("os/{{ arch.uname }}", "os/x86_64");
    env.write("tools.yaml", swapped);
    env.treelay(["lock", "tools.yaml"]).fails(1).says("is for x86_64, not for arm64");
}

#[test]
fn what_cannot_be_merged_is_refused_with_the_reason() {
    let env = env();
    let file = "      - {path: /usr/bin/tool,";
    for (from, to, reason) in [
        (
            file,
            "      - {path: /var/lib/x, content: x}\n      - {path: /usr/bin/tool,".to_owned(),
            "/var/lib/x is a file: `/var` is each host's own",
        ),
        (
            file,
            "      - {path: /opt/x, content: x}\n      - {path: /usr/bin/tool,".to_owned(),
            "a directory at /opt, where the base has a link to var/opt; what is there belongs to each host",
        ),
        (
            file,
            "      - {path: /usr/share/empty, content: x}\n      - {path: /usr/bin/tool,"
                .to_owned(),
            "a file at /usr/share/empty, where the base has a directory",
        ),
        ("/etc/gone]", "/usr/lib/modules]".to_owned(), "there is no kernel"),
        ("/etc/gone]", "/usr/lib/os-release]".to_owned(), "there is no os-release"),
        (
            file,
            "      - {path: /usr/lib/modules/7/vmlinuz, content: x}\n      - {path: /usr/bin/tool,"
                .to_owned(),
            "there are several kernels in /usr/lib/modules: 6.1.0-44 and 7",
        ),
        ("ref: ours/", "ref: os/".to_owned(), "each commit would be the base of the next"),
    ] {
        assert!(RECIPE.contains(from), "{from}");
        env.write("tools.yaml", RECIPE.replacen(from, &to, 1));
        let dest = if from.starts_with("ref") { "ostree:os" } else { "ostree:out" };
        env.treelay(["build", "tools.yaml", "-o", dest]).fails(1).says(reason);
    }
    assert_eq!(env.ostree(["refs", "--repo=out"]).ok().out(), "");

    // Asked for, or not to be booted.
    let asked = RECIPE
        .replace(
            file,
            "      - {path: /usr/share/empty, content: x}\n      - {path: /usr/bin/tool,",
        )
        .replace("/etc/gone]", "/usr/lib/modules, /usr/nothing]")
        + "  replace: [/usr/share/empty]\n  bootable: false\n";
    env.write("tools.yaml", asked);
    let said = env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok();
    said.says("ostree.remove: /usr/nothing is not in the base for amd64");
    let raw = env.ostree(["show", "--repo=out", "--raw", "ours/x86_64"]).ok().out();
    assert!(!raw.contains("ostree.bootable") && !raw.contains("ostree.linux"), "{raw}");
}
