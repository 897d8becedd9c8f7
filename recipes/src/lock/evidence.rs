//! What was verified of an input on top of its pinned digest.

use std::fmt;

use serde::Deserialize;

use crate::recipe::Verify;
use crate::{Arch, Digest};

/// One thing that was verified of an input on one arch, when it was locked: an element of
/// `evidence` in its stanza.
///
/// ```toml
/// evidence = [
///     { method = "rebuild", files = 10, by = "amd64", toolchain = "sha256:…" },
/// ]
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Evidence {
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
            Evidence::Rebuild { .. } => Verify::Rebuild,
        }
    }
}

/// For people: `10 programs rebuilt from source by go for amd64, byte for byte`.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Rebuild { files, by, .. } => {
                write!(f, "{files} programs rebuilt from source by Go for {by}, byte for byte")
            }
        }
    }
}

/// As the lock has it.
pub(super) fn line(evidence: &Evidence) -> String {
    let method = evidence.method().name();
    match evidence {
        Evidence::Rebuild { files, by, toolchain } => format!(
            "{{ method = \"{method}\", files = {files}, by = \"{by}\", toolchain = \"{toolchain}\" }}"
        ),
    }
}
