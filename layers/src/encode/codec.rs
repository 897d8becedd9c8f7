//! Codecs: how frames are compressed and joined.
//!
//! A codec's parameters are part of its id. Whatever changes a byte that it makes, a level, a
//! crate's version, a frame's size, is a new codec with a new id, and the test that pins the
//! digests of a fixed layer says so.

use std::io;

use super::deflate::Deflater;

/// How a layer is compressed. `Display` and `id` give the versioned name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec(Algorithm);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Algorithm {
    Gzip2,
    Zstd1,
}

/// zstd level of `zstd-1`.
const ZSTD_LEVEL: i32 = 3;

/// RFC 1952, 2.3: deflate, no flags, no time, no hint, system unknown.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// RFC 1951, 3.2.6: an empty final block with fixed codes, byte aligned.
const DEFLATE_END: [u8; 2] = [0x03, 0x00];

/// A frame after compression, with what joining it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The compressed bytes.
    pub bytes: Vec<u8>,
    /// CRC-32 of what was compressed.
    pub crc: u32,
    /// How many bytes were compressed.
    pub raw: u64,
}

impl Codec {
    /// One gzip member of joined deflate blocks.
    ///
    /// One member, because ostree-ext reads layers with a decoder that stops after the first;
    /// so each frame ends with an empty stored block that aligns it to a byte,
    /// and its CRC is combined with the others'.
    pub const GZIP: Self = Self(Algorithm::Gzip2);
    /// Concatenated zstd frames.
    pub const ZSTD: Self = Self(Algorithm::Zstd1);
    /// All codecs.
    pub const ALL: [Self; 2] = [Self::GZIP, Self::ZSTD];

    /// The versioned name: `gzip-2`.
    pub fn id(self) -> &'static str {
        match self.0 {
            Algorithm::Gzip2 => "gzip-2",
            Algorithm::Zstd1 => "zstd-1",
        }
    }

    /// The media type of a layer (image-spec, layer.md).
    pub fn media_type(self) -> &'static str {
        match self.0 {
            Algorithm::Gzip2 => "application/vnd.oci.image.layer.v1.tar+gzip",
            Algorithm::Zstd1 => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// A compressor for one thread.
    pub(super) fn compressor(self) -> io::Result<Compressor> {
        Ok(match self.0 {
            Algorithm::Gzip2 => Compressor::Gzip(Deflater::new()?),
            Algorithm::Zstd1 => {
                let mut zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
                zstd.include_checksum(true)?;
                Compressor::Zstd(zstd)
            }
        })
    }

    /// What comes before the first frame.
    pub(super) fn head(self) -> &'static [u8] {
        match self.0 {
            Algorithm::Gzip2 => &GZIP_HEADER,
            Algorithm::Zstd1 => &[],
        }
    }

    /// What comes after the last frame, given CRC and length of the whole.
    pub(super) fn tail(self, crc: u32, raw: u64) -> Vec<u8> {
        match self.0 {
            Algorithm::Gzip2 => {
                let mut tail = DEFLATE_END.to_vec();
                tail.extend_from_slice(&crc.to_le_bytes());
                // RFC 1952: the length modulo 2^32.
                tail.extend_from_slice(&(raw as u32).to_le_bytes());
                tail
            }
            Algorithm::Zstd1 => Vec::new(),
        }
    }
}

/// Compresses frames, one after the other, each by itself.
pub(super) enum Compressor {
    Gzip(Deflater),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    pub(super) fn pack(&mut self, raw: &[u8]) -> io::Result<Packed> {
        let bytes = match self {
            Self::Gzip(deflater) => deflater.pack(raw)?,
            Self::Zstd(zstd) => zstd.compress(raw)?,
        };
        Ok(Packed { bytes, crc: crc32fast::hash(raw), raw: raw.len() as u64 })
    }
}
