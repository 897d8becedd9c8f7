//! Files of several public keys, as ostree keeps the trusted and the revoked ones.

use super::{KeyError, PublicKey};

/// How the keys of a list are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyList {
    /// As in ostree's `trusted.ed25519` and `revoked.ed25519`: lines of base64, of 32 bytes each.
    Ed25519,
    /// As in its `trusted.spki` and `revoked.spki`: blocks of PEM `PUBLIC KEY`.
    Spki,
    /// Either, or both in one file.
    Any,
}

/// Why a list of keys cannot be used. None of its keys is taken then: to leave out the one that
/// cannot be read would be wrong for a list of revoked keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}")]
pub struct KeyListError {
    /// Where the key begins, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub source: KeyError,
}

impl KeyList {
    /// Reads a list. Empty lines do not count, and there are no comments: ostree reads what is in one
    /// as a key, where it can.
    ///
    /// # Errors
    /// [`KeyListError`] of the first that is no key of that form.
    pub fn parse(self, file: &[u8]) -> Result<Vec<PublicKey>, KeyListError> {
        let text = std::str::from_utf8(file)
            .map_err(|_| KeyListError { line: 1, source: KeyError::NotAKey })?;
        let mut keys = Vec::new();
        let mut lines = text.lines().map(str::trim).zip(1..);
        while let Some((first, line)) = lines.next() {
            if first.is_empty() {
                continue;
            }
            let pem = first.starts_with("-----BEGIN ");
            let mut key = first.to_owned();
            if pem {
                for (next, _) in lines.by_ref() {
                    key.push('\n');
                    key.push_str(next);
                    if next.starts_with("-----END ") {
                        break;
                    }
                }
            }
            let key = match (self, pem) {
                (Self::Ed25519, true) | (Self::Spki, false) => Err(KeyError::NotAKey),
                _ => PublicKey::parse(key.as_bytes()),
            };
            keys.push(key.map_err(|source| KeyListError { line, source })?);
        }
        Ok(keys)
    }
}

impl PublicKey {
    /// Reads the base64 of the DER of a SubjectPublicKeyInfo, which is what a remote of ostree has in
    /// `verification-spki-key`.
    ///
    /// # Errors
    /// As of [`PublicKey::from_spki_der`], or [`KeyError::NotAKey`].
    pub fn from_spki_base64(text: &str) -> Result<Self, KeyError> {
        Self::from_spki_der(&super::read_base64_line(text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyKind, SecretKey};

    #[test]
    fn lists_hold_keys_of_their_form_and_nothing_else() {
        let public = |kind| SecretKey::generate(kind).unwrap().public().clone();
        let [a, b, c] = [KeyKind::Ed25519, KeyKind::Ed25519, KeyKind::EcdsaP256].map(public);
        let line = |key: &PublicKey| key.to_ostree_line().unwrap();
        let lines = format!("{}\n\n  {}\r\n", line(&a), line(&b));
        let blocks = format!("{}\n{}", c.to_pem(), a.to_pem());
        let mixed = format!("{}\n{}{}", line(&a), c.to_pem(), line(&b));
        let commented = format!("{}\n#{}\n", line(&a), line(&b));
        let cut = c.to_pem().replace("-----END PUBLIC KEY-----\n", "");
        let all = || Ok(vec![a.clone(), b.clone()]);
        let no_key = |line| Err((line, KeyError::NotAKey));
        for (form, text, expected) in [
            (KeyList::Ed25519, lines.as_str(), all()),
            (KeyList::Any, &lines, all()),
            (KeyList::Spki, &lines, no_key(1)),
            (KeyList::Spki, &blocks, Ok(vec![c.clone(), a.clone()])),
            (KeyList::Any, &blocks, Ok(vec![c.clone(), a.clone()])),
            (KeyList::Ed25519, &blocks, no_key(1)),
            (KeyList::Any, &mixed, Ok(vec![a.clone(), c.clone(), b.clone()])),
            (KeyList::Spki, &mixed, no_key(1)),
            (KeyList::Any, &commented, no_key(2)),
            (KeyList::Any, "", Ok(Vec::new())),
            (KeyList::Any, "\n\nabc\n", no_key(3)),
        ] {
            let found = form.parse(text.as_bytes()).map_err(|error| (error.line, error.source));
            assert_eq!(found, expected, "{form:?} of {text}");
        }
        assert!(matches!(KeyList::Any.parse(cut.as_bytes()), Err(KeyListError { line: 1, .. })));
        assert_eq!(KeyList::Any.parse(b"\xff").unwrap_err().line, 1);
    }

    #[test]
    fn the_key_of_a_remote_is_der_in_base64() {
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap().public().clone();
        let body: String = key.to_pem().lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(PublicKey::from_spki_base64(&body), Ok(key));
        assert_eq!(PublicKey::from_spki_base64("?"), Err(KeyError::NotAKey));
    }
}
