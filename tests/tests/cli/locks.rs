//! The lock: made, kept, renewed, refused.

use std::fs;

use treelay_tests::Env;

use crate::fixture::{listing, prints, refuses, settle};
use crate::golang::{FROM_DIR, distribution, from_dir, write};

#[test]
fn a_build_makes_the_lock_and_says_so() {
    let env = from_dir();
    let output = env.treelay(["build", "go.yaml"]).ok();
    assert_eq!(
        settle(&env, &output.err()),
        "locked go for amd64: 1.27.3 ([SHORT]) from sdk/amd64/go\n\
         locked go for arm64: 1.27.3 ([SHORT]) from sdk/arm64/go\n\
         locked go for ppc64le: 1.27.3 ([SHORT]) from sdk/ppc64le/go\n"
    );
    let lock = env.read("go.lock");
    let again = env.treelay(["build", "go.yaml", "--locked"]).ok();
    assert_eq!(again.err(), "");
    assert_eq!(env.read("go.lock"), lock);
    assert_eq!(
        settle(&env, &lock).lines().take(17).collect::<Vec<_>>().join("\n"),
        r#"# made by treelay lock; do not edit

version = 1

[recipe-inputs]
go = "sha256:[SHA256]"

[[input]]
name = "go"
arch = "amd64"
kind = "go-toolchain"
version = "1.27.3"
source = "dir"
from = "sdk/amd64/go"
identity = "sha256:[SHA256]"
released = 1792448436
"#
    );
}

#[test]
fn the_lock_alone() {
    let env = from_dir();
    for command in [["lock", "go.yaml", "--check"], ["build", "go.yaml", "--locked"]] {
        refuses(
            &env,
            command,
            1,
            r#"
error: there is no lock [WORK]/go.lock
hint: make it with `treelay lock`, and keep it with the recipe
"#,
        );
        assert!(!env.path("go.lock").exists());
    }
    prints(
        &env,
        &env.treelay(["lock", "go.yaml"]).ok(),
        r#"
[WORK]/go.lock
  go for amd64: 1.27.3 ([SHORT]) from sdk/amd64/go
  go for arm64: 1.27.3 ([SHORT]) from sdk/arm64/go
  go for ppc64le: 1.27.3 ([SHORT]) from sdk/ppc64le/go
"#,
    );
    let lock = env.read("go.lock");
    let check = env.treelay(["lock", "go.yaml", "--check"]).ok();
    prints(&env, &check, "[WORK]/go.lock fits the recipe\n");
    for update in [["lock", "go.yaml"].as_slice(), &["lock", "go.yaml", "--update", "go"]] {
        let output = env.treelay(update).ok();
        prints(&env, &output, "[WORK]/go.lock is up to date: 3 inputs\n");
    }
    refuses(
        &env,
        ["lock", "go.yaml", "--update", "goo"],
        2,
        "error: the recipe has no input \"goo\": it has go\n",
    );
    refuses(
        &env,
        ["lock", "go.yaml", "--check", "--update"],
        2,
        r#"
error: the argument '--check' cannot be used with '--update [<INPUT>...]'

Usage: treelay lock --check <RECIPE.yaml>

For more information, try '--help'.
"#,
    );
    assert_eq!(env.read("go.lock"), lock);
}

#[test]
fn a_directory_that_changed_is_locked_again_or_refused() {
    let env = from_dir();
    env.treelay(["lock", "go.yaml"]).ok();
    let lock = env.read("go.lock");
    env.write("sdk/arm64/go/src/fmt/print.go", "package fmt // changed\n");
    for command in [["lock", "go.yaml", "--check"], ["build", "go.yaml", "--locked"]] {
        refuses(
            &env,
            command,
            1,
            r#"
error: go for arm64 is not what the lock [WORK]/go.lock says: its directory has changed
hint: if that is meant, run `treelay lock`
"#,
        );
        assert_eq!(env.read("go.lock"), lock);
    }
    let output = env.treelay(["build", "go.yaml"]).ok();
    assert_eq!(
        settle(&env, &output.err()),
        "locked go for arm64: 1.27.3 ([SHORT]) from sdk/arm64/go is now 1.27.3 ([SHORT]) from \
         sdk/arm64/go\n"
    );
    env.treelay(["build", "go.yaml", "--locked"]).ok();

    // Files that are no part of a distribution's identity change nothing.
    let lock = env.read("go.lock");
    env.write("sdk/arm64/go/doc/notes", "x");
    env.treelay(["build", "go.yaml", "--locked"]).ok();
    assert_eq!(env.read("go.lock"), lock);
}

#[test]
fn a_lock_of_another_recipe_is_renewed_or_refused() {
    let env = from_dir();
    env.treelay(["lock", "go.yaml"]).ok();
    for (arch, _) in crate::golang::MACHINES {
        env.write(&format!("sdk/{arch}/go/VERSION"), "go1.27.4\ntime 2026-11-01T00:00:00Z\n");
    }
    env.write("go.yaml", FROM_DIR.replace("1.27.3", "1.27.4"));
    for command in [["lock", "go.yaml", "--check"], ["build", "go.yaml", "--locked"]] {
        refuses(
            &env,
            command,
            1,
            r#"
error: the lock [WORK]/go.lock does not fit the recipe
  because: input "go" is now version 1.27.4, 1.27.3 is locked
hint: renew it with `treelay lock`
"#,
        );
    }
    env.treelay(["build", "go.yaml"]).ok().says("1.27.3").says("is now 1.27.4");
    env.treelay(["lock", "go.yaml", "--check"]).ok();
}

#[test]
fn a_distribution_that_went_away() {
    let env = from_dir();
    fs::remove_dir_all(env.path("sdk/ppc64le")).unwrap();
    refuses(
        &env,
        ["build", "go.yaml", "-o", "oci:out"],
        1,
        r#"
error: locking go for ppc64le: none of its sources has it:
  dir: the directory is not there
"#,
    );
    write(&env, "sdk/ppc64le/go", &distribution("amd64"));
    refuses(
        &env,
        ["build", "go.yaml", "-o", "oci:out"],
        1,
        r#"
error: checking go for ppc64le from sdk/ppc64le/go
  because: bin/go of the Go distribution is for x86_64, but ppc64le was asked for
"#,
    );
    assert!(!env.path("go.lock").exists() && !env.path("out").exists());
}

#[test]
fn what_no_source_makes_is_not_verified() {
    let env = from_dir();
    let recipe = FROM_DIR.replace("sources: [dir]", "sources: [dir]\n      verify: [rebuild]");
    env.write("go.yaml", recipe);
    refuses(
        &env,
        ["lock", "go.yaml"],
        1,
        r#"
error: checking go for amd64 from sdk/amd64/go
  because: nothing in the source of the Go distribution makes its bin/go
"#,
    );
    assert!(!env.path("go.lock").exists());
}

#[test]
fn a_damaged_lock_points_at_its_line() {
    let env = from_dir();
    env.treelay(["lock", "go.yaml"]).ok();
    let lock = env.read("go.lock");
    env.write("go.lock", format!("{lock}garbage\n"));
    refuses(
        &env,
        ["build", "go.yaml"],
        2,
        r#"
error: key with no value, expected `=`
  --> [WORK]/go.lock:37:8
   |
37 | garbage
   |        ^
"#,
    );
    env.write("go.lock", lock.replace("arch = \"arm64\"", "arch = \"armm64\""));
    refuses(
        &env,
        ["build", "go.yaml"],
        2,
        r#"
error: unknown variant `armm64`, expected one of `amd64`, `arm64`, `ppc64le`
  --> [WORK]/go.lock:20:8
   |
20 | arch = "armm64"
   |        ^^^^^^^^
"#,
    );
}

#[test]
fn offline_asks_nobody() {
    let env = Env::new();
    let recipe = FROM_DIR
        .replace("sources: [dir]", "sources: [pypi]")
        .replace("      dir: sdk/{{ arch }}/go\n", "");
    env.write("go.yaml", recipe);
    let run = |command: &str| {
        // Any connection would go through this address, where nobody listens, and say so.
        let nobody = "http://127.0.0.1:9";
        let run = env.treelay([command, "go.yaml", "--offline"]);
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PIP_PROXY", "PIP_INDEX_URL"]
            .iter()
            .fold(run, |run, name| run.env(name, nobody))
    };
    for command in ["build", "lock", "plan"] {
        crate::fixture::refused(
            &env,
            run(command),
            1,
            "error: go for amd64 is not at hand, and being offline forbids to download it\n",
        );
    }
    assert_eq!(listing(&env.path("")).lines().count(), 1);
}
