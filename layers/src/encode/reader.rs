//! Reading frames: the tar stream of a tree, content by content.

use std::io::{self, Read};

use treelay_recipes::{Digest, Hasher};

use super::frames::Frame;
use super::{EncodeError, tar};
use crate::{Contents, Entry, Tree};

/// Gives the frames of a tree one after the other, hashing contents and stream.
pub(super) struct FrameReader<'a> {
    entries: &'a [Entry],
    contents: &'a dyn Contents,
    stream: Hasher,
    /// The large entry that is being read, between its parts.
    open: Option<(Box<dyn Read + Send>, Hasher)>,
}

impl<'a> FrameReader<'a> {
    pub(super) fn new(tree: &'a Tree, contents: &'a dyn Contents) -> Self {
        Self { entries: tree.entries(), contents, stream: Hasher::default(), open: None }
    }

    /// Fills `out` with the raw bytes of `frame`. Frames must be asked for in order.
    pub(super) fn read(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.clear();
        match frame {
            Frame::Run(range) => {
                for entry in &self.entries[range.clone()] {
                    self.read_entry(entry, out)?;
                }
            }
            Frame::Part { entry, bytes } => self.read_part(&self.entries[*entry], bytes, out)?,
        }
        self.stream.update(out);
        Ok(())
    }

    /// The archive's end, after the last frame.
    pub(super) fn end(&mut self) -> &'static [u8] {
        self.stream.update(&tar::END);
        &tar::END
    }

    /// diffID and length of the stream.
    pub(super) fn finish(self) -> (Digest, u64) {
        let bytes = self.stream.bytes();
        (self.stream.finish(), bytes)
    }

    fn read_entry(&self, entry: &Entry, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        tar::write_header(out, entry);
        let Some((digest, size)) = entry.file() else { return Ok(()) };
        if size == 0 {
            return check(entry, Digest::of(b""));
        }
        let failed = |source| EncodeError::Read { path: entry.path.clone(), source };
        let mut reader = self.contents.open(digest, size).map_err(failed)?;
        let at = out.len();
        out.resize(at + size as usize, 0);
        fill(&mut reader, &mut out[at..]).map_err(failed)?;
        at_end(&mut reader).map_err(failed)?;
        check(entry, Digest::of(&out[at..]))?;
        out.resize(out.len() + tar::padding(size), 0);
        Ok(())
    }

    fn read_part(
        &mut self,
        entry: &Entry,
        bytes: &std::ops::Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some((digest, size)) = entry.file() else { return Ok(()) };
        let failed = |source| EncodeError::Read { path: entry.path.clone(), source };
        if bytes.start == 0 {
            tar::write_header(out, entry);
            let reader = self.contents.open(digest, size).map_err(failed)?;
            self.open = Some((reader, Hasher::default()));
        }
        let Some((reader, hasher)) = &mut self.open else {
            return Err(failed(io::Error::other("parts asked for out of order")));
        };
        let at = out.len();
        out.resize(at + (bytes.end - bytes.start) as usize, 0);
        fill(reader, &mut out[at..]).map_err(failed)?;
        hasher.update(&out[at..]);
        if bytes.end == size {
            at_end(reader).map_err(failed)?;
            if let Some((_, hasher)) = self.open.take() {
                check(entry, hasher.finish())?;
            }
            out.resize(out.len() + tar::padding(size), 0);
        }
        Ok(())
    }
}

fn fill(reader: &mut dyn Read, out: &mut [u8]) -> io::Result<()> {
    reader.read_exact(out).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "it is shorter than when it was looked at")
        }
        _ => error,
    })
}

fn at_end(reader: &mut dyn Read) -> io::Result<()> {
    match reader.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::other("it is longer than when it was looked at")),
    }
}

fn check(entry: &Entry, found: Digest) -> Result<(), EncodeError> {
    match entry.file() {
        Some((expected, _)) if *expected != found => {
            Err(EncodeError::Changed { path: entry.path.clone(), expected: *expected, found })
        }
        _ => Ok(()),
    }
}
