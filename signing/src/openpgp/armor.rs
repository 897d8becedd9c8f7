//! ASCII armour (RFC 9580, section 6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ReadError;

const BEGIN: &str = "-----BEGIN PGP ";
const END: &str = "-----END PGP ";
const DASHES: &str = "-----";

/// Whether bytes are packets, whose first one has its highest bit set, and not armour.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// The packets of a file, armoured or not. Of armour there may be several blocks; what is around
/// them is comment.
pub(super) fn packets(bytes: &[u8], label: &'static str) -> Result<Vec<u8>, ReadError> {
    if is_binary(bytes) {
        return Ok(bytes.to_vec());
    }
    let mut lines = lines(bytes);
    let mut packets = Vec::new();
    let mut some = false;
    while let Some(line) = lines.next() {
        let Some(found) = title(line, BEGIN) else { continue };
        if found != label.as_bytes() {
            let found = String::from_utf8_lossy(found).into_owned();
            return Err(ReadError::OtherArmor { found, expected: label });
        }
        block(&mut lines, label, &mut packets)?;
        some = true;
    }
    match some {
        true => Ok(packets),
        false => Err(ReadError::NotOpenPgp("armour (-----BEGIN PGP …) or packets")),
    }
}

/// The lines of a file, without what ends them and without spaces at the end, which mail may have
/// added.
pub(super) struct Lines<'a> {
    /// What is behind the last one; nothing where there is no other.
    rest: Option<&'a [u8]>,
    /// How many there were.
    pub(super) number: usize,
}

pub(super) fn lines(bytes: &[u8]) -> Lines<'_> {
    Lines { rest: Some(bytes), number: 0 }
}

impl<'a> Lines<'a> {
    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest.unwrap_or_default()
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        self.number += 1;
        let end = rest.iter().position(|byte| *byte == b'\n');
        self.rest = end.map(|end| &rest[end + 1..]);
        Some(trimmed(end.map_or(rest, |end| &rest[..end])))
    }
}

/// Without spaces at the end.
pub(super) fn trimmed(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    line.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
}

fn title<'a>(line: &'a [u8], before: &str) -> Option<&'a [u8]> {
    line.strip_prefix(before.as_bytes())?.strip_suffix(DASHES.as_bytes())
}

/// Decodes a block, after its first line.
pub(super) fn block(
    lines: &mut Lines<'_>,
    label: &str,
    into: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let bad = ReadError::Armor;
    let ends = || bad("it ends early");
    loop {
        match lines.next().ok_or_else(ends)? {
            [] => break,
            header if header.ends_with(b":") || header.windows(2).any(|two| two == b": ") => {}
            _ => return Err(bad("a header line is none")),
        }
    }
    let mut text = Vec::new();
    let mut checksum = false;
    loop {
        let line = lines.next().ok_or_else(ends)?;
        if let Some(found) = title(line, END) {
            if found != label.as_bytes() {
                return Err(bad("it ends as something else than it begins"));
            }
            break;
        }
        // The checksum protects against accidents of transport, and must not be a reason to refuse
        // (section 6.1): signatures protect against more.
        if line.starts_with(b"=") {
            checksum = true;
        } else if checksum && !line.is_empty() {
            return Err(bad("it goes on after the checksum"));
        } else {
            text.extend_from_slice(line);
        }
    }
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    into.extend(STANDARD.decode(text).map_err(|_| bad("it is not base64"))?);
    Ok(())
}
