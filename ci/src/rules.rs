//! The house's rules about dependencies, as tests.

use std::process::Command;

use serde_json::Value;
use treelay_ci::tools::workspace;

use crate::run::capture;

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

/// Each package of the workspace with the names of what it uses, for building and testing alike.
fn packages() -> Vec<(String, Vec<String>)> {
    let mut metadata = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    metadata.args(["metadata", "--no-deps", "--locked", "--offline", "--format-version", "1"]);
    let said = capture(metadata.current_dir(workspace())).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
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
