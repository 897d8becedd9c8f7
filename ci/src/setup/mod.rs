//! Installs what a tier needs and what is not there yet.
//!
//! In order: packages of the machine's own distribution, then the consumers that are kept in
//! folders of their own ([`Kept`]). Each is asked for first, so that a second run only looks.

mod apt;
mod documents;
mod ferro;
mod machine;
mod ostree;
mod ostree_ext;
mod packages;
mod selinux;
mod toolbox;
mod trixie;
mod unpacked;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use treelay_ci::Tier;
use treelay_ci::tools::{self, Kept, Program};

use crate::run::{capture, privileged, step};

/// Makes the machine ready for `tier` and all before it.
pub fn run(tier: Tier) -> Result<()> {
    let start = Instant::now();
    let _lock = lock()?;
    let mut did = packages::install(tier, &[])?;
    for (kept, recipe, make) in kept() {
        if kept.tier() <= tier {
            did |= keep(kept, &recipe, make)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let done = if did { "done" } else { "everything is there" };
    eprintln!("setup for tier {tier}: {done} ({seconds:.1} s)");
    Ok(())
}

/// Installs only what comes from the machine's own distribution, for `tier` and all before it.
pub fn packages(tier: Tier) -> Result<()> {
    packages_and(tier, &[])
}

/// The same, and programs that no tier needs.
pub fn packages_and(tier: Tier, more: &[Program]) -> Result<()> {
    let _lock = lock()?;
    packages::install(tier, more).map(drop)
}

/// Makes one of the consumers that are kept in folders of their own; where its program is.
pub fn one(wanted: Kept) -> Result<PathBuf> {
    let _lock = lock()?;
    packages::install(wanted.tier(), &[])?;
    for (kept, recipe, make) in kept().into_iter().filter(|(kept, ..)| *kept == wanted) {
        keep(kept, &recipe, make)?;
    }
    Ok(wanted.root().join(wanted.program()))
}

/// Makes a consumer in the given folder.
type Make = fn(&Path) -> Result<()>;

/// The consumers that set-up keeps, each with the text that says how it is made: when that text
/// changes, it is made again.
fn kept() -> [(Kept, String, Make); 11] {
    [
        (Kept::Cosign2, unpacked::recipe("cosign", Some("trixie")), unpacked::cosign_2),
        (Kept::Cosign3, unpacked::recipe("cosign", Some("sid")), unpacked::cosign_3),
        (Kept::DockerRegistry, unpacked::recipe("docker-registry", None), unpacked::registry),
        (Kept::Ferro, ferro::recipe(), ferro::install),
        (Kept::Documents, documents::recipe(), documents::make),
        (Kept::Selinux, selinux::recipe(), selinux::make),
        (Kept::Trixie, trixie::recipe(), trixie::make),
        (Kept::OstreeExt, ostree_ext::recipe(), ostree_ext::install),
        (Kept::Toolbox, toolbox::recipe(), toolbox::make),
        (Kept::Ostree, ostree::recipe(), ostree::build),
        (Kept::Machine, machine::recipe(), machine::make),
    ]
}

/// Only one set-up at a time: a second waits and then finds everything there.
fn lock() -> Result<File> {
    let folder = tools::dir();
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}

/// Makes `kept` unless its stamp says that it is there; true if it had to be made.
fn keep(kept: Kept, recipe: &str, make: Make) -> Result<bool> {
    let (root, stamp) = (kept.root(), kept.stamp());
    let made = fs::read_to_string(&stamp).is_ok_and(|text| text == recipe);
    if made && root.join(kept.program()).exists() {
        return Ok(false);
    }
    let partial = tools::dir().join(format!("{}.partial", kept.folder()));
    step(kept.folder(), || {
        remove(&partial)?;
        make(&partial)?;
        if !partial.join(kept.program()).exists() {
            anyhow::bail!("{} has no {}", kept.folder(), kept.program());
        }
        if stamp.exists() {
            fs::remove_file(&stamp).with_context(|| format!("removing {}", stamp.display()))?;
        }
        remove(&root)?;
        capture(privileged("mv").arg("-T").arg(&partial).arg(&root))?;
        fs::write(&stamp, recipe).with_context(|| format!("writing {}", stamp.display()))
    })?;
    Ok(true)
}

/// Removes a folder that may hold files of root's.
fn remove(folder: &Path) -> Result<()> {
    if folder.symlink_metadata().is_ok() {
        capture(privileged("rm").args(["-rf", "--one-file-system"]).arg(folder))?;
    }
    Ok(())
}
