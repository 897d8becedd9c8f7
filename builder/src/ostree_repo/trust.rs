//! Whose signatures count.

use std::collections::BTreeMap;
use std::path::Path;

use treelay_recipes::Digest;
use treelay_signing::PublicKey;

use super::error::{Doing, OstreeError, Result};
use super::gpg;

/// Whose signatures are trusted, whose no longer, and what else is asked of a commit.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// If there are any, one of them must have signed.
    pub keys: Vec<TrustedKey>,
    /// What these have signed does not count, even where they are among `keys`.
    pub revoked: Vec<PublicKey>,
    /// If it is given, one of its keys must have signed.
    pub gpg: Option<Keyring>,
    /// What a remote asks for beside that.
    pub remote: Option<RemoteRules>,
}

/// A key, and where it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Name of the only scheme in which it counts; `None` for all.
    pub scheme: Option<&'static str>,
}

/// What the configuration of a remote asks for, beside keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteRules {
    /// Its name.
    pub name: String,
    /// The collection that its commits must be bound to.
    pub collection: Option<String>,
    /// What its signed summary says that refs name, where the summary must be signed.
    pub summary: Option<BTreeMap<String, Digest>>,
    /// Why nothing of it can be good, whatever the commit.
    pub refusals: Vec<String>,
}

/// OpenPGP keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring(Vec<u8>);

impl Trust {
    /// Trusts these keys, in every scheme.
    pub fn of(keys: Vec<PublicKey>) -> Self {
        let keys = keys.into_iter().map(|key| TrustedKey { key, scheme: None }).collect();
        Self { keys, ..Self::default() }
    }

    /// The keys that count in a scheme.
    pub(super) fn keys_for(&self, scheme: &str) -> impl Iterator<Item = &PublicKey> {
        let counts = move |key: &&TrustedKey| key.scheme.is_none_or(|only| only == scheme);
        let trusted = self.keys.iter().filter(counts).map(|key| &key.key);
        trusted.filter(|key| !self.revoked.contains(key))
    }

    /// Whether any signature is asked for.
    pub(super) fn asks(&self) -> bool {
        !self.keys.is_empty() || self.gpg.is_some()
    }

    /// Whose keys and whose keyring it is, as sentences go on.
    pub(super) fn whose(&self) -> [String; 2] {
        match &self.remote {
            None => [
                "by one of the given keys".to_owned(),
                "by a GPG key of the given keyring".to_owned(),
            ],
            Some(RemoteRules { name, .. }) => [
                format!("by a key of the remote {name}"),
                format!("by a GPG key of the remote {name}"),
            ],
        }
    }
}

impl Keyring {
    /// Reads a file of OpenPGP keys, binary or armoured.
    ///
    /// # Errors
    /// [`OstreeError::NotAKeyring`], or what reading met.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_as(path, gpg::keys)
    }

    /// Reads one that ostree takes as it is, so that armour is none to it.
    pub(super) fn read_binary(path: &Path) -> Result<Self> {
        Self::read_as(path, |bytes| {
            gpg::is_binary(bytes)
                .then(|| bytes.to_vec())
                .ok_or("ostree takes binary keys alone here: export them with gpg --export")
        })
    }

    fn read_as(
        path: &Path,
        keys: impl FnOnce(&[u8]) -> std::result::Result<Vec<u8>, &'static str>,
    ) -> Result<Self> {
        let bytes =
            std::fs::read(path).doing(|| format!("reading the GPG keyring {}", path.display()))?;
        keys(&bytes).map(Self).map_err(|reason| {
            let (path, reason) = (path.to_owned(), reason.to_owned());
            OstreeError::NotAKeyring { path, reason }
        })
    }

    /// Adds the keys of another.
    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// An empty one, which trusts nobody.
    pub(super) fn empty() -> Self {
        Self(Vec::new())
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its packets.
    pub fn packets(&self) -> &[u8] {
        &self.0
    }
}
