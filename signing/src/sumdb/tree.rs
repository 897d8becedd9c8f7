//! Hashes (RFC 6962, section 2.1) and signed tree heads.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::{SumDbError, VerifierKey, open_note};

/// First line of a head.
const TITLE: &str = "go.sum database tree";

/// More records than any tree has; numbers below it can be doubled.
const MOST_RECORDS: u64 = 1 << 62;

/// A hash of a tree: SHA-256, 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Of a leaf.
    pub fn of_record(text: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(text).finalize().into())
    }

    /// Of a node.
    pub fn of_node(left: &Self, right: &Self) -> Self {
        let hasher = Sha256::new().chain_update([1]);
        Self(hasher.chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// Root of the tree that has no records.
    pub fn of_nothing() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// Of neighbours, whose number is a power of 2; `None` where there are none.
    pub(super) fn over(hashes: &[Self]) -> Option<Self> {
        match hashes {
            [] => None,
            [one] => Some(*one),
            _ => {
                let (left, right) = hashes.split_at(hashes.len() / 2);
                Some(Self::of_node(&Self::over(left)?, &Self::over(right)?))
            }
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// A tree: how many records, and the root over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// How many records it has.
    pub size: u64,
    /// The root.
    pub root: Hash,
}

impl TreeHead {
    /// Reads `go.sum database tree`, the size in decimal and the root in base64, a line each. More
    /// lines may follow: they are for what is not thought of yet.
    ///
    /// # Errors
    /// [`SumDbError::MalformedHead`].
    pub fn parse(text: &str) -> Result<Self, SumDbError> {
        let bad = SumDbError::MalformedHead;
        let mut lines = text.split('\n');
        if lines.next() != Some(TITLE) {
            return Err(bad("it does not begin with \"go.sum database tree\""));
        }
        let size = lines.next().and_then(number);
        let size = size.ok_or(bad("the second line is not the number of records"))?;
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok());
        let root = root.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = Hash(root.ok_or(bad("the third line is not the root, 32 bytes in base64"))?);
        if lines.next().is_none() {
            return Err(bad("the third line does not end"));
        }
        if size == 0 && root != Hash::of_nothing() {
            return Err(bad("a tree of no records has another root"));
        }
        Ok(Self { size, root })
    }
}

/// A number in decimal, written in the one way.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|n| canonical && *n < MOST_RECORDS)
}

/// A head with the note that signs it, which is what is kept and what proves it to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    head: TreeHead,
    note: String,
}

impl SignedHead {
    /// Opens a note.
    ///
    /// # Errors
    /// Those of [`open_note`]; [`SumDbError::MalformedHead`].
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, SumDbError> {
        let head = TreeHead::parse(open_note(note, key)?)?;
        // `open_note` has seen that it is UTF-8, so nothing is replaced.
        Ok(Self { head, note: String::from_utf8_lossy(note).into_owned() })
    }

    /// The head.
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// The note, as the database served it.
    pub fn note(&self) -> &str {
        &self.note
    }
}
