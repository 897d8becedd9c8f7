//! [`Payload`]: what the signature is over.
//!
//! Read as strictly as containers/image's `signature/internal/sigstore_payload.go`. Readers
//! that forgive (cosign's uses Go's `encoding/json`: names in any case, the last of two wins)
//! see another digest than strict ones in the same bytes, so nothing ambiguous is taken here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::SignError;
use crate::form::{self, Fields, FormError, Limits};

/// Longest payload that is read, in bytes (containers/image,
/// `internal/iolimits`: `MaxSignatureBodySize`).
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;

/// Values in a payload; real ones have ten.
const MAX_VALUES: usize = 10_000;

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
    /// `None` is written as `null`.
    optional: Option<BTreeMap<String, Value>>,
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
        let (reference, digest) = (reference.to_owned(), digest.to_owned());
        Ok(Self { reference, digest, optional: None })
    }

    /// The same claim with annotations, which are signed too: cosign's `-a`.
    ///
    /// # Errors
    /// [`SignError::BadAnnotation`] for one that readers take for something else: they have
    /// `timestamp` for a whole number, and an annotation is a text.
    pub fn annotated(mut self, annotations: &BTreeMap<String, String>) -> Result<Self, SignError> {
        if let Some(name) = annotations.keys().find(|name| name.is_empty() || *name == "timestamp")
        {
            return Err(SignError::BadAnnotation { name: name.clone() });
        }
        if !annotations.is_empty() {
            let values = annotations.iter().map(|(name, text)| (name.clone(), text.clone().into()));
            self.optional = Some(values.collect());
        }
        Ok(self)
    }

    /// The bytes cosign 2.5 and 3.1 write for the same claim. No time, no name of a tool: the
    /// same image gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Neither can hold a character that JSON escapes: `new` and `parse` see to that.
        let Self { reference, digest, .. } = self;
        let optional = match &self.optional {
            None => Value::Null,
            Some(values) => values.clone().into_iter().collect(),
        };
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"{reference}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{TYPE}"}},"optional":{optional}}}"#
        )
        .into_bytes()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`FormError`] for anything but exactly `critical` with `type`, `image` and `identity`, and
    /// `optional`: an object or null.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let value = form::parse(bytes, Limits { bytes: MAX_PAYLOAD, values: MAX_VALUES })?;
        let root = Fields::of("", &value)?.only(&["critical", "optional"])?;
        let critical =
            Fields::of("critical", root.need("critical")?)?.only(&["type", "image", "identity"])?;
        let image = Fields::of("critical.image", critical.need("image")?)?
            .only(&["docker-manifest-digest"])?;
        let identity = Fields::of("critical.identity", critical.need("identity")?)?
            .only(&["docker-reference"])?;

        if critical.need_text("type")? != TYPE {
            return Err(critical.wrong("type", "\"cosign container image signature\""));
        }
        let digest = image.need_text("docker-manifest-digest")?;
        if !is_digest(digest) {
            let expected = "sha256: and 64 lowercase hex digits";
            return Err(image.wrong("docker-manifest-digest", expected));
        }
        let reference = identity.need_text("docker-reference")?;
        if !is_reference(reference) {
            return Err(identity.wrong("docker-reference", "the name of an image"));
        }
        let (reference, digest) = (reference.to_owned(), digest.to_owned());
        Ok(Self { reference, digest, optional: optional(root)? })
    }

    /// The name the image is published under; cosign itself leaves the tag out.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The image's digest, `sha256:` and 64 lowercase hex digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What else is signed, by name; annotations are texts.
    pub fn optional(&self) -> Option<&BTreeMap<String, Value>> {
        self.optional.as_ref()
    }
}

/// What stands in `optional`, which must be there, be it null.
fn optional(root: Fields<'_>) -> Result<Option<BTreeMap<String, Value>>, FormError> {
    let values = match root.map().get("optional") {
        None => return Err(FormError::Missing { name: root.path("optional") }),
        Some(Value::Null) => return Ok(None),
        Some(Value::Object(values)) => values,
        Some(_) => return Err(root.wrong("optional", "an object or null")),
    };
    for (name, value) in values {
        match name.as_str() {
            "creator" if !value.is_string() => {
                return Err(root.wrong("optional.creator", "a text"));
            }
            "timestamp" if !(value.is_i64() || value.is_u64()) => {
                return Err(root.wrong("optional.timestamp", "a whole number"));
            }
            _ => {}
        }
    }
    Ok(Some(values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()))
}

/// The hex digits of a digest, where it is one.
pub(crate) fn sha256_of(digest: &str) -> Option<&str> {
    digest.strip_prefix("sha256:").filter(|_| is_digest(digest))
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
    fn annotations_are_what_cosign_writes_for_them() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let payload = || Payload::new("127.0.0.1:5077/demo/img", DIGEST).unwrap();
        let annotated = payload().annotated(&map(&[("n", "2"), ("foo", "b\"r")])).unwrap();
        let expected = GOOD.replace("null", r#"{"foo":"b\"r","n":"2"}"#);
        assert_eq!(String::from_utf8(annotated.to_bytes()).unwrap(), expected);
        assert_eq!(Payload::parse(expected.as_bytes()), Ok(annotated));
        assert_eq!(payload().annotated(&map(&[])), Ok(payload()));
        for name in ["", "timestamp"] {
            let refused = payload().annotated(&map(&[(name, "1")])).unwrap_err();
            assert_eq!(refused, SignError::BadAnnotation { name: name.to_owned() });
        }
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
        let missing = |name: &str| FormError::Missing { name: name.to_owned() };
        let unexpected = |name: &str| FormError::Unexpected { name: name.to_owned() };
        let named: Vec<(String, FormError)> = vec![
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
            ("\"127.0.0.1:5077/demo/img\"".to_owned(), "[]"),
            ("null".to_owned(), "[]"),
            ("null".to_owned(), "\"\""),
            ("null".to_owned(), r#"{"timestamp":1.5}"#),
            ("null".to_owned(), r#"{"creator":1}"#),
        ];
        for (from, to) in wrong {
            let text = change(&from, to);
            let refused = Payload::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(refused, FormError::Wrong { .. }), "{text}: {refused:?}");
        }
        for text in ["[]", "null", "\"\"", r#"[{"type":1},null]"#] {
            let refused = Payload::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(refused, FormError::Wrong { .. }), "{text}: {refused:?}");
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
            assert!(matches!(refused, FormError::NotJson { .. }), "{refused:?}");
        }
        let mut padded = GOOD.as_bytes().to_vec();
        padded.resize(MAX_PAYLOAD, b' ');
        assert!(Payload::parse(&padded).is_ok());
        padded.push(b' ');
        let length = padded.len();
        let limit = MAX_PAYLOAD;
        assert_eq!(Payload::parse(&padded), Err(FormError::TooLong { length, limit }));
    }
}
