//! What a commit is worth: every object that it reaches is computed again, its ref binding compared,
//! its signatures judged. Any doubt and any error is a reason to refuse.

use std::fmt;

use ostree::glib::Variant;
use ostree::{ObjectType, RepoCommitState};
use serde::Serialize;
use treelay_recipes::Digest;

use super::error::{Doing, Result};
use super::judge::{self, CommitSignature};
use super::sign::dictionary;
use super::trust::{RemoteRules, Trust};
use super::{Named, Repository, integrity, objects, run};

/// What was found out about a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitReport {
    /// Its checksum.
    pub checksum: Digest,
    /// The ref it was asked for by, unless it was by its checksum.
    pub refname: Option<String>,
    /// The checksum of its tree; `None` where the commit object is damaged.
    pub content_checksum: Option<Digest>,
    /// How many objects were computed again.
    pub objects: u64,
    /// Its signatures, in the order in which they are stored.
    pub signatures: Vec<CommitSignature>,
    /// What is damaged or missing.
    pub damage: Vec<Damage>,
    /// Why it is refused; empty when it is good.
    pub reasons: Vec<String>,
}

impl CommitReport {
    /// Nothing is known yet.
    pub(super) fn of(checksum: Digest, refname: Option<String>) -> Self {
        Self {
            checksum,
            refname,
            content_checksum: None,
            objects: 0,
            signatures: Vec::new(),
            damage: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// Whether there is no reason to refuse it.
    pub fn is_good(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// An object that is not what its name says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Its checksum and type, as in `ab12….dirtree`.
    pub object: String,
    /// The first path it serves; empty for the root and the commit.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {} (/{}): {}", self.object, self.path, self.reason)
    }
}

impl Repository {
    /// Verifies a commit, on `threads` threads. The commits before it are not looked at.
    ///
    /// # Errors
    /// Only where nothing can be said: GPG cannot be asked. A commit that is not good is no error:
    /// [`CommitReport::reasons`] says why.
    pub fn verify_commit(
        &self,
        named: &Named,
        trust: &Trust,
        threads: usize,
    ) -> Result<CommitReport> {
        let checksum = named.checksum;
        let mut report = CommitReport::of(checksum, named.refname.clone());
        match self.repo.load_commit(&checksum.hex()) {
            Ok((commit, state)) => {
                self.verify_object(&commit, state, trust, threads, &mut report)?
            }
            Err(error) => report.damage.push(damage(&checksum, "commit", "", error.message())),
        }
        let damage = report.damage.iter().map(Damage::to_string);
        report.reasons = damage.chain(std::mem::take(&mut report.reasons)).collect();
        Ok(report)
    }

    fn verify_object(
        &self,
        commit: &Variant,
        state: RepoCommitState,
        trust: &Trust,
        threads: usize,
        report: &mut CommitReport,
    ) -> Result<()> {
        let checksum = report.checksum;
        report.objects = 1;
        let found = objects::checksum(commit);
        if found != checksum {
            let reason = format!("its bytes have the checksum {}", found.hex());
            report.damage.push(damage(&checksum, "commit", "", &reason));
        } else if let Err(error) = ostree::validate_structureof_commit(commit) {
            report.damage.push(damage(&checksum, "commit", "", error.message()));
        } else {
            report.content_checksum = Some(run::content_checksum(commit));
            integrity::check(self, commit, threads, report)?;
            check_bindings(commit, trust, report);
        }
        if state.contains(RepoCommitState::PARTIAL) {
            report.reasons.push("the repository holds only a part of the commit".to_owned());
        }
        self.verify_signatures(&commit.data_as_bytes(), trust, report)
    }

    /// Judges a commit without its tree.
    pub(super) fn judge_object(
        &self,
        commit: &Variant,
        trust: &Trust,
        report: &mut CommitReport,
    ) -> Result<()> {
        let found = objects::checksum(commit);
        if found != report.checksum {
            report.reasons.push(format!("its bytes have the checksum {}", found.hex()));
        } else if let Err(error) = ostree::validate_structureof_commit(commit) {
            report.reasons.push(error.message().to_owned());
        } else {
            check_bindings(commit, trust, report);
        }
        self.verify_signatures(&commit.data_as_bytes(), trust, report)?;
        report.reasons.extend(report.damage.iter().map(Damage::to_string));
        Ok(())
    }

    fn verify_signatures(
        &self,
        commit: &[u8],
        trust: &Trust,
        report: &mut CommitReport,
    ) -> Result<()> {
        let checksum = report.checksum;
        let detached = match self.detached_variant(&checksum) {
            Ok(None) => Default::default(),
            Ok(Some(metadata)) if metadata.is_normal_form() => dictionary(&metadata),
            Ok(Some(_)) => {
                let reason = "it is not in GVariant's normal form";
                report.damage.push(damage(&checksum, "commitmeta", "", reason));
                Default::default()
            }
            Err(error) => {
                report.damage.push(damage(&checksum, "commitmeta", "", error.message()));
                Default::default()
            }
        };
        let judged = judge::judge(commit, &detached, trust)?;
        let damaged = judged.damage.iter().map(|why| damage(&checksum, "commitmeta", "", why));
        report.damage.extend(damaged);
        report.signatures = judged.signatures;
        let refusals = trust.remote.iter().flat_map(|remote| &remote.refusals);
        report.reasons.extend(refusals.cloned().chain(judged.reasons));
        if !trust.asks() && trust.remote.is_none() {
            report.reasons.push("no key was given to verify its signatures with".to_owned());
        }
        Ok(())
    }
}

/// A commit that says which refs may name it must not be named by another: somebody could serve an
/// old or foreign commit under a trusted name. The same goes for its collection, where a remote has one.
fn check_bindings(commit: &Variant, trust: &Trust, report: &mut CommitReport) {
    let metadata = dictionary(&commit.child_value(0));
    let bound = metadata.get("ostree.ref-binding").and_then(|bound| bound.get::<Vec<String>>());
    let reasons = &mut report.reasons;
    match (&report.refname, &bound) {
        (Some(refname), Some(bound)) if !bound.contains(refname) => reasons.push(format!(
            "the ref {refname} names a commit that was made for {}",
            bound.join(", ")
        )),
        (Some(refname), None) => reasons.push(format!(
            "it does not say that it was made for the ref {refname} (no ref-binding)"
        )),
        _ => {}
    }
    let Some(RemoteRules { name, collection, summary, .. }) = &trust.remote else { return };
    if let Some(collection) = collection {
        let of = metadata.get("ostree.collection-binding").and_then(|of| of.get::<String>());
        match of {
            Some(of) if of == *collection => {}
            Some(of) => reasons.push(format!(
                "it was made for the collection {of}, and that of the remote {name} is {collection}"
            )),
            None => reasons.push(format!(
                "it does not say that it was made for the collection {collection} of the remote \
                 {name} (no collection-binding)"
            )),
        }
        if bound.is_none() && report.refname.is_none() {
            reasons.push(
                "it does not say for which ref it was made (no ref-binding), which a remote with a \
                 collection asks for"
                    .to_owned(),
            );
        }
    }
    if let (Some(summary), Some(refname)) = (summary, &report.refname) {
        match summary.get(refname) {
            Some(checksum) if *checksum == report.checksum => {}
            Some(checksum) => reasons.push(format!(
                "the signed summary of the remote {name} has another commit for the ref {refname}: {}",
                checksum.hex()
            )),
            None => reasons.push(format!(
                "the signed summary of the remote {name} does not have the ref {refname}"
            )),
        }
    }
}

pub(super) fn damage(checksum: &Digest, kind: &str, path: &str, reason: &str) -> Damage {
    Damage {
        object: format!("{}.{kind}", checksum.hex()),
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

impl Repository {
    pub(super) fn load(&self, kind: ObjectType, checksum: &Digest) -> Result<Variant> {
        self.repo
            .load_variant(kind, &checksum.hex())
            .doing(|| format!("reading {} {}", ostree::object_type_to_string(kind), checksum.hex()))
    }
}
