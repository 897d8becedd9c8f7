//! GOPROXY: where modules are had, as Go reads it (go.dev/ref/mod, "GOPROXY protocol").

use std::path::{Path, PathBuf};

use super::{FetchError, Outcome, Place};

/// What Go itself asks, less `direct`: that needs the version control systems of the world.
pub const DEFAULT: &str = "https://proxy.golang.org";

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub at: At,
    /// Whether the next entry is asked after any error, and not only where there is nothing.
    pub any_error: bool,
}

/// Where a proxy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// Below this address.
    Url(String),
    /// In this folder, with the same files.
    Folder(PathBuf),
    /// At the module's own place.
    Direct,
    /// Nowhere.
    Off,
}

/// Takes a list apart: after a comma the next entry is asked where there was nothing (404, 410), after
/// a bar also after every other error. Folders are taken from `folder`.
pub fn parse(list: &str, folder: &Path) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    let mut rest = list;
    loop {
        let end = rest.find([',', '|']);
        let (entry, any_error) = match end {
            Some(end) => (&rest[..end], rest[end..].starts_with('|')),
            None => (rest, false),
        };
        let at = match entry.trim() {
            "" => None,
            "direct" => Some(At::Direct),
            "off" => Some(At::Off),
            // A login is of an address, whose scheme is lacking.
            text if text.contains("://") || is_login(text) => {
                Some(At::Url(text.trim_end_matches('/').to_owned()))
            }
            text => Some(At::Folder(folder.join(text))),
        };
        proxies.extend(at.map(|at| Proxy { at, any_error }));
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => return proxies,
        }
    }
}

/// Whether a text begins as `name:password@host` does.
fn is_login(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or_default();
    first.split_once(':').is_some_and(|(_, rest)| rest.contains('@'))
}

impl Proxy {
    /// Where it has a file; `None` where it is no place of files.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`].
    pub fn place(&self, file: &str) -> Result<Option<Place>, FetchError> {
        Ok(match &self.at {
            // What comes after the path would swallow the file's name.
            At::Url(url) if url.contains(['?', '#']) => {
                let bare = url.split(['?', '#']).next().unwrap_or_default();
                return Err(FetchError::BadUrl {
                    url: Place::parse(bare)?.to_string(),
                    reason: "a proxy's address has no query and no fragment".to_owned(),
                });
            }
            At::Url(url) => Some(Place::parse(&format!("{url}/{file}"))?),
            At::Folder(folder) => Some(Place::File(folder.join(file))),
            At::Direct | At::Off => None,
        })
    }
}

/// Whether a place said that it does not have what was asked for.
pub fn has_not(place: &Place, error: &FetchError) -> bool {
    if let Place::File(path) = place {
        return !path.exists();
    }
    let FetchError::Unavailable { attempts, .. } = error else { return false };
    let last = attempts.last().and_then(|attempt| attempt.tries.last());
    // A folder may be the mirror of a server.
    matches!(last, Some(Outcome::Status { code: 404 | 410 } | Outcome::NoFile(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_go_reads_them() {
        let read = |list: &str| -> Vec<String> {
            let name = |proxy: &Proxy| match &proxy.at {
                At::Url(url) => url.clone(),
                At::Folder(folder) => folder.display().to_string(),
                At::Direct => "direct".into(),
                At::Off => "off".into(),
            };
            let entry = |proxy: &Proxy| {
                format!("{}{}", name(proxy), if proxy.any_error { "|" } else { "" })
            };
            parse(list, Path::new("/recipe")).iter().map(entry).collect()
        };
        for (list, expected) in [
            ("https://a.example/,direct", &["https://a.example", "direct"][..]),
            (
                "https://a.example|https://b.example,off",
                &["https://a.example|", "https://b.example", "off"],
            ),
            ("mirror, /abs | file:///x", &["/recipe/mirror", "/abs|", "file:///x"]),
            ("", &[]),
            (",|,", &[]),
        ] {
            assert_eq!(read(list), expected, "{list:?}");
        }
        let place = |at: At| {
            Proxy { at, any_error: false }
                .place("a/@v/v1.mod")
                .map(|place| place.map(|p| p.to_string()))
        };
        assert_eq!(
            place(At::Url("https://a.example".into())).unwrap().unwrap(),
            "https://a.example/a/@v/v1.mod"
        );
        assert_eq!(place(At::Folder("/d".into())).unwrap().unwrap(), "/d/a/@v/v1.mod");
        assert_eq!(place(At::Direct).unwrap(), None);
        assert!(place(At::Url("http://a.example".into())).is_err());
        assert_eq!(read("me:pw@a.example/b"), ["me:pw@a.example/b"]);
        let told = place(At::Url("me:pw@a.example/b".into())).unwrap_err().to_string();
        assert!(told.starts_with("a.example/b/a/@v/v1.mod cannot be fetched from"), "{told}");
        let told = place(At::Url("https://me:pw@a.example/b?key=1".into())).unwrap_err();
        assert_eq!(
            told.to_string(),
            "https://a.example/b cannot be fetched from: \
             a proxy's address has no query and no fragment"
        );
    }
}
