//! `treelay.toml`: what a user and a project set up about servers.
//!
//! A user's file may say all of it. A project's comes with recipes from wherever those are from, so it
//! may lead elsewhere and be stricter, and neither trust certificates nor name a login: who writes
//! recipes must not send the user's secrets to a host of his own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::check::grammar;
use crate::error::{Problem, Problems, RecipeError as SettingsProblems};
use crate::recipe::nanoseconds;

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

const TOP: [&str; 3] = ["mirror", "host", "limits"];
const MIRROR: [&str; 3] = ["from", "to", "only"];
const HOST: [&str; 9] = [
    "ca",
    "client-cert",
    "client-key",
    "min-tls",
    "user",
    "password-env",
    "password-file",
    "token-env",
    "token-file",
];
const LIMITS: [&str; 9] = [
    "resolve",
    "connect",
    "first-byte",
    "stall",
    "backoff",
    "longest-wait",
    "tries",
    "parallel",
    "per-host",
];
/// The most tries and downloads at a time that make sense.
const MOST: u64 = 100;

impl Settings {
    /// Reads the text of a file. `file` is its name in messages.
    ///
    /// # Errors
    /// [`SettingsError`] with the place of everything that is wrong.
    pub fn parse(text: &str, file: &str, whose: Whose) -> Result<Self, SettingsError> {
        let mut read = Read { problems: Problems::new(file, text), whose };
        let settings = match DeTable::parse(text) {
            Ok(table) => read.settings(table.get_ref()),
            Err(error) => {
                let message = error.message().replace('\n', ": ");
                read.problems.add_in(error.span().unwrap_or(0..0), message);
                Self::default()
            }
        };
        match read.problems.is_empty() {
            true => Ok(settings),
            false => Err(SettingsError { problems: read.problems.into_sorted() }),
        }
    }
}

type Value<'t> = Spanned<DeValue<'t>>;

struct Read<'t> {
    problems: Problems<'t>,
    whose: Whose,
}

impl Read<'_> {
    fn wrong(&mut self, at: Range<usize>, message: impl Into<String>) -> &mut Problem {
        self.problems.add_in(at, message.into())
    }

    /// The values of a table, with their keys, of those that are known.
    fn keys<'v, 't>(
        &mut self,
        table: &'v DeTable<'t>,
        place: &str,
        known: &[&str],
    ) -> BTreeMap<&'v str, &'v Value<'t>> {
        let mut values = BTreeMap::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                values.insert(name, value);
            } else {
                let message = format!("unknown key `{name}` in {place}");
                self.wrong(key.span(), message).nearest(name, known.iter().copied());
            }
        }
        values
    }

    fn table<'v, 't>(&mut self, value: &'v Value<'t>, place: &str) -> Option<&'v DeTable<'t>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.wrong(value.span(), format!("{place} is no table"));
                None
            }
        }
    }

    fn text(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Some(text.to_string()),
            _ => {
                self.wrong(value.span(), format!("`{key}` is no text"));
                None
            }
        }
    }

    fn settings(&mut self, table: &DeTable<'_>) -> Settings {
        let mut settings = Settings::default();
        let top = self.keys(table, "treelay.toml", &TOP);
        if let Some(value) = top.get("mirror") {
            match value.get_ref() {
                DeValue::Array(mirrors) => {
                    for mirror in mirrors {
                        settings.mirrors.extend(self.mirror(mirror));
                    }
                }
                _ => {
                    let message = "`mirror` is no list of tables";
                    self.wrong(value.span(), message).expected("expected `[[mirror]]`");
                }
            }
        }
        if let Some(hosts) = top.get("host").and_then(|value| self.table(value, "`host`")) {
            for (name, value) in hosts {
                let lower = name.get_ref().to_ascii_lowercase();
                if let Err(reason) = host_name(&lower) {
                    self.wrong(name.span(), format!("the host `{}` {reason}", name.get_ref()));
                }
                let host = self.host(&lower, value);
                settings.hosts.insert(lower, host);
            }
        }
        if let Some(limits) = top.get("limits").and_then(|value| self.table(value, "`limits`")) {
            settings.limits = self.limits(limits);
        }
        settings
    }

    fn mirror(&mut self, value: &Value<'_>) -> Option<MirrorSetting> {
        let table = self.table(value, "a mirror")?;
        let keys = self.keys(table, "mirror", &MIRROR);
        let missing = ["from", "to"].into_iter().filter(|key| !keys.contains_key(key));
        for key in missing.collect::<Vec<_>>() {
            self.wrong(value.span(), format!("a mirror has no `{key}`"));
        }
        let from = keys.get("from").and_then(|value| {
            let text = self.text(value, "from")?;
            let text = if text.contains("://") { text } else { format!("https://{text}/") };
            self.address(text, value.span())
        });
        let mut to = Vec::new();
        match keys.get("to").map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Array(places), span)) => {
                if places.is_empty() {
                    self.wrong(span, "`to` is empty");
                }
                for place in places {
                    let Some(text) = self.text(place, "to") else { continue };
                    match text.contains("://") {
                        true => to.extend(self.address(text, place.span())),
                        false => to.push(text),
                    }
                }
            }
            Some((_, span)) => {
                self.wrong(span, "`to` is no list").expected("expected addresses and folders");
            }
            None => {}
        }
        let only = match keys.get("only").map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Boolean(only), _)) => *only,
            Some((_, span)) => {
                self.wrong(span, "`only` is neither true nor false");
                false
            }
            None => false,
        };
        Some(MirrorSetting { from: from?, to, only })
    }

    /// An address that files are below.
    fn address(&mut self, mut text: String, at: Range<usize>) -> Option<String> {
        let checked = match text.contains(['?', '#']) {
            true => Err("has a query or fragment, which nothing can be below of"),
            // What is wrong with a login in it is not only that it would be shown.
            false => grammar::url(&text).map_err(|reason| match reason.contains("login") {
                true => "has a login in it: say `user` or `token-file` of its host",
                false => reason,
            }),
        };
        if let Err(reason) = checked {
            let shown = match reason.contains("login") {
                true => "an address".to_owned(),
                false => format!("the address `{text}`"),
            };
            let secret = reason.contains("login");
            let problem = self.wrong(at, format!("{shown} {reason}"));
            if secret {
                problem.hide_line();
            }
            return None;
        }
        if !text.ends_with('/') {
            text.push('/');
        }
        Some(text)
    }

    fn host(&mut self, name: &str, value: &Value<'_>) -> HostSetting {
        let mut host = HostSetting::default();
        let place = format!("host.\"{name}\"");
        let Some(table) = self.table(value, &place) else { return host };
        let keys = self.keys(table, &place, &HOST);
        let mut texts = BTreeMap::new();
        for (key, value) in &keys {
            if self.whose == Whose::Project && *key != "min-tls" {
                let message = format!("`{key}` is for the user's own treelay.toml alone");
                let expected = "a file beside a recipe may neither trust nor log in";
                self.wrong(value.span(), message).expected(expected);
            } else if name == "*" && !matches!(*key, "ca" | "min-tls") {
                let message = format!("`{key}` would be for every host");
                self.wrong(value.span(), message).expected("expected it at the host it is for");
            } else if let Some(text) = self.text(value, key) {
                texts.insert(*key, text);
            }
        }
        let span = |key: &str| keys.get(key).map_or(value.span(), |value| value.span());
        host.ca = texts.remove("ca");
        host.client = match (texts.remove("client-cert"), texts.remove("client-key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (cert, _) => {
                let (there, lacking) = match cert {
                    Some(_) => ("client-cert", "client-key"),
                    None => ("client-key", "client-cert"),
                };
                self.wrong(span(there), format!("`{there}` without `{lacking}`"));
                None
            }
        };
        host.min_tls = texts.remove("min-tls");
        if host.min_tls.as_ref().is_some_and(|text| !matches!(text.as_str(), "1.2" | "1.3")) {
            self.wrong(span("min-tls"), "no such version of TLS").expected("expected 1.2 or 1.3");
        }
        host.login = self.login(texts, &span);
        host
    }

    fn login(
        &mut self,
        mut texts: BTreeMap<&str, String>,
        span: &dyn Fn(&str) -> Range<usize>,
    ) -> Option<LoginSetting> {
        let user = texts.remove("user");
        let mut secrets: Vec<(&str, String)> = texts.into_iter().collect();
        let (key, text) = match (secrets.pop(), secrets.first()) {
            (Some((key, _)), Some((other, _))) => {
                self.wrong(span(key), format!("`{key}` beside `{other}`"))
                    .expected("expected one place of one secret");
                return None;
            }
            (Some(secret), None) => secret,
            (None, _) => {
                if user.is_some() {
                    let expected = "expected `password-env` or `password-file` beside it";
                    self.wrong(span("user"), "`user` without a password").expected(expected);
                }
                return None;
            }
        };
        let place = match key.ends_with("-env") {
            true => SecretPlace::Env(text),
            false => SecretPlace::File(text),
        };
        match (key.starts_with("password"), user) {
            (true, Some(user)) => Some(LoginSetting::Basic { user, password: place }),
            (false, None) => Some(LoginSetting::Bearer(place)),
            (true, None) => {
                self.wrong(span(key), format!("`{key}` without `user`"));
                None
            }
            (false, Some(_)) => {
                self.wrong(span("user"), format!("`user` beside `{key}`: a token has none"));
                None
            }
        }
    }

    fn limits(&mut self, table: &DeTable<'_>) -> LimitSettings {
        let mut limits = LimitSettings::default();
        for (key, value) in self.keys(table, "limits", &LIMITS) {
            if matches!(key, "tries" | "parallel" | "per-host") {
                let number = match value.get_ref() {
                    DeValue::Integer(number) => number.as_str().parse::<u64>().ok(),
                    _ => None,
                };
                let number = number.filter(|number| (1..=MOST).contains(number));
                if number.is_none() {
                    self.wrong(value.span(), format!("`{key}` is no number from 1 to {MOST}"));
                }
                match key {
                    "tries" => limits.tries = number,
                    "parallel" => limits.parallel = number,
                    _ => limits.per_host = number,
                }
                continue;
            }
            let time = self.text(value, key).and_then(|text| nanoseconds(&text));
            let time = time.map(Duration::from_nanos);
            if time.is_none() {
                self.wrong(value.span(), format!("`{key}` is no time"))
                    .expected("expected one such as \"1m30s\", \"10s\" or \"500ms\"");
            }
            match key {
                "resolve" => limits.resolve = time,
                "connect" => limits.connect = time,
                "first-byte" => limits.first_byte = time,
                "stall" => limits.stall = time,
                "backoff" => limits.backoff = time,
                _ => limits.longest_wait = time,
            }
        }
        limits
    }
}

fn host_name(name: &str) -> Result<(), &'static str> {
    if name == "*" {
        return Ok(());
    }
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    match !name.is_empty() && name.chars().all(fits) {
        true => Ok(()),
        false => Err("is neither a name with or without a port, nor `*`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(text: &str, whose: Whose) -> Vec<String> {
        let problems = Settings::parse(text, "treelay.toml", whose).unwrap_err().problems;
        let label = |problem: &Problem| problem.label().unwrap_or_default();
        let line =
            |p: &Problem| format!("{}:{} {} | {}", p.at.line, p.at.column, p.message, label(p));
        problems.iter().map(line).collect()
    }

    #[test]
    fn all_that_a_user_may_say() {
        let text = r#"
            [[mirror]]
            from = "go.dev"
            to = ["https://m.example/go", "/srv/go"]
            only = true
            [host."M.example:8443"]
            ca = "ca.pem"
            client-cert = "me.pem"
            client-key = "me.key"
            min-tls = "1.3"
            user = "me"
            password-file = "pw"
            [host."t.example"]
            token-env = "TOKEN"
            [limits]
            resolve = "1s"
            first-byte = "1m30s"
            tries = 2
        "#;
        let settings = Settings::parse(text, "treelay.toml", Whose::User).unwrap();
        let mirror = &settings.mirrors[0];
        assert_eq!((mirror.from.as_str(), mirror.only), ("https://go.dev/", true));
        assert_eq!(mirror.to, ["https://m.example/go/", "/srv/go"]);
        let host = &settings.hosts["m.example:8443"];
        let password = SecretPlace::File("pw".into());
        assert_eq!(host.login, Some(LoginSetting::Basic { user: "me".into(), password }));
        assert_eq!(host.client, Some(("me.pem".into(), "me.key".into())));
        let token = LoginSetting::Bearer(SecretPlace::Env("TOKEN".into()));
        assert_eq!(settings.hosts["t.example"].login, Some(token));
        let limits = settings.limits;
        assert_eq!((limits.tries, limits.first_byte), (Some(2), Some(Duration::from_secs(90))));
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        for (text, expected) in [
            (
                "mirrors = 1",
                &["1:1 unknown key `mirrors` in treelay.toml | did you mean `mirror`?"][..],
            ),
            ("a = ", &["1:5 string values must be quoted, expected literal string | "]),
            (
                "[[mirror]]\nfrom = \"http://a.example/\"\nto = []\nonyl = true",
                &[
                    "2:8 the address `http://a.example/` is plain http to another machine; use https | ",
                    "3:6 `to` is empty | ",
                    "4:1 unknown key `onyl` in mirror | did you mean `only`?",
                ],
            ),
            (
                "[host.\"a.example\"]\nuser = \"me\"\n[host.\"b/c\"]\nmin-tls = \"1.1\"\nclient-key = \"k\"",
                &[
                    "2:8 `user` without a password | \
                     expected `password-env` or `password-file` beside it",
                    "3:7 the host `b/c` is neither a name with or without a port, nor `*` | ",
                    "4:11 no such version of TLS | expected 1.2 or 1.3",
                    "5:14 `client-key` without `client-cert` | ",
                ],
            ),
            (
                "[host.\"*\"]\ntoken-env = \"T\"\n[limits]\ntries = 0\nconnect = \"soon\"",
                &[
                    "2:13 `token-env` would be for every host | expected it at the host it is for",
                    "4:9 `tries` is no number from 1 to 100 | ",
                    "5:11 `connect` is no time | expected one such as \"1m30s\", \"10s\" or \"500ms\"",
                ],
            ),
        ] {
            let found = brief(text, Whose::User);
            let syntax = text == "a = ";
            assert!(found == expected || (syntax && found[0].starts_with("1:")), "{found:#?}");
        }
    }

    #[test]
    fn a_project_neither_trusts_nor_logs_in() {
        for key in HOST.into_iter().filter(|key| *key != "min-tls") {
            let found = brief(&format!("[host.\"a.example\"]\n{key} = \"x\"\n"), Whose::Project);
            let said = format!("`{key}` is for the user's own treelay.toml alone");
            assert!(found[0].contains(&said), "{found:?}");
        }
        let text = "[host.\"a.example\"]\nmin-tls = \"1.3\"\n[[mirror]]\nfrom=\"a\"\nto=[\"m\"]\n";
        Settings::parse(text, "treelay.toml", Whose::Project).unwrap();
    }

    #[test]
    fn a_login_in_an_address_is_not_shown() {
        let text =
            "[[mirror]]\nfrom = \"https://a.example\"\nto = [\"https://me:s3cret@b.example/\"]\n";
        let error = Settings::parse(text, "treelay.toml", Whose::User).unwrap_err();
        assert!(error.to_string().contains("has a login in it"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
