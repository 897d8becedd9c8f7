//! What one layer of an image says (image-spec, layer.md), read from its tar.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

use treelay_recipes::{Digest, HashingReader};

use super::error::Fault;
use super::members::MemberKind;
use super::stream::{Head, Stream, wrong_at};
use crate::{ContentSink, Entry, Node, TreePath};

/// What one layer may take in memory: more than any layer that is meant to be used.
const MOST_HELD: usize = 512 << 20;
/// What a member takes besides its names and attributes.
pub(super) const OVERHEAD: usize = 200;
/// Contents up to this size are looked at before they are kept.
const IN_MEMORY: u64 = 1 << 20;

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
    /// What reading met; that it is no tar, one with sparse files, one that would take too much memory,
    /// or one with members below what is no directory.
    pub fn read(layer: impl BufRead) -> io::Result<Self> {
        let (mut members, mut held) = (Vec::new(), 0);
        let mut stream = Stream::open(layer)?;
        while let Some(head) = stream.next()? {
            held += OVERHEAD + head.path.len() + head.target.len();
            held += head.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            if held > MOST_HELD {
                let what = "bytes of names and attributes in a layer";
                return Err(Fault::Limit { what, allowed: MOST_HELD as u64 }.into());
            }
            members.extend(match name(&head.path) {
                None => None,
                Some(Name::Whiteout(path)) => Some(Member::Whiteout(path)),
                Some(Name::Opaque(path)) => Some(Member::Opaque(path)),
                Some(Name::Path(path)) => read_member(path, head, &mut stream)?,
            });
        }
        below_directories(&members)?;
        Ok(Self { members })
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }
}

/// Whether every member lies below directories, as far as this layer says. What runs containers goes
/// through a link there, or fails.
fn below_directories(members: &[Member]) -> io::Result<()> {
    let mut is_dir: BTreeMap<&str, bool> = BTreeMap::new();
    for member in members {
        match member {
            Member::Entry(entry) => {
                is_dir.insert(entry.path.as_str(), matches!(entry.node, Node::Dir));
            }
            Member::HardLink { path, .. } => drop(is_dir.insert(path.as_str(), false)),
            _ => {}
        }
    }
    for path in is_dir.keys() {
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(above) = above.find(|above| is_dir.get(above) == Some(&false)) {
            let reason = format!("it lies below {above}, which is no directory");
            return Err(wrong_at(path.as_bytes(), &reason));
        }
    }
    Ok(())
}

fn read_member(path: TreePath, head: Head, stream: &mut Stream<'_>) -> io::Result<Option<Member>> {
    let Head { kind, mode, owner, target, xattrs, .. } = head;
    let entry = match kind {
        MemberKind::Dir => Entry::dir(path, mode),
        MemberKind::Symlink => match std::str::from_utf8(&target) {
            Ok(target) => Entry::symlink(path, target),
            // As with names.
            Err(_) => return Ok(None),
        },
        MemberKind::HardLink => {
            let Some(Name::Path(target)) = name(&target) else { return Ok(None) };
            return Ok(Some(Member::HardLink { path, target: target.to_string() }));
        }
        MemberKind::File => {
            let mut reader = HashingReader::new(stream);
            io::copy(&mut reader, &mut io::sink())?;
            let (digest, size): (Digest, u64) = reader.finish();
            Entry::new_file(path, mode, digest, size)
        }
        MemberKind::Device | MemberKind::Other => return Ok(None),
    };
    Ok(Some(Member::Entry(Entry { owner, ..entry }.with_xattrs(xattrs))))
}

/// Puts the contents of a layer that are `wanted`, digests with sizes, into `sink`, whatever the files
/// are called. Others of the same size may come with them.
///
/// # Errors
/// As [`Delta::read`]; what the sink met.
pub fn contents_of(
    layer: impl BufRead,
    wanted: &BTreeMap<Digest, u64>,
    sink: &mut dyn ContentSink,
) -> io::Result<()> {
    let sizes: BTreeSet<u64> = wanted.values().copied().collect();
    let mut stream = Stream::open(layer)?;
    while let Some(head) = stream.next()? {
        if head.kind != MemberKind::File || !sizes.contains(&head.size) {
            continue;
        }
        if head.size > IN_MEMORY {
            // Hardly another one has just that size.
            sink.put(&mut stream)?;
            continue;
        }
        let mut content = Vec::new();
        stream.read_to_end(&mut content)?;
        if wanted.contains_key(&Digest::of(&content)) {
            sink.put(&mut &content[..])?;
        }
    }
    Ok(())
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
