//! Commands inside the Debian 13 root.
//!
//! Containers cannot be started from a plain chroot: the kernel refuses to pivot out of a root
//! that is no mount. So each command gets a mount namespace in which the root is a mount, read
//! only, with memory in the places that programs write to, the host's devices, and the
//! environment's folder under its own path; then `pivot_root`.

use std::process::Command;

use treelay_ci::tools::Kept;

use crate::env::{Env, is_root};
use crate::run::{Run, words};
use crate::tools;

/// $1: the root; $2: the environment's folder; the rest: the command.
const ENTER: &str = r#"set -eu
root=$1 folder=$2 here=$PWD; shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
for memory in run tmp var/tmp var/lib/containers root; do
    [ -d "$root/$memory" ] && mount -t tmpfs tmpfs "$root/$memory"
done
for file in resolv.conf hosts; do
    [ -f "/etc/$file" ] && [ -f "$root/etc/$file" ] && mount --bind "/etc/$file" "$root/etc/$file"
done
mkdir -p "$root$folder"
mount --rbind "$folder" "$root$folder"
cd "$root"
pivot_root . .
umount -l .
cd "$here"
exec "$@"
"#;

/// A run that is to be given the program and its arguments.
pub fn run(env: &Env) -> Run {
    tools::kept(Kept::Trixie);
    let root = Kept::Trixie.root();
    let mut outer = Vec::new();
    if !is_root() {
        // The namespace needs root; the environment's variables must pass.
        outer.extend([tools::program("sudo").into_os_string(), "-nE".into(), "--".into()]);
    }
    let mut enter = Command::new(tools::program("unshare"));
    let script = env.dir().join("enter-trixie");
    std::fs::write(&script, ENTER).unwrap();
    enter.args(["--mount", "--propagation", "private", "/bin/sh"]).arg(script);
    enter.arg(root).arg(env.dir());
    outer.extend(words(&enter));
    let mut command = env.command(&outer[0]);
    command.args(&outer[1..]);
    Run::new(command)
}
