//! Base commits of web servers: pulled into a repository of the store, and verified.

use treelay_recipes::lock::LockedTree;
use treelay_recipes::recipe::{OstreeBase, OstreeRemote};
use treelay_recipes::{Arch, Digest, Hasher};
use treelay_signing::{KeyList, PublicKey};

use super::super::{ExecError, Workshop};
use super::commit::{CommitBaseError, checked, pinned};
use crate::fetch::FetchError;
use crate::ostree_repo::{Keyring, Repository, Trust};

/// The kinds of product that remember what was verified.
const SIGNED: &str = "ostree-signed";
const WHOLE: &str = "ostree-whole";
/// How often a commit is pulled of which something turns out to be damaged.
const MOST_PULLS: usize = 2;

/// The keys of a remote.
struct Keys {
    trust: Trust,
    /// What they are.
    digest: Digest,
}

impl Workshop<'_> {
    /// Finds out what commit a remote has, and verifies it.
    pub(super) async fn lock_remote(
        &self,
        base: &OstreeBase,
        remote: &OstreeRemote,
        arch: Arch,
        old: Option<&LockedTree>,
    ) -> Result<LockedTree, ExecError> {
        let from = base.describe(arch);
        let commit = match (pinned(base, arch), &base.refname) {
            (Some(commit), _) => commit,
            (None, Some(refname)) => self.fetcher.ostree_ref(&remote.url, refname).await?,
            // A recipe that was parsed has one of them.
            (None, None) => return Err(ExecError::Damaged { what: from }),
        };
        let repository = self.signed_commit(base, remote, &commit, &from)?;
        let locked = checked(&repository, base, commit, arch)?;
        if let Some(old) = old.filter(|old| old.from == from && old.released > locked.released) {
            let (commit, locked) = (commit.hex(), old.commit.hex());
            return Err(CommitBaseError::Older { from, commit, locked }.into());
        }
        Ok(locked)
    }

    /// The store's repository with a commit of a remote, whole and verified.
    pub(super) fn whole_commit(
        &self,
        base: &OstreeBase,
        remote: &OstreeRemote,
        commit: &Digest,
        from: &str,
    ) -> Result<Repository, ExecError> {
        let repository = self.signed_commit(base, remote, commit, from)?;
        let url = remote.url.value.as_str();
        let key = Digest::of(format!("ostree-whole-1 {url} {}", commit.hex()));
        if repository.has_whole(commit) && self.store.product(WHOLE, &key) == Some(true) {
            return Ok(repository);
        }
        let task = format!("pulling {from}");
        self.observer.begin(&task);
        let pulled = self.pull(&repository, url, commit, from);
        self.observer.end(&task);
        pulled?;
        self.store
            .put_product(WHOLE, &key, &true)
            .map_err(ExecError::store("remembering a base"))?;
        Ok(repository)
    }

    fn pull(
        &self,
        repository: &Repository,
        url: &str,
        commit: &Digest,
        from: &str,
    ) -> Result<(), ExecError> {
        let mut damage = Vec::new();
        for _ in 0..MOST_PULLS {
            if !repository.has_whole(commit) {
                self.online(from)?;
                repository.pull_whole(url, commit).map_err(CommitBaseError::from)?;
            }
            let found = repository.check_whole(commit, self.jobs).map_err(CommitBaseError::from)?;
            if found.is_empty() {
                return Ok(());
            }
            damage = found;
        }
        let reasons = damage.iter().take(10).map(ToString::to_string).collect();
        Err(CommitBaseError::Refused { from: from.to_owned(), reasons }.into())
    }

    /// The store's repository with a commit object of a remote, which its keys have signed.
    fn signed_commit(
        &self,
        base: &OstreeBase,
        remote: &OstreeRemote,
        commit: &Digest,
        from: &str,
    ) -> Result<Repository, ExecError> {
        let url = remote.url.value.as_str();
        let keys = self.keys(remote)?;
        let path = self.store.base_repository(url).map_err(ExecError::store("opening a base"))?;
        let repository = Repository::open_or_create(&path).map_err(CommitBaseError::from)?;
        let refname = base.refname.as_ref().map(|refname| refname.value.as_str());
        let name = refname.unwrap_or_default();
        let key = format!("ostree-signed-1 {url} {} {name} {}", commit.hex(), keys.digest);
        let key = Digest::of(key);
        let there = repository.has_commit(commit);
        if there && self.store.product(SIGNED, &key) == Some(true) {
            return Ok(repository);
        }
        // One that is there may have been signed again since.
        if !there || !self.fetcher.is_offline() {
            self.online(from)?;
            repository.pull_commit(url, commit).map_err(CommitBaseError::from)?;
        }
        if !remote.unverified {
            let report = repository.judge_commit(commit, refname, &keys.trust);
            let report = report.map_err(CommitBaseError::from)?;
            if !report.is_good() {
                // What was there before, others trust by keys of theirs.
                if !there {
                    repository.remove_commit(commit).map_err(CommitBaseError::from)?;
                }
                let (from, reasons) = (from.to_owned(), report.reasons);
                return Err(CommitBaseError::Refused { from, reasons }.into());
            }
        }
        self.store
            .put_product(SIGNED, &key, &true)
            .map_err(ExecError::store("remembering a base"))?;
        Ok(repository)
    }

    fn keys(&self, remote: &OstreeRemote) -> Result<Keys, ExecError> {
        let mut all = Hasher::default();
        let mut keys = Vec::new();
        let parse = |name: &str, bytes: &[u8]| {
            PublicKey::parse(bytes).map_err(|source| {
                let name = name.to_owned();
                CommitBaseError::Key { name, source: Box::new(source) }
            })
        };
        let read = |name: &str| {
            std::fs::read(self.folder.join(name)).map_err(|source| {
                let name = name.to_owned();
                CommitBaseError::Key { name, source: Box::new(source) }
            })
        };
        if let Some(key) = &remote.ed25519_key {
            keys.push(parse(key, key.as_bytes())?);
        }
        if let Some(file) = &remote.spki_key {
            keys.push(parse(file, &read(file)?)?);
        }
        for key in &keys {
            all.update(key.spki_der());
        }
        let mut revoked = Vec::new();
        if let Some(file) = &remote.revoked_keys {
            let name = file.value.clone();
            revoked = KeyList::Any
                .parse(&read(file)?)
                .map_err(|source| CommitBaseError::Key { name, source: Box::new(source) })?;
            all.update(b"revoked\0");
            revoked.iter().for_each(|key| all.update(key.spki_der()));
        }
        let mut trust = Trust { revoked, ..Trust::of(keys) };
        if let Some(file) = &remote.gpg_key {
            all.update(b"gpg\0");
            all.update(&read(file)?);
            trust.gpg =
                Some(Keyring::read(&self.folder.join(&file.value)).map_err(CommitBaseError::from)?);
        }
        Ok(Keys { trust, digest: all.finish() })
    }

    fn online(&self, what: &str) -> Result<(), ExecError> {
        match self.fetcher.is_offline() {
            true => Err(FetchError::Offline { what: what.to_owned() }.into()),
            false => Ok(()),
        }
    }
}
