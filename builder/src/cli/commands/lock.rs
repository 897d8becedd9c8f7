//! `treelay lock`.

use serde::Serialize;

use crate::cli::args::LockArgs;
use crate::cli::workspace::{LockPolicy, Workspace};
use crate::cli::{Failure, Result, Session, count};
use crate::exec::{BASE, TREE};
use crate::fetch::Served;

/// What `--json` prints.
#[derive(Serialize)]
struct LockReport {
    lock: String,
    changes: Vec<String>,
    served: Vec<Served>,
}

pub async fn run(session: &Session, args: LockArgs) -> Result<()> {
    let mut workspace = Workspace::open(session, &args.recipe, args.offline, args.sandbox.into())?;
    let policy = match (args.check, args.update) {
        (true, _) => LockPolicy::Locked,
        (false, None) => LockPolicy::Make,
        (false, Some(names)) => LockPolicy::Update(names),
    };
    let recipe = &workspace.recipe;
    let bases = [(BASE, recipe.image.base.is_some()), (TREE, recipe.ostree.base.is_some())];
    let bases = bases.into_iter().filter(|(_, there)| *there).map(|(name, _)| name);
    let known: Vec<_> = recipe.inputs.keys().map(String::as_str).chain(bases).collect();
    if let LockPolicy::Update(names) = &policy
        && let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str()))
    {
        return Err(Failure::usage_message(format!(
            "the recipe has no input {unknown:?}: it has {}",
            known.join(", ")
        )));
    }
    let (lock, changes) = workspace.lock(&policy, &session.reporter).await?;
    let file = workspace.lock_file.display();
    if args.json {
        return session.print_json(&LockReport {
            lock: file.to_string(),
            changes,
            served: workspace.fetcher.served(),
        });
    }
    match (args.check, changes.is_empty()) {
        (true, _) => session.print(&format!("{file} fits the recipe\n")),
        (false, true) => {
            let inputs = count(lock.inputs().len(), "input");
            session.print(&format!("{file} is up to date: {inputs}\n"))
        }
        (false, false) => session.print(&format!("{file}\n  {}\n", changes.join("\n  "))),
    }
}
