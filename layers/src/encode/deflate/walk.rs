//! Walking a deflate stream (RFC 1951) from block to block, without unpacking it.
//!
//! What costs is one table look-up a symbol: a table's entry is the number of bits that the symbol
//! takes with its extra bits, and whether it is a literal, a match or the end of the block. What the
//! literals and matches are does not matter here.

/// Where a stream's last block begins, and where the stream ends, in bits from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastBlock {
    /// The block's first bit, which marks it as the last.
    pub header: usize,
    /// After the stream's last bit.
    pub bits: usize,
}

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

/// An entry of a table: the low five bits say how many bits to pass, the others what it is.
const BITS: u8 = 0x1f;
const LITERAL: u8 = 0;
const MATCH: u8 = 0x20;
const END: u8 = 0x40;
/// No code begins like that.
const NONE: u8 = 0x60;

/// Finds the last block of the stream at the beginning of `bytes`; `None` where there is no whole
/// stream.
pub(super) fn last_block(bytes: &[u8]) -> Option<LastBlock> {
    let mut bits = Bits { bytes, at: 0, held: 0, count: 0 };
    let mut tables = Tables::default();
    loop {
        let header = bits.position();
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits)?,
            1 => {
                tables.fixed()?;
                tables.walk(&mut bits)?;
            }
            2 => {
                tables.dynamic(&mut bits)?;
                tables.walk(&mut bits)?;
            }
            _ => return None,
        }
        if last {
            return Some(LastBlock { header, bits: bits.position() });
        }
    }
}

fn stored(bits: &mut Bits<'_>) -> Option<()> {
    bits.take((8 - bits.position() as u32 % 8) % 8)?;
    let length = bits.take(16)?;
    if length ^ bits.take(16)? != 0xffff {
        return None;
    }
    bits.skip_bytes(length as usize)
}

/// The tables of a block.
#[derive(Default)]
struct Tables {
    symbols: Table,
    distances: Table,
}

impl Tables {
    fn fixed(&mut self) -> Option<()> {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.symbols.set(&lengths, symbol)?;
        self.distances.set(&[5; 30], distance)
    }

    fn dynamic(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let symbols = bits.take(5)? as usize + 257;
        let distances = bits.take(5)? as usize + 1;
        let given = bits.take(4)? as usize + 4;
        let mut code_lengths = [0; 19];
        for &at in &CODE_LENGTH_ORDER[..given] {
            code_lengths[at] = bits.take(3)? as u8;
        }
        let mut codes = [(0, 0); 128];
        fill(&code_lengths, 7, |at, length, symbol| codes[at] = (symbol, length))?;
        let mut lengths = Vec::with_capacity(symbols + distances + 138);
        while lengths.len() < symbols + distances {
            bits.refill();
            let (symbol, length) = codes[(bits.held & 127) as usize];
            if length == 0 {
                return None;
            }
            bits.pass(length)?;
            let (length, times) = match symbol {
                16 => (*lengths.last()?, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                18 => (0, 11 + bits.take(7)?),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times as usize));
        }
        if lengths.len() > symbols + distances {
            return None;
        }
        self.symbols.set(&lengths[..symbols], symbol)?;
        self.distances.set(&lengths[symbols..], distance)
    }

    /// Walks to the end of the block.
    fn walk(&self, bits: &mut Bits<'_>) -> Option<()> {
        loop {
            // At least 56 bits: three literals of at most 15, or a length and a distance, which
            // together take at most 48.
            bits.refill();
            let mut entry = self.symbols.at(bits.held);
            for _ in 0..2 {
                if entry & !BITS != LITERAL {
                    break;
                }
                bits.pass(entry & BITS)?;
                entry = self.symbols.at(bits.held);
            }
            bits.pass(entry & BITS)?;
            match entry & !BITS {
                LITERAL => {}
                MATCH => {
                    bits.refill();
                    let entry = self.distances.at(bits.held);
                    if entry & !BITS != LITERAL {
                        return None;
                    }
                    bits.pass(entry & BITS)?;
                }
                END => return Some(()),
                _ => return None,
            }
        }
    }
}

/// What a symbol of the first alphabet is, and its extra bits.
fn symbol(symbol: usize) -> Option<(u8, u8)> {
    match symbol {
        0..256 => Some((LITERAL, 0)),
        256 => Some((END, 0)),
        _ => LENGTH_EXTRA.get(symbol - 257).map(|extra| (MATCH, *extra)),
    }
}

/// What a distance symbol is, and its extra bits.
fn distance(symbol: usize) -> Option<(u8, u8)> {
    DISTANCE_EXTRA.get(symbol).map(|extra| (LITERAL, *extra))
}

/// A Huffman code as a table of all values of as many bits as its longest code has.
#[derive(Default)]
struct Table {
    mask: u64,
    entries: Vec<u8>,
}

impl Table {
    fn set(&mut self, lengths: &[u8], meaning: fn(usize) -> Option<(u8, u8)>) -> Option<()> {
        let bits = u32::from(lengths.iter().copied().max().unwrap_or_default());
        self.mask = (1 << bits) - 1;
        self.entries.clear();
        self.entries.resize(1 << bits, NONE);
        let entries = &mut self.entries;
        fill(lengths, bits, |at, length, symbol| {
            if let Some((kind, extra)) = meaning(usize::from(symbol)) {
                entries[at] = kind | (length + extra);
            }
        })
    }

    #[inline]
    fn at(&self, held: u64) -> u8 {
        self.entries[(held & self.mask) as usize]
    }
}

/// Calls `put` with every index of a table of `bits` bits, the code's length and its symbol.
fn fill(lengths: &[u8], bits: u32, mut put: impl FnMut(usize, u8, u16)) -> Option<()> {
    // RFC 1951, 3.2.2: codes of one length are consecutive, in the order of their symbols.
    let mut count = [0_u32; 16];
    lengths.iter().for_each(|length| count[usize::from(*length)] += 1);
    let mut next = [0_u32; 16];
    let mut code = 0;
    for length in 1..16 {
        code = (code + if length == 1 { 0 } else { count[length - 1] }) << 1;
        next[length] = code;
    }
    for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
        let code = next[usize::from(length)];
        next[usize::from(length)] += 1;
        if code >> length != 0 {
            return None;
        }
        // Codes come with their first bit lowest.
        let first = (code.reverse_bits() >> (32 - u32::from(length))) as usize;
        for at in (first..1 << bits).step_by(1 << length) {
            // 288 symbols at most.
            put(at, length, symbol as u16);
        }
    }
    Some(())
}

/// The bits of a stream, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// How many bits were passed.
    fn position(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    /// Holds at least 56 bits, or all that are left.
    #[inline]
    fn refill(&mut self) {
        if let Some(word) = self.bytes.get(self.at..self.at + 8).and_then(|w| w.try_into().ok()) {
            self.held |= u64::from_le_bytes(word) << self.count;
            self.at += ((63 - self.count) >> 3) as usize;
            self.count |= 56;
        } else {
            while self.count <= 56
                && let Some(byte) = self.bytes.get(self.at)
            {
                self.held |= u64::from(*byte) << self.count;
                self.at += 1;
                self.count += 8;
            }
        }
    }

    #[inline]
    fn pass(&mut self, bits: u8) -> Option<()> {
        self.count = self.count.checked_sub(u32::from(bits))?;
        self.held >>= bits;
        Some(())
    }

    fn take(&mut self, bits: u32) -> Option<u32> {
        self.refill();
        // At most 16 bits are taken at once.
        let value = (self.held & ((1 << bits) - 1)) as u32;
        self.pass(bits as u8)?;
        Some(value)
    }

    fn skip_bytes(&mut self, length: usize) -> Option<()> {
        // Stored bytes begin on a byte, so what is held is whole bytes.
        let from = self.position() / 8;
        let to = from.checked_add(length).filter(|to| *to <= self.bytes.len())?;
        (self.at, self.held, self.count) = (to, 0, 0);
        Some(())
    }
}
