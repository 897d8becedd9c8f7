//! Archives made by hand, good and bad.

mod ar;
mod layers;
mod limits;
mod tar;
mod zip;

use std::io::{Cursor, Write as _};

use super::*;
use crate::tree::fixture::Memory;

/// Unpacks all of `bytes`.
fn unpacked(bytes: &[u8]) -> Result<(Tree, Memory), ArchiveError> {
    with(bytes, &Options::default(), &mut |_| true)
}

fn with(
    bytes: &[u8],
    options: &Options,
    keep: &mut dyn FnMut(&str) -> bool,
) -> Result<(Tree, Memory), ArchiveError> {
    let mut memory = Memory::default();
    let tree = unpack(Cursor::new(bytes), options, keep, &mut memory)?;
    Ok((tree, memory))
}

/// The error of unpacking `bytes`.
fn error(bytes: &[u8]) -> String {
    unpacked(bytes).map(|(tree, _)| tree.to_text()).unwrap_err().to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One stream of one block, with a CRC-64, as the `xz` program writes it.
///
/// Stored, not compressed: LZMA2 has chunks for that, and so it takes no encoder.
fn xz(bytes: &[u8]) -> Vec<u8> {
    xz_with(bytes, 16)
}

/// The same, asking for a dictionary of this size (the xz file format 1.2.0, section 5.3.1).
fn xz_with(bytes: &[u8], dictionary: u8) -> Vec<u8> {
    let crc = |bytes: &[u8]| crc32fast::hash(bytes).to_le_bytes();
    let mut out = [b"\xfd7zXZ\0\0\x04".as_slice(), &crc(&[0, 4])].concat();
    let header = [2, 0, 0x21, 1, dictionary, 0, 0, 0];
    let start = out.len();
    out.extend(header);
    out.extend(crc(&header));
    for (at, chunk) in bytes.chunks(1 << 16).enumerate() {
        out.push(if at == 0 { 1 } else { 2 });
        out.extend(((chunk.len() - 1) as u16).to_be_bytes());
        out.extend(chunk);
    }
    out.push(0);
    let unpadded = out.len() - start + 8;
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(crc64(bytes).to_le_bytes());
    let mut index = vec![0, 1];
    for mut number in [unpadded, bytes.len()] {
        while number >= 0x80 {
            index.push(number as u8 | 0x80);
            number >>= 7;
        }
        index.push(number as u8);
    }
    index.resize(index.len().next_multiple_of(4), 0);
    out.extend(&index);
    out.extend(crc(&index));
    let size = (index.len() + 4) / 4 - 1;
    let footer = [(size as u32).to_le_bytes().as_slice(), &[0, 4]].concat();
    [out, crc(&footer).to_vec(), footer, b"YZ".to_vec()].concat()
}

/// ECMA-182, as xz has it.
fn crc64(bytes: &[u8]) -> u64 {
    let step = |crc: u64, byte: &u8| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xc96c_5795_d787_0f42 } else { 0 }
        })
    };
    !bytes.iter().fold(!0, step)
}

/// One frame with a checksum, as the `zstd` program writes it.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn names_what_it_is_not() {
    for (bytes, says) in [
        (&b""[..], "it is empty"),
        (b"BZh9", "it is bzip2-compressed"),
        (&xz(&[b'x'; 2000]), "it is compressed, but no tar"),
        (b"<!DOCTYPE html>", "it is an HTML page"),
        (
            b"hello",
            "it is something else; expected a tar, tar.gz, tar.xz, tar.zst, zip or ar archive",
        ),
        (&[7; 2000], "it is something else"),
        (&gzip(&[b'x'; 2000]), "it is compressed, but no tar"),
    ] {
        let found = error(bytes);
        assert!(found.contains(says), "{found}");
    }
}

/// Fails after a few bytes, as a full disk does.
struct FullDisk;

impl ContentSink for FullDisk {
    fn put(&mut self, content: &mut dyn Read) -> io::Result<(treelay_recipes::Digest, u64)> {
        content.read_exact(&mut [0])?;
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn tells_a_failing_sink_from_a_bad_archive() {
    let archive = tar::archive(&[tar::file("a/b", b"content")]);
    let options = Options::default();
    let failed = unpack(Cursor::new(&archive), &options, &mut |_| true, &mut FullDisk);
    assert!(matches!(failed, Err(ArchiveError::Keeping { member, .. }) if member == "a/b"));
    let cut = &archive[..tar::BLOCK];
    let failed = unpack(Cursor::new(cut), &options, &mut |_| true, &mut FullDisk);
    assert!(matches!(failed, Err(ArchiveError::Truncated { .. })), "{failed:?}");
}
