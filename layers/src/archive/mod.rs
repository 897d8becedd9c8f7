//! Unpacking archives, safely: one way for every kind of archive.
//!
//! [`unpack`] tells the kind by the first bytes (tar, tar.gz, tar.xz, tar.zst, zip, ar), streams
//! the content of every file into a sink and gives the [`Tree`]. Nothing is ever written to a path
//! that an archive names, so the checks here are not the last line of defence; they make a bad
//! archive a clear error instead of a surprising layer.
//!
//! *What is refused*, always naming the member: absolute paths and paths with `..`; names that are
//! not UTF-8; devices, FIFOs and sockets; symbolic links that leave the root; hard links to what
//! did not come before; one path twice with different content; members below something that is no
//! directory; sparse files, multi-volume members and other extensions that change what content is;
//! encrypted members; zip archives whose central and local headers disagree, whose members overlap
//! or repeat a name, or whose directory is not directly before the end; checksums that do not match;
//! archives that end too early (a tar without its end marker is one); bytes other than zeros behind
//! the end; and what goes over the [`Limits`].
//!
//! *Links.* A relative link leaves the root when following it, through the archive's other links,
//! would. An absolute link is refused unless [`Options::absolute_links`] says that the archive's
//! root is the root of a system. A hard link becomes a file with the same digest and metadata.
//!
//! *What is kept*: permission bits with setuid, setgid and sticky; numeric owners; extended
//! attributes from PAX `SCHILY.xattr.*`, without `security.selinux`, which belongs to the system
//! that a tree ends up on. Times, user names and ACLs are not part of a tree.

mod ar;
mod collect;
mod delta;
mod error;
mod filter;
mod links;
mod lower;
mod members;
mod pax;
mod stream;
mod tar;
mod zip;

#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::{ContentSink, Tree};
use collect::Collector;
pub use delta::{Delta, contents_of};
pub use error::ArchiveError;
use filter::Filter;
pub use lower::{Lower, Misplaced, above};
pub use members::{Member, MemberKind, members};

/// What an archive may cost. What goes over is [`ArchiveError::Limit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Members, those that are left out included.
    pub entries: u64,
    /// Bytes unpacked, all together.
    pub total_bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of one path, before anything is stripped from it.
    pub path_bytes: u64,
    /// Bytes of names, link targets and attributes, which are held in memory, all together.
    pub held_bytes: u64,
    /// How many times its own size an archive may unpack to, once it unpacks to more than
    /// [`Limits::RATIO_FLOOR`].
    pub ratio: u64,
}

impl Limits {
    /// What any archive may unpack to, however small it is: 64 MiB.
    pub const RATIO_FLOOR: u64 = 64 << 20;
}

impl Default for Limits {
    /// A million members, 64 GiB in all, 16 GiB a file, paths of 4095 bytes (Linux's PATH_MAX),
    /// 512 MiB of names and attributes, 100 times the archive's size. (A Go distribution is 12,000
    /// members, 230 MB and 3 times.)
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            total_bytes: 64 << 30,
            file_bytes: 16 << 30,
            path_bytes: 4095,
            held_bytes: 512 << 20,
            ratio: 100,
        }
    }
}

/// How to unpack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Leading path components to leave out; what has no more than these is left out.
    pub strip: u32,
    /// Keep symbolic links with absolute targets: the archive's root is a system's root.
    pub absolute_links: bool,
    /// What the archive may cost.
    pub limits: Limits,
}

/// Unpacks `archive`, from its beginning, into `sink`.
///
/// `keep` is asked for each path, as it will be in the tree. What it declines is left out (checked
/// for its path, not unpacked); a directory that it declines is still there, mode 0755 and root's,
/// where something below is kept.
///
/// # Errors
/// [`ArchiveError`]; contents put into the sink before it stay there, and nothing names them.
pub fn unpack<R: Read + Seek>(
    mut archive: R,
    options: &Options,
    keep: &mut dyn FnMut(&str) -> bool,
    sink: &mut dyn ContentSink,
) -> Result<Tree, ArchiveError> {
    let size = archive.seek(SeekFrom::End(0)).map_err(ArchiveError::Reading)?;
    archive.rewind().map_err(ArchiveError::Reading)?;
    let mut head = [0; tar::BLOCK];
    let length = read_full(&mut archive, &mut head).map_err(ArchiveError::Reading)?;
    archive.rewind().map_err(ArchiveError::Reading)?;

    let mut collector = Collector::new(options, size, keep, sink);
    match Format::of(&head[..length])? {
        Format::Tar(filter) => {
            let mut stream = filter
                .open(BufReader::with_capacity(128 << 10, archive))
                .map_err(ArchiveError::Reading)?;
            tar::read(&mut stream, filter, &mut collector)?;
        }
        Format::Ar => {
            ar::read(&mut BufReader::with_capacity(128 << 10, archive), &mut collector)?;
        }
        Format::Zip => zip::read(archive, size, &mut collector)?,
    }
    collector.finish()
}

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// A tar, perhaps compressed.
    Tar(Filter),
    /// An ar, as Debian's packages are.
    Ar,
    /// A zip.
    Zip,
}

/// The first bytes of what treelay knows, read or not.
const MAGIC: &[(&[u8], Result<Format, &str>)] = &[
    (b"\x1f\x8b", Ok(Format::Tar(Filter::Gzip))),
    (b"\x28\xb5\x2f\xfd", Ok(Format::Tar(Filter::Zstd))),
    (b"PK\x03\x04", Ok(Format::Zip)),
    // A zip without members is its end record alone.
    (b"PK\x05\x06", Ok(Format::Zip)),
    (b"\xfd7zXZ\0", Ok(Format::Tar(Filter::Xz))),
    (b"BZh", Err("bzip2-compressed")),
    (b"7z\xbc\xaf\x27\x1c", Err("a 7-Zip archive")),
    (ar::MAGIC, Ok(Format::Ar)),
    (b"<!DOCTYPE", Err("an HTML page")),
    (b"<html", Err("an HTML page")),
];

impl Format {
    fn of(head: &[u8]) -> Result<Self, ArchiveError> {
        if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return format.map_err(|found| ArchiveError::UnknownFormat { found });
        }
        if head.is_empty() {
            return Err(ArchiveError::UnknownFormat { found: "empty" });
        }
        // Old tars have no magic: the header's checksum tells them.
        match head.try_into() {
            Ok(block) if tar::is_end(block) || tar::has_checksum(block) => {
                Ok(Self::Tar(Filter::None))
            }
            _ => Err(ArchiveError::UnknownFormat { found: "something else" }),
        }
    }
}

/// Reads until `buffer` is full or the end; how much it got.
fn read_full(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
