//! GOSUMDB: which database is asked (go.dev/ref/mod, "Checksum database").

use std::fmt;

use super::{KeyTextError, SettingError, VerifierKey};

/// What Go itself asks.
pub const DEFAULT: &str = "sum.golang.org";

/// The key of sum.golang.org, as the Go command has it built in
/// (`cmd/go/internal/modfetch/key.go`).
pub const SUM_GOLANG_ORG: &str =
    "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// The same database, where the other name is not reached. It has no key and no log of its own.
const CHINA: &str = "sum.golang.google.cn";

/// What GOSUMDB says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `off`: no database is asked.
    Off,
    /// One is.
    On(Box<Database>),
}

/// A checksum database.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// Its key, which has its name.
    pub key: VerifierKey,
    /// Where it is asked, without a slash at the end; a login in it is not to be shown. A GOPROXY
    /// may stand for it, at `PROXY/sumdb/NAME`, where `PROXY/sumdb/NAME/supported` is there.
    pub url: String,
    /// Whether the address was given, so that no GOPROXY is to be asked first.
    pub direct: bool,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database {} at {}", self.key, shown(&self.url))
    }
}

impl Setting {
    /// Reads `name`, `name+hash+key`, either of them with an address after a space, or `off`.
    ///
    /// # Errors
    /// [`SettingError`]. Addresses other than https are refused, except on loopback. What is cited
    /// of the text has no login in it.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (key, url) = match words[..] {
            [] => return Err(SettingError::Empty),
            ["off"] => return Ok(Self::Off),
            [CHINA] => (SUM_GOLANG_ORG, Some(format!("https://{CHINA}"))),
            [CHINA, url] => (SUM_GOLANG_ORG, Some(url.to_owned())),
            [key] => (key, None),
            [key, url] => (key, Some(url.to_owned())),
            _ => return Err(SettingError::TooMany(words.len())),
        };
        let key = match key {
            DEFAULT => VerifierKey::parse(SUM_GOLANG_ORG)?,
            name if !name.contains('+') => {
                return Err(SettingError::UnknownName(shown(name)));
            }
            key => VerifierKey::parse(key).map_err(|KeyTextError { text, reason }| {
                let text = shown(&text);
                KeyTextError { text, reason }
            })?,
        };
        let name = key.name();
        let part = |part: &str| {
            let ok = |c: char| c.is_ascii_alphanumeric() || "-._~:".contains(c);
            !part.is_empty() && part.chars().all(ok) && part != "." && part != ".."
        };
        if !name.split('/').all(part) {
            return Err(SettingError::BadName(shown(name)));
        }
        let direct = url.is_some();
        let url = url.unwrap_or_else(|| format!("https://{name}"));
        if !is_address(&url) {
            return Err(SettingError::BadUrl(shown(&url)));
        }
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self::On(Box::new(Database { key, url, direct })))
    }
}

/// The answers are signed, but what is asked for tells which modules somebody uses.
fn is_address(url: &str) -> bool {
    let host = |rest: &str| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A name and a password before it are not it, and neither are colons in brackets.
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let port = host.rfind(':').filter(|at| host.rfind(']').is_none_or(|end| end < *at));
        host[..port.unwrap_or(host.len())].to_owned()
    };
    let named = |rest: &str| !host(rest).is_empty() && !rest.contains(['?', '#']);
    match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => named(rest),
        (_, Some(rest)) => {
            named(rest) && matches!(&*host(rest), "127.0.0.1" | "localhost" | "[::1]")
        }
        _ => false,
    }
}

/// A text that may be an address, for messages: without a name and password, and without what
/// follows `?` and `#`. Where it has both, either may be a part of the other, and nothing is shown.
fn shown(text: &str) -> String {
    let (scheme, rest) = text.find("://").map_or(("", text), |at| text.split_at(at + 3));
    match (rest.rsplit_once('@'), rest.find(['?', '#'])) {
        (None, None) => text.to_owned(),
        (Some((_, host)), None) => format!("{scheme}…@{host}"),
        (None, Some(at)) => format!("{scheme}{}…", &rest[..=at]),
        (Some(_), Some(_)) => format!("{scheme}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn settings_are_those_of_go() {
        let read = |text: &str| match Setting::parse(text).unwrap() {
            Setting::Off => "off".to_owned(),
            Setting::On(database) => {
                format!("{} {} {}", database.key.name(), database.url, database.direct)
            }
        };
        for (text, expected) in [
            ("off", "off"),
            (" off ", "off"),
            (DEFAULT, "sum.golang.org https://sum.golang.org false"),
            (SUM_GOLANG_ORG, "sum.golang.org https://sum.golang.org false"),
            (CHINA, "sum.golang.org https://sum.golang.google.cn true"),
            (
                "sum.golang.org https://mirror.example/x/",
                "sum.golang.org https://mirror.example/x true",
            ),
            (OWN, "PeterNeumann https://PeterNeumann false"),
            (&format!("{OWN} http://127.0.0.1:80"), "PeterNeumann http://127.0.0.1:80 true"),
            (&format!("{OWN} http://[::1]"), "PeterNeumann http://[::1] true"),
            (&format!("{OWN} http://[::1]:80/x"), "PeterNeumann http://[::1]:80/x true"),
            (
                &format!("{OWN} http://me:x@localhost:1"),
                "PeterNeumann http://me:x@localhost:1 true",
            ),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_setting_is_said() {
        for (text, expected) in [
            ("", "GOSUMDB is empty"),
            ("  ", "GOSUMDB is empty"),
            ("off https://a.example", "the key of the checksum database \"off\" is not known"),
            (
                "sum.example.org",
                "the key of the checksum database \"sum.example.org\" is not known",
            ),
            ("sum.golang.org a b", "GOSUMDB has 3 words"),
            ("sum.golang.org http://a.example", "\"http://a.example\" is not the address"),
            ("sum.golang.org ftp://a.example", "\"ftp://a.example\" is not the address"),
            ("sum.golang.org https://a.example?x", "\"https://a.example?…\" is not the address"),
            (
                "sum.golang.org+033de0af+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
                "the hash is not",
            ),
            ("a+b", "it has not three parts"),
            // Names of users that look like a loopback address.
            ("sum.golang.org http://127.0.0.1:80@a.example/", "\"http://…@a.example/\" is not the"),
            ("sum.golang.org http://localhost@a.example", "\"http://…@a.example\" is not the"),
            ("sum.golang.org http://127.0.0.1:x@a.example:80", "is not the address"),
            ("sum.golang.org https://me@", "is not the address"),
            ("sum.golang.org https://:80", "is not the address"),
        ] {
            let told = Setting::parse(text).unwrap_err().to_string();
            assert!(told.contains(expected), "{text:?}: {told}");
        }
    }

    /// Addresses may have logins in them, and settings are in files that others read.
    #[test]
    fn no_secret_is_shown() {
        let key = "x+00000000+s3cret";
        for (text, expected) in [
            ("https://me:s3cret@sum.example/db?x".to_owned(), "\"https://…\""),
            ("https://me:s3cret@sum.example/db#x".to_owned(), "\"https://…\""),
            ("http://me:s3cret@sum.example/db".to_owned(), "\"http://…@sum.example/db\""),
            ("http://me:s3@cret@sum.example/db".to_owned(), "\"http://…@sum.example/db\""),
            ("http://me:s3/cret@sum.example".to_owned(), "\"http://…@sum.example\""),
            ("http://me:s3?cret@sum.example".to_owned(), "\"http://…\""),
            ("ftp://sum.example/db?token=s3@cret".to_owned(), "\"ftp://…\""),
            ("ftp://sum.example/db?token=s3cret".to_owned(), "\"ftp://sum.example/db?…\""),
            ("me:s3cret@sum.example".to_owned(), "\"…@sum.example\""),
        ] {
            for setting in
                [text.clone(), format!("sum.golang.org {text}"), format!("{key}@ {text}")]
            {
                let told = Setting::parse(&setting).unwrap_err();
                for told in [told.to_string(), format!("{told:?}")] {
                    assert!(!told.contains("cret"), "{setting}: {told}");
                    let own = setting.starts_with("x+");
                    assert!(own || told.contains(expected), "{setting}: {told}");
                }
            }
        }
        for told in [
            format!("https://me:s3cret+a+b@{DEFAULT}"),
            format!("https://me:s3cret+033de0af+b@{DEFAULT} https://a.example"),
        ] {
            let told = Setting::parse(&told).unwrap_err().to_string();
            assert!(!told.contains("cret"), "{told}");
        }
        // They are used.
        let text = format!("{DEFAULT} https://me:s3cret@sum.example/db");
        let Setting::On(database) = Setting::parse(&text).unwrap() else { panic!("off") };
        assert_eq!(database.url, "https://me:s3cret@sum.example/db");
        assert!(!format!("{database:?}").contains("cret"), "{database:?}");
    }
}
