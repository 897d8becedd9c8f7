//! Reading tar: POSIX ustar and PAX, GNU long names and base-256 numbers, and what came before.
//!
//! The blocks are read here and not by the `tar` crate's iterator, which holds extension headers of
//! any size in memory, takes a missing end for the end, and falls back silently where an extension
//! is malformed. Its [`Header`] does the decoding of fields.

use std::io::{self, Read};

use tar::Header;

use super::collect::{Collector, Meta, Place};
use super::error::{ArchiveError, Fault};
use super::filter::Filter;
use super::pax::Pax;
use super::read_full;
use crate::tree::Owner;

/// Bytes of a header, and what contents are padded to.
pub(super) const BLOCK: usize = 512;
/// What an extension header may hold: more than any path and all attributes that file systems take.
pub(super) const MAX_EXTENSION: u64 = 1 << 20;

/// Whether a block is one of the two (or more) that end an archive.
pub(super) fn is_end(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Whether a block is a header whose checksum is right.
pub(super) fn has_checksum(block: &[u8; BLOCK]) -> bool {
    // The sum takes the checksum field's own eight bytes as spaces (POSIX, ustar Interchange).
    let others = block[..148].iter().chain(&block[156..]);
    let sum: u32 = others.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    Header::from_byte_slice(block).cksum().is_ok_and(|expected| expected == sum)
}

/// What the extension headers before a member say of it.
#[derive(Default)]
pub(super) struct Extensions {
    pub name: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub pax: Option<Pax>,
}

/// Some readers take the one, some the other.
pub(super) const TWO_NAMES: &str = "a GNU and a PAX extension header both name a member";

impl Extensions {
    /// Whether headers of both kinds say what a member is called, or where its link leads.
    pub(super) fn disagree(&self) -> bool {
        let pax = |said: fn(&Pax) -> bool| self.pax.as_ref().is_some_and(said);
        self.name.is_some() && pax(|pax| pax.path.is_some())
            || self.link.is_some() && pax(|pax| pax.link.is_some())
    }
}

/// Reads a tar to its end and hands its members to `collector`.
pub(super) fn read(
    stream: &mut dyn Read,
    filter: Filter,
    collector: &mut Collector<'_>,
) -> Result<(), ArchiveError> {
    let mut extensions = Extensions::default();
    let mut block = [0; BLOCK];
    loop {
        let length = read_full(stream, &mut block).map_err(|error| collector.failed(error))?;
        collector.spend(length as u64)?;
        if length < BLOCK {
            return Err(collector.failed(io::ErrorKind::UnexpectedEof.into()));
        }
        if is_end(&block) {
            break;
        }
        if !has_checksum(&block) {
            if collector.is_new() && filter != Filter::None {
                return Err(ArchiveError::UnknownFormat { found: "compressed, but no tar" });
            }
            return Err(collector.corrupt("the checksum of a tar header does not match"));
        }
        let header = Header::from_byte_slice(&block);
        let kind = header.as_old().linkflag[0];
        match kind {
            b'L' => set(&mut extensions.name, extension(stream, header, collector)?, collector)?,
            b'K' => set(&mut extensions.link, extension(stream, header, collector)?, collector)?,
            b'x' => {
                let data = extension(stream, header, collector)?;
                let pax = Pax::parse(&data).map_err(|reason| collector.corrupt(reason))?;
                set(&mut extensions.pax, pax, collector)?;
            }
            b'g' => {
                let data = extension(stream, header, collector)?;
                let pax = Pax::parse(&data).map_err(|reason| collector.corrupt(reason))?;
                if !pax.is_empty() {
                    return Err(collector.unsupported("a global header about paths or owners"));
                }
            }
            _ => member(stream, header, kind, std::mem::take(&mut extensions), collector)?,
        }
    }
    let Extensions { name: None, link: None, pax: None } = extensions else {
        return Err(collector.corrupt("it ends after an extension header"));
    };
    drain(stream, collector)
}

/// Sets what may be said of a member only once.
fn set<T>(slot: &mut Option<T>, value: T, collector: &Collector<'_>) -> Result<(), ArchiveError> {
    if slot.replace(value).is_some() {
        return Err(collector.corrupt("two extension headers of a kind for one member"));
    }
    Ok(())
}

/// The data of an extension header.
fn extension(
    stream: &mut dyn Read,
    header: &Header,
    collector: &mut Collector<'_>,
) -> Result<Vec<u8>, ArchiveError> {
    let size = number(header.entry_size(), &header.as_old().size, collector)?;
    if size > MAX_EXTENSION {
        let fault = Fault::Limit { what: "bytes in an extension header", allowed: MAX_EXTENSION };
        return Err(collector.failed(fault.into()));
    }
    // At most a mebibyte, so neither the cast nor the allocation can surprise.
    let mut data = vec![0; size as usize + padding(size) as usize];
    let length = read_full(stream, &mut data).map_err(|error| collector.failed(error))?;
    collector.spend(length as u64)?;
    if length < data.len() {
        return Err(collector.failed(io::ErrorKind::UnexpectedEof.into()));
    }
    data.truncate(size as usize);
    Ok(data)
}

/// How many bytes follow a content of `size` bytes up to the next block.
pub(super) fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

/// As [`numeric`].
fn number<T: From<u8>>(
    value: io::Result<T>,
    field: &[u8],
    collector: &Collector<'_>,
) -> Result<T, ArchiveError> {
    numeric(value, field).map_err(|error| collector.corrupt(error.to_string()))
}

/// A numeric field; blank ones, as old tars leave them, are 0.
///
/// `value` is what the `tar` crate makes of it. Of a binary number (GNU tar, "Extensions to tar") it
/// drops what is over 64 bits, and of an octal one it takes a sign, where other readers see another
/// size or none.
pub(super) fn numeric<T: From<u8>>(value: io::Result<T>, field: &[u8]) -> io::Result<T> {
    let wrong = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    match field {
        _ if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(T::from(0)),
        [first @ 0x80..=0xff, rest @ ..] => {
            let dropped = &rest[..rest.len().saturating_sub(8)];
            match *first == 0x80 && dropped.iter().all(|byte| *byte == 0) {
                true => value,
                false => wrong("a number in a tar header is negative or too large"),
            }
        }
        _ if field.contains(&b'+') => wrong("a number in a tar header has a sign"),
        _ => value,
    }
}

fn member(
    stream: &mut dyn Read,
    header: &Header,
    kind: u8,
    extensions: Extensions,
    collector: &mut Collector<'_>,
) -> Result<(), ArchiveError> {
    if extensions.disagree() {
        return Err(collector.corrupt(TWO_NAMES));
    }
    let Extensions { name, link, pax } = extensions;
    let pax = pax.unwrap_or_default();
    let name = pax.path.or(name.map(without_nul)).unwrap_or_else(|| header.path_bytes().into());
    let place = collector.begin(&name)?;
    if pax.sparse || kind == b'S' {
        return Err(collector.unsupported("a sparse file"));
    }

    let old = header.as_old();
    let owner = |value, field: &[u8], pax: Option<u64>| {
        let id = pax.map_or_else(|| number(value, field, collector), Ok)?;
        u32::try_from(id).map_err(|_| collector.corrupt("an owner is over 32 bits"))
    };
    let owner = Owner {
        uid: owner(header.uid(), &old.uid, pax.uid)?,
        gid: owner(header.gid(), &old.gid, pax.gid)?,
    };
    let mode = number(header.mode(), &old.mode, collector)?;
    let meta = Meta { mode, owner, xattrs: pax.xattrs };
    let size = pax.size.map_or_else(|| number(header.entry_size(), &old.size, collector), Ok)?;
    let link = || pax.link.or(link.map(without_nul)).or(header.link_name_bytes().map(Into::into));

    // Before ustar, a directory was a file whose name ends with a slash.
    let is_dir = kind == b'5' || (matches!(kind, b'0' | 0) && name.ends_with(b"/"));
    match kind {
        _ if is_dir => {
            no_content(size, collector)?;
            if let Place::At(path) = place {
                collector.dir(path, meta)?;
            }
            Ok(())
        }
        // 7 is a contiguous file, which is a matter of the disk.
        b'0' | 0 | b'7' => file(stream, place, meta, size, collector),
        b'1' | b'2' => {
            no_content(size, collector)?;
            let target = link().unwrap_or_default();
            match place {
                Place::At(path) if kind == b'1' => collector.hard_link(path, &target),
                Place::At(path) => collector.symlink(path, &target, meta),
                Place::Nowhere => Ok(()),
            }
        }
        b'3' => Err(special(collector, "character device")),
        b'4' => Err(special(collector, "block device")),
        b'6' => Err(special(collector, "FIFO")),
        b'M' | b'V' | b'D' | b'N' => Err(collector.unsupported("a GNU incremental archive")),
        other => Err(collector.unsupported(format!("tar type {:?}", char::from(other)))),
    }
}

fn special(collector: &Collector<'_>, kind: &'static str) -> ArchiveError {
    ArchiveError::Special { member: collector.member.clone(), kind }
}

/// GNU tar ends long names with a NUL.
pub(super) fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    name.pop_if(|last| *last == 0);
    name
}

/// Readers disagree on whether data follows such a header.
fn no_content(size: u64, collector: &Collector<'_>) -> Result<(), ArchiveError> {
    if size == 0 { Ok(()) } else { Err(collector.corrupt("a link or directory with a size")) }
}

fn file(
    stream: &mut dyn Read,
    place: Place,
    meta: Meta,
    size: u64,
    collector: &mut Collector<'_>,
) -> Result<(), ArchiveError> {
    collector.check_size(size)?;
    collector.spend(size)?;
    let mut content = (&mut *stream).take(size);
    if let Place::At(path) = place {
        collector.file(path, meta, size, &mut content, false)?;
    } else {
        skip(&mut content, size, collector)?;
    }
    let rest = padding(size);
    collector.spend(rest)?;
    skip(stream, rest, collector)
}

/// Passes over `length` bytes that must be there.
fn skip(stream: &mut dyn Read, length: u64, collector: &Collector<'_>) -> Result<(), ArchiveError> {
    let skipped = io::copy(&mut stream.take(length), &mut io::sink());
    match skipped.map_err(|error| collector.failed(error))? {
        all if all == length => Ok(()),
        _ => Err(collector.failed(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Reads what follows the end marker: zeros, as many as a tape's record takes. The filter's last
/// checksum is checked on the way.
fn drain(stream: &mut dyn Read, collector: &mut Collector<'_>) -> Result<(), ArchiveError> {
    let mut buffer = [0; 8 << 10];
    loop {
        let n = read_full(stream, &mut buffer).map_err(|error| collector.failed(error))?;
        collector.spend(n as u64)?;
        if n == 0 {
            return Ok(());
        }
        if buffer[..n].iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::TrailingData);
        }
    }
}
