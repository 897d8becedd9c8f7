//! Destinations: how they are named, what is made in them, and which are refused.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::Value;
use treelay_tests::Env;

use crate::fixture::{REFS, build, listing, refuses, small};

/// The tags of a layout's index.json, with their digests.
fn tags(env: &Env, layout: &str) -> Vec<(String, String)> {
    let index: Value = serde_json::from_str(&env.read(&format!("{layout}/index.json"))).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    manifests
        .iter()
        .map(|one| {
            let tag = &one["annotations"]["org.opencontainers.image.ref.name"];
            (text(tag), text(&one["digest"]))
        })
        .collect()
}

#[test]
fn a_layout_has_a_tag_for_each_image() {
    let env = small();
    let both = build(&env, &["-o", "oci:out"]);
    let one = build(&env, &["-o", "oci:out:amd/only", "--arch", "amd64"]);
    let digest = |report: &Value| report["index"]["digest"].as_str().unwrap().to_owned();
    let expected =
        [("1.0".to_owned(), digest(&both)), ("amd/only".to_owned(), digest(&one))].to_vec();
    assert_eq!(tags(&env, "out"), expected);

    let inspect = |dest: &str| env.treelay(["inspect", "--json", dest]);
    for (dest, report) in [("oci:out:1.0", &both), ("oci:out:amd/only", &one)] {
        assert_eq!(inspect(dest).ok().json()["digest"], digest(report));
    }
    refuses(
        &env,
        ["inspect", "oci:out"],
        1,
        r#"
error: finding the image of oci:out
  because: oci:[WORK]/out holds several images, name one of them, as in oci:[WORK]/out:1.0: 1.0, amd/only
"#,
    );
    refuses(
        &env,
        ["inspect", "oci:out:2.0"],
        1,
        "error: oci:out has no image 2.0: it has 1.0, amd/only\n",
    );
    // A tag that is written again names the new image, and only that.
    build(&env, &["-o", "oci:out", "--arch", "amd64"]);
    assert_eq!(tags(&env, "out")[0], ("1.0".to_owned(), digest(&one)));
}

#[test]
fn what_is_no_place_is_told_with_the_forms() {
    let env = small();
    let forms = "expected oci:DIR[:TAG], docker://HOST/REPO[:TAG|@DIGEST], ostree:REPO[:REF] or \
                 tree:DIR";
    for (place, reason) in [
        ("out", "it does not say of what kind it is"),
        ("foo:out", "there is no kind \"foo\""),
        ("docker:host/repo", "after docker: come two slashes"),
        ("tree:", "the directory is missing"),
    ] {
        let expected = format!(
            "error: invalid value '{place}' for '--output <DEST>': {place:?} is not a place: \
             {reason}; {forms}\n\nFor more information, try '--help'.\n"
        );
        refuses(&env, ["build", "small.yaml", "-o", place], 2, &expected);
    }
    let digest = format!("docker://localhost/a@sha256:{}", "0".repeat(64));
    refuses(
        &env,
        ["build", "small.yaml", "-o", &digest],
        2,
        r#"
error: docker://localhost/a@sha256:[SHA256] names a digest, which is only known after the build
hint: give a tag
"#,
    );
}

#[test]
fn somebody_elses_folder_is_refused_before_anything_is_made() {
    let env = small();
    env.write("home/photo", "x");
    env.write("file", "x");
    fs::create_dir(env.path("empty")).unwrap();
    let before = listing(&env.path(""));
    for (place, reason) in [
        (
            "oci:home",
            "[WORK]/home is not an OCI layout: it has no file oci-layout and is not empty (it \
             holds \"photo\"); name an empty or a new directory",
        ),
        ("oci:file", "[WORK]/file is not an OCI layout: it is not a directory"),
        (
            "ostree:home",
            "[WORK]/home is not an OSTree repository: it is not empty and has no objects",
        ),
        ("ostree:file", "[WORK]/file is not an OSTree repository: it is not a directory"),
        (
            "tree:home",
            "[WORK]/home is not written: the directory is neither empty nor marked as a tree of \
             treelay's",
        ),
        ("tree:file", "[WORK]/file is not written: there is something that is no directory"),
    ] {
        // The good place comes first, and is not written either.
        let args = ["build", "small.yaml", "--arch=amd64", "-o", "oci:out", "-o", place];
        refuses(&env, args, 1, &format!("error: opening {place}\n  because: {reason}\n"));
        assert_eq!(listing(&env.path("")), before, "{place}");
    }
    build(&env, &["--arch=amd64", "-o", "oci:empty"]);
}

#[test]
fn places_that_are_read_must_be_there() {
    let env = small();
    env.write("key.pub", "");
    for (command, place, reason) in [
        ("inspect", "oci:gone", "[WORK]/gone is not an OCI layout: there is no such directory"),
        (
            "inspect",
            "ostree:gone",
            "[WORK]/gone is not an OSTree repository: there is nothing in it",
        ),
    ] {
        let expected = format!("error: opening {place}\n  because: {reason}\n");
        refuses(&env, [command, place], 1, &expected);
        assert!(!env.path("gone").exists());
    }
}

#[test]
fn refs_are_the_recipes_or_given() {
    let env = small();
    build(&env, &["-o", "ostree:repo"]);
    build(&env, &["-o", "ostree:repo:my/{{ arch.uname }}/tools"]);
    build(&env, &["-o", "ostree:repo:only", "--arch", "arm64"]);
    let commits = env.treelay(["inspect", "ostree:repo", "--json"]).ok().json();
    let refs: Vec<_> = commits["commits"].as_object().unwrap().keys().collect();
    let given = ["my/aarch64/tools", "my/x86_64/tools", "only"];
    assert_eq!(refs, [&given[..], &["treelay/small/aarch64", "treelay/small/x86_64"]].concat());

    refuses(
        &env,
        ["build", "small.yaml", "-o", "ostree:new:my/ref"],
        2,
        r#"
error: "my/ref" would be the ref of 2 arches
hint: put {{ arch.uname }} into it, or choose one with --arch
"#,
    );
    refuses(
        &env,
        ["build", "small.yaml", "-o", "ostree:new:my/{{ arch.unam }}", "--arch=amd64"],
        2,
        r#"
error: the ref "my/{{ arch.unam }}" has an unknown name
hint: only {{ arch }} and {{ arch.uname }} are replaced in it
"#,
    );
    assert!(!env.path("new").exists());
    refuses(
        &env,
        ["inspect", "ostree:repo:nope"],
        1,
        &format!(
            "error: inspecting ostree:repo:nope\n  because: there is no ref or commit \"nope\" in \
             [WORK]/repo; it has {}, {}, {}\n",
            given.join(", "),
            REFS[1],
            REFS[0]
        ),
    );
}

#[test]
fn a_tree_is_one_arch_as_plain_files() {
    let env = small();
    refuses(
        &env,
        ["build", "small.yaml", "-o", "tree:tree"],
        2,
        r#"
error: tree:tree is the tree of one arch, and the recipe has 2
hint: choose one with --arch
"#,
    );
    let write =
        |arch: &str| env.treelay(["build", "small.yaml", "-o", "tree:tree", "--arch", arch]);
    write("amd64").ok();
    let tree = listing(&env.path("tree"));
    assert_eq!(
        crate::fixture::settle(&env, &tree),
        r"etc 755 directory
etc/motd 644 [SHA256]
usr 755 directory
usr/bin 755 directory
usr/bin/tool 755 [SHA256]
usr/share 755 directory
usr/share/data 755 directory
usr/share/data/link 777 -> sub/run
usr/share/data/one 644 [SHA256]
usr/share/data/sub 755 directory
usr/share/data/sub/run 755 [SHA256]
"
    );
    assert_eq!(env.read("tree/etc/motd"), "for amd64\n");
    for path in ["tree", "tree/etc", "tree/etc/motd", "tree/usr/share/data/link"] {
        assert_eq!(fs::symlink_metadata(env.path(path)).unwrap().mtime(), 0, "{path}");
    }

    // The next build replaces it as a whole: what was put into it is gone.
    env.write("tree/etc/stray", "x");
    write("arm64").ok();
    assert_eq!(env.read("tree/etc/motd"), "for arm64\n");
    assert!(!env.path("tree/etc/stray").exists());

    // A link is followed by nobody: what it points at may be anything.
    env.write("precious/x", "x");
    symlink("precious", env.path("link")).unwrap();
    refuses(
        &env,
        ["build", "small.yaml", "--arch=amd64", "-o", "tree:link"],
        1,
        r#"
error: opening tree:link
  because: [WORK]/link is not written: there is something that is no directory
"#,
    );
    assert_eq!(env.read("precious/x"), "x");
}

#[test]
fn the_store_is_where_it_was_asked_for() {
    let env = small();
    let build = || env.treelay(["build", "small.yaml"]);
    build().ok();
    assert!(env.dir().join("store/treelay-store").exists());
    build().arg("--store").arg(env.path("mine")).ok();
    assert!(env.path("mine/treelay-store").exists());
    build().without_env("TREELAY_STORE").ok();
    assert!(env.dir().join("home/.cache/treelay/treelay-store").exists());
    build().without_env("TREELAY_STORE").without_env("XDG_CACHE_HOME").ok();
    crate::fixture::refused(
        &env,
        build().without_env("TREELAY_STORE").without_env("XDG_CACHE_HOME").without_env("HOME"),
        2,
        r#"
error: there is no place for the store
hint: give --store DIR, or set TREELAY_STORE or HOME
"#,
    );
    env.write("home/photo", "x");
    for (place, because) in [
        ("home", "the directory is neither empty nor a store"),
        ("small.yaml", "it is not a directory"),
    ] {
        let expected = format!("error: opening the store [WORK]/{place}\n  because: {because}\n");
        refuses(&env, ["build", "small.yaml", "--store", place], 1, &expected);
    }
}
