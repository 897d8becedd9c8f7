//! Walking a deflate stream (RFC 1951) from block to block, without unpacking it.
//!
//! What costs is table look-ups: an entry is the number of bits that a symbol takes with its extra
//! bits, and whether it is a literal, a match or the end of the block. What the literals and matches
//! are does not matter here, so one entry can stand for several literals.

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

/// An entry of a table: the low five bits say how many bits to pass, the next whether it is a match,
/// so that a distance follows.
const BITS: u8 = 0x1f;
const LITERAL: u8 = 0;
const MATCH: u8 = 0x20;
/// From here on it is none of these: the end of the block,
const END: u8 = 0x40;
/// a code longer than [`SHORT`] bits,
const LONG: u8 = 0x80;
/// or no code begins like that.
const NONE: u8 = 0xc0;

/// Bits that the first look-up takes: such a table fits the processor's nearest cache.
const SHORT: u32 = 11;
/// Entries of such a table.
const SIZE: usize = 1 << SHORT;

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

/// The Huffman codes of a block: 0 is that of literals and lengths, 1 that of distances. Each is a
/// table of all values of [`SHORT`] bits, one after the other, and, where codes are longer, one of all
/// values of as many bits as the longest has.
struct Tables {
    short: Box<[u8; 2 * SIZE]>,
    long: [Vec<u8>; 2],
}

impl Default for Tables {
    fn default() -> Self {
        Self { short: Box::new([NONE; 2 * SIZE]), long: Default::default() }
    }
}

impl Tables {
    fn fixed(&mut self) -> Option<()> {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.set(&lengths, &[5; 30])
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
        codes_of(&code_lengths, |code, length, symbol| {
            codes[code..].iter_mut().step_by(1 << length).for_each(|to| *to = (symbol, length));
        })?;
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
        self.set(&lengths[..symbols], &lengths[symbols..])
    }

    fn set(&mut self, symbols: &[u8], distances: &[u8]) -> Option<()> {
        self.set_code(0, symbols, symbol)?;
        self.join_literals();
        self.set_code(1, distances, distance)
    }

    fn set_code(
        &mut self,
        which: usize,
        lengths: &[u8],
        meaning: fn(usize) -> Option<(u8, u8)>,
    ) -> Option<()> {
        let short = &mut self.short[which * SIZE..][..SIZE];
        let long = &mut self.long[which];
        let longest = u32::from(lengths.iter().copied().max().unwrap_or_default());
        short.fill(NONE);
        long.clear();
        if longest > SHORT {
            long.resize(1 << longest, NONE);
        }
        codes_of(lengths, |code, length, symbol| {
            let Some((kind, extra)) = meaning(usize::from(symbol)) else { return };
            let table = if u32::from(length) <= SHORT {
                &mut *short
            } else {
                short[code % SIZE] = LONG;
                &mut **long
            };
            let entry = kind | (length + extra);
            table[code..].iter_mut().step_by(1 << length).for_each(|to| *to = entry);
        })
    }

    /// Makes entries of literals stand for as many literals as their bits hold.
    fn join_literals(&mut self) {
        // From the highest: what is left of a value after a literal is a smaller value.
        for value in (0..SIZE).rev() {
            let mut entry = self.short[value];
            let mut taken = 0;
            // The bits above those of `value` are not known: the code must be in what is left.
            while entry & !BITS == LITERAL && taken + entry <= SHORT as u8 {
                taken += entry;
                entry = self.short[value >> taken];
            }
            if taken > 0 {
                self.short[value] = LITERAL | taken;
            }
        }
    }

    /// Walks to the end of the block.
    fn walk(&self, bits: &mut Bits<'_>) -> Option<()> {
        // Where the table is that is next. What a symbol is decides nothing but that and how many
        // bits to pass: a processor guesses wrong whether the next one is a match, so it is not asked.
        let mut table = 0;
        loop {
            // At least 56 bits: a short entry takes at most 24, a long code with its extra bits 28.
            bits.refill();
            for _ in 0..2 {
                let mut entry = self.short[(bits.held as usize % SIZE) | table];
                if entry >= END {
                    if entry == LONG {
                        entry = self.long(table / SIZE, bits.held);
                    }
                    if entry >= LONG {
                        return None;
                    }
                    if entry >= END {
                        return bits.pass(entry & BITS);
                    }
                }
                bits.pass(entry & BITS)?;
                table = usize::from(entry & MATCH) * (SIZE / usize::from(MATCH));
            }
        }
    }

    #[cold]
    fn long(&self, which: usize, held: u64) -> u8 {
        let long = &self.long[which];
        // A power of two long, or empty.
        let mask = long.len().wrapping_sub(1) as u64;
        long.get((held & mask) as usize).copied().unwrap_or(NONE)
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

/// Calls `take` with every code of an alphabet, first bit lowest, its length and its symbol; `None`
/// where the lengths make no code.
fn codes_of(lengths: &[u8], mut take: impl FnMut(usize, u8, u16)) -> Option<()> {
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
        // 288 symbols at most.
        take((code.reverse_bits() >> (32 - u32::from(length))) as usize, length, symbol as u16);
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
