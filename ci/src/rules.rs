//! The house's rules about dependencies, as tests.

use std::process::Command;

use serde_json::Value;
use treelay_ci::tools::workspace;

use crate::run::{capture, cargo};

/// Which package may use which other of the workspace.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("treelay-recipes", &[]),
    ("treelay-layers", &["treelay-recipes"]),
    ("treelay-signing", &[]),
    ("treelay", &["treelay-layers", "treelay-recipes", "treelay-signing"]),
    ("treelay-ci", &[]),
    // From outside: it starts the program, and links none of it but what is pure and has another
    // implementation to be compared with.
    ("treelay-tests", &["treelay-ci", "treelay-layers", "treelay-signing"]),
];

/// Crates that one package alone may use.
const CONFINED: &[(&str, &str)] = &[
    ("clap", "treelay"),
    ("containers-image-proxy", "treelay"),
    ("ocidir", "treelay"),
    ("ostree", "treelay"),
    ("pgp", "treelay-signing"),
    ("sigstore", "treelay-signing"),
    ("tokio", "treelay"),
];

/// All that set-up's own program is built from: it runs before the libraries are there that the
/// others link.
const SET_UP: &[&str] = &["anyhow", "serde_json"];

/// What cargo knows of the packages of the workspace.
fn metadata() -> Value {
    let mut metadata = Command::new(cargo());
    metadata.args(["metadata", "--no-deps", "--locked", "--offline", "--format-version", "1"]);
    let said = capture(metadata.current_dir(workspace())).unwrap();
    serde_json::from_str(&said).unwrap()
}

/// Each package of the workspace with the names of what it uses, for building and testing alike.
fn packages() -> Vec<(String, Vec<String>)> {
    let said = metadata();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = said["packages"].as_array().unwrap().iter();
    let uses =
        |package: &Value| package["dependencies"].as_array().unwrap().iter().map(name).collect();
    packages.map(|package| (name(package), uses(package))).collect()
}

#[test]
fn packages_use_each_other_in_one_direction() {
    let packages = packages();
    let all: Vec<&str> = packages.iter().map(|(name, _)| name.as_str()).collect();
    for (name, uses) in &packages {
        let rule = DIRECTIONS.iter().find(|(package, _)| package == name);
        let (_, allowed) =
            rule.unwrap_or_else(|| panic!("DIRECTIONS does not say what {name} may use"));
        for used in uses.iter().filter(|used| all.contains(&used.as_str())) {
            assert!(allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
    assert_eq!(packages.len(), DIRECTIONS.len(), "DIRECTIONS names a package that is gone");
}

#[test]
fn confined_crates_stay_where_they_are() {
    for (name, uses) in packages() {
        for (confined, home) in CONFINED {
            let inside = name == *home || !uses.iter().any(|used| used == confined);
            assert!(inside, "{name} uses {confined}, which only {home} may");
        }
        if name == "treelay-ci" {
            let more = uses.iter().find(|used| !SET_UP.contains(&used.as_str()));
            assert_eq!(more, None, "treelay-ci is built before set-up has installed anything");
        }
    }
}

/// The fuzzer's workspace is one of its own, and its lock is easily forgotten: then what is attacked is
/// built from other dependencies than treelay is, or not at all where there is no network.
#[test]
fn the_fuzzers_lock_keeps_up() {
    let lock = |path: &str| -> Vec<(String, String, Vec<String>)> {
        let text = std::fs::read_to_string(workspace().join(path)).unwrap();
        let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
        let package = |stanza: &str| {
            let field = |name: &str| {
                let line = stanza.lines().find(|line| line.starts_with(name));
                line.map(quoted).unwrap_or_default()
            };
            // `"name"`, or `"name version"` where there are several.
            let uses = stanza.lines().filter(|line| line.starts_with(" \""));
            let bare = |line: &str| quoted(line).split(' ').next().unwrap_or_default().to_owned();
            (field("name = "), field("version = "), uses.map(bare).collect())
        };
        text.split("[[package]]").skip(1).map(package).collect()
    };
    let (all, fuzzed) = (lock("Cargo.lock"), lock("builder/fuzz/Cargo.lock"));
    for (name, version, _) in &fuzzed {
        let own = ["treelay-fuzz", "libfuzzer-sys", "arbitrary"].contains(&name.as_str());
        let there = all.iter().any(|(other, of, _)| (other, of) == (name, version));
        assert!(own || there, "{name} {version} is of the fuzzer alone: builder/fuzz/Cargo.lock");
    }
    let said = metadata();
    for (name, _, uses) in fuzzed.iter().filter(|(name, ..)| name.starts_with("treelay")) {
        let packages = said["packages"].as_array().unwrap();
        let Some(package) = packages.iter().find(|package| package["name"] == **name) else {
            continue;
        };
        for needed in package["dependencies"].as_array().unwrap() {
            if needed["kind"].is_null() {
                let needed = needed["name"].as_str().unwrap();
                assert!(
                    uses.iter().any(|used| used == needed),
                    "{name} uses {needed}, which builder/fuzz/Cargo.lock does not know: \
                     run cargo update --workspace there"
                );
            }
        }
    }
}
