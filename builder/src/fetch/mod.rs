//! Downloads and local files into the store, verified while they stream.
//!
//! *Terms.* A **source** is a kind of place that a recipe may name (`pypi`, `archive`); it
//! *resolves* an [`Ask`] to [`Resolved`]: a file name, what the bytes must be, and the **places**
//! ([`Place`]) where they may be. A place is *tried*, perhaps several times; what became of it is
//! an [`Attempt`]. The bytes go into a [`BlobSink`], which is the store.
//!
//! *Rules.* Places are tried in order, and only the content's identity counts: any may serve.
//! What may go away by itself (no connection, silence, 408, 425, 429, 5xx, a body cut short) is
//! tried again a few times with growing, jittered waits, and continued where it broke off when
//! the server can say that it still has the same content. Anything else goes on to the next
//! place at once. Wrong content is never tried again at the same place, is reported as what it
//! is, and never enters the store. Plain http is for loopback alone. Offline, no socket is opened.
//!
//! *Adding a source:* one file here, and one line in [`SOURCES`]. The sources `dir` and `oci` are none
//! of them: a directory is looked at where it is, by [`snapshot`](crate::snapshot), and images come as
//! base images do.

mod archive;
mod config;
mod download;
mod error;
pub mod git;
mod go_dev;
pub mod goproxy;
mod http;
mod judge;
mod login;
mod mirror;
mod module;
mod ostree_ref;
mod pip;
mod place;
mod pypi;
mod releases;
mod retry;
mod served;
mod sink;
pub mod skopeo;
mod small;
mod small_file;
mod stream;
pub mod sumdb;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Response;
use reqwest::header::HeaderMap;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use treelay_recipes::recipe::Source;
use treelay_recipes::{Arch, Digest};

pub use config::{Base, Config, EVERY_HOST, Host, Loaded, MinTls, Mirror};
pub use error::{Attempt, FetchError, Outcome};
pub use http::{LookingUp, Lookup};
pub use judge::{Judge, Judged, NewJudge};
pub use login::{Login, Secret};
pub(crate) use module::STRIP as MODULE_STRIP;
pub use pip::PipError;
pub use place::{Place, Remote};
pub use pypi::{IndexFile, index_page};
pub use retry::Limits;
pub use served::{Failure, Served};
pub use sink::{BlobSink, BlobWriter};
pub use stream::keep_stream;

use download::{Failed, Kept, NotKept};
use http::{Http, NotSent, Proxies};
use pip::PipSettings;
use place::Trust;
use sink::Pump;

/// The sources, by their names in recipes.
pub const SOURCES: &[&dyn SourceKind] =
    &[&go_dev::GoDev, &mirror::Mirror, &pypi::Pypi, &archive::Archive, &module::Module];

/// A kind of place that recipes may name.
pub trait SourceKind: Sync {
    /// Its name in recipes.
    fn source(&self) -> Source;

    /// Finds out where the bytes are and what they must be. It may ask servers; it downloads
    /// nothing of size.
    fn resolve<'a>(&'a self, fetcher: &'a Fetcher, ask: &'a Ask) -> Resolving<'a>;
}

/// What [`SourceKind::resolve`] gives, in time.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Resolved, FetchError>> + Send + 'a>>;

/// What is asked of a source.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The input, for messages: `go for arm64`.
    pub what: String,
    /// The version; of Go, without `go` in front, and what
    /// [`GoRelease`](treelay_recipes::recipe::GoRelease) reads.
    pub version: String,
    /// The arch it is for.
    pub arch: Arch,
    /// What the recipe says about its archive.
    pub archive: Option<ArchiveAt>,
    /// The Python package, where the recipe names one; left out, the one that carries Go.
    pub package: Option<String>,
    /// Where the source `mirror` finds files, as the recipe has it on this arch.
    pub mirror: Option<String>,
    /// Whom the source `module` asks.
    pub proxies: Vec<goproxy::Proxy>,
    /// The digest that the lock pins, once it does.
    pub pinned: Option<Digest>,
    /// And its size in bytes.
    pub size: Option<u64>,
}

impl Ask {
    /// Asks for a version of something, with nothing said of where.
    pub fn new(what: &str, version: &str, arch: Arch) -> Self {
        Self {
            what: what.to_owned(),
            version: version.to_owned(),
            arch,
            archive: None,
            package: None,
            mirror: None,
            proxies: Vec::new(),
            pinned: None,
            size: None,
        }
    }

    fn nothing(&self, kind: &'static str, needs: &'static str) -> FetchError {
        FetchError::NothingToAsk { what: self.what.clone(), kind, needs }
    }
}

/// Where an archive is, and what it must be.
#[derive(Debug, Clone)]
pub struct ArchiveAt {
    /// A local file; tried first.
    pub path: Option<PathBuf>,
    /// Addresses, tried in order.
    pub urls: Vec<String>,
    /// What the recipe says it is, where it does.
    pub sha256: Option<Digest>,
}

/// What a source found.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Where it is from, for the lock: the same on every machine, so it names no host.
    pub from: String,
    /// The file's name.
    pub file_name: String,
    /// What to fetch.
    pub wanted: Wanted,
}

/// What to fetch, and from where.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The input, for messages.
    pub what: String,
    /// Tried in order.
    pub places: Vec<Place>,
    /// What it must be. Unknown only when something is locked for the first time from a place
    /// that publishes no digest: then what arrives is what gets pinned.
    pub digest: Option<Digest>,
    /// Its size in bytes, where known.
    pub size: Option<u64>,
    /// Bytes that it may have where its size is not known, if that is less than
    /// [`Limits::max_size`].
    pub most: Option<u64>,
}

impl Wanted {
    /// Bytes that may arrive before it is given up.
    fn most(&self, limits: &Limits) -> u64 {
        let most = self.most.map_or(limits.max_size, |most| most.min(limits.max_size));
        self.size.unwrap_or(most)
    }

    /// How `actual` bytes are too many, where they are.
    fn too_many(&self, actual: u64, limits: &Limits) -> Option<Outcome> {
        let most = self.most(limits);
        (actual > most).then_some(match self.size {
            Some(expected) => Outcome::WrongSize { expected, actual },
            None => Outcome::TooLarge { most },
        })
    }
}

/// What was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What it is.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether the sink did not have it before: who refuses it afterwards takes away no more than came.
    pub new: bool,
    /// The file or address that served it, without credentials.
    pub served_by: String,
    /// What went wrong before: tries that failed, places that failed or lied.
    pub attempts: Vec<Attempt>,
}

/// Told how a download goes. Every method may be left out.
pub trait Watch: Sync {
    /// Bytes begin to arrive from `place`; `size` is the whole, where known.
    fn started(&self, place: &str, size: Option<u64>) {
        let _ = (place, size);
    }
    /// So many bytes are there. Falls when a download has to begin anew.
    fn at(&self, bytes: u64) {
        let _ = bytes;
    }
    /// A try failed and another comes after `wait`.
    fn retrying(&self, place: &str, outcome: &Outcome, wait: Duration) {
        let _ = (place, outcome, wait);
    }
    /// A place failed for good; the next one is tried. Where there is no next one, the error says
    /// it.
    fn failed(&self, attempt: &Attempt) {
        let _ = attempt;
    }
}

/// Watches nothing.
impl Watch for () {}

/// What a [`Fetcher`] must know of the world. It has no `Debug`: the variables may hold secrets.
#[derive(Clone, Default)]
pub struct FetchOptions {
    /// Open no socket.
    pub offline: bool,
    /// The environment's variables: proxies, pip's `PIP_*`, HOME and the XDG folders.
    pub env: BTreeMap<String, String>,
    /// What relative paths in pip's set-up are relative to.
    pub current_dir: PathBuf,
    /// Bounds.
    pub limits: Limits,
    /// Mirrors, certificates and logins.
    pub config: Config,
    /// Looks names up otherwise than the system does.
    pub lookup: Option<Lookup>,
}

/// Fetches. One for a whole run: it shares connections, limits and the index pages it has seen.
pub struct Fetcher {
    options: FetchOptions,
    http: Http,
    pip: OnceLock<PipSettings>,
    pages: pypi::Pages,
    releases: OnceCell<Vec<releases::Release>>,
    served: Mutex<Vec<Served>>,
    parallel: Semaphore,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Fetcher {
    /// Whether no socket may be opened.
    pub fn is_offline(&self) -> bool {
        self.options.offline
    }

    /// A fetcher that has read and opened nothing yet.
    pub fn new(options: FetchOptions) -> Self {
        let proxies = Proxies::from_env(&options.env);
        Self {
            http: Http::new(
                options.limits.clone(),
                proxies,
                options.config.clone(),
                options.lookup.clone(),
            ),
            pip: OnceLock::new(),
            pages: pypi::Pages::default(),
            releases: OnceCell::new(),
            served: Mutex::default(),
            parallel: Semaphore::new(options.limits.parallel.max(1)),
            hosts: Mutex::default(),
            options,
        }
    }

    /// GOPROXY of the environment, else what Go itself asks.
    pub fn default_goproxy(&self) -> String {
        let own = self.options.env.get("GOPROXY").filter(|list| !list.is_empty());
        own.map_or(goproxy::DEFAULT.to_owned(), Clone::clone)
    }

    /// A variable of the environment that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.options.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Asks `source` for what `ask` describes.
    ///
    /// # Errors
    /// [`FetchError`]; [`FetchError::NothingToAsk`] also for a source that is never fetched from.
    pub async fn resolve(&self, source: Source, ask: &Ask) -> Result<Resolved, FetchError> {
        match SOURCES.iter().find(|kind| kind.source() == source) {
            Some(kind) => kind.resolve(self, ask).await,
            None => Err(FetchError::NothingToAsk {
                what: ask.what.clone(),
                kind: source.name(),
                needs: "no fetching: it is used where it is",
            }),
        }
    }

    /// Brings `wanted` into `sink`, from the first place that has it.
    ///
    /// # Errors
    /// [`FetchError::WrongContent`] where a place lied and none served the right bytes,
    /// [`FetchError::Unavailable`] where every place failed otherwise, [`FetchError::Offline`]
    /// where only servers are left to ask and none may be, [`FetchError::Keeping`] where the sink
    /// failed.
    pub async fn fetch(
        &self,
        wanted: &Wanted,
        sink: &dyn BlobSink,
        watch: &dyn Watch,
    ) -> Result<Fetched, FetchError> {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut forbidden = false;
        let places = wanted.places.iter().flat_map(|place| match place {
            Place::File(_) => vec![place.clone()],
            Place::Remote(remote) => self.route(remote),
        });
        let places: Vec<Place> = places.collect();
        for (at, place) in places.iter().enumerate() {
            let result = match place {
                Place::File(path) => local(path, wanted, sink, watch, &self.options.limits).await,
                Place::Remote(_) if self.options.offline => {
                    forbidden = true;
                    continue;
                }
                Place::Remote(remote) => {
                    download::download(self, remote, wanted, sink, watch).await
                }
            };
            match result {
                Ok((Kept { digest, size, new }, tries)) => {
                    let served_by = place.to_string();
                    if !tries.is_empty() {
                        attempts.push(Attempt { place: served_by.clone(), tries });
                    }
                    return Ok(Fetched { digest, size, new, served_by, attempts });
                }
                Err(Failed::All(error)) => return Err(error),
                Err(Failed::Place(attempt)) => {
                    if attempt.lied() {
                        tracing::warn!("{}: {attempt}", wanted.what);
                    }
                    if at + 1 < places.len() {
                        watch.failed(&attempt);
                    }
                    attempts.push(attempt);
                }
            }
        }
        let what = wanted.what.clone();
        Err(if attempts.iter().any(Attempt::lied) {
            FetchError::WrongContent { what, attempts }
        } else if forbidden {
            FetchError::Offline { what }
        } else {
            FetchError::Unavailable { what, attempts }
        })
    }

    /// Fetches several at a time, as many as [`Limits::parallel`] and [`Limits::per_host`] allow;
    /// results are in the order of `wanted`, each watched by the watch of its place in the list.
    pub async fn fetch_all(
        &self,
        wanted: &[(&Wanted, &dyn Watch)],
        sink: &dyn BlobSink,
    ) -> Vec<Result<Fetched, FetchError>> {
        join_all(wanted.iter().map(|(wanted, watch)| self.fetch(wanted, sink, *watch))).await
    }

    /// Waits for its turn: as many ask a host at a time as may, and of those as many in all. Held for a
    /// try and not while another is waited for, lest a host that is busy keep all others waiting.
    async fn turn(
        &self,
        remote: &Remote,
    ) -> (Option<OwnedSemaphorePermit>, Option<SemaphorePermit<'_>>) {
        // Never closed, so acquiring cannot fail.
        let of_host = self.host(remote).acquire_owned().await.ok();
        (of_host, self.parallel.acquire().await.ok())
    }

    fn host(&self, remote: &Remote) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = self.options.limits.per_host.max(1);
        hosts.entry(remote.host()).or_insert_with(|| Arc::new(Semaphore::new(permits))).clone()
    }

    /// pip's set-up, read when first needed.
    fn pip(&self) -> Result<&PipSettings, FetchError> {
        if let Some(pip) = self.pip.get() {
            return Ok(pip);
        }
        let pip = PipSettings::read(&self.options.env, &self.options.current_dir)?;
        Ok(self.pip.get_or_init(|| pip))
    }

    /// The places where `remote` is had.
    fn route(&self, remote: &Remote) -> Vec<Place> {
        self.http.config().route(remote)
    }

    /// The places where `place` is had, of which each stands for itself: for whoever finds out alone
    /// what was served, and asks the next.
    pub fn places(&self, place: &Place) -> Vec<Place> {
        let Place::Remote(remote) = place else { return vec![place.clone()] };
        let alone = |place| match place {
            Place::Remote(remote) => Place::Remote(Remote { alone: true, ..remote }),
            file => file,
        };
        self.route(remote).into_iter().map(alone).collect()
    }

    async fn get(&self, remote: &Remote, headers: &HeaderMap) -> Result<Response, NotSent> {
        let pip = match remote.trust {
            Trust::System => None,
            _ => Some(self.pip().map_err(NotSent::Setup)?),
        };
        self.http.get(remote, headers, pip).await
    }

    /// The limits for `remote`: pip's own timeout holds for what pip's set-up leads to.
    fn limits_for(&self, remote: &Remote) -> Result<Limits, FetchError> {
        let mut limits = self.options.limits.clone();
        if remote.trust != Trust::System
            && let Some(timeout) = self.pip()?.timeout
        {
            limits.first_byte = timeout;
            limits.stall = timeout;
        }
        Ok(limits)
    }
}

/// Bytes per read of a local file.
const CHUNK: usize = 256 << 10;

/// A local file into the sink, verified as everything is.
async fn local(
    path: &Path,
    wanted: &Wanted,
    sink: &dyn BlobSink,
    watch: &dyn Watch,
    limits: &Limits,
) -> Result<(Kept, Vec<Outcome>), Failed> {
    use tokio::io::AsyncReadExt as _;

    let failed = |error: std::io::Error| Failed::Place(error::reading(path.to_owned(), &error));
    let keeping = |source| FetchError::Keeping { what: wanted.what.clone(), source };
    let ended = |outcome| {
        Failed::Place(Attempt { place: path.display().to_string(), tries: vec![outcome] })
    };
    // A FIFO in the file's place must not block.
    let meta = tokio::fs::metadata(path).await.map_err(failed)?;
    if !meta.is_file() {
        return Err(failed(std::io::Error::other("it is no regular file")));
    }
    if let Some(outcome) = wanted.too_many(meta.len(), limits) {
        return Err(ended(outcome));
    }
    let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
    file.set_max_buf_size(CHUNK);
    let writer = sink.begin(wanted.digest.as_ref(), Some(meta.len())).map_err(keeping)?;
    let mut pump = Pump::start(writer);
    watch.started(&path.display().to_string(), Some(meta.len()));
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK);
        if file.read_buf(&mut chunk).await.map_err(failed)? == 0 {
            break;
        }
        // It may grow while it is read.
        if let Some(outcome) = wanted.too_many(pump.sent() + chunk.len() as u64, limits) {
            return Err(ended(outcome));
        }
        if !pump.push(chunk.freeze()).await {
            break;
        }
        watch.at(pump.sent());
    }
    let pumped = pump.finish().await.map_err(keeping)?;
    match download::keep(wanted, pumped).await {
        Ok(kept) => Ok((kept, Vec::new())),
        Err(NotKept::Wrong(outcome)) => Err(ended(outcome)),
        Err(NotKept::Failed(error)) => Err(Failed::All(error)),
    }
}
