//! ostree with the signature schemes that Debian leaves out: ed25519 and, since 2025.2, spki.
//!
//! Debian builds ostree without OpenSSL and libsodium. Here its own source package is built with
//! both, for the machine's own libraries: that of Debian 13, which knows spki; where the mirror
//! does not carry the sources of that release, the machine's own. If that is too old for spki, a
//! note beside it says so ([`tools::without_spki`]), and the slow tier repeats it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use treelay_ci::tools::{self, Kept};

use super::apt::{self, Private};
use crate::run::capture;

const WITH_SPKI: &str = "trixie";

/// The first release with spki.
const SPKI_SINCE: (u32, u32) = (2025, 2);

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
    format!("ostree of {WITH_SPKI} with a note on spki, built with {}\n", CONFIGURE.join(" "))
}

/// Builds it and installs it into `dest`.
pub fn build(dest: &Path) -> Result<()> {
    let work = tools::dir().join("ostree.build");
    super::remove(&work)?;
    fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
    let (source, why_own) = match fetch(WITH_SPKI, &work) {
        Ok(source) => (source, None),
        Err(error) => {
            let Some(why) = not_in_the_mirror(&error.to_string()) else { return Err(error) };
            (fetch(&apt::codename()?, &work)?, Some(why))
        }
    };
    compile(&source, &work, dest)?;
    let said = capture(Command::new(dest.join(Kept::Ostree.program())).arg("--version"))?;
    let version = said.split('\'').nth(1).unwrap_or_default();
    if release(version) < SPKI_SINCE {
        let why = why_own.unwrap_or_default();
        let note = format!(
            "ostree checks spki since {}.{}; set-up built {version}, because the mirror has no \
             source package of {WITH_SPKI}'s ostree: {why}\n",
            SPKI_SINCE.0, SPKI_SINCE.1
        );
        eprint!("\n    {note}    ");
        let file = dest.join(tools::WITHOUT_SPKI);
        fs::write(&file, note).with_context(|| format!("writing {}", file.display()))?;
    }
    super::remove(&work)
}

fn fetch(suite: &str, work: &Path) -> Result<PathBuf> {
    let apt = Private::sources(suite)?;
    apt.update()?;
    apt.source("ostree", work)
}

/// What apt says when the mirror answers and does not have the files; none for other failures,
/// which may pass.
fn not_in_the_mirror(error: &str) -> Option<String> {
    let lines = error.lines().map(str::trim);
    let mut lines = lines.filter(|line| line.starts_with("E: "));
    let gone = |line: &&str| line.contains("404") || line.contains("Unable to find a source");
    lines.find(gone).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Year and number of one of ostree's releases; 0 where there is no number.
fn release(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
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

#[cfg(test)]
mod tests {
    use super::{SPKI_SINCE, not_in_the_mirror, release};

    #[test]
    fn releases_compare_by_number() {
        assert!(release("2025.10") > SPKI_SINCE);
        assert!(release("2022.7") < SPKI_SINCE);
        assert_eq!(release(""), (0, 0));
    }

    #[test]
    fn only_a_mirror_that_answers_without_the_files_leaves_the_newer_source_out() {
        let gone = "apt-get source ostree\n    E: Failed to fetch http://m.example/o.dsc  404  Not \
                    Found [IP: 192.0.2.1 80]\n    E: Failed to fetch some archives.";
        let said = not_in_the_mirror(gone).unwrap();
        assert!(said.starts_with("E: Failed to fetch http://m.example/o.dsc 404 Not"), "{said}");
        assert!(not_in_the_mirror("E: Unable to find a source package for ostree").is_some());
        assert_eq!(not_in_the_mirror("E: Failed to fetch http://m.example/o.dsc  timed out"), None);
    }
}
