//! Cutting a layer into frames.
//!
//! A *frame* is a run of the layer's tar stream that is compressed by itself and remembered under
//! what it was made from, so that a file that changes costs its own frame only. Where the cuts
//! are depends on nothing but the entries' paths and sizes: after an entry whose path hashes to a
//! cut, once the frame has [`MIN`] bytes; at the latest when it has [`MAX`]. A change of one file
//! therefore moves no cut but those near it. An entry over [`LARGE`] bytes gets frames of its own,
//! cut at fixed offsets of [`PART`].

use std::ops::Range;

use treelay_recipes::{Digest, Hasher};

use super::{Codec, tar};
use crate::Entry;
use crate::tree::write_entry;

/// No content-defined cut before this many bytes.
const MIN: u64 = 512 << 10;
/// A frame that has this many bytes ends.
const MAX: u64 = 2 << 20;
/// Entries above this size are cut inside.
const LARGE: u64 = 4 << 20;
/// Where: every so many bytes of content.
const PART: u64 = 1 << 20;
/// One path in so many is a cut.
const CUT_ONE_IN: u64 = 16;

/// One frame: what of the tree is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// Whole entries, by index.
    Run(Range<usize>),
    /// Bytes of one large entry's content; the first part has its header, the last its padding.
    Part {
        /// Index of the entry.
        entry: usize,
        /// Which bytes of its content.
        bytes: Range<u64>,
    },
}

/// The frames of a layer, in order. The archive's end is not in them.
pub(super) fn cut(entries: &[Entry]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (at, entry) in entries.iter().enumerate() {
        let size = entry.file().map_or(0, |(_, size)| size);
        if size > LARGE {
            if start < at {
                frames.push(Frame::Run(start..at));
            }
            let offsets = (0..size).step_by(PART as usize);
            frames.extend(
                offsets.map(|from| Frame::Part { entry: at, bytes: from..(from + PART).min(size) }),
            );
            (start, bytes) = (at + 1, 0);
            continue;
        }
        bytes += tar::BLOCK as u64 + size + tar::padding(size) as u64;
        if bytes >= MAX || (bytes >= MIN && is_cut(entry.path.as_str())) {
            frames.push(Frame::Run(start..at + 1));
            (start, bytes) = (at + 1, 0);
        }
    }
    if start < entries.len() {
        frames.push(Frame::Run(start..entries.len()));
    }
    frames
}

/// FNV-1a over the path, then MurmurHash3's 64-bit finaliser, because the last bytes of a short
/// text reach only some bits of FNV-1a.
fn is_cut(path: &str) -> bool {
    let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (hash ^ (hash >> 33)).is_multiple_of(CUT_ONE_IN)
}

impl Frame {
    /// What the compressed frame is remembered under: its entries, without their contents being
    /// read, and the codec.
    pub(super) fn key(&self, entries: &[Entry], codec: Codec) -> Digest {
        let mut text = format!("frame {}\n", codec.id());
        match self {
            Self::Run(range) => {
                entries[range.clone()].iter().for_each(|entry| write_entry(&mut text, entry));
            }
            Self::Part { entry, bytes } => {
                text += &format!("part {} {}\n", bytes.start, bytes.end);
                write_entry(&mut text, &entries[*entry]);
            }
        }
        let mut hasher = Hasher::default();
        hasher.update(text.as_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TreePath;

    fn file(name: &str, size: u64) -> Entry {
        Entry::new_file(TreePath::new(name).unwrap(), 0o644, Digest::of(name), size)
    }

    #[test]
    fn frames_cover_every_entry_once_and_in_order() {
        let mut entries: Vec<Entry> =
            (0..3000).map(|n| file(&format!("d/{n:05}"), n * 37 % 90_000)).collect();
        entries.insert(1000, file("d/00999x", 10 << 20));
        let frames = cut(&entries);
        let mut next = (0, 0);
        for frame in &frames {
            match frame {
                Frame::Run(range) => {
                    assert_eq!((range.start, 0), next);
                    next = (range.end, 0);
                }
                Frame::Part { entry, bytes } => {
                    assert_eq!((*entry, bytes.start), next);
                    let done = bytes.end == entries[*entry].file().unwrap().1;
                    next = if done { (entry + 1, 0) } else { (*entry, bytes.end) };
                }
            }
        }
        assert_eq!(next, (entries.len(), 0));
        assert!(frames.len() > 50, "{}", frames.len());
    }

    #[test]
    fn a_change_moves_only_the_cuts_near_it() {
        let mut entries: Vec<Entry> =
            (0..3000).map(|n| file(&format!("d/{n:05}"), n * 37 % 90_000)).collect();
        let before = cut(&entries);
        let keys: std::collections::BTreeSet<_> =
            before.iter().map(|frame| frame.key(&entries, Codec::GZIP)).collect();
        entries.insert(1500, file("d/01499x", 70_000));
        let after = cut(&entries);
        let new =
            after.iter().filter(|frame| !keys.contains(&frame.key(&entries, Codec::GZIP))).count();
        assert!((1..=4).contains(&new), "{new} of {} frames are new", after.len());
    }
}
