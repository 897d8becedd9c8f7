//! What a build made, as JSON for scripts and as text for people. Keys are only ever added.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use serde::Serialize;
use treelay_recipes::{Arch, Digest, Recipe};
use treelay_signing::Signature;

use crate::attest::AttachedDocument;
use crate::cli::count;
use crate::dest::Dest;
use crate::exec::{Blobs, Layers};
use crate::fetch::Served;
use crate::ostree_repo::Repository;
use crate::output::{BuiltImage, CommitArtifact, ImageArtifact};
use crate::plan::Plan;
use crate::sign::AttachReport;

/// Seconds of each phase, in order.
pub struct Phases {
    last: Instant,
    done: Vec<(&'static str, f64)>,
}

impl Phases {
    /// The first phase begins.
    pub fn start() -> Self {
        Self { last: Instant::now(), done: Vec::new() }
    }

    /// A phase ends and the next begins. The same name again adds to the first.
    pub fn end(&mut self, name: &'static str) {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        match self.done.iter_mut().find(|(done, _)| *done == name) {
            Some((_, sum)) => *sum += seconds,
            None => self.done.push((name, seconds)),
        }
    }
}

/// What a build made.
#[derive(Debug, Serialize)]
pub struct BuildReport {
    recipe: String,
    name: String,
    version: String,
    plan: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Named>,
    images: Vec<Image>,
    commits: Vec<Commit>,
    signatures: Vec<SignatureLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attestations: Vec<AttachedDocument>,
    outputs: Vec<Output>,
    served: Vec<Served>,
    phases: Vec<Phase>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Phase {
    name: &'static str,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Named {
    digest: Digest,
}

#[derive(Debug, Serialize)]
struct Image {
    arch: Arch,
    digest: Digest,
    layers: Vec<Layer>,
}

#[derive(Debug, Serialize)]
struct Layer {
    name: String,
    digest: Digest,
    diff_id: Digest,
    size: u64,
    media_type: &'static str,
    /// Whether other arches have the same blob.
    shared: bool,
    /// Whether nothing had to be made.
    cached: bool,
}

#[derive(Debug, Serialize)]
struct Commit {
    arch: Arch,
    #[serde(rename = "ref")]
    refname: String,
    checksum: String,
    content_checksum: String,
    /// The commit below the layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    /// Whether the ref's commit said the same already.
    unchanged: bool,
}

#[derive(Debug, PartialEq, Serialize)]
struct SignatureLine {
    subject: String,
    scheme: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize)]
struct Output {
    dest: String,
    #[serde(skip)]
    text: String,
}

impl BuildReport {
    /// Nothing made yet.
    pub fn new(recipe: &Recipe, file: &Path, plan: &Plan) -> Self {
        Self {
            recipe: file.display().to_string(),
            name: recipe.name.value.clone(),
            version: plan.version.clone(),
            plan: plan.digest(),
            index: None,
            images: Vec::new(),
            commits: Vec::new(),
            signatures: Vec::new(),
            attestations: Vec::new(),
            outputs: Vec::new(),
            served: Vec::new(),
            phases: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Who served the inputs that were fetched.
    pub fn served(&mut self, served: Vec<Served>) {
        self.served = served;
    }

    /// The image, before it is written anywhere.
    pub fn image(&mut self, plan: &Plan, image: &BuiltImage, layers: &Layers<'_>, blobs: &Blobs) {
        let mut arches: BTreeMap<Digest, BTreeSet<Arch>> = BTreeMap::new();
        for (arch, of_arch) in &image.layers {
            for layer in of_arch {
                arches.entry(layer.blob.digest).or_default().insert(*arch);
            }
        }
        self.index = Some(Named { digest: image.index.digest() });
        for one in &image.images {
            let of_arch = image.layers.get(&one.arch).into_iter().flatten();
            let built = layers.by_arch.get(&one.arch).into_iter().flatten();
            let layers = of_arch.zip(built).map(|(layer, built)| Layer {
                name: layer.name.clone(),
                digest: layer.blob.digest,
                diff_id: layer.blob.diff_id,
                size: layer.blob.size,
                media_type: plan.codec().media_type(),
                shared: arches.get(&layer.blob.digest).is_some_and(|arches| arches.len() > 1),
                cached: blobs.get(&built.tree).is_some_and(|(_, there)| *there),
            });
            self.images.push(Image {
                arch: one.arch,
                digest: one.manifest.digest(),
                layers: layers.collect(),
            });
        }
    }

    /// An image was written.
    pub fn wrote(&mut self, dest: &Dest, tag: &str, written: &ImageArtifact) {
        let (blobs, bytes) = written.moved;
        let text = format!(
            "{dest}: {tag} is {}; {} written ({}), {} there already",
            written.index.digest,
            count(blobs, "blob"),
            HumanBytes(bytes),
            written.reused
        );
        self.outputs.push(Output { dest: dest.to_string(), text });
    }

    /// An image was signed.
    pub fn signed(&mut self, signed: &AttachReport) {
        for subject in &signed.subjects {
            for key in &subject.keys {
                self.add_signature(
                    subject.digest.to_string(),
                    key.scheme.to_owned(),
                    Some(key.key.clone()),
                );
            }
        }
    }

    /// A commit was signed.
    pub fn signed_commit(&mut self, commit: &Digest, signatures: &[Signature]) {
        for one in signatures {
            self.add_signature(commit.hex(), one.scheme.to_owned(), one.key.clone());
        }
    }

    /// A commit was signed with GPG.
    pub fn gpg_signed_commit(&mut self, commit: &Digest, key: &str) {
        self.add_signature(commit.hex(), "ostree.gpgsigs".to_owned(), Some(key.to_owned()));
    }

    fn add_signature(&mut self, subject: String, scheme: String, key: Option<String>) {
        let line = SignatureLine { subject, scheme, key };
        if !self.signatures.contains(&line) {
            self.signatures.push(line);
        }
    }

    /// Documents were signed.
    pub fn attested(&mut self, attached: Vec<AttachedDocument>) {
        for one in attached {
            let same = |there: &AttachedDocument| {
                (&there.subject, &there.kind, &there.key) == (&one.subject, &one.kind, &one.key)
            };
            if !self.attestations.iter().any(same) {
                self.attestations.push(one);
            }
        }
    }

    /// Commits were made.
    pub fn committed(&mut self, dest: &Dest, repo: &Repository, commits: &[CommitArtifact]) {
        let mut text = format!("{dest} ({}):", repo.mode());
        for commit in commits {
            let outcome = &commit.outcome;
            let how = match &outcome.written {
                None => "unchanged".to_owned(),
                Some(written) => {
                    let made = count(written.made, "object");
                    format!("new, {made} made, {} there already", written.reused)
                }
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {} is {}; {how}", outcome.refname, outcome.checksum.hex());
            self.commits.push(Commit {
                arch: commit.arch,
                refname: outcome.refname.clone(),
                checksum: outcome.checksum.hex(),
                content_checksum: outcome.content_checksum.hex(),
                base: commit.base.as_ref().map(Digest::hex),
                unchanged: outcome.written.is_none(),
            });
        }
        self.outputs.push(Output { dest: dest.to_string(), text });
    }

    /// A tree was written.
    pub fn tree(&mut self, dest: &Dest, arch: Arch, files: u64, bytes: u64) {
        let text = format!("{dest}: {arch}, {files} files, {}", HumanBytes(bytes));
        self.outputs.push(Output { dest: dest.to_string(), text });
    }

    /// All is done.
    pub fn finish(mut self, phases: Phases, all: Duration) -> Self {
        let phase = |(name, seconds)| Phase { name, seconds };
        self.phases = phases.done.into_iter().map(phase).collect();
        self.seconds = all.as_secs_f64();
        self
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.name, self.version);
        let mut line = |words: String| {
            let _ = writeln!(text, "{words}");
        };
        let mut seen = BTreeSet::new();
        for image in &self.images {
            line(format!("{:8} {}", image.arch.go(), image.digest));
            for layer in &image.layers {
                let how = match (layer.cached, seen.insert(layer.digest)) {
                    (_, false) => "shared",
                    (true, true) => "unchanged",
                    (false, true) => "new",
                };
                let size = HumanBytes(layer.size).to_string();
                line(format!("  {:14} {} {size:>11}  {how}", layer.name, layer.digest.short()));
            }
        }
        for output in &self.outputs {
            line(output.text.clone());
        }
        if !self.signatures.is_empty() {
            line(count(self.signatures.len(), "signature"));
        }
        if !self.attestations.is_empty() {
            line(count(self.attestations.len(), "attestation"));
        }
        line(format!("{:.2} s", self.seconds));
        text
    }
}
