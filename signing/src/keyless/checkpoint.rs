//! [`Checkpoint`]: what a log says how large it is and what is in it, a signed note.
//!
//! Specified in C2SP, `signed-note.md` and `tlog-checkpoint.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::key::Hash;
use super::root::Log;

/// Longest checkpoint that is read, in bytes: with a dozen witnesses one has 2 KiB.
const MAX_CHECKPOINT: usize = 64 * 1024;

/// A checkpoint, not verified.
#[derive(Debug)]
pub(super) struct Checkpoint<'a> {
    /// What is signed, with the last end of line.
    text: &'a str,
    /// Name of the log.
    pub origin: &'a str,
    /// How many entries it has.
    pub tree_size: u64,
    /// Hash of all of them.
    pub root_hash: [u8; 32],
    signatures: Vec<NoteSignature<'a>>,
}

#[derive(Debug)]
struct NoteSignature<'a> {
    name: &'a str,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

impl<'a> Checkpoint<'a> {
    pub fn parse(note: &'a str) -> Option<Self> {
        // Text, empty line, signatures; the last empty line, since the text may have others.
        let at = note.rfind("\n\n").filter(|_| note.len() <= MAX_CHECKPOINT)?;
        let (text, rest) = (&note[..=at], &note[at + 2..]);
        let mut lines = text.lines();
        let origin = lines.next().filter(|origin| !origin.is_empty())?;
        let size = lines.next()?;
        let tree_size: u64 = size.parse().ok()?;
        // One way to write a number.
        (tree_size.to_string() == size).then_some(())?;
        let root_hash = BASE64.decode(lines.next()?).ok()?.try_into().ok()?;
        let signatures = rest.strip_suffix('\n')?.split('\n').map(NoteSignature::parse);
        let signatures = signatures.collect::<Option<_>>()?;
        Some(Self { text, origin, tree_size, root_hash, signatures })
    }

    /// Whether `log` signed it. Those of others, such as witnesses, say nothing.
    pub fn is_signed_by(&self, log: &Log) -> bool {
        let named = |one: &&NoteSignature<'_>| {
            // Rekor v1 puts the number of its tree behind its name: `rekor.sigstore.dev - 26057…`.
            let tree = self.origin.strip_prefix(one.name).and_then(|rest| rest.strip_prefix(" - "));
            one.key_id == log.checkpoint_id && (one.name == self.origin || tree.is_some())
        };
        self.signatures
            .iter()
            .filter(named)
            .any(|one| log.key.fits(Hash::Sha256, self.text.as_bytes(), &one.signature))
    }
}

impl<'a> NoteSignature<'a> {
    /// `— NAME BASE64`, of four bytes of the key's name and the signature.
    fn parse(line: &'a str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
        let decoded = BASE64.decode(encoded).ok()?;
        let (key_id, signature) = decoded.split_first_chunk::<4>()?;
        (!name.is_empty()).then(|| Self { name, key_id: *key_id, signature: signature.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_notes_of_three_lines_or_more() {
        let hash = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let good = format!("log.example - 7\n12\n{hash}\nmore\n\n— log.example AAAAAAA=\n");
        let checkpoint = Checkpoint::parse(&good).unwrap();
        assert_eq!((checkpoint.origin, checkpoint.tree_size), ("log.example - 7", 12));
        assert_eq!(checkpoint.root_hash[31], 31);
        for bad in [
            format!("log\n012\n{hash}\n\n— log AAAAAAA=\n"),
            format!("log\n+12\n{hash}\n\n— log AAAAAAA=\n"),
            "log\n12\nAAAA\n\n— log AAAAAAA=\n".to_owned(),
            format!("log\n12\n{hash}\n\n- log AAAAAAA=\n"),
            format!("log\n12\n{hash}\n\n— log AAAAAAA="),
            format!("log\n12\n{hash}\n\n— log AAA=\n"),
            format!("log\n12\n{hash}\n\n\n"),
            format!("log\n12\n{hash}\n"),
            String::new(),
        ] {
            assert!(Checkpoint::parse(&bad).is_none(), "{bad}");
        }
    }
}
