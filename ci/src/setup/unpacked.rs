//! Consumers that are unpacked from a Debian package and never installed.

use std::path::Path;

use anyhow::Result;

use super::apt::{self, Private};

/// How a package is had: a change makes set-up do it again.
pub fn recipe(package: &str, suite: Option<&str>) -> String {
    format!("the package {package} of {}, unpacked\n", suite.unwrap_or("the machine's release"))
}

/// cosign 2: the last release line that signs in the older form by default.
pub fn cosign_2(dest: &Path) -> Result<()> {
    of_suite("trixie", "cosign", dest)
}

/// cosign 3, which signs with bundles.
pub fn cosign_3(dest: &Path) -> Result<()> {
    of_suite("sid", "cosign", dest)
}

/// docker-registry, kept from starting its service.
pub fn registry(dest: &Path) -> Result<()> {
    apt::unpack_own("docker-registry", dest)
}

fn of_suite(suite: &str, package: &str, dest: &Path) -> Result<()> {
    let apt = Private::binaries(suite)?;
    apt.update()?;
    apt.unpack(package, dest)
}
