//! Names of repositories and tags, as the distribution specification and docker's reference grammar
//! define them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A repository of a registry: `HOST[:PORT]/PATH`, normalised as docker does (`alpine` is
/// `docker.io/library/alpine`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: String,
    path: String,
}

/// Why a text is not a [`Repository`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a repository, expected HOST[:PORT]/NAME: {reason}")]
pub struct NotARepository {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The name under which Docker Hub is known; its API lives elsewhere.
const DOCKER_HUB: &str = "docker.io";

impl Repository {
    /// `HOST[:PORT]`, `docker.io` for Docker Hub.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path inside the registry, such as `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port to which requests go: `registry-1.docker.io` for Docker Hub.
    pub fn api_host(&self) -> &str {
        if self.host == DOCKER_HUB { "registry-1.docker.io" } else { &self.host }
    }

    /// Whether the host is this machine, by name or by address: there plain http is no danger.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Whether `HOST[:PORT]` is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = split_port(host).0;
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Splits `HOST[:PORT]`; an IPv6 address stands in brackets.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Whether `text` may be a tag in a registry: a letter, digit or `_`, then up to 127 of these, `.`
/// and `-` (distribution-spec, "Pulling manifests").
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// One part of a path between slashes: runs of lowercase letters and digits, joined by `.`, `_`,
/// `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut joints = text.split(alnum).filter(|joint| !joint.is_empty());
    text.starts_with(alnum)
        && text.ends_with(alnum)
        && joints.all(|j| matches!(j, "." | "_" | "__") || j.bytes().all(|b| b == b'-'))
}

fn is_host(text: &str) -> bool {
    let (name, port) = split_port(text);
    let port_fits = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p != 0));
    if let Some(six) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        return port_fits && six.parse::<Ipv6Addr>().is_ok();
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    port_fits && name.split('.').all(label)
}

impl FromStr for Repository {
    type Err = NotARepository;

    fn from_str(text: &str) -> Result<Self, NotARepository> {
        let wrong = |reason| NotARepository { text: text.to_owned(), reason };
        // Docker's rule: the first part is a host if it looks like one, else all is a path on the
        // Hub (distribution/reference, splitDockerDomain).
        let looks_like_host = |part: &str| {
            part.contains(['.', ':']) || part == "localhost" || part.to_lowercase() != part
        };
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if looks_like_host(first) => (first, rest),
            _ => (DOCKER_HUB, text),
        };
        let host = if host == "index.docker.io" { DOCKER_HUB } else { host };
        if !is_host(host) {
            return Err(wrong("the host is not a name or address with an optional port"));
        }
        if path.is_empty() {
            return Err(wrong("the name is missing"));
        }
        let path = if host == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(wrong("the name must be in lower case"));
        }
        if !path.split('/').all(is_path_component) {
            return Err(wrong(
                "the name may hold lowercase letters and digits, joined by single . _ - or /",
            ));
        }
        if host.len() + 1 + path.len() > 255 {
            return Err(wrong("it is longer than 255 characters"));
        }
        Ok(Self { host: host.to_ascii_lowercase(), path })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, expected) in [
            ("alpine", "docker.io/library/alpine"),
            ("ns/app", "docker.io/ns/app"),
            ("docker.io/alpine", "docker.io/library/alpine"),
            ("index.docker.io/ns/app", "docker.io/ns/app"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/a/b/c", "localhost:5000/a/b/c"),
            ("[::1]:5000/app", "[::1]:5000/app"),
            ("Quay.IO/ns/app", "quay.io/ns/app"),
            ("h.example/a__b/c--d/e.f_g", "h.example/a__b/c--d/e.f_g"),
        ] {
            assert_eq!(text.parse::<Repository>().unwrap().to_string(), expected);
        }
        for text in [
            "",
            "h.example/",
            "h.example/A",
            "h.example/a//b",
            "h.example/a..b",
            "h.example/-a",
            "h.example/a-",
            "h.example:0/a",
            "h.example:99999/a",
            "h..example/a",
            "[::zz]:1/a",
            "h.example/a___b",
            "h.example/a b",
            "h.example/../a",
        ] {
            assert!(text.parse::<Repository>().is_err(), "{text}");
        }
        assert!(format!("h.example/{}", "a".repeat(250)).parse::<Repository>().is_err());
    }

    #[test]
    fn loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:80", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("[::2]:5000", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }

    #[test]
    fn tags() {
        for good in ["latest", "1.27.3", "_x", "sha256-ab.sig", &"a".repeat(128)] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".x", "-x", "a/b", "a:b", "a+b", &"a".repeat(129)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }
}
