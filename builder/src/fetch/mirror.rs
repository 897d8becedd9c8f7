//! The source `mirror`: the official file, from a server that has a copy of it, whose digest stands
//! beside it.

use treelay_recipes::recipe::{GoRelease, Source};
use treelay_recipes::{Digest, MIRROR_NAMES};

use super::download::Failed;
use super::releases::file_name;
use super::{Ask, FetchError, Fetcher, Place, Resolved, Resolving, SourceKind, Wanted, small};

pub(super) struct Mirror;

impl SourceKind for Mirror {
    fn source(&self) -> Source {
        Source::Mirror
    }

    fn resolve<'a>(&'a self, fetcher: &'a Fetcher, ask: &'a Ask) -> Resolving<'a> {
        Box::pin(resolve(fetcher, ask))
    }
}

async fn resolve(fetcher: &Fetcher, ask: &Ask) -> Result<Resolved, FetchError> {
    let mirror = ask.mirror.as_deref().ok_or_else(|| ask.nothing("mirror", "its address"))?;
    let GoRelease::Exact(version) = GoRelease::of(&ask.version) else {
        return Err(ask.nothing("mirror", "a release such as 1.27.3: a mirror has no list of them"));
    };
    let file_name = file_name(version, ask.arch);
    let from = address(mirror, version, &file_name);
    let place = Place::parse(&from)?;
    let digest = match ask.pinned {
        Some(pinned) => pinned,
        None => published(fetcher, ask, &from).await?,
    };
    let (places, digest) = (vec![place], Some(digest));
    let wanted = Wanted { what: ask.what.clone(), places, digest, size: None, most: None };
    Ok(Resolved { from, file_name, wanted })
}

/// Where a mirror has a file.
fn address(mirror: &str, version: &str, file_name: &str) -> String {
    let [(_, version_name), (_, file)] = MIRROR_NAMES;
    if !mirror.contains(version_name) && !mirror.contains(file) {
        return format!("{}/{file_name}", mirror.trim_end_matches('/'));
    }
    mirror.replace(version_name, version).replace(file, file_name)
}

/// The digest that stands beside a file.
async fn published(fetcher: &Fetcher, ask: &Ask, file: &str) -> Result<Digest, FetchError> {
    let what = format!("the digest of {}", ask.what);
    if fetcher.is_offline() {
        return Err(FetchError::Offline { what });
    }
    let Place::Remote(remote) = Place::parse(&format!("{file}.sha256"))? else {
        return Err(ask.nothing("mirror", "the address of a server"));
    };
    let read = |document: small::Document| {
        checksum(&document.body).ok_or_else(|| "it answered no SHA-256 digest".to_owned())
    };
    match small::document_as(fetcher, &remote, "text/plain, */*", &read).await {
        Ok(digest) => Ok(digest),
        Err(Failed::Place(attempt)) => {
            Err(FetchError::Unavailable { what, attempts: vec![attempt] })
        }
        Err(Failed::All(error)) => Err(error),
    }
}

/// The digest in what sha256sum(1) writes, or alone.
fn checksum(text: &str) -> Option<Digest> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let only = lines.next().filter(|_| lines.next().is_none())?;
    Digest::from_hex(only.split_whitespace().next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_files() {
        let file = "go1.27.3.linux-arm64.tar.gz";
        for (mirror, expected) in [
            ("https://m.example/go", "https://m.example/go/go1.27.3.linux-arm64.tar.gz"),
            ("https://m.example/go/", "https://m.example/go/go1.27.3.linux-arm64.tar.gz"),
            ("https://m.example/{{version}}/arm64.tgz", "https://m.example/1.27.3/arm64.tgz"),
            ("https://m.example/{{file}}", "https://m.example/go1.27.3.linux-arm64.tar.gz"),
        ] {
            assert_eq!(address(mirror, "1.27.3", file), expected);
        }
    }

    #[test]
    fn digests_alone_and_with_names() {
        let hex = Digest::of("x").hex();
        for right in [hex.clone(), format!("{hex}\n"), format!("{hex}  go.tar.gz\n")] {
            assert_eq!(checksum(&right), Some(Digest::of("x")), "{right}");
        }
        for wrong in ["", "<html>", &hex[1..], &format!("{hex}  a\n{hex}  b\n")] {
            assert_eq!(checksum(wrong), None, "{wrong}");
        }
    }
}
