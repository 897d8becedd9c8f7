//! The central directory (APPNOTE 4.3.12 to 4.3.16), seen before the `zip` crate holds all of it in
//! memory.
//!
//! The end record must be the end of the file, and the directory must lie directly before it, with
//! as many members as it says: then there is one way to read the archive, and what that costs is
//! known.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::archive::collect::Collector;
use crate::archive::error::ArchiveError;

/// The end record: its signature and its length without the comment.
const END: (&[u8; 4], usize) = (b"PK\x05\x06", 22);
/// The zip64 end record, without what may follow in it.
const END64: (&[u8; 4], usize) = (b"PK\x06\x06", 56);
/// The locator, between that and the end record.
const LOCATOR: (&[u8; 4], usize) = (b"PK\x06\x07", 20);
/// The header of a member, without its name, extra field and comment.
const HEADER: (&[u8; 4], usize) = (b"PK\x01\x02", 46);
/// Bytes that a comment can have.
const MOST_COMMENT: usize = 0xffff;

/// What an end record says of the directory.
struct Announced {
    members: u64,
    start: u64,
    size: u64,
    /// Where it has to end, since the end record begins there.
    end: u64,
}

/// Checks the directory, within the collector's limits.
pub(super) fn check<R: Read + Seek>(
    archive: &mut BufReader<R>,
    size: u64,
    collector: &Collector<'_>,
) -> Result<(), ArchiveError> {
    let announced = announced(archive, size, collector)?;
    let Announced { members, start, size, end } = announced;
    match start.checked_add(size) {
        Some(found) if found == end => {}
        Some(found) if found < end => {
            return Err(collector.corrupt("other data is before it, or before its end record"));
        }
        _ => return Err(collector.corrupt("its directory is not where its end record says")),
    }
    collector.check_announced(members, size)?;
    let failed = |error| collector.failed(error);
    archive.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut at = start;
    for _ in 0..members {
        let mut header = [0; HEADER.1];
        // Not into the end record.
        let length = header.len() as u64;
        if end - at < length {
            return Err(
                collector.corrupt("its directory has fewer members than its end record says")
            );
        }
        archive.read_exact(&mut header).map_err(failed)?;
        if !header.starts_with(HEADER.0) {
            return Err(collector.corrupt("something in its directory is no member"));
        }
        let more: u64 = [28, 30, 32].iter().map(|at| number(&header, *at, 2)).sum();
        at = at.saturating_add(length + more);
        if at > end {
            return Err(collector.corrupt("its directory is longer than its end record says"));
        }
        // At most three times 65,535.
        archive.seek_relative(more as i64).map_err(failed)?;
    }
    match at == end {
        true => Ok(()),
        false => Err(collector.corrupt("its directory has more than the members it says")),
    }
}

/// Finds the end record, which is the last thing in the file.
fn announced<R: Read + Seek>(
    archive: &mut BufReader<R>,
    size: u64,
    collector: &Collector<'_>,
) -> Result<Announced, ArchiveError> {
    let length = size.min((END.1 + MOST_COMMENT) as u64);
    let begin = size - length;
    // It has at most 65,557 bytes.
    let tail = at(archive, begin, length as usize).map_err(|error| collector.failed(error))?;
    let found = tail.windows(END.0.len()).rposition(|bytes| bytes == END.0);
    let Some(found) = found else {
        return Err(collector.corrupt("it has no end record: it was cut, or data was added to it"));
    };
    let record = &tail[found..];
    if record.len() < END.1 {
        return Err(collector.failed(io::ErrorKind::UnexpectedEof.into()));
    }
    match (END.1 as u64 + number(record, 20, 2)).cmp(&(record.len() as u64)) {
        std::cmp::Ordering::Less => return Err(ArchiveError::TrailingData),
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => {
            return Err(collector.failed(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    let end = begin + found as u64;
    let announced = Announced {
        members: number(record, 10, 2),
        size: number(record, 12, 4),
        start: number(record, 16, 4),
        end,
    };
    let Announced { members, size, start, .. } = announced;
    if (members == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff)
        && let Some(place) = end.checked_sub(LOCATOR.1 as u64)
    {
        let locator = at(archive, place, LOCATOR.1).map_err(|error| collector.failed(error))?;
        // Without it, the numbers are what they say.
        if locator.starts_with(LOCATOR.0) {
            return announced64(archive, place, &locator, collector);
        }
    }
    one_part(
        [number(record, 4, 2), number(record, 6, 2)],
        members,
        number(record, 8, 2),
        collector,
    )?;
    Ok(announced)
}

/// The zip64 end record, which the locator at `place` leads to.
fn announced64<R: Read + Seek>(
    archive: &mut BufReader<R>,
    place: u64,
    locator: &[u8],
    collector: &Collector<'_>,
) -> Result<Announced, ArchiveError> {
    let bad = || collector.corrupt("its zip64 end record is not before its end record");
    let end = number(locator, 8, 8);
    if end.checked_add(END64.1 as u64).is_none_or(|behind| behind > place) {
        return Err(bad());
    }
    let record = at(archive, end, END64.1).map_err(|error| collector.failed(error))?;
    // Its length is counted from behind itself.
    let behind = number(&record, 4, 8).checked_add(end + 12);
    if !record.starts_with(END64.0) || behind != Some(place) || number(locator, 16, 4) > 1 {
        return Err(bad());
    }
    let members = number(&record, 32, 8);
    let parts = [number(locator, 4, 4), number(&record, 16, 4), number(&record, 20, 4)];
    one_part(parts, members, number(&record, 24, 8), collector)?;
    Ok(Announced { members, size: number(&record, 40, 8), start: number(&record, 48, 8), end })
}

/// An archive may come in parts, once of disks: the numbers of those that are named, and how many
/// members there are in all and on this one.
fn one_part<const N: usize>(
    parts: [u64; N],
    members: u64,
    here: u64,
    collector: &Collector<'_>,
) -> Result<(), ArchiveError> {
    match parts == [0; N] && members == here {
        true => Ok(()),
        false => Err(collector.unsupported("an archive in several parts")),
    }
}

fn at<R: Read + Seek>(
    archive: &mut BufReader<R>,
    place: u64,
    length: usize,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    archive.seek(SeekFrom::Start(place))?;
    archive.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A number of so many bytes, the least first.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
