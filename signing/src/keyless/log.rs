//! That an entry is in a log of the trusted root, and since when.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint::Checkpoint;
use super::entry::is_v2;
use super::error::KeylessError;
use super::key::Hash;
use super::merkle;
use super::root::{Log, TrustedRoot};
use super::time::Time;
use crate::bundle::{InclusionProof, LogEntry};

/// What is proved about an entry.
pub(super) struct Proved<'a> {
    /// The logs of the root that it is in: one key may stand there with several periods, one log.
    logs: Vec<&'a Log>,
    /// Its number: in the whole log where the log signed that, else in the tree of the proof.
    pub index: u64,
    /// When the log took it in, where the log signed that.
    pub time: Option<Time>,
}

impl Proved<'_> {
    /// Address of the log.
    pub fn url(&self) -> &str {
        self.logs.first().map(|log| log.url.as_str()).unwrap_or_default()
    }

    /// Whether the log's key is trusted in a period that has ended, or will.
    pub fn ends(&self) -> bool {
        self.logs.iter().all(|log| log.period.end.is_some())
    }

    /// Checks that the log's key was to be trusted at `time`.
    ///
    /// # Errors
    /// [`KeylessError::LogPeriod`].
    pub fn check_period(&self, time: Time) -> Result<(), KeylessError> {
        match self.logs.first() {
            Some(log) if !self.logs.iter().any(|log| log.period.contains(time)) => {
                Err(KeylessError::LogPeriod { log: log.url.clone(), period: log.period, time })
            }
            _ => Ok(()),
        }
    }
}

/// Checks everything that proves the entry to be in a log of the root. What is there must be right,
/// and it must be enough: a signed entry timestamp, or a proof with a checkpoint. Whether the log was
/// to be trusted is not checked; that takes all times that are proved ([`Proved::check_period`]).
///
/// # Errors
/// [`KeylessError`] of logs.
pub(super) fn verify<'a>(
    entry: &LogEntry,
    root: &'a TrustedRoot,
) -> Result<Proved<'a>, KeylessError> {
    let (mut proved, mut refusal): (Option<Proved<'_>>, _) = (None, None);
    // A log may have changed its key under one name, but then its ID changed too.
    for log in root.logs.iter().filter(|log| log.id == entry.log_id) {
        match (verify_in(entry, log), &mut proved) {
            (Ok(_), Some(proved)) => proved.logs.push(log),
            (Ok(one), none) => *none = Some(one),
            (Err(error), _) => refusal = Some(error),
        }
    }
    proved.ok_or_else(|| refusal.unwrap_or_else(|| unknown(entry, root)))
}

/// Why nothing can be said of an entry whose log is none of the root's that are usable.
fn unknown(entry: &LogEntry, root: &TrustedRoot) -> KeylessError {
    let index = entry.log_index;
    match root.unusable.iter().find(|one| one.log_id == entry.log_id && !one.log_id.is_empty()) {
        Some(one) => {
            let (log, detail) = (one.name.clone(), one.detail.clone());
            KeylessError::UnusableLog { index, log, detail }
        }
        None => KeylessError::UnknownLog { index, key_id: hex::encode(&entry.log_id) },
    }
}

fn verify_in<'a>(entry: &LogEntry, log: &'a Log) -> Result<Proved<'a>, KeylessError> {
    let index = entry.log_index;
    let lacks = |detail: &str| KeylessError::Proof { index, detail: detail.to_owned() };
    let mut proved = Proved { logs: vec![log], index, time: None };
    if let Some(promise) = &entry.inclusion_promise {
        if is_v2(entry) {
            return Err(lacks("logs of Rekor version 2 sign no entry timestamps"));
        }
        proved.time = Some(promised(entry, log, promise)?);
    }
    match &entry.inclusion_proof {
        Some(proof) => {
            let has_checkpoint = included(entry, log, proof)?;
            if !has_checkpoint && proved.time.is_none() {
                return Err(lacks("there is neither a checkpoint nor a signed entry timestamp"));
            }
            if proved.time.is_none() {
                proved.index = proof.log_index;
            }
        }
        None if proved.time.is_none() => {
            return Err(lacks("there is neither a proof nor a signed entry timestamp"));
        }
        None => {}
    }
    Ok(proved)
}

/// Checks the signed entry timestamp: the log's signature over the canonical JSON (RFC 8785) of
/// what it took in and when.
fn promised(entry: &LogEntry, log: &Log, promise: &[u8]) -> Result<Time, KeylessError> {
    let signed = format!(
        r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
        BASE64.encode(&entry.canonicalized_body),
        entry.integrated_time,
        hex::encode(&entry.log_id),
        entry.log_index,
    );
    let time = i64::try_from(entry.integrated_time).ok();
    match time.filter(|_| log.key.fits(Hash::Sha256, signed.as_bytes(), promise)) {
        Some(time) => Ok(Time::from_unix(time)),
        None => Err(KeylessError::Promise { index: entry.log_index, log: log.url.clone() }),
    }
}

/// Checks the proof, and gives whether it ends in a checkpoint, which alone ties it to the log.
fn included(entry: &LogEntry, log: &Log, proof: &InclusionProof) -> Result<bool, KeylessError> {
    let index = entry.log_index;
    let leaf = merkle::leaf_hash(&entry.canonicalized_body);
    let root = merkle::root(leaf, proof.log_index, proof.tree_size, &proof.hashes);
    let wrong = |detail: &str| KeylessError::Proof { index, detail: detail.to_owned() };
    let root = root.ok_or_else(|| wrong("the proof has not the form of one"))?;
    if root[..] != proof.root_hash {
        return Err(wrong("the proof is of another entry or another tree"));
    }
    // Logs of version 2 have one tree, so an entry has one number.
    if is_v2(entry) && proof.log_index != index {
        return Err(wrong("the proof is of the entry of another number"));
    }
    let Some(note) = &proof.checkpoint else { return Ok(false) };
    let wrong = |detail: &str| KeylessError::Checkpoint { index, detail: detail.to_owned() };
    let checkpoint = Checkpoint::parse(note).ok_or_else(|| wrong("it is not a checkpoint"))?;
    if checkpoint.root_hash != root || checkpoint.tree_size != proof.tree_size {
        return Err(wrong("it is of another tree than the proof"));
    }
    if is_v2(entry) && host(&log.url).is_some_and(|host| host != checkpoint.origin) {
        return Err(wrong(&format!("it is of {:?}, not of {}", checkpoint.origin, log.url)));
    }
    if !checkpoint.is_signed_by(log) {
        return Err(wrong(&format!("it is not signed by {}", log.url)));
    }
    Ok(true)
}

/// The name of the log in an address: all but the scheme. [`None`] where there is no address.
fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    (!rest.is_empty()).then_some(rest)
}
