//! [`Claim`]: what a database answered. [`Proven`]: what is true of it.

use super::tile::{HEIGHT, Tree, needed};
use super::tree::number;
use super::{Hash, SignedHead, SumDbError, Tile, Tiles, VerifierKey};

/// Longest answer that is read; a record has two lines.
const MOST: usize = 1 << 20;

/// The file to ask for, below the database's address, without a slash in front. Path and version are
/// as module caches have them: `!a` for `A`.
pub fn lookup_path(escaped_path: &str, escaped_version: &str) -> String {
    format!("lookup/{escaped_path}@{escaped_version}")
}

/// What a database answered, with everything that its proof needs but the tiles.
#[derive(Debug, Clone)]
pub struct Claim {
    record: Option<Record>,
    /// The head of the answer.
    answer: SignedHead,
    /// The one that was kept.
    seen: Option<SignedHead>,
    height: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    number: u64,
    text: String,
}

impl Record {
    /// Reads a number on a line, the lines of the record, and a blank line; what follows is the note.
    fn parse(answer: &[u8]) -> Result<(Self, &[u8]), SumDbError> {
        let bad = SumDbError::MalformedRecord;
        if answer.len() > MOST {
            return Err(bad("it is longer than any"));
        }
        let text = std::str::from_utf8(answer).map_err(|_| bad("it is not UTF-8"))?;
        let (id, rest) = text.split_once('\n').ok_or(bad("it is a single line"))?;
        let id = number(id).ok_or(bad("the first line is not the number of a record"))?;
        let end = rest.find("\n\n").ok_or(bad("there is no blank line after the record"))?;
        let (record, note) = (&rest[..end + 1], &rest[end + 2..]);
        if record.starts_with('\n') || record.chars().any(|c| c < ' ' && c != '\n') {
            return Err(bad("the record is empty or has control characters"));
        }
        Ok((Self { number: id, text: record.to_owned() }, note.as_bytes()))
    }
}

impl Claim {
    /// Takes the answer to a lookup. `seen` is the head that was kept of this database. An answer may
    /// have an older head than that: it was kept somewhere on its way, and it is proven in the tree
    /// that was seen.
    ///
    /// # Errors
    /// Everything of [`SumDbError`] that can be told without tiles: another form, a signature that
    /// is missing or does not fit, and a fork where both heads are of one size.
    pub fn lookup(
        answer: &[u8],
        key: &VerifierKey,
        seen: Option<&SignedHead>,
    ) -> Result<Self, SumDbError> {
        let (record, note) = Record::parse(answer)?;
        Self::new(Some(record), SignedHead::open(note, key)?, seen)
    }

    /// Takes the answer of `/latest`, the newest head.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup), and [`SumDbError::RolledBack`].
    pub fn latest(
        answer: &[u8],
        key: &VerifierKey,
        seen: Option<&SignedHead>,
    ) -> Result<Self, SumDbError> {
        let latest = SignedHead::open(answer, key)?;
        if let Some(seen) = seen
            && latest.head().size < seen.head().size
        {
            let (seen, latest) = (Box::new(seen.clone()), Box::new(latest));
            return Err(SumDbError::RolledBack { seen, latest });
        }
        Self::new(None, latest, seen)
    }

    fn new(
        record: Option<Record>,
        answer: SignedHead,
        seen: Option<&SignedHead>,
    ) -> Result<Self, SumDbError> {
        let claim = Self { record, answer, seen: seen.cloned(), height: HEIGHT };
        let (older, newer) = claim.heads();
        if let Some(older) = older
            && older.head().size == newer.head().size
            && older.head().root != newer.head().root
        {
            return Err(fork(older, newer, newer.head().root));
        }
        if let Some(Record { number: record, .. }) = claim.record
            && record >= newer.head().size
        {
            return Err(SumDbError::BeyondTree { record, size: newer.head().size });
        }
        Ok(claim)
    }

    /// For trees of tests, whose tiles are small.
    #[cfg(test)]
    pub(super) fn with_height(self, height: u8) -> Self {
        Self { height, ..self }
    }

    /// The older head, where there are two, and the newer.
    fn heads(&self) -> (Option<&SignedHead>, &SignedHead) {
        match &self.seen {
            None => (None, &self.answer),
            Some(seen) if seen.head().size <= self.answer.head().size => (Some(seen), &self.answer),
            Some(seen) => (Some(&self.answer), seen),
        }
    }

    /// The tiles that the proof needs. They are the database's for ever, and worth keeping once
    /// [`prove`](Self::prove) has accepted them.
    pub fn tiles(&self) -> Vec<Tile> {
        let (older, newer) = self.heads();
        let record = self.record.as_ref().map(|record| record.number);
        let older = older.map(|older| older.head().size);
        let size = newer.head().size;
        needed(self.height, size, record.as_slice(), older.as_slice()).into_iter().collect()
    }

    /// Proves with those tiles that the record is in the tree, and that it is the tree of the head
    /// that was seen.
    ///
    /// # Errors
    /// Everything of [`SumDbError`] that is about tiles; [`SumDbError::NotIncluded`];
    /// [`SumDbError::Fork`].
    pub fn prove(self, tiles: &Tiles) -> Result<Proven, SumDbError> {
        let (older, newer) = self.heads();
        let mut tree = Tree::new(self.height, &newer.head(), tiles)?;
        if let Some(older) = older {
            let computed = tree.older(older.head().size)?;
            if computed != older.head().root {
                return Err(fork(older, newer, computed));
            }
        }
        if let Some(Record { number, text }) = &self.record {
            let (found, expected) = (Hash::of_record(text.as_bytes()), tree.record(*number)?);
            if found != expected {
                return Err(SumDbError::NotIncluded { record: *number, found, expected });
            }
        }
        Ok(Proven { head: newer.clone(), record: self.record })
    }
}

fn fork(older: &SignedHead, newer: &SignedHead, computed: Hash) -> SumDbError {
    let (older, newer) = (Box::new(older.clone()), Box::new(newer.clone()));
    SumDbError::Fork { older, newer, computed }
}

/// Sums of a module: its `h1:` texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// Of all its files.
    pub files: Option<String>,
    /// Of its go.mod.
    pub go_mod: Option<String>,
}

/// What a database has said, and cannot take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    head: SignedHead,
    record: Option<Record>,
}

impl Proven {
    /// The newest head: to be kept, and handed to the next claim.
    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// The number of the record, for the evidence; `None` of a head alone.
    pub fn record(&self) -> Option<u64> {
        self.record.as_ref().map(|record| record.number)
    }

    /// What the record says of a module.
    ///
    /// # Errors
    /// [`SumDbError::OtherModule`], which every head alone is.
    pub fn sums(&self, module: &str, version: &str) -> Result<Sums, SumDbError> {
        let mut sums = Sums::default();
        let text = self.record.as_ref().map_or("", |record| &record.text);
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(path), Some(of), Some(sum), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            // Sums of other kinds may come to stand beside `h1:`.
            if path != module || !sum.starts_with("h1:") {
                continue;
            }
            if of == version {
                sums.files = Some(sum.to_owned());
            } else if of.strip_suffix("/go.mod") == Some(version) {
                sums.go_mod = Some(sum.to_owned());
            }
        }
        if sums == Sums::default() {
            let (module, version) = (module.to_owned(), version.to_owned());
            return Err(SumDbError::OtherModule { module, version });
        }
        Ok(sums)
    }

    /// Compares what was computed from what was downloaded. What is `None` in `found` is not
    /// compared.
    ///
    /// # Errors
    /// [`SumDbError::OtherModule`]; [`SumDbError::OtherSum`]; [`SumDbError::NoSum`].
    pub fn check(&self, module: &str, version: &str, found: &Sums) -> Result<(), SumDbError> {
        let Sums { files, go_mod } = self.sums(module, version)?;
        let what = format!("{module} {version}");
        for (what, found, expected) in
            [(format!("the go.mod of {what}"), &found.go_mod, go_mod), (what, &found.files, files)]
        {
            let Some(found) = found else { continue };
            let expected = expected.ok_or_else(|| SumDbError::NoSum { what: what.clone() })?;
            if *found != expected {
                return Err(SumDbError::OtherSum { what, found: found.clone(), expected });
            }
        }
        Ok(())
    }
}
