//! What differs between images and commits.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use treelay_tests::Env;

use crate::fixture::{SMALL, build, prints, refuses, small};

/// The small recipe before and after many things changed, as image and as commit of both.
fn before_and_after() -> Env {
    let env = small();
    let first = SMALL.replace(
        "  - name: data",
        "      - {path: /etc/a, content: a, xattrs: {user.note: one}}\n      \
              - {path: /etc/old, link: motd}\n  - name: data",
    );
    env.write("small.yaml", &first);
    build(&env, &["-o", "oci:image:one", "-o", "ostree:one"]);
    let second = first
        .replace("for {{ arch }}", "now for {{ arch }}")
        .replace("mode: 0755}", "mode: 0700, uid: 7, caps: cap_net_raw=ep}")
        .replace("{path: /etc/a, content: a, xattrs: {user.note: one}}", "{path: /etc/a, link: b}")
        .replace("{path: /etc/old, link: motd}", "{path: /etc/new, dir: true}");
    env.write("small.yaml", second);
    env.write("data/two", "22\n");
    build(&env, &["-o", "oci:image:two", "-o", "ostree:two"]);
    env
}

#[test]
fn every_path_that_differs_is_told_with_its_layer() {
    let env = before_and_after();
    prints(
        &env,
        &env.treelay(["diff", "oci:image:one", "oci:image:two", "--arch", "arm64"]).ok(),
        r#"
arm64: [SHORT] became [SHORT]
  ~ /etc/a: file -> link; mode 0644 -> 0777; xattr user.note 6f6e65 -> none  (settings)
  ~ /etc/motd: content, [SIZE] -> [SIZE]  (settings)
  + /etc/new/  (settings)
  - /etc/old -> motd  (settings)
  ~ /usr/bin/tool: mode 0755 -> 0700; owner 0:0 -> 7:0; xattr security.capability none -> 0100000200200000000000000000000000000000  (settings)
  + /usr/share/data/two, [SIZE]  (data)
  2 paths added ([SIZE]), 1 removed ([SIZE]), 3 changed ([SIZE])
  layer data: 1 path added ([SIZE]), 0 removed ([SIZE]), 0 changed ([SIZE])
  layer settings: 1 path added ([SIZE]), 1 removed ([SIZE]), 3 changed ([SIZE])
"#,
    );
    let commits = env.treelay(["diff", "ostree:one", "ostree:two", "--json"]).ok().json();
    let images = env.treelay(["diff", "oci:image:one", "oci:image:two", "--json"]).ok().json();
    assert_eq!(commits["arches"].as_array().unwrap().len(), 2);
    for (commit, image) in
        commits["arches"].as_array().unwrap().iter().zip(images["arches"].as_array().unwrap())
    {
        assert_eq!(commit["arch"], image["arch"]);
        let paths = |said: &Value, key: &str| -> Vec<Value> {
            let path = |it: &Value| it.get("to").unwrap_or(it)["path"].clone();
            said[key].as_array().unwrap().iter().map(path).collect()
        };
        assert_eq!(
            paths(image, "changed"),
            [json!("/etc/a"), json!("/etc/motd"), json!("/usr/bin/tool")]
        );
        assert_eq!(
            paths(commit, "changed"),
            [json!("/usr/bin/tool"), json!("/usr/etc/a"), json!("/usr/etc/motd")]
        );
        assert_eq!(
            (paths(commit, "added"), paths(commit, "removed")),
            (
                vec![json!("/usr/etc/new"), json!("/usr/share/data/two")],
                vec![json!("/usr/etc/old")]
            )
        );
        // Commits know their layers as images do.
        let layers = |said: &Value, key: &str| -> Vec<Value> {
            let mut layers: Vec<(String, Value)> = said[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it.get("to").unwrap_or(it))
                .map(|it| (it["path"].to_string().replace("/usr/etc", "/etc"), it["layer"].clone()))
                .collect();
            layers.sort_by(|a, b| a.0.cmp(&b.0));
            layers.into_iter().map(|(_, layer)| layer).collect()
        };
        for key in ["added", "removed", "changed"] {
            assert_eq!(layers(commit, key), layers(image, key));
        }
        assert_eq!(commit["layers"], image["layers"]);
        let data = json!({
            "layer": "data", "added": 1, "added_bytes": 3, "removed": 0, "removed_bytes": 0,
            "changed": 0, "grown": 0,
        });
        assert_eq!((&commit["layers"][0], &commit["layers"][1]["grown"]), (&data, &json!(3)));
    }
    let motd = &images["arches"][0]["changed"][1];
    assert_eq!(motd["aspects"], json!(["content"]));
    assert_eq!((&motd["from"]["size"], &motd["to"]["size"]), (&json!(10), &json!(14)));
    assert_eq!(motd["to"]["layer"], "settings");
}

#[test]
fn an_image_and_the_commit_of_one_recipe_are_the_same() {
    let env = before_and_after();
    for (number, repo) in [("one", "ostree:one"), ("two", "ostree:two")] {
        let image = format!("oci:image:{number}");
        for pair in [[&*image, repo], [repo, &*image]] {
            let said = env.treelay(["diff", "--json"]).args(pair).ok().json();
            let arches = said["arches"].as_array().unwrap();
            assert_eq!(arches.len(), 2);
            for arch in arches {
                for key in ["added", "removed", "changed"] {
                    assert_eq!(arch[key], json!([]), "{arch}");
                }
            }
        }
    }
    prints(
        &env,
        &env.treelay(["diff", "oci:image:one", "ostree:one:treelay/small/x86_64"]).ok(),
        r#"
a commit's /usr/etc is compared as /etc, and labels are left out
only oci:image:one is for arm64
amd64: [SHORT] and [SHORT]: no path differs
"#,
    );
    let said = env.treelay(["diff", "oci:image:one", "ostree:two", "--arch=amd64"]).ok();
    assert!(said.out().contains("  ~ /etc/motd: content, "), "{said}");
    prints(
        &env,
        &env.treelay(["diff", "ostree:one", "ostree:one"]).ok(),
        "\namd64: [SHORT] and [SHORT]: the same\narm64: [SHORT] and [SHORT]: the same\n",
    );
}

/// Of a commit in an image, its objects are no paths, and its files carry no attributes.
#[test]
fn a_commit_and_the_image_that_it_is_encapsulated_in_are_the_same() {
    let env = before_and_after();
    env.treelay(["copy", "ostree:one", "oci:in:one"]).ok();
    env.treelay(["copy", "ostree:two", "oci:in:two"]).ok();
    let differ = |from: &str, to: &str| {
        let said = env.treelay(["diff", from, to, "--json"]).ok().json();
        let sum = |arch: &Value| {
            ["added", "removed", "changed"].map(|key| arch[key].as_array().unwrap().len())
        };
        said["arches"].as_array().unwrap().iter().map(sum).collect::<Vec<_>>()
    };
    for (from, to) in [("ostree:one", "oci:in:one"), ("oci:in:one", "ostree:one")] {
        assert_eq!(differ(from, to), [[0, 0, 0]; 2], "{from} {to}");
    }
    assert_eq!(differ("oci:image:one", "oci:in:one"), [[0, 0, 0]; 2]);
    // As between the ordinary images.
    assert_eq!(differ("oci:in:one", "oci:in:two"), [[2, 1, 3]; 2]);
    env.treelay(["diff", "ostree:one", "oci:in:one"])
        .ok()
        .says("not compared: extended attributes");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let env = before_and_after();
    build(&env, &["-o", "ostree:one:other/{{ arch.uname }}"]);
    refuses(
        &env,
        ["diff", "ostree:one", "ostree:two"],
        1,
        r#"
error: reading ostree:one
  because: other/aarch64 and treelay/small/aarch64 are both commits for arm64: name one of them
"#,
    );
    refuses(
        &env,
        ["diff", "tree:one", "ostree:two"],
        2,
        r#"
error: tree:one cannot be compared: only images and commits say all there is to a path
"#,
    );
    refuses(
        &env,
        ["diff", "oci:image:one", "oci:image:three"],
        1,
        "\nerror: oci:image has no image three: it has one, two\n",
    );
    refuses(
        &env,
        ["diff", "oci:image:one", "ostree:two", "--arch=ppc64le"],
        1,
        r#"
error: there is no arch to compare: oci:image:one has amd64, arm64, ostree:two has amd64, arm64
"#,
    );
}

/// Makes a folder that `ostree` commits as `branch` of the repository `odd`.
fn commit(env: &Env, branch: &str, subject: &str, mode: u32, file: &str) {
    let folder = env.path(branch);
    env.write(&format!("{branch}/{file}"), "x");
    fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    if !env.path("odd").exists() {
        env.run("ostree").args(["init", "--repo=odd", "--mode=archive"]).ok();
    }
    let owner = ["--owner-uid=0", "--owner-gid=0", "--no-xattrs", "--timestamp=@1700000000"];
    env.run("ostree")
        .args(["commit", "--repo=odd", "-b", branch, "-s", subject])
        .args(owner)
        .arg(format!("--tree=dir={}", folder.display()))
        .ok();
}

#[test]
fn the_roots_of_commits_are_compared() {
    let env = Env::new();
    commit(&env, "one", "s", 0o755, "x");
    commit(&env, "two", "s", 0o700, "x");
    prints(
        &env,
        &env.treelay(["diff", "ostree:odd:one", "ostree:odd:two"]).ok(),
        r#"
any arch: [SHORT] became [SHORT]
  ~ /: mode 0755 -> 0700
  0 paths added ([SIZE]), 0 removed ([SIZE]), 1 changed ([SIZE])
"#,
    );
}

#[test]
fn foreign_text_says_nothing_to_the_terminal() {
    let env = Env::new();
    commit(&env, "one", "a\u{1b}[31m\nb", 0o755, "x");
    commit(&env, "two", "s", 0o755, "x\u{1b}[2J\n  - y");
    let said = env.treelay(["inspect", "ostree:odd:one"]).ok();
    assert!(said.out().contains("  a\\u{1b}[31m\\nb, 2023-"), "{said}");
    assert!(!said.out().contains('\u{1b}'));
    let said = env.treelay(["inspect", "ostree:odd:one", "--json"]).ok().json();
    assert_eq!(said["commits"]["one"]["subject"], "a\u{1b}[31m\nb");
    let said = env.treelay(["diff", "ostree:odd:one", "ostree:odd:two"]).ok();
    assert!(said.out().contains("  + /x\\u{1b}[2J\\n  - y, "), "{said}");
    assert_eq!(said.out().lines().count(), 4, "{said}");
}

/// An index may have several images of an arch.
#[test]
fn platforms_of_an_arch_are_told_apart() {
    let env = small();
    build(&env, &["-o", "oci:image:one"]);
    let index = |name: &str| -> Value { serde_json::from_str(&env.read(name)).unwrap() };
    let mut top = index("image/index.json");
    let blob = |digest: &Value| {
        format!("image/blobs/{}", digest.as_str().unwrap()).replace("sha256:", "sha256/")
    };
    let mut inner = index(&blob(&top["manifests"][0]["digest"]));
    let images = inner["manifests"].as_array().unwrap().clone();
    let platforms = [("arm", "linux", Some("v5")), ("arm", "linux", Some("v7"))];
    let others = [("amd64", "linux", None), ("amd64", "windows", None)];
    let list = platforms.into_iter().chain(others).enumerate().map(|(at, (arch, os, variant))| {
        let mut one = images[at % 2].clone();
        one["platform"] = json!({ "architecture": arch, "os": os });
        if let Some(variant) = variant {
            one["platform"]["variant"] = json!(variant);
        }
        one
    });
    inner["manifests"] = list.collect();
    let bytes = inner.to_string();
    let digest = hex::encode(Sha256::digest(&bytes));
    env.write(&format!("image/blobs/sha256/{digest}"), &bytes);
    top["manifests"][0]["digest"] = json!(format!("sha256:{digest}"));
    top["manifests"][0]["size"] = json!(bytes.len());
    env.write("image/index.json", top.to_string());
    prints(
        &env,
        &env.treelay(["diff", "oci:image:one", "oci:image:one"]).ok(),
        r#"
linux/amd64: [SHORT] and [SHORT]: the same
windows/amd64: [SHORT] and [SHORT]: the same
linux/arm/v5: [SHORT] and [SHORT]: the same
linux/arm/v7: [SHORT] and [SHORT]: the same
"#,
    );
}
