//! SELinux labels are those of libselinux 3.4, and of commits those of ostree.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use treelay_ci::tools::Kept;
use treelay_tests::selinux::{Policy, paths_of_machine};
use treelay_tests::{Env, tools};

#[test]
fn as_libselinux_3_4_on_debians_policy() {
    let env = Env::new();
    let policy = Policy::of_debian(&env);
    let mut paths = policy.paths();
    for folder in ["/usr", "/etc", "/var"] {
        paths.extend(paths_of_machine(Path::new(folder), 5_000));
    }
    assert!(paths.len() > 10_000, "{}", paths.len());
    let labels = policy.ask(|| env.run(tools::program("matchpathcon")), &paths);
    let (differences, labelled) = policy.differences(&paths, &labels);
    assert!(labelled > 10_000, "{labelled} of {}", paths.len());
    // The same literal is in `file_contexts` and in `.homedirs`: 3.4 takes the last, 3.8.1 the first.
    let context = |user: &str| format!("{user}:object_r:krb5_home_t:s0");
    let known =
        "- /root/.k5login: ".to_owned() + &context("system_u") + ", " + &context("unconfined_u");
    assert_eq!(differences, [known]);
}

/// What a layer brings: content, or `-> ` and where a link leads.
const FILES: &[(&str, &str)] = &[
    ("etc/init.d/tool", "#!/bin/sh\n"),
    ("etc/tool/conf", "x\n"),
    ("etc/tool/shadow", "x\n"),
    ("usr/bin/tool", "#!/bin/sh\n"),
    ("usr/bin/tool2", "-> tool"),
    ("usr/lib/systemd/system/tool.service", "[Unit]\n"),
    ("usr/lib/tool/libtool.so.1", "no library\n"),
    ("usr/lib/tool/libtool.so", "-> libtool.so.1"),
    ("usr/lib64/tool/data", "x\n"),
    ("usr/sbin/sshd", "#!/bin/sh\n"),
    ("usr/share/man/man1/tool.1", ".TH TOOL\n"),
];

/// A base with Debian's policy, for a recipe with [`FILES`].
fn env(contexts: &str, selinux: &str) -> Env {
    let env = Env::new();
    tools::kept(Kept::Selinux);
    for dir in ["usr/bin", "usr/lib", "usr/etc"] {
        fs::create_dir_all(env.path("root").join(dir)).unwrap();
    }
    let policy = Kept::Selinux.root().join("etc/selinux");
    env.run("cp").arg("-r").arg(policy).arg(env.path("root/usr/etc")).ok();
    env.write("root/usr/etc/selinux/config", selinux);
    env.ostree(["init", "--repo=os", "--mode=archive"]).ok();
    commit(&env, "base", &["root"]);
    let mut recipe = "name: tools\nversion: '1'\narch: [amd64]\nepoch: 1735689600\n\
                      ostree:\n  ref: ours\n  base: {repo: os, ref: base}\n"
        .to_owned();
    recipe += contexts;
    recipe += "layers:\n  - name: tools\n    files:\n";
    for (path, text) in FILES {
        recipe += &match text.strip_prefix("-> ") {
            Some(target) => format!("      - {{path: /{path}, link: {target}}}\n"),
            None => format!("      - {{path: /{path}, content: {text:?}}}\n"),
        };
    }
    env.write("tools.yaml", recipe);
    env
}

fn commit(env: &Env, branch: &str, rest: &[&str]) {
    let branch = format!("--branch={branch}");
    let commit = ["commit", "--repo=os", "--owner-uid=0", "--owner-gid=0", "--no-xattrs", &branch];
    env.ostree(commit).args(rest).ok();
}

/// Whether that made another commit.
fn build(env: &Env) -> bool {
    let built = env.treelay(["build", "tools.yaml", "-o", "ostree:out", "--json"]).ok();
    !built.json()["commits"][0]["unchanged"].as_bool().unwrap()
}

/// The attributes of every path as `ostree` shows them, the NUL at the end of a label included.
fn attributes(env: &Env, repo: &str, name: &str) -> BTreeMap<String, String> {
    let listed = env.ostree(["ls", "-R", "-X", repo, name]).ok().out();
    let row = |line: &str| {
        let (before, path) = line.split_once(" } ").unwrap();
        let (_, attributes) = before.split_once("{ ").unwrap();
        let path = path.split(" -> ").next().unwrap();
        (path.to_owned(), attributes.to_owned())
    };
    listed.lines().map(row).collect()
}

#[test]
fn as_ostree_labels_the_same_tree() {
    let env = env("", "SELINUX=enforcing\nSELINUXTYPE=default\n");
    assert!(build(&env));
    env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
    for (path, text) in FILES {
        let path = env.write(&format!("same/{path}"), text);
        if let Some(target) = text.strip_prefix("-> ") {
            fs::remove_file(&path).unwrap();
            symlink(target, &path).unwrap();
        }
    }
    commit(&env, "same", &["--selinux-policy=root", "same"]);
    let base = attributes(&env, "--repo=os", "base");
    let mut ours = attributes(&env, "--repo=out", "ours");
    let theirs = attributes(&env, "--repo=os", "same");
    let mut compared = 0;
    for (path, label) in &theirs {
        // This ostree takes `/usr/etc` for another place than `/etc`.
        let in_commit = path.strip_prefix("/etc").map(|rest| format!("/usr/etc{rest}"));
        let in_commit = in_commit.as_ref().unwrap_or(path);
        if !base.contains_key(in_commit) {
            assert!(label.contains("security.selinux"), "{path} {label}");
            assert_eq!(ours.remove(in_commit).as_ref(), Some(label), "{path}");
            compared += 1;
        }
    }
    assert_eq!(compared, FILES.len() + 11);
    // What is left is the base's, as it was.
    assert_eq!(ours, base);
}

#[test]
fn the_root_of_an_ordinary_image_is_labelled_whole() {
    let env = env("", "SELINUX=enforcing\nSELINUXTYPE=default\n");
    for (path, text) in FILES.iter().filter(|(_, text)| !text.starts_with("-> ")) {
        env.write(&format!("root/{path}"), text);
    }
    symlink("usr/bin", env.path("root/bin")).unwrap();
    // The policy is where a host that runs has it; its folder is a link here.
    fs::rename(env.path("root/usr/etc/selinux"), env.path("root/etc/selinux")).unwrap();
    fs::remove_dir(env.path("root/usr/etc")).unwrap();
    fs::rename(env.path("root/etc/selinux/default"), env.path("root/usr/share/policy")).unwrap();
    symlink("../../usr/share/policy", env.path("root/etc/selinux/default")).unwrap();
    commit(&env, "same", &["--selinux-policy=root", "root"]);
    env.write(
        "system.yaml",
        "name: system\nversion: '1'\narch: [amd64]\nepoch: 1735689600\n\
         layers: [{name: root, directory: {source: root, prefix: /}}]\n",
    );
    env.treelay(["build", "system.yaml", "-o", "oci:system"]).ok();
    let recipe = env.read("tools.yaml").replace("{repo: os, ref: base}", "{image: 'oci:system:1'}");
    env.write(
        "tools.yaml",
        recipe.split("layers:").next().unwrap().to_owned()
            + "layers: [{name: x, files: [{path: /usr/bin/x, content: x}]}]\n",
    );
    build(&env);
    let mut ours = attributes(&env, "--repo=out", "ours");
    assert!(ours.remove("/usr/bin/x").is_some_and(|label| label.contains(":bin_t:")));
    for (path, label) in attributes(&env, "--repo=os", "same") {
        let in_commit = path.strip_prefix("/etc").map(|rest| format!("/usr/etc{rest}"));
        assert_eq!(ours.remove(&in_commit.unwrap_or(path.clone())), Some(label), "{path}");
    }
    assert!(ours.is_empty(), "{ours:?}");
}

/// Hosts and their administrators rely on what a directory of the system is labelled.
#[test]
fn a_directory_of_the_base_keeps_its_label_whatever_its_mode_becomes() {
    let env = env("", "SELINUX=enforcing\nSELINUXTYPE=default\n");
    fs::create_dir_all(env.path("root/srv/data")).unwrap();
    commit(&env, "base", &["--selinux-policy=root", "root"]);
    let label = "httpd_sys_content_t";
    let own = format!("system_u:object_r:{label}:s0");
    let recipe = env.read("tools.yaml").split("layers:").next().unwrap().to_owned();
    let dir = "layers: [{name: x, files: [{path: /srv/data, dir: true, mode: \"0750\"XATTR}]}]\n";
    env.write("tools.yaml", recipe.clone() + &dir.replace("XATTR", ""));
    let before = attributes(&env, "--repo=os", "base")["/srv/data"].clone();
    assert!(before.contains("security.selinux"), "{before}");
    build(&env);
    assert_eq!(attributes(&env, "--repo=out", "ours")["/srv/data"], before);
    let listed = env.ostree(["ls", "-d", "--repo=out", "ours", "/srv/data"]).ok().out();
    assert!(listed.starts_with("d00750"), "{listed}");
    // Unless the layer says it itself.
    let xattr = format!(", xattrs: {{security.selinux: {own:?}}}");
    env.write("tools.yaml", recipe + &dir.replace("XATTR", &xattr));
    build(&env);
    let after = attributes(&env, "--repo=out", "ours")["/srv/data"].clone();
    assert_ne!(after, before);
}

const CONTEXTS: &str = "  contexts:
    - {path: /usr/sbin/sshd, context: bin_t}
    - {path: '/usr/lib/tool(/.*)?', type: f, context: 'u:r:t:s0:c1'}
    - {path: /etc/tool/.*, context: <<none>>}
";

#[test]
fn contexts_of_the_recipe_come_first() {
    let enabled = "SELINUX=permissive\nSELINUXTYPE=default\n";
    let env = env("", enabled);
    assert!(build(&env));
    let before = attributes(&env, "--repo=out", "ours");
    assert!(!build(&env), "nothing changed");
    let recipe = env.read("tools.yaml");
    env.write("tools.yaml", recipe.replacen("layers:", &format!("{CONTEXTS}layers:"), 1));
    assert!(build(&env), "labels did");
    assert!(!build(&env), "nothing changed");
    let after = attributes(&env, "--repo=out", "ours");
    let changed: Vec<String> = after
        .iter()
        .filter(|(path, label)| before.get(*path) != Some(label))
        .map(|(path, label)| format!("{path} {label}"))
        .collect();
    let selinux = |label: &str| format!("[(b'security.selinux', b'{label}')]");
    assert_eq!(
        changed,
        [
            "/usr/etc/tool/conf @a(ayay) []".to_owned(),
            "/usr/etc/tool/shadow @a(ayay) []".to_owned(),
            format!("/usr/lib/tool/libtool.so.1 {}", selinux("u:r:t:s0:c1")),
            // The policy labels `/usr/lib64` as `/usr/lib`.
            format!("/usr/lib64/tool/data {}", selinux("u:r:t:s0:c1")),
            format!("/usr/sbin/sshd {}", selinux("system_u:object_r:bin_t:s0")),
        ]
    );

    // What is never looked up, and what cannot be compared with.
    for (path, message) in [
        ("/usr/lib64/x", "the policy labels /usr/lib64 as /usr/lib; write /usr/lib/x"),
        ("/usr/(?!x)", "has (?, which treelay does not know"),
    ] {
        let contexts = format!("  contexts: [{{path: {path:?}, context: bin_t}}]\nlayers:");
        env.write("tools.yaml", recipe.replacen("layers:", &contexts, 1));
        env.treelay(["build", "tools.yaml", "-o", "ostree:out"]).refuses().says(message);
    }
}

#[test]
fn without_a_policy_there_are_no_labels() {
    let env = env(CONTEXTS, "SELINUX=disabled\nSELINUXTYPE=default\n");
    env.treelay(["build", "tools.yaml", "-o", "ostree:out"])
        .ok()
        .says("the base has no SELinux policy in use, so nothing is labelled for amd64");
    let attributes = attributes(&env, "--repo=out", "ours");
    assert!(attributes.values().all(|attributes| attributes == "@a(ayay) []"), "{attributes:?}");
}
