//! `treelay store verify`.

use std::fmt::Write as _;

use indicatif::HumanBytes;
use serde_json::json;

use crate::cli::args::StoreCommand;
use crate::cli::failure::Doing as _;
use crate::cli::{Failure, Result, Session};

pub fn run(session: &Session, command: &StoreCommand) -> Result<()> {
    let StoreCommand::Verify { repair, json } = *command;
    let store = session.idle_store()?;
    let root = store.root().display();
    let report =
        store.check(session.jobs, repair).doing(|| format!("checking the store {root}"))?;
    let wrong = report.problems.len();
    if json {
        let mut object = serde_json::to_value(&report)?;
        object["store"] = json!(store.root());
        session.print_json(&object)?;
    } else {
        let mut text = String::new();
        for problem in &report.problems {
            let (path, reason, meaning) =
                (problem.path.display(), &problem.reason, problem.meaning);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{path}: {reason}\n  {meaning}");
        }
        let read = format!("{} files ({})", report.files, HumanBytes(report.bytes));
        let _ = writeln!(
            text,
            "{read} checked, {wrong} wrong{}",
            match (wrong, repair) {
                (0, _) => "",
                (_, true) => ", and removed: the next build makes anew what it needs",
                (_, false) => "",
            }
        );
        session.print(&text)?;
    }
    if wrong == 0 || repair {
        return Ok(());
    }
    let files = if wrong == 1 { "a file" } else { "files" };
    Err(Failure::message(format!("the store {root} has {files} that are not what they should be"))
        .hinted("`treelay store verify --repair` removes them, and the next build makes them anew"))
}
