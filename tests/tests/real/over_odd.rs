//! Bases and layers that go badly together.

use std::fs;
use std::os::unix::fs::symlink;

use treelay_tests::{Env, tamper};

const RECIPE: &str = r##"
name: tools
version: "2"
arch: [amd64]
epoch: 1735689600
layers:
  - name: tools
    files:
      - {path: /usr/bin/tool, content: "tool\n"}
      MORE
ostree:
  ref: ours
  base: {repo: os, ref: base}
  RULES
"##;

/// A system that boots, as the ref `base` of `os`.
fn env() -> Env {
    let env = Env::new();
    env.write("root/usr/lib/modules/6.1/vmlinuz", "kernel\n");
    env.write("root/usr/lib/modules/6.1/initramfs.img", "initramfs\n");
    env.write("root/usr/lib/os-release", "ID=debian\nPRETTY_NAME=\"Debian 12\"\n");
    for dir in ["usr/etc", "srv/data", "sysroot", "boot", "var", "tmp"] {
        fs::create_dir_all(env.path("root").join(dir)).unwrap();
    }
    symlink("sysroot/ostree", env.path("root/ostree")).unwrap();
    symlink("var/opt", env.path("root/opt")).unwrap();
    env.ostree(["init", "--repo=os", "--mode=archive"]).ok();
    commit(&env, "os", "base", "root", "5");
    env
}

fn commit(env: &Env, repo: &str, name: &str, root: &str, gid: &str) {
    let (repo, branch) = (format!("--repo={repo}"), format!("--branch={name}"));
    let arch = "--add-metadata-string=ostree.architecture=x86_64";
    let commit = ["commit", &repo, &branch, arch, "--owner-uid=0"];
    env.ostree(commit).arg(format!("--owner-gid={gid}")).arg(root).ok();
}

/// The recipe with one more file and with rules of `ostree`.
fn recipe(env: &Env, more: &str, rules: &str) {
    env.write("tools.yaml", RECIPE.replace("MORE", more).replace("RULES", rules));
}

#[test]
fn a_repository_that_cannot_hold_the_base_is_not_written() {
    let env = env();
    recipe(&env, "", "");
    env.ostree(["init", "--repo=out", "--mode=bare-user-only"]).ok();
    let build = env.treelay(["build", "tools.yaml", "-o", "ostree:out"]);
    build.fails(1).says("cannot hold all of a base from a repository of another mode");
    assert_eq!(env.ostree(["refs", "--repo=out"]).ok().out(), "");
}

#[test]
fn what_hosts_need_of_the_base_must_not_be_lost() {
    let env = env();
    for (path, gone) in [
        ("/sysroot", "/sysroot of its base is gone"),
        ("/var", "/var of its base is gone"),
        ("/ostree", "/ostree of its base is gone"),
        ("/usr/lib/modules/6.1/initramfs.img", "initramfs.img of its base is gone"),
    ] {
        recipe(&env, "", &format!("remove: [{path}]"));
        let build = env.treelay(["build", "tools.yaml", "-o", "ostree:out"]);
        build.fails(1).says("no host could boot the tree for ours").says(gone);
    }
    let dangling = "- {path: /usr/lib/modules/6.1/vmlinuz, link: nowhere}";
    recipe(&env, dangling, "");
    let build = env.treelay(["build", "tools.yaml", "-o", "ostree:out"]);
    build.fails(1).says("there is no kernel");
}

#[test]
fn what_no_host_would_see_is_refused() {
    let env = env();
    for path in ["/boot/x", "/sysroot/x", "/run/a/x", "/tmp/x", "/proc/x"] {
        recipe(&env, &format!("- {{path: {path}, content: x}}"), "");
        let build = env.treelay(["build", "tools.yaml", "-o", "ostree:out"]);
        build.fails(1).says(&format!("{path} would be seen by no host"));
    }
    // What leads to where no file may be is not the place to write to.
    recipe(&env, "- {path: /opt/x, content: x}", "");
    let build = env.treelay(["build", "tools.yaml", "-o", "ostree:out"]);
    build.fails(1).says("what is there belongs to each host, so put it below /usr");
    // A commit of others that has it is not encapsulated, since objects are there in images.
    env.write("root/sysroot/x", "x\n");
    commit(&env, "os", "odd", "root", "0");
    env.treelay(["copy", "ostree:os:odd", "oci:odd:1"]).fails(1).says("/sysroot/x would be seen");
}

#[test]
fn what_a_base_of_the_same_name_makes_in_var_stays() {
    let env = env();
    recipe(&env, "- {path: /var/lib/one, dir: true}", "");
    env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok();
    let second = RECIPE.replace("repo: os, ref: base", "repo: out, ref: ours");
    let second = second.replace("ref: ours\n", "ref: second\n").replace("RULES", "");
    env.write("tools.yaml", second.replace("MORE", "- {path: /var/lib/two, dir: true}"));
    env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok();
    let file = "/usr/lib/tmpfiles.d/treelay-tools.conf";
    let lines = env.ostree(["cat", "--repo=out", "second", file]).ok().out();
    assert_eq!(lines, "d /var/lib/one 0755 0 0 - -\nd /var/lib/two 0755 0 0 - -\n");
}

#[test]
fn what_to_remove_and_is_not_there_is_told_by_every_build() {
    let env = env();
    recipe(&env, "", "remove: [/usr/nowhere]");
    for _ in 0..2 {
        let build = env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok();
        build.says("ostree.remove: /usr/nowhere is not in the base for amd64");
    }
}

#[test]
fn a_base_image_that_is_damaged_in_the_store_is_taken_apart_again() {
    let env = env();
    let image = RECIPE.split("ostree:").next().unwrap().replace("MORE", "");
    env.write("base.yaml", image);
    env.treelay(["build", "base.yaml", "-o", "oci:base"]).ok();
    env.treelay(["copy", "ostree:os:base", "oci:whole:1"]).ok();
    for from in ["oci:base", "oci:whole"] {
        let base = format!("image: \"{from}\"");
        let recipe = RECIPE.replace("repo: os, ref: base", &base).replace("RULES", "");
        env.write("tools.yaml", recipe.replace("MORE", ""));
        env.treelay(["lock", "tools.yaml"]).ok();
        let bases = env.dir().join("store/bases");
        for kind in ["filez", "dirtree", "commit"] {
            env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok();
            let files = tamper::files(&bases);
            let is_kind =
                |file: &&std::path::PathBuf| file.extension().is_some_and(|it| it == kind);
            for object in files.iter().filter(is_kind) {
                tamper::flip(object, 7);
            }
            env.treelay(["store", "verify"]).fails(1).says("an object of a base");
            env.treelay(["store", "verify", "--repair"]).ok();
            fs::remove_dir_all(env.path("out")).unwrap();
            env.treelay(["build", "tools.yaml", "-o", "ostree:out", "--locked"]).ok();
            env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
        }
        fs::remove_dir_all(env.path("out")).unwrap();
    }
}
