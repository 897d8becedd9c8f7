//! Inputs from a server on loopback: a large archive against curl, and small modules against Go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use treelay_ci::tools;

use super::Bench;
use super::input::{ARCHES, PREFIX, go_trees, many_files};
use super::row::{Row, grouped, mebibytes, time};
use super::server::Server;
use super::treelay::Treelay;
use super::usage::{Runs, Usage, alternate};
use crate::run::{capture, show, step};

/// Files of the archive, and the size of each: 200 MB.
const FILES: u64 = 200;
const SIZE: usize = 1_000_000;

/// How much longer than its rival a download may take, for 80 percent of its throughput.
const LONGER: f64 = 1.25;

/// How many modules.
const MODULES: u64 = 1000;

/// A recipe with one input.
fn recipe(input: &str) -> String {
    format!(
        "name: downloads\nversion: \"1\"\narch: [amd64]\nepoch: 1700000000\ninputs:\n  {input}\n\
         layers:\n  - name: words\n    files:\n      \
         - {{path: /usr/share/words, content: \"fox\\n\"}}\n"
    )
}

/// An archive on a server.
struct Archive<'a> {
    bench: &'a Bench,
    server: Server,
    sha256: String,
    size: u64,
    /// The program that fetches and does nothing else.
    fetch: PathBuf,
}

impl<'a> Archive<'a> {
    fn new(bench: &'a Bench) -> Result<Self> {
        let folder = bench.folder.join("download");
        let archive = folder.join("archive.tar");
        if !archive.exists() {
            step("making an archive of 200 MB", || {
                let (tree, partial) = (bench.fresh("download.tree")?, bench.fresh("partial.tar")?);
                many_files(&tree.join("archive"), 0, FILES, SIZE)?;
                let mut tar = Command::new("tar");
                tar.args(["--sort=name", "-C"]).arg(&tree).arg("-cf").arg(&partial).arg("archive");
                capture(&mut tar)?;
                bench.discard(&tree)?;
                fs::create_dir_all(&folder)
                    .and_then(|()| fs::rename(&partial, &archive))
                    .with_context(|| format!("moving {}", partial.display()))
            })?;
        }
        // Warm, too.
        let sum = capture(Command::new("sha256sum").arg(&archive))?;
        let sha256 = sum.split(' ').next().unwrap_or_default().to_owned();
        let size = archive.metadata().context("looking at the archive")?.len();
        let (server, fetch) = (Server::of(&folder)?, bench.example("fetch")?);
        Ok(Self { bench, server, sha256, size, fetch })
    }

    fn url(&self) -> String {
        self.server.url("archive.tar")
    }

    /// Fetches it into an empty store.
    fn fetch(&self) -> Result<Usage> {
        let store = self.bench.fresh("download-store")?;
        let mut command = Command::new(&self.fetch);
        command.args([self.url(), self.sha256.clone()]).arg(store);
        self.bench.timed(&[command])
    }

    /// curl in a pipe of the shell.
    fn curl(&self, pipe: &str) -> Result<Usage> {
        let place = self.bench.fresh("download-curl")?;
        fs::create_dir_all(&place).with_context(|| format!("creating {}", place.display()))?;
        let mut command = Command::new("sh");
        let script = format!("curl --silent --show-error --fail --noproxy '*' \"$0\" | {pipe}");
        command.args(["-c", &script, &self.url()]).current_dir(place);
        self.bench.timed(&[command])
    }

    fn finish(self) -> Result<()> {
        self.bench.fresh("download-store")?;
        self.bench.fresh("download-curl").map(drop)
    }
}

/// Fetching with verification, and locking, against what people type.
pub fn download(bench: &Bench) -> Result<Vec<Row>> {
    let archive = Archive::new(bench)?;
    let input = format!(
        "large: {{archive: {{urls: [\"{}\"], sha256: {}}}}}",
        archive.url(),
        archive.sha256
    );
    let treelay = bench.treelay("download", &recipe(&input))?;
    let [ours, piped, kept, fast, locked, unpacked] = alternate(
        bench.rounds(9),
        [
            ("fetch", &mut |_| archive.fetch()),
            ("curl | sha256sum", &mut |_| archive.curl("sha256sum")),
            ("with tee", &mut |_| archive.curl("tee archive.tar | sha256sum")),
            ("openssl", &mut |_| archive.curl("openssl dgst -sha256")),
            ("lock", &mut |_| {
                treelay.forget()?;
                bench.timed(&[lock(&treelay)])
            }),
            ("and tar", &mut |_| {
                archive.curl("tee archive.tar | sha256sum && tar -xf archive.tar")
            }),
        ],
    )?;
    let size = archive.size;
    archive.finish()?;
    treelay.finish()?;
    let work = "200 MB from loopback, fetched and verified";
    let read = ours.median().read;
    Ok(vec![
        at_most(work, &ours, "curl to sha256sum", &piped, LONGER),
        at_most(work, &ours, "curl to tee to sha256sum", &kept, LONGER),
        at_most(work, &ours, "curl to openssl dgst", &fast, LONGER),
        Row::at_most(
            "bytes read from files meanwhile",
            (&mebibytes(read), read as f64),
            (&format!("the archive {}", mebibytes(size)), size as f64),
            0.05,
        ),
        Row::memory(work, ours.peak(), 0),
        at_most(
            "the same, locked: also unpacked into the store",
            &locked,
            "curl to tee to sha256sum, then tar",
            &unpacked,
            LONGER,
        ),
    ])
}

/// What a connection that is dropped at 90 percent costs.
pub fn cut(bench: &Bench) -> Result<Vec<Row>> {
    let archive = Archive::new(bench)?;
    let mut most = 0;
    alternate(
        bench.rounds(5),
        [("fetch", &mut |_| {
            archive.server.sent();
            archive.server.cut_next(archive.size / 10 * 9);
            let usage = archive.fetch()?;
            most = most.max(archive.server.sent());
            Ok(usage)
        })],
    )?;
    let size = archive.size;
    archive.finish()?;
    let bytes = |number: u64| format!("{} bytes", grouped(number));
    Ok(vec![Row::at_most(
        "200 MB, the connection dropped at 90 percent: bytes served in all",
        (&bytes(most), most as f64),
        (&format!("the archive {}", bytes(size)), size as f64),
        1.0,
    )])
}

fn lock(treelay: &Treelay<'_>) -> Command {
    let mut command = treelay.command("lock");
    command.arg("recipe.yaml");
    command
}

fn at_most(work: &str, ours: &Runs, rival: &str, theirs: &Runs, goal: f64) -> Row {
    let (ours, theirs) = (ours.median(), theirs.median().wall);
    let rival = format!("{rival} {}", time(theirs));
    Row::at_most(work, (&time(ours.wall), ours.wall), (&rival, theirs), goal).of(ours)
}

/// Locking modules that go.sum pins, against `go mod download` of the same.
pub fn modules(bench: &Bench) -> Result<Vec<Row>> {
    compare(bench, "1,000 small modules from a proxy on loopback", false)
}

/// The same, looked up in a checksum database: Go does that where it has no go.sum.
pub fn modules_sumdb(bench: &Bench) -> Result<Vec<Row>> {
    compare(bench, "1,000 small modules, looked up in a checksum database", true)
}

fn compare(bench: &Bench, work: &str, sumdb: bool) -> Result<Vec<Row>> {
    let go = Go::new(bench)?;
    let server = Server::of(&go.folder.join("proxy"))?;
    let source = go.folder.join("source");
    let verify = if sumdb {
        let key = go.key()?;
        format!(", verify: [sumdb], sumdb: \"{key}\"")
    } else {
        String::new()
    };
    let input = format!(
        "mods: {{go-modules: {{dir: \"{}\", proxy: \"{}\"{verify}}}}}",
        source.display(),
        server.url("")
    );
    let treelay = bench.treelay("modules", &recipe(&input))?;
    let [ours, theirs] = alternate(
        bench.rounds(9),
        [
            ("treelay lock", &mut |_| {
                treelay.forget()?;
                bench.timed(&[lock(&treelay)])
            }),
            ("go mod download", &mut |_| go.download(&server.url(""), sumdb)),
        ],
    )?;
    treelay.finish()?;
    go.finish()?;
    let memory = Row::memory(work, ours.peak(), MODULES * 8);
    Ok(vec![
        at_most(work, &ours, "go mod download", &theirs, 1.0),
        cpu(work, &ours, "go mod download", &theirs),
        memory,
    ])
}

/// The same by processor time, which is less in doubt where the machine has other work.
fn cpu(work: &str, ours: &Runs, rival: &str, theirs: &Runs) -> Row {
    let used = |run: Usage| run.user + run.system;
    let (ours, theirs) = (used(ours.median()), used(theirs.median()));
    let rival = format!("{rival} {}", time(theirs));
    Row::at_most(&format!("CPU: {work}"), (&time(ours), ours), (&rival, theirs), 1.0)
}

/// The Go of the machine's arch, and a proxy with modules that it has made.
struct Go<'a> {
    bench: &'a Bench,
    root: PathBuf,
    folder: PathBuf,
}

impl<'a> Go<'a> {
    fn new(bench: &'a Bench) -> Result<Self> {
        let trees = go_trees(bench)?;
        let machine = match std::env::consts::ARCH {
            "x86_64" => ARCHES[0],
            "aarch64" => ARCHES[1],
            _ => ARCHES[2],
        };
        let go = Self {
            bench,
            root: trees.join(machine).join(PREFIX),
            folder: bench.folder.join("modules"),
        };
        if !go.folder.exists() {
            step("making a proxy with modules", || {
                let (partial, program) = (bench.fresh("modules.partial")?, bench.fresh("made.go")?);
                fs::write(&program, include_str!("modules.go"))
                    .with_context(|| format!("writing {}", program.display()))?;
                let mut make = go.command(&["run"], &bench.folder);
                make.arg(&program).arg(&partial).arg(MODULES.to_string());
                capture(&mut make)?;
                fs::rename(&partial, &go.folder)
                    .with_context(|| format!("moving {}", partial.display()))
            })?;
        }
        Ok(go)
    }

    /// What GOSUMDB says of the database.
    fn key(&self) -> Result<String> {
        let path = self.folder.join("key");
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    fn command(&self, args: &[&str], folder: &Path) -> Command {
        let mut command = Command::new(self.root.join("bin/go"));
        command.args(args).current_dir(folder).env("GOROOT", &self.root);
        command.env("GOCACHE", self.bench.folder.join("go-cache"));
        for name in ["GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"] {
            command.env_remove(name);
        }
        command.envs([
            ("GOENV", "off"),
            ("GOFLAGS", "-mod=mod"),
            ("GOTELEMETRY", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOPROXY", "off"),
            ("GOSUMDB", "off"),
        ]);
        command
    }

    /// `go mod download` into an empty module cache; what it writes to go.sum goes to a copy.
    fn download(&self, proxy: &str, sumdb: bool) -> Result<Usage> {
        let source = self.bench.fresh("go-source")?;
        capture(Command::new("cp").arg("-a").arg(self.folder.join("source")).arg(&source))?;
        let mut command = self.command(&["mod", "download"], &source);
        command.env("GOMODCACHE", self.bench.fresh("go-modcache")?).env("GOPROXY", proxy);
        // The cache also has the head of the database that was last seen.
        command.env("GOPATH", self.bench.fresh("go-path")?);
        if sumdb {
            fs::remove_file(source.join("go.sum")).context("removing a go.sum")?;
            command.env("GOSUMDB", self.key()?);
        }
        self.bench.timed(&[command])
    }

    fn finish(self) -> Result<()> {
        for name in ["go-cache", "go-modcache", "go-path", "go-source", "made.go"] {
            self.bench.fresh(name)?;
        }
        Ok(())
    }
}

impl Bench {
    /// An example of the library's, built with the profile of the program that is measured.
    fn example(&self, name: &str) -> Result<PathBuf> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--locked", "--workspace", "--example", name]);
        if self.profile == "release" {
            build.arg("--release");
        }
        show(build.current_dir(tools::workspace()))?;
        let folder = self.program.parent().context("finding the target folder")?;
        Ok(folder.join("examples").join(name))
    }
}
