//! What the process is surrounded by, read once: arguments' meaning must not depend on when the
//! environment, the clock or the current directory is looked at, and nothing below the command
//! line looks at them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use treelay_recipes::Arch;

use super::{Failure, Result};
use crate::exec::{LocalOptions, Sandbox, credential_helper};
use crate::image_store::registry::{LoginPlaces, Logins, RegistryClient, RegistryOptions};

/// Environment, clock, current directory, terminal.
pub struct Surroundings {
    /// The environment's variables, those that are UTF-8.
    pub env: BTreeMap<String, String>,
    /// The current directory.
    pub current_dir: PathBuf,
    /// When the program started.
    pub now: SystemTime,
    /// Whether standard error is a terminal.
    pub terminal: bool,
    /// Whether standard input is a terminal, so that questions can be asked.
    pub can_ask: bool,
    /// The arch of this machine, where treelay builds for it.
    pub machine: Option<Arch>,
    /// Where programs are searched.
    pub path: OsString,
    /// Processors this process may use.
    pub processors: usize,
}

impl Surroundings {
    /// Reads them.
    pub fn read() -> Self {
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self {
            env: env.collect(),
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            now: SystemTime::now(),
            terminal: std::io::stderr().is_terminal(),
            can_ask: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            machine: machine(),
            path: std::env::var_os("PATH").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// How processes are started.
    pub fn local_options(&self, jobs: usize, sandbox: Sandbox) -> LocalOptions {
        LocalOptions { sandbox, path: self.path.clone(), jobs, now: self.now, again: false }
    }

    /// A variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// The store: what was asked for, else TREELAY_STORE, else the user's cache directory.
    pub fn store(&self, asked: Option<&Path>) -> Option<PathBuf> {
        let cache = || {
            self.path("XDG_CACHE_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| Some(self.path("HOME")?.join(".cache")))
        };
        asked
            .map(Path::to_owned)
            .or_else(|| self.path("TREELAY_STORE"))
            .or_else(|| Some(cache()?.join("treelay")))
    }

    /// SOURCE_DATE_EPOCH, where it is set: seconds since 1970.
    ///
    /// # Errors
    /// A text that is no such number, or one that archives and commits cannot carry.
    pub fn source_date_epoch(&self) -> Result<Option<u64>> {
        let Some(text) = self.var("SOURCE_DATE_EPOCH") else { return Ok(None) };
        match text.parse::<u32>() {
            Ok(seconds) => Ok(Some(seconds.into())),
            Err(_) => Err(Failure::usage_message(format!(
                "SOURCE_DATE_EPOCH is {text:?}: expected seconds since 1970"
            ))),
        }
    }

    /// How to reach registries.
    pub fn registries(&self, plain_http: bool) -> RegistryClient {
        let proxy = |upper: &str, lower: &str| {
            self.var(lower).or_else(|| self.var(upper)).map(str::to_owned)
        };
        let places = LoginPlaces {
            registry_auth_file: self.path("REGISTRY_AUTH_FILE"),
            runtime_dir: self.path("XDG_RUNTIME_DIR"),
            user_id: Some(rustix::process::getuid().as_raw()),
            config_home: self.path("XDG_CONFIG_HOME"),
            docker_config: self.path("DOCKER_CONFIG"),
            home: self.path("HOME"),
        };
        RegistryClient::new(RegistryOptions {
            logins: Logins::new(places, Arc::new(credential_helper::ask)),
            plain_http,
            https_proxy: proxy("HTTPS_PROXY", "https_proxy"),
            // Upper case is left out on purpose: servers that set HTTP_PROXY from a request's
            // `Proxy:` header (httpoxy) must not steer this.
            http_proxy: self.var("http_proxy").map(str::to_owned),
            no_proxy: proxy("NO_PROXY", "no_proxy").unwrap_or_default(),
            ..RegistryOptions::default()
        })
    }
}

/// The arch that this program was compiled for, which is the machine's.
fn machine() -> Option<Arch> {
    match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => Some(Arch::Ppc64le),
        name => Arch::by_any_name(name),
    }
}
