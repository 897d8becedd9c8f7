//! ostree with the signature schemes that Debian leaves out: ed25519 and, since 2025.2, spki.
//!
//! Debian builds ostree without OpenSSL and libsodium. Here its own source package is built with
//! both, for the machine's own libraries: that of Debian 13, which knows spki; where the mirror
//! carries no sources of that release, the machine's own, which knows ed25519 alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use treelay_ci::tools::{self, Kept};

use super::apt::{self, Private};
use crate::run::capture;

const WITH_SPKI: &str = "trixie";

const CONFIGURE: &[&str] = &[
    "--with-crypto=openssl",
    "--with-ed25519-libsodium",
    "--with-curl",
    "--without-soup",
    "--without-avahi",
    "--without-gpgme",
    "--without-libarchive",
    "--without-libsystemd",
    "--without-selinux",
    "--disable-rofiles-fuse",
    "--disable-introspection",
    "--disable-gtk-doc",
    "--disable-man",
    // One self-contained program: no search path for its library is needed.
    "--enable-static",
    "--disable-shared",
];

/// How it is had: a change makes set-up do it again.
pub fn recipe() -> String {
    format!("ostree of {WITH_SPKI}, built with {}\n", CONFIGURE.join(" "))
}

/// Builds it and installs it into `dest`.
pub fn build(dest: &Path) -> Result<()> {
    let work = tools::dir().join("ostree.build");
    super::remove(&work)?;
    fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
    let source = Private::sources(WITH_SPKI)
        .and_then(|apt| apt.update().map(|()| apt))
        .and_then(|apt| apt.source("ostree", &work))
        .or_else(|error| own_source(&work, &error))?;
    compile(&source, &work, dest)?;
    super::remove(&work)
}

fn own_source(work: &Path, error: &anyhow::Error) -> Result<std::path::PathBuf> {
    let release = apt::codename()?;
    let error = error.to_string();
    let said = error.lines().find(|line| line.trim_start().starts_with("E: "));
    eprintln!(
        "\n    the mirror has no source of ostree in {WITH_SPKI} ({})\n    \
         building the one of {release}; if that is older than 2025.2, spki cannot be checked",
        said.unwrap_or("no reason given").trim()
    );
    let apt = Private::sources(&release)?;
    apt.update()?;
    apt.source("ostree", work)
}

fn compile(source: &Path, work: &Path, dest: &Path) -> Result<()> {
    let in_source = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(source);
        command
    };
    let prefix = Kept::Ostree.root();
    capture(in_source("./configure").args(CONFIGURE).arg("--prefix").arg(&prefix))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    capture(in_source("make").arg(format!("-j{jobs}")))?;
    let stage = work.join("stage");
    capture(in_source("make").arg("install").arg(format!("DESTDIR={}", stage.display())))?;
    let made = stage.join(prefix.strip_prefix("/").unwrap_or(&prefix));
    fs::rename(&made, dest).with_context(|| format!("moving {}", made.display()))
}
