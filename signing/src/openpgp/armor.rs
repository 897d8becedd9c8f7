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
        if found != label {
            return Err(ReadError::OtherArmor { found: found.to_owned(), expected: label });
        }
        block(&mut lines, label, &mut packets)?;
        some = true;
    }
    match some {
        true => Ok(packets),
        false => Err(ReadError::NotOpenPgp("armour (-----BEGIN PGP …) or packets")),
    }
}

/// Lines without what ends them and without spaces at the end, which mail may have added; those that
/// are no UTF-8 are empty, since they cannot be of armour.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.map(|line| std::str::from_utf8(line).unwrap_or("").trim_end())
}

fn title<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    line.strip_prefix(before)?.strip_suffix(DASHES)
}

/// Decodes a block, after its first line.
pub(super) fn block<'a>(
    lines: &mut impl Iterator<Item = &'a str>,
    label: &str,
    into: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let bad = ReadError::Armor;
    let ends = || bad("it ends early");
    loop {
        match lines.next().ok_or_else(ends)? {
            "" => break,
            header if header.contains(": ") || header.ends_with(':') => {}
            _ => return Err(bad("a header line is none")),
        }
    }
    let mut text = String::new();
    let mut checksum = false;
    loop {
        let line = lines.next().ok_or_else(ends)?;
        if let Some(found) = title(line, END) {
            if found != label {
                return Err(bad("it ends as something else than it begins"));
            }
            break;
        }
        // The checksum protects against accidents of transport, and must not be a reason to refuse
        // (section 6.1): signatures protect against more.
        if line.starts_with('=') {
            checksum = true;
        } else if checksum && !line.is_empty() {
            return Err(bad("it goes on after the checksum"));
        } else {
            text.push_str(line);
        }
    }
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    into.extend(STANDARD.decode(text).map_err(|_| bad("it is not base64"))?);
    Ok(())
}
