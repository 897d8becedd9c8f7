//! [`Place`]: one place where the bytes may be, and the rules for addresses.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use super::FetchError;
use super::login::{Login, Secret};

/// One place to have bytes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A local file.
    File(PathBuf),
    /// A server.
    Remote(Remote),
}

/// An address to download from. Shown without credentials and query, since both can be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// Without credentials.
    pub(super) url: Url,
    pub(super) login: Option<Login>,
    pub(super) trust: Trust,
    /// Whether what it answers is believed, since nothing else says what it must be. Then the mirrors
    /// of a project are not asked: they come with recipes, from wherever those are from.
    pub(super) believed: bool,
    /// Whether it stands for itself alone, since its mirrors are places beside it.
    pub(super) alone: bool,
}

/// Whose rules decide whether a server is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// The system's certificates.
    System,
    /// What pip is set up with: its `cert`, `client-cert` and `proxy`.
    Pip,
    /// One of pip's `trusted-host`s: any certificate, and plain http. Only for what pip's set-up
    /// leads to; the digest pinned in the lock holds here as everywhere.
    PipTrusted,
}

impl Place {
    /// Takes an address from a recipe: https, http on loopback, or file.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`] for anything else.
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let bad = |reason: &str| FetchError::BadUrl { url: redact(text), reason: reason.into() };
        let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        match url.scheme() {
            "file" => Ok(Self::File(url.to_file_path().map_err(|()| bad("no local path"))?)),
            "https" => Ok(Self::Remote(Remote::new(url, Trust::System))),
            "http" if is_loopback(&url) => Ok(Self::Remote(Remote::new(url, Trust::System))),
            "http" => Err(bad("plain http is only for loopback; use https")),
            _ => Err(bad("expected https")),
        }
    }

    /// The same place, asked for what is believed and not verified: of a list of checksums, say.
    #[must_use]
    pub fn believed(self) -> Self {
        match self {
            Self::File(path) => Self::File(path),
            Self::Remote(remote) => Self::Remote(remote.believed()),
        }
    }

    /// The place beside it, whose name has so much more: `x.tar.gz.asc`.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> Self {
        match self {
            Self::File(path) => {
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                Self::File(name.into())
            }
            Self::Remote(remote) => {
                let mut remote = remote.clone();
                let path = format!("{}{suffix}", remote.url.path());
                remote.url.set_path(&path);
                Self::Remote(remote)
            }
        }
    }

    /// The last part of the path.
    pub fn file_name(&self) -> String {
        match self {
            Self::File(path) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Self::Remote(remote) => file_name(&remote.url),
        }
    }
}

/// The last part of the address's path, without its escapes.
pub(super) fn file_name(url: &Url) -> String {
    percent_decoded(url.path().rsplit('/').next().unwrap_or_default())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Remote(remote) => write!(f, "{remote}"),
        }
    }
}

impl Remote {
    /// Credentials inside `url` are taken out of it.
    pub(super) fn new(mut url: Url, trust: Trust) -> Self {
        let login = take_login(&mut url);
        Self { url, login, trust, believed: false, alone: false }
    }

    pub(super) fn believed(self) -> Self {
        Self { believed: true, ..self }
    }

    /// Host and port, for limits per host.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.url.port_or_known_default().unwrap_or_default())
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.url))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({self}, {:?})", self.trust)
    }
}

/// `url` without credentials, query and fragment: the query of a signed address is a secret too.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// The same for a text that may be no address at all: what stands before its last `@` may be a login,
/// whatever is in it.
pub(super) fn redact(text: &str) -> String {
    if let Some(url) = Url::parse(text).ok().filter(Url::has_host) {
        return shown(&url);
    }
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    // Where a name stands; else anywhere, since what should be there may have a slash in it.
    let name = rest.split('/').next().unwrap_or_default();
    let at = name.rfind('@').or_else(|| rest.rfind('@'));
    let rest = &rest[at.map_or(0, |at| at + 1)..];
    format!("{scheme}{}", rest.split(['?', '#']).next().unwrap_or_default())
}

/// Takes the credentials out of `url`.
pub(super) fn take_login(url: &mut Url) -> Option<Login> {
    let decode = |text: &str| percent_decoded(text);
    let user = decode(url.username());
    let password = url.password().map(decode);
    if user.is_empty() && password.is_none() {
        return None;
    }
    // Fails only for addresses that cannot have credentials; this one has.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let password = Secret::new(password.unwrap_or_default());
    Some(Login::Basic { user, password })
}

/// Whether the host is this machine: `localhost`, 127.0.0.0/8 or ::1.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `%41` to `A`; what is not such an escape stays, and bytes that are no UTF-8 are replaced.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let mut decoded = [0];
        if first == b'%'
            && after.len() >= 2
            && hex::decode_to_slice(&after[..2], &mut decoded).is_ok()
        {
            bytes.push(decoded[0]);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_loopback_and_files() {
        let ok =
            ["https://a.example/x", "http://localhost/x", "http://127.1.2.3:9/x", "http://[::1]/"];
        for text in ok {
            assert!(matches!(Place::parse(text), Ok(Place::Remote(_))), "{text}");
        }
        assert_eq!(Place::parse("file:///a%20b").unwrap(), Place::File("/a b".into()));
        for text in [
            "http://a.example/",
            "http://127.0.0.1.a.example/",
            "ftp://a/",
            "x",
            "http://10.0.0.1/",
        ] {
            assert!(matches!(Place::parse(text), Err(FetchError::BadUrl { .. })), "{text}");
        }
    }

    #[test]
    fn what_is_beside_has_the_longer_name() {
        let beside = |text: &str| Place::parse(text).unwrap().beside(".asc").to_string();
        assert_eq!(beside("https://a.example/x%20y.tgz?t=1"), "https://a.example/x%20y.tgz.asc");
        assert_eq!(beside("file:///d/x.tgz"), "/d/x.tgz.asc");
    }

    #[test]
    fn secrets_are_never_shown() {
        let text = "https://me:s3cret@a.example/x?sig=s3cret#s3cret";
        let place = Place::parse(text).unwrap();
        assert_eq!(place.to_string(), "https://a.example/x");
        assert!(!format!("{place:?}").contains("s3cret"));
        let Place::Remote(remote) = place else { unreachable!() };
        let user = "me".to_owned();
        let password = Secret::new("s3cret".to_owned());
        assert_eq!(remote.login, Some(Login::Basic { user, password }));
        for (text, expected) in [
            ("https://me:s3cret@bad host/x?s3cret", "https://bad host/x"),
            ("me:s3/cret@proxy:3128", "proxy:3128"),
            ("http://me:s#3cret@proxy", "http://proxy"),
            ("http://me:s?3@cret@proxy/?x", "http://proxy/"),
            ("https://me:s3cret@[bad/x/@v/list", "https://[bad/x/@v/list"),
            ("https://me:s3/cret@a.example/x", "https://a.example/x"),
            ("me:s3cret@a.example/x", "a.example/x"),
            ("me:s3cret@", ""),
            ("a.example:x/y", "a.example:x/y"),
        ] {
            assert_eq!(redact(text), expected, "{text}");
        }
        let error = Place::parse("http://me:s3cret@a.example/").unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
