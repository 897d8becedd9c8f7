//! Where file contents come from and go to.

use std::io::{self, Read};

use treelay_recipes::Digest;

/// Finds file contents by digest. What it gives is hashed again by whoever reads it.
pub trait Contents: Sync {
    /// Opens the content with `digest`, which is `size` bytes long.
    ///
    /// # Errors
    /// Whatever keeps it from being read; [`io::ErrorKind::NotFound`] when it is not there.
    fn open(&self, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>>;
}

/// Takes file contents in, such as an archive's while it is unpacked.
pub trait ContentSink {
    /// Reads `content` to its end and keeps it; its digest and size in bytes.
    ///
    /// # Errors
    /// Whatever reading or keeping it met; then nothing of it is kept.
    fn put(&mut self, content: &mut dyn Read) -> io::Result<(Digest, u64)>;
}
