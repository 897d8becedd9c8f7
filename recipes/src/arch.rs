//! [`Arch`]: every name an architecture goes by, from one table.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An architecture that treelay builds for. Ordered as the recipe reference lists them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit Arm.
    Arm64,
    /// 64-bit little-endian POWER.
    Ppc64le,
}

/// One row of the table.
struct Names {
    arch: Arch,
    /// GOARCH, which is also OCI's `platform.architecture` (image-spec, image-index.md).
    go: &'static str,
    /// `uname -m`, which OSTree's `ostree.architecture` and refs use.
    uname: &'static str,
    /// `e_machine` of the ELF header (System V gABI, chapter 4).
    elf_machine: u16,
    /// OCI's `platform.variant` for Go's default level.
    variant: Option<&'static str>,
}

const TABLE: [Names; 3] = [
    Names { arch: Arch::Amd64, go: "amd64", uname: "x86_64", elf_machine: 62, variant: None },
    // containerd and podman normalise arm64 to the variant v8; an image without it matches too,
    // but the image-spec's table of variants lists v8 for arm64.
    Names {
        arch: Arch::Arm64,
        go: "arm64",
        uname: "aarch64",
        elf_machine: 183,
        variant: Some("v8"),
    },
    Names { arch: Arch::Ppc64le, go: "ppc64le", uname: "ppc64le", elf_machine: 21, variant: None },
];

impl Arch {
    /// All of them, in table order.
    pub const ALL: [Arch; 3] = [Arch::Amd64, Arch::Arm64, Arch::Ppc64le];

    fn names(self) -> &'static Names {
        &TABLE[self as usize]
    }

    /// GOARCH and OCI architecture: `amd64`.
    pub fn go(self) -> &'static str {
        self.names().go
    }

    /// OCI's `platform.architecture`: `amd64`.
    pub fn oci(self) -> &'static str {
        self.names().go
    }

    /// `uname -m`: `x86_64`.
    pub fn uname(self) -> &'static str {
        self.names().uname
    }

    /// ELF `e_machine`.
    pub fn elf_machine(self) -> u16 {
        self.names().elf_machine
    }

    /// OCI's `platform.variant`, where the architecture has one by default.
    pub fn variant(self) -> Option<&'static str> {
        self.names().variant
    }

    /// The arch that a `uname -m` or Go name means.
    pub fn by_any_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.go == name || row.uname == name).map(|row| row.arch)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.go())
    }
}

/// Why a text is not an [`Arch`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown arch {0:?}: expected amd64, arm64 or ppc64le")]
pub struct UnknownArch(pub String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(text: &str) -> Result<Self, UnknownArch> {
        TABLE
            .iter()
            .find(|row| row.go == text)
            .map(|row| row.arch)
            .ok_or_else(|| UnknownArch(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for arch in Arch::ALL {
            assert_eq!(arch.names().arch, arch);
            assert_eq!(arch.go().parse(), Ok(arch));
            assert_eq!(Arch::by_any_name(arch.uname()), Some(arch));
            assert_eq!(serde_json::to_string(&arch).unwrap(), format!("{:?}", arch.go()));
        }
    }
}
