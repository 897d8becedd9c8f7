//! `sumdb`: what Go's checksum database has of a release or of modules.
//!
//! The head that was last seen of each database is kept in the store. Every answer is proven in the
//! newest tree that is known, and that tree to continue the one that was kept: a database that tells
//! others something else is found out, and the error has both heads.
//!
//! *Tiles.* Whole ones never change and are most of what a proof needs, so the store keeps those that
//! were proven once. They are proven again whenever they are used.
//!
//! *Going back.* Once in each run a database that was seen before is asked for its newest head. One
//! with fewer records than were seen is an error where the database itself says so. Of a proxy, which
//! may have kept an old answer, it is told, and the tree that was seen counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;
use treelay_layers::Tree;
use treelay_layers::go::modules::{self, Module};
use treelay_recipes::Digest;
use treelay_recipes::lock::Evidence;
use treelay_recipes::recipe::{GoModulesInput, Source, Text, Verify};
use treelay_signing::sumdb::{
    Claim, DEFAULT, Database, Patterns, Proven, Setting, SignedHead, SumDbError, Sums, Tile, Tiles,
    VerifierKey, lookup_path,
};

use super::{Doing, Job, Method, VerifyError};
use crate::exec::{ExecError, Workshop};
use crate::fetch::goproxy::{self, Proxy};
use crate::fetch::sumdb::Reached;
use crate::store::HeadKept;

/// Modules that are asked about at a time.
const AT_A_TIME: usize = 16;

/// The kind of product that a whole tile is.
const TILE: &str = "sumdb-tile";

pub(super) struct SumDb;

impl Method for SumDb {
    fn verify(&self) -> Verify {
        Verify::Sumdb
    }

    fn after<'a>(
        &'a self,
        job: &'a Job<'a>,
        archive: &'a Tree,
        version: &'a str,
    ) -> Doing<'a, Option<Evidence>> {
        Box::pin(async move {
            let workshop = job.workshop;
            let database = workshop.database(job.go.and_then(|go| go.sumdb.as_ref()))?;
            let proxies = workshop.proxies(job.go.and_then(|go| go.proxy.as_ref()));
            let log = workshop.log(&database, &proxies).await?;
            let version = format!("go{version}");
            let module = match job.source {
                Source::Module => modules::toolchain_module(archive, &version, job.arch)?,
                _ => modules::toolchain(archive, &version, job.arch)?,
            };
            let record = workshop.look_up(&log, &module).await?;
            let (database, sum) = (log.key.id(), module.files);
            let (modules, private) = (None, None);
            Ok(Some(Evidence::Sumdb { database, record: Some(record), sum, modules, private }))
        })
    }
}

/// The databases that this run has asked.
#[derive(Default)]
pub struct Databases(Mutex<HashMap<String, Arc<Log>>>);

/// A database, as far as it is known.
struct Log {
    key: VerifierKey,
    reached: Reached,
    state: StdMutex<State>,
}

struct State {
    /// The head that is kept.
    seen: Option<SignedHead>,
    /// What was proven.
    tiles: Tiles,
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a tile is remembered under: the whole key, of which the hash could be another's too.
    fn key_of(&self, tile: &Tile) -> Digest {
        Digest::of(format!("sumdb-tile-1 {} {}", self.key, tile.path()))
    }
}

impl Workshop<'_> {
    /// Asks the database about modules, as go.sum has them, before any of them is had.
    pub(in crate::exec) async fn verify_modules(
        &self,
        input: &GoModulesInput,
        needed: &[Module],
        what: &str,
    ) -> Result<Vec<Evidence>, ExecError> {
        if input.verify.is_empty() {
            return Ok(Vec::new());
        }
        let asking = async {
            let database = self.database(input.sumdb.as_ref())?;
            let private = self.private(input.private.as_ref())?;
            let (private, public): (Vec<_>, Vec<_>) =
                needed.iter().partition(|module| private.matches(&module.path));
            if !public.is_empty() {
                let proxies = self.proxies(input.proxy.as_ref());
                let log = self.log(&database, &proxies).await?;
                let asked = public.iter().map(|module| self.look_up(&log, module));
                let asked = futures_util::stream::iter(asked).buffer_unordered(AT_A_TIME);
                asked.try_collect::<Vec<u64>>().await?;
            }
            // No go.sum has as many.
            let count = |modules: Vec<_>| u32::try_from(modules.len()).unwrap_or(u32::MAX);
            let (modules, private) = (Some(count(public)), Some(count(private)));
            let private = private.filter(|count| *count > 0);
            let database = database.key.id();
            let (record, sum) = (None, None);
            Ok(vec![Evidence::Sumdb { database, record, sum, modules, private }])
        };
        asking.await.map_err(|source| {
            let (what, method) = (what.to_owned(), Verify::Sumdb.name());
            ExecError::Verify { what, method, source: Box::new(source) }
        })
    }

    /// The proxies that modules come from: the recipe's, else those of GOPROXY.
    pub(in crate::exec) fn proxies(&self, recipe: Option<&Text>) -> Vec<Proxy> {
        let list = recipe.map(|text| text.value.clone());
        let list = list.unwrap_or_else(|| self.fetcher.default_goproxy());
        goproxy::parse(&list, self.folder)
    }

    /// The database that the recipe names, else GOSUMDB.
    fn database(&self, recipe: Option<&Text>) -> Result<Database, VerifyError> {
        let own = recipe.map(|text| text.value.as_str());
        let setting = own.or_else(|| self.fetcher.variable("GOSUMDB")).unwrap_or(DEFAULT);
        match Setting::parse(setting)? {
            Setting::On(database) => Ok(*database),
            Setting::Off => Err(VerifyError::Off),
        }
    }

    /// The modules that nobody is asked about: the recipe's, else those of GONOSUMDB, else those of
    /// GOPRIVATE.
    fn private(&self, recipe: Option<&Text>) -> Result<Patterns, VerifyError> {
        let own = recipe.map(|text| text.value.as_str());
        let around = || self.fetcher.variable("GONOSUMDB").or(self.fetcher.variable("GOPRIVATE"));
        Ok(Patterns::parse(own.or_else(around).unwrap_or_default())?)
    }

    /// The database, with the head that was kept of it.
    async fn log(&self, database: &Database, proxies: &[Proxy]) -> Result<Arc<Log>, VerifyError> {
        let name = format!("{} {} {proxies:?}", database.key, database.url);
        let mut known = self.databases.0.lock().await;
        if let Some(log) = known.get(&name) {
            return Ok(log.clone());
        }
        let key = database.key.clone();
        let id = key.id();
        let note = self.store.head(&id).map_err(VerifyError::Store)?;
        let seen = note.map(|note| self.kept_head(&key, &note)).transpose()?;
        let reached = self.fetcher.reach_sumdb(database, proxies).await?;
        let state = StdMutex::new(State { seen: seen.clone(), tiles: Tiles::new() });
        let log = Arc::new(Log { key, reached, state });
        if seen.is_some() {
            self.newest(&log).await?;
        }
        known.insert(name, log.clone());
        Ok(log)
    }

    /// Opens a head that was kept.
    fn kept_head(&self, key: &VerifierKey, note: &str) -> Result<SignedHead, VerifyError> {
        SignedHead::open(note.as_bytes(), key).map_err(|error| VerifyError::KeptHead {
            path: self.store.head_file(&key.id()),
            reason: error.to_string(),
        })
    }

    /// Holds the newest head of a database against the one that was kept.
    async fn newest(&self, log: &Log) -> Result<(), VerifyError> {
        let Some(answer) = self.fetcher.ask_sumdb(&log.reached, "latest").await? else {
            return Ok(());
        };
        let claim = |seen: Option<&SignedHead>| Claim::latest(&answer, &log.key, seen);
        match self.prove_claim(log, &claim).await {
            Ok(_) => Ok(()),
            Err(VerifyError::SumDb(error))
                if !log.reached.direct && matches!(*error, SumDbError::RolledBack { .. }) =>
            {
                self.observer.note(&format!("a proxy has an old answer: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Looks a module up; the number of its record, which has the module's sums.
    async fn look_up(&self, log: &Log, module: &Module) -> Result<u64, VerifyError> {
        let Module { path, version, go_mod, files } = module;
        let file = lookup_path(&modules::escaped(path), &modules::escaped(version));
        let Some(answer) = self.fetcher.ask_sumdb(&log.reached, &file).await? else {
            return Err(VerifyError::NotInDatabase {
                database: log.key.name().to_owned(),
                module: format!("{path} {version}"),
            });
        };
        let claim = |seen: Option<&SignedHead>| Claim::lookup(&answer, &log.key, seen);
        let proven = self.prove_claim(log, &claim).await?;
        let found = Sums { files: files.clone(), go_mod: go_mod.clone() };
        proven.check(path, version, &found)?;
        // An answer to a lookup has a record.
        Ok(proven.record().unwrap_or_default())
    }

    /// Proves a claim in the newest tree that is known, and keeps that tree's head.
    async fn prove_claim(
        &self,
        log: &Log,
        claim: &(dyn Fn(Option<&SignedHead>) -> Result<Claim, SumDbError> + Sync),
    ) -> Result<Proven, VerifyError> {
        loop {
            let seen = log.state().seen.clone();
            let claim = claim(seen.as_ref())?;
            let (mut tiles, mut remembered, mut new) = (Tiles::new(), Vec::new(), Vec::new());
            for tile in claim.tiles() {
                let known = log.state().tiles.get(&tile).cloned();
                let bytes = if known.is_some() {
                    known
                } else if let Some(bytes) = self.kept_tile(log, &tile) {
                    remembered.push(tile);
                    Some(bytes)
                } else {
                    new.push(tile);
                    self.tile(log, &tile).await?
                };
                tiles.extend(bytes.map(|bytes| (tile, bytes)));
            }
            let proven = match claim.prove(&tiles) {
                Ok(proven) => proven,
                // Perhaps it is not the database that is wrong: it is asked for all of them.
                Err(_) if !remembered.is_empty() => {
                    remembered.iter().for_each(|tile| self.forget_tile(log, tile));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            new.iter().for_each(|tile| self.keep_tile(log, tile, &tiles));
            if seen.as_ref() == Some(proven.head()) {
                log.state().tiles.extend(tiles);
                return Ok(proven);
            }
            let old = seen.as_ref().map(SignedHead::note);
            let kept = self.store.keep_head(&log.key.id(), old, proven.head().note());
            let head = match kept.map_err(VerifyError::Store)? {
                HeadKept::Yes => {
                    let mut state = log.state();
                    state.seen = Some(proven.head().clone());
                    state.tiles.extend(tiles);
                    return Ok(proven);
                }
                // Somebody else has seen another tree meanwhile: it must be the same log.
                HeadKept::Other(note) => note,
            };
            let head = head.map(|note| self.kept_head(&log.key, &note)).transpose()?;
            log.state().seen = head;
        }
    }

    /// A whole tile that was proven in an earlier run.
    fn kept_tile(&self, log: &Log, tile: &Tile) -> Option<Vec<u8>> {
        let kept = tile.is_whole().then(|| self.store.product::<String>(TILE, &log.key_of(tile)));
        STANDARD.decode(kept??).ok()
    }

    /// Remembers a tile that is proven, if it is whole.
    fn keep_tile(&self, log: &Log, tile: &Tile, tiles: &Tiles) {
        let Some(bytes) = tiles.get(tile).filter(|_| tile.is_whole()) else { return };
        let kept = self.store.put_product(TILE, &log.key_of(tile), &STANDARD.encode(bytes));
        // Then it is asked for again.
        if let Err(error) = kept {
            tracing::debug!("remembering a tile: {error}");
        }
    }

    fn forget_tile(&self, log: &Log, tile: &Tile) {
        self.store.forget_product(TILE, &log.key_of(tile));
    }

    /// A tile; where it is no longer the edge it may be there whole alone.
    async fn tile(&self, log: &Log, tile: &Tile) -> Result<Option<Vec<u8>>, VerifyError> {
        if let Some(bytes) = self.fetcher.ask_sumdb(&log.reached, &tile.path()).await? {
            return Ok(Some(bytes));
        }
        if tile.is_whole() {
            return Ok(None);
        }
        let whole = self.fetcher.ask_sumdb(&log.reached, &tile.whole().path()).await?;
        Ok(whole.map(|mut bytes| {
            bytes.truncate(tile.bytes());
            bytes
        }))
    }
}
