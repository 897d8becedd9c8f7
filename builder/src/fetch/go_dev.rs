//! The source `go.dev`: the official file, whose digest the list of releases says.

use treelay_recipes::recipe::{GoRelease, Source};

use super::download::Failed;
use super::releases::{Release, choose, file_name};
use super::{Ask, FetchError, Fetcher, Place, Resolved, Resolving, SourceKind, Wanted, small};

pub(super) struct GoDev;

/// Where the files are.
const FILES: &str = "https://go.dev/dl/";
/// The list of all releases.
const LIST: &str = "https://go.dev/dl/?mode=json&include=all";

impl SourceKind for GoDev {
    fn source(&self) -> Source {
        Source::GoDev
    }

    fn resolve<'a>(&'a self, fetcher: &'a Fetcher, ask: &'a Ask) -> Resolving<'a> {
        Box::pin(resolve(fetcher, ask))
    }
}

async fn resolve(fetcher: &Fetcher, ask: &Ask) -> Result<Resolved, FetchError> {
    let wanted = GoRelease::of(&ask.version);
    // What is pinned is known without the list, whose lines may be gone or changed.
    if let (GoRelease::Exact(version), Some(pinned)) = (wanted, ask.pinned) {
        return resolved(ask, version, Some(pinned), None);
    }
    let list = fetcher.releases.get_or_try_init(|| list(fetcher, ask)).await?;
    let found = choose(list, wanted, ask.arch).map_err(|nearest| FetchError::NoSuchRelease {
        place: FILES.to_owned(),
        version: ask.version.clone(),
        arch: ask.arch,
        nearest,
    })?;
    resolved(ask, &found.version, Some(found.sha256), found.size)
}

fn resolved(
    ask: &Ask,
    version: &str,
    digest: Option<treelay_recipes::Digest>,
    size: Option<u64>,
) -> Result<Resolved, FetchError> {
    let file_name = file_name(version, ask.arch);
    let from = format!("{FILES}{file_name}");
    let places = vec![Place::parse(&from)?];
    let wanted = Wanted { what: ask.what.clone(), places, digest, size, most: None };
    Ok(Resolved { from, file_name, wanted })
}

async fn list(fetcher: &Fetcher, ask: &Ask) -> Result<Vec<Release>, FetchError> {
    let what = || format!("the list of Go's releases, for {}", ask.what);
    if fetcher.is_offline() {
        return Err(FetchError::Offline { what: what() });
    }
    let Place::Remote(remote) = Place::parse(LIST)? else {
        return Err(ask.nothing("go.dev", "a server"));
    };
    let unavailable = |attempt| FetchError::Unavailable { what: what(), attempts: vec![attempt] };
    let read = |document: small::Document| {
        let said = |error| format!("it answered no list of releases: {error}");
        serde_json::from_str(&document.body).map_err(said)
    };
    match small::document_as(fetcher, &remote, "application/json", &read).await {
        Ok(list) => Ok(list),
        Err(Failed::Place(attempt)) => Err(unavailable(attempt)),
        Err(Failed::All(error)) => Err(error),
    }
}
