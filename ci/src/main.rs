//! `cargo xtask`: set-up, tests, demo and bench.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod bench;
mod demo;
mod fuzz;
#[cfg(test)]
mod rules;
mod run;
mod setup;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};
use treelay_ci::Tier;

const HELP: &str = "\
usage: cargo xtask COMMAND

  setup [--tier fast|real|host|slow]   install what the tier and those before it need (default: host)
  test  [--tier TIER|all]...           set up, build, run the tests (default: fast, real and host)
  demo                                 set up, build, and make a signed image and signed commits
                                       from recipes/catalog/go-sdk.yaml in target/demo
  bench [--quick] [--only CASE]... [--profile] [--release] [--write]
                                       compare with umoci, buildah and ostree in target/bench;
                                       --write puts the table into docs/performance.md
  fuzz  [--seconds N] [TARGET]...      attack what reads strangers' bytes with libFuzzer, a minute each
                                       (targets: the folders of tests/corpus), as many at a time as
                                       there are processors

tiers: fast  unit, contract and command-line tests
       real  podman 4, skopeo, umoci, ostree, cosign 2 and 3, two registries
       host  podman 5 and ostree of Debian 13
       slow  ostree built with ed25519 and spki; a host that boots; fuzz, and a million spoiled
             signatures
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[&str]) -> Result<ExitCode> {
    let Some((command, rest)) = args.split_first() else { return usage("which command?") };
    match *command {
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        _ if rest.iter().any(|arg| ["--help", "-h"].contains(arg)) => print!("{HELP}"),
        "setup" => match tiers(rest) {
            Ok(tiers) => setup::run(tiers.into_iter().max().unwrap_or(Tier::Host))?,
            Err(error) => return usage(&error.to_string()),
        },
        "test" => match tiers(rest) {
            Ok(tiers) if tiers.is_empty() => return test::run(&Tier::DEFAULT),
            Ok(tiers) => return test::run(&tiers),
            Err(error) => return usage(&error.to_string()),
        },
        "bench" => match bench::Options::parse(rest) {
            Ok(options) => bench::run(&options)?,
            Err(error) => return usage(&error.to_string()),
        },
        "fuzz" => {
            let seconds = std::env::var("TREELAY_FUZZ_SECONDS").ok();
            match fuzz::Options::parse(rest, seconds.as_deref()) {
                Ok(options) => fuzz::run(&options)?,
                Err(error) => return usage(&error.to_string()),
            }
        }
        "demo" if rest.is_empty() => demo::run()?,
        "demo" => return usage("demo takes no arguments"),
        other => return usage(&format!("unknown command {other:?}")),
    }
    Ok(ExitCode::SUCCESS)
}

fn usage(problem: &str) -> Result<ExitCode> {
    eprint!("error: {problem}\n\n{HELP}");
    Ok(ExitCode::from(2))
}

/// The tiers that `--tier` names, in order and each once.
fn tiers(args: &[&str]) -> Result<Vec<Tier>> {
    let mut tiers = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = match arg.split_once('=') {
            Some(("--tier", value)) => value,
            None if *arg == "--tier" => match args.next() {
                Some(value) => value,
                None => bail!("--tier needs a value"),
            },
            _ => bail!("unknown argument {arg:?}"),
        };
        match value {
            "all" => tiers.extend(Tier::ALL),
            name => tiers.push(name.parse().map_err(anyhow::Error::msg)?),
        }
    }
    tiers.sort();
    tiers.dedup();
    Ok(tiers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_sorted_and_each_once() {
        let parsed = tiers(&["--tier", "host", "--tier=fast", "--tier", "host"]).unwrap();
        assert_eq!(parsed, [Tier::Fast, Tier::Host]);
        assert_eq!(tiers(&["--tier", "all"]).unwrap(), Tier::ALL);
        assert!(tiers(&["--tier"]).is_err());
        assert!(tiers(&["--tier", "quick"]).unwrap_err().to_string().contains("unknown tier"));
        assert!(tiers(&["--teir", "fast"]).is_err());
    }
}
