//! Copies between layouts.

use crate::fixture::{build, listing, prints, refuses, settle, small};
use crate::keys::signed;

#[test]
fn a_copy_is_the_same_with_its_signatures() {
    let env = signed();
    prints(
        &env,
        &env.treelay(["copy", "oci:out", "oci:copy"]).ok(),
        r#"
sha256:[SHA256]
15 blobs copied ([SIZE]), 2 there already; 3 of 3 manifests have signatures; 3 manifests more attached to them
"#,
    );
    assert_eq!(listing(&env.path("copy/blobs")), listing(&env.path("out/blobs")));
    env.treelay(["verify", "oci:copy:1.0", "--key", "key.pub"]).ok();

    let again = env.treelay(["copy", "oci:out", "oci:copy:stable", "--json"]).ok().json();
    assert_eq!(again["blobs"], serde_json::json!({"bytes": 0, "moved": 0, "reused": 17}));
    let inspect = |dest: &str| env.treelay(["inspect", dest]).ok().out();
    assert_eq!(inspect("oci:copy:stable"), inspect("oci:out"));
    assert!(inspect("oci:out").contains(again["digest"].as_str().unwrap()));
}

#[test]
fn signatures_stay_behind_when_asked() {
    let env = signed();
    let output = env.treelay(["copy", "oci:out", "oci:copy", "--no-signatures"]).ok();
    assert!(output.out().ends_with("0 of 3 manifests have signatures\n"), "{output}");
    let output = env.treelay(["verify", "oci:copy", "--key", "key.pub"]).fails(1);
    assert!(output.out().contains("it is not signed"), "{output}");
}

#[test]
fn what_cannot_be_copied_leaves_nothing_behind() {
    let env = signed();
    env.write("home/photo", "x");
    let before = listing(&env.path(""));
    for (source, dest, status, expected) in [
        (
            "oci:gone",
            "oci:new",
            1,
            "error: opening oci:gone\n  because: [WORK]/gone is not an OCI layout: there is no such \
             directory\n",
        ),
        ("oci:out:2.0", "oci:new", 1, "error: oci:out has no image 2.0: it has 1.0\n"),
        (
            "oci:out",
            "oci:home",
            1,
            "error: opening oci:home\n  because: [WORK]/home is not an OCI layout: it has no file \
             oci-layout and is not empty (it holds \"photo\"); name an empty or a new directory\n",
        ),
        (
            "oci:out",
            "ostree:new",
            2,
            "error: ostree:new holds no images: expected oci:DIR[:TAG] or \
             docker://HOST/REPO[:TAG]\n",
        ),
        (
            "tree:out",
            "oci:new",
            2,
            "error: tree:out holds no images: expected oci:DIR[:TAG] or docker://HOST/REPO[:TAG]\n",
        ),
    ] {
        refuses(&env, ["copy", source, dest], status, expected);
        assert_eq!(listing(&env.path("")), before, "{source} to {dest}");
    }
}

#[test]
fn a_damaged_layer_is_not_copied() {
    let env = signed();
    let image = env.treelay(["inspect", "oci:out", "--json"]).ok().json();
    let layer = image["images"][0]["layers"][1]["digest"].as_str().unwrap().to_owned();
    let blob = format!("out/blobs/{}", layer.replace(':', "/"));
    treelay_tests::tamper::flip(&env.path(blob), 3);
    let output = env.treelay(["copy", "oci:out", "oci:copy"]).fails(1);
    assert!(output.err().contains(&layer), "{output}");
    assert!(!settle(&env, &listing(&env.path("copy"))).contains("index.json"), "no image was made");
    treelay_tests::tamper::flip(&env.path(format!("out/blobs/{}", layer.replace(':', "/"))), 3);
    env.treelay(["copy", "oci:out", "oci:copy"]).ok();
    env.treelay(["verify", "oci:copy", "--key", "key.pub"]).ok();
}

/// A key is never taken and left unused.
#[test]
fn a_copy_that_is_to_be_signed_says_by_what_name() {
    let env = small();
    build(&env, &["-o", "oci:out", "-o", "ostree:repo"]);
    env.treelay(["key", "generate", "--out", "k"]).env("COSIGN_PASSWORD", "secret").ok();
    for from in ["oci:out", "ostree:repo"] {
        let line = ["copy", from, "oci:copy:1", "--key", "k.key"];
        let run = || env.treelay(line).env("COSIGN_PASSWORD", "secret");
        let said = run().fails(2);
        assert!(said.err().contains("nothing says what name the signature should carry"), "{said}");
        run().arg("--sign-as=registry.example/small:1").ok();
        let verify = ["verify", "oci:copy:1", "--key", "k.pub"];
        env.treelay(verify).arg("--signed-as=registry.example/small:1").ok();
        std::fs::remove_dir_all(env.path("copy")).unwrap();
    }
}
