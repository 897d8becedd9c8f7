//! Archives made by hand, good and bad.

mod layers;
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
        (b"\xfd7zXZ\0rest", "it is xz-compressed"),
        (b"!<arch>\ndebian-binary", "it is an ar archive"),
        (b"<!DOCTYPE html>", "it is an HTML page"),
        (b"hello", "it is something else; expected a tar, tar.gz, tar.zst or zip archive"),
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
