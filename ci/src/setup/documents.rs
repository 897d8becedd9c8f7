//! The official schemas and validators of SPDX and CycloneDX, from PyPI.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use treelay_ci::tools;

use crate::run::{capture, retry};

/// CycloneDX's own library, which carries its schemas, and SPDX's own tools.
const PACKAGES: &[&str] = &["cyclonedx-python-lib[json-validation]==11.12.0", "spdx-tools==0.8.5"];

/// How they are had: a change makes set-up do it again.
pub fn recipe() -> String {
    format!("a virtual environment of Python's with {}\n", PACKAGES.join(", "))
}

/// Makes a virtual environment in `dest`, which may be moved: its Python finds its packages beside
/// itself.
pub fn make(dest: &Path) -> Result<()> {
    let python = tools::find("python3").context("python3 is missing")?;
    capture(Command::new(python).args(["-m", "venv"]).arg(dest))?;
    retry("pip install", || {
        let mut pip = Command::new(dest.join("bin/python"));
        pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]);
        capture(pip.args(PACKAGES)).map(drop)
    })
}
