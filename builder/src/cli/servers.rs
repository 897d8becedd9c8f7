//! What `treelay.toml` says about servers, with all that it names read: the user's, in
//! `$XDG_CONFIG_HOME/treelay` or `~/.config/treelay`, and the project's, beside the recipe.
//!
//! What the user says comes first everywhere; the project fills in. A file or variable that it names
//! and that is not there is told when the server it is for is asked.

use std::path::{Path, PathBuf};

use reqwest::Url;
use treelay_recipes::settings::{
    HostSetting, LimitSettings, LoginSetting, MirrorSetting, SecretPlace, Settings, Whose,
};

use super::failure::Doing as _;
use super::{Failure, Result, Surroundings};
use crate::fetch::{
    Base, Config, FetchOptions, Host, Limits, Loaded, Login, MinTls, Mirror, Secret,
};

/// What the files are called.
const NAME: &str = "treelay.toml";

impl Surroundings {
    /// How to fetch what a recipe in `project` names.
    ///
    /// # Errors
    /// A `treelay.toml` that cannot be read or is wrong.
    pub fn fetch_options(&self, offline: bool, project: &Path) -> Result<FetchOptions> {
        let mut options = FetchOptions {
            offline,
            env: self.env.clone(),
            current_dir: self.current_dir.clone(),
            ..FetchOptions::default()
        };
        let (user, project) = (self.user_settings(), project.join(NAME));
        // Whose file it is decides what it may say: the user's own stays so beside a recipe.
        let project = Some(project).filter(|path| Some(path) != user.as_ref());
        let mut limits = LimitSettings::default();
        for (path, whose) in [(user, Whose::User), (project, Whose::Project)] {
            let Some(path) = path else { continue };
            let reading = || format!("reading {}", path.display());
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).doing(reading),
            };
            let name = path.display().to_string();
            let settings = Settings::parse(&text, &name, whose).map_err(Failure::usage)?;
            let folder = path.parent().unwrap_or(Path::new("/"));
            self.add(settings, folder, whose, &mut options.config, &mut limits)?;
        }
        options.limits = with_defaults(&limits);
        Ok(options)
    }

    fn user_settings(&self) -> Option<PathBuf> {
        let own = self.var("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = own.or_else(|| Some(PathBuf::from(self.var("HOME")?).join(".config")))?;
        Some(folder.join("treelay").join(NAME))
    }

    fn add(
        &self,
        settings: Settings,
        folder: &Path,
        whose: Whose,
        config: &mut Config,
        limits: &mut LimitSettings,
    ) -> Result<()> {
        for MirrorSetting { from, to, only } in settings.mirrors {
            let base = |text: &String| match text.contains("://") {
                true => Url::parse(text).map(Base::Url),
                false => Ok(Base::Folder(folder.join(text))),
            };
            let from = Url::parse(&from)?;
            let to = to.iter().map(base).collect::<std::result::Result<_, _>>()?;
            config.mirrors.push(Mirror { from, to, only, by_user: whose == Whose::User });
        }
        for (name, setting) in settings.hosts {
            if let Some(version) = &setting.min_tls {
                let version = match version.as_str() {
                    "1.3" => MinTls::V1_3,
                    _ => MinTls::V1_2,
                };
                let min_tls = config.min_tls.entry(name.clone()).or_insert(version);
                *min_tls = version.max(*min_tls);
            }
            // A project may say no more of a host, and must not hide what the user says of it.
            if whose == Whose::User {
                config.hosts.insert(name, self.host(&setting, folder));
            }
        }
        let new = settings.limits;
        *limits = LimitSettings {
            resolve: limits.resolve.or(new.resolve),
            connect: limits.connect.or(new.connect),
            first_byte: limits.first_byte.or(new.first_byte),
            stall: limits.stall.or(new.stall),
            backoff: limits.backoff.or(new.backoff),
            longest_wait: limits.longest_wait.or(new.longest_wait),
            tries: limits.tries.or(new.tries),
            parallel: limits.parallel.or(new.parallel),
            per_host: limits.per_host.or(new.per_host),
        };
        Ok(())
    }

    fn host(&self, setting: &HostSetting, folder: &Path) -> Host {
        let HostSetting { ca, client, login, min_tls: _ } = setting;
        let identity = client.as_ref().map(|(cert, key)| {
            let (cert, key) = (text(&folder.join(cert))?, text(&folder.join(key))?);
            Ok(Secret::new(format!("{cert}\n{key}")))
        });
        let login = login.as_ref().map(|login| match login {
            LoginSetting::Basic { user, password } => {
                let (user, password) = (user.clone(), self.secret(password, folder)?);
                Ok(Login::Basic { user, password })
            }
            LoginSetting::Bearer(token) => self.secret(token, folder).map(Login::Bearer),
        });
        Host {
            ca: ca.as_ref().map(|ca| text(&folder.join(ca)).map(String::into_bytes)),
            identity,
            login,
        }
    }

    fn secret(&self, place: &SecretPlace, folder: &Path) -> Loaded<Secret> {
        let found = match place {
            SecretPlace::Env(name) => {
                // Its name is not told: people put the secret itself there.
                let found = self.var(name).map(str::to_owned);
                found.ok_or_else(|| "the variable that it names is not set".to_owned())?
            }
            SecretPlace::File(path) => {
                text(&folder.join(path))?.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        match found.is_empty() || found.chars().any(char::is_control) {
            true => Err("what it names is empty, or has more than one line".to_owned()),
            false => Ok(Secret::new(found)),
        }
    }
}

fn text(path: &Path) -> Loaded<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn with_defaults(set: &LimitSettings) -> Limits {
    let own = Limits::default();
    let number = |set: Option<u64>| set.and_then(|number| usize::try_from(number).ok());
    Limits {
        resolve: set.resolve.unwrap_or(own.resolve),
        connect: set.connect.unwrap_or(own.connect),
        first_byte: set.first_byte.unwrap_or(own.first_byte),
        stall: set.stall.unwrap_or(own.stall),
        tries: set.tries.and_then(|tries| u32::try_from(tries).ok()).unwrap_or(own.tries),
        backoff: set.backoff.unwrap_or(own.backoff),
        longest_wait: set.longest_wait.unwrap_or(own.longest_wait),
        parallel: number(set.parallel).unwrap_or(own.parallel),
        per_host: number(set.per_host).unwrap_or(own.per_host),
        max_size: own.max_size,
    }
}
