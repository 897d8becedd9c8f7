//! Commits into an OSTree repository.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::json;
use treelay_layers::selinux::{FileType, Own};
use treelay_layers::{ContentSink as _, Tree};
use treelay_recipes::{Arch, Digest, recipe};

use crate::attest::{AttestError, DocumentError};
use crate::dest::for_arch;
use crate::exec::{BuiltLayer, ExecError, Layers, Workshop};
use crate::ostree_repo::{
    Base, Bootable, CommitLayer, CommitOutcome, CommitSpec, Labelled, Origins, OstreeError, Over,
    Repository, Rules, Run, TreeFacts, check_hidden, etc_to_usr_etc, tmpfiles, with_labels,
    with_lines_of, without_var,
};
use crate::plan::{Plan, PlannedCommit, PlannedContext, PlannedTree};
use crate::sources::{Everything, Sources};
use crate::store::{ObjectIndex, StoreSink};

/// The commit of one arch.
#[derive(Debug, Clone)]
pub struct CommitArtifact {
    /// The arch.
    pub arch: Arch,
    /// The commit below the layers.
    pub base: Option<Digest>,
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
    /// A document about a commit could not be made.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A document could not be signed, or kept beside its commit.
    #[error("attesting a commit")]
    Attest(#[from] AttestError),
}

/// Makes the commit of every arch. `refname` is the destination's, where it names one; its
/// `{{ arch.uname }}` and `{{ arch }}` are replaced. `sign` is called with each commit, new or not,
/// before its ref moves.
///
/// # Errors
/// [`CommitError`]; then no ref has moved.
pub async fn write(
    repository: &Repository,
    refname: Option<&str>,
    workshop: &Workshop<'_>,
    plan: &Plan,
    layers: &Layers<'_>,
    sources: &Sources,
    sign: &mut dyn FnMut(&CommitArtifact) -> Result<(), CommitError>,
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
        let elsewhere = match &planned.base {
            Some(tree) => elsewhere(tree, repository, &refname, workshop).await?,
            None => None,
        };
        let place = elsewhere.as_ref().unwrap_or(repository);
        let base = planned.base.as_ref().map(|tree| place.base(&tree.commit)).transpose()?;
        let key = layers.merged(arch);
        let key = key.map(|tree| content_key(tree, layers.whole(arch), planned, &plan.name));
        let known = key.and_then(|key| workshop.store.product::<Known>(CONTENT, &key));
        let unchanged = match &known {
            Some(Known { content, kernel, layers, .. }) => {
                let base = base.as_ref().map(|base| base.facts().clone());
                let (kernel, layers) = (kernel.clone(), layers.clone());
                run.unchanged(&spec, &TreeFacts { base, kernel, layers }, content)?
            }
            None => None,
        };
        let outcome = match unchanged {
            Some(outcome) => outcome,
            None => {
                let tree = layers.merged_tree(arch)?;
                let Labelled { tree, dirs } =
                    prepare(&tree, base.as_ref(), planned, &plan.name, workshop)?;
                let parts = layers
                    .whole(arch)
                    .iter()
                    .map(|layer| Ok((layer.name.clone(), layer.tree, layers.tree(&layer.tree)?)));
                let parts = parts.collect::<Result<Vec<_>, ExecError>>()?;
                let over = Over {
                    base: base.as_ref(),
                    rules: Rules::new(
                        planned.remove.iter().map(String::as_str),
                        planned.replace.iter().map(String::as_str),
                    )
                    .with_labelled(dirs),
                    bootable: match planned.bootable {
                        recipe::Bootable::Auto => Bootable::Auto,
                        recipe::Bootable::True => Bootable::Yes,
                        recipe::Bootable::False => Bootable::No,
                    },
                    origins: Origins::of(&tree, &parts, &plan.name),
                    root_label: None,
                };
                commit(&mut run, &tree, &over, &contents, &memory, &spec, workshop)?
            }
        };
        let unused = match (&outcome.written, &known) {
            (Some(written), _) => written.unused.clone(),
            (None, known) => known.as_ref().map(|it| it.unused.clone()).unwrap_or_default(),
        };
        for pattern in &unused {
            let note = format!("ostree.remove: {pattern} is not in the base for {arch}");
            workshop.observer.note(&note);
        }
        let found = Known {
            content: outcome.content_checksum,
            kernel: outcome.kernel.clone(),
            layers: outcome.layers.clone(),
            unused,
        };
        new.extend(key.filter(|_| known.as_ref() != Some(&found)).map(|key| (key, found)));
        // Before the refs move: a commit and its signatures become visible together.
        let base = planned.base.as_ref().map(|base| base.commit);
        let artifact = CommitArtifact { arch, base, outcome };
        sign(&artifact)?;
        commits.push(artifact);
    }
    run.finish()?;
    memory.save().map_err(CommitError::Memory)?;
    for (key, found) in new {
        workshop.store.put_product(CONTENT, &key, &found).map_err(CommitError::Memory)?;
    }
    Ok(commits)
}

/// The repository that a base commit is taken from; `None` where the one that is written has it.
async fn elsewhere(
    tree: &PlannedTree,
    repository: &Repository,
    refname: &str,
    workshop: &Workshop<'_>,
) -> Result<Option<Repository>, CommitError> {
    let by_ref = tree.place.refname.as_ref().filter(|_| tree.place.commit.is_none());
    if let (Some(repo), Some(of_base)) = (&tree.place.repo, by_ref)
        && of_base.value == refname
        && same(&workshop.folder.join(&repo.value), repository.path())
    {
        return Err(OstreeError::OwnBase(refname.to_owned()).into());
    }
    match repository.has_whole(&tree.commit) {
        true => Ok(None),
        false => Ok(Some(workshop.base_repository(tree).await?)),
    }
}

fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// The layers' tree as a commit has it.
fn prepare(
    tree: &Tree,
    base: Option<&Base<'_>>,
    planned: &PlannedCommit,
    name: &str,
    workshop: &Workshop<'_>,
) -> Result<Labelled, CommitError> {
    let tree = etc_to_usr_etc(tree)?;
    let unlabelled = |tree| Labelled { tree, dirs: Default::default() };
    if planned.base.is_none() && planned.bootable != recipe::Bootable::True {
        // For hosts to take files from, not to be.
        return Ok(unlabelled(tree));
    }
    check_hidden(&tree)?;
    let without_var = without_var(&tree)?;
    let tree = match &without_var.lines {
        None => without_var.tree,
        Some(lines) => {
            // Of a recipe of the same name below this one.
            let read = |base: &Base<'_>| base.read(&tmpfiles(name), MOST_LINES);
            let there = base.map(read).transpose()?.flatten().unwrap_or_default();
            let lines = with_lines_of(&String::from_utf8_lossy(&there), lines);
            let kept = StoreSink::new(workshop.store).put(&mut lines.as_bytes());
            let (digest, size) = kept.map_err(CommitError::Memory)?;
            without_var.with_lines(name, digest, size)?
        }
    };
    let Some(base) = base else { return Ok(unlabelled(tree)) };
    let own: Vec<Own> = planned.contexts.iter().map(own).collect();
    match base.policy(&own)? {
        Some(policy) => Ok(with_labels(tree, &policy)?),
        None => {
            if !own.is_empty() {
                let note = "ostree.contexts: the base has no SELinux policy in use, so nothing is \
                            labelled";
                workshop.observer.note(&format!("{note} for {}", planned.arch));
            }
            Ok(unlabelled(tree))
        }
    }
}

fn own(context: &PlannedContext) -> Own {
    let kind = context.kind.map(|letter| match letter {
        'd' => FileType::Directory,
        'l' => FileType::Symlink,
        _ => FileType::Regular,
    });
    Own { path: context.path.clone(), kind, context: context.context.clone() }
}

/// Far more than a recipe makes.
const MOST_LINES: u64 = 16 << 20;

/// The kind of product that remembers what a tree's commits are.
const CONTENT: &str = "ostree-content";

/// What a tree became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Its content checksum.
    content: Digest,
    /// The version of its kernel, where hosts can boot it.
    kernel: Option<String>,
    /// The layers that it is of.
    layers: Vec<CommitLayer>,
    /// Patterns of what to remove that found nothing.
    unused: Vec<String>,
}

/// What it is remembered under: the layers, what they are laid over and how, and the version of the
/// mapping from that to a commit.
fn content_key(
    tree: &Digest,
    layers: &[BuiltLayer],
    planned: &PlannedCommit,
    name: &str,
) -> Digest {
    let layers: Vec<_> = layers.iter().map(|layer| (&layer.name, layer.tree)).collect();
    let base = planned.base.as_ref().map(|base| base.commit);
    let PlannedCommit { remove, replace, contexts, bootable, .. } = planned;
    let how = format!("{bootable:?}");
    let over = json!([base, remove, replace, contexts, how, name, layers]);
    Digest::of(format!("ostree-content-5 {tree} {over}"))
}

/// Makes a commit, telling how far it is.
fn commit(
    run: &mut Run<'_>,
    tree: &Tree,
    over: &Over<'_>,
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
    let outcome = run.write_commit(tree, over, contents, memory, spec, &progress);
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
