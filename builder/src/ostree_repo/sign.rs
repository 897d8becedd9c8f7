//! Signatures of commits: detached metadata beside the commit object.
//!
//! `ostree.sign.ed25519`, `ostree.sign.spki` and `ostree.gpgsigs` are arrays of signatures (`aay`)
//! over the bytes of the commit object. libostree of some distributions is built without the first
//! two; they are made and read here by the signing crate. GPG is libostree's.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use ostree::ObjectType;
use ostree::glib::{self, Bytes, Variant, VariantDict};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use treelay_recipes::Digest;
use treelay_signing::{SecretKey, Signature, Subject, schemes};

use super::error::{Doing, OstreeError, Result};
use super::objects::{self, array, bytes};
use super::{NONE, Repository, gpg};

/// Where libostree keeps GPG signatures.
pub(super) const GPG_KEY: &str = "ostree.gpgsigs";

impl Repository {
    /// Signs a commit with `keys`, in every form that goes with each, and keeps the signatures that
    /// are there. One that a key made already is not made again. The signatures that were added.
    ///
    /// The tree need not be there: whoever signs elsewhere has the commit object alone. What is
    /// written replaces what was there at once, so that no instant is without the old signatures.
    ///
    /// Between [`Run::write_commit`](super::Run::write_commit) and
    /// [`Run::finish`](super::Run::finish) the commit and its signatures become visible together.
    ///
    /// # Errors
    /// [`OstreeError::Signing`], or what reading and writing met.
    pub fn sign_commit(&self, commit: &Digest, keys: &[SecretKey]) -> Result<Vec<Signature>> {
        let signing = |reason: String| OstreeError::Signing { commit: commit.hex(), reason };
        let object = self.commit_bytes(commit)?;
        let subject = Subject::Commit(&object);
        let _lock = self.lock_signatures()?;
        let mut detached = self.kept(commit)?;
        let mut added = Vec::new();
        for key in keys {
            let fitting: Vec<_> = schemes::SCHEMES
                .iter()
                .filter(|scheme| scheme.covers(&subject) && scheme.can_sign(key))
                .collect();
            if fitting.is_empty() {
                return Err(signing(format!("no scheme for commits uses {} keys", key.kind())));
            }
            for scheme in fitting {
                let there = detached.entry(scheme.name().to_owned()).or_insert_with(empty);
                let old = signatures(there)
                    .ok_or_else(|| signing(format!("its {} is damaged", scheme.name())))?;
                let by_this_key = |bytes: &Vec<u8>| {
                    let (subject_name, key_name) = (subject.name(), key.public().fingerprint());
                    let old = Signature {
                        scheme: scheme.name(),
                        subject: subject_name,
                        bytes: bytes.clone(),
                        payload: None,
                        key: Some(key_name),
                    };
                    scheme.verify(&subject, &old, key.public()).is_good()
                };
                // Before the key is used: one that lives elsewhere signs otherwise each time, and
                // may want to be touched.
                if old.iter().any(by_this_key) {
                    continue;
                }
                let made =
                    scheme.sign(&subject, key).map_err(|error| signing(error.to_string()))?;
                let all = old.iter().chain([&made.bytes]).map(|one| bytes(one));
                *there = array("ay", all);
                added.push(made);
            }
        }
        if !added.is_empty() {
            let entries = detached.iter().map(|(key, value)| (key.as_str(), value.clone()));
            let metadata = objects::metadata(entries);
            self.repo
                .write_commit_detached_metadata(&commit.hex(), Some(&metadata), NONE)
                .doing(|| format!("writing the signatures of commit {}", commit.hex()))?;
        }
        Ok(added)
    }

    /// Adds the signature of a GPG key of the user's, or of the keyring in `homedir`; `false` if
    /// that key's is there already.
    ///
    /// # Errors
    /// [`OstreeError::Signing`] with GPG's words.
    pub fn gpg_sign(&self, commit: &Digest, key: &str, homedir: Option<&Path>) -> Result<bool> {
        let signing = |error: glib::Error| OstreeError::Signing {
            commit: commit.hex(),
            reason: format!("GPG key {key}: {}", error.message()),
        };
        let object = Bytes::from_owned(self.commit_bytes(commit)?);
        let homedir = homedir.map(|path| path.to_string_lossy().into_owned());
        let made = self
            .repo
            .gpg_sign_data(&object, None, &[key], homedir.as_deref(), NONE)
            .map_err(signing)?;
        let _lock = self.lock_signatures()?;
        let made = Variant::from_bytes::<VariantDict>(&made);
        let made = dictionary(&made).get(GPG_KEY).and_then(signatures).unwrap_or_default();
        let there = self.kept(commit)?.get(GPG_KEY).and_then(signatures).unwrap_or_default();
        // `ostree_repo_sign_commit` looks for the key in its own keyrings only, and would add the
        // signature of one that is in `homedir` again and again.
        let signer = |signature: &Vec<u8>| gpg::signer(&self.repo, &object, signature);
        let there: Vec<_> = there.iter().filter_map(signer).collect();
        let mut added = false;
        for signature in made {
            if signer(&signature).is_some_and(|signer| there.contains(&signer)) {
                continue;
            }
            self.repo
                .append_gpg_signature(&commit.hex(), &Bytes::from_owned(signature), NONE)
                .map_err(signing)?;
            added = true;
        }
        Ok(added)
    }

    /// The bytes that are signed, which must be the commit's.
    fn commit_bytes(&self, commit: &Digest) -> Result<Vec<u8>> {
        let reading = || format!("reading commit {}", commit.hex());
        let variant = self.repo.load_variant(ObjectType::Commit, &commit.hex()).doing(reading)?;
        if objects::checksum(&variant) != *commit {
            let reason = "its bytes do not have that checksum".to_owned();
            return Err(OstreeError::Signing { commit: commit.hex(), reason });
        }
        ostree::validate_structureof_commit(&variant).map_err(|error| {
            let reason = format!("it is no commit: {}", error.message());
            OstreeError::Signing { commit: commit.hex(), reason }
        })?;
        Ok(variant.data_as_bytes().to_vec())
    }

    /// Keeps others of treelay from adding signatures at the same time: one of both would be lost.
    pub(super) fn lock_signatures(&self) -> Result<OwnedFd> {
        let locking = || format!("locking {}", self.path.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.dir, ".", flags, Mode::empty()).doing(locking)?;
        match flock(&folder, FlockOperation::LockExclusive) {
            // A file system without locks.
            Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOLCK | Errno::INVAL) => Ok(folder),
            Err(errno) => Err(errno).doing(locking),
        }
    }

    /// The detached metadata, by key; empty where there are none.
    pub(super) fn detached(&self, commit: &Digest) -> Result<BTreeMap<String, Variant>> {
        let metadata = self
            .detached_variant(commit)
            .doing(|| format!("reading the signatures of commit {}", commit.hex()))?;
        Ok(metadata.map(|metadata| dictionary(&metadata)).unwrap_or_default())
    }

    /// The same, to be added to.
    pub(super) fn kept(&self, commit: &Digest) -> Result<BTreeMap<String, Variant>> {
        let metadata = self
            .detached_variant(commit)
            .doing(|| format!("reading the signatures of commit {}", commit.hex()))?;
        let Some(metadata) = metadata else { return Ok(BTreeMap::new()) };
        let entries = dictionary(&metadata);
        // What cannot be read would not be kept.
        if metadata.is_normal_form() && entries.len() == metadata.n_children() {
            return Ok(entries);
        }
        let reason = "the signatures beside it are damaged".to_owned();
        Err(OstreeError::Signing { commit: commit.hex(), reason })
    }

    /// The detached metadata as they are stored, which no checksum covers. libostree takes what is
    /// in a repository for well formed and would say so of anything; these are looked at.
    pub(super) fn detached_variant(
        &self,
        commit: &Digest,
    ) -> std::result::Result<Option<Variant>, glib::Error> {
        let metadata = self.repo.read_commit_detached_metadata(&commit.hex(), NONE)?;
        let unchecked =
            |it: Variant| Variant::from_bytes_with_type(&it.data_as_bytes(), it.type_());
        Ok(metadata.map(unchecked))
    }
}

/// The entries of an `a{sv}`; of several with one key the first, which is what libostree takes.
pub(super) fn dictionary(metadata: &Variant) -> BTreeMap<String, Variant> {
    let mut entries = BTreeMap::new();
    for entry in metadata.iter() {
        let key = entry.try_child_value(0).and_then(|key| key.get::<String>());
        let value = entry.try_child_value(1).and_then(|value| value.as_variant());
        if let (Some(key), Some(value)) = (key, value) {
            entries.entry(key).or_insert(value);
        }
    }
    entries
}

/// The elements of an `aay`; `None` if it is none.
pub(super) fn signatures(value: &Variant) -> Option<Vec<Vec<u8>>> {
    if value.type_().as_str() != "aay" {
        return None;
    }
    value.iter().map(|one| one.fixed_array().ok().map(<[u8]>::to_vec)).collect()
}

fn empty() -> Variant {
    array("ay", std::iter::empty())
}
