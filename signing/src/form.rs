//! JSON read strictly: what every signed or signing document here goes through first.
//!
//! Readers that forgive (Go's `encoding/json`: names in any case, the last of two wins) see another
//! value than strict ones in the same bytes, so nothing ambiguous is taken: no two values of one
//! name, at any depth; no name that is a known one in another case; no more values than a real
//! document has, so that a small file cannot ask for much memory.

use std::cell::Cell;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a document has not the form it should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Longer than any real one.
    #[error("{length} bytes are more than the {limit} that are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest that is read.
        limit: usize,
    },
    /// Not JSON, or an object in it has two values of one name, or it has more values than any
    /// real one.
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
    /// A value that has no place there.
    #[error("{name} has no place there")]
    Unexpected {
        /// Where it is.
        name: String,
    },
    /// A value whose name is a known one, spelled otherwise: some readers take it for that.
    #[error("{name} must be spelled {known}")]
    Spelling {
        /// Where it is.
        name: String,
        /// The name that is known.
        known: String,
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

/// How much is read of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Its bytes.
    pub(crate) bytes: usize,
    /// Its values, those inside of others counted too.
    pub(crate) values: usize,
}

/// Reads JSON in which no object has two values of one name.
pub(crate) fn parse(bytes: &[u8], limits: Limits) -> Result<Value, FormError> {
    if bytes.len() > limits.bytes {
        return Err(FormError::TooLong { length: bytes.len(), limit: limits.bytes });
    }
    let left = Cell::new(limits.values);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let not_json = |error: serde_json::Error| FormError::NotJson { detail: error.to_string() };
    let value = Strict(&left).deserialize(&mut reader).map_err(not_json)?;
    reader.end().map_err(not_json)?;
    Ok(value)
}

/// An object, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    place: &'a str,
    map: &'a Map<String, Value>,
}

/// A name as Go's `encoding/json` compares it (`fold.go`): by Unicode's simple folding, by which two
/// letters beside those of ASCII are an `s` and a `k`. Readers of protocol buffers also take
/// `valid_for` for `validFor`, so strokes inside of a name do not count.
fn folded(name: &str) -> impl Iterator<Item = char> {
    let letters = name.chars().enumerate().filter(|(at, letter)| *at == 0 || *letter != '_');
    letters.map(|(_, letter)| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    })
}

impl<'a> Fields<'a> {
    /// The object that `value` is; `place` is its name, empty for a whole document.
    pub(crate) fn of(place: &'a str, value: &'a Value) -> Result<Self, FormError> {
        match value {
            Value::Object(map) => Ok(Self { place, map }),
            _ => {
                let name = if place.is_empty() { "the document" } else { place };
                Err(FormError::Wrong { name: name.to_owned(), expected: "an object" })
            }
        }
    }

    /// Refuses everything that is not called so.
    pub(crate) fn only(self, names: &[&str]) -> Result<Self, FormError> {
        match self.map.keys().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(FormError::Unexpected { name: self.path(name) }),
            None => Ok(self),
        }
    }

    /// Refuses what is called so in another spelling, as readers that forgive take it, and lets be what
    /// has another name.
    pub(crate) fn no_variants(self, names: &[&str]) -> Result<Self, FormError> {
        for name in self.map.keys() {
            let variant =
                |known: &&&str| **known != name.as_str() && folded(known).eq(folded(name));
            if let Some(known) = names.iter().find(variant) {
                let known = (*known).to_owned();
                return Err(FormError::Spelling { name: self.path(name), known });
            }
        }
        Ok(self)
    }

    /// The full name of a value in it.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// Says that a value is not what it should be.
    pub(crate) fn wrong(&self, name: &str, expected: &'static str) -> FormError {
        FormError::Wrong { name: self.path(name), expected }
    }

    /// A value; null is none, as in JSON of protocol buffers.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A value that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&'a Value, FormError> {
        self.get(name).ok_or_else(|| FormError::Missing { name: self.path(name) })
    }

    /// A text, if there is one.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, FormError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    /// A text that must be there.
    pub(crate) fn need_text(&self, name: &str) -> Result<&'a str, FormError> {
        self.text(name)?.ok_or_else(|| FormError::Missing { name: self.path(name) })
    }

    /// Bytes in base64, if there are any.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, FormError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        Ok(Some(decode(text).ok_or_else(|| self.wrong(name, "base64"))?))
    }

    /// Bytes in base64 that must be there.
    pub(crate) fn need_bytes(&self, name: &str) -> Result<Vec<u8>, FormError> {
        self.bytes(name)?.ok_or_else(|| FormError::Missing { name: self.path(name) })
    }

    /// A whole number from 0 to 2^63 - 1, if there is one: in digits, or in a text as protocol
    /// buffers write it.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u64>, FormError> {
        let number = match self.get(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => {
                // `parse` would take a plus sign, and zeros in front.
                text.parse().ok().filter(|number: &u64| number.to_string() == *text)
            }
            Some(_) => None,
        };
        match number.filter(|number| i64::try_from(*number).is_ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, "a whole number from 0 to 2^63 - 1")),
        }
    }

    /// The items of a list of at most `most`; none where there is no list.
    pub(crate) fn list(&self, name: &str, most: usize) -> Result<&'a [Value], FormError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) if items.len() <= most => Ok(items),
            Some(Value::Array(_)) => Err(self.wrong(name, "a list as short as real ones are")),
            Some(_) => Err(self.wrong(name, "a list")),
        }
    }

    /// The values by name.
    pub(crate) fn map(&self) -> &'a Map<String, Value> {
        self.map
    }
}

/// The bytes that a text is in base64, as [`Fields::bytes`] reads them.
pub(crate) fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    decode(value.as_str()?)
}

/// Base64 in one of its two alphabets, with or without padding: what DSSE (envelope.md) and the
/// JSON of protocol buffers allow. Bits that say nothing must be 0, so that the same bytes are
/// spelled otherwise only by the other alphabet or without the padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine.decode(text).ok()
}

/// Reads a value, counting down what may still come.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.0.get().checked_sub(1) else {
            return Err(D::Error::custom("more values than any real document has"));
        };
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // JSON has no infinity; the reader refuses numbers that are too large.
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format!("two values called {name:?}")));
            }
            let value = fields.next_value_seed(self)?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 1 << 20, values: 100 };

    #[test]
    fn reads_json_without_ambiguity() {
        let same = r#"{"a":[1,-2,2.5,true,null,"x"],"b":{"a":{},"A":1}}"#;
        let plain: Value = serde_json::from_str(same).unwrap();
        assert_eq!(parse(same.as_bytes(), LIMITS).unwrap(), plain);
        for bad in [
            "",
            "{",
            "{} {}",
            "nul",
            r#"{"a":1,"a":1}"#,
            r#"[{"x":{"a":1,"\u0061":1}}]"#,
            "[1e999]",
            "\"\u{1}\"",
            "{'a':1}",
            "[1,]",
            &"[".repeat(50_000),
            &format!("[{}1]", "1,".repeat(100)),
        ] {
            let refused = parse(bad.as_bytes(), LIMITS).unwrap_err();
            assert!(matches!(refused, FormError::NotJson { .. }), "{bad}: {refused}");
        }
        assert!(parse(b"\"\xff\"", LIMITS).is_err());
        let short = Limits { bytes: 1, ..LIMITS };
        assert_eq!(parse(b"[]", short), Err(FormError::TooLong { length: 2, limit: 1 }));
    }

    #[test]
    fn base64_has_two_alphabets_and_one_text_for_each_length() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("+/8=", Some(b"\xfb\xff")),
            ("-_8=", Some(b"\xfb\xff")),
            ("+/8", Some(b"\xfb\xff")),
            ("+_8=", None),
            ("+/9=", None),
            ("+/8 ", None),
            ("+/8\n", None),
            ("A", None),
        ] {
            assert_eq!(decode(text).as_deref(), bytes, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_whole_and_written_in_one_way() {
        for (text, expected) in [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("\"9223372036854775807\"", Some(i64::MAX.unsigned_abs())),
            ("\"9223372036854775808\"", None),
            ("\"+7\"", None),
            ("\"07\"", None),
            ("-7", None),
            ("7.0", None),
            ("[7]", None),
        ] {
            let value = parse(format!("{{\"n\":{text}}}").as_bytes(), LIMITS).unwrap();
            let found = Fields::of("", &value).unwrap().count("n");
            assert_eq!(found.ok().flatten(), expected, "{text}");
        }
    }
}
