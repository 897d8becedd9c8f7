//! `treelay diff`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indicatif::HumanBytes;
use serde_json::json;
use treelay_layers::tree::SELINUX;

use crate::cli::args::DiffArgs;
use crate::cli::failure::Doing as _;
use crate::cli::places::{Images, images};
use crate::cli::plain::plain;
use crate::cli::{Failure, Result, Session, count};
use crate::dest::{Access, Dest};
use crate::diff::{
    Comparison, Known, LayerChange, Part, PathChange, PathInfo, Side, compare, pairs,
};
use crate::image_store::Descriptor;
use crate::image_store::registry::RegistryClient;
use crate::ostree_repo::Repository;

/// What is told of a comparison of an image and a commit.
const MAPPING: &str = "a commit's /usr/etc is compared as /etc, and labels are left out";

/// What is told where that mapping leaves differences.
const VAR: &str = "in a commit over a base, directories and links that layers bring to /var are lines \
                   of /usr/lib/tmpfiles.d/treelay-NAME.conf: these differ";
/// Where files of such lines are.
const TMPFILES: &str = "/usr/lib/tmpfiles.d/treelay-";

pub async fn run(session: &Session, args: DiffArgs) -> Result<()> {
    let registries = session.around.registries(args.registry.plain_http);
    let from = Place::open(session, &registries, &args.from).await?;
    let to = Place::open(session, &registries, &args.to).await?;
    let (first, second) = (from.side(&args.from).await?, to.side(&args.to).await?);
    let wanted = |part: &&Part<'_>| {
        args.arch.is_empty() || args.arch.iter().any(|arch| arch.go() == part.platform.architecture)
    };
    let firsts: Vec<&Part<'_>> = first.parts.iter().filter(wanted).collect();
    let seconds: Vec<&Part<'_>> = second.parts.iter().filter(wanted).collect();
    let pairs = pairs(&firsts, &seconds);
    if pairs.is_empty() {
        let has = |side: &Side<'_>| {
            let arches: Vec<String> = side.parts.iter().map(Part::name).collect();
            if arches.is_empty() { "none".to_owned() } else { arches.join(", ") }
        };
        return Err(Failure::message(format!(
            "there is no arch to compare: {} has {}, {} has {}",
            args.from,
            has(&first),
            args.to,
            has(&second)
        )));
    }
    let mut notes = Vec::new();
    if first.commits != second.commits {
        notes.push(MAPPING.to_owned());
    }
    for (parts, dest) in [(&firsts, &args.from), (&seconds, &args.to)] {
        let is_paired = |part: &Part<'_>| {
            pairs.iter().any(|(a, b)| std::ptr::eq(*a, part) || std::ptr::eq(*b, part))
        };
        for part in parts.iter().filter(|part| !is_paired(part)) {
            notes.push(format!("only {dest} is for {}", part.name()));
        }
    }
    let mut known = Known::default();
    let mut comparisons = Vec::new();
    for (one, other) in pairs {
        let comparing = || format!("comparing {} with {}", args.from, args.to);
        comparisons.push(compare(one, other, &mut known).await.doing(comparing)?);
    }
    if first.commits != second.commits && comparisons.iter().any(has_tmpfiles) {
        notes.push(VAR.to_owned());
    }
    let left_out = comparisons.iter().flat_map(|comparison| &comparison.left_out);
    let left_out: BTreeSet<&str> = left_out.copied().collect();
    notes.extend(left_out.iter().map(|what| format!("not compared: {what}")));
    if args.json {
        return session.print_json(&json!({ "notes": notes, "arches": comparisons }));
    }
    let mut text = String::new();
    for note in notes {
        text += &format!("{}\n", plain(&note));
    }
    comparisons.iter().for_each(|comparison| write(&mut text, comparison));
    session.print(&text)
}

fn has_tmpfiles(comparison: &Comparison) -> bool {
    let Comparison { added, removed, changed, .. } = comparison;
    let changed = changed.iter().map(|change| &change.to);
    added.iter().chain(removed).chain(changed).any(|info| info.path.starts_with(TMPFILES))
}

/// An open place that holds what is compared.
enum Place {
    Images(Images, Descriptor),
    Commits(Repository, Option<String>),
}

impl Place {
    async fn open(session: &Session, registries: &RegistryClient, dest: &Dest) -> Result<Self> {
        match dest.under(&session.around.current_dir) {
            Dest::Ostree { repo, reference } => {
                let repository = Repository::open(&repo).doing(|| format!("opening {dest}"))?;
                Ok(Self::Commits(repository, reference))
            }
            Dest::Tree { .. } => Err(Failure::usage_message(format!(
                "{dest} cannot be compared: only images and commits say all there is to a path"
            ))),
            _ => {
                let images = images(session, registries, dest, Access::Read)?;
                let found = images.resolve(dest).await?;
                Ok(Self::Images(images, found))
            }
        }
    }

    async fn side(&self, dest: &Dest) -> Result<Side<'_>> {
        let reading = || format!("reading {dest}");
        match self {
            Self::Images(images, root) => Side::image(&*images.store, root).await.doing(reading),
            Self::Commits(repository, reference) => {
                let names = repository.named(reference.as_deref()).doing(reading)?;
                Side::commits(repository, &names).doing(reading)
            }
        }
    }
}

fn write(text: &mut String, comparison: &Comparison) {
    let Comparison { arch, from, to, added, removed, changed, layers, .. } = comparison;
    // Writing to a String cannot fail.
    let mut line = |words: String| {
        let _ = writeln!(text, "{}", plain(&words));
    };
    let arch = if arch.is_empty() { "any arch" } else { arch };
    if comparison.is_same() {
        let same = if from == to { "the same" } else { "no path differs" };
        return line(format!("{arch}: {} and {}: {same}", from.short(), to.short()));
    }
    line(format!("{arch}: {} became {}", from.short(), to.short()));
    // By path, whatever happened to it.
    let mut lines: Vec<(&str, String)> = Vec::new();
    lines.extend(removed.iter().map(|info| (&*info.path, alone('-', info))));
    lines.extend(added.iter().map(|info| (&*info.path, alone('+', info))));
    lines.extend(changed.iter().map(|change| (&*change.to.path, both(change))));
    lines.sort_by_key(|(path, _)| *path);
    lines.into_iter().for_each(|(_, words)| line(words));
    let all = LayerChange {
        layer: None,
        added: added.len(),
        added_bytes: added.iter().map(|info| info.size).sum(),
        removed: removed.len(),
        removed_bytes: removed.iter().map(|info| info.size).sum(),
        changed: changed.len(),
        grown: layers.iter().fold(0, |sum, layer| layer.grown.saturating_add(sum)),
    };
    line(format!("  {}", sum(&all)));
    // One has all of it.
    if layers.len() > 1 {
        for layer in layers {
            let name = layer
                .layer
                .as_deref()
                .map_or("in no layer".to_owned(), |name| format!("layer {name}"));
            line(format!("  {name}: {}", sum(layer)));
        }
    }
}

fn sum(change: &LayerChange) -> String {
    let LayerChange { added, removed, changed, grown, .. } = change;
    let sign = if *grown < 0 { '-' } else { '+' };
    format!(
        "{} added ({}), {removed} removed ({}), {changed} changed ({sign}{})",
        count(*added, "path"),
        HumanBytes(change.added_bytes),
        HumanBytes(change.removed_bytes),
        HumanBytes(grown.unsigned_abs()),
    )
}

fn alone(mark: char, info: &PathInfo) -> String {
    let what = match (info.kind, &info.target) {
        ("file", _) => format!(", {}", HumanBytes(info.size)),
        (_, Some(target)) => format!(" -> {target}"),
        _ => "/".to_owned(),
    };
    format!("  {mark} {}{what}{}", info.path, layer(info))
}

fn both(change: &PathChange) -> String {
    let PathChange { aspects, from, to } = change;
    let told = aspects.iter().map(|aspect| match aspect.as_str() {
        "content" if from.size == to.size => format!("content, {}", HumanBytes(to.size)),
        "content" => format!("content, {} -> {}", HumanBytes(from.size), HumanBytes(to.size)),
        "type" => format!("{} -> {}", from.kind, to.kind),
        "mode" => format!("mode {} -> {}", from.mode, to.mode),
        "owner" => {
            let owner = |info: &PathInfo| format!("{}:{}", info.owner.0, info.owner.1);
            format!("owner {} -> {}", owner(from), owner(to))
        }
        "target" => {
            let target = |info: &PathInfo| info.target.clone().unwrap_or_default();
            format!("target {} -> {}", target(from), target(to))
        }
        aspect => {
            let name = aspect.strip_prefix("xattr ").unwrap_or(SELINUX);
            let value = |info: &PathInfo| {
                info.xattrs.get(name).map_or_else(|| "none".to_owned(), String::clone)
            };
            format!("{aspect} {} -> {}", value(from), value(to))
        }
    });
    let told: Vec<String> = told.collect();
    format!("  ~ {}: {}{}", to.path, told.join("; "), layer(to))
}

fn layer(info: &PathInfo) -> String {
    info.layer.as_ref().map_or_else(String::new, |layer| format!("  ({layer})"))
}
