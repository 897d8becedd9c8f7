//! `treelay plan`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indicatif::HumanBytes;
use treelay_recipes::Digest;

use crate::cli::args::PlanArgs;
use crate::cli::workspace::{LockPolicy, Workspace};
use crate::cli::{Result, Session};
use crate::exec::{Layers, Part, Sandbox};
use crate::plan::{Plan, PlannedNeed};
use crate::store::Store;
use treelay_recipes::rfc3339;

pub async fn run(session: &Session, args: PlanArgs) -> Result<()> {
    let mut workspace =
        Workspace::open(session, &args.recipe.recipe, args.recipe.offline, Sandbox::Auto)?;
    workspace.check_arches(&args.recipe.arch)?;
    let epoch = session.around.source_date_epoch()?;
    let policy = if args.recipe.locked { LockPolicy::Locked } else { LockPolicy::Make };
    let (lock, changes) = workspace.lock(&policy, &session.reporter).await?;
    for change in changes {
        session.reporter.say(&format!("locked {change}"));
    }
    let plan = workspace.plan(&lock, &args.recipe.arch, epoch)?;
    if args.json {
        return session.print_raw(&(plan.canonical_json() + "\n"));
    }
    // What cannot be said of a store with something damaged in it, `build` mends.
    let known = workspace.workshop(&session.reporter).known_layers(&plan).unwrap_or_default();
    session.print(&text(&plan, &workspace.store, known.as_ref()))
}

/// `known`: the layers, where the store has the tree of each, and so what arches share of them.
fn text(plan: &Plan, store: &Store, known: Option<&Layers<'_>>) -> String {
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
        let whole = format!("layer {} for {} ({})", layer.name, layer.arch, layer.kind);
        let of_arch = known.and_then(|known| known.by_arch.get(&layer.arch)).into_iter().flatten();
        let parts: Vec<_> = of_arch.filter(|part| part.name == layer.name).collect();
        if parts.is_empty() {
            let made = store.product::<Digest>("layer-tree", &layer.key).is_some();
            let there = match made {
                _ if !seen.insert(layer.key) => "the same as on another arch",
                true => "made",
                false => "to make",
            };
            line(format!("{whole}: {there}"));
        }
        for part in parts {
            let blob = store.layer_blob(&part.tree, plan.codec());
            let there = match blob {
                _ if !seen.insert(part.tree) => "the same as on another arch".to_owned(),
                Some(blob) => format!("there, {}", HumanBytes(blob.size)),
                None => format!("to encode as {}", plan.image.codec),
            };
            let which = match part.part {
                Part::Whole => "",
                Part::Shared => ", what all arches share",
                Part::Own => ", what this arch adds",
            };
            line(format!("{whole}{which}: {there}"));
        }
        for need in &layer.needs {
            line(match need {
                PlannedNeed::Input { name, identity } => {
                    format!("  input {name} {}", identity.short())
                }
                PlannedNeed::Toolchain { name, identities } => {
                    let each = identities.iter();
                    let each: Vec<String> =
                        each.map(|(arch, tree)| format!("{arch} {}", tree.short())).collect();
                    format!("  toolchain {name} {}", each.join(", "))
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
        let over = commit
            .base
            .as_ref()
            .map(|base| format!(" over {} ({})", base.from, &base.commit.hex()[..12]));
        line(format!("commit {}{}", commit.refname, over.unwrap_or_default()));
    }
    text
}
