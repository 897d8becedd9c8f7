//! Go programs against the `go build` commands that make the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use treelay_ci::tools;

use super::Bench;
use super::input::{ARCHES, FROM_LOCKED, PREFIX, go_trees};
use super::row::{Row, time};
use super::usage::{Runs, Usage, alternate};
use crate::run::capture;

/// The destination of every build here.
const OCI: &[&str] = &["-o", "oci:image"];

/// The layer that is built in the cold cases.
const GOFMT: &str = "go-build: {packages: [cmd/gofmt], dest: /usr/bin}";

/// The layer that is built of a local source.
const SERVER: &str = "go-build: {source: {dir: server}, packages: [.], dest: /usr/bin}";

pub fn cold(bench: &Bench) -> Result<Vec<Row>> {
    let trees = go_trees(bench)?;
    let dir = trees.join("{{ arch }}").join(PREFIX);
    let places = format!("sources: [dir], dir: \"{}\"", dir.display());
    let treelay = bench.treelay("programs", &recipe(GOFMT).replace("sources: [pypi]", &places))?;
    let go = Go::new(bench, &trees)?;
    let source = trees.join(ARCHES[0]).join(PREFIX).join("src");
    let [ours, in_turn, two_jobs, two_at_once] = alternate(
        bench.rounds(3),
        [
            ("treelay", &mut |_| treelay.cold(OCI)),
            ("go build", &mut |_| go.cold(&source, "cmd/gofmt", 1)),
            ("treelay --jobs 2", &mut |_| treelay.cold(&[OCI, &["--jobs", "2"]].concat())),
            ("go build, two at a time", &mut |_| go.cold(&source, "cmd/gofmt", 2)),
        ],
    )?;
    treelay.finish()?;
    go.finish()?;
    let work = "cmd/gofmt for three arches, empty cache, OCI layout";
    Ok(vec![
        at_most(work, &ours, "go build, one after the other", &in_turn, 1.05),
        at_most(
            &format!("{work}, two jobs"),
            &two_jobs,
            "go build, two at a time",
            &two_at_once,
            1.0,
        ),
    ])
}

pub fn unchanged(bench: &Bench) -> Result<Vec<Row>> {
    let treelay = bench.treelay("programs-unchanged", &recipe(GOFMT))?;
    treelay.run(OCI)?;
    let [ours] = alternate(bench.rounds(5), [("treelay", &mut |_| treelay.run(OCI))])?;
    treelay.finish()?;
    Ok(vec![Row::within("programs for three arches, nothing changed", &ours, 0.060)])
}

pub fn changed(bench: &Bench) -> Result<Vec<Row>> {
    let trees = go_trees(bench)?;
    let treelay = bench.treelay("programs-changed", &recipe(SERVER))?;
    let go = Go::new(bench, &trees)?;
    let sources = [treelay.path("server"), bench.fresh("server")?];
    let server = tools::workspace().join("recipes/catalog/go-static-server");
    for source in &sources {
        capture(Command::new("cp").arg("-a").arg(&server).arg(source))?;
        change(source, "at first")?;
    }
    treelay.run(OCI)?;
    go.build(&sources[1], ".", 1)?;
    let [ours, theirs] = alternate(
        bench.rounds(9),
        [
            ("treelay", &mut |round| {
                change(&sources[0], &format!("in round {round}"))?;
                treelay.run(OCI)
            }),
            ("go build", &mut |round| {
                change(&sources[1], &format!("in round {round}"))?;
                go.build(&sources[1], ".", 1)
            }),
        ],
    )?;
    treelay.finish()?;
    go.finish()?;
    bench.discard(&sources[1])?;
    let work = "one source file of the server changed, three arches, OCI layout";
    Ok(vec![at_most(work, &ours, "go build, one after the other", &theirs, 1.2)])
}

fn recipe(layer: &str) -> String {
    let (before, _) = FROM_LOCKED.split_once("layers:").unwrap_or((FROM_LOCKED, ""));
    format!("{before}layers:\n  - name: programs\n    {layer}\n")
}

/// Changes what the server does: what a comment changes is not linked again.
fn change(source: &Path, when: &str) -> Result<()> {
    let path = source.join("changed.go");
    let text = format!("package main\n\nfunc init() {{ println(\"changed {when}\") }}\n");
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

fn at_most(work: &str, ours: &Runs, rival: &str, theirs: &Runs, goal: f64) -> Row {
    let (ours, theirs) = (ours.median(), theirs.median().wall);
    let rival = format!("{rival} {}", time(theirs));
    Row::at_most(work, (&time(ours.wall), ours.wall), (&rival, theirs), goal).of(ours)
}

/// The bare toolchain of the machine's arch, with a cache of its own that all arches share.
struct Go<'a> {
    bench: &'a Bench,
    root: PathBuf,
    /// What xargs reads: the arches.
    arches: PathBuf,
}

impl<'a> Go<'a> {
    fn new(bench: &'a Bench, trees: &Path) -> Result<Self> {
        let machine = match std::env::consts::ARCH {
            "x86_64" => ARCHES[0],
            "aarch64" => ARCHES[1],
            _ => ARCHES[2],
        };
        let arches = bench.folder.join("arches");
        fs::write(&arches, ARCHES.join("\n"))
            .with_context(|| format!("writing {}", arches.display()))?;
        Ok(Self { bench, root: trees.join(machine).join(PREFIX), arches })
    }

    fn cold(&self, source: &Path, package: &str, at_once: usize) -> Result<Usage> {
        self.bench.fresh("go-cache")?;
        self.build(source, package, at_once)
    }

    /// `go build` of a package for every arch, with the flags that treelay gives.
    fn build(&self, source: &Path, package: &str, at_once: usize) -> Result<Usage> {
        let mut command = Command::new("xargs");
        command.arg("--arg-file").arg(&self.arches);
        command.args([&format!("--max-procs={at_once}"), "-I{}", "env", "GOARCH={}"]);
        command.arg(self.root.join("bin/go")).args(["build", "-C"]).arg(source);
        command.args(["-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o"]);
        command.arg(self.bench.folder.join("go-out-{}")).arg(package);
        command.env("GOROOT", &self.root).env("GOCACHE", self.bench.folder.join("go-cache"));
        command.envs([
            ("CGO_ENABLED", "0"),
            ("GOENV", "off"),
            ("GOFLAGS", ""),
            ("GOPROXY", "off"),
            ("GOTELEMETRY", "off"),
            ("GOTOOLCHAIN", "local"),
        ]);
        self.bench.timed(&[command])
    }

    fn finish(self) -> Result<()> {
        for name in ["go-cache", "go-out-amd64", "go-out-arm64", "go-out-ppc64le", "arches"] {
            self.bench.fresh(name)?;
        }
        Ok(())
    }
}
