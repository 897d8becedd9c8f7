//! What one layer of an image says (image-spec, layer.md), read from its tar.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use treelay_recipes::{Digest, HashingReader};

use super::filter::Filter;
use super::pax;
use super::tar::BLOCK;
use crate::tree::{Owner, Xattrs};
use crate::{ContentSink, Entry, TreePath};

/// What one layer says, in its order.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    members: Vec<Member>,
}

#[derive(Debug, Clone)]
pub(super) enum Member {
    Entry(Entry),
    /// What is at the target, at another path too.
    HardLink {
        path: TreePath,
        target: String,
    },
    Whiteout(String),
    Opaque(String),
}

/// What a name in a layer means.
enum Name {
    Path(TreePath),
    /// What is there in lower layers is gone.
    Whiteout(String),
    /// What lower layers have below this is gone.
    Opaque(String),
}

impl Delta {
    /// What is in a layer: a tar, perhaps compressed with gzip or zstd.
    ///
    /// # Errors
    /// What reading met, or that it is no tar.
    pub fn read(layer: impl BufRead) -> io::Result<Self> {
        let mut members = Vec::new();
        for member in open(layer)?.entries()? {
            let mut member = member?;
            members.extend(match name(&member.path_bytes()) {
                None => None,
                Some(Name::Whiteout(path)) => Some(Member::Whiteout(path)),
                Some(Name::Opaque(path)) => Some(Member::Opaque(path)),
                Some(Name::Path(path)) => read_member(path, &mut member)?,
            });
        }
        Ok(Self { members })
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }
}

fn read_member<R: Read>(
    path: TreePath,
    member: &mut ::tar::Entry<'_, R>,
) -> io::Result<Option<Member>> {
    let xattrs = attributes(member)?;
    let header = member.header();
    let mode = (header.mode()? & 0o7777) as u16;
    let owner = Owner { uid: header.uid()? as u32, gid: header.gid()? as u32 };
    let target = member.link_name_bytes().map(|bytes| bytes.into_owned()).unwrap_or_default();
    let kind = header.entry_type();
    let entry = if kind.is_dir() {
        Entry::dir(path, mode)
    } else if kind.is_symlink() {
        Entry::symlink(path, &String::from_utf8_lossy(&target))
    } else if kind.is_hard_link() {
        let Some(Name::Path(target)) = name(&target) else { return Ok(None) };
        return Ok(Some(Member::HardLink { path, target: target.to_string() }));
    } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
        let mut reader = HashingReader::new(&mut *member);
        io::copy(&mut reader, &mut io::sink())?;
        let (digest, size): (Digest, u64) = reader.finish();
        Entry::new_file(path, mode, digest, size)
    } else {
        return Ok(None);
    };
    Ok(Some(Member::Entry(Entry { owner, ..entry }.with_xattrs(xattrs))))
}

/// The extended attributes, without the label, which belongs to the system that a tree ends up on.
fn attributes<R: Read>(member: &mut ::tar::Entry<'_, R>) -> io::Result<Xattrs> {
    let mut xattrs = Xattrs::new();
    for record in member.pax_extensions()?.into_iter().flatten() {
        let record = record?;
        let name = record.key_bytes().strip_prefix(pax::XATTR);
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        if let Some(name) = name.filter(|name| *name != pax::SELINUX) {
            xattrs.retain(|(there, _)| there != name);
            xattrs.push((name.to_owned(), record.value_bytes().to_vec()));
        }
    }
    Ok(xattrs)
}

/// Puts the content of every file of a layer that is at one of `paths` into `sink`.
///
/// # Errors
/// As [`Delta::read`]; what the sink met.
pub fn contents_of(
    layer: impl BufRead,
    paths: &BTreeSet<&str>,
    sink: &mut dyn ContentSink,
) -> io::Result<()> {
    for member in open(layer)?.entries()? {
        let mut member = member?;
        let is_wanted = match name(&member.path_bytes()) {
            Some(Name::Path(path)) => paths.contains(path.as_str()),
            _ => false,
        };
        let kind = member.header().entry_type();
        if is_wanted && (kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()) {
            sink.put(&mut member)?;
        }
    }
    Ok(())
}

/// A layer as an archive: a tar, perhaps compressed with gzip or zstd.
pub(super) fn open<'l>(mut layer: impl BufRead + 'l) -> io::Result<::tar::Archive<impl Read + 'l>> {
    let filter = match layer.fill_buf()? {
        head if head.starts_with(b"\x1f\x8b") => Filter::Gzip,
        head if head.starts_with(b"\x28\xb5\x2f\xfd") => Filter::Zstd,
        _ => Filter::None,
    };
    // Some writers (umoci insert) leave out the end marker and the padding before it. What a layer
    // must be is said by its digest, which others have checked, so the end is lenient.
    let end = io::repeat(0).take(3 * BLOCK as u64);
    Ok(::tar::Archive::new(filter.open(layer)?.chain(end)))
}

/// The meaning of a name; `None` for the root itself and for what treelay has no name for.
fn name(bytes: &[u8]) -> Option<Name> {
    let text = std::str::from_utf8(bytes).ok()?;
    let parts: Vec<&str> =
        text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let (last, folders) = parts.split_last()?;
    let join = |last: &str| {
        folders
            .iter()
            .copied()
            .chain([last].into_iter().filter(|last| !last.is_empty()))
            .collect::<Vec<_>>()
            .join("/")
    };
    Some(match last.strip_prefix(".wh.") {
        Some(".wh..opq") => Name::Opaque(join("")),
        // Other names of this kind are the union file system's own notes.
        Some(hidden) if hidden.starts_with(".wh.") => return None,
        Some(hidden) => Name::Whiteout(join(hidden)),
        None => Name::Path(TreePath::new(&parts.join("/")).ok()?),
    })
}
