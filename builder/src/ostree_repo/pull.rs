//! Taking commits from a web server, through libostree.
//!
//! First the commit object and its signatures, which are judged before anything else is asked for; then
//! the rest. Into an archive repository its files come as they are served, and are verified here, on
//! all processors, which is faster than having libostree unpack and pack each again.

use ostree::gio::prelude::FileExt as _;
use ostree::glib::Variant;
use ostree::glib::prelude::*;
use ostree::{ObjectType, RepoPullFlags, RepoRemoteChange, gio};
use treelay_recipes::Digest;

use super::error::{Doing, Result};
use super::trust::Trust;
use super::verify::{CommitReport, Damage};
use super::{NONE, Repository, integrity, objects};

/// The remote of a repository that takes everything from one address.
const REMOTE: &str = "base";

impl Repository {
    /// Pulls a commit object and what is signed of it, without its tree.
    ///
    /// # Errors
    /// [`OstreeError::Library`](super::OstreeError::Library) with libostree's words.
    pub fn pull_commit(&self, url: &str, commit: &Digest) -> Result<()> {
        self.pull(url, commit, RepoPullFlags::COMMIT_ONLY)
    }

    /// Pulls a commit whole. Its files are taken as they are served, for
    /// [`check_whole`](Self::check_whole) to read.
    ///
    /// # Errors
    /// [`OstreeError::Library`](super::OstreeError::Library) with libostree's words.
    pub fn pull_whole(&self, url: &str, commit: &Digest) -> Result<()> {
        self.pull(url, commit, RepoPullFlags::MIRROR | RepoPullFlags::TRUSTED_HTTP)
    }

    /// Reads everything of a commit, on `threads` threads. What is not what its name says is removed,
    /// and the commit counts as partial then.
    ///
    /// # Errors
    /// What kept it from looking or removing.
    pub fn check_whole(&self, commit: &Digest, threads: usize) -> Result<Vec<Damage>> {
        let variant = self.load(ObjectType::Commit, commit)?;
        let mut report = CommitReport::of(*commit, None);
        integrity::check(self, &variant, threads, &mut report)?;
        if !report.damage.is_empty() {
            self.repo
                .mark_commit_partial(&commit.hex(), true)
                .doing(|| format!("marking commit {} as partial", commit.hex()))?;
        }
        report.damage.iter().try_for_each(|damage| self.remove(damage))?;
        Ok(report.damage)
    }

    /// Judges a commit object of which the tree need not be there: its bytes, the ref that it was
    /// made for, and its signatures.
    ///
    /// # Errors
    /// Only where nothing can be said, as of [`Repository::verify_commit`].
    pub fn judge_commit(
        &self,
        commit: &Digest,
        refname: Option<&str>,
        trust: &Trust,
    ) -> Result<CommitReport> {
        let mut report = CommitReport::of(*commit, refname.map(str::to_owned));
        let variant = self.load(ObjectType::Commit, commit)?;
        self.judge_object(&variant, trust, &mut report)?;
        Ok(report)
    }

    /// Whether a commit object is there, whole or not.
    pub fn has_commit(&self, commit: &Digest) -> bool {
        self.repo.load_commit(&commit.hex()).is_ok()
    }

    /// Removes a commit object that was refused, with its signatures.
    ///
    /// # Errors
    /// What kept it from being removed.
    pub fn remove_commit(&self, commit: &Digest) -> Result<()> {
        let removing = || format!("removing commit {}", commit.hex());
        self.repo.delete_object(ObjectType::Commit, &commit.hex(), NONE).doing(removing)
    }

    /// Removes a local ref, if it is there.
    ///
    /// # Errors
    /// What kept it from being removed.
    pub fn remove_ref(&self, name: &str) -> Result<()> {
        let removing = || format!("removing the ref {name}");
        self.repo.set_ref_immediate(None, name, None, NONE).doing(removing)
    }

    fn pull(&self, url: &str, commit: &Digest, flags: RepoPullFlags) -> Result<()> {
        let pulling = || format!("pulling commit {} from {url}", commit.hex());
        // Signatures are judged here, more strictly; there is one address for one repository, so that
        // whoever writes it at the same time writes the same.
        let verified =
            [("gpg-verify", false.to_variant()), ("gpg-verify-summary", false.to_variant())];
        let verified = objects::metadata(verified.into_iter());
        let nowhere = None::<&gio::File>;
        let add = RepoRemoteChange::AddIfNotExists;
        let change =
            self.repo.remote_change(nowhere, add, REMOTE, Some(url), Some(&verified), NONE);
        change.doing(pulling)?;
        self.repo.pull_with_options(REMOTE, &options(commit, flags), None, NONE).doing(pulling)
    }

    /// Takes a commit whole, with what is signed of it, out of another repository of this machine.
    ///
    /// # Errors
    /// [`OstreeError::Library`](super::OstreeError::Library) with libostree's words.
    pub fn take_whole(&self, from: &Self, commit: &Digest) -> Result<()> {
        let taking = || format!("taking commit {} from {}", commit.hex(), from.path.display());
        let path = std::path::absolute(&from.path).doing(taking)?;
        // As in a pull from a server, and without a remote: this place is none to come back to.
        let url = gio::File::for_path(path).uri();
        let flags = RepoPullFlags::MIRROR | RepoPullFlags::TRUSTED_HTTP;
        self.repo.pull_with_options(&url, &options(commit, flags), None, NONE).doing(taking)
    }

    /// The files of every object that is there, relative to the folder of objects, such as
    /// `ab/cdef….filez`; sorted.
    ///
    /// # Errors
    /// What kept it from looking.
    pub fn object_files(&self) -> Result<Vec<String>> {
        let listing = || format!("listing the objects of {}", self.path.display());
        let mut files = Vec::new();
        for folder in self.dir.read_dir("objects").doing(listing)? {
            let folder = folder.doing(listing)?;
            let prefix = folder.file_name().to_string_lossy().into_owned();
            for file in folder.open_dir().doing(listing)?.entries().doing(listing)? {
                let name = file.doing(listing)?.file_name();
                files.push(format!("{prefix}/{}", name.to_string_lossy()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Removes an object that is damaged.
    pub(super) fn remove(&self, damage: &Damage) -> Result<()> {
        let Some((checksum, kind)) = damage.object.split_once('.') else { return Ok(()) };
        let kind = match kind {
            "file" => ObjectType::File,
            "dirtree" => ObjectType::DirTree,
            "dirmeta" => ObjectType::DirMeta,
            "commit" => ObjectType::Commit,
            _ => return Ok(()),
        };
        let removing = || format!("removing the damaged object {}", damage.object);
        if self.repo.has_object(kind, checksum, NONE).doing(removing)? {
            self.repo.delete_object(kind, checksum, NONE).doing(removing)?;
        }
        Ok(())
    }
}

/// How one commit is pulled.
fn options(commit: &Digest, flags: RepoPullFlags) -> Variant {
    let options = [
        ("depth", 0_i32.to_variant()),
        // Pieces of other commits, which nothing is signed of.
        ("disable-static-deltas", true.to_variant()),
        ("flags", i32::try_from(flags.bits()).unwrap_or_default().to_variant()),
        ("gpg-verify", false.to_variant()),
        ("gpg-verify-summary", false.to_variant()),
        ("refs", vec![commit.hex()].to_variant()),
    ];
    objects::metadata(options.into_iter())
}
