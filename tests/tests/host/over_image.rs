//! Commits over one that is encapsulated in a container image by ostree-ext.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use treelay_tests::Env;

const RECIPE: &str = r##"
name: tools
version: "2"
arch: [amd64]
epoch: 1735689600
layers:
  - name: tools
    files:
      - {path: /usr/bin/tool, content: "tool\n", mode: "0755"}
ostree:
  ref: ours
  base: {image: "oci:base"}
"##;

const BASE: &str = "host/base";

/// A commit with all that is told apart in tar headers and beside them, and its image in `base`.
fn env() -> Env {
    let env = Env::new();
    env.write("system/usr/lib/modules/6.1.0/vmlinuz", vec![7; 300_000]);
    env.write("system/usr/lib/os-release", "ID=test\nPRETTY_NAME=Test\n");
    env.write("system/usr/etc/host.conf", "of the host\n");
    env.write("system/usr/bin/ping", "ping\n");
    env.write("system/usr/bin/none", "");
    symlink("ping", env.path("system/usr/bin/ping6")).unwrap();
    fs::create_dir_all(env.path("system/usr/share/empty")).unwrap();
    for file in ["system/usr/bin/ping", "system/usr/share/empty"] {
        env.run("setfattr").args(["-n", "user.note", "-v", "hi", file]).ok();
    }
    env.ostree(["init", "--repo=base.repo", "--mode=bare-user"]).ok();
    let commit = ["commit", "--repo=base.repo", "--branch", BASE, "--bootable"];
    let commit = env.ostree(commit).arg("--add-metadata-string=version=41");
    commit.args(["--owner-uid=0", "--owner-gid=12", "system"]).ok();
    let image = format!("oci:{}", env.path("base").display());
    env.ostree_ext(["container", "encapsulate", "--repo=base.repo", BASE, &image]).ok();
    env.write("tools.yaml", RECIPE);
    env
}

#[test]
fn an_encapsulated_commit_comes_out_as_it_is() {
    let env = env();
    env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok();
    env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
    let base = env.ostree(["rev-parse", "--repo=base.repo", BASE]).ok().out();
    let shown =
        env.ostree(["show", "--repo=out", "--print-metadata-key=treelay.base", "ours"]).ok().out();
    assert_eq!(shown.trim(), format!("'{}'", base.trim()));
    let list = |repo: &str, name: &str| -> BTreeSet<String> {
        let listed = env.ostree(["ls", "-R", "-X", "-C", repo, name]).ok().out();
        listed.lines().map(str::to_owned).collect()
    };
    let (base, ours) = (list("--repo=base.repo", BASE), list("--repo=out", "ours"));
    let paths = |lines: Vec<&String>| -> Vec<String> {
        lines.iter().map(|line| line.split(" } ").nth(1).unwrap().to_owned()).collect()
    };
    let mut gone = paths(base.difference(&ours).collect());
    gone.sort();
    assert_eq!(gone, ["/", "/usr", "/usr/bin"]);
}

/// An image made from one with a commit in it is that commit with the layers over it.
#[test]
fn layers_above_an_encapsulated_commit_are_laid_over_it() {
    let env = env();
    let from = format!("oci:{}", env.path("base").display());
    let image = format!("{}:derived", env.path("derived").display());
    env.skopeo(["copy", "--quiet", &from, &format!("oci:{image}")]).ok();
    env.write("more", "more\n");
    env.write("hosts", "of the layer\n");
    for (file, path) in [("more", "/usr/more"), ("hosts", "/etc/host.conf")] {
        env.umoci(["insert", "--image", &image]).arg(env.path(file)).arg(path).ok();
    }
    env.umoci(["insert", "--image", &image, "--whiteout", "/usr/bin/none"]).ok();
    env.write("dir/in", "was a file\n");
    env.umoci(["insert", "--image", &image]).arg(env.path("dir")).arg("/usr/bin/ping6").ok();
    env.write("tools.yaml", RECIPE.replace("oci:base", "oci:derived:derived"));
    env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).ok();
    env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
    let files = |repo: &str, name: &str| -> BTreeSet<String> {
        let listed = env.ostree(["ls", "-R", "-X", "-C", repo, name]).ok().out();
        listed.lines().filter(|line| !line.starts_with('d')).map(str::to_owned).collect()
    };
    let (base, ours) = (files("--repo=base.repo", BASE), files("--repo=out", "ours"));
    let paths = |lines: Vec<&String>| -> BTreeSet<String> {
        lines.iter().map(|line| line.rsplit(" } ").next().unwrap().to_owned()).collect()
    };
    let (gone, new) =
        (paths(base.difference(&ours).collect()), paths(ours.difference(&base).collect()));
    assert_eq!(
        gone,
        ["/usr/bin/none", "/usr/bin/ping6 -> ping", "/usr/etc/host.conf"].map(str::to_owned).into()
    );
    let expected = ["/usr/bin/ping6/in", "/usr/bin/tool", "/usr/etc/host.conf", "/usr/more"];
    assert_eq!(new, expected.map(str::to_owned).into());
    env.ostree(["cat", "--repo=out", "ours", "/usr/etc/host.conf"]).ok().says("of the layer");
}
