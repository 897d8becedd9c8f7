//! The catalog's toolbox, created and used by `toolbox` itself.

use std::fs;
use std::process::Child;

use treelay_ci::tools::{Kept, workspace};
use treelay_tests::tools::{kept, program};
use treelay_tests::{Env, Run};

/// A toolbox image as distributions make it, made by umoci of a root that mmdebstrap made.
fn toolbox_base(env: &Env) {
    let image = format!("{}:base", env.path("toolbox").display());
    env.umoci(["init", "--layout"]).arg(env.path("toolbox")).ok();
    env.umoci(["new", "--image", &image]).ok();
    env.umoci(["raw", "add-layer", "--image", &image]).arg(kept(Kept::Toolbox)).ok();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let config = ["--config.cmd=/bin/bash", "--config.env", path];
    env.umoci(["config", "--image", &image]).args(config).ok();
}

/// The system's message bus, whose socket `toolbox` hands into its containers.
struct Bus(Child);

impl Bus {
    fn start(env: &Env) -> Self {
        let address = address(env);
        let daemon = ["--session", "--nofork", "--nopidfile", "--address", &address];
        let bus = Self(env.run(program("dbus-daemon")).args(daemon).spawn());
        let socket = env.dir().join("run/bus");
        for _ in 0..100 {
            if socket.exists() {
                return bus;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{} is not there", socket.display());
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(env: &Env) -> String {
    format!("unix:path={}", env.dir().join("run/bus").display())
}

fn toolbox(env: &Env) -> Run {
    env.run(program("toolbox"))
        .env("DBUS_SYSTEM_BUS_ADDRESS", address(env))
        .env("SHELL", "/bin/bash")
        .env("USER", "root")
}

/// Removes the container, which is still running.
struct Removed<'e>(&'e Env, String);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        self.0.podman(["rm", "--force", "--time=0", &self.1]).output();
    }
}

#[test]
fn toolbox_creates_a_container_and_runs_go_in_it() {
    let env = Env::new();
    toolbox_base(&env);
    let recipe = fs::read_to_string(workspace().join("recipes/catalog/go-toolbox.yaml")).unwrap();
    env.write("go-toolbox.yaml", recipe);
    env.treelay_online(["build", "go-toolbox.yaml", "-o", "oci:box"]).ok();
    let image = "localhost/go-toolbox:1.27.3";
    let stored = format!("containers-storage:{image}");
    env.skopeo(["copy", "--quiet", "oci:box:1.27.3", &stored]).ok();

    let _bus = Bus::start(&env);
    // toolbox has one folder under /run for all of root's containers, by their names.
    let name = format!("go-{}", std::process::id());
    toolbox(&env).args(["create", "--image", image, &name]).ok().says("Created container");
    let _removed = Removed(&env, name.clone());
    let run = |args: &[&str]| toolbox(&env).args(["run", "-c", &name]).args(args).ok().out();
    assert_eq!(run(&["go", "version"]), "go version go1.27.3 linux/amd64\n");
    assert_eq!(run(&["go", "env", "GOROOT", "GOTOOLCHAIN"]), "/usr/lib/golang\nlocal\n");
    // toolbox knows it as its own by the label.
    toolbox(&env).args(["list", "--images"]).ok().says(image);
    toolbox(&env).args(["list", "--containers"]).ok().says(&name);
}
