//! `treelay store verify`.

use std::fmt::Write as _;

use indicatif::HumanBytes;
use serde_json::json;

use crate::cli::args::StoreCommand;
use crate::cli::failure::Doing as _;
use crate::cli::{Failure, Result, Session, count};
use crate::ostree_repo::Repository;
use crate::store::Problem;

/// What it means when an object of a base is lost.
const BASE: &str = "an object of a base; it is pulled or unpacked again when the base is used";

pub fn run(session: &Session, command: &StoreCommand) -> Result<()> {
    let StoreCommand::Verify { repair, json } = *command;
    let store = session.idle_store()?;
    let root = store.root().display();
    let checking = || format!("checking the store {root}");
    let mut report = store.check(session.jobs, repair).doing(checking)?;
    let mut objects = 0;
    for base in store.base_repositories().doing(checking)? {
        let path = store.root().join(&base);
        let problem =
            |object: String, reason| Problem { path: base.join(object), reason, meaning: BASE };
        let checked = match Repository::open(&path) {
            Ok(repository) => repository.check_all(session.jobs, repair).doing(checking)?,
            Err(error) => {
                report.problems.push(problem(String::new(), error.to_string()));
                if repair {
                    std::fs::remove_dir_all(&path).doing(checking)?;
                }
                continue;
            }
        };
        objects += checked.objects;
        let damage = checked.damage.into_iter();
        report.problems.extend(damage.map(|damage| problem(damage.object, damage.reason)));
    }
    let wrong = report.problems.len();
    if json {
        let mut object = serde_json::to_value(&report)?;
        object["store"] = json!(store.root());
        object["base_objects"] = json!(objects);
        session.print_json(&object)?;
    } else {
        let mut text = String::new();
        for problem in &report.problems {
            let (path, reason, meaning) =
                (problem.path.display(), &problem.reason, problem.meaning);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{path}: {reason}\n  {meaning}");
        }
        let mut read = format!("{} files ({})", report.files, HumanBytes(report.bytes));
        if objects > 0 {
            read += &format!(" and {} of bases", count(objects as usize, "object"));
        }
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
    let what = match wrong {
        1 => "something in it is not what it should be".to_owned(),
        _ => format!("{wrong} things in it are not what they should be"),
    };
    Err(Failure::message(format!("the store {root} is damaged: {what}")).hinted(
        "`treelay store verify --repair` removes what is wrong, and the next build makes it anew",
    ))
}
