//! What every kind of archive does with a member.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::delta::OVERHEAD;
use super::error::{ArchiveError, Fault};
use super::{Limits, Options, links};
use crate::tree::{Owner, Xattrs};
use crate::{ContentSink, Entry, Node, Tree, TreePath};

/// The metadata of a member.
pub(super) struct Meta {
    /// Permission bits; higher bits are ignored.
    pub mode: u32,
    pub owner: Owner,
    pub xattrs: Xattrs,
}

/// Where a member goes.
pub(super) enum Place {
    /// Into the tree.
    At(TreePath),
    /// Nowhere: it was stripped away or declined, or is the root itself.
    Nowhere,
}

/// The tree in the making, and what was used of the limits.
pub(super) struct Collector<'a> {
    options: &'a Options,
    keep: &'a mut dyn FnMut(&str) -> bool,
    sink: &'a mut dyn ContentSink,
    entries: BTreeMap<TreePath, Entry>,
    members: u64,
    /// What `entries` take in memory, about.
    held: u64,
    budget: Budget,
    /// The name of the last member that was begun, for errors.
    pub member: String,
}

/// How many bytes may still be unpacked.
pub(super) struct Budget {
    used: u64,
    limits: Limits,
    /// What the ratio allows for an archive of this size.
    by_ratio: u64,
}

impl Budget {
    fn spend(&mut self, bytes: u64) -> Result<(), Fault> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limits.total_bytes {
            let allowed = self.limits.total_bytes;
            return Err(Fault::Limit { what: "bytes unpacked in all", allowed });
        }
        if self.used > self.by_ratio {
            let allowed = self.limits.ratio;
            return Err(Fault::Limit { what: "times its own size when unpacked", allowed });
        }
        Ok(())
    }
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        options: &'a Options,
        archive_size: u64,
        keep: &'a mut dyn FnMut(&str) -> bool,
        sink: &'a mut dyn ContentSink,
    ) -> Self {
        let limits = options.limits.clone();
        let by_ratio = archive_size.saturating_mul(limits.ratio).max(Limits::RATIO_FLOOR);
        let budget = Budget { used: 0, limits, by_ratio };
        let (entries, member) = (BTreeMap::new(), String::new());
        Self { options, keep, sink, entries, members: 0, held: 0, budget, member }
    }

    /// Whether no member was begun yet.
    pub(super) fn is_new(&self) -> bool {
        self.members == 0
    }

    /// What `error`, met while reading the archive here, means.
    pub(super) fn failed(&self, error: io::Error) -> ArchiveError {
        ArchiveError::reading(&self.member, error)
    }

    /// Something is wrong with the archive here.
    pub(super) fn corrupt(&self, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Corrupt { member: self.member.clone(), reason: reason.into() }
    }

    /// Something is not supported here.
    pub(super) fn unsupported(&self, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Unsupported { member: self.member.clone(), what: what.into() }
    }

    /// Counts bytes that the archive made treelay read.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.budget.spend(bytes).map_err(|fault| self.failed(fault.into()))
    }

    /// Begins the member called `name`: where it goes.
    pub(super) fn begin(&mut self, name: &[u8]) -> Result<Place, ArchiveError> {
        self.member = String::from_utf8_lossy(name).into_owned();
        self.members += 1;
        let limits = &self.options.limits;
        if self.members > limits.entries {
            return Err(self.limit("members", limits.entries));
        }
        if name.len() as u64 > limits.path_bytes {
            return Err(self.limit("bytes in a path", limits.path_bytes));
        }
        let Some(path) = self.path(name)? else { return Ok(Place::Nowhere) };
        let kept = (self.keep)(path.as_str());
        Ok(if kept { Place::At(path) } else { Place::Nowhere })
    }

    /// Checks what a directory of all members announces, before it is read: how many they are, and
    /// its bytes, which are theirs of names and attributes.
    pub(super) fn check_announced(&self, members: u64, bytes: u64) -> Result<(), ArchiveError> {
        let Limits { entries, held_bytes, .. } = self.options.limits;
        if members > entries {
            return Err(self.limit("members", entries));
        }
        match bytes > held_bytes {
            true => Err(self.limit("bytes of names and attributes", held_bytes)),
            false => Ok(()),
        }
    }

    fn limit(&self, what: &'static str, allowed: u64) -> ArchiveError {
        ArchiveError::Limit { member: self.member.clone(), what, allowed }
    }

    /// The path that a member's or hard link's name means; `None` when nothing is left of it.
    fn path(&self, name: &[u8]) -> Result<Option<TreePath>, ArchiveError> {
        let wrong = |reason| ArchiveError::Path { member: self.member.clone(), reason };
        let name = self.text(name)?;
        if name.is_empty() {
            return Err(wrong("is empty"));
        }
        if name.starts_with('/') {
            return Err(wrong("is absolute"));
        }
        // `./a`, `a//b` and `a/` are other spellings of the same path, and common.
        let components: Vec<&str> =
            name.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        if components.contains(&"..") {
            return Err(wrong("leaves its root with .."));
        }
        let rest = components.get(self.options.strip as usize..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        TreePath::new(&rest.join("/")).map(Some).map_err(|error| wrong(error.reason))
    }

    fn text<'t>(&self, bytes: &'t [u8]) -> Result<&'t str, ArchiveError> {
        std::str::from_utf8(bytes)
            .map_err(|_| ArchiveError::NotUtf8 { member: self.member.clone() })
    }

    /// Whether the last member begun may have a content of `size` bytes.
    pub(super) fn check_size(&self, size: u64) -> Result<(), ArchiveError> {
        let allowed = self.options.limits.file_bytes;
        if size > allowed {
            return Err(self.limit("bytes in one file", allowed));
        }
        Ok(())
    }

    /// Takes a file in: `content` must end after `size` bytes. The bytes are counted here when
    /// `count` says so, and are counted by the caller otherwise.
    pub(super) fn file(
        &mut self,
        path: TreePath,
        meta: Meta,
        size: u64,
        content: &mut dyn Read,
        count: bool,
    ) -> Result<(), ArchiveError> {
        self.check_size(size)?;
        let budget = if count { Some(&mut self.budget) } else { None };
        let mut watched = Watched { inner: content, left: size, budget, fault: None, ended: false };
        let kept = self.sink.put(&mut watched);
        let (fault, ended) = (watched.fault, watched.ended);
        // What went wrong below the reader explains whatever the sink made of it.
        if let Some(fault) = fault {
            return Err(self.failed(fault));
        }
        let (digest, length) = kept.map_err(|source| self.keeping(source))?;
        if !ended || length != size {
            let reason = format!("{length} of {size} bytes were taken");
            return Err(self.keeping(io::Error::other(reason)));
        }
        self.insert(path, Node::File { digest, size }, meta)
    }

    fn keeping(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Keeping { member: self.member.clone(), source }
    }

    pub(super) fn dir(&mut self, path: TreePath, meta: Meta) -> Result<(), ArchiveError> {
        self.insert(path, Node::Dir, meta)
    }

    pub(super) fn symlink(
        &mut self,
        path: TreePath,
        target: &[u8],
        meta: Meta,
    ) -> Result<(), ArchiveError> {
        let target = self.text(target)?;
        if target.is_empty() || target.contains('\0') || target.len() > 4095 {
            return Err(self.corrupt("a symbolic link's target is empty, too long or has a NUL"));
        }
        self.insert(path, Node::Symlink { target: target.into() }, Meta { mode: 0o777, ..meta })
    }

    /// A second name of a member that came before: the same file, with that one's metadata.
    pub(super) fn hard_link(&mut self, path: TreePath, name: &[u8]) -> Result<(), ArchiveError> {
        let first = match self.path(name) {
            // A target outside of the archive is no file of it; the member's own path is right.
            Err(ArchiveError::Path { .. }) => None,
            first => first?.and_then(|first| self.entries.get(&first)),
        };
        let Some(first) = first.filter(|entry| !matches!(entry.node, Node::Dir)) else {
            let target = String::from_utf8_lossy(name).into_owned();
            return Err(ArchiveError::HardLink { member: self.member.clone(), target });
        };
        let entry = Entry { path, ..first.clone() };
        self.insert_entry(entry)
    }

    fn insert(&mut self, path: TreePath, node: Node, meta: Meta) -> Result<(), ArchiveError> {
        let mode = (meta.mode & 0o7777) as u16;
        let entry = Entry { path, node, mode, owner: meta.owner, xattrs: None };
        self.insert_entry(entry.with_xattrs(meta.xattrs))
    }

    fn insert_entry(&mut self, entry: Entry) -> Result<(), ArchiveError> {
        match self.entries.get(&entry.path) {
            Some(there) if *there != entry => {
                Err(ArchiveError::Twice { member: self.member.clone() })
            }
            Some(_) => Ok(()),
            None => {
                self.held += held(&entry);
                let allowed = self.options.limits.held_bytes;
                if self.held > allowed {
                    return Err(self.limit("bytes of names and attributes", allowed));
                }
                self.entries.insert(entry.path.clone(), entry);
                Ok(())
            }
        }
    }

    /// The tree of all that was taken in.
    pub(super) fn finish(self) -> Result<Tree, ArchiveError> {
        let tree = Tree::from_entries(self.entries.into_values().collect())?;
        for entry in tree.entries() {
            let Node::Symlink { target } = &entry.node else { continue };
            let absolute = target.starts_with('/') && !self.options.absolute_links;
            if absolute || links::leaves(&tree, &entry.path, target) {
                let (member, target) = (entry.path.to_string(), target.to_string());
                return Err(ArchiveError::LinkLeaves { member, target });
            }
        }
        Ok(tree)
    }
}

/// What an entry takes in memory, about.
fn held(entry: &Entry) -> u64 {
    let target = match &entry.node {
        Node::Symlink { target } => target.len(),
        _ => 0,
    };
    let xattrs: usize = entry.xattrs().iter().map(|(name, value)| name.len() + value.len()).sum();
    (OVERHEAD + entry.path.as_str().len() + target + xattrs) as u64
}

/// Passes on exactly as many bytes as were announced, and remembers what went wrong below, for a
/// sink may wrap it beyond recognition.
struct Watched<'a> {
    inner: &'a mut dyn Read,
    left: u64,
    budget: Option<&'a mut Budget>,
    fault: Option<io::Error>,
    ended: bool,
}

impl Watched<'_> {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // At the end too, `inner` is asked: that is where it checks its checksum.
        let n = self.inner.read(buffer)?;
        if let Some(budget) = &mut self.budget {
            budget.spend(n as u64)?;
        }
        let Some(left) = self.left.checked_sub(n as u64) else {
            return Err(Fault::Corrupt("its content is longer than announced").into());
        };
        if n == 0 && left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = left;
        self.ended |= n == 0;
        Ok(n)
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.ended {
            return Ok(0);
        }
        loop {
            match self.next(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let (kind, text) = (error.kind(), error.to_string());
                    self.fault = Some(error);
                    return Err(io::Error::new(kind, text));
                }
                read => return read,
            }
        }
    }
}
