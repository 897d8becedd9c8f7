//! Runs programs and notes what the kernel says they used.
//!
//! wait4(2) tells what exactly one child and its own children used, and Rust's library does not
//! have it. Python's has; it is there for pip, and so each measured program gets a small Python
//! for a parent, which takes the time as well.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use treelay_ci::tools;

use crate::run::{capture, line};

/// Its arguments: the file for the report, the program, the program's arguments. Linux counts
/// memory in KiB: getrusage(2).
const PARENT: &str = "\
import json, os, sys, time
report, *command = sys.argv[1:]
start = time.perf_counter()
child = os.posix_spawnp(command[0], command, os.environ)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
wall = time.perf_counter() - start
with open(f'/proc/{child}/io') as file:
    read = dict(line.split(': ') for line in file)['rchar']
_, status, used = os.wait4(child, 0)
with open(report, 'w') as file:
    json.dump({'wall': wall, 'user': used.ru_utime, 'system': used.ru_stime,
               'peak': used.ru_maxrss * 1024, 'read': int(read)}, file)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
";

/// What a run used, its children included.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Wall-clock time, from before the start until it was waited for.
    pub wall: f64,
    /// Seconds of CPU in the program.
    pub user: f64,
    /// Seconds of CPU in the kernel on its behalf.
    pub system: f64,
    /// Peak resident memory of the largest process, in bytes.
    pub peak: u64,
    /// Bytes that it read with read(2), from files and pipes: what came through sockets is not in it
    /// (proc_pid_io(5), `rchar`).
    pub read: u64,
    /// What it printed.
    pub stdout: String,
}

impl Usage {
    /// This run and then another: times add up, the larger peak and the later output stay.
    fn then(self, next: Self) -> Self {
        Self {
            wall: self.wall + next.wall,
            user: self.user + next.user,
            system: self.system + next.system,
            peak: self.peak.max(next.peak),
            read: self.read + next.read,
            stdout: next.stdout,
        }
    }
}

/// Runs the commands one after the other, as one piece of work; `report` is a file to use.
pub fn measure(commands: &[Command], report: &Path) -> Result<Usage> {
    let runs = commands.iter().map(|command| measure_one(command, report));
    runs.reduce(|sum, next| Ok(sum?.then(next?))).context("nothing to measure")?
}

fn measure_one(command: &Command, report: &Path) -> Result<Usage> {
    let mut parent = Command::new(tools::find("python3").context("no python3 here")?);
    parent.args(["-I", "-c", PARENT]).arg(report).arg(command.get_program());
    parent.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        parent.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => parent.env(name, value),
            None => parent.env_remove(name),
        };
    }
    let stdout = capture(&mut parent).with_context(|| format!("running {}", line(command)))?;
    let said =
        fs::read_to_string(report).with_context(|| format!("reading {}", report.display()))?;
    parse(&said, stdout).with_context(|| format!("reading {}: {said:?}", report.display()))
}

fn parse(report: &str, stdout: String) -> Result<Usage> {
    let said: Value = serde_json::from_str(report)?;
    let number = |key: &str| said[key].as_f64().with_context(|| format!("no number {key:?}"));
    let whole = |key: &str| said[key].as_u64().with_context(|| format!("no number {key:?}"));
    Ok(Usage {
        wall: number("wall")?,
        user: number("user")?,
        system: number("system")?,
        peak: whole("peak")?,
        read: whole("read")?,
        stdout,
    })
}

/// Runs of which there is one, that took so many seconds.
#[cfg(test)]
pub fn one_run(wall: f64) -> Runs {
    Runs(vec![Usage { wall, ..Usage::default() }])
}

/// The runs of one side of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Runs(Vec<Usage>);

impl Runs {
    /// One more run.
    pub fn push(&mut self, usage: Usage) {
        self.0.push(usage);
    }

    /// The run with the median wall-clock time; of an even number, the slower of the middle two.
    pub fn median(&self) -> Usage {
        let mut sorted: Vec<&Usage> = self.0.iter().collect();
        sorted.sort_by(|a, b| a.wall.total_cmp(&b.wall));
        sorted.get(sorted.len() / 2).map_or_else(Usage::default, |usage| (*usage).clone())
    }

    /// The highest memory of all runs, in bytes.
    pub fn peak(&self) -> u64 {
        self.0.iter().map(|usage| usage.peak).max().unwrap_or(0)
    }
}

/// One side of a comparison: what it is called, and a run of it, which gets the round's number.
pub type Side<'a> = (&'a str, &'a mut dyn FnMut(usize) -> Result<Usage>);

/// Runs every side once in each round, in turn, so that what the machine does besides falls on
/// all of them alike.
pub fn alternate<const N: usize>(rounds: usize, sides: [Side<'_>; N]) -> Result<[Runs; N]> {
    let mut runs = [const { Runs(Vec::new()) }; N];
    let mut sides = sides;
    for round in 0..rounds {
        eprint!("    {}/{rounds}:", round + 1);
        for (runs, (name, side)) in runs.iter_mut().zip(&mut sides) {
            let usage = side(round).inspect_err(|_| eprintln!())?;
            eprint!("  {name} {:.3} s ({:.3} of CPU)", usage.wall, usage.user + usage.system);
            runs.push(usage);
        }
        eprintln!();
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(wall: f64, peak: u64) -> Usage {
        Usage { wall, peak, ..Usage::default() }
    }

    #[test]
    fn the_median_is_a_run_and_the_peak_is_the_highest() {
        let runs = Runs(vec![of(9.0, 1), of(1.0, 7), of(2.0, 3)]);
        assert_eq!((runs.median().wall, runs.peak()), (2.0, 7));
        assert_eq!(Runs(vec![of(1.0, 0), of(2.0, 0)]).median().wall, 2.0);
    }

    #[test]
    fn one_piece_of_work_adds_up_times_and_not_memory() {
        let both = of(1.5, 30).then(of(2.0, 20));
        assert_eq!((both.wall, both.peak), (3.5, 30));
    }

    #[test]
    fn sides_take_turns() {
        let order = std::cell::RefCell::new(Vec::new());
        let mut a = |round| {
            order.borrow_mut().push(("a", round));
            Ok(of(1.0, 0))
        };
        let mut b = |round| {
            order.borrow_mut().push(("b", round));
            Ok(of(4.0, 0))
        };
        let [ours, theirs] = alternate(2, [("a", &mut a), ("b", &mut b)]).unwrap();
        assert_eq!((ours.median().wall, theirs.median().wall), (1.0, 4.0));
        assert_eq!(order.into_inner(), [("a", 0), ("b", 0), ("a", 1), ("b", 1)]);
    }

    #[test]
    fn what_the_child_used_is_told_and_its_failure_passed_on() {
        let report = std::env::temp_dir().join(format!("treelay-ci-usage-{}", std::process::id()));
        let mut child = Command::new("python3");
        // 64 MiB that are written to, and work for the processor.
        child.args(["-c", "x = b'x' * (64 << 20); sum(range(10**6)); print(len(x))"]);
        let usage = measure(&[child], &report);
        let mut fails = Command::new("sh");
        let failed = measure(
            &[{
                fails.args(["-c", "exit 7"]);
                fails
            }],
            &report,
        );
        fs::remove_file(&report).unwrap();
        let usage = usage.unwrap();
        assert_eq!(usage.stdout, "67108864\n");
        assert!(usage.peak > 64 << 20 && usage.peak < 128 << 20, "{usage:?}");
        assert!(usage.user > 0.0 && usage.wall > 0.0, "{usage:?}");
        assert!(format!("{:#}", failed.unwrap_err()).contains("exit status: 7"));
    }

    #[test]
    fn a_report_without_a_number_is_refused() {
        let good = r#"{"wall": 1.5, "user": 1.0, "system": 0.25, "peak": 4096, "read": 7}"#;
        let usage = parse(good, String::new()).unwrap();
        assert_eq!((usage.wall, usage.user, usage.system), (1.5, 1.0, 0.25));
        assert_eq!((usage.peak, usage.read), (4096, 7));
        assert!(parse(r#"{"wall": 1.5, "user": 1.0, "system": 0.25}"#, String::new()).is_err());
    }
}
