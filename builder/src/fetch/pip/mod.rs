//! pip's own set-up, read as pip reads it, so that what `pip download` reaches, treelay reaches.
//!
//! *Files*, the later winning: `pip/pip.conf` in each of `XDG_CONFIG_DIRS`, `/etc/pip.conf`; the
//! user's `~/.pip/pip.conf` and `pip/pip.conf` in `XDG_CONFIG_HOME`; `pip.conf` of the virtual
//! environment; the file that `PIP_CONFIG_FILE` names (which puts the user's files out of use, and
//! as `/dev/null` all of them). *Sections:* `[global]`, then `[install]`, then `[download]`, which
//! is what treelay does; a command's section wins over `[global]` whatever file it is in. The
//! environment's `PIP_*` variables win over all files. Empty values count as not there.
//!
//! Not read: keyrings, which pip itself asks only interactively.

mod ini;
mod netrc;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::login::{Login, Secret};
use super::place::{percent_decoded, take_login};
use netrc::Netrc;

/// Where pip finds packages, and with which logins and certificates.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PipSettings {
    /// Folders, pages and files with links, each a path or an address.
    pub find_links: Vec<String>,
    /// The indexes, the main one first; none with `no-index`. They may hold credentials.
    pub indexes: Vec<String>,
    /// A PEM bundle that replaces the system's certificates.
    pub cert: Option<PathBuf>,
    /// A PEM file with a client's certificate and key.
    pub client_cert: Option<PathBuf>,
    /// Hosts, `host` or `host:port`, that may be asked over http and with any certificate.
    pub trusted_hosts: Vec<String>,
    /// The proxy for all requests; may hold credentials.
    pub proxy: Option<String>,
    /// How long a server may be silent.
    pub timeout: Option<Duration>,
    pub(super) netrc: Netrc,
}

/// Why pip's set-up cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipError {
    /// A file exists that cannot be read.
    #[error("reading pip's configuration {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file that pip would refuse as well.
    #[error("pip's configuration {}, line {line}: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A value of the wrong type.
    #[error("pip's setting {key} is {value:?}: expected {expected}")]
    BadValue {
        /// The option.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// The index of pip where nothing else is set.
const DEFAULT_INDEX: &str = "https://pypi.org/simple";

/// Sections and environment, the later winning.
const PRECEDENCE: [&str; 4] = ["global", "install", "download", ":env:"];

impl PipSettings {
    /// Reads the files and variables; relative paths in them are relative to `current_dir`.
    ///
    /// # Errors
    /// [`PipError`] where pip would stop as well.
    pub fn read(env: &BTreeMap<String, String>, current_dir: &Path) -> Result<Self, PipError> {
        let read = |path: &Path| match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => {
                Err(PipError::Unreadable { path: path.to_owned(), reason: error.to_string() })
            }
        };
        let files = files(env, |path| path.exists());
        let mut texts = Vec::new();
        for path in files {
            if let Some(text) = read(&path)? {
                texts.push((path, text));
            }
        }
        let mut settings = Self::from_texts(env, current_dir, &texts)?;
        let named = env.get("NETRC").map(PathBuf::from);
        let netrc = named.or_else(|| home(env).map(|home| home.join(".netrc")));
        // A netrc that cannot be read is as good as none, for pip too.
        if let Some(text) = netrc.and_then(|path| std::fs::read_to_string(path).ok()) {
            settings.netrc = Netrc::parse(&text);
        }
        Ok(settings)
    }

    /// The meaning of `texts`, the later winning, and the `PIP_*` variables.
    fn from_texts(
        env: &BTreeMap<String, String>,
        current_dir: &Path,
        texts: &[(PathBuf, String)],
    ) -> Result<Self, PipError> {
        // From (rank of the section, key) to the value of the last file that has it.
        let mut ranked: BTreeMap<(usize, String), String> = BTreeMap::new();
        let rank = |section: &str| PRECEDENCE.iter().position(|name| *name == section);
        for (path, text) in texts {
            let settings = ini::parse(text).map_err(|wrong| PipError::Malformed {
                path: path.clone(),
                line: wrong.line,
                reason: wrong.reason,
            })?;
            for setting in settings {
                if let Some(rank) = rank(&setting.section) {
                    ranked.insert((rank, setting.key), setting.value);
                }
            }
        }
        for (name, value) in env {
            if let (Some(key), Some(rank)) = (name.strip_prefix("PIP_"), rank(":env:")) {
                ranked.insert((rank, ini::normalised(key)), value.clone());
            }
        }
        // Ranks rise, so the last one that is not empty stays.
        let mut values = BTreeMap::new();
        for ((_, key), value) in ranked {
            if !value.is_empty() {
                values.insert(key, value);
            }
        }
        Self::from_values(env, current_dir, &values)
    }

    fn from_values(
        env: &BTreeMap<String, String>,
        current_dir: &Path,
        values: &BTreeMap<String, String>,
    ) -> Result<Self, PipError> {
        let text = |key: &str| values.get(key).cloned();
        let list = |key: &str| -> Vec<String> {
            let words = values.get(key).map(|value| value.split_whitespace());
            words.into_iter().flatten().map(str::to_owned).collect()
        };
        let path = |key: &str| values.get(key).map(|value| local_path(value, env, current_dir));
        let no_index = match values.get("no-index") {
            None => false,
            Some(value) => truth(value).ok_or_else(|| PipError::BadValue {
                key: "no-index",
                value: value.clone(),
                expected: "true or false",
            })?,
        };
        let timeout = match values.get("timeout").or_else(|| values.get("default-timeout")) {
            None => None,
            Some(value) => Some(
                value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok()).ok_or_else(
                    || PipError::BadValue {
                        key: "timeout",
                        value: value.clone(),
                        expected: "a number of seconds",
                    },
                )?,
            ),
        };
        let mut indexes = Vec::new();
        if !no_index {
            let main = text("index-url").or_else(|| text("pypi-url"));
            indexes.push(main.unwrap_or_else(|| DEFAULT_INDEX.to_owned()));
            indexes.extend(list("extra-index-url"));
        }
        let find_links = list("find-links").into_iter().map(|link| match link.contains("://") {
            true => link,
            false => local_path(&link, env, current_dir).to_string_lossy().into_owned(),
        });
        Ok(Self {
            find_links: find_links.collect(),
            indexes,
            cert: path("cert"),
            client_cert: path("client-cert"),
            trusted_hosts: list("trusted-host"),
            proxy: text("proxy"),
            timeout: timeout.filter(|timeout| !timeout.is_zero()),
            netrc: Netrc::default(),
        })
    }

    /// The login for `url`: that of an index or link on the same host and port, else netrc's.
    /// What stands in `url` itself comes before and is not looked at here.
    pub(super) fn login(&self, url: &Url) -> Option<Login> {
        let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        // The index with the longest common path knows best.
        let common = |index: &Url| {
            let pairs = index.path().bytes().zip(url.path().bytes());
            pairs.take_while(|(a, b)| a == b).count()
        };
        let known = self.indexes.iter().chain(&self.find_links);
        let urls = known.filter_map(|text| Url::parse(text).ok());
        let best = urls.filter(|index| place(index) == place(url)).max_by_key(common);
        if let Some(login) = best.and_then(|mut index| take_login(&mut index)) {
            return Some(login);
        }
        let (user, password) = self.netrc.login(url.host_str()?)?;
        let password = Secret::new(password.to_owned());
        Some(Login::Basic { user: user.to_owned(), password })
    }
}

/// Credentials may stand in the addresses, so only hosts are shown.
impl fmt::Debug for PipSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |list: &[String]| list.iter().map(|s| super::place::redact(s)).collect::<Vec<_>>();
        f.debug_struct("PipSettings")
            .field("find_links", &shown(&self.find_links))
            .field("indexes", &shown(&self.indexes))
            .field("cert", &self.cert)
            .field("trusted_hosts", &self.trusted_hosts)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A folder in the way, or no permission to look for a file, is no file for pip either.
fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

/// Where pip's files may be, the later winning.
fn files(env: &BTreeMap<String, String>, exists: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let named = set("PIP_CONFIG_FILE").map(PathBuf::from);
    if named.as_deref() == Some(Path::new("/dev/null")) {
        return Vec::new();
    }
    let mut files: Vec<PathBuf> = Vec::new();
    let site = set("XDG_CONFIG_DIRS").map_or("/etc/xdg", String::as_str);
    files.extend(
        site.split(':')
            .filter(|dir| !dir.is_empty())
            .map(|dir| Path::new(dir).join("pip/pip.conf")),
    );
    files.push("/etc/pip.conf".into());
    if !named.as_deref().is_some_and(exists) {
        let home = home(env);
        files.extend(home.as_ref().map(|home| home.join(".pip/pip.conf")));
        let config = set("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| home.map(|home| home.join(".config")));
        files.extend(config.map(|config| config.join("pip/pip.conf")));
    }
    files.extend(set("VIRTUAL_ENV").map(|dir| Path::new(dir).join("pip.conf")));
    files.extend(named);
    files
}

fn home(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    env.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// A path as pip takes it: `~` is the home folder, `file:` addresses are paths.
fn local_path(text: &str, env: &BTreeMap<String, String>, current_dir: &Path) -> PathBuf {
    if let Some(path) = text.strip_prefix("file:") {
        return percent_decoded(path.strip_prefix("//").unwrap_or(path)).into();
    }
    match (text.strip_prefix('~'), home(env)) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => current_dir.join(text),
    }
}

/// Python's `strtobool`.
fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Some(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
