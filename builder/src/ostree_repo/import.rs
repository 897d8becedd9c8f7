//! Taking the objects of a base over from another repository.
//!
//! Where both have the same mode a file becomes a link to the same bytes; else it is written anew,
//! and its checksum computed. A commit that is there whole has all its objects already.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ostree::{ObjectType, Repo};
use treelay_recipes::Digest;

use super::base::Base;
use super::error::{Doing, Result};
use super::overlay::{DirRef, Lower};
use super::{NONE, Repository};

/// Objects of a commit, children before what names them, the commit last.
struct Found {
    files: Vec<Digest>,
    metas: Vec<Digest>,
    trees: Vec<Digest>,
}

/// Brings every object of `base` into `to`, which has a transaction open. The objects that were not
/// there.
pub(super) fn import(base: &Base<'_>, to: &Repo, threads: usize) -> Result<u64> {
    let Found { files, metas, trees } = find(base)?;
    let mut jobs: Vec<(ObjectType, Digest)> = Vec::with_capacity(files.len() + 2 * trees.len() + 1);
    jobs.extend(files.into_iter().map(|file| (ObjectType::File, file)));
    jobs.extend(metas.into_iter().map(|meta| (ObjectType::DirMeta, meta)));
    jobs.extend(trees.into_iter().map(|tree| (ObjectType::DirTree, tree)));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = |from: Repo, to: Repo| -> Result<u64> {
        let mut new = 0;
        while !stop.load(Ordering::Relaxed) {
            let Some((kind, object)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            match take(&from, &to, *kind, object) {
                Ok(taken) => new += u64::from(taken),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(new)
    };
    let new: Result<u64> = std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads.max(1))
            .map(|_| {
                let (from, to) = (base.repository.repo.clone(), to.clone());
                scope.spawn(move || work(from, to))
            })
            .collect();
        let mut new = 0_u64;
        for thread in running {
            match thread.join() {
                Ok(part) => new += part?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(new)
    });
    let new = new?;
    // What other programs go by: not whole until everything is in its place.
    let commit = base.checksum.hex();
    to.mark_commit_partial(&commit, true).doing(|| format!("taking over commit {commit}"))?;
    take(&base.repository.repo, to, ObjectType::Commit, &base.checksum)?;
    Ok(new)
}

fn take(from: &Repo, to: &Repo, kind: ObjectType, object: &Digest) -> Result<bool> {
    let hex = object.hex();
    let taking = || format!("taking over object {hex} of the base");
    if to.has_object(kind, &hex, NONE).doing(taking)? {
        return Ok(false);
    }
    to.import_object_from_with_trust(from, kind, &hex, true, NONE).doing(taking)?;
    Ok(true)
}

impl Repository {
    /// The first object of a commit that is not there, as `CHECKSUM.KIND`.
    pub(super) fn missing(&self, commit: &Digest) -> Result<Option<String>> {
        let base = self.base_commit(commit)?.0;
        let Found { files, metas, .. } = find(&base)?;
        let files = files.into_iter().map(|file| (ObjectType::File, file));
        for (kind, object) in files.chain(metas.into_iter().map(|meta| (ObjectType::DirMeta, meta)))
        {
            if !self.has(kind, &object)? {
                let kind = ostree::object_type_to_string(kind);
                return Ok(Some(format!("{}.{kind}", object.hex())));
            }
        }
        Ok(None)
    }
}

fn find(base: &Base<'_>) -> Result<Found> {
    let (mut files, mut metas, mut seen) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut trees = Vec::new();
    let mut todo: Vec<DirRef> = vec![base.root];
    while let Some(dir) = todo.pop() {
        metas.insert(dir.meta);
        if !seen.insert(dir.tree) {
            continue;
        }
        trees.push(dir.tree);
        let listing = base.listing(&dir.tree)?;
        files.extend(listing.files.into_values());
        todo.extend(listing.dirs.into_values());
    }
    trees.reverse();
    Ok(Found { files: files.into_iter().collect(), metas: metas.into_iter().collect(), trees })
}
