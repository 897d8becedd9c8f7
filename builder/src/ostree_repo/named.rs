//! What a place of the command line means: commits, by the refs of the repository or of a remote.

use std::collections::BTreeMap;

use treelay_recipes::{Arch, Digest};

use super::error::{Doing, OstreeError, Result};
use super::{NONE, Repository, parse, steadily};

/// A commit that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// As people are told of it: a ref, `REMOTE:REF`, or a checksum.
    pub name: String,
    /// The ref, without a remote; `None` where it was asked for by its checksum.
    pub refname: Option<String>,
    /// Which it is.
    pub checksum: Digest,
}

impl Repository {
    /// The commits that `name` means, as [`named`](Self::named) has it, of the refs that were pulled
    /// from a remote. Where it means none of them, the repository's own refs count: of what is
    /// published there, or mirrored.
    ///
    /// # Errors
    /// [`OstreeError::NoSuchCommit`] where there is none.
    pub fn named_of(&self, remote: Option<&str>, name: Option<&str>) -> Result<Vec<Named>> {
        if let Some(remote) = remote {
            let found = self.of_remote(remote, name)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let named = self.named(name)?.into_iter().map(|(name, checksum)| {
            let refname = (name != checksum.hex()).then(|| name.clone());
            Named { name, refname, checksum }
        });
        Ok(named.collect())
    }

    fn of_remote(&self, remote: &str, name: Option<&str>) -> Result<Vec<Named>> {
        let listing = || format!("listing the refs of {}", self.path.display());
        let wanted = name.map(|name| match name.contains("{{") {
            true => Arch::ALL.map(|arch| crate::dest::for_arch(name, arch)).to_vec(),
            false => vec![name.to_owned()],
        });
        let all: BTreeMap<_, _> =
            steadily(|| self.repo.list_refs(None, NONE)).doing(listing)?.into_iter().collect();
        let mut found = Vec::new();
        for (name, checksum) in all {
            let Some((of, refname)) = name.split_once(':') else { continue };
            let refname = refname.to_owned();
            if of == remote && wanted.as_ref().is_none_or(|wanted| wanted.contains(&refname)) {
                let checksum = parse(&checksum).doing(listing)?;
                found.push(Named { name, refname: Some(refname), checksum });
            }
        }
        Ok(found)
    }

    /// Refuses a name that no remote of the configuration has.
    ///
    /// # Errors
    /// [`OstreeError::NoSuchRemote`] with what there is instead.
    pub(super) fn check_remote(&self, name: &str) -> Result<()> {
        let remotes = self.repo.remote_list();
        if remotes.iter().any(|remote| remote == name) {
            return Ok(());
        }
        let has = match remotes.len() {
            0 => ", which has no remotes".to_owned(),
            _ => format!("; it has {}", remotes.join(", ")),
        };
        Err(OstreeError::NoSuchRemote { name: name.to_owned(), path: self.path.clone(), has })
    }
}
