//! A small image made by others than treelay, for tests of the harness and of images as inputs.

use crate::env::Env;
use crate::tools::program;

/// An OCI layout in the environment with one image that is busybox alone, made by umoci; returns
/// its name as containers-transports(5) has it, `oci:DIR:TAG`.
pub fn busybox(env: &Env) -> String {
    let layout = env.path("busybox");
    let image = format!("{}:small", layout.display());
    env.umoci(["init", "--layout"]).arg(&layout).ok();
    env.umoci(["new", "--image", &image]).ok();
    env.umoci(["insert", "--image", &image]).arg(program("busybox")).arg("/bin/busybox").ok();
    env.umoci(["config", "--image", &image, "--config.entrypoint=/bin/busybox"]).ok();
    format!("oci:{image}")
}
