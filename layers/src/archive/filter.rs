//! What a tar is compressed with.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

use super::error::Fault;

/// What unpacking xz may take in memory, in KiB: dictionaries of 128 MiB, as of zstd, and what comes
/// with them. (`xz -9` takes 65 MiB.)
const MOST_OF_XZ: u32 = (129 << 10) + 512;

/// What a tar is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Filter {
    /// The tar's own bytes.
    pub(super) fn open<'a, R: BufRead + 'a>(self, archive: R) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(archive),
            Self::Gzip => Box::new(Gzip::Member(Box::new(GzDecoder::new(archive)))),
            // Streams one after the other, each checked as it says itself.
            Self::Xz => Box::new(XzReader::new_mem_limit(archive, true, MOST_OF_XZ)),
            // Reads frame after frame to the end; libzstd refuses windows over 128 MiB.
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(archive)?),
        })
    }
}

/// All members of a gzip file (RFC 1952, section 2.2), each checked against its CRC and length.
/// Zeros may follow the last one, as tapes and `tar` leave them; nothing else may.
enum Gzip<R> {
    Member(Box<GzDecoder<R>>),
    Padding(R),
    Moved,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self {
                Self::Member(member) => {
                    let n = member.read(buffer)?;
                    if n > 0 {
                        return Ok(n);
                    }
                    let Self::Member(member) = std::mem::replace(self, Self::Moved) else {
                        return Ok(0);
                    };
                    let mut rest = member.into_inner();
                    *self = match rest.fill_buf()?.first() {
                        Some(0x1f) => Self::Member(Box::new(GzDecoder::new(rest))),
                        _ => Self::Padding(rest),
                    };
                }
                Self::Padding(rest) => {
                    let chunk = rest.fill_buf()?;
                    if chunk.iter().any(|byte| *byte != 0) {
                        return Err(Fault::Trailing.into());
                    }
                    let length = chunk.len();
                    if length == 0 {
                        return Ok(0);
                    }
                    rest.consume(length);
                }
                Self::Moved => return Ok(0),
            }
        }
    }
}
