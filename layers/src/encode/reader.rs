//! Reading frames: the tar stream of a tree, content by content.

use std::io::{self, Read};
use std::ops::Range;

use super::frames::Frame;
use super::{EncodeError, tar};
use crate::{Contents, Entry, Tree};

/// The raw bytes of a frame.
#[derive(Default)]
pub(super) struct RawFrame {
    /// Headers, contents, padding.
    pub bytes: Vec<u8>,
    /// Where contents are in `bytes`, with the index of their entries: whole ones, or one part.
    pub contents: Vec<(usize, Range<usize>)>,
}

/// Gives the frames of a tree one after the other. What it reads is not verified.
pub(super) struct FrameReader<'a> {
    entries: &'a [Entry],
    contents: &'a dyn Contents,
    /// The large entry that is being read, between its parts.
    open: Option<Box<dyn Read + Send>>,
}

impl<'a> FrameReader<'a> {
    pub(super) fn new(tree: &'a Tree, contents: &'a dyn Contents) -> Self {
        Self { entries: tree.entries(), contents, open: None }
    }

    /// Fills `out` with `frame`. Frames must be asked for in order.
    pub(super) fn read(&mut self, frame: &Frame, out: &mut RawFrame) -> Result<(), EncodeError> {
        out.bytes.clear();
        out.contents.clear();
        match frame {
            Frame::Run(range) => range.clone().try_for_each(|at| self.read_entry(at, out)),
            Frame::Part { entry, bytes } => self.read_part(*entry, bytes, out),
        }
    }

    fn read_entry(&mut self, at: usize, out: &mut RawFrame) -> Result<(), EncodeError> {
        let entry = &self.entries[at];
        tar::write_header(&mut out.bytes, entry);
        let Some((digest, size)) = entry.file() else { return Ok(()) };
        let start = out.bytes.len();
        if size > 0 {
            let failed = |source| EncodeError::Read { path: entry.path.clone(), source };
            let mut reader = self.contents.open(digest, size).map_err(failed)?;
            let read = append(&mut reader, size + 1, &mut out.bytes).map_err(failed)?;
            same_length(read, size).map_err(failed)?;
        }
        out.contents.push((at, start..out.bytes.len()));
        out.bytes.resize(out.bytes.len() + tar::padding(size), 0);
        Ok(())
    }

    fn read_part(
        &mut self,
        at: usize,
        bytes: &Range<u64>,
        out: &mut RawFrame,
    ) -> Result<(), EncodeError> {
        let entry = &self.entries[at];
        let Some((digest, size)) = entry.file() else { return Ok(()) };
        let failed = |source| EncodeError::Read { path: entry.path.clone(), source };
        if bytes.start == 0 {
            tar::write_header(&mut out.bytes, entry);
            self.open = Some(self.contents.open(digest, size).map_err(failed)?);
        }
        let Some(reader) = &mut self.open else {
            return Err(failed(io::Error::other("parts asked for out of order")));
        };
        let start = out.bytes.len();
        let last = bytes.end == size;
        let wanted = bytes.end - bytes.start + u64::from(last);
        let read = append(reader, wanted, &mut out.bytes).map_err(failed)?;
        same_length(bytes.start + read, bytes.end).map_err(failed)?;
        out.contents.push((at, start..out.bytes.len()));
        if last {
            self.open = None;
            out.bytes.resize(out.bytes.len() + tar::padding(size), 0);
        }
        Ok(())
    }
}

/// Appends at most `limit` bytes to `out`; how many they were. The last of a content asks for one more
/// than it should have, so that a longer file shows.
fn append(reader: &mut dyn Read, limit: u64, out: &mut Vec<u8>) -> io::Result<u64> {
    // A frame is a few megabytes at most.
    out.reserve(limit as usize);
    Ok(reader.take(limit).read_to_end(out)? as u64)
}

fn same_length(read: u64, expected: u64) -> io::Result<()> {
    let wrong = match read {
        read if read < expected => "shorter",
        read if read > expected => "longer",
        _ => return Ok(()),
    };
    let reason = format!("it is {wrong} than when it was looked at");
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason))
}
