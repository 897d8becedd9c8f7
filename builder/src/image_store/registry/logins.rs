//! Logins of registries, read from where podman and docker keep them.
//!
//! Order: `REGISTRY_AUTH_FILE` alone if it is set; else containers' `auth.json` in the run directory
//! and in the configuration directory, then docker's `config.json` (containers-auth.json(5)).
//! In each file: a credential helper for the host, the entry with the longest matching name
//! (`HOST/NS/REPO`, `HOST/NS`, `HOST`), and at last the file's credentials store.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use crate::exec::credential_helper as helper;
use crate::image_store::error::{Result, StoreError};
use crate::image_store::repository::Repository;

/// A login. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// What is sent.
    pub kind: LoginKind,
    /// Where it was found, for people.
    pub found_in: String,
}

/// What a login is made of.
#[derive(Clone, PartialEq, Eq)]
pub enum LoginKind {
    /// Name and password.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token, changed for access tokens at the token server.
    IdentityToken(String),
    /// A token for the registry itself.
    RegistryToken(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("found_in", &self.found_in).finish_non_exhaustive()
    }
}

impl fmt::Debug for LoginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(…)",
            Self::IdentityToken(_) => "IdentityToken(…)",
            Self::RegistryToken(_) => "RegistryToken(…)",
        })
    }
}

/// What the environment says about where logins are; all of it may be missing.
#[derive(Debug, Clone, Default)]
pub struct LoginPlaces {
    /// `REGISTRY_AUTH_FILE`: then no other file is read.
    pub registry_auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`; without it `/run/containers/UID` is where podman writes.
    pub runtime_dir: Option<PathBuf>,
    /// The user's number, for the case without a runtime directory.
    pub user_id: Option<u32>,
    /// `XDG_CONFIG_HOME`, else `~/.config`.
    pub config_home: Option<PathBuf>,
    /// `DOCKER_CONFIG`, a directory, else `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl LoginPlaces {
    fn files(&self) -> Vec<PathBuf> {
        if let Some(only) = &self.registry_auth_file {
            return vec![only.clone()];
        }
        let under_home = |dir: &str| self.home.as_ref().map(|home| home.join(dir));
        let run = self.runtime_dir.as_ref().map(|dir| dir.join("containers"));
        let run = run.or_else(|| self.user_id.map(|id| format!("/run/containers/{id}").into()));
        let config = self.config_home.clone().or_else(|| under_home(".config"));
        let docker = self.docker_config.clone().or_else(|| under_home(".docker"));
        [
            run.map(|dir| dir.join("auth.json")),
            config.map(|dir| dir.join("containers/auth.json")),
            docker.map(|dir| dir.join("config.json")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Asks `docker-credential-HELPER get` about a server; `Ok(None)` when it knows none. The error is
/// for people and holds no secret.
pub type AskHelper =
    Arc<dyn Fn(&str, &str) -> std::result::Result<Option<LoginKind>, String> + Send + Sync>;

/// Finds logins. Files are read when asked, so a login made meanwhile counts.
#[derive(Clone)]
pub struct Logins {
    places: LoginPlaces,
    ask: AskHelper,
}

impl Default for Logins {
    /// No login anywhere.
    fn default() -> Self {
        Self::new(LoginPlaces::default(), Arc::new(helper::ask))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AuthFile {
    auths: Option<HashMap<String, Entry>>,
    cred_helpers: Option<HashMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Logins {
    /// Looks in `places`, and asks helpers through `ask`.
    pub fn new(places: LoginPlaces, ask: AskHelper) -> Self {
        Self { places, ask }
    }

    /// The login for a repository, or `None`. Blocks: files are read, helpers may run.
    ///
    /// # Errors
    /// [`StoreError::Logins`] for a file that cannot be understood, [`StoreError::LoginHelper`] for
    /// a helper that failed.
    pub fn find(&self, repository: &Repository) -> Result<Option<Login>> {
        for path in self.places.files() {
            let text = match std::fs::read(&path) {
                Ok(text) => text,
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && self.places.registry_auth_file.is_none() =>
                {
                    continue;
                }
                Err(error) => {
                    return Err(StoreError::Logins { path, reason: error.to_string() });
                }
            };
            if let Some(login) = self.find_in(&path, &text, repository)? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    fn find_in(&self, path: &Path, text: &[u8], repository: &Repository) -> Result<Option<Login>> {
        // serde_json's message could quote a secret of the wrong type: only the place is told.
        let file: AuthFile = serde_json::from_slice(text).map_err(|error| StoreError::Logins {
            path: path.to_owned(),
            reason: format!(
                "it is not a JSON file of logins (line {}, column {})",
                error.line(),
                error.column()
            ),
        })?;
        let host = repository.host();
        let helpers = file.cred_helpers.unwrap_or_default();
        if let Some(helper) = helpers.iter().find(|(key, _)| host_of(key) == host).map(|(_, h)| h) {
            return self.ask(helper, host);
        }
        let auths = file.auths.unwrap_or_default();
        for name in names(repository) {
            let entries = auths.iter().filter(|(key, _)| normalised(key) == name);
            for (_, entry) in entries {
                let kind = entry.kind().map_err(|reason| StoreError::Logins {
                    path: path.to_owned(),
                    reason: format!("the entry of {name}: {reason}"),
                })?;
                if let Some(kind) = kind {
                    return Ok(Some(Login { kind, found_in: path.display().to_string() }));
                }
            }
        }
        match file.creds_store.as_deref() {
            Some(store) if !store.is_empty() => self.ask(store, host),
            _ => Ok(None),
        }
    }

    fn ask(&self, helper: &str, host: &str) -> Result<Option<Login>> {
        // docker's own name of the Hub comes first: that is what its `login` stores.
        let servers: &[&str] = match host {
            "docker.io" => &["https://index.docker.io/v1/", "docker.io"],
            other => &[other],
        };
        for server in servers {
            let kind = (self.ask)(helper, server).map_err(|reason| StoreError::LoginHelper {
                helper: helper.to_owned(),
                server: (*server).to_owned(),
                reason,
            })?;
            if let Some(kind) = kind {
                let found_in = format!("docker-credential-{helper}");
                return Ok(Some(Login { kind, found_in }));
            }
        }
        Ok(None)
    }
}

impl Entry {
    fn kind(&self) -> std::result::Result<Option<LoginKind>, &'static str> {
        let filled = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(LoginKind::IdentityToken(token)));
        }
        if let Some(token) = filled(&self.registrytoken) {
            return Ok(Some(LoginKind::RegistryToken(token)));
        }
        if let Some(auth) = filled(&self.auth) {
            let bytes =
                STANDARD.decode(auth.trim()).or_else(|_| STANDARD_NO_PAD.decode(auth.trim()));
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = text.as_deref().and_then(|text| text.split_once(':'));
            let (user, password) = pair.ok_or("its auth is not base64 of USER:PASSWORD")?;
            // Some versions of docker pad with zero bytes.
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(LoginKind::Password { user: user.to_owned(), password }));
        }
        match (filled(&self.username), filled(&self.password)) {
            (Some(user), Some(password)) => Ok(Some(LoginKind::Password { user, password })),
            _ => Ok(None),
        }
    }
}

/// `HOST/NS/REPO`, `HOST/NS`, `HOST`.
fn names(repository: &Repository) -> Vec<String> {
    let full = repository.to_string();
    let cuts = full.match_indices('/').map(|(at, _)| full[..at].to_owned());
    let mut names: Vec<_> = cuts.chain([full.clone()]).collect();
    names.reverse();
    names
}

/// Docker writes hosts as URLs, some with `/v1/` behind.
fn normalised(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let name = match bare {
        Some(rest) => rest.split('/').next().unwrap_or_default(),
        None => key.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2"),
    };
    match name.split_once('/') {
        None if is_hub(name) => "docker.io".to_owned(),
        Some((host, rest)) if is_hub(host) => format!("docker.io/{rest}"),
        _ => name.to_owned(),
    }
}

fn is_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

fn host_of(key: &str) -> String {
    normalised(key).split('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins() -> Logins {
        let ask: AskHelper = Arc::new(|helper, server| match (helper, server) {
            ("broken", _) => Err("it broke".to_owned()),
            ("vault", "https://index.docker.io/v1/" | "h.example") => Ok(Some(password("vault"))),
            _ => Ok(None),
        });
        Logins::new(LoginPlaces::default(), ask)
    }

    fn password(user: &str) -> LoginKind {
        LoginKind::Password { user: user.to_owned(), password: "pw".to_owned() }
    }

    fn auth(user: &str) -> String {
        format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(format!("{user}:pw")))
    }

    fn find(json: &str, repository: &str) -> Result<Option<LoginKind>> {
        let found = logins().find_in(Path::new("f"), json.as_bytes(), &repository.parse().unwrap());
        found.map(|login| login.map(|l| l.kind))
    }

    #[test]
    fn the_longest_name_wins() {
        let (a, b, c) = (auth("host"), auth("ns"), auth("repo"));
        let json =
            format!(r#"{{"auths":{{"h.example":{a},"h.example/ns":{b},"h.example/ns/app":{c}}}}}"#);
        for (repository, user) in [
            ("h.example/other/app", "host"),
            ("h.example/nsx", "host"),
            ("h.example/ns/b", "ns"),
            ("h.example/ns/app", "repo"),
            ("h.example/ns/app/deep", "repo"),
        ] {
            assert_eq!(find(&json, repository).unwrap(), Some(password(user)), "{repository}");
        }
        assert_eq!(find(&json, "other.example/ns/app").unwrap(), None);
        assert_eq!(find(&json, "h.example:5000/ns/app").unwrap(), None);
    }

    #[test]
    fn the_names_of_docker() {
        for (key, repository) in [
            ("https://index.docker.io/v1/", "alpine"),
            ("docker.io", "ns/app"),
            ("index.docker.io", "alpine"),
            ("docker.io/ns", "ns/app"),
            ("https://h.example", "h.example/a"),
            ("https://h.example/v2/", "h.example/a"),
            ("h.example:5000", "h.example:5000/a"),
            ("h.example/v1/", "h.example/a"),
        ] {
            let json = format!(r#"{{"auths":{{"{key}":{}}}}}"#, auth("u"));
            assert_eq!(find(&json, repository).unwrap(), Some(password("u")), "{key}");
        }
    }

    #[test]
    fn kinds_of_entries() {
        let of =
            |entry: &str| find(&format!(r#"{{"auths":{{"h.example":{entry}}}}}"#), "h.example/a");
        assert_eq!(of(r#"{"username":"u","password":"pw"}"#).unwrap(), Some(password("u")));
        let auth_and_identity =
            format!(r#"{{"auth":"{}","identitytoken":"t"}}"#, STANDARD.encode("u:"));
        assert_eq!(of(&auth_and_identity).unwrap(), Some(LoginKind::IdentityToken("t".into())));
        let registry = of(r#"{"registrytoken":"t"}"#).unwrap();
        assert_eq!(registry, Some(LoginKind::RegistryToken("t".into())));
        let padded = format!(r#"{{"auth":"{}"}}"#, STANDARD.encode("u:pw\0\0"));
        assert_eq!(of(&padded).unwrap(), Some(password("u")));
        let colon = format!(r#"{{"auth":"{}"}}"#, STANDARD.encode("u:p:w"));
        let expected = LoginKind::Password { user: "u".into(), password: "p:w".into() };
        assert_eq!(of(&colon).unwrap(), Some(expected));
        assert_eq!(of("{}").unwrap(), None);
        for broken in [r#"{"auth":"%%%"}"#, r#"{"auth":"bm9jb2xvbg=="}"#] {
            assert!(matches!(of(broken), Err(StoreError::Logins { .. })), "{broken}");
        }
    }

    #[test]
    fn helpers() {
        let json = format!(
            r#"{{"auths":{{"a.example":{},"b.example":{{}}}},"credsStore":"vault",
                "credHelpers":{{"c.example":"broken","d.example":"none"}}}}"#,
            auth("file")
        );
        assert_eq!(find(&json, "a.example/x").unwrap(), Some(password("file")));
        assert_eq!(find(&json, "h.example/x").unwrap(), Some(password("vault")));
        assert_eq!(find(&json, "alpine").unwrap(), Some(password("vault")));
        assert_eq!(find(&json, "b.example/x").unwrap(), None);
        assert_eq!(find(&json, "d.example/x").unwrap(), None);
        let error = find(&json, "c.example/x").unwrap_err().to_string();
        assert!(
            error.contains("docker-credential-broken") && error.contains("it broke"),
            "{error}"
        );
    }

    #[test]
    fn files_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, user: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!(r#"{{"auths":{{"h.example":{}}}}}"#, auth(user)))
                .unwrap();
            path
        };
        let mut places = LoginPlaces {
            runtime_dir: Some(dir.path().join("run")),
            home: Some(dir.path().to_owned()),
            ..LoginPlaces::default()
        };
        let user = |places: &LoginPlaces| {
            let logins = Logins::new(places.clone(), Arc::new(helper::ask));
            logins.find(&"h.example/a".parse().unwrap()).map(|l| l.map(|l| l.kind))
        };
        assert_eq!(user(&places).unwrap(), None);
        write(".docker/config.json", "docker");
        assert_eq!(user(&places).unwrap(), Some(password("docker")));
        write(".config/containers/auth.json", "config");
        assert_eq!(user(&places).unwrap(), Some(password("config")));
        write("run/containers/auth.json", "run");
        assert_eq!(user(&places).unwrap(), Some(password("run")));
        places.registry_auth_file = Some(write("mine.json", "mine"));
        assert_eq!(user(&places).unwrap(), Some(password("mine")));
        places.registry_auth_file = Some(dir.path().join("missing.json"));
        assert!(matches!(user(&places), Err(StoreError::Logins { .. })));
    }

    #[test]
    fn secrets_stay_inside() {
        let login = Login { kind: password("u"), found_in: "f".into() };
        assert!(!format!("{login:?} {:?}", login.kind).contains("pw"));
        let json = r#"{"auths":{"h.example":{"auth":["s3cret"]}}}"#;
        assert!(!find(json, "h.example/a").unwrap_err().to_string().contains("s3cret"));
    }
}
