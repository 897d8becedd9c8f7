//! ferro-oci-server: a registry with the referrers endpoint, from crates.io.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::run::{capture, retry};

const VERSION: &str = "1.0.0";

/// How it is had: a change makes set-up do it again.
pub fn recipe() -> String {
    format!("ferro-oci-server {VERSION} by cargo install --locked\n")
}

/// Builds and installs it into `dest`.
pub fn install(dest: &Path) -> Result<()> {
    retry("cargo install ferro-oci-server", || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // Its own temporary target folder, which cargo removes.
        command.env_remove("CARGO_TARGET_DIR");
        command.args(["install", "--quiet", "--locked", "--no-track", "--version", VERSION]);
        capture(command.arg("--root").arg(dest).arg("ferro-oci-server")).map(drop)
    })
}
