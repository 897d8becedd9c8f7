//! Reading ar, as deb(5) has it: short names, one member after the other.
//!
//! Tables of long names and of symbols, which libraries have, are not supported: nobody ships files
//! in those.

use std::io::{self, Read};

use super::collect::{Collector, Meta, Place};
use super::error::ArchiveError;
use super::read_full;
use crate::tree::Owner;

/// What an archive begins with.
pub(super) const MAGIC: &[u8; 8] = b"!<arch>\n";
/// What a header ends with.
const END: &[u8] = b"`\n";
/// What the kinds of file are in a mode, and a regular file (POSIX, sys/stat.h).
const TYPE: u64 = 0o170_000;
const REGULAR: u64 = 0o100_000;

/// Reads an ar to its end and hands its members to `collector`.
pub(super) fn read(
    stream: &mut dyn Read,
    collector: &mut Collector<'_>,
) -> Result<(), ArchiveError> {
    let mut magic = [0; MAGIC.len()];
    read_full(stream, &mut magic).map_err(|error| collector.failed(error))?;
    collector.spend(magic.len() as u64)?;
    loop {
        // Name, time, owner, group, mode, size, end: 16, 12, 6, 6, 8, 10 and 2 bytes (ar(5)).
        let mut header = [0; 60];
        let length = read_full(stream, &mut header).map_err(|error| collector.failed(error))?;
        collector.spend(length as u64)?;
        match length {
            0 => return Ok(()),
            60 => {}
            _ => return Err(collector.failed(io::ErrorKind::UnexpectedEof.into())),
        }
        member(stream, &header, collector)?;
    }
}

fn member(
    stream: &mut dyn Read,
    header: &[u8; 60],
    collector: &mut Collector<'_>,
) -> Result<(), ArchiveError> {
    let name = text(&header[..16]);
    if !header.ends_with(END) {
        return Err(collector.corrupt("the header of a member has no end"));
    }
    let is_table = name.starts_with(b"/") || name.starts_with(b"#1/") || name.starts_with(b"__.");
    // GNU's ar ends names with a slash.
    let place = collector.begin(match is_table {
        true => name,
        false => name.strip_suffix(b"/").unwrap_or(name),
    });
    if is_table {
        return Err(collector.unsupported("a table of names or symbols"));
    }
    let place = place?;
    let owner = |field: &[u8]| {
        u32::try_from(number(field, 10, collector)?)
            .map_err(|_| collector.corrupt("an owner is over 32 bits"))
    };
    let owner = Owner { uid: owner(&header[28..34])?, gid: owner(&header[34..40])? };
    let mode = number(&header[40..48], 8, collector)?;
    if !matches!(mode & TYPE, 0 | REGULAR) {
        let member = collector.member.clone();
        return Err(ArchiveError::Special { member, kind: "link, device or directory" });
    }
    let size = number(&header[48..58], 10, collector)?;
    collector.check_size(size)?;
    let meta = Meta { mode: (mode & 0o7777) as u32, owner, xattrs: Vec::new() };
    let mut content = (&mut *stream).take(size);
    match place {
        Place::At(path) => collector.file(path, meta, size, &mut content, true)?,
        Place::Nowhere => {
            collector.spend(size)?;
            let passed = io::copy(&mut content, &mut io::sink());
            if passed.map_err(|error| collector.failed(error))? != size {
                return Err(collector.failed(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
    if size % 2 == 1 {
        let mut padding = [0];
        let there = read_full(stream, &mut padding).map_err(|error| collector.failed(error))?;
        collector.spend(there as u64)?;
        match (there, &padding) {
            (1, b"\n") => {}
            (1, _) => return Err(collector.corrupt("a byte is behind its content")),
            _ => return Err(collector.failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }
    Ok(())
}

/// A field without the spaces that fill it.
fn text(field: &[u8]) -> &[u8] {
    field.trim_ascii_end()
}

/// A number; blank ones are 0.
fn number(field: &[u8], radix: u32, collector: &Collector<'_>) -> Result<u64, ArchiveError> {
    let digits = text(field);
    if digits.is_empty() {
        return Ok(0);
    }
    // `from_str_radix` takes a sign, which no field has.
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    let number = digits.and_then(|digits| u64::from_str_radix(digits, radix).ok());
    number.ok_or_else(|| collector.corrupt("a number in the header of a member is none"))
}
