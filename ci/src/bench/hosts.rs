//! What hosts boot: commits over a base, and images of commits against ostree-ext's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use treelay_ci::tools::Kept;

use super::input::{entries, from_trees, go_trees, many_files};
use super::row::{Row, mebibytes, time};
use super::treelay::Treelay;
use super::usage::{Usage, alternate};
use super::{Bench, rivals};
use crate::run::{capture, step};
use crate::setup;

/// The base's ref, and that of what lies over it.
const BASE: &str = "base/x86_64";
const MERGED: &str = "merged/x86_64";

/// Files of the base, in thousands: where they are, and how many. No two are alike.
const FILES: [(&str, u64); 3] = [("usr/lib64", 30), ("usr/lib/base", 10), ("usr/share/base", 20)];

/// How large each is: 2 GB in all.
const SIZE: usize = 34_000;

const OSTREE: &[&str] = &["-o", "ostree:repo"];

/// An archive repository with the base alone, made once.
fn base(bench: &Bench) -> Result<PathBuf> {
    let thousand = if bench.quick { 100 } else { 1000 };
    let repo = bench.folder.join(if bench.quick { "base-quick" } else { "base" });
    if !repo.exists() {
        step("committing a base", || {
            let (tree, partial) = (bench.fresh("base.tree")?, bench.fresh("base.partial")?);
            let mut first = 0;
            for (folder, thousands) in FILES {
                let files = thousands * thousand;
                many_files(&tree.join(folder), first, files, SIZE)?;
                first += files;
            }
            // Its own SELinux policy, by which what lies over it is labelled.
            let policy = setup::one(Kept::Selinux).map(|_| Kept::Selinux.root())?;
            let etc = tree.join("usr/etc");
            fs::create_dir_all(&etc).with_context(|| format!("creating {}", etc.display()))?;
            capture(Command::new("cp").arg("-r").arg(policy.join("etc/selinux")).arg(&etc))?;
            capture(&mut rivals::ostree_init(bench, &partial, "archive"))?;
            let mut commit = rivals::ostree_command(bench, "commit", &partial);
            commit.args(["--fsync=false", "--owner-uid=0", "--owner-gid=0", "--no-xattrs"]);
            commit.args(["--add-metadata-string=ostree.architecture=x86_64"]);
            commit.arg(format!("--branch={BASE}"));
            capture(commit.arg(format!("--tree=dir={}", tree.display())))?;
            bench.discard(&tree)?;
            fs::rename(&partial, &repo).with_context(|| format!("moving {}", partial.display()))
        })?;
    }
    // Warm, for all sides.
    entries(&repo, true)?;
    Ok(repo)
}

/// The Go distribution for one arch, laid over the base where `over` says so.
fn recipe(bench: &Bench, over: bool) -> Result<String> {
    let trees = go_trees(bench)?;
    let recipe = from_trees(&trees, "gzip").replace("[amd64, arm64, ppc64le]", "[amd64]");
    let base = if over { format!("  base: {{repo: repo, ref: {BASE}}}\n") } else { String::new() };
    Ok(format!("{recipe}ostree:\n  ref: {MERGED}\n{base}"))
}

/// Puts a repository with the base where the build writes.
fn with_base(treelay: &Treelay<'_>, base: &Path) -> Result<()> {
    treelay.forget()?;
    // Links: objects are never written to.
    capture(Command::new("cp").arg("-al").arg(base).arg(treelay.repo())).map(drop)
}

pub fn over_base(bench: &Bench) -> Result<Vec<Row>> {
    let base = base(bench)?;
    let over = bench.treelay("over-base", &recipe(bench, true)?)?;
    let alone = bench.treelay("alone", &recipe(bench, false)?)?;
    let [merged, alone_runs] = alternate(
        bench.rounds(5),
        [
            ("over the base", &mut |_| {
                with_base(&over, &base)?;
                over.run(OSTREE)
            }),
            ("alone", &mut |_| {
                alone.forget()?;
                capture(&mut rivals::ostree_init(bench, &alone.repo(), "archive"))?;
                alone.run(OSTREE)
            }),
        ],
    )?;
    over.finish()?;
    alone.finish()?;
    let (ours, other) = (merged.median(), alone_runs.median());
    let work = "cold, Go for one arch over a base of 2 GB, OSTree archive";
    let files = FILES.iter().map(|(_, thousands)| thousands * 1000).sum::<u64>();
    Ok(vec![
        Row::at_most(
            work,
            (&time(ours.wall), ours.wall),
            (&format!("the layer alone {}", time(other.wall)), other.wall),
            1.3,
        )
        .of(ours.clone()),
        Row::memory(work, merged.peak(), files),
    ])
}

pub fn encapsulate(bench: &Bench) -> Result<Vec<Row>> {
    let ostree_ext = setup::one(Kept::OstreeExt)?;
    let base = base(bench)?;
    let treelay = bench.treelay("encapsulate", &recipe(bench, true)?)?;
    with_base(&treelay, &base)?;
    treelay.run(OSTREE)?;
    // Warm, for both sides.
    entries(&treelay.repo(), true)?;
    let from = format!("ostree:repo:{MERGED}");
    let copy = |args: &[&str]| -> Result<(Usage, String)> {
        bench.discard(&treelay.image())?;
        let mut command = treelay.command("copy");
        command.args([&from, "oci:image:1"]).args(args);
        let usage = bench.timed(&[command])?;
        let said: Value = serde_json::from_str(&usage.stdout).context("reading what copy said")?;
        let digest = said["digest"].as_str().context("finding the image's digest")?;
        Ok((usage, digest.to_owned()))
    };
    let (_, digest) = copy(&["--jobs=1"])?;
    let size = |layout: &Path| -> Result<u64> {
        let blobs = layout.join("blobs/sha256");
        let sizes = fs::read_dir(&blobs).with_context(|| format!("reading {}", blobs.display()))?;
        sizes.map(|blob| Ok(blob?.metadata()?.len())).sum()
    };
    let (our_size, mut their_size) = (size(&treelay.image())?, 0);
    let [ours, theirs] = alternate(
        bench.rounds(3),
        [
            ("treelay", &mut |_| {
                let (usage, again) = copy(&[])?;
                ensure!(again == digest, "the same commit became {digest}, and then {again}");
                Ok(usage)
            }),
            ("ostree-ext", &mut |_| {
                let layout = bench.fresh("encapsulated")?;
                let mut command = Command::new(&ostree_ext);
                command.args(["container", "encapsulate"]);
                command.arg(format!("--repo={}", treelay.repo().display())).arg(MERGED);
                command.arg(format!("oci:{}", layout.display()));
                let usage = bench.timed(&[command])?;
                their_size = size(&layout)?;
                Ok(usage)
            }),
        ],
    )?;
    treelay.finish()?;
    bench.fresh("encapsulated")?;
    let work = "a commit of 2.2 GB as a container image, gzip";
    let files = FILES.iter().map(|(_, thousands)| thousands * 1000).sum::<u64>() + 12_000;
    Ok(vec![
        Row::faster(work, &ours, "ostree-ext", &theirs, 1.0),
        Row::memory(work, ours.peak(), files),
        Row::at_most(
            "the size of that image",
            (&mebibytes(our_size), our_size as f64),
            (&format!("ostree-ext {}", mebibytes(their_size)), their_size as f64),
            1.05,
        ),
    ])
}
