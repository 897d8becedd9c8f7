//! OSTree repositories: trees become commits, commits are signed, checked and described.
//!
//! *Terms* (ostree(1)). A **content object** is a file or link with its owner, mode and attributes; a
//! **dirmeta** is a directory's own; a **dirtree** names the files and directories in a directory by
//! their checksums; a **commit** names the root's dirtree and dirmeta and carries metadata. Every
//! object is stored under the SHA-256 of what it says, so the root's two checksums (the **content
//! checksum**) identify a tree. A **ref** names a commit. **Detached metadata** lies beside a commit
//! and holds its signatures.
//!
//! *Phases* of [`Run::write_commit`]:
//! 0. the tree is laid over its base ([`Base`], [`Over`]), of which only the directories are read that
//!    change, and the result is checked for what booting needs;
//! 1. content objects that are remembered ([`ObjectMemory`]) cost nothing; if all are, and the tree
//!    and metadata are those of the ref's commit, that is all: nothing is read or written;
//! 2. the others are made in parallel, their content checked against its digest while it streams;
//! 3. the objects of the base are taken over, unless they are there;
//! 4. dirmetas, dirtrees and the commit are made from the sorted tree, bottom up.
//!
//! [`Run::finish`] makes it last: everything lies in staging directories until one `syncfs` has made
//! it durable, then moves to its place, then the refs are written, then the summary. So a crash at
//! any instant leaves the old refs with all their objects, or the new ones.
//!
//! *Deliberately absent:* deltas, pruning, checking out.

mod attestations;
mod base;
mod boot;
mod check;
mod commit;
mod content;
mod deflate;
mod encapsulate;
mod error;
mod etc;
mod files;
mod filez;
mod gpg;
mod import;
mod inspect;
mod integrity;
mod judge;
mod labels;
mod named;
mod objects;
mod origins;
mod overlay;
mod paths;
mod pull;
mod remote;
mod run;
mod selinux;
mod sign;
mod staging;
mod trees;
mod trust;
mod unpack;
mod var;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use ostree::gio::Cancellable;
use ostree::{Repo, RepoMode, gio, glib};
use treelay_recipes::{Arch, Digest};

pub use attestations::{ATTESTATIONS, MOST as MOST_ATTESTATIONS};
pub use base::{Base, BaseFacts};
pub use boot::{Bootable, what_it_boots};
pub use check::Checked;
pub use commit::{CommitOutcome, CommitSpec, TreeFacts, Written};
pub use content::ObjectMemory;
pub use encapsulate::{Chunk, Encapsulation, labels as image_labels};
pub use error::OstreeError;
pub use etc::{etc_to_usr_etc, in_commit, on_host};
pub use inspect::{CommitInfo, LayerInfo};
pub use judge::{CommitSignature, SignatureVerdict};
pub use labels::{Labelled, Labels, with_labels};
pub use named::Named;
pub use origins::{CommitLayer, LayerOf, Origins};
pub use overlay::Rules;
pub use paths::{KnownEntries, PathObject};
pub use run::{Finished, Over, Progress, Run};
pub use selinux::Policy;
pub use trust::{Keyring, RemoteRules, Trust, TrustedKey};
pub use unpack::Unpack;
pub use var::{WithoutVar, check_hidden, tmpfiles, with_lines_of, without_var};
pub use verify::{CommitReport, Damage};

use error::{Doing, Result};

/// No way to cancel: a process that is stopped leaves what the next run accepts.
const NONE: Option<&Cancellable> = Cancellable::NONE;

/// An OSTree repository that is open.
pub struct Repository {
    repo: Repo,
    dir: Dir,
    path: PathBuf,
}

type ListResult<T> = std::result::Result<T, glib::Error>;

/// Does what lists refs. Whoever else writes a ref makes a temporary file beside it, and libostree's
/// listing fails when that is gone before it was looked at: then it is done again.
fn steadily<T>(list: impl Fn() -> ListResult<T>) -> ListResult<T> {
    for _ in 0..20 {
        match list() {
            Err(error) if error.matches(gio::IOErrorEnum::NotFound) => std::thread::yield_now(),
            other => return other,
        }
    }
    list()
}

impl Repository {
    /// Opens a repository.
    ///
    /// # Errors
    /// [`OstreeError::NotARepository`] with the reason, also where nothing is.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, |file| Repo::new(&file))
    }

    fn open_as(path: &Path, make: impl FnOnce(gio::File) -> Repo) -> Result<Self> {
        let not = |reason: String| OstreeError::NotARepository { path: path.to_owned(), reason };
        match look(path)? {
            Found::Repository => {}
            Found::Nothing => return Err(not("there is nothing in it".to_owned())),
            Found::Other(reason) => return Err(not(reason)),
        }
        let repo = make(gio::File::for_path(path));
        repo.open(NONE).map_err(|error| not(error.message().to_owned()))?;
        let dir = open_dir(path)?;
        Ok(Self { repo, dir, path: path.to_owned() })
    }

    /// Opens a repository; where there is nothing, or an empty directory, makes one of mode archive,
    /// the mode that web servers serve.
    ///
    /// # Errors
    /// [`OstreeError::NotARepository`] where something else is, [`OstreeError::Mode`] where it is of
    /// a mode that cannot be written.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        if matches!(look(path)?, Found::Nothing) {
            let creating = || format!("creating the repository {}", path.display());
            std::fs::create_dir_all(path).doing(creating)?;
            // Makes `objects` last, and goes on where it was interrupted.
            Repo::new_for_path(path).create(RepoMode::Archive, NONE).doing(creating)?;
        }
        let repository = Self::open(path)?;
        repository.check_mode()?;
        Ok(repository)
    }

    /// Refuses a path that [`open_or_create`](Self::open_or_create) would refuse, and makes nothing.
    ///
    /// # Errors
    /// [`OstreeError::NotARepository`], [`OstreeError::Mode`].
    pub fn check(path: &Path) -> Result<()> {
        match look(path)? {
            Found::Nothing => Ok(()),
            _ => Self::open(path)?.check_mode(),
        }
    }

    /// As `core.mode` of its configuration has it: `archive`, `bare-user`, `bare-user-only`, `bare`
    /// or `bare-split-xattrs`.
    pub fn mode(&self) -> &'static str {
        match self.repo.mode() {
            RepoMode::Archive => "archive",
            RepoMode::BareUser => "bare-user",
            RepoMode::BareUserOnly => "bare-user-only",
            RepoMode::Bare => "bare",
            RepoMode::BareSplitXattrs => "bare-split-xattrs",
            _ => "unknown",
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The local refs and the commits they name.
    ///
    /// # Errors
    /// [`OstreeError::Library`] where one of them cannot be read.
    pub fn refs(&self) -> Result<BTreeMap<String, Digest>> {
        let listing = || format!("listing the refs of {}", self.path.display());
        let mut refs = BTreeMap::new();
        for (name, checksum) in steadily(|| self.repo.list_refs(None, NONE)).doing(listing)? {
            // Those of remotes have a colon, which no local ref may have.
            if !name.contains(':') {
                refs.insert(name, parse(&checksum).doing(listing)?);
            }
        }
        Ok(refs)
    }

    /// The commit that a local ref or a checksum (64 hex digits) names.
    ///
    /// # Errors
    /// [`OstreeError::NoSuchCommit`] with what is there instead.
    pub fn resolve(&self, name: &str) -> Result<Digest> {
        let refs = self.refs()?;
        if let Some(checksum) = refs.get(name) {
            return Ok(*checksum);
        }
        if let Ok(checksum) = Digest::from_hex(name)
            && self.has(ostree::ObjectType::Commit, &checksum)?
        {
            return Ok(checksum);
        }
        let has = match refs.len() {
            0 => ", which has no refs".to_owned(),
            n if n <= 8 => format!("; it has {}", refs.into_keys().collect::<Vec<_>>().join(", ")),
            n => format!("; it has {n} others"),
        };
        Err(OstreeError::NoSuchCommit { name: name.to_owned(), path: self.path.clone(), has })
    }

    /// The commits that `name` means: of one ref or checksum; of every arch that has one, where the
    /// name holds `{{ arch.uname }}` or `{{ arch }}`; of all refs, where none is given.
    ///
    /// # Errors
    /// [`OstreeError::NoSuchCommit`] where there is none.
    pub fn named(&self, name: Option<&str>) -> Result<Vec<(String, Digest)>> {
        let refs = self.refs()?;
        let found: Vec<_> = match name {
            Some(name) if name.contains("{{") => {
                let wanted = Arch::ALL.map(|arch| crate::dest::for_arch(name, arch));
                refs.into_iter().filter(|(name, _)| wanted.contains(name)).collect()
            }
            Some(name) => vec![(name.to_owned(), self.resolve(name)?)],
            None => refs.into_iter().collect(),
        };
        if found.is_empty() {
            let (name, path) = (name.unwrap_or("any").to_owned(), self.path.clone());
            return Err(OstreeError::NoSuchCommit { name, path, has: String::new() });
        }
        Ok(found)
    }

    fn has(&self, kind: ostree::ObjectType, checksum: &Digest) -> Result<bool> {
        let looking =
            || format!("looking for object {} in {}", checksum.hex(), self.path.display());
        self.repo.has_object(kind, &checksum.hex(), NONE).doing(looking)
    }

    fn check_mode(&self) -> Result<()> {
        let reason = match self.repo.mode() {
            RepoMode::Archive | RepoMode::BareUser | RepoMode::BareUserOnly => return Ok(()),
            RepoMode::Bare if rustix::process::geteuid().is_root() => return Ok(()),
            RepoMode::Bare => "which only root can write; use archive or bare-user",
            _ => "which is not written; use archive or bare-user",
        };
        let (path, mode) = (self.path.clone(), self.mode());
        Err(OstreeError::Mode { path, mode, reason: reason.to_owned() })
    }
}

/// What is at a path.
enum Found {
    Repository,
    /// Nothing, an empty directory, or a repository whose creation was interrupted.
    Nothing,
    Other(String),
}

/// What libostree makes in a new repository before `objects`, which it makes last.
const BEFORE_OBJECTS: [&str; 5] = ["config", "tmp", "extensions", "state", "refs"];

fn look(path: &Path) -> Result<Found> {
    let opening = || format!("opening {}", path.display());
    let meta = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        meta => meta.doing(opening)?,
    };
    if !meta.is_dir() {
        return Ok(Found::Other("it is not a directory".to_owned()));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).doing(opening)? {
        names.push(entry.doing(opening)?.file_name().to_string_lossy().into_owned());
    }
    let has = |name: &str| names.iter().any(|there| there == name);
    if has("config") && has("objects") {
        return Ok(Found::Repository);
    }
    if has("ostree") && !has("objects") {
        let reason = "it looks like the root of a system: its repository is in ostree/repo";
        return Ok(Found::Other(reason.to_owned()));
    }
    // The configuration has such a name for an instant, before it has its own.
    let unnamed = |name: &str| name.starts_with("tmp.");
    if names.iter().all(|name| BEFORE_OBJECTS.contains(&name.as_str()) || unnamed(name)) {
        return Ok(Found::Nothing);
    }
    let missing = if has("objects") { "config" } else { "objects" };
    Ok(Found::Other(format!("it is not empty and has no {missing}")))
}

fn open_dir(path: &Path) -> Result<Dir> {
    Dir::open_ambient_dir(path, ambient_authority()).doing(|| format!("opening {}", path.display()))
}

/// A checksum as libostree gives it.
fn parse(checksum: &str) -> std::io::Result<Digest> {
    Digest::from_hex(checksum)
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
}
