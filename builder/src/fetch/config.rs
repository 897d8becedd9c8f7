//! What a user and a project set up about servers: mirrors, certificates, logins.
//!
//! The command line reads it from files (`treelay.toml`) and hands it down; what could not be read is
//! told when the server it is for is asked, and not before.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Url;

use super::login::{Login, Secret};
use super::place::{Place, Remote, Trust, is_loopback};

/// What is set up about servers.
#[derive(Clone, Default)]
pub struct Config {
    /// In the order of files and lines; those of the user before those of the project.
    pub mirrors: Vec<Mirror>,
    /// By host, or host and port, in lowercase; `*` is every host. The user's alone.
    pub hosts: BTreeMap<String, Host>,
    /// By the same names: below which version of TLS nobody may speak, whoever says so.
    pub min_tls: BTreeMap<String, MinTls>,
}

/// Where else the files below an address are.
#[derive(Clone)]
pub struct Mirror {
    /// The address, ending with a slash.
    pub from: Url,
    /// Tried in order.
    pub to: Vec<Base>,
    /// Whether the address itself is not asked where no mirror serves.
    pub only: bool,
    /// Whether the user says so, and not the project.
    pub by_user: bool,
}

/// Below what a mirror has its files.
#[derive(Clone)]
pub enum Base {
    /// An address, ending with a slash.
    Url(Url),
    /// A folder.
    Folder(PathBuf),
}

/// What is set up about a host.
#[derive(Clone, Default)]
pub struct Host {
    /// Certificates that are trusted beside the system's, in PEM.
    pub ca: Option<Loaded<Vec<u8>>>,
    /// A certificate and its key, in PEM, for servers that ask who is there.
    pub identity: Option<Loaded<Secret>>,
    /// What lets in.
    pub login: Option<Loaded<Login>>,
}

/// What was read, or why it could not be.
pub type Loaded<T> = Result<T, String>;

/// A version of TLS. Below 1.2 none is ever spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MinTls {
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

/// The name in [`Config::hosts`] that means every host.
pub const EVERY_HOST: &str = "*";

impl Config {
    /// The places where `remote` is had: its mirrors, and last itself.
    ///
    /// Where the user has mirrors for an address, those of the project do not count: a project must not
    /// lead around what the user wants. Nor do they for what is [`believed`](Remote::believed). Among
    /// those that count the longest address does, and the first of equals.
    pub(super) fn route(&self, remote: &Remote) -> Vec<Place> {
        if remote.alone {
            return vec![Place::Remote(remote.clone())];
        }
        let fitting: Vec<(&Mirror, String)> =
            self.mirrors.iter().filter_map(|m| Some((m, m.rest(&remote.url)?))).collect();
        let by_user = fitting.iter().any(|(mirror, _)| mirror.by_user);
        let best = fitting
            .iter()
            .filter(|(mirror, _)| mirror.by_user == by_user)
            .rev()
            .max_by_key(|(mirror, _)| mirror.from.path().len());
        let Some((mirror, rest)) = best else { return vec![Place::Remote(remote.clone())] };
        let asked = mirror.to.iter().filter(|_| mirror.by_user || !remote.believed);
        let mut places: Vec<Place> = asked.filter_map(|base| base.place(rest)).collect();
        if !mirror.only {
            places.push(Place::Remote(remote.clone()));
        }
        places
    }

    /// What is set up about the host of `url` alone, by its name and port, else by its name.
    pub(super) fn host(&self, url: &Url) -> Option<(&str, &Host)> {
        let found = names(url).into_iter().find_map(|name| self.hosts.get_key_value(&name));
        found.map(|(name, host)| (name.as_str(), host))
    }

    /// The lowest version of TLS that is spoken with the host of `url`: the strictest of all that is
    /// said of it.
    pub(super) fn min_tls(&self, url: &Url) -> MinTls {
        let said = names(url).into_iter().chain([EVERY_HOST.to_owned()]);
        said.filter_map(|name| self.min_tls.get(&name).copied()).max().unwrap_or(MinTls::V1_2)
    }

    /// What is set up about every host.
    pub(super) fn every_host(&self) -> Option<&Host> {
        self.hosts.get(EVERY_HOST)
    }
}

/// How the host of `url` may be called: with its port, and without.
fn names(url: &Url) -> Vec<String> {
    let Some(name) = url.host_str().map(str::to_ascii_lowercase) else { return Vec::new() };
    vec![format!("{name}:{}", url.port_or_known_default().unwrap_or_default()), name]
}

impl Mirror {
    /// What of `url` comes after this mirror's address, with its query.
    fn rest(&self, url: &Url) -> Option<String> {
        let same = self.from.origin() == url.origin();
        let path = url.path().strip_prefix(self.from.path()).filter(|_| same)?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{path}{query}"))
    }
}

impl Base {
    /// Where what is called `rest` is below it; `None` for what would be above it.
    fn place(&self, rest: &str) -> Option<Place> {
        match self {
            Self::Url(base) => {
                // Joined as text: `rest` is a path and never an address.
                let url = Url::parse(&format!("{base}{rest}")).ok()?;
                let below = url.path().starts_with(base.path());
                let safe = url.scheme() == "https" || is_loopback(&url);
                (below && safe).then(|| Place::Remote(Remote::new(url, Trust::System)))
            }
            Self::Folder(folder) => {
                let path =
                    super::place::percent_decoded(rest.split('?').next().unwrap_or_default());
                let named = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
                path.split('/').all(named).then(|| Place::File(folder.join(path)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(from: &str, to: &[&str], by_user: bool) -> Mirror {
        let base = |text: &&str| match text.strip_prefix("file:") {
            Some(folder) => Base::Folder(folder.into()),
            None => Base::Url(Url::parse(text).unwrap()),
        };
        let to = to.iter().map(base).collect();
        Mirror { from: Url::parse(from).unwrap(), to, only: false, by_user }
    }

    fn routes(mirrors: Vec<Mirror>, url: &str) -> Vec<String> {
        let config = Config { mirrors, ..Config::default() };
        let Place::Remote(remote) = Place::parse(url).unwrap() else { unreachable!() };
        config.route(&remote).iter().map(Place::to_string).collect()
    }

    #[test]
    fn mirrors_come_before_what_they_mirror() {
        let go = || mirror("https://go.dev/dl/", &["https://m.example/go/", "file:/srv/go"], true);
        let url = "https://go.dev/dl/go1.tar.gz";
        let expected = ["https://m.example/go/go1.tar.gz", "/srv/go/go1.tar.gz", url];
        assert_eq!(routes(vec![go()], url), expected);
        let only = Mirror { only: true, ..go() };
        assert_eq!(routes(vec![only], url), expected[..2]);
        for other in [
            "https://go.dev/other",
            "https://go.dev:8443/dl/x",
            "https://go.dev.example/dl/x",
            "http://localhost/dl/x",
        ] {
            assert_eq!(routes(vec![go()], other), [other]);
        }
        // What leads out of the mirror is asked of nobody.
        let out = "https://go.dev/dl/%2e%2e/secret";
        assert!(routes(vec![go()], out).iter().all(|place| !place.contains("m.example/secret")));
        assert!(
            !routes(vec![go()], "https://go.dev/dl/a%2f..%2f..%2fb")
                .iter()
                .any(|place| place.starts_with("/srv"))
        );
    }

    #[test]
    fn the_longest_counts_and_the_user_before_the_project() {
        let short = mirror("https://go.dev/", &["https://short.example/"], true);
        let long = mirror("https://go.dev/dl/", &["https://long.example/"], true);
        let project = mirror("https://go.dev/dl/x/", &["https://project.example/"], false);
        let url = "https://go.dev/dl/x/y";
        let first = |mirrors| routes(mirrors, url)[0].clone();
        assert_eq!(first(vec![short.clone(), long]), "https://long.example/x/y");
        assert_eq!(first(vec![project.clone()]), "https://project.example/y");
        assert_eq!(first(vec![short, project]), "https://short.example/dl/x/y");
    }

    #[test]
    fn what_is_believed_is_not_asked_of_mirrors_of_a_project() {
        let url = "https://go.dev/dl/x.sha256";
        for (by_user, expected) in [(true, "https://m.example/x.sha256"), (false, url)] {
            let mirrors = vec![mirror("https://go.dev/dl/", &["https://m.example/"], by_user)];
            let config = Config { mirrors, ..Config::default() };
            let place = Place::parse(url).unwrap().believed();
            let Place::Remote(remote) = place else { unreachable!() };
            assert_eq!(config.route(&remote)[0].to_string(), expected);
        }
    }

    #[test]
    fn the_strictest_version_of_tls_counts_by_whatever_name() {
        let said = |names: &[(&str, MinTls)]| {
            let min_tls = names.iter().map(|(name, min)| ((*name).to_owned(), *min)).collect();
            let config = Config { min_tls, ..Config::default() };
            config.min_tls(&Url::parse("https://M.example/x").unwrap())
        };
        assert_eq!(said(&[]), MinTls::V1_2);
        let (old, new) = (MinTls::V1_2, MinTls::V1_3);
        for names in [
            &[("m.example", new), ("m.example:443", old)][..],
            &[("m.example", old), ("m.example:443", new)],
            &[("*", new), ("m.example", old)],
            &[("*", old), ("m.example:443", new)],
        ] {
            assert_eq!(said(names), new, "{names:?}");
        }
        assert_eq!(said(&[("m.example:8443", new), ("example", new)]), old);
    }
}
