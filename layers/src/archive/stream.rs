//! The members of a layer that others made, one after the other.
//!
//! More lenient than [`super::tar`], which reads what recipes name: what a layer must be is said by
//! its digest, which others have checked. So the end marker and the padding before it may be missing
//! (umoci insert leaves them out), and types that no tree has are passed on. Sizes of what is held in
//! memory are bounded all the same, and contents that would come out altered are refused.

use std::io::{self, BufRead, Read};

use tar::Header;

use super::error::Fault;
use super::filter::Filter;
use super::members::MemberKind;
use super::pax::Pax;
use super::read_full;
use super::tar::{BLOCK, Extensions, MAX_EXTENSION, TWO_NAMES};
use super::tar::{has_checksum, is_end, numeric, padding};
use crate::tree::{Owner, Xattrs};

/// What stands before the content of a member.
pub(super) struct Head {
    pub path: Vec<u8>,
    pub kind: MemberKind,
    pub mode: u16,
    pub owner: Owner,
    /// Where a link leads; empty for what is none.
    pub target: Vec<u8>,
    /// Without the label, which belongs to the system that a tree ends up on.
    pub xattrs: Xattrs,
    /// Bytes of content.
    pub size: u64,
}

/// A layer that is being read; its bytes are those of the content of the last member.
pub(super) struct Stream<'l> {
    bytes: Box<dyn Read + 'l>,
    /// What is left of the content.
    left: u64,
    padding: u64,
}

impl<'l> Stream<'l> {
    /// Begins to read a tar, perhaps compressed with gzip or zstd.
    pub(super) fn open(mut layer: impl BufRead + 'l) -> io::Result<Self> {
        let filter = match layer.fill_buf()? {
            head if head.starts_with(b"\x1f\x8b") => Filter::Gzip,
            head if head.starts_with(b"\x28\xb5\x2f\xfd") => Filter::Zstd,
            _ => Filter::None,
        };
        Ok(Self { bytes: filter.open(layer)?, left: 0, padding: 0 })
    }

    /// The next member; what is left of the content before it is passed over.
    ///
    /// # Errors
    /// What reading met; that it is no tar; extensions that are too long or change what content is.
    pub(super) fn next(&mut self) -> io::Result<Option<Head>> {
        let mut extensions = Extensions::default();
        loop {
            io::copy(self, &mut io::sink())?;
            let padding = std::mem::take(&mut self.padding);
            io::copy(&mut (&mut self.bytes).take(padding), &mut io::sink())?;
            let mut block = [0; BLOCK];
            read_full(&mut self.bytes, &mut block)?;
            if is_end(&block) {
                read_full(&mut self.bytes, &mut block)?;
                let Extensions { name: None, link: None, pax: None } = extensions else {
                    return Err(wrong("it ends after an extension header"));
                };
                return if is_end(&block) {
                    Ok(None)
                } else {
                    Err(wrong("members follow half of an end marker"))
                };
            }
            if !has_checksum(&block) {
                return Err(wrong("the checksum of a tar header does not match"));
            }
            let header = Header::from_byte_slice(&block);
            match header.as_old().linkflag[0] {
                b'L' => set(&mut extensions.name, until_nul(self.extension(header)?))?,
                b'K' => set(&mut extensions.link, until_nul(self.extension(header)?))?,
                b'x' => set(&mut extensions.pax, self.pax(header)?)?,
                b'g' if self.pax(header)?.is_empty() => {}
                b'g' => return Err(wrong("a global header about paths or owners")),
                kind => {
                    let head = head(header, kind, extensions)?;
                    self.content_of(head.size);
                    return Ok(Some(head));
                }
            }
        }
    }

    fn content_of(&mut self, size: u64) {
        (self.left, self.padding) = (size, padding(size));
    }

    fn extension(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let size = numeric(header.entry_size(), &header.as_old().size)?;
        if size > MAX_EXTENSION {
            let what = "bytes in an extension header";
            return Err(Fault::Limit { what, allowed: MAX_EXTENSION }.into());
        }
        self.content_of(size);
        let mut data = Vec::new();
        self.read_to_end(&mut data)?;
        Ok(data)
    }

    fn pax(&mut self, header: &Header) -> io::Result<Pax> {
        Pax::parse(&self.extension(header)?).map_err(wrong)
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.bytes.read(&mut buffer[..most])?;
        if n == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// Sets what may be said of a member only once.
fn set<T>(slot: &mut Option<T>, value: T) -> io::Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(wrong("two extension headers of a kind for one member")),
    }
}

/// As Go reads a long name.
fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    let end = name.iter().position(|byte| *byte == 0);
    name.truncate(end.unwrap_or(name.len()));
    name
}

fn head(header: &Header, kind: u8, extensions: Extensions) -> io::Result<Head> {
    if extensions.disagree() {
        return Err(wrong(TWO_NAMES));
    }
    let Extensions { name, link, pax } = extensions;
    let pax = pax.unwrap_or_default();
    let path = pax.path.or(name).unwrap_or_else(|| header.path_bytes().into());
    let of_member = |reason: &str| wrong_at(&path, reason);
    if pax.sparse || kind == b'S' {
        return Err(of_member("a sparse file, which is not supported"));
    }
    let old = header.as_old();
    let number = |value, field: &[u8]| {
        numeric(value, field).map_err(|error: io::Error| of_member(&error.to_string()))
    };
    let id = |value, field: &[u8], said: Option<u64>| {
        let id = said.map_or_else(|| number(value, field), Ok)?;
        u32::try_from(id).map_err(|_| of_member("an owner is over 32 bits"))
    };
    let owner = Owner {
        uid: id(header.uid(), &old.uid, pax.uid)?,
        gid: id(header.gid(), &old.gid, pax.gid)?,
    };
    let mode = numeric(header.mode(), &old.mode).map_err(|error| of_member(&error.to_string()))?;
    let kind = match kind {
        // Before ustar, a directory was a file whose name ends with a slash.
        0 if path.ends_with(b"/") => MemberKind::Dir,
        b'0' | b'7' | 0 => MemberKind::File,
        b'1' => MemberKind::HardLink,
        b'2' => MemberKind::Symlink,
        b'5' => MemberKind::Dir,
        b'3' | b'4' | b'6' => MemberKind::Device,
        _ => MemberKind::Other,
    };
    // As Go reads it, and so whatever runs containers: these have no content, whatever the size says.
    let size = match kind {
        MemberKind::File | MemberKind::Other => {
            pax.size.map_or_else(|| number(header.entry_size(), &old.size), Ok)?
        }
        _ => 0,
    };
    let target = pax.link.or(link).or(header.link_name_bytes().map(Into::into));
    let target = match kind {
        MemberKind::HardLink | MemberKind::Symlink => target.unwrap_or_default(),
        _ => Vec::new(),
    };
    Ok(Head { kind, mode: (mode & 0o7777) as u16, owner, target, xattrs: pax.xattrs, size, path })
}

fn wrong(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

/// Something is wrong with the member that is called so.
pub(super) fn wrong_at(path: &[u8], reason: &str) -> io::Error {
    wrong(format!("member {:?}: {reason}", String::from_utf8_lossy(path)))
}
