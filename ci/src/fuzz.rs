//! `cargo xtask fuzz`: libFuzzer against everything that reads strangers' bytes.
//!
//! What is attacked is built by the compiler that builds treelay, with AddressSanitizer: it finds what
//! the C in zstd and `unsafe` in dependencies do to memory, and lets libFuzzer see every allocation, so
//! that a few bytes which ask for a gigabyte are found. rustc has the sanitizer behind a flag of the
//! nightly compiler; RUSTC_BOOTSTRAP lets the stable one take it, which has its runtime too. The price:
//! crates that ask what the compiler can do may choose other code than in treelay itself, and a case
//! takes about twice as long. C is not built with it, so of C only what it allocates and copies is seen.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use treelay_ci::Tier;
use treelay_ci::tools::{self, Program, workspace};

use crate::run::{capture, cargo, retry, show, step};
use crate::setup;

/// The program that builds it with libFuzzer's instrumentation.
const CARGO_FUZZ: &str = "0.13.2";
/// libFuzzer is C++.
const COMPILER: Program = Program { name: "g++", package: "g++", tier: Tier::Fast };
/// Seconds for each target, where neither an argument nor `TREELAY_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 60;
/// What a case may take and be, in seconds, MiB in all and at once, and bytes: bombs are what it looks
/// for. An xz may ask for 128 MiB.
const MOST: [&str; 4] =
    ["-timeout=20", "-rss_limit_mb=2560", "-malloc_limit_mb=300", "-max_len=65536"];
/// glib and the like keep what they have allocated once; leaks in our own code there are none to speak
/// of without `unsafe`.
const ASAN: &str = "detect_leaks=0:detect_odr_violation=0";
/// The last lines of what libFuzzer says of something found.
const TAIL: usize = 60;

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
    let entries = fs::read_dir(corpus()).context("reading tests/corpus")?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Sets up, builds, and attacks each target, as many at a time as there are processors.
///
/// # Errors
/// What was found, after all targets had their time, with the files that show it.
pub fn run(options: &Options) -> Result<()> {
    setup::packages_and(Tier::Fast, &[COMPILER])?;
    let program = build(&install()?)?;
    let count = options.targets.len();
    eprintln!("fuzzing {count} targets, {} s each", options.seconds);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(target) = options.targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            match attack(&program, target, options.seconds) {
                Ok(reached) => eprintln!("  {target:<18} {reached}"),
                Err(error) => {
                    eprintln!("  {target:<18} FOUND\n{error:#}");
                    found.lock().unwrap_or_else(|it| it.into_inner()).push(target.clone());
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(|it| it.into_inner());
    found.sort();
    match found.is_empty() {
        true => Ok(()),
        false => bail!("fuzzing found something in: {}", found.join(", ")),
    }
}

/// cargo-fuzz, installed where it is not.
fn install() -> Result<PathBuf> {
    let root = tools::dir().join(format!("cargo-fuzz-{CARGO_FUZZ}"));
    let program = root.join("bin/cargo-fuzz");
    if !program.exists() {
        step("cargo-fuzz", || {
            retry("cargo install cargo-fuzz", || {
                let mut command = Command::new(cargo());
                command.args(["install", "--quiet", "--locked", "--no-track", "cargo-fuzz"]);
                command.arg(format!("--version=={CARGO_FUZZ}")).arg("--root").arg(&root);
                capture(command.arg("--target-dir").arg(root.join("build"))).map(drop)
            })?;
            fs::remove_dir_all(root.join("build")).context("removing what built cargo-fuzz")
        })?;
    }
    Ok(program)
}

fn work() -> PathBuf {
    workspace().join("target/fuzz")
}

/// The program that has all targets.
fn build(cargo_fuzz: &Path) -> Result<PathBuf> {
    let said = capture(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?.to_owned();
    let mut command = Command::new(cargo_fuzz);
    // As cargo would start it. With debug assertions; and without what crates do differently where they
    // are told that they are fuzzed, such as checksums that are not looked at.
    command.args(["fuzz", "build", "any", "--sanitizer", "address", "--debug-assertions"]);
    command.args(["--no-cfg-fuzzing", "--target", &host]);
    command.arg("--fuzz-dir").arg(workspace().join("builder/fuzz"));
    command.arg("--target-dir").arg(work().join("build"));
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(workspace().join("builder"));
    step("building what is attacked", || {
        eprintln!();
        show(&mut command)
    })?;
    Ok(work().join("build").join(host).join("release/any"))
}

/// Attacks one target: what libFuzzer has reached of it at the end.
fn attack(program: &Path, target: &str, seconds: u64) -> Result<String> {
    let (grown, found) = (work().join("corpus").join(target), work().join("found"));
    let logs = work().join("logs");
    for folder in [&grown, &found, &logs] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let log = logs.join(format!("{target}.log"));
    let file = File::create(&log).with_context(|| log.display().to_string())?;
    let mut command = Command::new(program);
    command.arg(format!("-max_total_time={seconds}")).args(MOST).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/{target}-", found.display()));
    // New inputs that reach new places go into the first folder, and out of version control.
    command.arg(&grown).arg(corpus().join(target));
    command.env("TREELAY_FUZZ_TARGET", target).env("ASAN_OPTIONS", ASAN);
    command.stdout(file.try_clone().context("a second handle of the log")?).stderr(file);
    let status = command.status().with_context(|| format!("starting {}", program.display()))?;
    let said = fs::read(&log).with_context(|| log.display().to_string())?;
    let said = String::from_utf8_lossy(&said);
    if !status.success() {
        let lines: Vec<&str> = said.lines().collect();
        let kept = lines.iter().find_map(|line| line.split_once("Test unit written to "));
        let file = kept.map_or("no file", |(_, file)| file);
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n    ");
        bail!(
            "    {tail}\n    {status}; all that it said is in {}\n    \
             in {file}: keep it in tests/corpus/{target}, as good-… or bad-… whatever shall come of it",
            log.display()
        );
    }
    reached(&said).with_context(|| format!("reading {}", log.display()))
}

/// What libFuzzer's last report says: `cov: 812 ft: 3211 corp: 93/41Kb …`.
///
/// # Errors
/// It has seen nothing of what it attacks: then it was built without instrumentation.
fn reached(said: &str) -> Result<String> {
    let last = said.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: "));
    let last = last.filter(|_| !said.contains("no interesting inputs were found"));
    let last = last.context("it has seen nothing of what it attacks")?;
    let (count, rest) = last.split_once('\t').unwrap_or(("#0", last));
    let rest = rest.split_once("cov: ").map_or(rest, |(_, rest)| rest);
    let rest = rest.split(" lim:").next().unwrap_or_default();
    Ok(format!("{} cases, cov: {}", count.trim_start_matches('#'), rest.trim_end()))
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

    #[test]
    fn a_program_without_instrumentation_is_told() {
        let said = "INFO: seed corpus: files: 3\n\
                    #4\tINITED cov: 85 ft: 86 corp: 1/72b exec/s: 0 rss: 31Mb\n\
                    #9210\tDONE   cov: 812 ft: 3211 corp: 93/41Kb lim: 1048 exec/s: 4605 rss: 83Mb\n\
                    Done 9210 runs in 2 second(s)\n";
        assert_eq!(reached(said).unwrap(), "9210 cases, cov: 812 ft: 3211 corp: 93/41Kb");
        reached("INFO: seed corpus: files: 3\nDone 3 runs in 2 second(s)\n").unwrap_err();
        let nothing = format!("{said}WARNING: no interesting inputs were found so far.\n");
        reached(&nothing).unwrap_err();
    }

    /// A program that says what libFuzzer says of something found.
    #[test]
    fn what_is_found_is_an_error_with_the_file_that_shows_it() {
        let folder = std::env::temp_dir().join(format!("treelay-ci-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("any");
        let script = "#!/bin/sh\n[ \"$TREELAY_FUZZ_TARGET\" = zip ] || exit 1\n\
                      echo 'artifact_prefix=x; Test unit written to /some/zip-crash-12'; exit 77\n";
        fs::write(&program, script).unwrap();
        capture(Command::new("chmod").arg("755").arg(&program)).unwrap();
        let error = attack(&program, "zip", 1).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("in /some/zip-crash-12: keep it in tests/corpus/zip"), "{error}");
        assert!(error.contains("exit status: 77"), "{error}");
    }
}
