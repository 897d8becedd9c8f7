//! Debian's SELinux policy, to compare labels with.
//!
//! Its package builds the policy while it is installed, for the machine: that would change what the
//! machine labels files with, and start services. So the packages are unpacked into a folder, and
//! the policy is built there, as theirs would.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use crate::run::capture;

/// The policy, and what builds it.
const PACKAGES: &[&str] = &["selinux-policy-default", "policycoreutils", "selinux-utils"];

/// The policy's name, and the folder of its modules.
const POLICY: &str = "default";

/// How it is had: a change makes set-up do it again.
pub fn recipe() -> String {
    format!("{} of the machine's release, built in a folder, 1\n", PACKAGES.join(", "))
}

/// Makes a folder with `etc/selinux`, as a machine that uses the policy has it.
pub fn make(dest: &Path) -> Result<()> {
    let root = dest.join("build");
    for package in PACKAGES {
        apt::unpack_own(package, &root)?;
    }
    let folder = |path: &str| -> Result<()> {
        let path = root.join(path);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))
    };
    folder("etc/selinux")?;
    folder("var/lib/selinux")?;
    let write = |path: &str, text: &str| -> Result<()> {
        let path = root.join(path);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write("etc/selinux/semanage.conf", &settings(&root))?;
    // As the package policycoreutils puts it there.
    write("etc/selinux/config", "SELINUX=permissive\nSELINUXTYPE=default\n")?;
    let modules = root.join("usr/share/selinux").join(POLICY);
    let list = modules.join(".modules");
    let names = fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    // Without reload, and with the new root's paths alone.
    let mut semodule = Command::new(root.join("usr/sbin/semodule"));
    semodule.args(["-X", "100", "-n", "-N", "-s", POLICY, "-p"]).arg(&root);
    for name in names.split_whitespace() {
        semodule.arg("-i").arg(modules.join(format!("{name}.pp.bz2")));
    }
    capture(&mut semodule)?;
    let etc = dest.join("etc");
    fs::create_dir(&etc).with_context(|| format!("creating {}", etc.display()))?;
    let made = "etc/selinux";
    fs::rename(root.join(made), dest.join(made)).with_context(|| format!("moving {made}"))?;
    super::remove(&root)
}

/// libsemanage's settings: every program from the folder, and no users of the machine in the result.
fn settings(root: &Path) -> String {
    let root = root.display();
    format!(
        "module-store = direct\nexpand-check = 0\nusepasswd = false\n\
         compiler-directory = {root}/usr/libexec/selinux/hll\n\
         [setfiles]\npath = /bin/true\nargs =\n[end]\n\
         [sefcontext_compile]\npath = {root}/usr/sbin/sefcontext_compile\nargs = -r $@\n[end]\n"
    )
}
