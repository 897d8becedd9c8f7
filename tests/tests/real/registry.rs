//! treelay and registries: pushing, mounting, logins, copies with signatures.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use treelay_tests::registry::Registry;
use treelay_tests::{Env, Output};

use crate::sdk::{sdk, with_password};
use crate::small;

#[test]
fn the_real_image_is_pushed_once_to_docker_registry() {
    let env = Env::new();
    pushes_once(&env, &Registry::docker(&env));
}

#[test]
fn the_real_image_is_pushed_once_to_ferro() {
    let env = Env::new();
    pushes_once(&env, &Registry::ferro(&env));
}

fn pushes_once(env: &Env, registry: &Registry) {
    let sdk = sdk();
    let push = |repository: &str| {
        let dest = registry.docker_name(repository);
        let build = env.treelay(["build", "--locked", "--offline", "-o", &dest, &sdk.store()]);
        let key = sdk.key("p256.key");
        with_password(build.arg(sdk.path("go-sdk.yaml")).arg(key)).ok()
    };
    // What the arches share of the toolchain and each one's own, the settings, three configs.
    push("tools/go-sdk").says("8 blobs written (133.45 MiB), 0 there already");
    push("tools/go-sdk").says("0 blobs written (0 B), 8 there already");

    let image = registry.docker_name("tools/go-sdk:1.27.3");
    let key = sdk.key("p256.pub");
    env.treelay(["verify", "--blobs", &image, &key]).ok().says(sdk.index());
    let other = sdk.key("other.pub");
    env.treelay(["verify", &image, &other]).fails(1).says("was not made by key");

    // Another repository of the same registry takes the blobs over by itself.
    let second = registry.docker_name("mirror/go-sdk:1.27.3");
    let copied = with_password(env.treelay(["copy", "--json", &image, &second])).ok().json();
    assert_eq!(copied["digest"], sdk.index());
    assert_eq!(copied["blobs"]["bytes"], 0, "{copied}");
    let key = ["--signed-as", image.strip_prefix("docker://").unwrap(), &key];
    env.treelay(["verify", "--blobs", &second]).args(key).ok();
}

#[test]
fn logins_are_read_from_where_podman_and_docker_keep_them() {
    let env = small::env();
    let registry = Registry::docker_with_login(&env);
    env.plain_http(&registry);
    let image = registry.docker_name("tools/small:1");
    let verify = |image: &str| env.treelay(["verify", image, "--key=good.pub"]);
    let address = registry.address();

    // Nobody said who it is.
    refused_login(small::build(&env, &image, &["good"]).fails(1), &address);
    refused_login(verify(&image).fails(1), &address);

    // podman's own place.
    let login = ["login", "--tls-verify=false", "-u", Registry::USER, "-p", Registry::PASSWORD];
    env.podman(login).arg(&address).ok();
    small::build(&env, &image, &["good"]).ok();
    verify(&image).ok();
    env.podman(["logout", &address]).ok();
    refused_login(verify(&image).fails(1), &address);

    // A file that the variable names.
    env.podman(login).args(["--authfile=logins.json", &address]).ok();
    verify(&image).env("REGISTRY_AUTH_FILE", env.path("logins.json")).ok();
    refused_login(verify(&image).fails(1), &address);

    // docker's.
    let folder = env.dir().join("home/.docker");
    fs::create_dir_all(&folder).unwrap();
    let login = |password: &str| {
        let login = BASE64.encode(format!("{}:{password}", Registry::USER));
        let text = format!(r#"{{"auths": {{"{address}": {{"auth": "{login}"}}}}}}"#);
        fs::write(folder.join("config.json"), text).unwrap();
    };
    login(Registry::PASSWORD);
    verify(&image).ok();

    // A wrong one is as good as none, and is not told to anybody.
    login("a-wrong-password");
    let output = refused_login(verify(&image).fails(1), &address);
    assert!(!output.err().contains("a-wrong-password"), "{output}");
    refused_login(small::build(&env, &image, &["good"]).fails(1), &address);
}

/// It is said which registry refused, and that it is about the login.
fn refused_login(output: Output, address: &str) -> Output {
    output.says(address).says("login")
}

#[test]
fn copies_between_layouts_and_registries_keep_signatures() {
    let env = small::env();
    let (docker, ferro) = (Registry::docker(&env), Registry::ferro(&env));
    let report = small::build(&env, "oci:first", &["good"]).arg("--json").ok().json();
    let places = [
        "oci:first:1".to_owned(),
        docker.docker_name("tools/small:1"),
        ferro.docker_name("tools/small:1"),
        docker.docker_name("again/small:1"),
        "oci:last:1".to_owned(),
    ];
    let name = ["--signed-as=registry.example/tools/small:1", "--key=good.pub"];
    for pair in places.windows(2) {
        let copied = env.treelay(["copy", "--json", &pair[0], &pair[1]]).ok().json();
        assert_eq!(copied["digest"], report["index"]["digest"]);
        assert_eq!(copied["signed"].as_array().unwrap().len(), small::ARCHES.len() + 1);
        env.treelay(["verify", "--blobs", &pair[1]]).args(name).ok();
    }
    let blobs = |layout: &str| {
        let entries = fs::read_dir(env.path(layout).join("blobs/sha256")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(blobs("first"), blobs("last"));

    // The second time nothing moves.
    let again = env.treelay(["copy", "--json", &places[1], &places[2]]).ok().json();
    assert_eq!(again["blobs"]["bytes"], 0, "{again}");
}

#[test]
fn a_copy_is_signed_again_under_its_new_name() {
    let env = small::env();
    let registry = Registry::docker(&env);
    small::build(&env, "oci:layout", &["good"]).ok();
    let image = registry.docker_name("tools/small:1");
    let copy = ["copy", "oci:layout:1", &image];
    env.treelay(copy).ok().says("warning: a signature names \"registry.example/tools/small:1\"");
    // As hosts do, treelay takes a signature for what it was made for.
    let verify = ["verify", &image, "--key=good.pub"];
    env.treelay(verify).fails(1).says("registry.example/tools/small:1").says("sign it again");
    with_password(env.treelay(copy).arg("--key=good.key")).ok();
    env.treelay(verify).ok();
    // The old name's signatures stayed beside the new ones.
    env.treelay(verify).arg("--signed-as=registry.example/tools/small").ok();
}

/// A mirror has the original's signatures, for hosts that remap it.
#[test]
fn a_mirror_is_signed_under_the_originals_name() {
    let env = small::env();
    let registry = Registry::docker(&env);
    small::build(&env, "oci:layout", &["good"]).ok();
    let image = registry.docker_name("tools/small:1");
    env.treelay(["copy", "oci:layout:1", &image, "--no-signatures"]).ok();
    let sign = |name: &str| {
        let name = format!("--sign-as=registry.example/tools/{name}");
        with_password(env.treelay(["sign", &image, "--key=good.key"]).arg(name))
    };
    // What was signed is told, whatever hosts make of it.
    let refused = sign("small:2").fails(1);
    refused.says("podman-5 would refuse it").says("is published, and").says(" index ");
    let good = sign("small:1").ok();
    good.says("warning: what is signed is registry.example/tools/small").says("--mirror");
}
