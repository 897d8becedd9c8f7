//! What was verified of an input on top of its pinned digest.
//!
//! Evidence is what holds for the input, whoever looks and whenever: no time of looking, no host that
//! was asked, no tree head of a log that grows. So two machines that lock the same input write the
//! same, and a change in review is a change of the input.

use std::fmt;

use serde::Deserialize;

use crate::recipe::Verify;
use crate::{Arch, Digest, rfc3339};

/// One thing that was verified of an input on one arch, when it was locked: an element of
/// `evidence` in its stanza.
///
/// ```toml
/// evidence = [
///     { method = "checksum", from = "SHA256SUMS" },
///     { method = "openpgp", key = "EB4C…", signer = "8E84…", made = 1761926400, hash = "SHA512" },
///     { method = "sumdb", database = "sum.golang.org+033de0ae", record = 46013220, sum = "h1:…" },
///     { method = "rebuild", files = 10, by = "amd64", toolchain = "sha256:…" },
/// ]
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Evidence {
    /// Its publisher says the digest that is locked.
    Checksum {
        /// Where: as the recipe has it; the name of a file beside it; else the source's name.
        from: String,
    },
    /// It, or the list with its digest, is signed by a pinned key.
    Openpgp {
        /// Fingerprint of the pinned key.
        key: String,
        /// Fingerprint of the key that signed: a subkey, or the same.
        signer: String,
        /// When the signature was made, in seconds since 1970, as it says.
        made: u64,
        /// The hash of the signature: `SHA512`.
        hash: String,
        /// The signed list of checksums, where not the file itself is signed.
        #[serde(default)]
        list: Option<String>,
    },
    /// A checksum database has it in its log.
    Sumdb {
        /// Name and hash of the database's key.
        database: String,
        /// Of a toolchain: the number of its record, counted from 0.
        #[serde(default)]
        record: Option<u64>,
        /// Of a toolchain: what the record says of it, and its archive is.
        #[serde(default)]
        sum: Option<String>,
        /// Of modules: how many are there as go.sum has them.
        #[serde(default)]
        modules: Option<u32>,
        /// Of modules: how many are private, so that nobody was asked about them.
        #[serde(default)]
        private: Option<u32>,
    },
    /// Programs of a Go distribution were built again from its own source, and were the same byte
    /// for byte.
    Rebuild {
        /// How many.
        files: u32,
        /// The arch of the toolchain that built them: the machine's.
        by: Arch,
        /// The identity of that toolchain.
        toolchain: Digest,
    },
}

impl Evidence {
    /// The verification that it is the outcome of.
    pub fn method(&self) -> Verify {
        match self {
            Evidence::Checksum { .. } => Verify::Checksum,
            Evidence::Openpgp { .. } => Verify::Openpgp,
            Evidence::Sumdb { .. } => Verify::Sumdb,
            Evidence::Rebuild { .. } => Verify::Rebuild,
        }
    }

    /// What it says besides its method, in the order of the lock.
    pub fn fields(&self) -> Vec<(&'static str, Field)> {
        let text = |text: &str| Field::Text(text.to_owned());
        let mut fields = Vec::new();
        match self {
            Evidence::Checksum { from } => fields.push(("from", text(from))),
            Evidence::Openpgp { key, signer, made, hash, list } => {
                fields.extend([("key", text(key)), ("signer", text(signer))]);
                fields.extend([("made", Field::Number(*made)), ("hash", text(hash))]);
                fields.extend(list.as_ref().map(|list| ("list", text(list))));
            }
            Evidence::Sumdb { database, record, sum, modules, private } => {
                fields.push(("database", text(database)));
                fields.extend(record.map(|record| ("record", Field::Number(record))));
                fields.extend(sum.as_ref().map(|sum| ("sum", text(sum))));
                for (name, count) in [("modules", modules), ("private", private)] {
                    fields.extend(count.map(|count| (name, Field::Number(count.into()))));
                }
            }
            Evidence::Rebuild { files, by, toolchain } => {
                fields.push(("files", Field::Number((*files).into())));
                fields.push(("by", text(by.go())));
                fields.push(("toolchain", Field::Text(toolchain.to_string())));
            }
        }
        fields
    }
}

/// A value of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

/// For people: `10 programs rebuilt from source by go for amd64, byte for byte`.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Checksum { from } => write!(f, "its checksum is that of {from}"),
            Evidence::Openpgp { key, made, list, .. } => {
                let day = rfc3339(*made);
                let day = day.split('T').next().unwrap_or_default();
                let what = list.as_deref().unwrap_or("it");
                write!(f, "{what} was signed by {key} on {day}")
            }
            Evidence::Sumdb { database, record, modules, private, .. } => {
                let name = database.split('+').next().unwrap_or_default();
                match (record, modules) {
                    (Some(record), _) => write!(f, "record {record} of {name} has it")?,
                    (None, modules) => {
                        write!(f, "{name} has {} modules of it", modules.unwrap_or_default())?;
                    }
                }
                match private {
                    Some(private) => write!(f, ", and was not asked about {private} private ones"),
                    None => Ok(()),
                }
            }
            Evidence::Rebuild { files, by, .. } => {
                write!(f, "{files} programs rebuilt from source by Go for {by}, byte for byte")
            }
        }
    }
}
