//! How the cost grows with layers, files and the size of one file.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Bench;
use super::input::{self, from_directories};
use super::row::{Row, grouped, mebibytes, time};
use super::usage::{Runs, alternate};

const OCI: &[&str] = &["-o", "oci:image"];

/// Growth counts as linear while the cost of each does not rise by more than this.
const LINEAR: f64 = 1.25;

/// Files in each layer of the series of layers, and their size.
const FILES_OF_A_LAYER: u64 = 500;
const SIZE_IN_A_LAYER: usize = 4096;

/// Size of the files in the series of files.
const SIZE_OF_MANY: usize = 256;

pub fn large_file(bench: &Bench) -> Result<Vec<Row>> {
    let size: u64 = if bench.quick { 1 << 28 } else { 4 << 30 };
    let tree = bench.fresh("scale")?;
    std::fs::create_dir(&tree).with_context(|| format!("creating {}", tree.display()))?;
    input::large_file(&tree.join("large"), size)?;
    let treelay = bench.treelay("scale", &from_directories(std::slice::from_ref(&tree)))?;
    let [cold] = alternate(1, [("cold", &mut |_| treelay.cold(OCI))])?;
    let [again] = alternate(bench.rounds(3), [("unchanged", &mut |_| treelay.run(OCI))])?;
    treelay.finish()?;
    bench.discard(&tree)?;
    let work = format!("a single file of {}", mebibytes(size));
    Ok(vec![
        Row::told(&format!("{work}, cold"), &cold),
        Row::told(&format!("{work}, unchanged"), &again),
        Row::memory(&work, cold.peak(), 1),
    ])
}

pub fn layers(bench: &Bench) -> Result<Vec<Row>> {
    let counts: &[u64] = if bench.quick { &[1, 10] } else { &[1, 10, 100] };
    let tree = bench.fresh("scale")?;
    let most = counts.last().copied().unwrap_or(0);
    let directories: Vec<PathBuf> = (0..most).map(|n| tree.join(format!("part{n}"))).collect();
    for (number, directory) in (0..).zip(&directories) {
        let first = number * FILES_OF_A_LAYER;
        input::many_files(directory, first, FILES_OF_A_LAYER, SIZE_IN_A_LAYER)?;
    }
    let mut series = Series::new("layer");
    for count in counts {
        let some = &directories[..usize::try_from(*count)?];
        series.point(bench, *count, some, bench.rounds(3))?;
    }
    bench.discard(&tree)?;
    series.rows(None)
}

pub fn files(bench: &Bench) -> Result<Vec<Row>> {
    let counts: &[u64] = if bench.quick { &[1_000, 10_000] } else { &[10_000, 100_000, 1_000_000] };
    let mut series = Series::new("file");
    for count in counts {
        let tree = bench.fresh("scale")?;
        eprintln!("    writing {} files", grouped(*count));
        input::many_files(&tree, 0, *count, SIZE_OF_MANY)?;
        let rounds = if *count > 100_000 { 1 } else { bench.rounds(3) };
        series.point(bench, *count, std::slice::from_ref(&tree), rounds)?;
        bench.discard(&tree)?;
    }
    series.rows(Some((60.0, 3.0)))
}

/// The same work in growing sizes.
struct Series {
    unit: &'static str,
    points: Vec<Point>,
}

struct Point {
    count: u64,
    entries: u64,
    cold: Runs,
    unchanged: Runs,
}

impl Series {
    fn new(unit: &'static str) -> Self {
        Self { unit, points: Vec::new() }
    }

    fn point(
        &mut self,
        bench: &Bench,
        count: u64,
        directories: &[PathBuf],
        rounds: usize,
    ) -> Result<()> {
        let entries =
            directories.iter().map(|tree| input::entries(tree, true)).sum::<Result<u64>>()?;
        let treelay = bench.treelay("scale", &from_directories(directories))?;
        let [cold] = alternate(rounds, [("cold", &mut |_| treelay.cold(OCI))])?;
        let [unchanged] = alternate(bench.rounds(3), [("unchanged", &mut |_| treelay.run(OCI))])?;
        treelay.finish()?;
        self.points.push(Point { count, entries, cold, unchanged });
        Ok(())
    }

    /// Times and memory of each point, and the growth from the last but one to the last; `most`
    /// are the seconds that the last may take, cold and unchanged, if it is a full series.
    fn rows(&self, most: Option<(f64, f64)>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for point in &self.points {
            let plural = if point.count == 1 { "" } else { "s" };
            let work = format!("{} {}{plural}", grouped(point.count), self.unit);
            let limit = most.filter(|_| point.count == MILLION);
            let row = |what: &str, runs: &Runs, seconds: Option<f64>| {
                let work = format!("{work}, {what}");
                match seconds {
                    Some(seconds) => Row::within(&work, runs, seconds),
                    None => Row::told(&work, runs),
                }
            };
            rows.push(row("cold", &point.cold, limit.map(|(cold, _)| cold)));
            rows.push(row("unchanged", &point.unchanged, limit.map(|(_, again)| again)));
            rows.push(Row::memory(&work, point.cold.peak(), point.entries));
        }
        let [.., before, last] = self.points.as_slice() else {
            anyhow::bail!("a series of one point")
        };
        for (what, of) in
            [("cold", (|p| &p.cold) as fn(&Point) -> &Runs), ("unchanged", |p| &p.unchanged)]
        {
            let each = |point: &Point| of(point).median().wall / point.count as f64;
            let (ours, other) = (each(last), each(before));
            rows.push(Row::at_most(
                &format!("{what}, each of {} {}s", grouped(last.count), self.unit),
                (&tiny(ours), ours),
                (&format!("each of {}: {}", grouped(before.count), tiny(other)), other),
                LINEAR,
            ));
        }
        Ok(rows)
    }
}

/// The count whose times have a goal.
const MILLION: u64 = 1_000_000;

fn tiny(seconds: f64) -> String {
    if seconds < 1e-3 { format!("{:.1} µs", seconds * 1e6) } else { time(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::usage::one_run as runs;

    #[test]
    fn growth_is_judged_by_the_cost_of_each() {
        let point = |count, cold| Point {
            count,
            entries: count,
            cold: runs(cold),
            unchanged: runs(0.001 * count as f64),
        };
        let met = |points| {
            let rows = Series { unit: "file", points }.rows(Some((60.0, 3.0))).unwrap();
            rows.iter().map(Row::is_met).collect::<Vec<_>>()
        };
        let linear = met(vec![point(10, 1.0), point(100, 12.0)]);
        assert_eq!(linear, [true; 8]);
        let steeper = met(vec![point(10, 1.0), point(100, 13.0)]);
        assert_eq!(steeper.iter().filter(|met| !**met).count(), 1);
        // 61 s cold and 1000 s unchanged.
        let slow = met(vec![point(100_000, 6.0), point(MILLION, 61.0)]);
        assert_eq!(slow[3..5], [false, false]);
    }
}
