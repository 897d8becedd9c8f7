//! Packets: their frames (RFC 9580, section 4.2) are read here, so that one that is not understood
//! takes nothing of the next with it; what is in them is read by `pgp`.

use pgp::packet::{Packet, PacketParser};

use super::ReadError;

/// A packet: its type, and where it is.
pub(super) struct Framed<'a> {
    pub(super) tag: u8,
    whole: &'a [u8],
    body: &'a [u8],
}

impl Framed<'_> {
    /// What it says, where that is understood.
    pub(super) fn packet(&self) -> Option<Packet> {
        PacketParser::new(self.whole).next().and_then(Result::ok)
    }

    /// Its first byte: of a signature, its version.
    pub(super) fn first(&self) -> u8 {
        self.body.first().copied().unwrap_or_default()
    }
}

/// Takes packets apart, one after the other, and none behind an error. More than `most` of them are
/// one: they may have two bytes each, and what is understood of them has hundreds.
pub(super) fn read(
    mut bytes: &[u8],
    most: usize,
) -> impl Iterator<Item = Result<Framed<'_>, ReadError>> {
    let mut left = most;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let next = match left.checked_sub(1) {
            Some(fewer) => {
                left = fewer;
                next(bytes)
            }
            None => Err(ReadError::TooManyPackets(most)),
        };
        bytes = next.as_ref().map_or(&[], |(_, rest)| rest);
        Some(next.map(|(framed, _)| framed))
    })
}

/// The first packet, and what is behind it.
fn next(bytes: &[u8]) -> Result<(Framed<'_>, &[u8]), ReadError> {
    let early = ReadError::Packets("they end early");
    let (tag, begin, length) = frame(bytes).ok_or(early.clone())??;
    let end = begin.checked_add(length).ok_or(early.clone())?;
    let (whole, rest) = bytes.split_at_checked(end).ok_or(early)?;
    Ok((Framed { tag, whole, body: &whole[begin..] }, rest))
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
