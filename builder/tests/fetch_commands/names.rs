//! Names that are not found for long.

use std::time::Duration;

use tokio::process::Command;

use super::{World, said};

/// A server of names that never answers, in a network of its own, for as long as a command runs.
const SILENT: &str = "import socket, subprocess, sys
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(('127.0.0.1', 53))
sys.exit(subprocess.call(sys.argv[1:]))";

/// After three seconds it is enough, also for the end of the program: the system itself would go on for
/// minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_names_that_is_silent_holds_nothing_up() {
    let world = World::new();
    world.recipe(&["https://gone.test/x".to_owned()], b"");
    world.settings("[limits]\ntries = 1\n");
    let resolv = world.write("resolv.conf", "nameserver 127.0.0.1\n");
    let mut command = Command::new("bwrap");
    command.args(["--dev-bind", "/", "/", "--ro-bind"]).arg(&resolv).arg("/etc/resolv.conf");
    command.args([
        "--unshare-net",
        "--unshare-user",
        "--uid",
        "0",
        "--gid",
        "0",
        "--cap-add",
        "ALL",
    ]);
    command.args(["--die-with-parent", "python3", "-c", SILENT]);
    command.args([env!("CARGO_BIN_EXE_treelay"), "lock", "tool.yaml"]);
    let mut command = world.seal(command);
    command.env("RES_OPTIONS", "timeout:30 attempts:5");
    let output = tokio::time::timeout(Duration::from_secs(100), said(command)).await.unwrap();
    let told = output.fails().err();
    assert!(told.contains("the name gone.test could not be resolved within 3 s"), "{told}");
}
