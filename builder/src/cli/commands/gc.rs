//! `treelay gc`.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use indicatif::HumanBytes;
use serde_json::json;

use crate::cli::args::GcArgs;
use crate::cli::failure::Doing as _;
use crate::cli::{Result, Session};
use crate::store::{GcReport, Limits, Tally};

const DAY: u64 = 24 * 3600;

pub fn run(session: &Session, args: &GcArgs) -> Result<()> {
    let store = session.idle_store()?;
    let age = Duration::from_secs(u64::from(args.keep_days) * DAY);
    let since = session.around.now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let limits = Limits { since, size: args.max_size };
    let root = store.root().display();
    let report = store.gc(&limits, args.dry_run).doing(|| format!("tidying the store {root}"))?;
    if args.json {
        let mut object = serde_json::to_value(&report)?;
        object["dry_run"] = json!(args.dry_run);
        object["store"] = json!(store.root());
        return session.print_json(&object);
    }
    session.print(&text(&report, args))
}

fn text(report: &GcReport, args: &GcArgs) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    for (room, tally) in &report.rooms {
        line(format!("{room}: {}", amount(tally)));
    }
    let verb = if args.dry_run { "would remove" } else { "removed" };
    line(format!("{verb} {}; {} stay", amount(&report.removed), amount(&report.kept)));
    if args.max_size.is_some_and(|size| report.kept.bytes > size) {
        line(format!("the rest is in use by {}", at_work(report.running)));
    } else if report.running > 0 {
        line(format!("what {} may use was left alone", at_work(report.running)));
    }
    text
}

fn amount(tally: &Tally) -> String {
    let s = if tally.files == 1 { "" } else { "s" };
    format!("{} file{s} ({})", tally.files, HumanBytes(tally.bytes))
}

fn at_work(running: usize) -> String {
    match running {
        1 => "a process at work".to_owned(),
        n => format!("{n} processes at work"),
    }
}
