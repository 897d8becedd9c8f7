//! [`ClearSigned`] texts (RFC 9580, section 7).

use pgp::crypto::hash::HashAlgorithm;

use super::armor::{self, trimmed};
use super::verify::{MOST as MOST_SIGNATURES, Read, Stream, signatures};
use super::{Good, NotGood, ReadError, Trust};

const BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";

/// Longest text that is read; Debian's InRelease files have some 150 KB.
const MOST: usize = 64 << 20;

/// A text with its signatures around it. Nothing may stand before or after them: what is not signed
/// is not there.
#[derive(Debug, Clone)]
pub struct ClearSigned {
    /// As it was written: lines ended by line feeds.
    text: Vec<u8>,
    hashes: Vec<HashAlgorithm>,
    signatures: Vec<Read>,
}

impl ClearSigned {
    /// Whether a file is meant to be one.
    pub fn is_one(file: &[u8]) -> bool {
        file.starts_with(BEGIN)
    }

    /// Takes it apart, strictly.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn parse(file: &[u8]) -> Result<Self, ReadError> {
        if file.len() > MOST {
            return Err(ReadError::TooLong { length: file.len(), most: MOST });
        }
        let mut lines = armor::lines(file);
        let bad = |line: usize, reason| ReadError::Clear { line, reason };
        if lines.next() != Some(BEGIN) {
            let expected = "a text that begins with -----BEGIN PGP SIGNED MESSAGE-----";
            return Err(ReadError::NotOpenPgp(expected));
        }
        let early = ReadError::Armor("it ends early");
        let mut hashes = Vec::new();
        loop {
            let line = lines.next().ok_or_else(|| early.clone())?;
            let n = lines.number;
            if line.is_empty() {
                break;
            }
            // Anything else could be taken for a part of the text, by somebody who reads it.
            let names = line.strip_prefix(b"Hash: ").and_then(|names| str::from_utf8(names).ok());
            let names = names.ok_or(bad(n, "a header other than Hash"))?;
            for name in names.split(',') {
                let hash = name.trim().parse();
                hashes.push(hash.map_err(|_| bad(n, "the name of an unknown hash"))?);
            }
        }
        let mut text = Vec::new();
        loop {
            let line = lines.next().ok_or_else(|| early.clone())?;
            if line == SIGNATURE {
                break;
            }
            let line = match line.strip_prefix(b"- ") {
                // What remains may have had spaces alone.
                Some(escaped) => trimmed(escaped),
                None if line.starts_with(b"-") => {
                    return Err(bad(lines.number, "it begins with a dash that is not escaped"));
                }
                None => line,
            };
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        let length = lines.rest().len();
        if length > MOST_SIGNATURES {
            return Err(ReadError::TooLong { length, most: MOST_SIGNATURES });
        }
        let mut bytes = Vec::new();
        armor::block(&mut lines, "SIGNATURE", &mut bytes)?;
        let signatures = signatures(&bytes)?;
        if lines.any(|line| !line.is_empty()) {
            return Err(ReadError::Foreign("something after the signature".to_owned()));
        }
        Ok(Self { text, hashes, signatures })
    }

    /// The signed text, if a pinned key has signed it: with a line feed at the end of each line, and
    /// without spaces there, which are not signed.
    ///
    /// # Errors
    /// [`NotGood`], with the reason of each signature.
    pub fn verify(&self, trust: &Trust, at: u64) -> Result<(&[u8], Good), NotGood> {
        let mut stream = Stream::new(&self.signatures, trust, Some(&self.hashes));
        let mut lines = self.text.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            stream.update(line.strip_suffix(b"\n").unwrap_or(line));
            // The end of the last line belongs to the signature.
            if lines.peek().is_some() {
                stream.update(b"\r\n");
            }
        }
        Ok((&self.text, stream.finish(at)?))
    }
}
