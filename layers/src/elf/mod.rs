//! The little of an ELF file that tells for which machine it is (System V gABI, chapter 4), and
//! what it needs there.

mod program;

use std::fmt;
use std::io::{self, Read};

use treelay_recipes::Arch;

pub(crate) use program::read_at;
pub use program::{Open, Program, Required, Section};

/// What the first 20 bytes of an ELF file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elf {
    /// 64-bit, or 32.
    pub is_64: bool,
    /// Little-endian, or big.
    pub is_little: bool,
    /// `e_machine`.
    pub machine: u16,
}

/// Bytes up to and with `e_machine`.
const LENGTH: usize = 20;

impl Elf {
    /// What a program of `arch` says. All that treelay builds for is 64-bit and little-endian.
    pub fn of(arch: Arch) -> Self {
        Self { is_64: true, is_little: true, machine: arch.elf_machine() }
    }

    /// Reads the beginning of a file; `None` when it is no ELF file.
    ///
    /// # Errors
    /// What reading met.
    pub fn read(file: &mut dyn Read) -> io::Result<Option<Self>> {
        let mut head = Vec::with_capacity(LENGTH);
        file.take(LENGTH as u64).read_to_end(&mut head)?;
        Ok(Self::parse(&head))
    }

    /// From the beginning of a file; `None` when it is no ELF file.
    pub fn parse(head: &[u8]) -> Option<Self> {
        let head: &[u8; LENGTH] = head.get(..LENGTH)?.try_into().ok()?;
        if !head.starts_with(b"\x7fELF") {
            return None;
        }
        // EI_CLASS and EI_DATA.
        let is_64 = match head[4] {
            1 => false,
            2 => true,
            _ => return None,
        };
        let machine = [head[18], head[19]];
        let (is_little, machine) = match head[5] {
            1 => (true, u16::from_le_bytes(machine)),
            2 => (false, u16::from_be_bytes(machine)),
            _ => return None,
        };
        Some(Self { is_64, is_little, machine })
    }
}

/// `x86_64`, `ppc64le`, `32-bit little-endian machine 40`: the `uname -m` name where treelay knows
/// the arch.
impl fmt::Display for Elf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(arch) = Arch::ALL.into_iter().find(|arch| Self::of(*arch) == *self) {
            return f.write_str(arch.uname());
        }
        let bits = if self.is_64 { 64 } else { 32 };
        let order = if self.is_little { "little" } else { "big" };
        write!(f, "{bits}-bit {order}-endian ")?;
        // gABI, "Machine names", as far as Go builds for them.
        match self.machine {
            3 => f.write_str("x86"),
            8 => f.write_str("MIPS"),
            20 => f.write_str("PowerPC"),
            21 => f.write_str("PowerPC64"),
            22 => f.write_str("s390"),
            40 => f.write_str("Arm"),
            62 => f.write_str("x86-64"),
            183 => f.write_str("AArch64"),
            243 => f.write_str("RISC-V"),
            258 => f.write_str("LoongArch"),
            other => write!(f, "machine {other}"),
        }
    }
}

#[cfg(test)]
pub(crate) fn fixture(is_64: bool, is_little: bool, machine: u16) -> Vec<u8> {
    let mut head = b"\x7fELF".to_vec();
    head.extend([1 + u8::from(is_64), 2 - u8::from(is_little), 1, 0]);
    head.extend([0; 8]);
    let kind = 2_u16;
    for number in [kind, machine] {
        head.extend(if is_little { number.to_le_bytes() } else { number.to_be_bytes() });
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_machines_apart() {
        for (is_64, is_little, machine, name) in [
            (true, true, 62, "x86_64"),
            (true, true, 183, "aarch64"),
            (true, true, 21, "ppc64le"),
            (true, false, 21, "64-bit big-endian PowerPC64"),
            (false, true, 62, "32-bit little-endian x86-64"),
            (false, true, 40, "32-bit little-endian Arm"),
            (true, true, 999, "64-bit little-endian machine 999"),
        ] {
            let elf = Elf::read(&mut &fixture(is_64, is_little, machine)[..]).unwrap().unwrap();
            assert_eq!(elf, Elf { is_64, is_little, machine });
            assert_eq!(elf.to_string(), name);
        }
    }

    #[test]
    fn other_files_are_none() {
        let whole = fixture(true, true, 62);
        let mut class = whole.clone();
        class[4] = 3;
        let mut order = whole.clone();
        order[5] = 0;
        for head in [&b""[..], b"#!/bin/sh\n", &whole[..LENGTH - 1], &class, &order] {
            assert_eq!(Elf::parse(head), None, "{head:?}");
        }
    }
}
