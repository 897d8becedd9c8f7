//! [`Payload`]: what the signature is over.
//!
//! Read as strictly as containers/image's `signature/internal/sigstore_payload.go`. Readers
//! that forgive (cosign's uses Go's `encoding/json`: names in any case, the last of two wins)
//! see another digest than strict ones in the same bytes, so nothing ambiguous is taken here.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::SignError;

/// Longest payload that is read, in bytes (containers/image,
/// `internal/iolimits`: `MaxSignatureBodySize`).
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;

/// The only type of payload there is.
const TYPE: &str = "cosign container image signature";

/// Longest reference that is signed: 255 bytes of name (distribution, `reference.go`) with room
/// for registry, port, tag and digest.
const MAX_REFERENCE: usize = 512;

/// The claim "the image of this digest is published under this reference".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    reference: String,
    digest: String,
}

/// Why a payload is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Longer than [`MAX_PAYLOAD`].
    #[error("{length} bytes are more than the 4 MiB that readers take")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Not JSON, or an object in it has two values of one name.
    #[error("not proper JSON: {detail}")]
    NotJson {
        /// What is wrong, and where.
        detail: String,
    },
    /// A value is missing.
    #[error("{name} is missing")]
    Missing {
        /// Where it should be.
        name: String,
    },
    /// A value that has no place there; also one whose name is written in another case.
    #[error("{name} has no place there")]
    Unexpected {
        /// Where it is.
        name: String,
    },
    /// A value of the wrong type or form.
    #[error("{name} is not {expected}")]
    Wrong {
        /// Where it is.
        name: String,
        /// What should be there.
        expected: &'static str,
    },
}

impl Payload {
    /// For the image of `digest`, published under `reference`.
    ///
    /// Give the whole `registry/repository:tag`: containers/image's default rule,
    /// `matchRepoDigestOrExact`, compares it with what the user pulls, tag included.
    ///
    /// # Errors
    /// [`SignError::BadReference`], [`SignError::BadDigest`].
    pub fn new(reference: &str, digest: &str) -> Result<Self, SignError> {
        if !is_reference(reference) {
            return Err(SignError::BadReference { reference: reference.to_owned() });
        }
        if !is_digest(digest) {
            return Err(SignError::BadDigest { digest: digest.to_owned() });
        }
        Ok(Self { reference: reference.to_owned(), digest: digest.to_owned() })
    }

    /// The bytes cosign 2.5 and 3.1 write for the same claim. No time, no name of a tool: the
    /// same image gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Neither can hold a character that JSON escapes: `new` and `parse` see to that.
        let Self { reference, digest } = self;
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"{reference}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{TYPE}"}},"optional":null}}"#
        )
        .into_bytes()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`PayloadError`] for anything but exactly `critical` with `type`, `image` and `identity`,
    /// and `optional`: an object or null.
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(PayloadError::TooLong { length: bytes.len() });
        }
        let root: Json = serde_json::from_slice(bytes)
            .map_err(|e| PayloadError::NotJson { detail: e.to_string() })?;
        let [critical, optional] = root.fields("payload", ["critical", "optional"])?;
        let [kind, image, identity] = critical.fields("critical", ["type", "image", "identity"])?;
        let [digest] = image.fields("critical.image", ["docker-manifest-digest"])?;
        let [reference] = identity.fields("critical.identity", ["docker-reference"])?;

        let wrong = |name: &str, expected| PayloadError::Wrong { name: name.to_owned(), expected };
        if kind.text() != Some(TYPE) {
            return Err(wrong("critical.type", "\"cosign container image signature\""));
        }
        let digest = digest.text().filter(|text| is_digest(text)).ok_or_else(|| {
            wrong("critical.image.docker-manifest-digest", "sha256: and 64 lowercase hex digits")
        })?;
        let reference = reference
            .text()
            .filter(|text| is_reference(text))
            .ok_or_else(|| wrong("critical.identity.docker-reference", "the name of an image"))?;
        match optional {
            Json::Null => {}
            Json::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("creator", Json::Text(_)) | ("timestamp", Json::Integer) => {}
                        ("creator", _) => return Err(wrong("optional.creator", "a text")),
                        ("timestamp", _) => {
                            return Err(wrong("optional.timestamp", "a whole number"));
                        }
                        _ => {}
                    }
                }
            }
            _ => return Err(wrong("optional", "an object or null")),
        }
        Ok(Self { reference: reference.to_owned(), digest: digest.to_owned() })
    }

    /// The name the image is published under; cosign itself leaves the tag out.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The image's digest, `sha256:` and 64 lowercase hex digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether all characters are ones that an image's name may have, and something stands between
/// its slashes; the full grammar is the matter of who resolves it.
fn is_reference(text: &str) -> bool {
    text.len() <= MAX_REFERENCE
        && text.split('/').all(|part| !part.is_empty())
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'.' | b'_' | b'-' | b'/' | b':' | b'@' | b'[' | b']')
        })
}

/// JSON in which no object has two values of one name. Of values only what is needed is kept.
enum Json {
    Null,
    Text(String),
    Integer,
    Object(Vec<(String, Json)>),
    Other,
}

impl Json {
    /// The values called `names` of an object that has exactly these.
    fn fields<const N: usize>(
        &self,
        place: &str,
        names: [&str; N],
    ) -> Result<[&Self; N], PayloadError> {
        let Self::Object(fields) = self else {
            return Err(PayloadError::Wrong { name: place.to_owned(), expected: "an object" });
        };
        let full = |name: &str| match place {
            "payload" => name.to_owned(),
            _ => format!("{place}.{name}"),
        };
        if let Some((name, _)) = fields.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return Err(PayloadError::Unexpected { name: full(name) });
        }
        let mut values = [&Self::Other; N];
        for (value, name) in values.iter_mut().zip(names) {
            let field = fields.iter().find(|(found, _)| found == name);
            *value = &field.ok_or_else(|| PayloadError::Missing { name: full(name) })?.1;
        }
        Ok(values)
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyJson;
        impl<'de> Visitor<'de> for AnyJson {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
                Ok(Json::Integer)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Integer)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                while items.next_element::<Json>()?.is_some() {}
                Ok(Json::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut fields: Vec<(String, Json)> = Vec::new();
                let mut names = BTreeSet::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    if !names.insert(name.clone()) {
                        let message = format!("two values called {name:?}");
                        return Err(serde::de::Error::custom(message));
                    }
                    fields.push((name, value));
                }
                Ok(Json::Object(fields))
            }
        }
        deserializer.deserialize_any(AnyJson)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:db270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683";
    const GOOD: &str = include_str!("../../../fixtures/image.payload");

    #[test]
    fn writes_what_cosign_writes() {
        let payload = Payload::new("127.0.0.1:5077/demo/img", DIGEST).unwrap();
        assert_eq!(payload.to_bytes(), GOOD.as_bytes());
        assert_eq!(Payload::parse(GOOD.as_bytes()), Ok(payload));
    }

    #[test]
    fn takes_what_strict_readers_take() {
        for optional in [
            "null",
            "{}",
            r#"{"creator":"someone","timestamp":1700000000}"#,
            r#"{"timestamp":-1,"Creator":1.5,"note":{"deep":[1,true,null]}}"#,
        ] {
            let text = GOOD.replace("null", optional);
            assert!(Payload::parse(text.as_bytes()).is_ok(), "{optional}");
        }
        let spaced = GOOD.replace(':', " : ").replace(',', ",\n").replace(" : 5077", ":5077");
        let spaced = spaced.replace("sha256 : ", "sha256:");
        assert!(Payload::parse(spaced.as_bytes()).is_ok());
    }

    #[test]
    fn refuses_everything_else() {
        let change = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from}");
            GOOD.replacen(from, to, 1)
        };
        let missing = |name: &str| PayloadError::Missing { name: name.to_owned() };
        let unexpected = |name: &str| PayloadError::Unexpected { name: name.to_owned() };
        let named: Vec<(String, PayloadError)> = vec![
            ("{}".to_owned(), missing("critical")),
            (change(r#","optional":null"#, ""), missing("optional")),
            (change(r#","type":"cosign container image signature""#, ""), missing("critical.type")),
            (change("optional", "Optional"), unexpected("Optional")),
            (change("null", r#"null,"more":1"#), unexpected("more")),
            (change("docker-manifest", "Docker-manifest"), {
                unexpected("critical.image.Docker-manifest-digest")
            }),
            (change(r#""type":"#, r#""Type":"","type":"#), unexpected("critical.Type")),
            (
                change(r#"{"docker-reference""#, r#"{"x":1,"docker-reference""#),
                unexpected("critical.identity.x"),
            ),
        ];
        for (text, expected) in named {
            assert_eq!(Payload::parse(text.as_bytes()), Err(expected), "{text}");
        }

        let wrong = [
            ("\"cosign container image signature\"".to_owned(), "\"atomic container signature\""),
            ("\"cosign container image signature\"".to_owned(), "1"),
            (DIGEST.to_owned(), "sha256:00"),
            (DIGEST[..12].to_owned(), "sha256:DB270"),
            ("127.0.0.1:5077/demo/img".to_owned(), "a b"),
            ("\"127.0.0.1:5077/demo/img\"".to_owned(), "null"),
            ("null".to_owned(), "[]"),
            ("null".to_owned(), "\"\""),
            ("null".to_owned(), r#"{"timestamp":1.5}"#),
            ("null".to_owned(), r#"{"creator":1}"#),
        ];
        for (from, to) in wrong {
            let text = change(&from, to);
            let refused = Payload::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(refused, PayloadError::Wrong { .. }), "{text}: {refused:?}");
        }
        for text in ["[]", "null", "\"\"", r#"[{"type":1},null]"#] {
            let refused = Payload::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(refused, PayloadError::Wrong { .. }), "{text}: {refused:?}");
        }

        let not_json = [
            String::new(),
            GOOD[..GOOD.len() - 1].to_owned(),
            format!("{GOOD} {{}}"),
            change("null", r#"null,"optional":null"#),
            // The same name, written in another way.
            change("null", r#"null,"\u006fptional":null"#),
            change("null", r#"{"a":{"b":1,"b":1}}"#),
            change("null", &"[".repeat(100_000)),
        ];
        for text in not_json {
            let refused = Payload::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(refused, PayloadError::NotJson { .. }), "{refused:?}");
        }
        let mut padded = GOOD.as_bytes().to_vec();
        padded.resize(MAX_PAYLOAD, b' ');
        assert!(Payload::parse(&padded).is_ok());
        padded.push(b' ');
        let length = padded.len();
        assert_eq!(Payload::parse(&padded), Err(PayloadError::TooLong { length }));
    }
}
