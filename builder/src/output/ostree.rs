//! Commits into an OSTree repository.

use std::sync::atomic::{AtomicU64, Ordering};

use treelay_layers::Tree;
use treelay_recipes::{Arch, Digest};

use crate::dest::for_arch;
use crate::exec::{ExecError, Layers, Workshop};
use crate::ostree_repo::{CommitOutcome, CommitSpec, OstreeError, Repository, Run, etc_to_usr_etc};
use crate::plan::Plan;
use crate::sources::{Everything, Sources};
use crate::store::ObjectIndex;

/// The commit of one arch.
#[derive(Debug, Clone)]
pub struct CommitArtifact {
    /// The arch.
    pub arch: Arch,
    /// What came of it.
    pub outcome: CommitOutcome,
}

/// Why commits could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The repository, or the tree.
    #[error(transparent)]
    Ostree(#[from] OstreeError),
    /// The layers.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The given ref is one for several arches.
    #[error("{0:?} would be the ref of several arches: put {{{{ arch.uname }}}} into it")]
    OneRef(String),
    /// The memory of objects could not be written.
    #[error("remembering OSTree objects in the store")]
    Memory(#[source] std::io::Error),
}

/// Makes the commit of every arch. `refname` is the destination's, where it names one; its
/// `{{ arch.uname }}` and `{{ arch }}` are replaced. `sign` is called with each commit, new or not,
/// before its ref moves.
///
/// # Errors
/// [`CommitError`]; then no ref has moved.
pub fn write(
    repository: &Repository,
    refname: Option<&str>,
    workshop: &Workshop<'_>,
    plan: &Plan,
    layers: &Layers<'_>,
    sources: &Sources,
    sign: &mut dyn FnMut(&Digest) -> Result<(), OstreeError>,
) -> Result<Vec<CommitArtifact>, CommitError> {
    let memory = ObjectIndex::new(workshop.store);
    let contents = Everything { sources, store: workshop.store };
    let mut run = repository.begin(workshop.jobs);
    let mut commits = Vec::new();
    let mut new = Vec::new();
    for planned in &plan.commits {
        let arch = planned.arch;
        let refname = match refname {
            Some(refname) => expand(refname, arch, plan.commits.len() > 1)?,
            None => planned.refname.clone(),
        };
        let spec = CommitSpec {
            refname: refname.clone(),
            arch,
            version: Some(plan.version.clone()),
            subject: planned.subject.clone(),
            body: String::new(),
            epoch: plan.epoch,
            metadata: planned.metadata.clone(),
            collection: planned.collection.clone(),
        };
        let key = layers.merged(arch).map(content_key);
        let known = key.and_then(|key| workshop.store.product(CONTENT, &key));
        let unchanged = match known {
            Some(content) => run.unchanged(&spec, &content)?,
            None => None,
        };
        let outcome = match unchanged {
            Some(outcome) => outcome,
            None => {
                let tree = etc_to_usr_etc(&*layers.merged_tree(arch)?)?;
                commit(&mut run, &tree, &contents, &memory, &spec, workshop)?
            }
        };
        new.extend(
            key.filter(|_| known != Some(outcome.content_checksum))
                .map(|key| (key, outcome.content_checksum)),
        );
        // Before the refs move: a commit and its signatures become visible together.
        sign(&outcome.checksum)?;
        commits.push(CommitArtifact { arch, outcome });
    }
    run.finish()?;
    memory.save().map_err(CommitError::Memory)?;
    for (key, content) in new {
        workshop.store.put_product(CONTENT, &key, &content).map_err(CommitError::Memory)?;
    }
    Ok(commits)
}

/// The kind of product that remembers the content checksum of a tree's commits.
const CONTENT: &str = "ostree-content";

/// What it is remembered under: the tree, and the version of the mapping from it to a commit.
fn content_key(tree: &Digest) -> Digest {
    Digest::of(format!("ostree-content-1 {tree}"))
}

/// Makes a commit, telling how far it is.
fn commit(
    run: &mut Run<'_>,
    tree: &Tree,
    contents: &Everything<'_>,
    memory: &ObjectIndex<'_>,
    spec: &CommitSpec,
    workshop: &Workshop<'_>,
) -> Result<CommitOutcome, OstreeError> {
    let task = format!("committing {}", spec.refname);
    workshop.observer.begin(&task);
    let size = Some(tree.content_size());
    let done = AtomicU64::new(0);
    let progress = |bytes: u64| {
        let all = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        workshop.observer.advance(&task, all, size);
    };
    let outcome = run.write_commit(tree, contents, memory, spec, &progress);
    workshop.observer.end(&task);
    outcome
}

fn expand(refname: &str, arch: Arch, several: bool) -> Result<String, CommitError> {
    let text = for_arch(refname, arch);
    if several && text == refname {
        return Err(CommitError::OneRef(refname.to_owned()));
    }
    Ok(text)
}

impl CommitArtifact {
    /// The commit's checksum.
    pub fn checksum(&self) -> Digest {
        self.outcome.checksum
    }
}
