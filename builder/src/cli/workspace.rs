//! What the commands that read a recipe have in common: recipe, store, sources, lock, plan.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use treelay_recipes::{Arch, Known, Lock, Recipe};

use super::failure::{Doing as _, Failure, Result};
use super::{Reporter, Session};
use crate::exec::{
    Databases, LocalExecutor, LocalOptions, Observer, Sandbox, Turns, Workshop, relock,
};
use crate::fetch::Fetcher;
use crate::plan::{self, Expanded, Plan};
use crate::sources::{Look, Sources};
use crate::store::Store;

/// A recipe with all that is known of it before anything is done.
pub struct Workspace {
    /// As its author wrote it.
    pub recipe: Recipe,
    /// The text of its file.
    pub text: String,
    /// As it is on each of its arches.
    pub expanded: Expanded,
    /// Inputs for this machine, where the recipe is not for it and yet needs them.
    beside: Expanded,
    /// The folder its paths are relative to.
    pub folder: PathBuf,
    /// The lock's file.
    pub lock_file: PathBuf,
    /// The store.
    pub store: Arc<Store>,
    /// What local sources are.
    pub sources: Sources,
    /// Fetches.
    pub fetcher: Fetcher,
    /// Starts processes.
    pub executor: LocalExecutor,
    /// The arch of this machine.
    pub machine: Option<Arch>,
    /// Threads.
    pub jobs: usize,
    /// A time before anything was looked at.
    now: SystemTime,
}

/// Damaged files that are told one by one.
const MOST_MISHAPS: usize = 10;

/// How the lock may be treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockPolicy {
    /// Made where it is missing, renewed where it does not fit.
    Make,
    /// Taken as it is, or refused.
    Locked,
    /// Renewed for these inputs; for all when empty.
    Update(Vec<String>),
}

impl Workspace {
    /// Reads the recipe and looks at its local sources.
    ///
    /// # Errors
    /// A recipe that is wrong, a store that cannot be used, a source that cannot be read.
    pub fn open(session: &Session, recipe: &Path, offline: bool, sandbox: Sandbox) -> Result<Self> {
        let file = session.around.current_dir.join(recipe);
        let reading = || format!("reading the recipe {}", recipe.display());
        let text = std::fs::read(&file)
            .doing(reading)
            .and_then(|bytes| String::from_utf8(bytes).map_err(not_utf8).doing(reading))
            .map_err(Failure::into_usage)?;
        let parsed = Recipe::parse(&text, &recipe.display().to_string()).map_err(Failure::usage)?;
        let lock_file = file.with_extension("lock");
        let known = known(&parsed, &lock_file);
        let expanded = plan::expand(&parsed, &known).map_err(Failure::usage)?;
        let beside = plan::for_machine(&parsed, &known, session.around.machine);
        let beside = beside.map_err(Failure::usage)?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        let store = session.store()?;
        let look =
            Look { folder: &folder, store: &store, jobs: session.jobs, now: session.around.now };
        let sources = look.at(&expanded.iter().chain(&beside).collect())?;
        let options = session.around.local_options(session.jobs, sandbox);
        let executor = LocalExecutor::new(store.clone(), options);
        let fetcher = Fetcher::new(session.around.fetch_options(offline, &folder)?);
        Ok(Self {
            recipe: parsed,
            text,
            expanded,
            beside,
            lock_file,
            folder,
            store,
            sources,
            fetcher,
            executor,
            machine: session.around.machine,
            jobs: session.jobs,
            now: session.around.now,
        })
    }

    /// Tells what of the store turned out to be damaged since it was last told; whether anything
    /// was.
    pub fn tell_mishaps(&self, observer: &dyn Observer) -> bool {
        let mishaps = self.store.mishaps();
        for path in mishaps.iter().take(MOST_MISHAPS) {
            observer.note(&format!("{path} was damaged in the store; it is made anew"));
        }
        if mishaps.len() > MOST_MISHAPS {
            observer.note(&format!("and {} more", mishaps.len() - MOST_MISHAPS));
        }
        !mishaps.is_empty()
    }

    /// The same recipe with a store that has nothing but what was fetched, and an executor that does
    /// everything another way, on another number of threads and without network.
    ///
    /// # Errors
    /// As [`Workspace::open`].
    pub fn again(&self, session: &Session, sandbox: Sandbox) -> Result<Self> {
        let store = Arc::new(self.store.apart()?);
        let jobs = if self.jobs == 1 { 2 } else { 1 };
        let look = Look { folder: &self.folder, store: &store, jobs, now: session.around.now };
        let sources = look.at(&self.expanded.iter().collect())?;
        // The executor itself takes another number of threads than it is given.
        let options = session.around.local_options(self.jobs, sandbox);
        let options = LocalOptions { again: true, ..options };
        Ok(Self {
            recipe: self.recipe.clone(),
            text: self.text.clone(),
            expanded: self.expanded.clone(),
            // It locks nothing.
            beside: Expanded::new(),
            folder: self.folder.clone(),
            lock_file: self.lock_file.clone(),
            executor: LocalExecutor::new(store.clone(), options),
            store,
            sources,
            fetcher: Fetcher::new(session.around.fetch_options(true, &self.folder)?),
            machine: self.machine,
            jobs,
            now: self.now,
        })
    }

    /// What execution works with.
    pub fn workshop<'a>(&'a self, observer: &'a Reporter) -> Workshop<'a> {
        Workshop {
            store: &self.store,
            fetcher: &self.fetcher,
            folder: &self.folder,
            executor: &self.executor,
            machine: self.machine,
            jobs: self.jobs,
            observer,
            turns: Turns::default(),
            databases: Databases::default(),
            now: self.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }

    /// The lock as it is in its file, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read_lock(&self) -> Result<Option<Lock>> {
        let name = self.lock_file.display().to_string();
        match std::fs::read_to_string(&self.lock_file) {
            Ok(text) => Ok(Some(Lock::parse(&text, &name).map_err(Failure::usage)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(|| format!("reading the lock {name}")),
        }
    }

    /// The lock that a build uses, written beside the recipe where it is new; and what changed.
    ///
    /// # Errors
    /// With [`LockPolicy::Locked`], a lock that is missing or does not fit; else an input that
    /// cannot be had.
    pub async fn lock(
        &mut self,
        policy: &LockPolicy,
        reporter: &Reporter,
    ) -> Result<(Lock, Vec<String>)> {
        let old = self.read_lock()?;
        let workshop = self.workshop(reporter);
        let name = self.lock_file.display();
        if *policy == LockPolicy::Locked {
            let Some(lock) = old else {
                return Err(Failure::message(format!("there is no lock {name}"))
                    .hinted("make it with `treelay lock`, and keep it with the recipe"));
            };
            lock.fits(&self.recipe)
                .doing(|| format!("the lock {name} does not fit the recipe"))
                .map_err(|failure| failure.hinted("renew it with `treelay lock`"))?;
            if let Some(changed) = workshop.changed_dir(&lock, &self.expanded, &self.sources) {
                return Err(Failure::message(format!(
                    "{changed} is not what the lock {name} says: its directory has changed"
                ))
                .hinted("if that is meant, run `treelay lock`"));
            }
            self.learn(&lock)?;
            return Ok((lock, Vec::new()));
        }
        let update = |input: &str| match policy {
            LockPolicy::Update(names) => names.is_empty() || names.iter().any(|name| name == input),
            _ => false,
        };
        let (expanded, beside) = (&self.expanded, &self.beside);
        let locked =
            relock(&workshop, &self.recipe, expanded, beside, old.as_ref(), &update, &self.sources)
                .await?;
        self.tell_mishaps(reporter);
        if old.as_ref() != Some(&locked.lock) {
            write_atomically(&self.lock_file, locked.lock.to_text().as_bytes())
                .doing(|| format!("writing the lock {name}"))?;
        }
        self.learn(&locked.lock)?;
        Ok((locked.lock, locked.changes))
    }

    /// Reads the recipe with what the lock knows. Where that says anything else than before, local
    /// sources are looked at again.
    fn learn(&mut self, lock: &Lock) -> Result<()> {
        let expanded = plan::expand(&self.recipe, &lock.known()).map_err(Failure::usage)?;
        if expanded != self.expanded {
            let Self { folder, store, jobs, now, .. } = &*self;
            let look = Look { folder, store, jobs: *jobs, now: *now };
            self.sources = look.at(&expanded.iter().chain(&self.beside).collect())?;
            self.expanded = expanded;
        }
        Ok(())
    }

    /// Refuses arches that the recipe does not have.
    ///
    /// # Errors
    /// The first of them.
    pub fn check_arches(&self, arches: &[Arch]) -> Result<()> {
        let own = &self.recipe.arch;
        let Some(other) = arches.iter().find(|arch| !own.contains(arch)) else { return Ok(()) };
        let has: Vec<_> = own.iter().map(|arch| arch.go()).collect();
        Err(Failure::usage_message(format!(
            "the recipe is not for {other}: it is for {}",
            has.join(", ")
        )))
    }

    /// The plan for `arches`, or for all of the recipe's; `epoch` is SOURCE_DATE_EPOCH.
    ///
    /// # Errors
    /// See [`plan::PlanError`].
    pub fn plan(&self, lock: &Lock, arches: &[Arch], epoch: Option<u64>) -> Result<Plan> {
        let mut recipe = self.recipe.clone();
        if !arches.is_empty() {
            recipe.arch.retain(|arch| arches.contains(arch));
        }
        plan::make(&recipe, &self.expanded, lock, &self.sources, epoch).map_err(Failure::usage)
    }
}

/// What is known before anything is locked: what the recipe says, and commits and versions that its
/// lock has.
fn known(recipe: &Recipe, lock_file: &Path) -> Known {
    let mut known = recipe.known();
    // What is wrong with the lock is told when it is used.
    let lock = std::fs::read_to_string(lock_file).ok();
    if let Some(lock) = lock.and_then(|text| Lock::parse(&text, "").ok()) {
        let locked = lock.known();
        let fits = |name: &String| lock.fits_input(recipe, name).is_ok();
        known.commits.extend(locked.commits.into_iter().filter(|(name, _)| fits(name)));
        known.versions.extend(locked.versions.into_iter().filter(|(name, _)| fits(name)));
    }
    known
}

/// Says in which line a text stops being one.
fn not_utf8(error: std::string::FromUtf8Error) -> std::io::Error {
    let right = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = 1 + right.iter().filter(|byte| **byte == b'\n').count();
    std::io::Error::other(format!("line {line} is not UTF-8 text"))
}

/// Writes a file that is there whole or not at all.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".treelay-")
        // As any file that an editor makes; the umask takes its part.
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
