//! Tar, plain and compressed.

use ::tar::Header;

use super::*;
use crate::archive::pax::record_of;
pub(super) use crate::archive::tar::BLOCK;

/// A member as it is written: header, content, padding.
pub(super) fn member(name: &[u8], kind: u8, link: &[u8], content: &[u8]) -> Vec<u8> {
    header(name, kind, link, content.len() as u64, |_| {}, content)
}

pub(super) fn header(
    name: &[u8],
    kind: u8,
    link: &[u8],
    size: u64,
    change: impl FnOnce(&mut Header),
    content: &[u8],
) -> Vec<u8> {
    let mut header = Header::new_ustar();
    // Names are set past the checks of the crate, for they are to be bad.
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.as_old_mut().linkflag = [kind];
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    change(&mut header);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

pub(super) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(name.as_bytes(), b'0', b"", content)
}

pub(super) fn symlink(name: &str, target: &str) -> Vec<u8> {
    member(name.as_bytes(), b'2', target.as_bytes(), b"")
}

pub(super) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let data: Vec<u8> = records.iter().flat_map(|(key, value)| record_of(key, value)).collect();
    member(b"PaxHeaders/x", b'x', b"", &data)
}

/// Members with the end marker.
pub(super) fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

pub(super) fn sample() -> Vec<u8> {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let mut name = long.clone().into_bytes();
    name.push(0);
    archive(&[
        member(b"pax_global_header", b'g', b"", &record_of("comment", b"0123abcd")),
        member(b"./", b'5', b"", b""),
        header(b"./usr/", b'5', b"", 0, |header| header.set_mode(0o700), b""),
        header(b"./usr//run", b'0', b"", 3, |header| header.set_mode(0o4755), b"#!x"),
        member(b"old/", 0, b"", b""),
        member(b"usr/again", b'1', b"./usr/run", b""),
        symlink("usr/link", "../old"),
        pax(&[
            ("path", b"usr/\xc3\xbc"),
            ("size", b"5"),
            ("uid", b"3000000"),
            ("mtime", b"1.5"),
            ("SCHILY.xattr.user.note", b"hi"),
            ("SCHILY.xattr.security.selinux", b"x"),
        ]),
        header(b"short", b'0', b"", 0, |header| header.set_gid(7), b"hello"),
        member(b"././@LongLink", b'L', b"", &name),
        file("cut", b"long"),
        member(b"././@LongLink", b'K', b"", b"usr/run\0"),
        member(b"third", b'1', b"nowhere", b""),
    ])
}

pub(super) fn expected() -> String {
    let d = "d".repeat(200);
    let digest = |text| treelay_recipes::Digest::of(text).hex();
    let (run, hello, long) = (digest("#!x"), digest("hello"), digest("long"));
    format!(
        "d 0755 0 0 {d}\n\
         f 0644 0 0 4 {long} {d}/{}\n\
         d 0644 0 0 old\n\
         f 4755 0 0 3 {run} third\n\
         d 0700 0 0 usr\n\
         f 4755 0 0 3 {run} usr/again\n\
         l 0777 0 0 usr/link -> ../old\n\
         f 4755 0 0 3 {run} usr/run\n\
         f 0644 3000000 7 5 {hello} usr/ü\n\
         x user.note 6869\n",
        "f".repeat(200)
    )
}

#[test]
fn reads_every_kind_of_member() {
    let (tree, memory) = unpacked(&sample()).unwrap();
    assert_eq!(tree.to_text(), expected());
    assert_eq!(memory.0.len(), 3);
}

#[test]
fn compression_changes_nothing() {
    let plain = sample();
    let (a, b) = plain.split_at(777);
    let mut padded = gzip(&plain);
    padded.extend([0; 1000]);
    for bytes in [
        gzip(&plain),
        [gzip(a), gzip(b)].concat(),
        [gzip(&plain), gzip(&[0; 9000])].concat(),
        padded,
        zstd(&plain),
        [zstd(a), zstd(b)].concat(),
        xz(&plain),
        [xz(a), vec![0; 8], xz(b), vec![0; 4]].concat(),
    ] {
        assert_eq!(unpacked(&bytes).unwrap().0.to_text(), expected());
    }
}

#[test]
fn a_cut_anywhere_is_an_error() {
    let plain = sample();
    // One block of zeros is an end; what comes behind it may be missing.
    let end = plain.len() - BLOCK;
    for (bytes, end) in [
        (plain.clone(), end),
        (gzip(&plain), usize::MAX),
        (zstd(&plain), usize::MAX),
        (xz(&plain), usize::MAX),
    ] {
        for length in 0..bytes.len().min(end) {
            assert!(unpacked(&bytes[..length]).is_err(), "cut at {length} of {}", bytes.len());
        }
    }
}

#[test]
fn a_changed_byte_never_passes_a_checksum() {
    let small = archive(&[file("a", b"some content that compresses, compresses, compresses")]);
    let whole = unpacked(&small).unwrap().0;
    for bytes in [gzip(&small), zstd(&small), xz(&small)] {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            if let Ok((tree, _)) = unpacked(&changed) {
                // Time and system in the gzip header, which say nothing here.
                assert_eq!(tree, whole, "byte {at}");
            }
        }
    }
}

/// A file of one byte whose header has this in the field of its size.
fn sized(field: [u8; 12]) -> Vec<u8> {
    header(b"sized", b'0', b"", 0, |header| header.as_old_mut().size = field, b"x")
}

/// Readers that go by another size than this one would find other members.
#[test]
fn a_size_in_a_pax_record_counts() {
    let hidden = archive(&[file("hidden", b"x")]);
    let size = hidden.len().to_string();
    let outer = header(b"outer", b'0', b"", 0, |_| {}, &hidden);
    let bytes = archive(&[pax(&[("size", size.as_bytes())]), outer, file("last", b"")]);
    let (tree, _) = unpacked(&bytes).unwrap();
    let paths: Vec<_> = tree.entries().iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["last", "outer"]);
    assert_eq!(tree.get("outer").unwrap().file().unwrap().1, hidden.len() as u64);
    let mut lower = Lower::new();
    lower.add(&bytes[..]).unwrap();
    assert_eq!(lower.into_tree(), tree);
}

#[test]
fn names_that_differ_in_case_are_different() {
    let (tree, _) = unpacked(&archive(&[file("README", b"1"), file("readme", b"2")])).unwrap();
    assert_eq!(tree.entries().len(), 2);
}

#[test]
fn zstd_may_not_ask_for_much_memory() {
    let mut bytes = zstd(&sample());
    // Window descriptor (RFC 8878, 3.1.1.1.2), of a frame that does not say its size: the exponent over
    // 10 in the upper five bits.
    assert_eq!(bytes[4] & 0b1110_0000, 0);
    bytes[5] = 17 << 3;
    assert_eq!(unpacked(&bytes).unwrap().0.to_text(), expected());
    for exponent in [18, 21, 31] {
        bytes[5] = exponent << 3;
        let found = error(&bytes);
        assert!(found.contains("memory"), "{exponent}: {found}");
    }
}

#[test]
fn refuses_bad_members() {
    let sparse = pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.name", b"holes")]);
    let big = pax(&[("size", b"18446744073709551615")]);
    for (what, members, says) in [
        (
            "absolute",
            vec![file("/etc/passwd", b"")],
            "\"/etc/passwd\" of the archive has a path that is absolute",
        ),
        (
            "dots",
            vec![file("a/../../b", b"")],
            "\"a/../../b\" of the archive has a path that leaves its root",
        ),
        ("inner dots", vec![file("a/../b", b"")], "leaves its root"),
        ("empty", vec![file("", b"")], "is empty"),
        ("NUL", vec![pax(&[("path", b"a\0b")]), file("x", b"")], "contains a NUL"),
        (
            "latin1",
            vec![member(b"caf\xe9", b'0', b"", b"")],
            "of member \"caf\u{fffd}\" of the archive is not UTF-8",
        ),
        (
            "latin1 link",
            vec![member(b"a", b'2', b"caf\xe9", b"")],
            "link target of member \"a\" of the archive is not UTF-8",
        ),
        (
            "link out",
            vec![symlink("a/b", "../../etc")],
            "\"a/b\" of the archive is a link that leaves its root: \"../../etc\"",
        ),
        ("link /", vec![symlink("a", "/etc")], "link that leaves its root: \"/etc\""),
        (
            "links together",
            vec![symlink("a/x/up", "../.."), symlink("z", "a/x/up/../b")],
            "\"z\" of the archive is a link that leaves",
        ),
        ("empty link", vec![symlink("a", "")], "target is empty"),
        (
            "hard link",
            vec![member(b"a", b'1', b"b", b"")],
            "\"a\" of the archive is a hard link to \"b\"",
        ),
        (
            "hard link later",
            vec![member(b"a", b'1', b"b", b""), file("b", b"")],
            "is a hard link to \"b\"",
        ),
        ("hard link out", vec![member(b"a", b'1', b"../b", b"")], "is a hard link to \"../b\""),
        (
            "hard link to dir",
            vec![member(b"d", b'5', b"", b""), member(b"a", b'1', b"d", b"")],
            "hard link to \"d\"",
        ),
        (
            "character device",
            vec![member(b"dev/null", b'3', b"", b"")],
            "\"dev/null\" of the archive is a character device",
        ),
        (
            "block device",
            vec![member(b"sda", b'4', b"", b"")],
            "\"sda\" of the archive is a block device",
        ),
        ("fifo", vec![member(b"p", b'6', b"", b"")], "\"p\" of the archive is a FIFO"),
        ("gnu sparse", vec![member(b"s", b'S', b"", b"")], "not supported: a sparse file"),
        (
            "pax sparse",
            vec![sparse, file("GNUSparseFile.1/holes", b"")],
            "\"holes\" of the archive uses what is not supported: a sparse file",
        ),
        ("unknown", vec![member(b"s", b'Z', b"", b"")], "not supported: tar type 'Z'"),
        ("twice", vec![file("a", b"1"), file("./a", b"2")], "\"./a\" is in the archive twice"),
        (
            "below file",
            vec![file("a", b""), file("a/b", b"")],
            "/a/b lies below /a, which is not a directory",
        ),
        ("below link", vec![symlink("a", "b"), file("a/b", b"")], "/a/b lies below /a"),
        ("dir with size", vec![member(b"d", b'5', b"", b"x")], "a link or directory with a size"),
        ("huge size", vec![big, file("a", b"")], "limit of 17179869184 bytes in one file"),
        (
            "two names",
            vec![member(b"L", b'L', b"", b"a"), member(b"L", b'L', b"", b"b"), file("c", b"")],
            "two extension headers",
        ),
        ("no member", vec![pax(&[("path", b"a")])], "ends after an extension header"),
        (
            "global path",
            vec![member(b"g", b'g', b"", &record_of("path", b"x")), file("c", b"")],
            "a global header about paths",
        ),
        (
            "bad pax",
            vec![member(b"x", b'x', b"", b"99 path=a\n"), file("c", b"")],
            "PAX record is malformed",
        ),
        ("owner", vec![pax(&[("uid", b"4294967296")]), file("c", b"")], "an owner is over 32 bits"),
        ("empty pax path", vec![pax(&[("path", b"")]), file("x", b"")], "a path in a PAX record"),
        (
            "GNU and PAX names",
            vec![member(b"L", b'L', b"", b"a\0"), pax(&[("path", b"b")]), file("c", b"")],
            "a GNU and a PAX extension header both name a member",
        ),
        (
            "GNU and PAX links",
            vec![pax(&[("linkpath", b"b")]), member(b"K", b'K', b"", b"a\0"), symlink("c", "d")],
            "a GNU and a PAX extension header both name a member",
        ),
        ("NUL in a GNU name", vec![member(b"L", b'L', b"", b"a\0b\0"), file("c", b"")], "a NUL"),
        ("size over 64 bits", vec![sized(*b"\x80\x01\0\0\0\0\0\0\0\0\0\x01")], "too large"),
        ("negative size", vec![sized([0xff; 12])], "a number in a tar header is negative"),
        ("size with a sign", vec![sized(*b"+0000000001\0")], "has a sign"),
        ("size in words", vec![sized(*b"0000000000x\0")], "was not a number"),
        (
            "file and directory",
            vec![file("a", b""), member(b"a/", b'5', b"", b"")],
            "\"a/\" is in the archive twice",
        ),
        (
            "file through a link",
            vec![symlink("a", "b"), member(b"b/", b'5', b"", b""), file("a/c", b"")],
            "/a/c lies below /a",
        ),
        (
            "component",
            vec![pax(&[("path", &[b'a'; 300])]), file("c", b"")],
            "component longer than 255 bytes",
        ),
    ] {
        let found = error(&archive(&members));
        assert!(found.contains(says), "{what}: {found}");
    }
}

#[test]
fn refuses_bad_ends() {
    let members = [file("a", b"1")];
    let mut behind = archive(&members);
    behind.extend(file("b", b"2"));
    assert!(error(&behind).contains("followed by other data"));
    let mut behind = gzip(&archive(&members));
    behind.extend(b"garbage");
    assert!(error(&behind).contains("followed by other data"));
    let mut behind = zstd(&archive(&members));
    behind.extend(b"garbage");
    unpacked(&behind).unwrap_err();
    for behind in [&b"garbage"[..], b"\0\0\0", b"\xfd7zXZ\0", b"\xfd"] {
        unpacked(&[&xz(&archive(&members)), behind].concat()).unwrap_err();
    }
    assert!(error(&members.concat()).contains("truncated: it ends at member \"a\""));
    let mut header = archive(&members);
    header[3] = b'x';
    assert!(error(&gzip(&header)).contains("compressed, but no tar"));
    let mut second = archive(&[file("a", b"1"), file("b", b"2")]);
    second[2 * BLOCK] = b'c';
    assert!(error(&second).contains("damaged at member \"a\": the checksum of a tar header"));
}

#[test]
fn keeps_links_that_stay() {
    let links = [
        symlink("a/up", ".."),
        symlink("a/file", "../a/up/b/../c"),
        symlink("loop", "loop"),
        symlink("gone", "no/such/file"),
    ];
    assert_eq!(unpacked(&archive(&links)).unwrap().0.entries().len(), 5);

    let absolute = archive(&[symlink("etc/x", "/usr/etc/../x"), symlink("y", "etc/x/..")]);
    let options = Options { absolute_links: true, ..Options::default() };
    with(&absolute, &options, &mut |_| true).unwrap();
    let out = archive(&[symlink("x", "/../y")]);
    assert!(matches!(with(&out, &options, &mut |_| true), Err(ArchiveError::LinkLeaves { .. })));
}

#[test]
fn the_same_member_twice_is_one() {
    let (tree, _) = unpacked(&archive(&[file("a", b"1"), file("./a", b"1")])).unwrap();
    assert_eq!(tree.entries().len(), 1);
}

#[test]
fn strips_and_filters() {
    let bytes = archive(&[
        file("README", b"top"),
        file("go/VERSION", b"v"),
        file("go/doc/x", b"left out"),
        member(b"go/bin/", b'5', b"", b""),
        member(b"go/bin/v", b'1', b"go/VERSION", b""),
        symlink("go/bin/w", "../VERSION"),
    ]);
    let options = Options { strip: 1, ..Options::default() };
    let mut asked = Vec::new();
    let mut keep = |path: &str| {
        asked.push(path.to_owned());
        !path.starts_with("doc")
    };
    let (tree, memory) = with(&bytes, &options, &mut keep).unwrap();
    let paths: Vec<_> = tree.entries().iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["VERSION", "bin", "bin/v", "bin/w"]);
    assert_eq!(asked, ["VERSION", "doc/x", "bin", "bin/v", "bin/w"]);
    assert_eq!(memory.0.len(), 1);

    // What stripping makes leave the root is refused.
    let options = Options { strip: 2, ..Options::default() };
    let left = with(&bytes, &options, &mut |_| true).unwrap_err().to_string();
    assert!(left.contains("hard link to \"go/VERSION\""), "{left}");
    // A declined member is still checked for its path.
    let bad = archive(&[file("../x", b"")]);
    with(&bad, &Options::default(), &mut |_| false).unwrap_err();
}
