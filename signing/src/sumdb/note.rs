//! Signed notes (golang.org/x/mod/sumdb/note): a text, a blank line, and lines of signatures,
//! `— name base64`, where the base64 is of the hash of the key (4 bytes) and the signature over the
//! text with its last newline.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::{KeyTextError, SumDbError};

/// What precedes an Ed25519 key in the text of a key.
const ED25519: u8 = 1;

/// Longest note that is read; those of sum.golang.org have about 200 bytes.
const MOST: usize = 1 << 20;

/// More signatures than this no note has (the number of golang.org/x/mod).
const MOST_SIGNATURES: usize = 100;

/// The public key of a checksum database: `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    text: String,
    name: String,
    hash: u32,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Reads `name+hash+key`: `hash` the first 4 bytes, in 8 hex digits, of the SHA-256 of name,
    /// newline and key; `key` in base64 a byte 1 for Ed25519 and the 32 bytes of the public key.
    ///
    /// # Errors
    /// Another form, a hash that does not fit, another algorithm.
    pub fn parse(text: &str) -> Result<Self, KeyTextError> {
        let bad = |reason| KeyTextError { text: text.to_owned(), reason };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it has not three parts"));
        };
        if !is_name(name) {
            return Err(bad("the name is empty or has spaces"));
        }
        let digits = hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        let hash = u32::from_str_radix(hash, 16)
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| bad("the hash is not 8 hex digits"))?;
        let bytes = STANDARD.decode(key).map_err(|_| bad("the key is not base64"))?;
        if key_hash(name, &bytes) != hash {
            return Err(bad("the hash is not that of the name and key"));
        }
        let Some((&ED25519, key)) = bytes.split_first() else {
            return Err(bad("the algorithm is not Ed25519"));
        };
        let key = <&[u8; 32]>::try_from(key).map_err(|_| bad("the key has not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| bad("the key is no Ed25519 key"))?;
        // A signature by such a key fits more than one text.
        if key.is_weak() {
            return Err(bad("the key is a weak point"));
        }
        Ok(Self { text: text.to_owned(), name: name.to_owned(), hash, key })
    }

    /// The name of the database: its host, and a path where it is not at the root of it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name and hash, as signatures name the key.
    pub fn id(&self) -> String {
        id(&self.name, self.hash)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn id(name: &str, hash: u32) -> String {
    format!("{name}+{hash:08x}")
}

/// Hash of a key, as notes name it.
pub(super) fn key_hash(name: &str, key: &[u8]) -> u32 {
    let digest = Sha256::new().chain_update(name).chain_update(b"\n").chain_update(key).finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// The text of a note that is signed by `key`, with its last newline. Signatures by others count
/// for nothing, and are not in the way; of several by one key the first counts, as for Go.
///
/// # Errors
/// [`SumDbError::MalformedNote`]; [`SumDbError::NotSigned`]; [`SumDbError::BadSignature`].
pub fn open_note<'a>(message: &'a [u8], key: &VerifierKey) -> Result<&'a str, SumDbError> {
    let bad = SumDbError::MalformedNote;
    if message.len() > MOST {
        return Err(bad("it is longer than any"));
    }
    let message = std::str::from_utf8(message).map_err(|_| bad("it is not UTF-8"))?;
    if message.chars().any(|c| c < ' ' && c != '\n') {
        return Err(bad("it has control characters"));
    }
    let split = message.rfind("\n\n").ok_or(bad("there is no blank line before signatures"))?;
    let (text, lines) = (&message[..split + 1], &message[split + 2..]);
    let lines = lines.strip_suffix('\n').ok_or(bad("the last line does not end"))?;
    let mut others = Vec::new();
    let mut good = false;
    for (number, line) in lines.split('\n').enumerate() {
        if number == MOST_SIGNATURES {
            return Err(bad("it has more than 100 signatures"));
        }
        let malformed = bad("a line after the blank line is no signature");
        let (name, code) = line
            .strip_prefix("— ")
            .and_then(|line| line.split_once(' '))
            .ok_or_else(|| malformed.clone())?;
        let bytes = STANDARD.decode(code).map_err(|_| malformed.clone())?;
        let (hash, signature) = bytes.split_first_chunk::<4>().ok_or_else(|| malformed.clone())?;
        if !is_name(name) || signature.is_empty() {
            return Err(malformed);
        }
        let hash = u32::from_be_bytes(*hash);
        if name != key.name || hash != key.hash {
            others.push(id(name, hash));
            continue;
        }
        if good {
            continue;
        }
        let signature = Signature::from_slice(signature);
        let fits = |s: &Signature| key.key.verify_strict(text.as_bytes(), s).is_ok();
        if !signature.is_ok_and(|s| fits(&s)) {
            return Err(SumDbError::BadSignature { key: key.id() });
        }
        good = true;
    }
    if !good {
        let found = if others.is_empty() { "nobody".to_owned() } else { others.join(", ") };
        return Err(SumDbError::NotSigned { key: key.id(), found });
    }
    Ok(text)
}
