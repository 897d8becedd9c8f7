//! Provenance: from what and how an image or commits were made, as SLSA v1 has it
//! (<https://slsa.dev/spec/v1.0/provenance>). What each field holds is described in
//! `docs/provenance.md`.
//!
//! It is a function of recipe, lock and plan alone. When the build ran is left out: the same build
//! gives the same provenance, today and in ten years, and a time would be the only thing in it that
//! nobody can check.

use serde_json::{Map, Value, json};
use treelay_recipes::lock::{Evidence, Field, LockedInput};
use treelay_recipes::{Arch, Digest, Lock, rfc3339};

use super::inputs::{address, uri, without_secrets};
use crate::exec::Part;
use crate::plan::{Plan, PlannedNeed};

/// What the parameters mean: `docs/provenance.md`.
pub const BUILD_TYPE: &str = "urn:treelay:build:v1";

/// Who built, where nobody says better: treelay, on a machine that vouches for nothing.
pub const LOCAL_BUILDER: &str = "urn:treelay:builder:local";

/// What provenance is made from.
pub struct Facts<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The lock.
    pub lock: &'a Lock,
    /// The name of the recipe's file, without its folder.
    pub file_name: &'a str,
    /// The recipe as it is written.
    pub text: &'a str,
    /// The URI of the platform that the build ran on, of whoever runs it.
    pub builder: &'a str,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// An image.
    Image,
    /// Commits.
    Commits,
}

/// A layer that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeLayer {
    /// The arch.
    pub arch: Arch,
    /// Its name in the recipe.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// What of the recipe's layer it is.
    pub part: Part,
    /// Of an image, its blob; of commits, the tree.
    pub digest: Digest,
    /// Of an image: the digest of its tar, and the blob's media type.
    pub blob: Option<(Digest, &'static str)>,
}

/// The predicate.
pub fn predicate(facts: &Facts<'_>, product: Product, layers: &[MadeLayer]) -> Value {
    let Facts { plan, .. } = facts;
    let arches: Vec<&str> = plan.arches.iter().map(|arch| arch.go()).collect();
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "recipe": { "name": facts.file_name, "text": without_secrets(facts.text) },
                "arch": arches,
            },
            "internalParameters": {
                "plan": plan.digest(),
                "epoch": plan.epoch,
                "codec": plan.image.codec,
            },
            "resolvedDependencies": dependencies(facts, product),
        },
        "runDetails": {
            "builder": { "id": facts.builder, "version": { "treelay": plan.treelay } },
            "metadata": { "invocationId": plan.digest() },
            "byproducts": layers.iter().map(made).collect::<Vec<_>>(),
        },
    })
}

fn dependencies(facts: &Facts<'_>, product: Product) -> Vec<Value> {
    let Facts { plan, lock, file_name, text, .. } = facts;
    let stem = file_name.rsplit_once('.').map_or(*file_name, |(stem, _)| stem);
    let mut all = vec![
        json!({ "name": "recipe", "uri": file_name, "digest": sha256(&Digest::of(text)) }),
        json!({
            "name": "lock",
            "uri": format!("{stem}.lock"),
            "digest": sha256(&Digest::of(lock.to_text())),
        }),
    ];
    // All of them: what builds for another arch is not among those that are built for.
    all.extend(lock.inputs().iter().map(input));
    match product {
        Product::Image => {
            for image in &plan.images {
                let Some(base) = &image.base else { continue };
                all.push(json!({
                    "name": "image.base",
                    "uri": address(&base.image),
                    "digest": sha256(&base.manifest),
                    "annotations": { "arch": image.arch, "index": base.digest },
                }));
            }
        }
        Product::Commits => {
            for commit in &plan.commits {
                let Some(base) = &commit.base else { continue };
                let mut notes = json!({ "arch": commit.arch });
                if let Some((named, manifest)) = base.locked.image {
                    notes["index"] = json!(named);
                    notes["manifest"] = json!(manifest);
                }
                all.push(json!({
                    "name": "ostree.base",
                    "uri": address(&base.from),
                    "digest": { "sha256": base.commit.hex() },
                    "annotations": notes,
                }));
            }
        }
    }
    let mut local: Vec<Value> = Vec::new();
    for layer in &plan.layers {
        for need in &layer.needs {
            let (path, digest, form) = match need {
                PlannedNeed::LocalFile { path, digest, .. } => (path, digest, "file"),
                PlannedNeed::LocalDir { path, tree } => (path, tree, "tree"),
                _ => continue,
            };
            let found = json!({
                "name": path,
                "uri": path,
                "digest": sha256(digest),
                "annotations": { "form": form },
            });
            if !local.contains(&found) {
                local.push(found);
            }
        }
    }
    all.extend(local);
    all
}

fn input(input: &LockedInput) -> Value {
    let LockedInput { name, arch, kind, version, source, file, identity, .. } = input;
    let mut notes = Map::new();
    let mut note = |key: &str, value: Value| drop(notes.insert(key.to_owned(), value));
    note("arch", json!(arch));
    note("kind", json!(kind.name()));
    note("source", json!(source.name()));
    note("identity", json!(identity));
    if let Some(version) = version {
        note("version", json!(version));
    }
    if let Some(file) = file {
        note("size", json!(file.size));
    }
    if let Some(released) = input.released {
        note("released", json!(rfc3339(released)));
    }
    if let Some(sums) = &input.sums {
        note("sums", json!(sums));
    }
    if !input.evidence.is_empty() {
        note("evidence", input.evidence.iter().map(evidence).collect());
    }
    let digest = match (&input.commit, file) {
        (Some(commit), _) => json!({ "gitCommit": commit }),
        (None, Some(file)) => sha256(&file.sha256),
        (None, None) => sha256(identity),
    };
    json!({ "name": name, "uri": uri(input), "digest": digest, "annotations": notes })
}

fn evidence(evidence: &Evidence) -> Value {
    let mut told = Map::new();
    told.insert("method".to_owned(), json!(evidence.method().name()));
    for (name, field) in evidence.fields() {
        let value = match field {
            // It may be an address of the recipe's.
            Field::Text(text) => json!(without_secrets(&text)),
            Field::Number(number) => json!(number),
        };
        told.insert(name.to_owned(), value);
    }
    Value::Object(told)
}

fn made(layer: &MadeLayer) -> Value {
    let part = match layer.part {
        Part::Whole => "whole",
        Part::Shared => "shared",
        Part::Own => "own",
    };
    let mut notes = json!({ "arch": layer.arch, "kind": layer.kind, "part": part });
    let mut made = json!({ "name": layer.name, "digest": sha256(&layer.digest) });
    match layer.blob {
        Some((diff_id, media_type)) => {
            notes["diffId"] = json!(diff_id);
            made["mediaType"] = json!(media_type);
        }
        None => notes["form"] = json!("tree"),
    }
    made["annotations"] = notes;
    made
}

/// As in-toto has digests.
fn sha256(digest: &Digest) -> Value {
    json!({ "sha256": digest.hex() })
}
