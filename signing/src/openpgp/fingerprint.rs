//! [`Fingerprint`].

use std::fmt;
use std::str::FromStr;

use pgp::types::KeyDetails;

/// The fingerprint of a key: 40 hex digits (version 4) or 64 (version 6).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// An id of a key, which anybody can make another key for.
    #[error(
        "{0:?} is the id of a key, which others can have too: give its fingerprint, 40 hex digits"
    )]
    Id(String),
    /// Something else.
    #[error("{0:?} is not the fingerprint of a key: expected 40 hex digits, or 64 of version 6")]
    Other(String),
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Spaces and a `0x` in front are allowed.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        let digits = digits.strip_prefix("0x").unwrap_or(&digits).to_ascii_uppercase();
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(FingerprintError::Other(text.to_owned()));
        }
        match digits.len() {
            40 | 64 => Ok(Self(digits)),
            8 | 16 => Err(FingerprintError::Id(text.to_owned())),
            _ => Err(FingerprintError::Other(text.to_owned())),
        }
    }
}

impl Fingerprint {
    pub(super) fn of(key: &impl KeyDetails) -> Self {
        Self(hex::encode_upper(key.fingerprint().as_bytes()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_whole() {
        let whole = "EB4C1BFD4F042F6DDDCCEC917721F63BD38B4796";
        for text in [
            whole,
            "EB4C 1BFD 4F04 2F6D DDCC  EC91 7721 F63B D38B 4796",
            "0xeb4c1bfd4f042f6dddccec917721f63bd38b4796",
        ] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), whole);
        }
        for text in ["D38B4796", "7721F63BD38B4796", "0x7721 F63B D38B 4796"] {
            let told = text.parse::<Fingerprint>().unwrap_err();
            assert!(matches!(told, FingerprintError::Id(_)), "{text}");
        }
        for text in ["", "x", &whole[1..], &whole.replace('E', "G"), "linux@example.org"] {
            let told = text.parse::<Fingerprint>().unwrap_err();
            assert!(matches!(told, FingerprintError::Other(_)), "{text}");
        }
    }
}
