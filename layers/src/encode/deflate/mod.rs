//! Deflate blocks that can be joined.
//!
//! libdeflate is the fastest deflate compressor, but it makes whole streams only: its last block is
//! marked as the last. To join streams inside one gzip member, [`walk`] finds that block's header
//! and the stream's last bit; the mark is cleared, and an empty stored block aligns the end to a
//! byte, as a "sync flush" of zlib does (zlib's `examples/gzjoin.c` joins streams the same way).

mod walk;

use std::io;

use libdeflater::{CompressionLvl, Compressor};

/// libdeflate's levels of `gzip-2`. Machine code barely gets smaller from a longer search, and costs
/// half as much again; text does get smaller.
const TEXT_LEVEL: i32 = 3;
const BINARY_LEVEL: i32 = 1;
/// The length fields of an empty stored block (RFC 1951, 3.2.4).
const EMPTY: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compresses frames, one after the other, each by itself.
pub(super) struct Deflater {
    text: Compressor,
    binary: Compressor,
}

/// Whether `raw` is machine code or the like, by its bytes alone: in samples of it, more than one in
/// sixteen is beyond ASCII.
fn is_binary(raw: &[u8]) -> bool {
    let (mut seen, mut beyond) = (0, 0);
    for sample in raw.chunks(4096).step_by(4) {
        seen += sample.len();
        beyond += sample.iter().map(|byte| usize::from(byte >> 7)).sum::<usize>();
    }
    beyond > seen / 16
}

impl Deflater {
    pub(super) fn new() -> io::Result<Self> {
        let level = |level| {
            let level =
                CompressionLvl::new(level).map_err(|_| io::Error::other("no such level"))?;
            Ok::<_, io::Error>(Compressor::new(level))
        };
        Ok(Self { text: level(TEXT_LEVEL)?, binary: level(BINARY_LEVEL)? })
    }

    /// Deflate blocks of `raw` that end on a byte, none of them marked as the last.
    pub(super) fn pack(&mut self, raw: &[u8]) -> io::Result<Vec<u8>> {
        let compressor = if is_binary(raw) { &mut self.binary } else { &mut self.text };
        let bound = compressor.deflate_compress_bound(raw.len());
        let mut bytes = vec![0; bound + 1 + EMPTY.len()];
        let length = compressor
            .deflate_compress(raw, &mut bytes[..bound])
            .map_err(|error| io::Error::other(format!("compressing a frame: {error}")))?;
        let end = walk::last_block(&bytes[..length])
            .ok_or_else(|| io::Error::other("the compressor made no deflate stream"))?;
        bytes[end.header / 8] &= !(1 << (end.header % 8));
        open(&mut bytes, end.bits);
        // Frames are kept and sent about: no more memory than they need.
        bytes.shrink_to_fit();
        Ok(bytes)
    }
}

/// Replaces what follows `bits` by an empty stored block.
fn open(bytes: &mut Vec<u8>, bits: usize) {
    bytes.truncate(bits.div_ceil(8));
    if let (Some(last), used @ 1..) = (bytes.last_mut(), bits % 8) {
        *last &= (1 << used) - 1;
    }
    // Three zero bits, not last and stored; then zeros to the next byte.
    bytes.resize((bits + 3).div_ceil(8), 0);
    bytes.extend_from_slice(&EMPTY);
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Bytes that make blocks of every type: noise (stored), a few bytes (fixed codes), text.
    fn samples() -> Vec<Vec<u8>> {
        let noise = |seed: u64, length: usize| {
            let mut state = seed | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            };
            (0..length).map(|_| next()).collect::<Vec<u8>>()
        };
        let text = |words: usize| {
            (0..words).map(|n| format!("word{} ", n * n % 977)).collect::<String>().into_bytes()
        };
        let mut samples = vec![vec![], vec![7], b"hello".to_vec(), vec![0; 1 << 20]];
        samples.extend((1..40).map(|n| noise(n, n as usize * 37)));
        samples.extend((0..40).map(|n| text(n * n * 40)));
        samples.push(noise(99, 300_000));
        samples.push([text(30_000), noise(5, 100_000), text(50_000), vec![b'a'; 400_000]].concat());
        // Skewed, so that codes get long.
        samples.push((0..500_000_u32).map(|n| n.trailing_zeros() as u8).collect());
        samples
    }

    #[test]
    fn joined_streams_are_one_stream() {
        let mut deflater = Deflater::new().unwrap();
        let samples = samples();
        for sample in &samples {
            let mut stream = deflater.pack(sample).unwrap();
            stream.extend_from_slice(&[3, 0]);
            assert_eq!(inflate(&stream), *sample, "{} bytes", sample.len());
        }
        let mut stream = Vec::new();
        for sample in &samples {
            stream.extend_from_slice(&deflater.pack(sample).unwrap());
        }
        stream.extend_from_slice(&[3, 0]);
        assert_eq!(inflate(&stream), samples.concat());
    }

    fn inflate(stream: &[u8]) -> Vec<u8> {
        let mut raw = Vec::new();
        let mut decoder = flate2::bufread::DeflateDecoder::new(stream);
        decoder.read_to_end(&mut raw).unwrap();
        assert!(decoder.into_inner().is_empty(), "the stream ends early");
        raw
    }

    #[test]
    fn code_is_told_from_text() {
        assert!(!is_binary(b""));
        assert!(!is_binary(
            "// a naïve text in UTF-8, as comments in sources often have it\n".as_bytes()
        ));
        // A header of tar and its padding.
        assert!(!is_binary(&[b"usr/bin/go\0".as_slice(), &[0; 501]].concat()));
        let code: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
        assert!(is_binary(&code));
    }

    #[test]
    fn what_is_no_stream_is_told() {
        let mut compressor = Compressor::new(CompressionLvl::new(6).unwrap());
        for sample in samples() {
            let mut bytes = vec![0; compressor.deflate_compress_bound(sample.len())];
            let length = compressor.deflate_compress(&sample, &mut bytes).unwrap();
            bytes.truncate(length);
            let end = walk::last_block(&bytes).unwrap();
            assert_eq!(end.bits.div_ceil(8), length);
            // Cut short, it never ends.
            for cut in [length - 1, length / 2, 0] {
                assert!(walk::last_block(&bytes[..cut]).is_none_or(|end| end.bits <= cut * 8));
                if cut < length.saturating_sub(8) {
                    assert!(walk::last_block(&bytes[..cut]).is_none(), "{cut} of {length}");
                }
            }
        }
    }
}
