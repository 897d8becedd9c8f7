//! The members of a layer as they are, for who reads more in them than paths of a root.

use std::io::{self, BufRead, Read};

use super::stream::{Head, Stream};
use crate::tree::Owner;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// Another name of a member before it.
    HardLink,
    /// A device, FIFO or socket.
    Device,
    /// Anything else.
    Other,
}

/// One member of a tar.
pub struct Member<'m> {
    /// As it is written, perhaps with `./` in front.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// Whose.
    pub owner: Owner,
    /// Where a link leads; empty for what is none.
    pub target: Vec<u8>,
    /// Bytes of a file's content.
    pub size: u64,
    /// A file's content.
    pub content: &'m mut dyn Read,
}

/// Gives each member of a layer to `take`: of a tar, perhaps compressed with gzip or zstd.
///
/// # Errors
/// What reading met; that it is no tar, or one with sparse files; and the first error of `take`.
pub fn members(
    layer: impl BufRead,
    take: &mut dyn FnMut(Member<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut stream = Stream::open(layer)?;
    while let Some(head) = stream.next()? {
        let Head { path, kind, mode, owner, target, size, .. } = head;
        take(Member { path, kind, mode, owner, target, size, content: &mut stream })?;
    }
    Ok(())
}
