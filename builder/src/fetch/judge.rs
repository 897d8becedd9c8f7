//! A second opinion on a download: bytes that are judged as a whole while they come by, so that
//! nothing is read again.

use std::io;

use treelay_recipes::Digest;

use super::{BlobSink, BlobWriter};

/// Judges bytes that come by.
pub trait Judge: Send {
    /// Takes the next of them.
    fn update(&mut self, bytes: &[u8]);

    /// At their end: whether they may be kept.
    ///
    /// # Errors
    /// Why not, in words. Then they are refused as wrong content is, and the next place is asked.
    fn judge(self: Box<Self>) -> Result<(), String>;
}

/// Begins to judge; anew for every try.
pub type NewJudge<'a> = dyn Fn() -> Box<dyn Judge> + Sync + 'a;

/// A sink whose blobs are judged before they are kept.
pub struct Judged<'a> {
    /// Where they go.
    pub sink: &'a dyn BlobSink,
    /// Who judges them, one after the other.
    pub judges: Vec<&'a NewJudge<'a>>,
}

impl BlobSink for Judged<'_> {
    fn begin(&self, digest: Option<&Digest>, size: Option<u64>) -> io::Result<Box<dyn BlobWriter>> {
        let inner = self.sink.begin(digest, size)?;
        Ok(Box::new(Writer { inner, judges: self.judges.iter().map(|new| new()).collect() }))
    }
}

struct Writer {
    inner: Box<dyn BlobWriter>,
    judges: Vec<Box<dyn Judge>>,
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.judges.iter_mut().for_each(|judge| judge.update(bytes));
        self.inner.write(bytes)
    }

    fn judge(&mut self) -> Result<(), String> {
        self.judges.drain(..).try_for_each(|judge| judge.judge())
    }

    fn finish(self: Box<Self>, digest: &Digest, size: u64) -> io::Result<bool> {
        self.inner.finish(digest, size)
    }

    fn reject(self: Box<Self>, actual: &Digest) {
        self.inner.reject(actual);
    }
}
