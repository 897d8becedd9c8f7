//! [`Entry`]: one path of a tree.

use treelay_recipes::Digest;

use super::TreePath;

/// Extended attributes, sorted by name.
pub type Xattrs = Vec<(String, Vec<u8>)>;

/// The attribute that holds an SELinux label.
pub const SELINUX: &str = "security.selinux";

/// Numeric owner of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// One path of a tree, with everything about it but its time, which is always 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// What.
    pub node: Node,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777. 0o777 for links.
    pub mode: u16,
    /// Whose.
    pub owner: Owner,
    /// Sorted by name; boxed thin because nearly every entry has none.
    pub xattrs: Option<Box<Xattrs>>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A regular file.
    File {
        /// SHA-256 of the content.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Its target, as written.
        target: Box<str>,
    },
}

impl Entry {
    /// A directory of root's.
    pub fn dir(path: TreePath, mode: u16) -> Self {
        Self { path, node: Node::Dir, mode, owner: Owner::default(), xattrs: None }
    }

    /// A regular file of root's.
    pub fn new_file(path: TreePath, mode: u16, digest: Digest, size: u64) -> Self {
        let node = Node::File { digest, size };
        Self { path, node, mode, owner: Owner::default(), xattrs: None }
    }

    /// A symbolic link of root's.
    pub fn symlink(path: TreePath, target: &str) -> Self {
        let node = Node::Symlink { target: target.into() };
        Self { path, node, mode: 0o777, owner: Owner::default(), xattrs: None }
    }

    /// Whether it is a directory of which nothing is said but that it is there: 0755, root's, without
    /// attributes.
    pub fn is_plain_dir(&self) -> bool {
        let Self { path: _, node, mode, owner, xattrs } = self;
        (node, *mode, *owner, xattrs) == (&Node::Dir, 0o755, Owner::default(), &None)
    }

    /// Digest and size, if it is a regular file.
    pub fn file(&self) -> Option<(&Digest, u64)> {
        match &self.node {
            Node::File { digest, size } => Some((digest, *size)),
            _ => None,
        }
    }

    /// The extended attributes, sorted by name.
    pub fn xattrs(&self) -> &[(String, Vec<u8>)] {
        self.xattrs.as_ref().map_or(&[], |xattrs| xattrs.as_slice())
    }

    /// Sets the extended attributes, in any order.
    pub fn with_xattrs(mut self, mut xattrs: Xattrs) -> Self {
        xattrs.sort();
        self.xattrs = if xattrs.is_empty() { None } else { Some(Box::new(xattrs)) };
        self
    }
}
