//! The source `module`: the distribution as the go command fetches it, the module
//! `golang.org/toolchain` of a GOPROXY.
//!
//! Its versions are `v0.0.1-go1.27.3.linux-arm64` (go.dev/doc/toolchain). Which bytes an archive has
//! is its maker's affair: only what is in it has an identity.

use treelay_recipes::Arch;
use treelay_recipes::recipe::{GoRelease, Source};

use super::download::Failed;
use super::error::reading;
use super::goproxy::At;
use super::releases::newest;
use super::{Ask, FetchError, Fetcher, Place, Resolved, Resolving, SourceKind, Wanted, small};

pub(super) struct Module;

/// The module's path.
const MODULE: &str = "golang.org/toolchain";
/// Leading components of the paths in its archive: the module's path, whose last has the version.
pub(crate) const STRIP: u32 = 2;
/// Bytes that a module's archive may have, as for Go (`zip.MaxZipFile`).
const MOST: u64 = 500 << 20;

impl SourceKind for Module {
    fn source(&self) -> Source {
        Source::Module
    }

    fn resolve<'a>(&'a self, fetcher: &'a Fetcher, ask: &'a Ask) -> Resolving<'a> {
        Box::pin(resolve(fetcher, ask))
    }
}

async fn resolve(fetcher: &Fetcher, ask: &Ask) -> Result<Resolved, FetchError> {
    let version = match GoRelease::of(&ask.version) {
        GoRelease::Exact(version) => version.to_owned(),
        wanted => listed(fetcher, ask, wanted).await?,
    };
    let version = format!("{}{}", before(&version), suffix(ask.arch));
    let file = format!("{MODULE}/@v/{version}.zip");
    let places = places(ask, &file)?;
    let (digest, most) = (ask.pinned, Some(MOST));
    let wanted = Wanted { what: ask.what.clone(), places, digest, size: None, most };
    let from = format!("{MODULE}@{version}");
    Ok(Resolved { from, file_name: format!("{version}.zip"), wanted })
}

fn before(version: &str) -> String {
    format!("v0.0.1-go{version}")
}

fn suffix(arch: Arch) -> String {
    format!(".linux-{}", arch.go())
}

/// Where a file of the module may be: at every proxy before `direct` or `off`, where lists end.
fn places(ask: &Ask, file: &str) -> Result<Vec<Place>, FetchError> {
    let proxies = ask.proxies.iter();
    let proxies = proxies.take_while(|proxy| !matches!(proxy.at, At::Direct | At::Off));
    let places: Result<Vec<Option<Place>>, _> = proxies.map(|proxy| proxy.place(file)).collect();
    let places: Vec<Place> = places?.into_iter().flatten().collect();
    match places.is_empty() {
        true => Err(ask.nothing("module", "a proxy in GOPROXY")),
        false => Ok(places),
    }
}

/// The newest version that is meant, of those that the first proxy with a list has.
async fn listed(fetcher: &Fetcher, ask: &Ask, wanted: GoRelease<'_>) -> Result<String, FetchError> {
    let what = format!("the versions of {MODULE}, for {}", ask.what);
    let (mut attempts, mut forbidden) = (Vec::new(), false);
    for place in places(ask, &format!("{MODULE}/@v/list"))? {
        let text = match &place {
            Place::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) => text,
                Err(error) => {
                    attempts.push(reading(path.clone(), &error));
                    continue;
                }
            },
            Place::Remote(_) if fetcher.is_offline() => {
                forbidden = true;
                continue;
            }
            Place::Remote(remote) => {
                let read = |document: small::Document| match is_list(&document.body) {
                    true => Ok(document.body),
                    false => Err("it answered no list of versions".to_owned()),
                };
                match small::document_as(fetcher, remote, "text/plain, */*", &read).await {
                    Ok(text) => text,
                    Err(Failed::Place(attempt)) => {
                        attempts.push(attempt);
                        continue;
                    }
                    Err(Failed::All(error)) => return Err(error),
                }
            }
        };
        let suffix = suffix(ask.arch);
        let version = |line: &'_ str| -> Option<String> {
            Some(line.trim().strip_prefix("v0.0.1-go")?.strip_suffix(&suffix)?.to_owned())
        };
        let versions: Vec<String> = text.lines().filter_map(version).collect();
        return match newest(versions.iter().map(String::as_str), wanted) {
            Some(version) => Ok(version.to_owned()),
            None => Err(FetchError::NoSuchRelease {
                place: place.to_string(),
                version: ask.version.clone(),
                arch: ask.arch,
                nearest: Vec::new(),
            }),
        };
    }
    match forbidden {
        true => Err(FetchError::Offline { what }),
        false => Err(FetchError::Unavailable { what, attempts }),
    }
}

/// Whether a text is a list of the module's versions, and not the page that some servers answer
/// whatever they are asked.
fn is_list(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.starts_with("v0.0.1-go"))
}
