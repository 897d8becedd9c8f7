//! The real Go runs, on every arch, and compiles programs that run.

use std::fs;

use treelay_tests::registry::Registry;
use treelay_tests::{Env, Run};

use crate::sdk::{ARCHES, Arch, catalog, sdk};

/// A program as people write it.
const PROGRAM: &str = r#"package main

import ("fmt"; "runtime")

func main() { fmt.Println("hello from", runtime.Version(), runtime.GOARCH) }
"#;

/// The smallest program that says something: under qemu every package costs.
const SMALL: &str = "package main\n\nfunc main() { println(\"hello\") }\n";

#[test]
fn podman_runs_the_image_from_the_layout_and_compiles_a_program_in_it() {
    let env = Env::new();
    let image = sdk().layout();
    // The image is Go and nothing else: what compiling needs comes from outside.
    env.write("src/main.go", PROGRAM);
    let version = env.podman(["run", "--rm", &image]).ok().out();
    assert_eq!(version, "go version go1.27.3 linux/amd64\n");

    let volume = format!("--volume={}:/src", env.path("src").display());
    let run = ["run", "--rm", "--network=none", "--tmpfs=/tmp", "--env=HOME=/tmp"];
    let inside = ["--env=CGO_ENABLED=0", "--workdir=/src", &volume, &image];
    let podman = |args: &[&str]| env.podman(run).args(inside).args(args).ok().out();
    podman(&["go", "build", "-o", "hello", "main.go"]);
    assert_eq!(podman(&["/src/hello"]), "hello from go1.27.3 amd64\n");
}

#[test]
fn podman_runs_the_image_from_docker_registry() {
    let env = Env::new();
    let registry = Registry::docker(&env);
    env.plain_http(&registry);
    let image = registry.docker_name("tools/go-sdk:1.27.3");
    env.treelay(["copy", &sdk().layout(), &image]).ok();
    let version = env.podman(["run", "--rm", "--quiet", &image]).ok().out();
    assert_eq!(version, "go version go1.27.3 linux/amd64\n");
    let inspect = ["image", "inspect", "--format={{json .RepoDigests}}"];
    let digests = env.podman(inspect).arg(image.strip_prefix("docker://").unwrap()).ok();
    digests.says(sdk().index()).says(sdk().image(&ARCHES[0])["digest"].as_str().unwrap());
}

#[test]
fn the_arm64_toolchain_compiles_a_program_under_qemu() {
    compiles_under_qemu(&ARCHES[1]);
}

#[test]
fn the_ppc64le_toolchain_compiles_a_program_under_qemu() {
    compiles_under_qemu(&ARCHES[2]);
}

fn compiles_under_qemu(arch: &Arch) {
    let env = Env::new();
    let root = sdk().unpacked(arch);
    // Through the link, as on a host.
    let go = root.join("usr/bin/go");
    let settings =
        |run: Run| run.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0").env("GOFLAGS", "");
    let version = settings(env.qemu(arch.uname, &go)).arg("version").ok().out();
    assert_eq!(version, format!("go version go1.27.3 linux/{}\n", arch.go));
    env.write("main.go", SMALL);
    // go starts its tools itself, and the kernel may not know how to run them.
    let tools = format!("-toolexec=qemu-{}-static", arch.uname);
    let build = settings(env.qemu(arch.uname, &go)).args(["build", &tools, "-o", "hello"]);
    build.arg("main.go").ok();
    let program = env.path("hello");
    assert_eq!(machine(&fs::read(&program).unwrap()), machine(&fs::read(&go).unwrap()));
    assert_eq!(env.qemu(arch.uname, &program).ok().err(), "hello\n");
    let gofmt = env.qemu(arch.uname, &root.join("usr/bin/gofmt"));
    assert_eq!(gofmt.arg("main.go").ok().out(), SMALL);
}

/// `e_machine` of an ELF file.
fn machine(elf: &[u8]) -> &[u8] {
    assert_eq!(&elf[..4], b"\x7fELF");
    &elf[18..20]
}

#[test]
fn two_versions_live_side_by_side_in_one_image() {
    let env = Env::new();
    let recipe = catalog(&env, "go-two.yaml");
    // The lock pins the toolchains of every arch that the recipe has: one is enough here.
    let one = recipe.replace("arch: [amd64, arm64, ppc64le]", "arch: [amd64]");
    assert_ne!(one, recipe);
    env.write("go-two.yaml", one);
    // The newer one is in the store already.
    let build = env.treelay_online(["build", "go-two.yaml", "-o", "oci:layout", "-o", "tree:tree"]);
    build.arg(sdk().store()).ok();
    let versions = [
        ("/usr/bin/go", "1.27.3"),
        ("/usr/lib/golang/bin/go", "1.27.3"),
        ("/usr/lib/golang-old/bin/go", "1.26.6"),
        ("/usr/lib/golang-1.26.6/bin/go", "1.26.6"),
    ];
    let image = format!("oci:{}", env.path("layout").display());
    for (path, version) in versions {
        let said = format!("go version go{version} linux/amd64\n");
        let run = env.run(env.path("tree").join(&path[1..])).env("GOTOOLCHAIN", "local");
        assert_eq!(run.arg("version").ok().out(), said);
        let podman = ["run", "--rm", "--quiet", &image, path, "version"];
        assert_eq!(env.podman(podman).ok().out(), said);
    }
}
