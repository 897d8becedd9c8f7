//! `treelay plan`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indicatif::HumanBytes;

use crate::cli::args::PlanArgs;
use crate::cli::workspace::{LockPolicy, Workspace};
use crate::cli::{Result, Session};
use crate::plan::{Plan, PlannedNeed, rfc3339};
use crate::store::Store;

pub async fn run(session: &Session, args: PlanArgs) -> Result<()> {
    let workspace = Workspace::open(session, &args.recipe.recipe, args.recipe.offline)?;
    workspace.check_arches(&args.recipe.arch)?;
    let epoch = session.around.source_date_epoch()?;
    let policy = if args.recipe.locked { LockPolicy::Locked } else { LockPolicy::Make };
    let (lock, changes) = workspace.lock(&policy, &session.reporter).await?;
    for change in changes {
        session.reporter.say(&format!("locked {change}"));
    }
    let plan = workspace.plan(&lock, &args.recipe.arch, epoch)?;
    if args.json {
        return session.print(&(plan.canonical_json() + "\n"));
    }
    session.print(&text(&plan, &workspace.store))
}

fn text(plan: &Plan, store: &Store) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    line(format!("plan {} of {} {}", plan.digest(), plan.name, plan.version));
    line(format!("epoch {} ({})", plan.epoch, rfc3339(plan.epoch)));
    for input in &plan.inputs {
        let there =
            if store.has_tree(&input.identity) { "unpacked in the store" } else { "to fetch" };
        let size = input.size.map(|size| format!(", {}", HumanBytes(size))).unwrap_or_default();
        line(format!("input {} for {}: {}{size}; {there}", input.name, input.arch, input.from));
    }
    let mut seen = BTreeSet::new();
    for layer in &plan.layers {
        let tree = store.product("layer-tree", &layer.key);
        let blob = tree.as_ref().and_then(|tree| store.layer_blob(tree, plan.codec()));
        let there = match (tree, blob) {
            _ if !seen.insert(layer.key) => "the same as on another arch".to_owned(),
            (_, Some(blob)) => format!("there, {}", HumanBytes(blob.size)),
            (Some(_), None) => format!("to encode as {}", plan.image.codec),
            (None, None) => "to make".to_owned(),
        };
        line(format!("layer {} for {} ({}): {there}", layer.name, layer.arch, layer.kind));
        for need in &layer.needs {
            line(match need {
                PlannedNeed::Input { name, identity } => {
                    format!("  input {name} {}", identity.short())
                }
                PlannedNeed::LocalFile { path, digest, size, .. } => {
                    format!("  file {path} {}, {}", digest.short(), HumanBytes(*size))
                }
                PlannedNeed::LocalDir { path, tree } => {
                    format!("  directory {path} {}", tree.short())
                }
            });
        }
    }
    for commit in &plan.commits {
        line(format!("commit {}", commit.refname));
    }
    text
}
