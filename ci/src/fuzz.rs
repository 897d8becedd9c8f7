//! `cargo xtask fuzz`: libFuzzer against everything that reads strangers' bytes.
//!
//! Without a sanitizer: of what cargo-fuzz asks of the compiler that is all that needs a nightly one, so
//! what is attacked is built by the compiler that builds treelay. `unsafe` is denied in the house, and
//! for the C in zstd a sanitizer would want a C compiler of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use treelay_ci::tools::{self, workspace};

use crate::run::{capture, retry, show};

/// The program that builds and starts it.
const CARGO_FUZZ: &str = "0.13.2";
/// Seconds for each target, where neither an argument nor `TREELAY_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 60;
/// What a case may take, in seconds and MiB: bombs are what it looks for.
const MOST: [&str; 2] = ["-timeout=20", "-rss_limit_mb=2048"];

/// What is attacked, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    seconds: u64,
    /// All of them when empty.
    targets: Vec<String>,
}

impl Options {
    /// Reads the command line; `seconds` is `TREELAY_FUZZ_SECONDS`.
    pub fn parse(args: &[&str], seconds: Option<&str>) -> Result<Self> {
        let number = |text: &str| text.parse().with_context(|| format!("{text:?} is no number"));
        let mut options = Self { seconds: seconds.map_or(Ok(SECONDS), number)?, targets: vec![] };
        let known = names()?;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--seconds" => options.seconds = number(args.next().context("--seconds N")?)?,
                name if known.iter().any(|known| known == name) => {
                    options.targets.push(name.to_owned());
                }
                other => bail!("unknown target {other:?}: expected {}", known.join(", ")),
            }
        }
        if options.targets.is_empty() {
            options.targets = known;
        }
        Ok(options)
    }
}

/// Each target has a folder of good and once bad inputs.
fn corpus() -> PathBuf {
    workspace().join("tests/corpus")
}

fn names() -> Result<Vec<String>> {
    let entries = std::fs::read_dir(corpus()).context("reading tests/corpus")?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Builds what is attacked, and attacks each target; what is found ends it, with the file that shows
/// it.
pub fn run(options: &Options) -> Result<()> {
    let program = install()?;
    for target in &options.targets {
        eprintln!("\n== fuzzing {target} for {} s", options.seconds);
        show(&mut attack(&program, target, options.seconds)?)
            .with_context(|| format!("{target}: keep what was found in tests/corpus/{target}"))?;
    }
    Ok(())
}

/// cargo-fuzz, installed where it is not.
fn install() -> Result<PathBuf> {
    let root = tools::dir().join(format!("cargo-fuzz-{CARGO_FUZZ}"));
    let program = root.join("bin/cargo-fuzz");
    if !program.exists() {
        retry("cargo install cargo-fuzz", || {
            let mut command = Command::new(cargo());
            command.args(["install", "--quiet", "--locked", "--no-track", "cargo-fuzz"]);
            command.arg(format!("--version=={CARGO_FUZZ}")).arg("--root").arg(&root);
            capture(command.arg("--target-dir").arg(root.join("build"))).map(drop)
        })?;
        std::fs::remove_dir_all(root.join("build")).context("removing what built cargo-fuzz")?;
    }
    Ok(program)
}

fn attack(program: &Path, target: &str, seconds: u64) -> Result<Command> {
    let work = workspace().join("target/fuzz");
    let (grown, found) = (work.join("corpus").join(target), work.join("found"));
    for folder in [&grown, &found] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let mut command = Command::new(program);
    // As cargo would start it. Without a sanitizer, and with debug assertions.
    command.args(["fuzz", "run", "any", "--sanitizer", "none", "--debug-assertions"]);
    command.arg("--fuzz-dir").arg(workspace().join("builder/fuzz"));
    // New inputs that reach new places go into the first folder, and out of version control.
    command.arg("--target-dir").arg(work.join("build")).arg(grown).arg(corpus().join(target));
    command.arg("--").arg(format!("-max_total_time={seconds}")).args(MOST);
    command.arg(format!("-artifact_prefix={}/{target}-", found.display()));
    command.env("TREELAY_FUZZ_TARGET", target);
    command.current_dir(workspace().join("builder"));
    Ok(command)
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_seconds_are_read() {
        let parse = |args: &[&str], seconds| Options::parse(args, seconds);
        let all = parse(&[], None).unwrap();
        assert_eq!(all.seconds, SECONDS);
        assert!(all.targets.iter().any(|name| name == "recipe"), "{all:?}");
        let some = parse(&["zip", "--seconds", "5", "xz"], Some("7")).unwrap();
        assert_eq!(some, Options { seconds: 5, targets: vec!["zip".into(), "xz".into()] });
        assert_eq!(parse(&["ar"], Some("7")).unwrap().seconds, 7);
        for (args, seconds) in [(&["none"][..], None), (&["--seconds"], None), (&[], Some("x"))] {
            parse(args, seconds).unwrap_err();
        }
    }
}
