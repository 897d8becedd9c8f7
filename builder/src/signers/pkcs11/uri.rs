//! `pkcs11:` URIs, RFC 7512.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// What a URI says of a key, of the token it is in, and of the way there. Every part may be left
/// out; what is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uri {
    /// `token`: the token's label.
    pub token: Option<String>,
    /// `manufacturer` of the token.
    pub manufacturer: Option<String>,
    /// `model` of the token.
    pub model: Option<String>,
    /// `serial` number of the token.
    pub serial: Option<String>,
    /// `slot-id`: the number of the slot that the token is in.
    pub slot: Option<u64>,
    /// `object`: the key's label.
    pub object: Option<String>,
    /// `id` of the key: bytes.
    pub id: Option<Vec<u8>>,
    /// `module-path`: the file of the module, absolute.
    pub module_path: Option<PathBuf>,
    /// `module-name`: the name of the module, without folder and ending.
    pub module_name: Option<String>,
    /// `pin-source`: a file that holds the PIN.
    pub pin_source: Option<PathBuf>,
    /// As it was written.
    text: String,
}

/// Why a text is no URI of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// A part without `=`.
    #[error(
        "{part:?} in a pkcs11: URI has no value: expected NAME=VALUE, joined by ; before and & after the ?"
    )]
    NoValue {
        /// The part.
        part: String,
    },
    /// A name that is not known there.
    #[error("pkcs11: URIs are not understood with {name:?} {place}: expected {expected}")]
    Unknown {
        /// The name.
        name: String,
        /// Before or after the question mark.
        place: &'static str,
        /// What is known there.
        expected: &'static str,
    },
    /// A name for the second time.
    #[error("{name:?} is twice in a pkcs11: URI")]
    Twice {
        /// The name.
        name: String,
    },
    /// The PIN itself, which every user of the machine would see.
    #[error(
        "a PIN in a pkcs11: URI is seen by every user of this machine: set TREELAY_PIN, or give pin-source=FILE"
    )]
    PinValue,
    /// A value that cannot be.
    #[error("{name} of a pkcs11: URI is not {expected}")]
    BadValue {
        /// The name.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
}

const PATH_NAMES: &str = "token, manufacturer, model, serial, slot-id, object, id, type";
const QUERY_NAMES: &str = "module-path, module-name, pin-source";

impl Uri {
    /// Reads a URI that begins with `pkcs11:`.
    ///
    /// # Errors
    /// [`UriError`], which shows no PIN.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("pkcs11:").unwrap_or(text);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let mut names: Vec<&str> = Vec::new();
        let (mut shown_path, mut shown_query) = (Vec::new(), Vec::new());
        let parts = path.split(';').map(|part| (part, true));
        let parts = parts.chain(query.split('&').map(|part| (part, false)));
        for (part, in_path) in parts.filter(|(part, _)| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| UriError::NoValue { part: part.to_owned() })?;
            if name == "pin-value" {
                return Err(UriError::PinValue);
            }
            if names.contains(&name) {
                return Err(UriError::Twice { name: name.to_owned() });
            }
            names.push(name);
            let value = Value { name, value };
            if in_path {
                uri.take_path(&value)?;
                shown_path.push(part);
            } else {
                uri.take_query(&value)?;
                shown_query.push(part);
            }
        }
        let (path, query) = (shown_path.join(";"), shown_query.join("&"));
        let mark = if query.is_empty() { "" } else { "?" };
        uri.text = format!("pkcs11:{path}{mark}{query}");
        Ok(uri)
    }

    fn take_path(&mut self, value: &Value<'_>) -> Result<(), UriError> {
        match value.name {
            "token" => self.token = Some(value.text()?),
            "manufacturer" => self.manufacturer = Some(value.text()?),
            "model" => self.model = Some(value.text()?),
            "serial" => self.serial = Some(value.text()?),
            "object" => self.object = Some(value.text()?),
            "id" => self.id = Some(value.bytes()?.to_vec()),
            "slot-id" => {
                let number = value.text()?.parse();
                self.slot = Some(number.map_err(|_| value.bad("a number"))?);
            }
            // Which half is needed follows from what is done with it.
            "type" if ["private", "public"].contains(&value.value) => {}
            "type" => return Err(value.bad("private or public")),
            name => {
                let name = name.to_owned();
                let place = "before the ?";
                return Err(UriError::Unknown { name, place, expected: PATH_NAMES });
            }
        }
        Ok(())
    }

    fn take_query(&mut self, value: &Value<'_>) -> Result<(), UriError> {
        match value.name {
            "module-path" => self.module_path = Some(value.path()?),
            "module-name" => {
                let name = value.text()?;
                if name.is_empty() || name.contains('/') {
                    return Err(value.bad("a name without a folder"));
                }
                self.module_name = Some(name);
            }
            "pin-source" => self.pin_source = Some(value.path()?),
            name => {
                let name = name.to_owned();
                let place = "after the ?";
                return Err(UriError::Unknown { name, place, expected: QUERY_NAMES });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name and its value, with percent signs.
struct Value<'a> {
    name: &'a str,
    value: &'a str,
}

impl Value<'_> {
    fn bad(&self, expected: &'static str) -> UriError {
        UriError::BadValue { name: self.name.to_owned(), expected }
    }

    /// The bytes that are meant.
    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, UriError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.value.len()));
        let mut rest = self.value.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            if first != b'%' {
                bytes.push(first);
                rest = after;
                continue;
            }
            let mut byte = [0];
            match after.split_at_checked(2) {
                Some((digits, after)) if hex::decode_to_slice(digits, &mut byte).is_ok() => {
                    bytes.push(byte[0]);
                    rest = after;
                }
                _ => return Err(self.bad("written with % and two hexadecimal digits")),
            }
        }
        Ok(bytes)
    }

    fn text(&self) -> Result<String, UriError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| self.bad("UTF-8"))
    }

    /// A file, by its absolute path or as a `file:` URI; RFC 7512 has programs here too, which are
    /// not started.
    fn path(&self) -> Result<PathBuf, UriError> {
        let text = self.text()?;
        let path = text.strip_prefix("file://").or(text.strip_prefix("file:")).unwrap_or(&text);
        if !path.starts_with('/') {
            return Err(self.bad("the absolute path of a file"));
        }
        Ok(path.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_known_is_read() {
        let text = "pkcs11:token=Token%20A;manufacturer=M;model=L;serial=01;slot-id=7;object=a%3bb;\
                    id=%00%fFz;type=private?module-path=/usr/lib/m.so&pin-source=file:/run/pin";
        let uri = Uri::parse(text).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let expected = Uri {
            token: some("Token A"),
            manufacturer: some("M"),
            model: some("L"),
            serial: some("01"),
            slot: Some(7),
            object: some("a;b"),
            id: Some(vec![0, 0xff, b'z']),
            module_path: Some("/usr/lib/m.so".into()),
            module_name: None,
            pin_source: Some("/run/pin".into()),
            text: text.to_owned(),
        };
        assert_eq!(uri, expected);
        let uri = Uri::parse("pkcs11:?module-name=softhsm2").unwrap();
        assert_eq!(uri.module_name.as_deref(), Some("softhsm2"));
        assert_eq!(uri.to_string(), "pkcs11:?module-name=softhsm2");
        assert_eq!(Uri::parse("pkcs11:").unwrap().to_string(), "pkcs11:");
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for (text, expected) in [
            ("pkcs11:token", "\"token\" in a pkcs11: URI has no value"),
            ("pkcs11:colour=red", "\"colour\" before the ?"),
            ("pkcs11:object=a?token=b", "\"token\" after the ?"),
            ("pkcs11:id=1;id=2", "\"id\" is twice"),
            ("pkcs11:id=%1", "id of a pkcs11: URI is not written with %"),
            ("pkcs11:id=%zz", "id of a pkcs11: URI is not written with %"),
            ("pkcs11:object=%ff", "object of a pkcs11: URI is not UTF-8"),
            ("pkcs11:slot-id=one", "slot-id of a pkcs11: URI is not a number"),
            ("pkcs11:type=cert", "type of a pkcs11: URI is not private or public"),
            ("pkcs11:?module-path=m.so", "module-path of a pkcs11: URI is not the absolute path"),
            ("pkcs11:?pin-source=|/bin/pin", "pin-source of a pkcs11: URI is not the absolute"),
            ("pkcs11:?module-name=../m", "module-name of a pkcs11: URI is not a name without"),
        ] {
            let said = Uri::parse(text).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
        for text in ["pkcs11:?pin-value=12%3", "pkcs11:pin-value=12", "pkcs11:id=1?pin-value=12"] {
            let said = Uri::parse(text).unwrap_err().to_string();
            assert!(said.contains("pin-source=FILE") && !said.contains("12"), "{said}");
        }
    }
}
