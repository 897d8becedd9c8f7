//! `cargo xtask test`: one tier after the other, with the seconds of each.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};
use treelay_ci::Tier;
use treelay_ci::tools::{self, workspace};

use crate::run::{self, capture, line, show, step};
use crate::{fuzz, setup};

/// The module of the slow tier that needs an ostree with spki.
const SPKI_TESTS: &str = "spki::";

/// What became of a tier.
struct Outcome {
    name: &'static str,
    seconds: f64,
    passed: bool,
}

/// Sets up, builds, runs the tiers; a failing tier does not keep the next from running.
pub fn run(tiers: &[Tier]) -> Result<ExitCode> {
    let all = Instant::now();
    setup::run(tiers.iter().copied().max().unwrap_or(Tier::Fast))?;
    let start = Instant::now();
    build_treelay()?;
    let mut build = cargo(&["test", "--no-run"]);
    build.args(targets(tiers)?);
    show(&mut build)?;
    let built = start.elapsed().as_secs_f64();

    let mut outcomes = Vec::new();
    for tier in tiers {
        eprintln!("\n== tier {tier}");
        let start = Instant::now();
        let passed = run_tier(*tier)?;
        let seconds = start.elapsed().as_secs_f64();
        outcomes.push(Outcome { name: tier.name(), seconds, passed });
    }
    Ok(summary(built, &outcomes, all.elapsed().as_secs_f64()))
}

/// Builds the `treelay` program that the demo and the tests run.
pub fn build_treelay() -> Result<()> {
    step("building treelay", || {
        eprintln!();
        show(&mut cargo(&["build", "--bin", "treelay"]))
    })
}

/// Every call selects the whole workspace: with fewer packages cargo may choose other features
/// for their dependencies, and build those twice.
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(run::cargo());
    command.args(args).args(["--workspace", "--locked"]).current_dir(workspace());
    command
}

fn run_tier(tier: Tier) -> Result<bool> {
    let mut command = cargo(&["test", "--no-fail-fast"]);
    command.args(targets(&[tier])?);
    if tier == Tier::Slow && tools::without_spki().is_some() {
        // The summary says so.
        command.args(["--", "--skip", SPKI_TESTS]);
    }
    let mut passed = run_tests(&mut command)?;
    if tier == Tier::Slow {
        passed &= fuzzed()?;
    }
    if tier == Tier::Fast {
        passed &= run_tests(cargo(&["test", "--no-fail-fast"]).arg("--doc"))?;
    }
    Ok(passed)
}

/// Every target of `cargo xtask fuzz` has its minute.
fn fuzzed() -> Result<bool> {
    let seconds = std::env::var("TREELAY_FUZZ_SECONDS").ok();
    let done = fuzz::run(&fuzz::Options::parse(&[], seconds.as_deref())?);
    if let Err(error) = &done {
        eprintln!("error: {error:#}");
    }
    Ok(done.is_ok())
}

fn run_tests(command: &mut Command) -> Result<bool> {
    eprintln!("$ {}", line(command));
    let status = command.status().context("starting cargo")?;
    Ok(status.success())
}

/// The arguments that choose the tiers' test targets: each tier after the first has one of its
/// name, the first has all the others.
fn targets(tiers: &[Tier]) -> Result<Vec<String>> {
    let mut chosen = Vec::new();
    for tier in tiers {
        if *tier != Tier::Fast {
            chosen.extend(["--test".to_owned(), tier.name().to_owned()]);
            continue;
        }
        chosen.extend(["--lib".to_owned(), "--bins".to_owned()]);
        let metadata = capture(
            Command::new(run::cargo())
                .args(["metadata", "--no-deps", "--locked", "--format-version", "1"])
                .current_dir(workspace()),
        )?;
        for name in fast_tests(&metadata)? {
            chosen.extend(["--test".to_owned(), name]);
        }
    }
    Ok(chosen)
}

fn fast_tests(metadata: &str) -> Result<Vec<String>> {
    let metadata: serde_json::Value =
        serde_json::from_str(metadata).context("reading what cargo metadata printed")?;
    let later: Vec<&str> = Tier::ALL.iter().skip(1).map(|tier| tier.name()).collect();
    let targets = metadata["packages"].as_array().into_iter().flatten();
    let targets = targets.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests = targets.filter(|target| target["kind"][0] == "test");
    let names = tests.filter_map(|target| target["name"].as_str());
    Ok(names.filter(|name| !later.contains(name)).map(str::to_owned).collect())
}

fn summary(built: f64, outcomes: &[Outcome], all: f64) -> ExitCode {
    eprintln!("\n== summary");
    eprintln!("  build  {built:>7.1} s");
    for outcome in outcomes {
        let verdict = if outcome.passed { "passed" } else { "FAILED" };
        eprintln!("  {:<5}  {:>7.1} s  {verdict}", outcome.name, outcome.seconds);
    }
    eprintln!("  all    {all:>7.1} s");
    let slow = outcomes.iter().any(|outcome| outcome.name == Tier::Slow.name());
    if let Some(why) = tools::without_spki().filter(|_| slow) {
        eprintln!(
            "\n  NOT RUN: the slow tier's {SPKI_TESTS} tests, in which ostree checks spki signatures.\n  \
             {why}\n  OpenSSL's own check of these signatures is in the host tier."
        );
    }
    if outcomes.iter().all(|outcome| outcome.passed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::fast_tests;

    #[test]
    fn the_fast_tier_has_every_test_that_no_other_tier_has() {
        let metadata = r#"{"packages": [
            {"targets": [{"kind": ["lib"], "name": "a"}, {"kind": ["test"], "name": "contract"}]},
            {"targets": [{"kind": ["test"], "name": "cli"}, {"kind": ["test"], "name": "real"},
                         {"kind": ["test"], "name": "host"}, {"kind": ["test"], "name": "slow"}]}
        ]}"#;
        assert_eq!(fast_tests(metadata).unwrap(), ["contract", "cli"]);
    }
}
