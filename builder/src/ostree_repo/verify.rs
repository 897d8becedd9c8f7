//! What a commit is worth: every object that it reaches is computed again, its ref binding compared,
//! its signatures judged. Any doubt and any error is a reason to refuse.

use std::fmt;
use std::path::Path;

use ostree::glib::Variant;
use ostree::{ObjectType, RepoCommitState};
use serde::Serialize;
use treelay_recipes::Digest;
use treelay_signing::{PublicKey, Signature, Subject, Verdict, schemes};

use super::error::{Doing, Result};
use super::sign::{GPG_KEY, dictionary, signatures};
use super::{Repository, gpg, integrity, objects, run};

/// Whose signatures are trusted.
#[derive(Clone, Copy, Default)]
pub struct Trust<'a> {
    /// If there are any, one of them must have signed.
    pub keys: &'a [PublicKey],
    /// A file of GPG keys, binary or armoured. If it is given, one of them must have signed.
    pub gpg_keyring: Option<&'a Path>,
}

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

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitSignature {
    /// `ostree.sign.ed25519`, `ostree.sign.spki` or `gpg`.
    pub scheme: String,
    /// Fingerprint of the key that made it, where that is known.
    pub key: Option<String>,
    /// What it is worth.
    pub verdict: SignatureVerdict,
}

/// What a signature is worth, to who trusts the given keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureVerdict {
    /// One of the keys made it, over this commit.
    Good,
    /// By none of the keys, as far as can be told.
    Unknown(String),
    /// Cannot be right, or its key must not be trusted any more.
    Bad(String),
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

impl fmt::Display for CommitSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, why) = match &self.verdict {
            SignatureVerdict::Good => ("good", None),
            SignatureVerdict::Unknown(why) => ("unknown", Some(why)),
            SignatureVerdict::Bad(why) => ("bad", Some(why)),
        };
        write!(f, "{verdict}: {}", self.scheme)?;
        if let Some(key) = &self.key {
            write!(f, " by {key}")?;
        }
        why.map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {} (/{}): {}", self.object, self.path, self.reason)
    }
}

impl Repository {
    /// Verifies the commit that a local ref or a checksum names, on `threads` threads.
    ///
    /// The commits before it are not looked at.
    ///
    /// # Errors
    /// Only where nothing can be said: there is no such commit, the keyring cannot be read. A commit
    /// that is not good is no error: [`CommitReport::reasons`] says why.
    pub fn verify_commit(
        &self,
        name: &str,
        trust: Trust<'_>,
        threads: usize,
    ) -> Result<CommitReport> {
        let checksum = self.resolve(name)?;
        let refname = (name != checksum.hex()).then(|| name.to_owned());
        let mut report = CommitReport::of(checksum, refname);
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
        trust: Trust<'_>,
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
            check_binding(commit, report);
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
        trust: Trust<'_>,
        report: &mut CommitReport,
    ) -> Result<()> {
        let found = objects::checksum(commit);
        if found != report.checksum {
            report.reasons.push(format!("its bytes have the checksum {}", found.hex()));
        } else if let Err(error) = ostree::validate_structureof_commit(commit) {
            report.reasons.push(error.message().to_owned());
        } else {
            check_binding(commit, report);
        }
        self.verify_signatures(&commit.data_as_bytes(), trust, report)?;
        report.reasons.extend(report.damage.iter().map(Damage::to_string));
        Ok(())
    }

    fn verify_signatures(
        &self,
        commit: &[u8],
        trust: Trust<'_>,
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
        let mut gpg = gpg::Verifier::new(trust.gpg_keyring)?;
        for (key, value) in &detached {
            let scheme = schemes::by_name(key);
            if scheme.is_none() && key != GPG_KEY {
                continue;
            }
            let Some(list) = signatures(value) else {
                let reason = format!("its {key} is not a list of signatures");
                report.damage.push(damage(&checksum, "commitmeta", "", &reason));
                continue;
            };
            for bytes in list {
                match scheme {
                    Some(scheme) => {
                        report.signatures.push(judge(scheme, commit, bytes, trust.keys));
                    }
                    None => report.signatures.extend(gpg.judge(commit, &bytes)?),
                }
            }
        }
        let good = |gpg: bool| {
            report.signatures.iter().any(|signature| {
                (signature.scheme == gpg::SCHEME) == gpg
                    && signature.verdict == SignatureVerdict::Good
            })
        };
        let wanted = [
            (!trust.keys.is_empty(), false, "by one of the given keys"),
            (trust.gpg_keyring.is_some(), true, "by a GPG key of the given keyring"),
        ];
        let missing: Vec<&str> = wanted
            .into_iter()
            .filter_map(|(wanted, gpg, whose)| (wanted && !good(gpg)).then_some(whose))
            .collect();
        if trust.keys.is_empty() && trust.gpg_keyring.is_none() {
            report.reasons.push("no key was given to verify its signatures with".to_owned());
        }
        for whose in missing {
            report.reasons.push(no_signature(whose, &report.signatures));
        }
        Ok(())
    }
}

/// Names what there is instead.
fn no_signature(whose: &str, signatures: &[CommitSignature]) -> String {
    if signatures.is_empty() {
        return format!("it has no signature {whose}: it has none at all");
    }
    let others: Vec<String> = signatures
        .iter()
        .map(|signature| match &signature.verdict {
            SignatureVerdict::Good => format!("{}: good", signature.scheme),
            SignatureVerdict::Unknown(reason) | SignatureVerdict::Bad(reason) => {
                format!("{}: {reason}", signature.scheme)
            }
        })
        .collect();
    format!("it has no good signature {whose} ({})", others.join("; "))
}

/// Tries every key: good for one is good; bad only if it is so for all.
fn judge(
    scheme: &dyn schemes::Scheme,
    commit: &[u8],
    bytes: Vec<u8>,
    keys: &[PublicKey],
) -> CommitSignature {
    let name = scheme.name();
    let subject = Subject::Commit(commit);
    let signature =
        Signature { scheme: name, subject: subject.name(), bytes, payload: None, key: None };
    let mut verdict = None;
    for key in keys {
        match scheme.verify(&subject, &signature, key) {
            Verdict::Good => {
                let (scheme, key) = (name.to_owned(), Some(key.fingerprint()));
                return CommitSignature { scheme, key, verdict: SignatureVerdict::Good };
            }
            Verdict::Unknown(reason) => {
                verdict = Some(SignatureVerdict::Unknown(reason.to_string()));
            }
            Verdict::Bad(reason) => {
                verdict.get_or_insert(SignatureVerdict::Bad(reason.to_string()));
            }
        }
    }
    let none = || SignatureVerdict::Unknown("no key was given for it".to_owned());
    CommitSignature { scheme: name.to_owned(), key: None, verdict: verdict.unwrap_or_else(none) }
}

/// A commit that says which refs may name it must not be named by another: somebody could serve an
/// old or foreign commit under a trusted name.
fn check_binding(commit: &Variant, report: &mut CommitReport) {
    let Some(refname) = &report.refname else { return };
    let metadata = dictionary(&commit.child_value(0));
    let bound = metadata.get("ostree.ref-binding").and_then(|bound| bound.get::<Vec<String>>());
    match bound {
        Some(bound) if bound.contains(refname) => {}
        Some(bound) => report.reasons.push(format!(
            "the ref {refname} names a commit that was made for {}",
            bound.join(", ")
        )),
        None => report.reasons.push(format!(
            "it does not say that it was made for the ref {refname} (no ref-binding)"
        )),
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
