//! Packets: their frames (RFC 9580, section 4.2) are read here, so that one that is not understood
//! takes nothing of the next with it; what is in them is read by `pgp`.

use pgp::packet::{Packet, PacketParser};

use super::ReadError;

/// A packet: its type, and what it says, where that is understood.
pub(super) struct Framed {
    pub(super) tag: u8,
    pub(super) packet: Option<Packet>,
    /// Of a signature: its version.
    pub(super) first: u8,
}

/// Takes packets apart.
pub(super) fn read(mut bytes: &[u8]) -> Result<Vec<Framed>, ReadError> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let (tag, begin, length) = frame(bytes).ok_or(ReadError::Packets("they end early"))??;
        let end = begin.checked_add(length).filter(|end| *end <= bytes.len());
        let end = end.ok_or(ReadError::Packets("they end early"))?;
        let (whole, rest) = bytes.split_at(end);
        let first = whole.get(begin).copied().unwrap_or_default();
        let packet = PacketParser::new(whole).next().and_then(Result::ok);
        packets.push(Framed { tag, packet, first });
        bytes = rest;
    }
    Ok(packets)
}

/// Type, length of the header, length of the body; `None` where the header ends early.
fn frame(bytes: &[u8]) -> Option<Result<(u8, usize, usize), ReadError>> {
    let bad = |reason| Some(Err(ReadError::Packets(reason)));
    let first = *bytes.first()?;
    let at = |n: usize| bytes.get(n).map(|byte| usize::from(*byte));
    let long = |n: usize| {
        let four = bytes.get(n..n + 4)?;
        Some(four.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    };
    if first & 0x80 == 0 {
        return bad("a packet does not begin as one");
    }
    if first & 0x40 == 0 {
        let tag = first >> 2 & 0xf;
        return Some(Ok(match first & 3 {
            0 => (tag, 2, at(1)?),
            1 => (tag, 3, at(1)? << 8 | at(2)?),
            2 => (tag, 5, long(1)?),
            _ => return bad("a packet has no length"),
        }));
    }
    let tag = first & 0x3f;
    Some(Ok(match at(1)? {
        length @ 0..=191 => (tag, 2, length),
        high @ 192..=223 => (tag, 3, ((high - 192) << 8) + at(2)? + 192),
        255 => (tag, 6, long(2)?),
        // Only data may come in parts.
        _ => return bad("a packet comes in parts"),
    }))
}
