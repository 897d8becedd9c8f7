//! The catalog's programs, as their recipes say.

use std::fs;
use std::path::Path;

use treelay_ci::tools::workspace;
use treelay_tests::Env;
use treelay_tests::tools::program;

use crate::sdk::{ARCHES, catalog, of_arch, sdk};

/// An environment with a recipe of the catalog and the source beside it.
fn with_source(name: &str) -> Env {
    let env = Env::new();
    catalog(&env, name);
    let source = workspace().join("recipes/catalog/go-static-server");
    env.run("cp").arg("-a").arg(source).arg(".").ok();
    env
}

/// Asks a server in the network of a container, from outside it.
const ASK: &str = "import sys, time, urllib.request\n\
    for _ in range(100):\n    \
        try:\n        \
            print(urllib.request.urlopen('http://127.0.0.1' + sys.argv[1], timeout=2).read().decode())\n        \
            break\n    \
        except OSError as error:\n        \
            time.sleep(0.1)\n\
    else:\n    raise error\n";

struct Removed<'e>(&'e Env);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        self.0.podman(["umount", "web"]).output();
        self.0.podman(["rm", "--force", "--time=0", "web"]).output();
    }
}

#[test]
fn the_static_server_answers_on_port_80_as_nobody() {
    let env = with_source("go-static-server.yaml");
    let build =
        ["build", "go-static-server.yaml", "--json", "-o", "oci:layout", "-o", "ostree:repo"];
    let report = env.treelay_online(build).arg(sdk().store()).ok().json();

    for arch in &ARCHES {
        let layers = of_arch(&report["images"], arch)["layers"].as_array().unwrap();
        let size: u64 = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
        assert!(size < 10_000_000, "{}: {size} bytes", arch.go);
        let checkout = env.path(format!("checkout-{}", arch.go));
        let commit = of_arch(&report["commits"], arch)["checksum"].as_str().unwrap();
        env.ostree(["checkout", "--repo=repo", commit]).arg(&checkout).ok();
        let server = checkout.join("usr/bin/go-static-server");
        env.qemu(arch.uname, &server).arg("-h").ok().says("folder to serve");
        capable(&env, &server);
    }

    let image = format!("oci:{}:1.0.0", env.path("layout").display());
    let strict = ["--read-only", "--cap-drop=all", "--cap-add=net_bind_service"];
    let run = ["run", "--detach", "--name=web", "--network=none", "--timeout=120"];
    env.podman(run).args(strict).arg(&image).ok();
    let _removed = Removed(&env);
    let inspect = |what: &str| {
        let format = format!("--format={{{{{what}}}}}");
        env.podman(["inspect", &format, "web"]).ok().out().trim().to_owned()
    };
    let net = format!("--net=/proc/{}/ns/net", inspect(".State.Pid"));
    let ask = |path: &str| {
        let python = [net.as_str(), "python3", "-c", ASK, path];
        env.run(program("nsenter")).args(python).ok().out()
    };
    assert_eq!(ask("/healthz"), "ok\n\n");
    assert!(ask("/").contains("It works."));
    env.podman(["exec", "web", "/usr/bin/go-static-server", "-health"]).ok();
    assert_eq!(inspect(".Config.User"), "65532");
    env.podman(["top", "web", "user", "capeff", "capbnd"]).ok().says("NET_BIND_SERVICE");

    let root = env.podman(["mount", "web"]).ok().out();
    let server = Path::new(root.trim()).join("usr/bin/go-static-server");
    capable(&env, &server);
    let commit = env.path("checkout-amd64/usr/bin/go-static-server");
    assert_eq!(fs::read(server).unwrap(), fs::read(commit).unwrap());

    // SIGTERM is enough: it finishes and leaves.
    env.podman(["stop", "--time=20", "web"]).ok();
    assert_eq!(inspect(".State.ExitCode"), "0");
}

fn capable(env: &Env, file: &Path) {
    let said = env.run(program("getcap")).arg(file).ok().out();
    assert!(said.trim().ends_with(" cap_net_bind_service=ep"), "{said}");
}

#[test]
fn the_go_tools_run_on_every_arch() {
    let env = with_source("go-tools.yaml");
    let build = ["build", "go-tools.yaml", "--json", "-o", "ostree:repo"];
    let report = env.treelay_online(build).arg(sdk().store()).ok().json();
    env.write("a.go", "package a\nvar  X=1\n");
    for arch in &ARCHES {
        let checkout = env.path(format!("checkout-{}", arch.go));
        let commit = of_arch(&report["commits"], arch)["checksum"].as_str().unwrap();
        env.ostree(["checkout", "--repo=repo", "-U", commit]).arg(&checkout).ok();
        let tool = |name: &str| env.qemu(arch.uname, &checkout.join("usr/bin").join(name));
        assert_eq!(tool("gofmt").arg("a.go").ok().out(), "package a\n\nvar X = 1\n");
        tool("vet").arg("-V=full").ok().says("vet version go1.27.3");
        // It runs, and says what is so: programs are stripped.
        tool("nm").arg(checkout.join("usr/bin/gofmt")).refuses().says("no symbols");
    }
}
