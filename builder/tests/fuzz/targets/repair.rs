//! What makes spoiled bytes readable again: checksums and signatures.

use super::{Form, proofs};

/// Bytes whose headers have the checksums that they need: without them, whatever is spoiled is
/// refused for that alone. So it is with signatures.
pub fn repaired(form: Form, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match form {
        Form::Tar => repair_tar(&mut bytes),
        Form::Xz => repair_xz(&mut bytes),
        Form::Note => return proofs::signed(&bytes),
        Form::Binary | Form::Text | Form::Json => {}
    }
    bytes
}

fn repair_xz(xz: &mut [u8]) {
    // The stream's header, and that of the first block (the xz file format 1.2.0, 2.1.1 and 3.1).
    let size = xz.get(12).map_or(0, |size| (usize::from(*size) + 1) * 4);
    for (start, end) in [(6, 8), (12, 8 + size)] {
        if start < end && xz.len() >= end + 4 {
            let sum = crc32fast::hash(&xz[start..end]).to_le_bytes();
            xz[end..end + 4].copy_from_slice(&sum);
        }
    }
}

fn repair_tar(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if !block[257..].starts_with(b"ustar") {
            continue;
        }
        // The field itself counts as spaces (POSIX, ustar Interchange).
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
