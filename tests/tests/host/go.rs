//! The real Go, pulled by podman 5 under a policy that wants its signature.

use std::fs;

use treelay_ci::tools::workspace;
use treelay_tests::Env;

use crate::fixture::Host;

/// Of the library only the runtime, which is compiled first: the rest costs seconds.
const PROGRAM: &str = r#"package main

import "runtime"

func main() { println("hello from", runtime.Version(), runtime.GOARCH) }
"#;

#[test]
fn match_repo_digest_or_exact_accepts_the_real_go_which_compiles_a_program() {
    let host = Host::new();
    let recipe = fs::read_to_string(workspace().join("recipes/catalog/go-sdk.yaml")).unwrap();
    // The lock pins the toolchain of every arch that the recipe has: one is enough here.
    host.env.write("go-sdk.yaml", recipe.replace("arch: [amd64, arm64, ppc64le]", "arch: [amd64]"));
    let image = host.registry.docker_name("tools/go-sdk:1");
    let build = ["build", "go-sdk.yaml", "--key=trusted.key", "-o", &image];
    host.env.treelay_online(build).env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    host.podman_pull(&image).ok();

    host.env.write("src/main.go", PROGRAM);
    let source = format!("{}:/src:ro", host.env.path("src").display());
    let run = |args: &[&str]| {
        let podman = ["podman", "run", "--rm", "--pull=never", "--network=none", "--tmpfs=/tmp"];
        let settings = ["--env=HOME=/tmp", "--volume", &source, &image];
        host.env.trixie(podman).args(settings).args(args).ok()
    };
    assert_eq!(run(&["go", "version"]).out(), "go version go1.27.3 linux/amd64\n");
    // `println` writes to standard error.
    run(&["go", "run", "/src/main.go"]).says("hello from go1.27.3 amd64\n");
}
