//! OCI layouts against umoci and buildah.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::input::{self, ARCHES, FROM_LOCKED, PREFIX, from_trees, go_trees};
use super::row::{Row, mebibytes};
use super::treelay::{Treelay, layers};
use super::usage::{Usage, alternate};
use super::{Bench, rivals};
use crate::run::capture;

/// The destination of every build here.
const OCI: &[&str] = &["-o", "oci:image"];

/// How much larger than umoci's a layer may be.
const SIZE: f64 = 1.03;

pub fn cold_gzip(bench: &Bench) -> Result<Vec<Row>> {
    cold(bench, "gzip", 3.0)
}

pub fn cold_zstd(bench: &Bench) -> Result<Vec<Row>> {
    cold(bench, "zstd", 5.0)
}

fn cold(bench: &Bench, compression: &str, goal: f64) -> Result<Vec<Row>> {
    let trees = go_trees(bench)?;
    let treelay = bench.treelay("cold", &from_trees(&trees, compression))?;
    let [ours, umoci] = alternate(
        bench.rounds(5),
        [("treelay", &mut |_| treelay.cold(OCI)), ("umoci", &mut |_| rivals::umoci(bench, &trees))],
    )?;
    treelay.finish()?;
    let work = format!("cold, {compression}, OCI layout, three arches");
    let entries = input::entries(&trees, false)?;
    Ok(vec![
        Row::faster(&work, &ours, "umoci (gzip)", &umoci, goal),
        Row::memory(&work, ours.peak(), entries),
    ])
}

pub fn sizes(bench: &Bench) -> Result<Vec<Row>> {
    let trees = go_trees(bench)?;
    let treelay = bench.treelay("sizes", &from_trees(&trees, "gzip"))?;
    let layers = layers(&treelay.cold(OCI)?.stdout)?;
    let files = bench.fresh("layer")?;
    let mut worst = (0, 1);
    let times = |(ours, theirs): (u64, u64)| ours as f64 / theirs as f64;
    for (digest, size) in &layers {
        bench.discard(&files)?;
        fs::create_dir(&files).with_context(|| format!("creating {}", files.display()))?;
        let blob = rivals::blob(&treelay.image(), digest);
        capture(Command::new("tar").arg("-xzf").arg(blob).arg("-C").arg(&files))?;
        let theirs = rivals::umoci_layer(bench, &files)?;
        eprintln!("    {digest}: {size} bytes, umoci {theirs}");
        if times((*size, theirs)) > times(worst) {
            worst = (*size, theirs);
        }
    }
    bench.discard(&files)?;
    let total: u64 = layers.iter().map(|(_, size)| size).sum();
    let theirs = ARCHES.iter().map(|arch| rivals::umoci_layer(bench, &trees.join(arch)));
    let theirs: u64 = theirs.sum::<Result<u64>>()?;
    treelay.finish()?;
    let row = |work, (ours, other): (u64, u64), goal| {
        Row::at_most(
            work,
            (&mebibytes(ours), ours as f64),
            (&format!("umoci {}", mebibytes(other)), other as f64),
            goal,
        )
    };
    Ok(vec![
        row("the gzip layer that is largest against umoci's of the same files", worst, SIZE),
        // "Well below" is held to three quarters.
        row("all gzip layers, three arches", (total, theirs), 0.75),
    ])
}

pub fn unchanged(bench: &Bench) -> Result<Vec<Row>> {
    let trees = go_trees(bench)?;
    let locked = bench.treelay("locked", FROM_LOCKED)?;
    locked.run(OCI)?;
    let directories = bench.treelay("unchanged", &from_trees(&trees, "gzip"))?;
    directories.run(OCI)?;
    let buildah = rivals::Buildah::new(bench, &trees)?;
    let [from_locked, from_directories, buildahs] = alternate(
        bench.rounds(5),
        [
            ("locked", &mut |_| locked.run(OCI)),
            ("directories", &mut |_| directories.run(OCI)),
            ("buildah", &mut |_| buildah.run()),
        ],
    )?;
    buildah.finish()?;
    locked.finish()?;
    directories.finish()?;
    let (a, b) = ("nothing changed, locked inputs", "nothing changed, directories");
    let buildah = "buildah (one arch)";
    Ok(vec![
        Row::within(a, &from_locked, 0.030),
        Row::within(b, &from_directories, 0.100),
        Row::faster(&format!("{b}, three arches"), &from_directories, buildah, &buildahs, 90.0),
    ])
}

pub fn changed_on_all(bench: &Bench) -> Result<Vec<Row>> {
    changed(bench, &ARCHES, "one source file changed on all arches, gzip", 15.0)
}

pub fn changed_on_one(bench: &Bench) -> Result<Vec<Row>> {
    changed(bench, &ARCHES[1..2], "one source file changed on one arch only, gzip", 8.0)
}

fn changed(bench: &Bench, arches: &[&str], work: &str, goal: f64) -> Result<Vec<Row>> {
    let original = go_trees(bench)?;
    let trees = input::copy(bench, &original, "changed")?;
    let treelay = bench.treelay("changed", &from_trees(&trees, "gzip"))?;
    treelay.run(OCI)?;
    let [ours, umoci] = alternate(
        bench.rounds(5),
        [
            ("treelay", &mut |round| change(&treelay, &original, &trees, arches, round)),
            ("umoci", &mut |_| rivals::umoci(bench, &trees)),
        ],
    )?;
    treelay.finish()?;
    bench.discard(&trees)?;
    Ok(vec![Row::faster(work, &ours, "umoci", &umoci, goal)])
}

/// Builds from the original once more, changes a file in a way that was not there before, and
/// times the build after that.
fn change(
    treelay: &Treelay<'_>,
    original: &Path,
    trees: &Path,
    arches: &[&str],
    round: usize,
) -> Result<Usage> {
    let file = |trees: &Path, arch: &str| trees.join(arch).join(PREFIX).join("src/fmt/print.go");
    let write = |arch: &str, text: &[u8]| {
        let path = file(trees, arch);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    let read = |arch: &str| {
        let path = file(original, arch);
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    for arch in arches {
        write(arch, &read(arch)?)?;
    }
    capture(&mut treelay.build(OCI))?;
    for arch in arches {
        let mut text = read(arch)?;
        text.extend(format!("\n// Changed for round {round}.\n").bytes());
        write(arch, &text)?;
    }
    treelay.run(OCI)
}
