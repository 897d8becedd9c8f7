//! Local files and folders that layers name: what is refused, and that nothing is written.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use treelay_tests::env::is_root;
use treelay_tests::{Env, Run};

use crate::fixture::{fails_cleanly, settle};

/// An environment whose recipe has one layer, of this kind.
fn with_layer(kind: &str) -> Env {
    let env = Env::new();
    env.write(
        "recipe.yaml",
        format!(
            "name: one\nversion: \"1\"\nepoch: 1\narch: [amd64]\nlayers:\n- name: data\n  {kind}\n"
        ),
    );
    env
}

const FOLDER: &str = "directory: {source: data, prefix: /usr}";
const FILE: &str = "files: [{path: /etc/motd, source: data}]";

fn build(env: &Env) -> Run {
    env.treelay(["build", "recipe.yaml", "-o", "oci:out", "-o", "ostree:repo"])
}

#[track_caller]
fn refused_because(env: &Env, run: Run, because: &str) {
    let output = fails_cleanly(env, run, &["out", "repo"]);
    assert_eq!(
        settle(env, &output.err()),
        format!("error: looking at \"data\", which layer \"data\" names\n  because: {because}\n"),
    );
}

#[test]
fn sources_that_are_not_there_or_of_another_kind() {
    for (kind, because) in
        [(FOLDER, "[WORK]/data does not exist"), (FILE, "[WORK]/data does not exist")]
    {
        let env = with_layer(kind);
        refused_because(&env, build(&env), because);
    }
    let env = with_layer(FOLDER);
    env.write("data", "a file");
    refused_because(&env, build(&env), "[WORK]/data is not a directory");
    let env = with_layer(FILE);
    env.write("data/x", "in a folder");
    refused_because(&env, build(&env), "[WORK]/data is not a regular file");
}

#[test]
fn entries_that_no_layer_can_have() {
    let env = with_layer(FOLDER);
    env.write("data/file", "x");
    assert!(Command::new("mkfifo").arg(env.path("data/pipe")).status().unwrap().success());
    refused_because(&env, build(&env), "[WORK]/data/pipe is a FIFO, which cannot be in a layer");

    let env = with_layer(FOLDER);
    let data = env.path("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    refused_because(&env, build(&env), "[WORK]/data/caf\u{fffd} has a name that is not UTF-8");
}

/// Root reads everything, so it must lay that down first.
fn mortal(run: Run) -> Run {
    if !is_root() {
        return run;
    }
    run.through(["/usr/bin/setpriv", "--bounding-set=-dac_override,-dac_read_search"])
}

#[test]
fn entries_that_cannot_be_read() {
    for (locked, because) in [
        ("data/sub/secret", "reading [WORK]/data/sub/secret"),
        ("data/sub", "reading [WORK]/data/sub"),
    ] {
        let because = format!("{because}\n  because: Permission denied (os error 13)");
        let env = with_layer(FOLDER);
        env.write("data/sub/secret", "x");
        let locked = env.path(locked);
        let mode = |mode| fs::set_permissions(&locked, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o000);
        refused_because(&env, mortal(build(&env)), &because);
        mode(0o755);
        build(&env).ok();
    }
}

#[test]
fn a_file_that_changed_is_taken_as_it_is_now() {
    let env = with_layer(FOLDER);
    let digest = || {
        let report = env.treelay(["build", "recipe.yaml", "--json"]).ok().json();
        report["index"]["digest"].as_str().unwrap().to_owned()
    };
    env.write("data/file", "one");
    let one = digest();
    env.write("data/file", "two");
    let two = digest();
    assert_ne!(one, two);
    env.write("data/file", "one");
    assert_eq!(digest(), one);
}
