//! The code with which rpm-ostree and bootc read images, as a program: the package
//! `tests/ostree-ext`, which is no member of the workspace.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use treelay_ci::tools::{self, workspace};

use crate::run::{capture, retry};

/// All that the program is made of.
const SOURCES: [&str; 3] = [
    include_str!("../../../tests/ostree-ext/Cargo.toml"),
    include_str!("../../../tests/ostree-ext/src/main.rs"),
    include_str!("../../../tests/ostree-ext/Cargo.lock"),
];

/// How it is had: a change makes set-up do it again.
pub fn recipe() -> String {
    SOURCES.concat()
}

/// Builds and installs it into `dest`.
pub fn install(dest: &Path) -> Result<()> {
    // Not in the checkout, which cargo would choose; half a gigabyte that nobody needs afterwards.
    let work = tools::dir().join("ostree-ext.build");
    retry("cargo install ostree-ext", || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["install", "--quiet", "--locked", "--no-track", "--path"]);
        command.arg(workspace().join("tests/ostree-ext")).arg("--target-dir").arg(&work);
        capture(command.arg("--root").arg(dest)).map(drop)
    })?;
    super::remove(&work)
}
