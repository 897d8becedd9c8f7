//! OSTree repositories against `ostree commit`, and commits and images in one run.

use anyhow::Result;

use super::input::{entries, from_trees, go_trees};
use super::row::{Row, time};
use super::usage::alternate;
use super::{Bench, rivals};
use crate::run::capture;

const OSTREE: &[&str] = &["-o", "ostree:repo"];
const BOTH: &[&str] = &["-o", "oci:image", "-o", "ostree:repo"];

pub fn archive(bench: &Bench) -> Result<Vec<Row>> {
    cold(bench, "archive", 5.0)
}

pub fn bare_user(bench: &Bench) -> Result<Vec<Row>> {
    cold(bench, "bare-user", 2.0)
}

fn cold(bench: &Bench, mode: &str, goal: f64) -> Result<Vec<Row>> {
    let trees = go_trees(bench)?;
    let treelay = bench.treelay("commits", &from_trees(&trees, "gzip"))?;
    let mut ours = |_| {
        treelay.forget()?;
        // An archive is what treelay makes where no repository is; the other kind is there before.
        if mode != "archive" {
            capture(&mut rivals::ostree_init(bench, &treelay.repo(), mode))?;
        }
        treelay.run(OSTREE)
    };
    let [ours, ostree] = alternate(
        bench.rounds(3),
        [("treelay", &mut ours), ("ostree", &mut |_| rivals::ostree(bench, &trees, mode))],
    )?;
    treelay.finish()?;
    bench.fresh("ostree")?;
    let work = format!("cold, OSTree {mode}, three arches");
    Ok(vec![
        Row::faster(&work, &ours, "ostree commit", &ostree, goal),
        Row::memory(&work, ours.peak(), entries(&trees, false)?),
    ])
}

pub fn unchanged(bench: &Bench) -> Result<Vec<Row>> {
    let trees = go_trees(bench)?;
    let treelay = bench.treelay("commits-unchanged", &from_trees(&trees, "gzip"))?;
    treelay.run(OSTREE)?;
    let [ours] = alternate(bench.rounds(5), [("treelay", &mut |_| treelay.run(OSTREE))])?;
    treelay.finish()?;
    Ok(vec![Row::within("nothing changed, OSTree archive, directories", &ours, 0.100)])
}

pub fn both(bench: &Bench) -> Result<Vec<Row>> {
    let trees = go_trees(bench)?;
    let treelay = bench.treelay("both", &from_trees(&trees, "gzip"))?;
    let [together, image, commits] = alternate(
        bench.rounds(3),
        [
            ("both", &mut |_| treelay.cold(BOTH)),
            ("image", &mut |_| treelay.cold(&BOTH[..2])),
            ("commits", &mut |_| treelay.cold(&BOTH[2..])),
        ],
    )?;
    treelay.finish()?;
    let (together, sum) = (together.median(), image.median().wall + commits.median().wall);
    let work = "cold, OCI (gzip) and OSTree archive in one run";
    Ok(vec![
        Row::at_most(
            work,
            (&time(together.wall), together.wall),
            (&format!("each alone, sum {}", time(sum)), sum),
            0.9,
        )
        .of(together.clone()),
        Row::memory(work, together.peak, entries(&trees, false)?),
    ])
}
