//! A stream that is compressed while it is written, by the same codecs, for bytes that are no tree of
//! treelay's.

use std::io::{self, Write};

use super::codec::{Codec, Compressor};

/// How much is compressed at a time; part of what the codecs make of a stream.
const FRAME: usize = 1 << 20;

/// Writes what a codec makes of what is written to it: one gzip member, or zstd frames. It depends on
/// the bytes alone, not on how they come.
pub struct Stream<W> {
    out: W,
    codec: Codec,
    compressor: Compressor,
    frame: Vec<u8>,
    crc: crc32fast::Hasher,
    raw: u64,
}

impl<W: Write> Stream<W> {
    /// Begins one.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(codec: Codec, mut out: W) -> io::Result<Self> {
        out.write_all(codec.head())?;
        let (compressor, frame) = (codec.compressor()?, Vec::with_capacity(FRAME));
        Ok(Self { out, codec, compressor, frame, crc: crc32fast::Hasher::new(), raw: 0 })
    }

    /// Ends it; without this, it is not whole.
    ///
    /// # Errors
    /// What the place that is written to says.
    pub fn finish(mut self) -> io::Result<W> {
        // Nothing at all is a frame of nothing: zstd has no other way to say so.
        if !self.frame.is_empty() || self.raw == 0 {
            self.pack()?;
        }
        let tail = self.codec.tail(self.crc.finalize(), self.raw);
        self.out.write_all(&tail)?;
        Ok(self.out)
    }

    fn pack(&mut self) -> io::Result<()> {
        let packed = self.compressor.pack(&self.frame)?;
        self.out.write_all(&packed.bytes)?;
        self.crc.combine(&crc32fast::Hasher::new_with_initial_len(packed.crc, packed.raw));
        self.raw += packed.raw;
        self.frame.clear();
        Ok(())
    }
}

impl<W: Write> Write for Stream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(FRAME - self.frame.len());
        self.frame.extend_from_slice(&bytes[..taken]);
        if self.frame.len() == FRAME {
            self.pack()?;
        }
        Ok(taken)
    }

    /// Passes on what is complete; the rest waits for more.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use treelay_recipes::Digest;

    use super::*;

    fn packed(codec: Codec, raw: &[u8], at_once: usize) -> Vec<u8> {
        let mut stream = Stream::new(codec, Vec::new()).unwrap();
        raw.chunks(at_once).for_each(|part| stream.write_all(part).unwrap());
        stream.flush().unwrap();
        stream.finish().unwrap()
    }

    fn lines(length: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for n in 0_u64.. {
            if text.len() >= length {
                break;
            }
            text.extend(format!("{:x} is a number\n", n.wrapping_mul(0x9e37_79b9)).bytes());
        }
        text.truncate(length);
        text
    }

    #[test]
    fn others_read_what_was_written_however_it_came() {
        for length in [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 3 * FRAME + 7] {
            let raw = lines(length);
            let gzip = packed(Codec::GZIP, &raw, 70_000);
            assert_eq!(gzip, packed(Codec::GZIP, &raw, usize::MAX), "{length}");
            // One member, which this decoder stops after.
            let mut decoder = flate2::bufread::GzDecoder::new(&gzip[..]);
            let mut found = Vec::new();
            decoder.read_to_end(&mut found).unwrap();
            assert!(found == raw && decoder.into_inner().is_empty(), "{length}");
            let zstd = packed(Codec::ZSTD, &raw, 70_000);
            assert!(zstd::decode_all(&zstd[..]).unwrap() == raw, "{length}");
        }
    }

    /// A change of these is another codec: whoever has a layer would fetch it again.
    #[test]
    fn the_bytes_are_pinned() {
        let raw = lines(2 * FRAME + 100);
        for (codec, expected) in [
            (Codec::GZIP, "b09ed0a024bffcd9fa8b142bae81869f509ae111e8fb6c3dd189f7e253269d71"),
            (Codec::ZSTD, "c64eaa2a141ada362a34fd94dcdea73e9f3e4da88c1edc7368ce5b4a24696d0a"),
        ] {
            let found = Digest::of(packed(codec, &raw, 5000));
            assert_eq!(found.hex(), expected, "{}", codec.id());
        }
    }
}
