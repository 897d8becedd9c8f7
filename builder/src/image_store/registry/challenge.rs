//! `WWW-Authenticate`: what a registry wants to see (RFC 9110, section 11; distribution-spec,
//! "token" authentication).

use std::collections::{BTreeMap, BTreeSet};

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants to be convinced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with every request.
    Basic,
    /// A token from another server.
    Bearer {
        /// Address of the token server.
        realm: String,
        /// The name by which it knows the registry.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

/// The challenge to answer, of all in the headers: Bearer before Basic.
pub(super) fn choose(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<_> = texts.flat_map(parse).collect();
    let bearer = all.iter().find_map(|(scheme, parameters)| {
        let realm = parameters.get("realm").filter(|_| scheme == "bearer")?.clone();
        let get = |name: &str| parameters.get(name).cloned().filter(|v| !v.is_empty());
        Some(Challenge::Bearer { realm, service: get("service"), scope: get("scope") })
    });
    let basic = || all.iter().any(|(scheme, _)| scheme == "basic").then_some(Challenge::Basic);
    bearer.or_else(basic)
}

/// `Scheme key="value", key=value, Other key=…` as scheme (in lower case) and parameters.
fn parse(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut all: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        if rest.is_empty() {
            return all;
        }
        let word_end = rest.find([' ', ',', '=', '\t']).unwrap_or(rest.len());
        let word = rest[..word_end].to_ascii_lowercase();
        rest = rest[word_end..].trim_start();
        match rest.strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after.trim_start());
                rest = after;
                if let Some((_, parameters)) = all.last_mut() {
                    parameters.entry(word).or_insert(value);
                }
            }
            None => all.push((word, BTreeMap::new())),
        }
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// What a token must allow: actions by resource, such as `repository:ns/app` → `pull`, `push`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Scopes as a challenge writes them: `TYPE:NAME:ACTION,ACTION`, separated by spaces.
    pub(super) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for scope in text.split_ascii_whitespace() {
            if let Some((resource, actions)) = scope.rsplit_once(':') {
                scopes.add(resource, actions.split(','));
            }
        }
        scopes
    }

    /// Reading, or reading and writing, one repository.
    pub(super) fn repository(path: &str, write: bool) -> Self {
        let mut scopes = Self::default();
        let actions: &[&str] = if write { &["pull", "push"] } else { &["pull"] };
        scopes.add(&format!("repository:{path}"), actions.iter().copied());
        scopes
    }

    fn add<'a>(&mut self, resource: &str, actions: impl Iterator<Item = &'a str>) {
        let entry = self.0.entry(resource.to_owned()).or_default();
        entry.extend(actions.filter(|action| !action.is_empty()).map(str::to_owned));
    }

    /// These and `other`.
    #[must_use]
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (resource, actions) in &other.0 {
            all.add(resource, actions.iter().map(String::as_str));
        }
        all
    }

    /// Each as a token server wants it.
    pub(super) fn texts(&self) -> Vec<String> {
        let join = |actions: &BTreeSet<String>| {
            actions.iter().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        self.0.iter().map(|(resource, actions)| format!("{resource}:{}", join(actions))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(texts: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        }
        choose(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
        Some(Challenge::Bearer { realm: realm.to_owned(), service, scope })
    }

    #[test]
    fn challenges() {
        let full = r#"Bearer realm="https://a.example/t?x=1,2",service="s",scope="repository:a/b:pull,push",error="x""#;
        assert_eq!(
            chosen(&[full]),
            bearer("https://a.example/t?x=1,2", Some("s"), Some("repository:a/b:pull,push"))
        );
        assert_eq!(
            chosen(&[r#"bearer realm=https://t , service="""#]),
            bearer("https://t", None, None)
        );
        assert_eq!(
            chosen(&[r#"Basic realm="x", Bearer realm="https://t""#]),
            bearer("https://t", None, None)
        );
        assert_eq!(chosen(&["Negotiate", "Basic"]), Some(Challenge::Basic));
        assert_eq!(chosen(&[r#"BASIC realm="a \"b\", Bearer""#]), Some(Challenge::Basic));
        for none in [&[][..], &[""], &["Negotiate"], &["Bearer service=x"], &["Bearer realm"]] {
            assert_eq!(chosen(none), None, "{none:?}");
        }
        assert_eq!(chosen(&[r#"Bearer realm="https://t"#]), bearer("https://t", None, None));
    }

    #[test]
    fn scopes_merge() {
        let challenge = Scopes::parse("repository:a/b:push,pull repository:h:5000/c:pull junk");
        let ours = Scopes::repository("a/b", false);
        assert_eq!(
            ours.and(&challenge).texts(),
            ["repository:a/b:pull,push", "repository:h:5000/c:pull"]
        );
    }
}
