//! Walks a raw deflate stream (RFC 1951) bit by bit, without unpacking it.
//!
//! Inflaters ignore the bits between a block's header and the next byte of a stored block, and those
//! after the end of the stream. Every compressor writes zeros there, so anything else is damage
//! (or somebody hiding something), which the checksum of the content cannot tell.

use std::io::{self, Read};

/// Extra bits of the length symbols 257 to 285 and of the distance symbols 0 to 29 (RFC 1951,
/// 3.2.5).
const LENGTH_EXTRA: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_EXTRA: [u8; 30] = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13,
];
/// The order of the code lengths of code lengths (RFC 1951, 3.2.7).
const CODE_LENGTH_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const END_OF_BLOCK: u16 = 256;

/// Walks to the end of the stream, which must be the end of `from`.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] where unused bits are set, something follows the end, or it is no
/// deflate stream.
pub(super) fn check_unused_bits(from: &mut dyn Read) -> io::Result<()> {
    let mut bits = Bits { from, buffer: vec![0; 64 << 10], at: 0, end: 0, held: 0, count: 0 };
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits)?,
            1 => {
                let mut lengths = [8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                block(&mut bits, &Code::new(&lengths)?, &Code::new(&[5; 30])?)?;
            }
            2 => {
                let (literals, distances) = codes(&mut bits)?;
                block(&mut bits, &literals, &distances)?;
            }
            _ => return Err(damaged()),
        }
        if last {
            bits.finish_byte()?;
            return if bits.is_at_end()? { Ok(()) } else { Err(damaged()) };
        }
    }
}

fn stored(bits: &mut Bits<'_>) -> io::Result<()> {
    bits.finish_byte()?;
    let (length, complement) = (bits.take(16)?, bits.take(16)?);
    if length ^ complement != 0xffff {
        return Err(damaged());
    }
    bits.skip_bytes(length as usize)
}

fn block(bits: &mut Bits<'_>, literals: &Code, distances: &Code) -> io::Result<()> {
    loop {
        match literals.next(bits)? {
            symbol if symbol < END_OF_BLOCK => {}
            END_OF_BLOCK => return Ok(()),
            symbol => {
                let extra = LENGTH_EXTRA.get(usize::from(symbol - 257)).ok_or_else(damaged)?;
                bits.take(u32::from(*extra))?;
                let distance = usize::from(distances.next(bits)?);
                let extra = DISTANCE_EXTRA.get(distance).ok_or_else(damaged)?;
                bits.take(u32::from(*extra))?;
            }
        }
    }
}

/// The codes of a dynamic block.
fn codes(bits: &mut Bits<'_>) -> io::Result<(Code, Code)> {
    let literals = bits.take(5)? as usize + 257;
    let distances = bits.take(5)? as usize + 1;
    let given = bits.take(4)? as usize + 4;
    let mut lengths = [0; 19];
    for &at in &CODE_LENGTH_ORDER[..given] {
        // Three bits.
        lengths[at] = bits.take(3)? as u8;
    }
    let code = Code::new(&lengths)?;
    let mut lengths: Vec<u8> = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let (length, times) = match code.next(bits)? {
            16 => (*lengths.last().ok_or_else(damaged)?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            // At most 15.
            length => (length as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times as usize));
    }
    if lengths.len() > literals + distances {
        return Err(damaged());
    }
    Ok((Code::new(&lengths[..literals])?, Code::new(&lengths[literals..])?))
}

/// A Huffman code as a table of all values of as many bits as its longest has.
struct Code {
    bits: u32,
    /// Symbol and length; length 0 where no code begins like that.
    table: Vec<(u16, u8)>,
}

impl Code {
    fn new(lengths: &[u8]) -> io::Result<Self> {
        let bits = u32::from(lengths.iter().copied().max().unwrap_or_default());
        let mut table = vec![(0, 0); 1 << bits];
        let mut code = 0_u32;
        // RFC 1951, 3.2.2: codes of one length are consecutive, in the order of their symbols.
        for length in 1..=bits {
            code <<= 1;
            for (symbol, _) in
                lengths.iter().enumerate().filter(|(_, it)| u32::from(**it) == length)
            {
                if code >> length != 0 {
                    return Err(damaged());
                }
                // Codes come with their first bit lowest.
                let first = code.reverse_bits() >> (32 - length);
                for at in (first as usize..table.len()).step_by(1 << length) {
                    // 288 symbols and 15 bits at most.
                    table[at] = (symbol as u16, length as u8);
                }
                code += 1;
            }
        }
        Ok(Self { bits, table })
    }

    fn next(&self, bits: &mut Bits<'_>) -> io::Result<u16> {
        let (symbol, length) = self.table[bits.peek(self.bits)? as usize];
        if length == 0 {
            return Err(damaged());
        }
        bits.take(u32::from(length))?;
        Ok(symbol)
    }
}

/// Bits of a stream, the lowest of each byte first.
struct Bits<'a> {
    from: &'a mut dyn Read,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// `count` bits that were read and not taken.
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn byte(&mut self) -> io::Result<Option<u8>> {
        if self.at == self.end {
            (self.at, self.end) = (0, super::filez::read_full(self.from, &mut self.buffer)?);
            if self.end == 0 {
                return Ok(None);
            }
        }
        self.at += 1;
        Ok(Some(self.buffer[self.at - 1]))
    }

    /// The next `n` (at most 16) bits, zeros where the stream ends.
    fn peek(&mut self, n: u32) -> io::Result<u32> {
        while self.count < n {
            let Some(byte) = self.byte()? else { break };
            self.held |= u64::from(byte) << self.count;
            self.count += 8;
        }
        // Fewer than 32 bits remain.
        Ok((self.held & ((1 << n) - 1)) as u32)
    }

    fn take(&mut self, n: u32) -> io::Result<u32> {
        let value = self.peek(n)?;
        if self.count < n {
            return Err(damaged());
        }
        self.held >>= n;
        self.count -= n;
        Ok(value)
    }

    /// Takes what is left of the byte, which must be zeros.
    fn finish_byte(&mut self) -> io::Result<()> {
        match self.take(self.count % 8)? {
            0 => Ok(()),
            _ => Err(bad("bits that must be zero are set in its content")),
        }
    }

    fn skip_bytes(&mut self, mut n: usize) -> io::Result<()> {
        while n > 0 && self.count > 0 {
            self.take(8)?;
            n -= 1;
        }
        while n > 0 {
            if self.at == self.end {
                self.byte()?.ok_or_else(damaged)?;
                n -= 1;
                continue;
            }
            let step = n.min(self.end - self.at);
            self.at += step;
            n -= step;
        }
        Ok(())
    }

    fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.count == 0 && self.byte()?.is_none())
    }
}

fn damaged() -> io::Error {
    bad("its content cannot be unpacked")
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stream: &[u8]) -> Result<(), String> {
        check_unused_bits(&mut &stream[..]).map_err(|error| error.to_string())
    }

    #[test]
    fn unused_bits_must_be_zero() {
        let set = "bits that must be zero are set in its content";
        for (stream, expected) in [
            // An empty fixed block: 3 bits of header, 7 of end; 6 bits are unused.
            (&[0x03, 0x00][..], Ok(())),
            (&[0x03, 0x04], Err(set)),
            (&[0x03, 0x80], Err(set)),
            // A stored block of one byte: 5 bits are unused.
            (&[0x01, 0x01, 0x00, 0xfe, 0xff, b'a'], Ok(())),
            (&[0x21, 0x01, 0x00, 0xfe, 0xff, b'a'], Err(set)),
            (&[0x01, 0x01, 0x00, 0xff, 0xff, b'a'], Err("its content cannot be unpacked")),
            (&[0x03, 0x00, 0x00], Err("its content cannot be unpacked")),
            (&[0x03], Err("its content cannot be unpacked")),
            (&[], Err("its content cannot be unpacked")),
        ] {
            assert_eq!(check(stream), expected.map_err(str::to_owned), "{stream:x?}");
        }
    }
}
