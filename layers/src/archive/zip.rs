//! Reading zip (APPNOTE 6.3.10), by its central directory.

mod directory;

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, System, ZipArchive};

use super::collect::{Collector, Meta, Place};
use super::error::ArchiveError;
use super::read_full;
use crate::tree::Owner;

/// Reads a zip and hands its members to `collector`.
pub(super) fn read<R: Read + Seek>(
    archive: R,
    size: u64,
    collector: &mut Collector<'_>,
) -> Result<(), ArchiveError> {
    let mut archive = BufReader::with_capacity(16 << 10, archive);
    directory::check(&mut archive, size, collector)?;
    // It begins where the file begins, and is not searched for.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive =
        ZipArchive::with_config(config, archive).map_err(|error| failed(error, collector))?;
    for at in 0..archive.len() {
        let entry = archive.by_index_data(at).map_err(|error| failed(error, collector))?;
        let member = || String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.encrypted() {
            return Err(ArchiveError::Encrypted { member: member() });
        }
        let method = entry.compression();
        if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
            let what = format!("compression other than deflate ({method})");
            return Err(ArchiveError::Unsupported { member: member(), what });
        }
    }
    if archive.has_duplicate_names() {
        let start = archive.central_directory_start();
        return Err(repeated(archive.into_inner(), start, collector));
    }
    // Readers that stream see local headers, others the central directory: both must say the
    // same, or the archive is two archives.
    archive.validate_header_consistency().map_err(|error| failed(error, collector))?;
    let mut contents = Vec::with_capacity(archive.len());
    for at in 0..archive.len() {
        contents.push(member(&mut archive, at, collector)?);
    }
    // A few bytes here and there: nothing for a buffer.
    let mut archive = archive.into_inner().into_inner();
    for content in contents {
        content.check_descriptor(&mut archive, collector)?;
    }
    Ok(())
}

/// What the directory says of a content.
struct Said {
    name: Vec<u8>,
    /// Where its local header begins.
    header: u64,
    crc32: u32,
    packed: u64,
    size: u64,
}

impl Said {
    /// Whoever writes to a pipe says these behind the content (APPNOTE 4.3.9), which the `zip` crate
    /// does not compare.
    fn check_descriptor(
        &self,
        archive: &mut (impl Read + Seek),
        collector: &mut Collector<'_>,
    ) -> Result<(), ArchiveError> {
        let mut read = |at: u64, bytes: &mut [u8]| {
            archive.seek(SeekFrom::Start(at)).and_then(|_| read_full(archive, bytes))
        };
        // A local header, 30 bytes: flags at 6, lengths of name and extra field at 26 (APPNOTE 4.3.7).
        let mut header = [0; 30];
        read(self.header, &mut header).map_err(|error| collector.failed(error))?;
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        if half(6) & DESCRIPTOR == 0 {
            return Ok(());
        }
        let content = self.header + 30 + u64::from(half(26)) + u64::from(half(28));
        let mut there = [0; 24];
        let length = read(content.saturating_add(self.packed), &mut there)
            .map_err(|error| collector.failed(error))?;
        // With or without a signature, in numbers of 32 or 64 bits.
        let crc32 = self.crc32.to_le_bytes();
        let short = |number: u64| (number as u32).to_le_bytes();
        let narrow = [crc32, short(self.packed), short(self.size)].concat();
        let wide = [&crc32[..], &self.packed.to_le_bytes(), &self.size.to_le_bytes()].concat();
        let found = &there[..length];
        let bare = found.strip_prefix(b"PK\x07\x08").unwrap_or(found);
        if [found, bare].iter().any(|it| it.starts_with(&narrow) || it.starts_with(&wide)) {
            return Ok(());
        }
        collector.member = String::from_utf8_lossy(&self.name).into_owned();
        Err(collector.corrupt("what stands behind its content says another size or checksum"))
    }
}

/// Names the member that is there twice: the `zip` crate keeps only the last of a name.
fn repeated(mut archive: impl Read + Seek, start: u64, collector: &Collector<'_>) -> ArchiveError {
    let mut find = || -> io::Result<Vec<u8>> {
        archive.seek(SeekFrom::Start(start))?;
        let mut seen = std::collections::BTreeSet::new();
        loop {
            // A central header, 46 bytes: lengths of name, extra field and comment at 28, then
            // these three (APPNOTE 4.3.12).
            let mut header = [0; 46];
            archive.read_exact(&mut header)?;
            let length = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
            let mut name = vec![0; length(28)];
            archive.read_exact(&mut name)?;
            archive.seek_relative((length(30) + length(32)) as i64)?;
            if !seen.insert(name.clone()) {
                return Ok(name);
            }
        }
    };
    match find() {
        Ok(name) => ArchiveError::Twice { member: String::from_utf8_lossy(&name).into_owned() },
        Err(error) => collector.failed(error),
    }
}

/// The flag of a local header that says that sizes follow the content (APPNOTE 4.4.4).
const DESCRIPTOR: u16 = 1 << 3;
/// What the kinds of file are in a Unix mode (POSIX, sys/stat.h; the numbers are zip's too).
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

fn member<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    at: usize,
    collector: &mut Collector<'_>,
) -> Result<Said, ArchiveError> {
    let entry = archive.by_index_data(at).map_err(|error| failed(error, collector))?;
    let name = entry.name_raw().to_vec();
    let (size, is_dir) = (entry.size(), name.ends_with(b"/"));
    let (crc32, packed) = (entry.crc32(), entry.compressed_size());
    let said = Said { name: name.clone(), header: entry.header_start(), crc32, packed, size };
    // The upper half is a Unix mode wherever it is set, whichever system is named: Python writes
    // both on every system. Elsewhere a zip says nothing of modes.
    let mode = match entry.external_attributes() >> 16 {
        0 if is_dir => DIRECTORY | 0o755,
        0 => REGULAR | 0o644,
        mode if mode & TYPE == 0 => mode | if is_dir { DIRECTORY } else { REGULAR },
        mode => mode,
    };
    let from_dos = matches!(entry.system(), System::Dos);
    let place = collector.begin(&name)?;
    if from_dos && name.contains(&b'\\') {
        let member = collector.member.clone();
        return Err(ArchiveError::Path { member, reason: "separates with backslashes" });
    }

    let meta = Meta { mode, owner: Owner::default(), xattrs: Vec::new() };
    let path = match (mode & TYPE, is_dir) {
        (DIRECTORY, true) if size == 0 => {
            if let Place::At(path) = place {
                collector.dir(path, meta)?;
            }
            return Ok(said);
        }
        (DIRECTORY, _) | (_, true) => {
            return Err(collector
                .corrupt("it is a file by its name and a directory by its mode, or the reverse"));
        }
        (REGULAR | SYMLINK, _) => place,
        _ => {
            let member = collector.member.clone();
            return Err(ArchiveError::Special { member, kind: "device, FIFO or socket" });
        }
    };
    let Place::At(path) = path else { return Ok(said) };
    collector.check_size(size)?;
    let mut content = archive.by_index(at).map_err(|error| failed(error, collector))?;
    if mode & TYPE == REGULAR {
        return collector.file(path, meta, size, &mut content, true).map(|()| said);
    }
    // A link's target is its content; a target of 4096 bytes is refused as too long.
    let mut target = Vec::new();
    let read = content.take(4096).read_to_end(&mut target);
    collector.spend(target.len() as u64)?;
    read.map_err(|error| collector.failed(error))?;
    collector.symlink(path, &target, meta).map(|()| said)
}

/// What the `zip` crate's error means here.
fn failed(error: ZipError, collector: &Collector<'_>) -> ArchiveError {
    match error {
        ZipError::Io(error) => collector.failed(error),
        ZipError::InvalidArchive(reason) => collector.corrupt(reason),
        ZipError::UnsupportedArchive(what) => collector.unsupported(what),
        other => collector.failed(io::Error::other(other)),
    }
}
