//! `treelay.toml`: what a user and a project set up about servers.
//!
//! A user's file may say all of it. A project's comes with recipes from wherever those are from, so it
//! may lead elsewhere and be stricter, and neither trust certificates nor name a login: who writes
//! recipes must not send the user's secrets to a host of his own.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeTable;

use read::Read;

use crate::error::{Problems, RecipeError as SettingsProblems};

/// Why a `treelay.toml` is refused: every problem that was found.
pub type SettingsError = SettingsProblems;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The user's own.
    User,
    /// One beside a recipe.
    Project,
}

/// What a file says. Paths and names of variables are as it has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// In the order of the file.
    pub mirrors: Vec<MirrorSetting>,
    /// By host, `host:port`, or `*` for every host; in lowercase.
    pub hosts: BTreeMap<String, HostSetting>,
    /// Bounds.
    pub limits: LimitSettings,
}

/// Where else the files below an address are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSetting {
    /// The address, ending with a slash.
    pub from: String,
    /// Addresses, ending with a slash, and folders; tried in order.
    pub to: Vec<String>,
    /// Whether the address itself is not asked.
    pub only: bool,
}

/// What is set up about a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSetting {
    /// A PEM file of certificates that are trusted beside the system's.
    pub ca: Option<String>,
    /// PEM files: the certificate that is shown, and its key.
    pub client: Option<(String, String)>,
    /// What lets in.
    pub login: Option<LoginSetting>,
    /// `1.2` or `1.3`.
    pub min_tls: Option<String>,
}

/// What lets in, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginSetting {
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// Where the password is.
        password: SecretPlace,
    },
    /// A token.
    Bearer(SecretPlace),
}

/// Where a secret is. The file itself has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a variable of the environment.
    Env(String),
    /// In a file; the end of its last line does not count.
    File(String),
}

/// Bounds of what touches the network; what is left out has its default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // As `treelay.toml` has them; docs/configuration.md says what they bound.
pub struct LimitSettings {
    pub resolve: Option<Duration>,
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub stall: Option<Duration>,
    pub backoff: Option<Duration>,
    pub longest_wait: Option<Duration>,
    pub tries: Option<u64>,
    pub parallel: Option<u64>,
    pub per_host: Option<u64>,
}

impl Settings {
    /// Reads the text of a file. `file` is its name in messages.
    ///
    /// # Errors
    /// [`SettingsError`] with the place of everything that is wrong.
    pub fn parse(text: &str, file: &str, whose: Whose) -> Result<Self, SettingsError> {
        let mut read = Read::new(Problems::new(file, text), whose);
        let settings = match DeTable::parse(text) {
            Ok(table) => read.settings(table.get_ref()),
            Err(error) => {
                let message = error.message().replace('\n', ": ");
                // Of a text that is no TOML nobody knows which of it is a secret.
                read.problems.add_in(error.span().unwrap_or(0..0), message).hide_line();
                Self::default()
            }
        };
        match read.problems.is_empty() {
            true => Ok(settings),
            false => Err(SettingsError { problems: read.problems.into_sorted() }),
        }
    }
}
