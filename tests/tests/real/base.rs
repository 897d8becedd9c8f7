//! Images on a base: its layers as they are, its config where the recipe says nothing, its
//! directories left alone.

use std::fs;

use serde_json::{Value, json};
use treelay_tests::registry::Registry;
use treelay_tests::{Env, image};

/// The base: three arches, made by treelay itself, with what a distribution's image has.
const BASE: &str = r##"
name: base
version: "1"
arch: [amd64, arm64, ppc64le]
epoch: 1700000000
layers:
  - name: root
    files:
      - {path: /root, dir: true, mode: "0700"}
      - {path: /tmp, dir: true, mode: "1777"}
      - {path: /lib, link: usr/lib}
      - {path: /usr/lib, dir: true}
      - {path: /etc/arch, content: "{{ arch }}\n"}
image:
  config:
    user: "7"
    env: {PATH: /bin, LANG: C.UTF-8}
    labels: {org.example.base: "yes"}
    workdir: /root
"##;

const RECIPE: &str = r##"
name: upper
version: "2"
arch: [amd64, arm64]
epoch: 1735689600
layers:
  - name: own
    files:
      - {path: /root/note, content: "mine\n"}
      - {path: /tmp/x, content: "x\n"}
      - {path: /usr/lib/y, content: "y\n"}
image:
  base: BASE
  config: {env: {PATH: /usr/bin, X: "1"}, cmd: [/bin/x]}
"##;

fn env() -> Env {
    let env = Env::new();
    env.write("base.yaml", BASE);
    env.treelay(["build", "base.yaml", "-o", "oci:base"]).ok();
    env
}

fn recipe(env: &Env, base: &str) -> Value {
    env.write("upper.yaml", RECIPE.replace("BASE", base));
    env.treelay(["build", "upper.yaml", "-o", "oci:upper", "--json"]).ok().json()
}

/// A document in a layout.
fn document(env: &Env, layout: &str, digest: &Value) -> Value {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    serde_json::from_str(&env.read(&format!("{layout}/blobs/sha256/{hex}"))).unwrap()
}

/// The index of the only image of a layout, its digest, and the image of an arch.
fn images(env: &Env, layout: &str, arch: &str) -> (Value, Value, Value) {
    let top: Value = serde_json::from_str(&env.read(&format!("{layout}/index.json"))).unwrap();
    let digest = top["manifests"][0]["digest"].clone();
    let index = document(env, layout, &digest);
    let children = index["manifests"].as_array().unwrap();
    let child = children.iter().find(|child| child["platform"]["architecture"] == arch).unwrap();
    let manifest = document(env, layout, &child["digest"]);
    (index.clone(), digest, json!({ "digest": child["digest"], "manifest": manifest }))
}

#[test]
fn layers_pass_through_and_configs_are_joined() {
    let env = env();
    let report = recipe(&env, "oci:base:1");
    let (index, _, upper) = images(&env, "upper", "arm64");
    let (_, base_digest, base) = images(&env, "base", "arm64");
    assert_eq!(report["images"].as_array().unwrap().len(), 2);

    let layers = |image: &Value| image["manifest"]["layers"].as_array().unwrap().clone();
    assert_eq!(layers(&upper)[..1], layers(&base)[..], "the same bytes");
    assert_eq!(layers(&upper).len(), 2);
    let key = "org.opencontainers.image.base";
    let annotations = &upper["manifest"]["annotations"];
    assert_eq!(annotations[format!("{key}.digest")], base["digest"]);
    assert_eq!(annotations[format!("{key}.name")], "oci:base:1");
    assert_eq!(index["annotations"][format!("{key}.digest")], base_digest);

    let config = document(&env, "upper", &upper["manifest"]["config"]["digest"]);
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["config"]["User"], "7");
    assert_eq!(config["config"]["WorkingDir"], "/root");
    assert_eq!(config["config"]["Cmd"], json!(["/bin/x"]));
    assert_eq!(config["config"]["Labels"], json!({"org.example.base": "yes"}));
    assert_eq!(config["config"]["Env"], json!(["LANG=C.UTF-8", "PATH=/usr/bin", "X=1"]));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    assert_eq!(config["history"].as_array().unwrap().len(), 2);

    // umoci and skopeo take it, and the base's directories are as they were.
    env.skopeo(["inspect", "--override-arch=arm64", "oci:upper:2"]).ok();
    let unpack = env.treelay(["copy", "oci:upper:2", "oci:copy:2"]);
    unpack.ok();
    for (arch, text) in [("amd64", "amd64\n"), ("arm64", "arm64\n")] {
        let one = format!("oci:one-{arch}:1");
        let copy = ["copy", "--quiet", &format!("--override-arch={arch}"), "oci:upper:2", &one];
        env.skopeo(copy).ok();
        let tree = env.path(format!("tree-{arch}"));
        env.umoci_unpack(&format!("{}:1", env.path(format!("one-{arch}")).display()), &tree).ok();
        let mode = |path: &str| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(tree.join(path)).unwrap().mode() & 0o7777
        };
        assert_eq!((mode("root"), mode("tmp")), (0o700, 0o1777));
        assert_eq!(fs::read_to_string(tree.join("etc/arch")).unwrap(), text);
        assert_eq!(fs::read_to_string(tree.join("lib/y")).unwrap(), "y\n");
    }

    // Again: nothing is read, nothing is written, the same digests.
    let again = env.treelay(["build", "upper.yaml", "-o", "oci:upper", "--json", "--locked"]);
    let again = again.ok().json();
    assert_eq!(again["index"], report["index"]);
    // From what the store has, the layout is not needed for the same build.
    fs::rename(env.path("base"), env.path("moved")).unwrap();
    let moved = env.treelay(["build", "upper.yaml", "-o", "oci:other", "--json", "--locked"]);
    assert_eq!(moved.ok().json()["index"], report["index"]);
}

#[test]
fn a_base_in_a_registry_is_the_same_base() {
    let env = env();
    let registry = Registry::docker(&env);
    env.plain_http(&registry);
    env.treelay(["copy", "oci:base:1", &registry.docker_name("tools/base:1")]).ok();
    let (_, digest, base) = images(&env, "base", "amd64");
    let digest = digest.as_str().unwrap();
    let name = format!("{}@{digest}", registry.docker_name("tools/base:1"));
    recipe(&env, &name);
    let (_, _, upper) = images(&env, "upper", "amd64");
    let annotations = &upper["manifest"]["annotations"];
    let key = "org.opencontainers.image.base";
    assert_eq!(annotations[format!("{key}.digest")], base["digest"]);
    assert_eq!(annotations[format!("{key}.name")], format!("{}/tools/base:1", registry.address()));
    assert_eq!(upper["manifest"]["layers"][0], base["manifest"]["layers"][0]);
    let lock = env.read("upper.lock");
    assert!(lock.contains(&format!("digest = \"{digest}\"")), "{lock}");
    assert!(lock.contains("released = 1700000000"), "{lock}");

    // What is in the store needs no registry.
    drop(registry);
    env.treelay(["build", "upper.yaml", "-o", "oci:other", "--locked", "--offline"]).ok();
    env.write("new.yaml", RECIPE.replace("BASE", &name));
    env.treelay(["build", "new.yaml", "-o", "oci:new", "--offline"])
        .refuses()
        .says("being offline forbids to download it");
}

#[test]
fn podman_runs_an_image_on_a_base_in_dockers_format() {
    let env = Env::new();
    let registry = Registry::docker(&env);
    env.plain_http(&registry);
    let name = registry.docker_name("tools/busybox:1");
    let copy = ["copy", "--quiet", "--format=v2s2", &image::busybox(&env), &name];
    env.skopeo(copy).ok();
    let manifest = env.skopeo(["inspect", "--raw", &name]).ok().out();
    assert!(manifest.contains("vnd.docker.distribution.manifest.v2"), "{manifest}");
    let digest = env.skopeo(["inspect", "--format={{.Digest}}", &name]).ok().out();
    let recipe = RECIPE.replace("BASE", &format!("{name}@{}", digest.trim()));
    let recipe = recipe.replace("[amd64, arm64]", "[amd64]").replace("cmd: [/bin/x]", "cmd: [env]");
    env.write("upper.yaml", recipe);
    env.treelay(["build", "upper.yaml", "-o", "oci:upper"]).ok();
    let (_, _, upper) = images(&env, "upper", "amd64");
    let annotations = &upper["manifest"]["annotations"];
    assert_eq!(annotations["org.opencontainers.image.base.digest"], digest.trim());
    let types = upper["manifest"]["layers"].as_array().unwrap();
    assert!(types.iter().all(|layer| layer["mediaType"].as_str().unwrap().contains("vnd.oci")));
    let image = format!("oci:{}", env.path("upper").display());
    env.podman(["run", "--rm", "--network=none", &image]).ok().says("X=1");
    let read = ["run", "--rm", "--network=none", &image, "cat", "/root/note"];
    assert_eq!(env.podman(read).ok().out(), "mine\n");
}

#[test]
fn mistakes_are_told() {
    let env = env();
    let build = |base: &str| {
        env.write("upper.yaml", RECIPE.replace("BASE", base));
        env.treelay(["build", "upper.yaml", "-o", "oci:upper"]).refuses()
    };
    build("oci:nowhere").says("nowhere");
    build("oci:base:9").says("oci:base:9 is not there");
    build("docker://localhost:1/base@sha256:00").says("64 hex digits");

    // One image, for one arch.
    let busybox = image::busybox(&env);
    let busybox = busybox.replace(&format!("{}/", env.path("").display()), "");
    let busybox = busybox.replace(&env.path("").display().to_string(), "");
    build(&busybox).says("is for linux/amd64, not for arm64");

    let on = |files: &str, arch: &str, base: &str| {
        let recipe = RECIPE.replace("BASE", base).replace("[amd64, arm64]", arch);
        let at = recipe.find("      - {path: /root/note").unwrap();
        let end = recipe.find("image:").unwrap();
        let recipe = format!("{}      - {files}\n{}", &recipe[..at], &recipe[end..]);
        env.write("wrong.yaml", recipe);
        env.treelay(["build", "wrong.yaml", "-o", "oci:wrong"])
    };
    on("{path: /lib/x, content: x}", "[amd64]", "oci:base")
        .refuses()
        .says("laying layer \"own\" on oci:base")
        .says("/lib is a directory of the layer, and a link to usr/lib in the base");
    on("{path: /tmp, content: x}", "[amd64]", "oci:base").refuses().says("it would be gone");
    on("{path: /x, content: x}", "[amd64]", &busybox).ok();

    // An arch that the index lacks, in a layout and in a registry.
    let small = BASE.replace(", ppc64le", "");
    env.write("small.yaml", small);
    env.treelay(["build", "small.yaml", "-o", "oci:small"]).ok();
    on("{path: /x, content: x}", "[ppc64le]", "oci:small")
        .refuses()
        .says("oci:small has no image for ppc64le; it has linux/amd64, linux/arm64");
    let registry = Registry::docker(&env);
    env.plain_http(&registry);
    env.treelay(["copy", "oci:small:1", &registry.docker_name("tools/small:1")]).ok();
    let (_, digest, _) = images(&env, "small", "amd64");
    let name = registry.docker_name("tools/small");
    let name = format!("{name}@{}", digest.as_str().unwrap());
    on("{path: /x, content: x}", "[ppc64le]", &name).refuses().says("has no image for ppc64le");

    // A layout that moved on since it was locked.
    recipe(&env, "oci:base");
    env.write("base.yaml", BASE.replace("/etc/arch", "/etc/other"));
    env.treelay(["build", "base.yaml", "-o", "oci:base"]).ok();
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    env.treelay(["build", "upper.yaml", "-o", "oci:upper", "--locked"])
        .refuses()
        .says("if that is meant, run `treelay lock`");
}
