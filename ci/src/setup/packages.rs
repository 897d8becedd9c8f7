//! Packages of the machine's own distribution.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use treelay_ci::Tier;
use treelay_ci::tools::{self, LIBRARIES, PROGRAMS, Program};

use super::apt;
use crate::run::{capture, is_root, privileged, retry, step};

/// Installs what `tier` needs, and `more`; true if anything was missing.
pub fn install(tier: Tier, more: &[Program]) -> Result<bool> {
    let debian = apt::available();
    let missing = missing(tier, more, debian)?;
    if missing.is_empty() {
        return Ok(false);
    }
    if !debian {
        bail!(
            "this machine has no apt, and set-up installs with nothing else.\n\
             Install what these Debian packages bring, then run it again:\n    {}",
            missing.join(" ")
        );
    }
    if !is_root() && tools::find("sudo").is_none() {
        bail!(
            "neither root nor sudo here. As root run:\n    apt-get install {}",
            missing.join(" ")
        );
    }
    step("package lists", apt::update)?;
    step(&format!("packages {}", missing.join(" ")), || {
        retry("apt-get install", || {
            // `env` because sudo clears the environment.
            let mut command = privileged("env");
            command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]);
            command.args(["-o", "Acquire::Retries=3", "install", "--no-install-recommends"]);
            capture(command.args(&missing)).map(drop)
        })
    })?;
    let left = self::missing(tier, more, debian)?;
    if !left.is_empty() {
        bail!("still missing after apt-get install: {}", left.join(" "));
    }
    Ok(true)
}

/// The packages whose programs or files are not there, each once.
fn missing(tier: Tier, more: &[Program], debian: bool) -> Result<Vec<&'static str>> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .chain(more)
        .filter(|program| program.tier <= tier && tools::find(program.name).is_none())
        .map(|program| program.package)
        .collect();
    let libraries: Vec<&str> =
        LIBRARIES.iter().filter(|(needs, _)| *needs <= tier).map(|(_, package)| *package).collect();
    if debian {
        let installed = installed(&libraries)?;
        packages.extend(libraries.iter().filter(|name| !installed.contains(&(**name).to_owned())));
    } else if !library("ostree-1") {
        packages.push("libostree-dev");
    } else if !library("openssl") {
        packages.push("libssl-dev");
    }
    if !has_pip() {
        packages.push("python3-pip");
    }
    packages.dedup();
    Ok(packages)
}

fn installed(packages: &[&str]) -> Result<Vec<String>> {
    // Exits with 1 when it does not know one of them: the answer is in what it prints.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"])
        .args(packages)
        .output()
        .context("starting dpkg-query")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text.lines().filter_map(|row| row.strip_suffix(" installed"));
    Ok(rows.map(str::to_owned).collect())
}

fn library(name: &str) -> bool {
    capture(Command::new("pkg-config").args(["--exists", name])).is_ok()
}

/// Whether the system's Python can run pip, which knows where the machine takes wheels from.
fn has_pip() -> bool {
    const ASK: &str =
        "import importlib.util, sys; sys.exit(importlib.util.find_spec('pip') is None)";
    let mut command = Command::new("python3");
    command.env("PATH", tools::PATH).args(["-c", ASK]).stdin(Stdio::null());
    capture(&mut command).is_ok()
}
