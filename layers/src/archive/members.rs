//! The members of a layer as they are, for who reads more in them than paths of a root.

use std::io::{self, BufRead, Read};

use super::delta;
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
    /// A device or anything else.
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
/// What reading met, or that it is no tar; and the first error of `take`.
pub fn members(
    layer: impl BufRead,
    take: &mut dyn FnMut(Member<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for member in delta::open(layer)?.entries()? {
        let mut member = member?;
        let path = member.path_bytes().into_owned();
        let target = member.link_name_bytes().map(|bytes| bytes.into_owned()).unwrap_or_default();
        let header = member.header();
        let kind = header.entry_type();
        let kind = match () {
            () if kind.is_dir() => MemberKind::Dir,
            () if kind.is_symlink() => MemberKind::Symlink,
            () if kind.is_hard_link() => MemberKind::HardLink,
            () if kind.is_file() => MemberKind::File,
            () => MemberKind::Other,
        };
        let mode = (header.mode()? & 0o7777) as u16;
        let owner = Owner { uid: header.uid()? as u32, gid: header.gid()? as u32 };
        let size = member.size();
        take(Member { path, kind, mode, owner, target, size, content: &mut member })?;
    }
    Ok(())
}
