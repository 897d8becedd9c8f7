//! The harness's own tests: the Debian 13 root works, and writes only where it may.

use treelay_tests::registry::Registry;
use treelay_tests::{Env, image};

#[test]
fn podman_5_runs_a_container() {
    let env = Env::new();
    let version = env.trixie(["podman", "--version"]).ok().out();
    assert!(version.starts_with("podman version 5."), "{version}");
    let image = image::busybox(&env);
    // podman 5.4 itself does not find again what it pulls from a layout with a tag.
    let (stored, name) = ("containers-storage:localhost/small:1", "localhost/small:1");
    env.trixie(["skopeo", "copy", "--quiet", &image, stored]).ok();
    let output = env.trixie(["podman", "run", "--rm", name, "echo", "from inside"]).ok();
    assert_eq!(output.out(), "from inside\n");
}

#[test]
fn only_the_environment_can_be_written() {
    let env = Env::new();
    let name = env.path("made").display().to_string();
    env.trixie(["sh", "-c", "touch made && pwd"]).ok().says(name.trim_end_matches("/made"));
    assert!(env.path("made").exists());
    env.trixie(["touch", "/usr/made"]).refuses().says("Read-only file system");
    env.trixie(["touch", "/tmp/made"]).ok();
}

#[test]
fn exit_codes_and_input_pass() {
    let env = Env::new();
    let output = env.trixie(["sh", "-c", "cat; exit 7"]).stdin("through").fails(7);
    assert_eq!(output.out(), "through");
}

#[test]
fn the_signature_policy_is_the_environments() {
    let env = Env::new();
    let registry = Registry::docker(&env);
    env.plain_http(&registry);
    let image = image::busybox(&env);
    let name = registry.docker_name("tools/small:1");
    env.trixie(["skopeo", "copy", "--quiet", &image, &name]).ok();
    env.trixie(["podman", "pull", "--quiet", &name]).ok();
    env.policy(&serde_json::json!({"default": [{"type": "reject"}]}));
    env.trixie(["podman", "pull", "--quiet", &name]).refuses().says("rejected by policy");
}

#[test]
fn ostree_pulls_from_a_repository_of_the_older_one() {
    let env = Env::new();
    env.write("tree/usr/hello", "hello\n");
    env.ostree(["init", "--repo=source", "--mode=archive"]).ok();
    env.ostree(["commit", "--repo=source", "--branch=a", "tree"]).ok();
    env.trixie(["ostree", "init", "--repo=copy", "--mode=bare-user"]).ok();
    env.trixie(["ostree", "pull-local", "--repo=copy", "source", "a"]).ok();
    env.trixie(["ostree", "cat", "--repo=copy", "a", "/usr/hello"]).ok().says("hello");
    env.trixie(["ostree", "--version"]).ok().says("Version: '2025.");
}
