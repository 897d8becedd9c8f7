//! The source `archive`: a file or addresses that the recipe gives, with the sha256 that it must have: the
//! recipe's, else the lock's.

use treelay_recipes::recipe::Source;

use super::{Ask, FetchError, Fetcher, Place, Resolved, Resolving, SourceKind, Wanted};

pub(super) struct Archive;

impl SourceKind for Archive {
    fn source(&self) -> Source {
        Source::Archive
    }

    fn resolve<'a>(&'a self, _fetcher: &'a Fetcher, ask: &'a Ask) -> Resolving<'a> {
        Box::pin(async move { resolve(ask) })
    }
}

fn resolve(ask: &Ask) -> Result<Resolved, FetchError> {
    let nothing =
        |needs| FetchError::NothingToAsk { what: ask.what.clone(), kind: "archive", needs };
    let archive = ask.archive.as_ref().ok_or_else(|| nothing("a path or urls for this arch"))?;
    let mut places = Vec::new();
    places.extend(archive.path.clone().map(Place::File));
    for url in &archive.urls {
        places.push(Place::parse(url)?);
    }
    let file_name = places.first().ok_or_else(|| nothing("a path or urls"))?.file_name();
    // What the recipe says counts; a lock that says otherwise is out of date, which is noticed
    // before anything is fetched.
    let digest = archive.sha256.or(ask.pinned);
    let wanted = Wanted { what: ask.what.clone(), places, digest, size: None, most: None };
    Ok(Resolved { from: file_name.clone(), file_name, wanted })
}

#[cfg(test)]
mod tests {
    use super::super::ArchiveAt;
    use super::*;
    use treelay_recipes::{Arch, Digest};

    fn ask(path: Option<&str>, urls: &[&str]) -> Ask {
        let archive = ArchiveAt {
            path: path.map(Into::into),
            urls: urls.iter().map(|url| url.to_string()).collect(),
            sha256: Some(Digest::of("x")),
        };
        Ask { archive: Some(archive), ..Ask::new("go for amd64", "1", Arch::Amd64) }
    }

    #[test]
    fn the_file_comes_before_the_addresses() {
        let urls = ["https://me:pw@a.example/dl/go1.tar.gz?token=t", "http://localhost/go1.tar.gz"];
        let resolved = resolve(&ask(Some("/d/go.tgz"), &urls)).unwrap();
        let places: Vec<_> = resolved.wanted.places.iter().map(Place::to_string).collect();
        assert_eq!(
            places,
            ["/d/go.tgz", "https://a.example/dl/go1.tar.gz", "http://localhost/go1.tar.gz"]
        );
        assert_eq!(resolved.from, "go.tgz");
        assert_eq!(resolve(&ask(None, &urls)).unwrap().from, "go1.tar.gz");
    }

    #[test]
    fn says_what_is_missing() {
        for nothing in [ask(None, &[]), Ask { archive: None, ..ask(None, &[]) }] {
            let error = resolve(&nothing).unwrap_err();
            assert!(matches!(error, FetchError::NothingToAsk { .. }), "{error}");
        }
        let error = resolve(&ask(None, &["http://a.example/x"])).unwrap_err();
        assert!(matches!(error, FetchError::BadUrl { .. }), "{error}");
    }
}
