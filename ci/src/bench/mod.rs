//! `cargo xtask bench`: treelay and its rivals on the same input, one after the other, and a table
//! of the medians with the goals they are held to.
//!
//! In order: options, set-up, then the [cases](cases::CASES); each takes turns between the sides,
//! with fresh stores and destinations where a cold run is meant. Only the programs themselves are
//! timed. Everything is in `target/bench`.

mod cases;
mod commits;
mod document;
mod downloads;
mod hosts;
mod images;
mod input;
mod machine;
mod programs;
mod rivals;
mod row;
mod scale;
mod server;
mod signing;
mod treelay;
mod usage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use treelay_ci::Tier;
use treelay_ci::tools::workspace;

use crate::run::{capture, show};
use crate::{setup, test};
use cases::CASES;
use rivals::Rivals;
use row::{Row, profile, table};
use treelay::Treelay;
use usage::{Usage, measure};

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// One run of everything, and a small scale series: to see that it works.
    quick: bool,
    /// The cases to run; all when empty.
    only: Vec<String>,
    /// Whether the table goes into the documentation.
    write: bool,
    /// Whether to tell where treelay's time went.
    profile: bool,
    /// Whether treelay is built with the release profile.
    release: bool,
}

impl Options {
    /// Reads the arguments after `bench`.
    pub fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--quick" => options.quick = true,
                "--write" => options.write = true,
                "--profile" => options.profile = true,
                "--release" => options.release = true,
                _ => {
                    let name = match arg.split_once('=') {
                        Some(("--only", name)) => name,
                        None if *arg == "--only" => args.next().context("--only needs a name")?,
                        _ => bail!("unknown argument {arg:?}"),
                    };
                    options.only.push(known(name)?.to_owned());
                }
            }
        }
        if options.write && (options.quick || !options.only.is_empty()) {
            bail!("--write takes the whole series: neither --quick nor --only go with it");
        }
        Ok(options)
    }

    /// The command that gives these options.
    fn command(&self) -> String {
        let release = if self.release { " --release" } else { "" };
        format!("cargo xtask bench{release} --write")
    }
}

fn known(name: &str) -> Result<&str> {
    if CASES.iter().any(|case| case.name == name) {
        return Ok(name);
    }
    let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    bail!("no case {name:?}; there are {}", names.join(", "))
}

/// Runs the cases and prints the table.
pub fn run(options: &Options) -> Result<()> {
    setup::packages(Tier::Real)?;
    let bench = Bench::new(options)?;
    let machine = machine::describe(&bench.folder)?;
    eprintln!("{}", machine.text());
    if let Some(warning) = machine.busy() {
        eprintln!("warning: {warning}");
    }
    let mut rows: Vec<Row> = Vec::new();
    for case in CASES {
        if options.only.is_empty() || options.only.iter().any(|name| name == case.name) {
            eprintln!("== {}: {}", case.name, case.about);
            rows.extend((case.run)(&bench).with_context(|| format!("case {}", case.name))?);
        }
    }
    let table = table(&rows);
    println!("\n{table}");
    let (met, all) = (rows.iter().filter(|row| row.is_met()).count(), rows.len());
    if met < all {
        println!("{} of {all} rows miss their goal.", all - met);
    }
    if options.profile {
        println!("\nWhere the time of treelay's median runs went:\n{}", profile(&rows));
    }
    if options.write {
        let rivals = bench.rivals.versions()?;
        document::write(&machine, &bench.profile, &rivals, &options.command(), &table)?;
    }
    remove(&bench.folder.join(TRASH))
}

/// What the cases work with.
pub struct Bench {
    /// Where everything is.
    folder: PathBuf,
    /// The program that is measured.
    program: PathBuf,
    /// The cargo profile it was built with.
    profile: String,
    quick: bool,
    rivals: Rivals,
    /// How much was put away.
    discarded: AtomicUsize,
}

/// Where in the bench's folder that is.
const TRASH: &str = "trash";

impl Bench {
    fn new(options: &Options) -> Result<Self> {
        let folder = workspace().join("target/bench");
        let trash = folder.join(TRASH);
        fs::create_dir_all(&trash).with_context(|| format!("creating {}", trash.display()))?;
        let me = std::env::current_exe().context("finding the running program")?;
        let beside = me.with_file_name("treelay");
        let program = if options.release {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let args = ["build", "--release", "--locked", "--workspace", "--bin", "treelay"];
            show(Command::new(cargo).args(args).current_dir(workspace()))?;
            let target = me.parent().and_then(Path::parent).context("finding the target folder")?;
            target.join("release/treelay")
        } else {
            test::build_treelay()?;
            beside
        };
        let profile = if options.release { "release" } else { "dev (optimised)" }.to_owned();
        Ok(Self {
            folder,
            program,
            profile,
            quick: options.quick,
            rivals: Rivals::find()?,
            discarded: AtomicUsize::new(0),
        })
    }

    /// How often to run what is usually run so often.
    fn rounds(&self, usual: usize) -> usize {
        if self.quick { 1 } else { usual }
    }

    /// A path of that name where nothing is, below the bench's folder.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        self.discard(&path)?;
        Ok(path)
    }

    /// Puts away what is not needed any more. It is removed at the end: ext4 does not use an inode
    /// again for minutes after it was freed, and whoever makes many files next pays for the search.
    fn discard(&self, path: &Path) -> Result<()> {
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        // A run that was stopped may have left some.
        let free = |number: &usize| !self.trash(*number).exists();
        let number = (self.discarded.fetch_add(1, Ordering::Relaxed)..).find(free).unwrap_or(0);
        fs::rename(path, self.trash(number))
            .with_context(|| format!("moving {} away", path.display()))
    }

    fn trash(&self, number: usize) -> PathBuf {
        self.folder.join(TRASH).join(number.to_string())
    }

    /// treelay with this recipe and a store and destinations of its own.
    fn treelay(&self, name: &str, recipe: &str) -> Result<Treelay<'_>> {
        Treelay::new(self, name, recipe)
    }

    /// Runs the commands as one timed piece of work. What was written before is on the disk by
    /// then, so that nobody pays for the other's writes.
    fn timed(&self, commands: &[Command]) -> Result<Usage> {
        capture(Command::new("sync").arg("-f").arg(&self.folder))?;
        measure(commands, &self.folder.join("usage.json"))
    }
}

/// Removes a file or a folder with all in it, where there is one.
fn remove(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
    .with_context(|| format!("removing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_partial_tables_are_not_written() {
        let options = Options::parse(&["--quick", "--only", "cold-gzip", "--only=sizes"]).unwrap();
        assert!(options.quick && !options.write);
        assert_eq!(options.only, ["cold-gzip", "sizes"]);
        assert!(Options::parse(&["--write", "--profile"]).unwrap().write);
        assert!(Options::parse(&["--write", "--quick"]).is_err());
        assert!(Options::parse(&["--write", "--only=sizes"]).is_err());
        let error = Options::parse(&["--only", "cold"]).unwrap_err().to_string();
        assert!(error.starts_with("no case \"cold\"; there are cold-gzip, "), "{error}");
        assert!(Options::parse(&["--only"]).is_err() && Options::parse(&["--fast"]).is_err());
    }
}
