//! Go modules: from a source's go.sum to a module cache in the store.
//!
//! Every file comes from the first proxy that has it, and is what go.sum says or is refused: its
//! `h1:` is computed from the digests that the files have in the store.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use treelay_layers::archive::{self, ArchiveError};
use treelay_layers::go::modules::{self, Fetched, Module, ModulesError};
use treelay_layers::{ContentSink as _, Tree};
use treelay_recipes::Digest;
use treelay_recipes::lock::LockedInput;
use treelay_recipes::recipe::{GoModulesInput, Recipe};

use super::{ExecError, Watched, Workshop};
use crate::fetch::goproxy::{self, At, Proxy};
use crate::fetch::{Attempt, Failure, FetchError, Fetched as Got, Outcome, Place, Served, Wanted};
use crate::sources::Sources;
use crate::store::StoreSink;

/// Why modules could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The source does not say which.
    #[error(transparent)]
    Source(#[from] ModulesError),
    /// What was served is something else than go.sum says.
    #[error(
        "WRONG CONTENT for {module}: {} served {found}, and go.sum says {expected}; nothing of it is used",
        from
    )]
    Sum {
        /// The module and version, and which of its files.
        module: String,
        /// Where it came from.
        from: String,
        /// What go.sum says.
        expected: String,
        /// What it is; for archives with other files than the module's, in words.
        found: String,
    },
    /// go.sum has the files of a module, and not its go.mod.
    #[error("go.sum has no line for the go.mod of {0}: run `go mod tidy`")]
    NoGoMod(String),
    /// No proxy has it.
    #[error("no proxy has {file}:\n{}", .tried.join("\n"))]
    Nowhere {
        /// The file.
        file: String,
        /// A line for each proxy.
        tried: Vec<String>,
    },
    /// It was taken out of the store while it was looked at.
    #[error("the archive of {0} was refused as another module's meanwhile")]
    Gone(String),
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Its archive cannot be unpacked.
    #[error("unpacking {module} from {from}")]
    Unpack {
        /// The module and version.
        module: String,
        /// Where it came from.
        from: String,
        /// Why not.
        source: ArchiveError,
    },
}

/// What a module turned out to be.
#[derive(Serialize, Deserialize)]
struct Kept {
    go_mod: Digest,
    size: u64,
    files: Option<Digest>,
}

/// The kind of product that remembers it, by module, version and sums.
const KEPT: &str = "go-module";

/// What the run's result calls proxies of modules.
const MODULES: &str = "go-modules";

/// Bytes that a go.mod may have, as for Go (`zip.MaxGoMod`).
const MOST_OF_MOD: u64 = 16 << 20;
/// Bytes that a module's archive may have, as for Go (`zip.MaxZipFile`).
const MOST_OF_ZIP: u64 = 500 << 20;
/// How often a file is fetched again that went away meanwhile.
const MOST_GONE: u32 = 8;

/// Lets whoever needs a file or module that is being fetched wait for it: each is fetched once, for
/// however many arches, and who serves something else is asked once.
#[derive(Default)]
pub struct Turns(StdMutex<HashMap<Digest, Arc<Mutex<()>>>>);

impl Turns {
    pub(super) fn of(&self, key: &Digest) -> Arc<Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(*key).or_default().clone()
    }
}

impl Workshop<'_> {
    /// The modules that an input has: those that go.sum pins in a directory, or in the input that is
    /// locked as `of`.
    pub(super) async fn needed(
        &self,
        input: &GoModulesInput,
        of: Option<&LockedInput>,
        recipe: &Recipe,
        what: &str,
        sources: &Sources,
    ) -> Result<Vec<Module>, ExecError> {
        if let Some(dir) = &input.dir {
            let (what_of, dir_of) = (what.to_owned(), dir.value.clone());
            let gone = || ExecError::DirGone { what: what_of, dir: dir_of };
            return self.modules_of(dir, what, sources)?.ok_or_else(gone);
        }
        // The recipe's check says so first.
        let none = || ExecError::NoSource { what: what.to_owned(), tried: Vec::new() };
        let tree = Box::pin(self.input_tree(recipe, of.ok_or_else(none)?, None, sources)).await?;
        modules::needed(&tree, self.store).map_err(|source| modules_error(what, source.into()))
    }

    /// The modules that the source in a directory needs, by its go.sum; `None` where it is not there.
    pub(super) fn modules_of(
        &self,
        dir: &str,
        what: &str,
        sources: &Sources,
    ) -> Result<Option<Vec<Module>>, ExecError> {
        let Some(snapshot) = sources.snapshot(&self.folder.join(dir)) else {
            return Ok(None);
        };
        let needed = modules::needed(&snapshot.tree, snapshot);
        needed.map(Some).map_err(|source| modules_error(what, source.into()))
    }

    /// A module cache with these modules; what the store has not is fetched.
    pub(super) async fn module_cache(
        &self,
        input: &GoModulesInput,
        needed: &[Module],
        what: &str,
    ) -> Result<Tree, ExecError> {
        let proxies = self.proxies(input.proxy.as_ref());
        let each = needed.iter().map(|module| self.module(module, &proxies, what));
        let fetched = try_join_all(each).await?;
        let mut sink = StoreSink::new(self.store);
        modules::cache(&fetched, &mut |text| sink.put(&mut text.as_bytes()))
            .map_err(ExecError::store("making a module cache"))
    }

    async fn module(
        &self,
        module: &Module,
        proxies: &[Proxy],
        what: &str,
    ) -> Result<Fetched, ExecError> {
        let name = format!("{} {}", module.path, module.version);
        let key =
            Digest::of(format!("go-module-1 {}", modules::digest_of(std::slice::from_ref(module))));
        let turn = self.turns.of(&key);
        let _turn = turn.lock().await;
        if let Some(kept) = self.store.product::<Kept>(KEPT, &key)
            && self.store.object(&kept.go_mod).is_some()
        {
            let files = kept.files.map(|files| self.store.tree(&files));
            if files
                .iter()
                .all(|files| files.as_ref().is_some_and(|files| self.has_contents(files)))
            {
                let (module, go_mod) = (module.clone(), (kept.go_mod, kept.size));
                return Ok(Fetched { module, go_mod, files: files.flatten() });
            }
        }
        let expected = module
            .go_mod
            .as_ref()
            .ok_or_else(|| modules_error(what, ModuleError::NoGoMod(name.clone())))?;
        let at =
            format!("{}/@v/{}", modules::escaped(&module.path), modules::escaped(&module.version));
        let asked = Asked { name: &name, proxies, what };
        let check = |got: &Got| {
            let found = modules::h1_of_go_mod(&got.digest);
            let wrong =
                || asked.wrong(format!("the go.mod of {name}"), got, expected, found.clone());
            Ok(if found == *expected { Ok(()) } else { Err(wrong()) })
        };
        let ((), got) = self.ask_verified(&format!("{at}.mod"), &asked, &check).await?;
        let (go_mod, size) = (got.digest, got.size);
        let mut files = None;
        if let Some(expected) = &module.files {
            let check = |got: &Got| self.unpacked(module, expected, &asked, got);
            files = Some(self.ask_verified(&format!("{at}.zip"), &asked, &check).await?.0);
        }
        let kept = files.as_ref().map(|files| self.keep_tree(files)).transpose()?;
        let kept = Kept { go_mod, size, files: kept };
        self.store
            .put_product(KEPT, &key, &kept)
            .map_err(ExecError::store("remembering a module"))?;
        Ok(Fetched { module: module.clone(), go_mod: (go_mod, size), files })
    }

    /// The files in an archive of a module, if they are what go.sum says.
    fn unpacked(
        &self,
        module: &Module,
        expected: &str,
        asked: &Asked<'_>,
        got: &Got,
    ) -> Checked<Tree> {
        // Another module has been served the same meanwhile, and refused it.
        let Some(path) = self.store.object(&got.digest) else {
            return Ok(Err(ModuleError::Gone(asked.name.to_owned())));
        };
        let opened = File::open(path).map_err(ExecError::store("opening an archive"))?;
        let mut sink = StoreSink::new(self.store);
        let tree =
            archive::unpack(BufReader::new(opened), &Default::default(), &mut |_| true, &mut sink);
        let wrong = match tree {
            Ok(tree) => match module.h1_of(&tree).unwrap_or_else(|error| error.to_string()) {
                found if found == *expected => return Ok(Ok(tree)),
                found => asked.wrong(asked.name.to_owned(), got, expected, found),
            },
            Err(source) => {
                let (module, from) = (asked.name.to_owned(), got.served_by.clone());
                ModuleError::Unpack { module, from, source }
            }
        };
        sink.take_back();
        Ok(Err(wrong))
    }

    /// A file from the first place that has the right one, and what `check` makes of it. Who serves
    /// another one is asked no more.
    async fn ask_verified<T>(
        &self,
        file: &str,
        asked: &Asked<'_>,
        check: &(dyn Fn(&Got) -> Checked<T> + Sync),
    ) -> Result<(T, Got), ExecError> {
        let (mut vain, mut first, mut gone) = (Vec::<Attempt>::new(), None, 0);
        loop {
            let got = match self.ask_proxies(file, asked, &vain).await {
                Ok(got) => got,
                Err(error) => {
                    return Err(first.map_or(error, |lie| modules_error(asked.what, lie)));
                }
            };
            match check(&got)? {
                Ok(made) => {
                    for lie in vain.iter().filter(|attempt| attempt.lied()) {
                        let name = asked.name;
                        self.observer.note(&format!("WRONG CONTENT for {name}: {lie}"));
                    }
                    // Of thousands of files only those are told that did not come at once.
                    let attempts = vain.iter().chain(&got.attempts);
                    let attempts: Vec<_> = attempts.map(|it| Failure::of(MODULES, it)).collect();
                    if !attempts.is_empty() {
                        self.fetcher.remember(Served {
                            what: file.to_owned(),
                            source: Some(MODULES),
                            served: Some(got.served_by.clone()),
                            attempts,
                        });
                    }
                    return Ok((made, got));
                }
                Err(ModuleError::Gone(_)) if gone < MOST_GONE => gone += 1,
                Err(error) => {
                    if got.new {
                        self.store.reject_object(&got.digest);
                    }
                    let tries = vec![Outcome::Refused(format!("go.sum: {}", error.reason()))];
                    // Who failed on the way to the liar is not waited for again either.
                    vain.extend(got.attempts);
                    vain.push(Attempt { place: got.served_by, tries });
                    first.get_or_insert(error);
                }
            }
        }
    }

    /// A file from the first proxy that has it, at a place that was not asked in vain.
    async fn ask_proxies(
        &self,
        file: &str,
        asked: &Asked<'_>,
        vain: &[Attempt],
    ) -> Result<Got, ExecError> {
        let failed = |source| modules_error(asked.what, source);
        let mut tried = Vec::new();
        for proxy in asked.proxies {
            let place = match (&proxy.at, proxy.place(file).map_err(|error| failed(error.into()))?)
            {
                (_, Some(place)) => place,
                (At::Off, None) => {
                    tried.push("  off: the list of proxies ends here".to_owned());
                    break;
                }
                (_, None) => {
                    let direct =
                        "  direct: modules are had from proxies alone, not from version control";
                    tried.push(direct.to_owned());
                    break;
                }
            };
            let mut places = self.fetcher.places(&place);
            places.retain(|place| vain.iter().all(|attempt| attempt.place != place.to_string()));
            if places.is_empty() {
                tried.push(format!("  {place}: asked in vain before"));
                continue;
            }
            let task = format!("fetching {file}");
            self.observer.begin(&task);
            let watch = Watched { observer: self.observer, what: task.clone(), size: None };
            let (digest, size) = (None, None);
            let most = Some(if file.ends_with(".mod") { MOST_OF_MOD } else { MOST_OF_ZIP });
            let wanted = Wanted { what: file.to_owned(), places, digest, size, most };
            let fetched = self.fetcher.fetch(&wanted, self.store, &watch).await;
            self.observer.end(&task);
            match fetched {
                Ok(got) => return Ok(got),
                Err(error) if proxy.any_error || goproxy::has_not(&place, &error) => {
                    tried.push(format!("  {}", short(&place, &error)));
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
        let file = file.to_owned();
        Err(failed(ModuleError::Nowhere { file, tried }))
    }
}

/// What was made of a file; inside, why it is another one than go.sum says.
type Checked<T> = Result<Result<T, ModuleError>, ExecError>;

/// Of what module files are asked, and of whom.
struct Asked<'a> {
    name: &'a str,
    proxies: &'a [Proxy],
    /// The input, for messages.
    what: &'a str,
}

impl Asked<'_> {
    fn wrong(&self, module: String, got: &Got, expected: &str, found: String) -> ModuleError {
        let (from, expected) = (got.served_by.clone(), expected.to_owned());
        ModuleError::Sum { module, from, expected, found }
    }
}

impl ModuleError {
    /// Why what was served is none of what was asked for.
    fn reason(&self) -> String {
        match self {
            Self::Sum { expected, found, .. } => format!("it says {expected}, and this is {found}"),
            Self::Unpack { source, .. } => format!("this cannot be unpacked: {source}"),
            other => other.to_string(),
        }
    }
}

/// What a place said, on one line.
fn short(place: &Place, error: &FetchError) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    match last.contains(&place.to_string()) {
        true => last.to_owned(),
        false => format!("{place}: {last}"),
    }
}

fn modules_error(what: &str, source: ModuleError) -> ExecError {
    ExecError::Modules { what: what.to_owned(), source: Box::new(source) }
}
