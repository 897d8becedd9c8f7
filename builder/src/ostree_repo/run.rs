//! [`Run`]: the commits of one build, which become visible together.

use std::collections::HashMap;

use ostree::glib::Variant;
use ostree::{ObjectType, Repo, RepoCommitState, RepoMode};
use treelay_layers::Contents;
use treelay_layers::tree::Tree;
use treelay_recipes::Digest;

use super::base::Base;
use super::boot::{self, Bootable};
use super::commit::{CommitOutcome, CommitSpec, TreeFacts, Written};
use super::content::{self, ObjectMemory, Target};
use super::error::{Doing, OstreeError, Result};
use super::files::Files;
use super::origins::Origins;
use super::overlay::{self, DirRef, Lower, Rules};
use super::staging::Staging;
use super::{NONE, Repository, import, objects, parse, steadily};

/// Hears how many bytes of content were done since it was last called, from several threads.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// The commits of one build. Nothing of them is visible before [`Run::finish`]; dropped without it,
/// nothing has happened.
pub struct Run<'r> {
    repository: &'r Repository,
    threads: usize,
    open: Option<Open>,
    moves: Vec<Move>,
    /// What this run made already: three arches share most of their files.
    made: HashMap<Digest, Digest>,
}

/// What a tree is laid over, and what is to come of it.
#[derive(Default)]
pub struct Over<'b> {
    /// The commit below; none for a tree that stands alone.
    pub base: Option<&'b Base<'b>>,
    /// What of it goes, and what may be replaced.
    pub rules: Rules,
    /// Whether hosts shall be able to boot the result.
    pub bootable: Bootable,
    /// Which layers the tree was made of.
    pub origins: Origins,
    /// The SELinux label of the root, where there is no base to have one; with the NUL at its end.
    pub root_label: Option<Vec<u8>>,
}

/// A transaction that is open.
///
/// libostree writes a transaction's refs right after its objects have moved to their place, with no
/// sync in between. Hence two: `repo`'s holds metadata objects and is committed first; `refs` is
/// the same repository opened again, whose transaction holds the lock against pruning from
/// beginning to end, and the refs.
struct Open {
    repo: Repo,
    refs: Repo,
    staging: Option<Staging>,
    /// Base commits whose objects come with this transaction.
    taken: Vec<Digest>,
}

struct Move {
    refname: String,
    from: Option<Digest>,
    to: Digest,
}

/// What a run changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finished {
    /// The refs that name another commit now.
    pub refs: Vec<String>,
}

/// The commit that a ref names.
struct Parent {
    checksum: Digest,
    variant: Variant,
    whole: bool,
}

/// What libostree compresses with unless `archive.zlib-level` says otherwise.
const DEFAULT_LEVEL: i32 = 6;

impl Repository {
    /// `archive.zlib-level`.
    pub(super) fn level(&self) -> i32 {
        self.repo.config().integer("archive", "zlib-level").unwrap_or(DEFAULT_LEVEL)
    }

    /// Begins a run that makes objects on `threads` threads.
    pub fn begin(&self, threads: usize) -> Run<'_> {
        Run { repository: self, threads, open: None, moves: Vec::new(), made: HashMap::new() }
    }
}

impl Run<'_> {
    /// What the ref's commit says, if it says the same as a new commit would, but for parent and
    /// time. `content` is the content checksum that a commit of the same tree had before; so an
    /// unchanged tree need not be read to be known; `facts` is what is known of that tree.
    ///
    /// # Errors
    /// See [`OstreeError`].
    pub fn unchanged(
        &self,
        spec: &CommitSpec,
        facts: &TreeFacts,
        content: &Digest,
    ) -> Result<Option<CommitOutcome>> {
        spec.check()?;
        let metadata = spec.metadata(facts);
        let parent = self.parent(&spec.refname)?.filter(|parent| parent.whole);
        Ok(parent
            .filter(|parent| {
                parent.says_besides_tree(&metadata, spec)
                    && content_checksum(&parent.variant) == *content
            })
            .map(|parent| parent.unchanged(spec, facts)))
    }

    /// Makes a commit of `tree` over what `over` says, unless the ref's commit says the same but for parent and time.
    ///
    /// The tree is taken as it is: [`etc_to_usr_etc`](super::etc_to_usr_etc), and over a base
    /// [`without_var`](super::without_var) and [`with_labels`](super::with_labels), come before.
    ///
    /// # Errors
    /// See [`OstreeError`]; then the repository is as it was.
    pub fn write_commit(
        &mut self,
        tree: &Tree,
        over: &Over<'_>,
        contents: &dyn Contents,
        memory: &dyn ObjectMemory,
        spec: &CommitSpec,
        progress: Progress<'_>,
    ) -> Result<CommitOutcome> {
        self.repository.check_mode()?;
        spec.check()?;
        if self.moves.iter().any(|there| there.refname == spec.refname) {
            return Err(OstreeError::RefTwice(spec.refname.clone()));
        }
        content::fits(self.repository.repo.mode(), tree.entries()).map_err(|reason| {
            let (path, mode) = (self.repository.path.clone(), self.repository.mode());
            OstreeError::Mode { path, mode, reason }
        })?;
        // A base may have what cannot be said there, and none of it is looked at.
        if let Some(base) = over.base
            && self.repository.repo.mode() == RepoMode::BareUserOnly
            && base.repository.repo.mode() != RepoMode::BareUserOnly
        {
            let (path, mode) = (self.repository.path.clone(), self.repository.mode());
            let reason = "which cannot hold all of a base from a repository of another mode";
            return Err(OstreeError::Mode { path, mode, reason: reason.to_owned() });
        }
        let lower = over.base.map(|base| (base.root, base as &dyn Lower));
        let mut plan = overlay::lay(tree, lower, &over.rules)?;
        if let Some(label) = &over.root_label {
            plan.label_root(label);
        }
        let mut facts = TreeFacts {
            base: over.base.map(|base| base.facts().clone()),
            kernel: boot::kernel(&plan, over.base, over.bootable, contents, &spec.refname)?,
            layers: Vec::new(),
        };
        let parent = self.parent(&spec.refname)?;
        let mut files = Files::of(tree);

        files.recall(|job| {
            job.known()
                .or_else(|| self.made.get(&job.key).copied())
                .or_else(|| memory.get(&job.key))
        });
        if let Some(known) = files.all_known()
            && let Some(parent) = parent.as_ref().filter(|parent| parent.whole)
            && let Some(root) = plan.objects(&known).last()
        {
            facts.layers = over.origins.said(&plan, &known);
            if parent.says(&spec.metadata(&facts), spec, &root.named) {
                return Ok(parent.unchanged(spec, &facts));
            }
        }

        if let Some(base) = over.base {
            self.take_over(base)?;
        }
        let mut written = self.make_objects(&mut files, contents, memory, progress)?;
        written.unused = plan.unused.clone();
        let Some(known) = files.all_known() else { unreachable!("every object was made") };
        let dirs = plan.objects(&known);
        facts.layers = over.origins.said(&plan, &known);
        let metadata = spec.metadata(&facts);
        let Some(root) = dirs.last() else { unreachable!("there is always a root") };
        if let Some(parent) = parent.as_ref().filter(|parent| parent.whole)
            && parent.says(&metadata, spec, &root.named)
        {
            return Ok(parent.unchanged(spec, &facts));
        }
        for dir in &dirs {
            if let Some(meta) = &dir.meta {
                self.write_metadata(ObjectType::DirMeta, &dir.named.meta, meta)?;
            }
            if let Some(tree) = &dir.tree {
                self.write_metadata(ObjectType::DirTree, &dir.named.tree, tree)?;
            }
        }
        let before = parent.as_ref().map(|parent| ostree::commit_get_timestamp(&parent.variant));
        let earliest = spec.earliest(&facts);
        let commit = objects::Commit {
            metadata,
            parent: parent.as_ref().map(|parent| parent.checksum),
            subject: &spec.subject,
            body: &spec.body,
            time: before.map_or(earliest, |before| earliest.max(before.saturating_add(1))),
            root: root.named.tree,
            root_meta: root.named.meta,
        };
        let variant = commit.variant();
        let checksum = objects::checksum(&variant);
        self.write_metadata(ObjectType::Commit, &checksum, &variant)?;
        self.moves.push(Move { refname: spec.refname.clone(), from: commit.parent, to: checksum });
        Ok(CommitOutcome {
            refname: spec.refname.clone(),
            checksum,
            content_checksum: content_checksum(&variant),
            parent: commit.parent,
            time: commit.time,
            kernel: facts.kernel,
            layers: facts.layers,
            written: Some(written),
        })
    }

    /// Makes everything last and visible: objects, then refs, then the summary.
    ///
    /// # Errors
    /// [`OstreeError::Moved`] where somebody else moved a ref meanwhile, and what the file system
    /// says; then the refs are as they were.
    pub fn finish(mut self) -> Result<Finished> {
        let Some(open) = self.open.take() else { return Ok(Finished::default()) };
        let (repository, moves) = (self.repository, std::mem::take(&mut self.moves));
        let path = repository.path.display();
        let refs = repository.refs()?;
        // Somebody who built the same at the same time moved it to the very commit that is meant.
        let as_meant = |this: &Move, there: Option<&Digest>| {
            there == this.from.as_ref() || there == Some(&this.to)
        };
        if let Some(moved) = moves.iter().find(|it| !as_meant(it, refs.get(&it.refname))) {
            return Err(OstreeError::Moved(moved.refname.clone()));
        }
        open.commit(repository, &moves)?;
        if !moves.is_empty() {
            let summary = steadily(|| repository.repo.regenerate_summary(None, NONE));
            summary.doing(|| format!("regenerating the summary of {path}"))?;
        }
        Ok(Finished { refs: moves.into_iter().map(|this| this.refname).collect() })
    }

    /// Brings the objects of a base, unless they are there with their commit.
    fn take_over(&mut self, base: &Base<'_>) -> Result<()> {
        if self.repository.has_whole(&base.checksum) {
            return Ok(());
        }
        let threads = self.threads;
        let open = self.open()?;
        if !open.taken.contains(&base.checksum) {
            import::import(base, &open.repo, threads)?;
            open.taken.push(base.checksum);
        }
        Ok(())
    }

    /// Makes what is not known, and sees to it that what is known is there.
    fn make_objects(
        &mut self,
        files: &mut Files<'_>,
        contents: &dyn Contents,
        memory: &dyn ObjectMemory,
        progress: Progress<'_>,
    ) -> Result<Written> {
        let level = self.repository.level();
        let threads = self.threads;
        self.open()?;
        let Some(open) = &self.open else { unreachable!("it was just opened") };
        let target = Target { repo: &open.repo, staging: open.staging.as_ref(), level, threads };
        let mut written = Written::default();
        let mut todo = Vec::new();
        for (key, job) in std::mem::take(&mut files.jobs) {
            match files.objects.get(&key) {
                Some(object) if open.has(object)? => {
                    written.reused += 1;
                    progress(job.size());
                }
                _ => todo.push(job),
            }
        }
        for made in content::make(&target, contents, &todo, progress)? {
            let job = &todo[made.job];
            memory.put(&job.key, &made.object);
            self.made.insert(job.key, made.object);
            files.objects.insert(job.key, made.object);
            written.read += job.size();
            *(if made.new { &mut written.made } else { &mut written.reused }) += 1;
        }
        Ok(written)
    }

    fn write_metadata(
        &mut self,
        kind: ObjectType,
        checksum: &Digest,
        object: &Variant,
    ) -> Result<()> {
        let open = self.open()?;
        let written = open.repo.write_metadata(kind, Some(&checksum.hex()), object, NONE);
        written
            .map(drop)
            .doing(|| format!("writing {} {}", ostree::object_type_to_string(kind), checksum.hex()))
    }

    fn parent(&self, refname: &str) -> Result<Option<Parent>> {
        let Some(checksum) = self.repository.refs()?.get(refname).copied() else { return Ok(None) };
        let bad = |reason: String| OstreeError::BadParent {
            refname: refname.to_owned(),
            checksum: checksum.hex(),
            reason,
        };
        let (variant, state) = self
            .repository
            .repo
            .load_commit(&checksum.hex())
            .map_err(|error| bad(error.message().to_owned()))?;
        if objects::checksum(&variant) != checksum {
            return Err(bad("its bytes do not have that checksum".to_owned()));
        }
        let whole = !state.contains(RepoCommitState::PARTIAL);
        Ok(Some(Parent { checksum, variant, whole }))
    }

    fn open(&mut self) -> Result<&mut Open> {
        if self.open.is_none() {
            self.open = Some(Open::new(self.repository)?);
        }
        match &mut self.open {
            Some(open) => Ok(open),
            None => unreachable!("it was just opened"),
        }
    }
}

impl Open {
    fn new(repository: &Repository) -> Result<Self> {
        let beginning = || format!("beginning to write to {}", repository.path.display());
        let refs = Repo::new_for_path(&repository.path);
        refs.open(NONE).doing(beginning)?;
        refs.prepare_transaction(NONE).doing(beginning)?;
        let repo = repository.repo.clone();
        // From here on a failure drops what there is, which ends both transactions.
        let mut open = Self { repo, refs, staging: None, taken: Vec::new() };
        open.repo.prepare_transaction(NONE).doing(beginning)?;
        // One sync for all comes in `commit`, whatever `core.fsync` says.
        open.repo.set_disable_fsync(true);
        if repository.repo.mode() == RepoMode::Archive {
            open.staging = Some(Staging::new(&repository.dir).doing(beginning)?);
        }
        Ok(open)
    }

    fn has(&self, object: &Digest) -> Result<bool> {
        if self.staging.as_ref().is_some_and(|staging| staging.has(object)) {
            return Ok(true);
        }
        self.repo
            .has_object(ObjectType::File, &object.hex(), NONE)
            .doing(|| format!("looking for object {}", object.hex()))
    }

    fn commit(mut self, repository: &Repository, moves: &[Move]) -> Result<()> {
        let path = repository.path.display();
        rustix::fs::syncfs(repository.repo.dfd_borrow()).doing(|| format!("syncing {path}"))?;
        let publishing = || format!("moving new objects to their place in {path}");
        if let Some(staging) = self.staging.take() {
            staging.publish(&repository.dir).doing(publishing)?;
        }
        self.repo.commit_transaction(NONE).doing(publishing)?;
        // Of a commit that is made again, a part may have been missing until now.
        for commit in self.taken.iter().chain(moves.iter().map(|this| &this.to)) {
            self.repo.mark_commit_partial(&commit.hex(), false).doing(publishing)?;
        }
        for this in moves {
            self.refs.transaction_set_ref(None, &this.refname, Some(&this.to.hex()));
        }
        // Syncs again, since this one's syncing is not disabled, then writes the refs.
        self.refs.commit_transaction(NONE).doing(|| format!("writing the refs of {path}"))?;
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.repo.set_disable_fsync(false);
        // Without effect after a commit; what is left after a failure, the next run removes.
        let _ = self.repo.abort_transaction(NONE);
        let _ = self.refs.abort_transaction(NONE);
    }
}

impl Parent {
    /// Whether a new commit would differ in nothing but parent and time.
    fn says(&self, metadata: &Variant, spec: &CommitSpec, root: &DirRef) -> bool {
        let of = |at| objects::digest_of_bytes(&self.variant.child_value(at));
        self.says_besides_tree(metadata, spec)
            && (of(6), of(7)) == (Some(root.tree), Some(root.meta))
    }

    fn says_besides_tree(&self, metadata: &Variant, spec: &CommitSpec) -> bool {
        let of = |at| self.variant.child_value(at);
        of(0) == *metadata && of(3).str() == Some(&spec.subject) && of(4).str() == Some(&spec.body)
    }

    fn unchanged(&self, spec: &CommitSpec, facts: &TreeFacts) -> CommitOutcome {
        let parent = ostree::commit_get_parent(&self.variant);
        CommitOutcome {
            refname: spec.refname.clone(),
            checksum: self.checksum,
            content_checksum: content_checksum(&self.variant),
            parent: parent.and_then(|parent| parse(&parent).ok()),
            time: ostree::commit_get_timestamp(&self.variant),
            kernel: facts.kernel.clone(),
            layers: facts.layers.clone(),
            written: None,
        }
    }
}

/// libostree's checksum of the root's dirtree and dirmeta.
pub(super) fn content_checksum(commit: &Variant) -> Digest {
    let checksum = ostree::commit_get_content_checksum(commit);
    // It is `None` only for a commit whose structure is wrong; those are refused before.
    checksum.and_then(|checksum| parse(&checksum).ok()).unwrap_or(Digest::from_bytes([0; 32]))
}
