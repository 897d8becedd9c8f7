//! Go programs that treelay builds: they run on every arch, from the image and from the commit; what
//! cannot be built is told in words that help.

mod builds;
mod mistakes;

use serde_json::Value;
use treelay_tests::{Env, Run};

use crate::sdk::sdk;

/// A recipe that builds with the Go of [`sdk`]; `layers` are its layers.
pub fn recipe(arches: &str, layers: &str) -> String {
    format!(
        "name: programs\nversion: \"1.0\"\narch: [{arches}]\ninputs:\n  go:\n    go-toolchain: \
         {{version: 1.27.3, sources: [pypi], verify: [checksum]}}\nlayers:\n{layers}ostree:\n  ref: \
         treelay/programs/{{{{ arch.uname }}}}\n"
    )
}

/// treelay, offline, with the store that has Go.
pub fn treelay(env: &Env, args: &[&str]) -> Run {
    env.treelay(args).arg(sdk().store())
}

/// An environment with the recipe `programs.yaml`, locked.
pub fn env(arches: &str, layers: &str) -> Env {
    let env = Env::new();
    write(&env, arches, layers);
    env
}

/// Writes the recipe and its lock: that of the same Go, for these arches.
pub fn write(env: &Env, arches: &str, layers: &str) {
    env.write("programs.yaml", recipe(arches, layers));
    treelay_online(env, &["lock", "programs.yaml"]).ok();
}

/// treelay with the network, for what is not in the store.
pub fn treelay_online(env: &Env, args: &[&str]) -> Run {
    env.treelay_online(args).arg(sdk().store())
}

/// What a build says of itself.
pub fn build(env: &Env, args: &[&str]) -> Value {
    treelay(env, &["build", "programs.yaml", "--json", "--offline"]).args(args).ok().json()
}
