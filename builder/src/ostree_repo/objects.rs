//! The bytes of OSTree's objects, and so their checksums. Pure.
//!
//! Shapes are GVariants, from libostree's `ostree-core.h` (`OSTREE_DIRMETA_GVARIANT_FORMAT`,
//! `OSTREE_TREE_GVARIANT_FORMAT`, `OSTREE_COMMIT_GVARIANT_FORMAT`) and `ostree-core-private.h`
//! (`_OSTREE_ZLIB_FILE_HEADER_GVARIANT_FORMAT`). Numbers in them are big endian.

use ostree::glib::{self, Bytes, Variant, VariantTy};
use ostree::prelude::ToVariant;
use treelay_layers::tree::{Entry, Node, Owner};
use treelay_recipes::Digest;

/// `S_IFREG`, `S_IFDIR` and `S_IFLNK` of Linux: what stands above the permission bits.
pub(super) const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
pub(super) const SYMLINK: u32 = 0o120_000;

/// What a content object says besides its content.
pub(super) struct FileMeta {
    pub uid: u32,
    pub gid: u32,
    /// With the type bits.
    pub mode: u32,
    /// The target; empty for a regular file.
    pub symlink: String,
    /// `a(ayay)`, sorted by name.
    pub xattrs: Variant,
}

impl FileMeta {
    /// Of a file or link; `None` for a directory.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let (kind, symlink) = match &entry.node {
            Node::Dir => return None,
            Node::File { .. } => (REGULAR, String::new()),
            Node::Symlink { target } => (SYMLINK, target.to_string()),
        };
        Some(Self {
            uid: entry.owner.uid,
            gid: entry.owner.gid,
            mode: kind | u32::from(entry.mode),
            symlink,
            xattrs: xattrs(entry.xattrs()),
        })
    }

    /// What the checksum of a content object begins with: `(uuuusa(ayay))`, uid, gid, mode, device,
    /// target, attributes.
    pub(super) fn header(&self) -> Vec<u8> {
        let fields = [self.uid, self.gid, self.mode, 0].map(|n| n.to_be().to_variant());
        let rest = [self.symlink.to_variant(), self.xattrs.clone()];
        with_size(&Variant::tuple_from_iter(fields.into_iter().chain(rest)))
    }

    /// What a `.filez` object begins with: the same after the content's `size` (`t`).
    pub(super) fn archive_header(&self, size: u64) -> Vec<u8> {
        let fields = [self.uid, self.gid, self.mode, 0].map(|n| n.to_be().to_variant());
        let rest = [self.symlink.to_variant(), self.xattrs.clone()];
        let all = [size.to_be().to_variant()].into_iter().chain(fields).chain(rest);
        with_size(&Variant::tuple_from_iter(all))
    }

    /// Reads the variant of [`FileMeta::archive_header`], without the size in front of it.
    pub(super) fn from_archive_header(bytes: &[u8]) -> Option<(Self, u64)> {
        let kind = VariantTy::new("(tuuuusa(ayay))").ok()?;
        // A copy: the attributes outlive `bytes`, and glib's `from_data` does not ask.
        let header = Variant::from_bytes_with_type(&Bytes::from(bytes), kind);
        let number = |at| header.child_value(at).get::<u32>().map(u32::from_be);
        let size = u64::from_be(header.child_value(0).get::<u64>()?);
        let meta = Self {
            uid: number(1)?,
            gid: number(2)?,
            mode: number(3)?,
            symlink: header.child_value(5).get()?,
            xattrs: header.child_value(6),
        };
        Some((meta, size))
    }

    pub(super) fn is_regular(&self) -> bool {
        self.mode & 0o170_000 == REGULAR
    }
}

/// A GVariant as content objects carry it: its length (4 bytes), 4 zeros, itself.
fn with_size(variant: &Variant) -> Vec<u8> {
    let data = variant.data_as_bytes();
    // Attributes and paths are limited by the kernel: a header is far below 4 GiB.
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(8 + data.len());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&data);
    bytes
}

/// `a(ayay)`; names end with a NUL, as bytestrings do.
pub(super) fn xattrs(list: &[(String, Vec<u8>)]) -> Variant {
    let pairs = list.iter().map(|(name, value)| {
        let mut name = name.clone().into_bytes();
        name.push(0);
        Variant::tuple_from_iter([bytes(&name), bytes(value)])
    });
    array("(ayay)", pairs)
}

/// `(uuua(ayay))`, what is known of a directory besides what is in it.
pub(super) fn dirmeta(mode: u16, owner: Owner, list: &[(String, Vec<u8>)]) -> Variant {
    let fields = [owner.uid, owner.gid, DIRECTORY | u32::from(mode)];
    let fields = fields.into_iter().map(|n| n.to_be().to_variant());
    Variant::tuple_from_iter(fields.chain([xattrs(list)]))
}

/// The owner and permission bits that a dirmeta says.
pub(super) fn owner_and_mode(dirmeta: &Variant) -> (Owner, u16) {
    let number = |at| dirmeta.child_value(at).get::<u32>().map_or(0, u32::from_be);
    (Owner { uid: number(0), gid: number(1) }, (number(2) & 0o7777) as u16)
}

/// `(a(say)a(sayay))`: files with their object, then directories with their dirtree and dirmeta;
/// both sorted by name.
pub(super) fn dirtree<'a>(
    files: impl Iterator<Item = (&'a str, Digest)>,
    dirs: impl Iterator<Item = (&'a str, Digest, Digest)>,
) -> Variant {
    let files = files.map(|(name, object)| {
        Variant::tuple_from_iter([name.to_variant(), bytes(object.as_bytes())])
    });
    let dirs = dirs.map(|(name, tree, meta)| {
        let children = [name.to_variant(), bytes(tree.as_bytes()), bytes(meta.as_bytes())];
        Variant::tuple_from_iter(children)
    });
    Variant::tuple_from_iter([array("(say)", files), array("(sayay)", dirs)])
}

/// What a commit says.
pub(super) struct Commit<'a> {
    /// `a{sv}`.
    pub metadata: Variant,
    pub parent: Option<Digest>,
    pub subject: &'a str,
    pub body: &'a str,
    /// Seconds since 1970.
    pub time: u64,
    pub root: Digest,
    pub root_meta: Digest,
}

impl Commit<'_> {
    /// `(a{sv}aya(say)sstayay)`: metadata, parent, related objects (none), subject, body, time, root
    /// dirtree, root dirmeta.
    pub(super) fn variant(&self) -> Variant {
        let parent = self.parent.as_ref().map_or(&[][..], |parent| parent.as_bytes());
        Variant::tuple_from_iter([
            self.metadata.clone(),
            bytes(parent),
            array("(say)", std::iter::empty()),
            self.subject.to_variant(),
            self.body.to_variant(),
            self.time.to_be().to_variant(),
            bytes(self.root.as_bytes()),
            bytes(self.root_meta.as_bytes()),
        ])
    }
}

/// `a{sv}` of sorted keys.
pub(super) fn metadata<'a>(entries: impl Iterator<Item = (&'a str, Variant)>) -> Variant {
    let entries = entries.map(|(key, value)| {
        Variant::from_dict_entry(&key.to_variant(), &Variant::from_variant(&value))
    });
    array("{sv}", entries)
}

/// The checksum of a metadata object.
pub(super) fn checksum(object: &Variant) -> Digest {
    Digest::of(object.data_as_bytes())
}

/// The 32 bytes of an `ay`.
pub(super) fn digest_of_bytes(value: &Variant) -> Option<Digest> {
    let bytes: &[u8] = value.fixed_array().ok()?;
    bytes.try_into().ok().map(Digest::from_bytes)
}

/// An `ay`.
pub(super) fn bytes(value: &[u8]) -> Variant {
    Variant::array_from_fixed_array(value)
}

/// An array of `element`s, which may be empty.
pub(super) fn array(element: &'static str, children: impl Iterator<Item = Variant>) -> Variant {
    // The callers' element types are constants of this module and valid.
    match VariantTy::new(element) {
        Ok(kind) => Variant::array_from_iter_with_type(kind, children),
        Err(_) => unreachable!("{element} is a type"),
    }
}

/// Whether `error` says that something is not there.
pub(super) fn is_not_found(error: &glib::Error) -> bool {
    error.matches(ostree::gio::IOErrorEnum::NotFound)
}
