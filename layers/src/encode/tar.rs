//! Tar headers, to the byte.
//!
//! POSIX.1-2001 `ustar` headers (pax(1), "ustar Interchange Format"), and a PAX extended header
//! before an entry only where `ustar` cannot say it: a name that is long or not ASCII, a file of
//! 8 GiB or more, an owner above 2,097,151, extended attributes. Times are 0, names of users and
//! groups are empty: nothing in a header depends on the machine.

use std::io::Write as _;

use crate::tree::SELINUX;
use crate::{Entry, Node};

/// Bytes of a tar record.
pub(super) const BLOCK: usize = 512;
/// Two zero blocks end an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Largest number in an 11-digit and in a 7-digit octal field.
const MAX_SIZE: u64 = 0o777_7777_7777;
const MAX_ID: u32 = 0o777_7777;

/// How many zero bytes follow a content of `size` bytes.
pub fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// The header of `entry`, to the byte: who knows an entry can tell whether a tar says the same.
pub fn header(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK);
    write_header(&mut bytes, entry);
    bytes
}

/// Appends the header of `entry`, with its PAX header where it needs one.
pub(super) fn write_header(out: &mut Vec<u8>, entry: &Entry) {
    let mut name = entry.path.as_str().to_owned();
    if matches!(entry.node, Node::Dir) {
        name.push('/');
    }
    let (size, link) = match &entry.node {
        Node::Dir => (0, ""),
        Node::File { size, .. } => (*size, ""),
        Node::Symlink { target } => (0, &**target),
    };
    let typeflag = match entry.node {
        Node::Dir => b'5',
        Node::File { .. } => b'0',
        Node::Symlink { .. } => b'2',
    };

    let mut pax = Vec::new();
    let (prefix, short) = split_name(&name).unwrap_or_else(|| {
        record(&mut pax, "path", name.as_bytes());
        ("", ascii_prefix(&name))
    });
    let link = if link.is_ascii() && link.len() <= 100 {
        link
    } else {
        record(&mut pax, "linkpath", link.as_bytes());
        ascii_prefix(link)
    };
    if size > MAX_SIZE {
        record(&mut pax, "size", size.to_string().as_bytes());
    }
    for (key, id) in [("uid", entry.owner.uid), ("gid", entry.owner.gid)] {
        if id > MAX_ID {
            record(&mut pax, key, id.to_string().as_bytes());
        }
    }
    for (key, value) in entry.xattrs() {
        // The policy of the host that unpacks decides its labels (FORMATS: OSTree commits carry
        // their own); a label in an image would be refused or wrong there.
        if key != SELINUX {
            record(&mut pax, &format!("SCHILY.xattr.{key}"), value);
        }
    }

    if !pax.is_empty() {
        let header = Header {
            prefix: "",
            name: "PaxHeaders.0/entry",
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: pax.len() as u64,
            typeflag: b'x',
            link: "",
        };
        header.write(out);
        out.extend_from_slice(&pax);
        out.resize(out.len() + padding(pax.len() as u64), 0);
    }
    let header = Header {
        prefix,
        name: short,
        mode: entry.mode,
        uid: entry.owner.uid.min(MAX_ID),
        gid: entry.owner.gid.min(MAX_ID),
        size: size.min(MAX_SIZE),
        typeflag,
        link,
    };
    header.write(out);
}

/// `prefix` and `name` such that `prefix/name` is the path; `None` where ustar has no room.
fn split_name(name: &str) -> Option<(&str, &str)> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= 100 {
        return Some(("", name));
    }
    // The split leaves out the slash; a directory's final slash cannot be the split.
    let (at, _) = name[..name.len() - 1]
        .match_indices('/')
        .find(|(at, _)| *at <= 155 && name.len() - at - 1 <= 100)?;
    Some((&name[..at], &name[at + 1..]))
}

/// What readers without PAX see of a text that does not fit.
fn ascii_prefix(text: &str) -> &str {
    let end = text.bytes().take(100).take_while(u8::is_ascii).count();
    &text[..end]
}

/// Appends one PAX record: its own length in decimal, a space, `key=value`, a line feed.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{len} {key}=");
    out.extend_from_slice(value);
    out.push(b'\n');
}

struct Header<'a> {
    prefix: &'a str,
    name: &'a str,
    mode: u16,
    uid: u32,
    gid: u32,
    size: u64,
    typeflag: u8,
    link: &'a str,
}

impl Header<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut block = [0_u8; BLOCK];
        put(&mut block, 0, self.name);
        put(&mut block, 100, &format!("{:07o}", self.mode));
        put(&mut block, 108, &format!("{:07o}", self.uid));
        put(&mut block, 116, &format!("{:07o}", self.gid));
        put(&mut block, 124, &format!("{:011o}", self.size));
        put(&mut block, 136, "00000000000");
        // The checksum is taken with its own field full of spaces.
        put(&mut block, 148, "        ");
        block[156] = self.typeflag;
        put(&mut block, 157, self.link);
        put(&mut block, 257, "ustar\0" /* magic */);
        put(&mut block, 263, "00" /* version */);
        put(&mut block, 329, "0000000" /* devmajor */);
        put(&mut block, 337, "0000000" /* devminor */);
        put(&mut block, 345, self.prefix);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut block, 148, &format!("{sum:06o}\0 "));
        out.extend_from_slice(&block);
    }
}

fn put(block: &mut [u8; BLOCK], at: usize, text: &str) {
    block[at..at + text.len()].copy_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Owner, TreePath};
    use treelay_recipes::Digest;

    /// What a reader sees of an entry.
    struct Seen {
        name: String,
        link: Option<String>,
        pax: Vec<(String, Vec<u8>)>,
    }

    fn parse(entry: &Entry) -> Seen {
        let mut bytes = Vec::new();
        write_header(&mut bytes, entry);
        bytes.extend_from_slice(&END);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut member = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(member.header().mtime().unwrap(), 0);
        let mut pax = Vec::new();
        for one in member.pax_extensions().unwrap().into_iter().flatten() {
            let one = one.unwrap();
            pax.push((one.key().unwrap().to_owned(), one.value_bytes().to_vec()));
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let link = member.link_name_bytes().map(|link| text(&link));
        Seen { name: text(&member.path_bytes()), link, pax }
    }

    #[test]
    fn names_of_every_length_are_read_back() {
        for depth in [1, 30, 48, 49, 50, 51, 76, 77, 78, 120, 127, 128, 129, 300] {
            for name in [vec!["a"; depth].join("/"), "b".repeat(depth.min(255))] {
                let entry = Entry::dir(TreePath::new(&name).unwrap(), 0o755);
                assert_eq!(parse(&entry).name, format!("{name}/"));
                let link = Entry::symlink(TreePath::new(&name).unwrap(), &name);
                let parsed = parse(&link);
                assert_eq!((parsed.name, parsed.link), (name.clone(), Some(name)));
            }
        }
    }

    #[test]
    fn what_ustar_cannot_say_goes_into_pax() {
        let path = TreePath::new("usr/über").unwrap();
        let mut entry = Entry::new_file(path, 0o644, Digest::of(""), 9 << 30)
            .with_xattrs(vec![("user.a".into(), b"\0=\xff".to_vec())]);
        entry.owner = Owner { uid: 3_000_000, gid: 5 };
        let Seen { name, pax, .. } = parse(&entry);
        assert_eq!(name, "usr/über");
        let expected: Vec<(String, Vec<u8>)> = vec![
            ("path".into(), "usr/über".into()),
            ("size".into(), (9_u64 << 30).to_string().into()),
            ("uid".into(), "3000000".into()),
            ("SCHILY.xattr.user.a".into(), b"\0=\xff".to_vec()),
        ];
        assert_eq!(pax, expected);
    }

    #[test]
    fn a_pax_record_counts_its_own_digits() {
        for (value, length) in [(1, 6), (4, 9), (5, 11), (93, 99), (94, 101), (990, 997)] {
            let mut out = Vec::new();
            record(&mut out, "k", &vec![b'v'; value]);
            assert!(out.starts_with(out.len().to_string().as_bytes()), "{value}");
            assert_eq!(out.len(), length, "{value}");
        }
    }
}
