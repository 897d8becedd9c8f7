//! Go programs that treelay builds: they run on every arch, from the image and from the commit; what
//! cannot be built is told in words that help.

mod builds;
mod catalog;
mod commits;
mod mistakes;

use serde_json::Value;
use treelay_tests::{Env, Run};

use crate::sdk::sdk;

/// A recipe that builds with the Go of [`sdk`]; `layers` are its layers.
fn recipe(arches: &str, layers: &str) -> String {
    format!(
        "name: programs\nversion: \"1.0\"\narch: [{arches}]\n\
         inputs: {{go: {{go-toolchain: {{version: 1.27.3, sources: [pypi]}}}}}}\n\
         layers:\n{layers}ostree: {{ref: \"treelay/programs/{{{{ arch.uname }}}}\"}}\n"
    )
}

/// An environment with the recipe `programs.yaml`.
fn env(arches: &str, layers: &str) -> Env {
    let env = Env::new();
    env.write("programs.yaml", recipe(arches, layers));
    env
}

/// A build of the recipe with the store that has Go. The first one asks the package index what the
/// wheels are, to lock them.
fn build(env: &Env, args: &[&str]) -> Run {
    env.treelay_online(["build", "programs.yaml"]).args(args).arg(sdk().store())
}

/// What it says of itself.
fn report(env: &Env, args: &[&str]) -> Value {
    build(env, args).arg("--json").ok().json()
}
