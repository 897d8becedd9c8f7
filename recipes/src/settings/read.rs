//! The keys of `treelay.toml`, and what is wrong with them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    HostSetting, LimitSettings, LoginSetting, MirrorSetting, SecretPlace, Settings, Whose,
};
use crate::check::grammar;
use crate::error::{Problem, Problems};
use crate::recipe::nanoseconds;

const TOP: [&str; 3] = ["mirror", "host", "limits"];
const MIRROR: [&str; 3] = ["from", "to", "only"];
pub(super) const HOST: [&str; 9] = [
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

type Value<'t> = Spanned<DeValue<'t>>;

pub(super) struct Read<'t> {
    pub problems: Problems<'t>,
    whose: Whose,
    /// Whether what is read is of a host: people put secrets where the name of a file belongs, and no
    /// line of theirs is shown.
    private: bool,
}

impl<'t> Read<'t> {
    pub fn new(problems: Problems<'t>, whose: Whose) -> Self {
        Self { problems, whose, private: false }
    }
}

impl Read<'_> {
    fn wrong(&mut self, at: Range<usize>, message: impl Into<String>) -> &mut Problem {
        let private = self.private;
        let problem = self.problems.add_in(at, message.into());
        if private {
            problem.hide_line();
        }
        problem
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

    pub fn settings(&mut self, table: &DeTable<'_>) -> Settings {
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
            self.private = true;
            for (name, value) in hosts {
                let lower = name.get_ref().to_ascii_lowercase();
                if let Err(reason) = host_name(&lower) {
                    self.wrong(name.span(), reason);
                }
                let host = self.host(&lower, value);
                if settings.hosts.contains_key(&lower) {
                    self.wrong(name.span(), format!("the host `{lower}` is there already"));
                }
                settings.hosts.insert(lower, host);
            }
            self.private = false;
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
        // A query may be a secret too, and so may be what stands where a port belongs.
        let checked = match text.contains(['?', '#']) {
            true => Err(("an address", "has a query or fragment, which nothing can be below of")),
            false => grammar::url(&text).map_err(|reason| match reason.contains("login") {
                true => ("an address", "has a login in it: say `user` or `token-file` of its host"),
                false if reason.contains("port") => ("an address", reason),
                false => ("", reason),
            }),
        };
        if let Err((hidden, reason)) = checked {
            match hidden {
                "" => self.wrong(at, format!("the address `{text}` {reason}")),
                hidden => self.wrong(at, format!("{hidden} {reason}")).hide_line(),
            };
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
            true if !is_variable(&text) => {
                self.wrong(span(key), format!("`{key}` is not the name of a variable"));
                return None;
            }
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

/// The name is not told where it is none: it may have a login in it.
fn host_name(name: &str) -> Result<(), &'static str> {
    if name == "*" {
        return Ok(());
    }
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    match !name.is_empty() && name.chars().all(fits) {
        true => Ok(()),
        false => Err("a host is neither a name with or without a port, nor `*`"),
    }
}

fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}
