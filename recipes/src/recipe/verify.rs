//! `verify`: what is verified of an input when it is locked, on top of its digest.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Source, Text};

/// A verification on top of the pinned digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// The publisher's own checksum: `go.dev` has it in its list of
    /// releases, `mirror` in `.sha256` beside the file, `pypi` in the package index, `archive` where
    /// its `verify` says, else as its `sha256`, else in `.sha256` beside it. `dir`, `module` and `oci`
    /// have none.
    Checksum,
    /// The release is signed by the key of Go's releases, which comes with treelay, in the `.asc`
    /// beside the file; or as the archive's own `verify` says.
    Openpgp,
    /// Go's checksum database says that this is the release: `sumdb` says which database.
    Sumdb,
    /// Its programs are built again from its own source, by the toolchain for this machine, and are
    /// the same byte for byte. Done when the input is locked, which takes a minute or two for each
    /// arch; the lock keeps that it was done.
    Rebuild,
}

impl Verify {
    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Verify::Checksum => "checksum",
            Verify::Openpgp => "openpgp",
            Verify::Sumdb => "sumdb",
            Verify::Rebuild => "rebuild",
        }
    }

    /// Whether a source gives what it needs: signatures and the database are about the distribution
    /// as it was published, whole.
    pub fn can(self, source: Source) -> bool {
        match self {
            Verify::Checksum | Verify::Rebuild => true,
            Verify::Openpgp => {
                matches!(source, Source::GoDev | Source::Mirror | Source::Archive)
            }
            Verify::Sumdb => {
                let official = matches!(source, Source::GoDev | Source::Mirror | Source::Archive);
                official || source == Source::Module
            }
        }
    }

    /// Whether it leaves evidence of what a source gave: of a directory, a module or a file of an
    /// image nobody publishes a checksum.
    pub fn is_shown(self, source: Source) -> bool {
        let none = matches!(source, Source::Dir | Source::Module | Source::Oci);
        self != Verify::Checksum || !none
    }
}

/// A verification of Go modules, on top of go.sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyModules {
    /// Go's checksum database has the same sums as go.sum, for each module that is not `private`.
    Sumdb,
}

/// What an archive's publisher says of it. With either of these its `sha256` may be left out: the
/// lock pins what was verified first.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VerifyArchive {
    /// Where its SHA-256 is: an address, or a file relative to the recipe's. Lines of sha256sum(1),
    /// with or without `--tag`, a digest alone, or JSON with `sha256` beside the file's name. A
    /// clear-signed list is taken for a list; only `openpgp` looks at its signature.
    #[serde(default)]
    pub checksum: Option<Text>,
    /// Who signed it.
    #[serde(default)]
    pub openpgp: Option<OpenPgp>,
}

/// A signature by one of the pinned keys.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OpenPgp {
    /// Where the signature is, armoured or not: an address, or a file relative to the recipe's. A
    /// clear-signed list of checksums is signature and list in one.
    pub signature: Text,
    /// What is signed: the archive, or the file that `checksum` names.
    #[serde(default)]
    pub over: Over,
    /// Files of public keys, relative to the recipe's. What they say of themselves counts: how long
    /// they live, what they revoke, which subkeys they have.
    #[schemars(length(min = 1))]
    pub keys: Vec<Text>,
    /// Whole fingerprints of the primary keys that are trusted; others in the files are not.
    #[schemars(length(min = 1))]
    pub fingerprints: Vec<Text>,
}

/// What a detached signature is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// The archive.
    #[default]
    Archive,
    /// The list of checksums.
    Checksum,
}

impl Over {
    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Over::Archive => "archive",
            Over::Checksum => "checksum",
        }
    }
}
