//! Attestations of commits: signed bundles in the detached metadata, beside the signatures.
//!
//! libostree keeps what it does not know and hands it on with the commit, whether it is pulled,
//! mirrored, or carried in an image. Hosts load the detached metadata of a commit whole whenever
//! they pull it, so there is a bound on how large they grow.

use treelay_recipes::Digest;

use super::error::{Doing, OstreeError, Result};
use super::objects::{self, array, bytes};
use super::sign::signatures;
use super::{NONE, Repository};

/// The key of the bundles: an array of them (`aay`), each the JSON of a Sigstore bundle.
pub const ATTESTATIONS: &str = "treelay.attestations";

/// Bytes that the attestations of one commit may have.
pub const MOST: usize = 4 << 20;

impl Repository {
    /// The bundles beside a commit, in the order in which they were added.
    ///
    /// # Errors
    /// [`OstreeError::Signing`] where something else is in their place; what reading met.
    pub fn attestations(&self, commit: &Digest) -> Result<Vec<Vec<u8>>> {
        match self.detached(commit)?.get(ATTESTATIONS) {
            None => Ok(Vec::new()),
            Some(value) => signatures(value).ok_or_else(|| damaged(commit)),
        }
    }

    /// Adds bundles to those of a commit; those that are there, byte for byte, are not added again.
    /// How many bytes all of them have.
    ///
    /// Between [`Run::write_commit`](super::Run::write_commit) and
    /// [`Run::finish`](super::Run::finish) they become visible with the commit.
    ///
    /// # Errors
    /// As [`Repository::attestations`]. Where they would have more than [`MOST`] bytes nothing is
    /// written, and the answer says how many it would be.
    pub fn add_attestations(&self, commit: &Digest, new: &[Vec<u8>]) -> Result<usize> {
        let _lock = self.lock_signatures()?;
        let mut detached = self.kept(commit)?;
        let mut all = match detached.get(ATTESTATIONS) {
            None => Vec::new(),
            Some(value) => signatures(value).ok_or_else(|| damaged(commit))?,
        };
        let before = all.len();
        for bundle in new {
            if !all.contains(bundle) {
                all.push(bundle.clone());
            }
        }
        let size = all.iter().map(Vec::len).sum();
        if all.len() == before || size > MOST {
            return Ok(size);
        }
        let value = array("ay", all.iter().map(|one| bytes(one)));
        detached.insert(ATTESTATIONS.to_owned(), value);
        let entries = detached.iter().map(|(key, value)| (key.as_str(), value.clone()));
        let metadata = objects::metadata(entries);
        self.repo
            .write_commit_detached_metadata(&commit.hex(), Some(&metadata), NONE)
            .doing(|| format!("writing the attestations of commit {}", commit.hex()))?;
        Ok(size)
    }
}

fn damaged(commit: &Digest) -> OstreeError {
    let reason = format!("its {ATTESTATIONS} is damaged");
    OstreeError::Signing { commit: commit.hex(), reason }
}
