//! `.filez`, the form of content objects in an archive repository: a header that repeats what the
//! checksum covers, then the content as one raw deflate stream (RFC 1951). A link has no stream.
//!
//! libostree compresses with zlib on one processor; this writes the same form faster, and reads it
//! more strictly: libostree's `fsck` overlooks a wrong size in the header and bytes after the end.

use std::io::{self, Read, Seek, SeekFrom, Write};

use libdeflater::{CompressionLvl, Compressor};
use treelay_recipes::{Digest, Hasher};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

use super::deflate;
use super::objects::FileMeta;

/// Content up to this size is compressed in one piece, which is faster; longer content streams.
pub(super) const IN_ONE_PIECE: u64 = 1 << 20;
/// Buffers of streams.
const BUFFER: usize = 64 << 10;
/// 32 KiB, the largest window that RFC 1951 knows.
const WINDOW_BITS: u8 = 15;
/// A header holds a path and attributes at most (64 KiB each, the kernel's limits, and some room).
const MAX_HEADER: u32 = 1 << 24;

/// Compresses content; one a thread.
pub(super) struct Packer {
    level: i32,
    small: Compressor,
    packed: Vec<u8>,
}

impl Packer {
    /// `level` from 1 to 9, zlib's scale.
    pub(super) fn new(level: i32) -> Self {
        let level = level.clamp(1, 9);
        let small = CompressionLvl::new(level).unwrap_or_default();
        Self { level, small: Compressor::new(small), packed: Vec::new() }
    }

    /// The object of `content`, which is small.
    pub(super) fn pack(&mut self, meta: &FileMeta, content: &[u8]) -> io::Result<&[u8]> {
        self.packed.clear();
        self.packed.extend_from_slice(&meta.archive_header(content.len() as u64));
        let start = self.packed.len();
        self.packed.resize(start + self.small.deflate_compress_bound(content.len()), 0);
        let n = self
            .small
            .deflate_compress(content, &mut self.packed[start..])
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(&self.packed[..start + n])
    }

    /// Writes the object of all that `content` gives, which its header says is `size` bytes.
    pub(super) fn pack_stream(
        &mut self,
        meta: &FileMeta,
        size: u64,
        content: &mut dyn Read,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        out.write_all(&meta.archive_header(size))?;
        let mut deflate = Deflate::new(self.level, false, WINDOW_BITS);
        let mut input = vec![0; BUFFER];
        self.packed.resize(BUFFER, 0);
        loop {
            let n = read_full(content, &mut input)?;
            let flush = if n < input.len() { DeflateFlush::Finish } else { DeflateFlush::NoFlush };
            let mut rest = &input[..n];
            loop {
                let (before_in, before_out) = (deflate.total_in(), deflate.total_out());
                let status = deflate
                    .compress(rest, &mut self.packed, flush)
                    .map_err(|error| io::Error::other(error.as_str()))?;
                // Both are differences within one buffer.
                rest = &rest[(deflate.total_in() - before_in) as usize..];
                let made = (deflate.total_out() - before_out) as usize;
                out.write_all(&self.packed[..made])?;
                match status {
                    Status::StreamEnd => return Ok(()),
                    _ if rest.is_empty() && made < self.packed.len() => break,
                    _ => {}
                }
            }
        }
    }
}

/// The object of a link.
pub(super) fn pack_link(meta: &FileMeta) -> Vec<u8> {
    meta.archive_header(0)
}

/// Reads an object to its end, twice, and gives its checksum and the size of its content.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] with the reason for anything that is not exactly one object.
pub(super) fn check(mut object: impl Read + Seek) -> io::Result<(Digest, u64)> {
    let mut start = [0; 8];
    object.read_exact(&mut start).map_err(|_| bad("it ends inside its header"))?;
    let length = u32::from_be_bytes([start[0], start[1], start[2], start[3]]);
    if start[4..] != [0; 4] || length > MAX_HEADER {
        return Err(bad("its header is damaged"));
    }
    let mut header = vec![0; length as usize];
    object.read_exact(&mut header).map_err(|_| bad("it ends inside its header"))?;
    let (meta, size) =
        FileMeta::from_archive_header(&header).ok_or_else(|| bad("its header is damaged"))?;
    // Whatever is not said in the one canonical way is damage, even if it reads the same.
    if meta.archive_header(size)[8..] != header {
        return Err(bad("its header is damaged"));
    }
    let mut hasher = Hasher::default();
    hasher.update(&meta.header());
    let found = if meta.is_regular() { inflate(&mut object, &mut hasher)? } else { 0 };
    if object.read(&mut [0])? != 0 {
        return Err(bad("there are bytes after its end"));
    }
    if meta.is_regular() {
        object.seek(SeekFrom::Start((start.len() + header.len()) as u64))?;
        deflate::check_unused_bits(&mut object)?;
    }
    if found != size {
        return Err(bad(&format!("its header says {size} bytes, its content has {found}")));
    }
    Ok((hasher.finish(), size))
}

/// Hashes what the deflate stream holds; how much that is.
fn inflate(stream: &mut dyn Read, hasher: &mut Hasher) -> io::Result<u64> {
    let mut inflate = Inflate::new(false, WINDOW_BITS);
    let (mut input, mut output) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        let n = read_full(stream, &mut input)?;
        let mut rest = &input[..n];
        loop {
            let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress(rest, &mut output, InflateFlush::NoFlush)
                .map_err(|error| bad(&format!("its content cannot be unpacked: {error:?}")))?;
            rest = &rest[(inflate.total_in() - before_in) as usize..];
            let made = (inflate.total_out() - before_out) as usize;
            hasher.update(&output[..made]);
            match status {
                Status::StreamEnd if rest.is_empty() => return Ok(inflate.total_out()),
                Status::StreamEnd => return Err(bad("there are bytes after its end")),
                _ if rest.is_empty() && made < output.len() => break,
                _ => {}
            }
        }
        if n < input.len() {
            return Err(bad("its content is cut short"));
        }
    }
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Reads until `buffer` is full or the end; how much.
pub(super) fn read_full(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match from.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use treelay_layers::tree::{Entry, TreePath};

    use super::*;

    fn meta(mode: u16) -> FileMeta {
        let path = TreePath::new("f").unwrap();
        let xattrs = vec![("user.a".to_owned(), b"b".to_vec())];
        FileMeta::of(&Entry::new_file(path, mode, Digest::of(""), 0).with_xattrs(xattrs)).unwrap()
    }

    /// Bytes that compress to about half.
    fn noise(n: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as u8
        };
        (0..n).map(next).collect()
    }

    #[test]
    fn both_ways_of_packing_read_back() {
        for n in [0, 1, 4095, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER, 1_000_001] {
            let content = noise(n);
            let mut expected = Hasher::default();
            expected.update(&meta(0o644).header());
            expected.update(&content);
            let expected = (expected.finish(), n as u64);
            let mut packer = Packer::new(6);
            let mut streamed = Vec::new();
            let whole = packer.pack(&meta(0o644), &content).unwrap().to_vec();
            packer
                .pack_stream(&meta(0o644), n as u64, &mut content.as_slice(), &mut streamed)
                .unwrap();
            assert_eq!(check(io::Cursor::new(&whole)).unwrap(), expected, "{n} bytes, whole");
            assert_eq!(check(io::Cursor::new(&streamed)).unwrap(), expected, "{n} bytes, streamed");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        for content in [noise(300), Vec::new(), vec![b'a'], noise(1500)] {
            let object = Packer::new(6).pack(&meta(0o755), &content).unwrap().to_vec();
            let good = check(io::Cursor::new(&object)).unwrap();
            for bit in 0..object.len() * 8 {
                let mut patched = object.clone();
                patched[bit / 8] ^= 1 << (bit % 8);
                let found = check(io::Cursor::new(&patched));
                assert!(found.is_err() || found.unwrap().0 != good.0, "bit {bit}");
            }
            let longer = [object.as_slice(), &[0]].concat();
            assert!(check(io::Cursor::new(longer)).is_err());
            assert!(check(io::Cursor::new(&object[..object.len() - 1])).is_err());
        }
    }
}
