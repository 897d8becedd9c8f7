//! What builds and inspections say, to people and to scripts.

use serde_json::{Value, json};
use treelay_tests::Env;

use crate::fixture::{REFS, SMALL, build, prints, small};

const BUILD: [&str; 6] = ["build", "small.yaml", "-o", "oci:out", "-o", "ostree:repo"];

#[test]
fn a_build_tells_what_is_new_and_a_second_one_that_nothing_is() {
    let env = small();
    prints(
        &env,
        &env.treelay(BUILD).ok(),
        r#"
small 1.0
amd64    sha256:[SHA256]
  settings       [SHORT] [SIZE]  new
  data           [SHORT] [SIZE]  new
arm64    sha256:[SHA256]
  settings       [SHORT] [SIZE]  new
  data           [SHORT] [SIZE]  shared
oci:out: 1.0 is sha256:[SHA256]; 5 blobs written ([SIZE]), 0 there already
ostree:repo (archive):
  treelay/small/x86_64 is [SHA256]; new, 4 objects made, 0 there already
  treelay/small/aarch64 is [SHA256]; new, 1 object made, 3 there already
[T] s
"#,
    );
    prints(
        &env,
        &env.treelay(BUILD).ok(),
        r#"
small 1.0
amd64    sha256:[SHA256]
  settings       [SHORT] [SIZE]  unchanged
  data           [SHORT] [SIZE]  unchanged
arm64    sha256:[SHA256]
  settings       [SHORT] [SIZE]  unchanged
  data           [SHORT] [SIZE]  shared
oci:out: 1.0 is sha256:[SHA256]; 0 blobs written ([SIZE]), 5 there already
ostree:repo (archive):
  treelay/small/x86_64 is [SHA256]; unchanged
  treelay/small/aarch64 is [SHA256]; unchanged
[T] s
"#,
    );
}

#[test]
fn twice_built_is_the_same_and_a_change_is_a_child() {
    let env = small();
    let dests = ["-o", "oci:out", "-o", "ostree:repo"];
    let (first, second) = (build(&env, &dests), build(&env, &dests));
    assert_eq!(first["index"], second["index"]);
    assert_eq!(first["plan"], second["plan"]);
    let each = |report: &Value, key: &str| -> Vec<Value> {
        report["commits"].as_array().unwrap().iter().map(|commit| commit[key].clone()).collect()
    };
    assert_eq!(each(&first, "checksum"), each(&second, "checksum"));
    assert_eq!(each(&first, "unchanged"), [json!(false), json!(false)]);
    assert_eq!(each(&second, "unchanged"), [json!(true), json!(true)]);

    // Only what amd64 says changes: arm64 keeps its commit, and the new one has a parent.
    env.write(
        "small.yaml",
        SMALL.replace("for {{ arch }}", "{{ arch }} anew").replace("arm64 anew", ""),
    );
    let third = build(&env, &dests);
    assert_ne!(third["index"], first["index"]);
    let commits = env.treelay(["inspect", "ostree:repo", "--json"]).ok().json();
    for (at, name) in REFS.iter().enumerate() {
        let parent = format!("sha256:{}", each(&first, "checksum")[at].as_str().unwrap());
        assert_eq!(commits["commits"][name]["parent"], parent);
        assert_eq!(commits["commits"][name]["time"], 1_700_000_001);
    }
}

#[test]
fn json_of_a_build_has_the_keys_that_scripts_rely_on() {
    let env = small();
    let report = build(&env, &["-o", "oci:out", "-o", "ostree:repo"]);
    let index: Value = serde_json::from_str(&env.read("out/index.json")).unwrap();
    assert_eq!(report["recipe"], "small.yaml");
    assert!(report["plan"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(report["index"]["digest"], index["manifests"][0]["digest"]);
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(report["signatures"], json!([]));

    let blob = |digest: &Value| -> Value {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        serde_json::from_str(&env.read(&format!("out/blobs/sha256/{hex}"))).unwrap()
    };
    let index = blob(&report["index"]["digest"]);
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    for (at, (image, arch)) in images.iter().zip(["amd64", "arm64"]).enumerate() {
        assert_eq!(image["arch"], arch);
        assert_eq!(image["digest"], index["manifests"][at]["digest"]);
        let manifest = blob(&image["digest"]);
        let config = blob(&manifest["config"]["digest"]);
        let layers = image["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for (at, (layer, name)) in layers.iter().zip(["settings", "data"]).enumerate() {
            assert_eq!(layer["name"], name);
            assert_eq!(layer["digest"], manifest["layers"][at]["digest"]);
            assert_eq!(layer["size"], manifest["layers"][at]["size"]);
            assert_eq!(layer["media_type"], manifest["layers"][at]["mediaType"]);
            assert_eq!(layer["diff_id"], config["rootfs"]["diff_ids"][at]);
            assert_eq!(layer["shared"], name == "data");
            assert_eq!(layer["cached"], false);
        }
    }
    let commits = report["commits"].as_array().unwrap();
    for (commit, (arch, name)) in commits.iter().zip(["amd64", "arm64"].iter().zip(REFS)) {
        assert_eq!((&commit["arch"], &commit["ref"]), (&json!(arch), &json!(name)));
        let on_disk = env.read(&format!("repo/refs/heads/{name}"));
        assert_eq!(commit["checksum"], on_disk.trim());
    }

    let again = build(&env, &["-o", "oci:out"]);
    assert_eq!(again["images"][0]["layers"][0]["cached"], true);
    assert_eq!(again["commits"], json!([]));
    let trees = build(&env, &["-o", "tree:tree", "--arch=amd64"]);
    assert_eq!(trees["images"], json!([]));
}

#[test]
fn plans_say_what_is_there_already() {
    let env = small();
    let plan = || env.treelay(["plan", "small.yaml"]).ok();
    prints(
        &env,
        &plan(),
        r#"
plan sha256:[SHA256] of small 1.0
epoch 1700000000 (2023-11-14T22:13:20Z)
layer settings for amd64 (files): to make
layer data for amd64 (directory): to make
  directory data [SHORT]
layer settings for arm64 (files): to make
layer data for arm64 (directory): the same as on another arch
  directory data [SHORT]
commit treelay/small/x86_64
commit treelay/small/aarch64
"#,
    );
    let planned = env.treelay(["plan", "small.yaml", "--json"]).ok();
    let built = build(&env, &[]);
    assert!(plan().out().starts_with(&format!("plan {} ", built["plan"].as_str().unwrap())));
    assert_eq!(env.treelay(["plan", "small.yaml", "--json"]).ok().stdout, planned.stdout);
    prints(
        &env,
        &plan(),
        r#"
plan sha256:[SHA256] of small 1.0
epoch 1700000000 (2023-11-14T22:13:20Z)
layer settings for amd64 (files): there, [SIZE]
layer data for amd64 (directory): there, [SIZE]
  directory data [SHORT]
layer settings for arm64 (files): there, [SIZE]
layer data for arm64 (directory): the same as on another arch
  directory data [SHORT]
commit treelay/small/x86_64
commit treelay/small/aarch64
"#,
    );
}

#[test]
fn what_arches_share_of_a_layer_is_shown() {
    let env = Env::new();
    env.write(
        "split.yaml",
        "name: split\nversion: '1'\narch: [amd64, arm64]\nepoch: 0\nlayers:\n\
         \x20 - {name: tools, directory: {source: 'data/{{ arch }}', prefix: /usr/lib/tools}}\n",
    );
    for arch in ["amd64", "arm64"] {
        env.write(&format!("data/{arch}/common"), "x".repeat(2 << 20));
        env.write(&format!("data/{arch}/own"), arch);
    }
    let report = env.treelay(["build", "split.yaml", "--json", "-o", "oci:out"]).ok().json();
    let parts = |arch: usize| -> Vec<bool> {
        let layers = report["images"][arch]["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["shared"] == true).collect()
    };
    assert_eq!((parts(0), parts(1)), (vec![true, false], vec![true, false]), "{report}");
    let plan = env.treelay(["plan", "split.yaml"]).ok();
    plan.says("layer tools for amd64 (directory), what all arches share: there, ");
    let plan = env.treelay(["plan", "split.yaml"]).ok();
    plan.says("layer tools for arm64 (directory), what all arches share: the same as on another");
    let plan = env.treelay(["plan", "split.yaml"]).ok();
    plan.says("layer tools for arm64 (directory), what this arch adds: there, ");
    env.treelay(["inspect", "oci:out"]).ok().says("(directory, what all arches share), shared");
}

#[test]
fn inspections_show_images_and_commits() {
    let env = small();
    let report = build(&env, &["-o", "oci:out", "-o", "ostree:repo"]);
    prints(
        &env,
        &env.treelay(["inspect", "oci:out"]).ok(),
        r#"
sha256:[SHA256] application/vnd.oci.image.index.v1+json
linux/amd64 sha256:[SHA256], 2023-11-14T22:13:20Z, not signed
  [SHORT] [SIZE]  treelay layer settings (files)
  [SHORT] [SIZE]  treelay layer data (directory), shared
linux/arm64/v8 sha256:[SHA256], 2023-11-14T22:13:20Z, not signed
  [SHORT] [SIZE]  treelay layer settings (files)
  [SHORT] [SIZE]  treelay layer data (directory), shared
org.opencontainers.image.created: 2023-11-14T22:13:20Z
org.opencontainers.image.title: small
org.opencontainers.image.version: 1.0
[SIZE] in all
"#,
    );
    prints(
        &env,
        &env.treelay(["inspect", "ostree:repo:treelay/small/x86_64"]).ok(),
        r#"
treelay/small/x86_64 [SHA256]
  small 1.0, 2023-11-14T22:13:20Z
  5 files, 6 directories, [SIZE]
  content [SHA256]
  ostree.architecture: x86_64
  ostree.ref-binding: ['treelay/small/x86_64']
  version: 1.0
  layer settings: 2 files, [SIZE]; /usr/bin/ /usr/etc/
  layer data: 3 files, [SIZE]; /usr/share/
  not signed
"#,
    );
    let image = env.treelay(["inspect", "oci:out", "--json"]).ok().json();
    assert_eq!(image["digest"], report["index"]["digest"]);
    for at in [0, 1] {
        let (seen, built) = (&image["images"][at], &report["images"][at]);
        assert_eq!(seen["digest"], built["digest"]);
        for layer in [0, 1] {
            let (seen, built) = (&seen["layers"][layer], &built["layers"][layer]);
            for key in ["digest", "diff_id", "size", "media_type", "shared"] {
                assert_eq!(seen[key], built[key], "{key}");
            }
        }
    }
    let commits = env.treelay(["inspect", "ostree:repo", "--json"]).ok().json();
    assert_eq!(commits["mode"], "archive");
    for commit in report["commits"].as_array().unwrap() {
        let seen = &commits["commits"][commit["ref"].as_str().unwrap()];
        assert_eq!(seen["checksum"], format!("sha256:{}", commit["checksum"].as_str().unwrap()));
        assert_eq!(seen["version"], "1.0");
        assert_eq!(seen["base"], json!(null));
        let layers = seen["layers"].as_array().unwrap();
        let of = |key: &str| layers.iter().map(|it| it[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("name"), ["settings", "data"]);
        assert_eq!(of("files"), [2, 3]);
        assert_eq!(of("paths"), [json!(["/usr/bin/", "/usr/etc/"]), json!(["/usr/share/"])]);
        let bytes: u64 = layers.iter().map(|it| it["bytes"].as_u64().unwrap()).sum();
        assert_eq!(seen["bytes"], bytes);
    }
}
