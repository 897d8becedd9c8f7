//! Zip.

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};

use super::*;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";

fn options(mode: u32, method: CompressionMethod) -> SimpleFileOptions {
    SimpleFileOptions::default().unix_permissions(mode).compression_method(method)
}

fn archive(files: &[(&str, u32, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in files {
        writer.start_file(*name, options(*mode, method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An archive of two stored files, `aaaa` and `bbbb`, to be spoilt.
fn two() -> Vec<u8> {
    archive(&[("aaaa", 0o644, b"first"), ("bbbb", 0o755, b"second")], CompressionMethod::Stored)
}

/// The places of `pattern`.
fn places(bytes: &[u8], pattern: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(pattern)).collect()
}

/// Replaces every `from`, which is as long as `to`.
fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    for at in places(&bytes, from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// Sets `value` at `local` in the last local header and at `central` in the last central one.
fn patched(mut bytes: Vec<u8>, local: Option<usize>, central: usize, value: &[u8]) -> Vec<u8> {
    let mut at = vec![places(&bytes, CENTRAL).pop().unwrap() + central];
    at.extend(local.map(|local| places(&bytes, LOCAL).pop().unwrap() + local));
    for at in at {
        bytes[at..at + value.len()].copy_from_slice(value);
    }
    bytes
}

/// An archive whose end record sends to a zip64 one, which says that the directory is at `offset`
/// (APPNOTE 4.3.14 and 4.3.15).
fn zip64_end(offset: u64) -> Vec<u8> {
    let mut bytes = two();
    let end = places(&bytes, b"PK\x05\x06").pop().unwrap();
    let start = places(&bytes, CENTRAL)[0];
    let mut record = b"PK\x06\x06".to_vec();
    record.extend(44_u64.to_le_bytes());
    record.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [2, 2, (end - start) as u64, offset] {
        record.extend(number.to_le_bytes());
    }
    record.extend(b"PK\x06\x07\0\0\0\0");
    record.extend((end as u64).to_le_bytes());
    record.extend(1_u32.to_le_bytes());
    bytes[end + 16..end + 20].fill(0xff);
    bytes.splice(end..end, record);
    bytes
}

#[test]
fn reads_modes_directories_and_links() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let deflated = |mode| options(mode, CompressionMethod::Deflated);
    writer.add_directory("go/bin/", deflated(0o700)).unwrap();
    writer.start_file("go/bin/go", deflated(0o4755)).unwrap();
    writer.write_all(&[b'x'; 100_000]).unwrap();
    writer.start_file("go/ü", options(0o640, CompressionMethod::Stored)).unwrap();
    writer.write_all(b"").unwrap();
    writer.add_symlink("go/link", "bin/go", deflated(0o777)).unwrap();
    let bytes = writer.finish().unwrap().into_inner();

    let digest = |bytes: &[u8]| treelay_recipes::Digest::of(bytes).hex();
    let (tree, _) = unpacked(&bytes).unwrap();
    let expected = format!(
        "d 0755 0 0 go\nd 0700 0 0 go/bin\nf 0755 0 0 100000 {} go/bin/go\n\
         l 0777 0 0 go/link -> bin/go\nf 0640 0 0 0 {} go/ü\n",
        digest(&[b'x'; 100_000]),
        digest(b""),
    );
    // The writer keeps the lower nine bits alone.
    assert_eq!(tree.to_text(), expected);

    let (tree, memory) =
        with(&bytes, &Options { strip: 1, ..Options::default() }, &mut |path| path == "bin/go")
            .unwrap();
    assert_eq!(tree.entries().len(), 2);
    assert_eq!(memory.0.len(), 1);
}

#[test]
fn without_a_mode_files_are_plain() {
    // As a program on another system writes it: no Unix mode at all.
    let bytes = patched(two(), None, 38, &[0; 4]);
    let (tree, _) = unpacked(&bytes).unwrap();
    assert_eq!(tree.get("bbbb").unwrap().mode, 0o644);
    // As some write it: permission bits without the kind of file.
    let bytes = patched(two(), None, 38, &[0, 0, 0o755_u16.to_le_bytes()[0], 1]);
    assert_eq!(unpacked(&bytes).unwrap().0.get("bbbb").unwrap().mode, 0o755);
}

#[test]
fn an_empty_zip_is_an_empty_tree() {
    let bytes = ZipWriter::new(Cursor::new(Vec::new())).finish().unwrap().into_inner();
    assert!(unpacked(&bytes).unwrap().0.is_empty());
}

#[test]
fn refuses_bad_members() {
    let type_of = |kind: u32| (kind << 16 | 0o644 << 16).to_le_bytes();
    for (what, bytes, says) in [
        (
            "absolute",
            replaced(two(), b"bbbb", b"/bbb"),
            "\"/bbb\" of the archive has a path that is absolute",
        ),
        (
            "dots",
            replaced(two(), b"bbbb", b"../b"),
            "\"../b\" of the archive has a path that leaves its root",
        ),
        ("latin1", replaced(two(), b"bbbb", b"b\xe9bb"), "not UTF-8"),
        ("twice", replaced(two(), b"bbbb", b"aaaa"), "\"aaaa\" is in the archive twice"),
        (
            "below file",
            archive(&[("a", 0o644, b"x"), ("a/b", 0o644, b"y")], CompressionMethod::Stored),
            "/a/b lies below /a",
        ),
        ("encrypted", patched(two(), Some(6), 8, &[1, 0]), "\"bbbb\" of the archive is encrypted"),
        (
            "device",
            patched(two(), None, 38, &type_of(0o020_000)),
            "\"bbbb\" of the archive is a device",
        ),
        (
            "fifo",
            patched(two(), None, 38, &type_of(0o010_000)),
            "\"bbbb\" of the archive is a device",
        ),
        (
            "directory",
            patched(two(), None, 38, &type_of(0o040_000)),
            "file by its name and a directory by its mode",
        ),
        ("checksum", replaced(two(), b"second", b"secONd"), "damaged at member \"bbbb\""),
        (
            "local name",
            {
                let mut bytes = two();
                let at = places(&bytes, b"bbbb")[0];
                bytes[at] = b'c';
                bytes
            },
            "damaged",
        ),
        (
            "local mode",
            patched(two(), Some(8), 10, &[12, 0]),
            "\"bbbb\" of the archive uses what is not supported: compression other than deflate",
        ),
        ("overlap", patched(two(), None, 42, &[0; 4]), "damaged"),
        ("behind", [two(), b"garbage".to_vec()].concat(), "followed by other data"),
        (
            "before",
            [LOCAL.to_vec(), two()].concat(),
            "the archive is damaged: other data is before it",
        ),
        ("unlisted", replaced(two(), CENTRAL, b"PK\x01\x03"), "damaged"),
        // A zip64 extra field (APPNOTE 4.5.3) is to say the size; none is there.
        ("zip64", patched(two(), Some(22), 24, &[0xff; 4]), "truncated"),
        ("zip64 offset", patched(two(), None, 42, &[0xff; 4]), "damaged"),
        ("zip64 end", zip64_end(u64::MAX), "damaged"),
        ("zip64 end of nothing", zip64_end(0), "damaged"),
        ("zip64 end beside it", zip64_end(1), "damaged"),
        ("nul", replaced(two(), b"bbbb", b"b\0bb"), "has a path that contains a NUL"),
        (
            "backslash",
            patched(replaced(two(), b"bbbb", b"b\\bb"), None, 4, &[20, 0]),
            "separates with backslashes",
        ),
        ("long", patched(two(), Some(22), 24, &[9, 0, 0, 0]), "truncated"),
        ("short", patched(two(), Some(22), 24, &[2, 0, 0, 0]), "damaged at member \"bbbb\""),
    ] {
        let found = error(&bytes);
        assert!(found.contains(says), "{what}: {found}");
    }
    let out = archive(&[("aaaa", 0o644, b"../out")], CompressionMethod::Stored);
    let out = patched(out, None, 38, &type_of(0o120_000));
    assert!(error(&out).contains("\"aaaa\" of the archive is a link that leaves its root"));
}

/// Sizes behind the content, as who writes to a pipe has them (APPNOTE 4.3.9).
#[test]
fn sizes_may_stand_behind_the_content() {
    let mut bytes = Vec::new();
    let mut writer = ZipWriter::new_stream(&mut bytes);
    writer.start_file("aaaa", options(0o644, CompressionMethod::Deflated)).unwrap();
    writer.write_all(b"first").unwrap();
    writer.start_file("bbbb", options(0o755, CompressionMethod::Deflated)).unwrap();
    writer.write_all(b"second").unwrap();
    writer.finish().unwrap();
    let (tree, _) = unpacked(&bytes).unwrap();
    assert_eq!(tree.entries().len(), 2);
    let descriptors = places(&bytes, b"PK\x07\x08");
    assert_eq!(descriptors.len(), 2, "a writer that says them at once");
    for at in [4, 8, 12] {
        let mut bytes = bytes.clone();
        bytes[descriptors[0] + at] ^= 1;
        let found = error(&bytes);
        assert!(found.contains("damaged"), "{at}: {found}");
    }
}

/// What the directory does not list is there for readers that stream.
#[test]
fn nothing_is_between_members() {
    let one = archive(&[("hidden", 0o644, b"x")], CompressionMethod::Stored);
    let hidden = one[..places(&one, CENTRAL)[0]].to_vec();
    let bytes = two();
    unpacked(&bytes).unwrap();
    let second = places(&bytes, LOCAL)[1];
    for at in [second, places(&bytes, CENTRAL)[0]] {
        let mut bytes = bytes.clone();
        bytes.splice(at..at, hidden.iter().copied());
        // Offsets of the directory, and of the second member where it has moved.
        let end = places(&bytes, b"PK\x05\x06").pop().unwrap();
        let start = places(&bytes, CENTRAL);
        bytes[end + 16..end + 20].copy_from_slice(&(start[0] as u32).to_le_bytes());
        if at == second {
            let moved = (second + hidden.len()) as u32;
            bytes[start[1] + 42..start[1] + 46].copy_from_slice(&moved.to_le_bytes());
        }
        let found = error(&bytes);
        assert!(found.contains("damaged"), "{at}: {found}");
    }
}

#[test]
fn a_cut_anywhere_is_an_error() {
    let bytes = two();
    for length in 0..bytes.len() {
        assert!(unpacked(&bytes[..length]).is_err(), "cut at {length} of {}", bytes.len());
    }
}

#[test]
fn a_changed_byte_never_changes_content() {
    let content = b"some content that compresses, compresses, compresses";
    let bytes = archive(&[("aaaa", 0o644, content)], CompressionMethod::Deflated);
    for at in 0..bytes.len() {
        for bit in [1, 0x10, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            if let Ok((_, memory)) = unpacked(&changed) {
                // Names are not covered by a checksum, but both headers have them.
                for kept in memory.0.values() {
                    assert_eq!(kept, content, "byte {at}");
                }
            }
        }
    }
}

#[test]
fn keeps_to_its_limits() {
    let bytes = archive(
        &[("a", 0o644, &[1; 600]), ("bb/cc", 0o644, &[2; 100])],
        CompressionMethod::Deflated,
    );
    let limits = Limits::default();
    for (limits, says) in [
        (Limits { entries: 1, ..limits.clone() }, "limit of 1 members"),
        (
            Limits { total_bytes: 650, ..limits.clone() },
            "limit of 650 bytes unpacked in all at member \"bb/cc\"",
        ),
        (
            Limits { file_bytes: 599, ..limits.clone() },
            "limit of 599 bytes in one file at member \"a\"",
        ),
        (Limits { path_bytes: 4, ..limits }, "limit of 4 bytes in a path"),
    ] {
        let options = Options { limits, ..Options::default() };
        let found = with(&bytes, &options, &mut |_| true).unwrap_err().to_string();
        assert!(found.contains(says), "{found}");
    }
}

/// An end record is enough: the directory, which would be held in memory, is not read before.
#[test]
fn counts_members_before_it_reads_them() {
    let numbers = |bytes: Vec<u8>, count: u16, size: u32| {
        let end = places(&bytes, b"PK\x05\x06").pop().unwrap();
        let mut bytes = bytes;
        for at in [8, 10] {
            bytes[end + at..][..2].copy_from_slice(&count.to_le_bytes());
        }
        bytes[end + 12..][..4].copy_from_slice(&size.to_le_bytes());
        bytes
    };
    // What is no directory at all, in their place.
    let spoilt = |bytes| replaced(bytes, CENTRAL, b"PK\x01\x03");
    let size = (places(&two(), b"PK\x05\x06")[0] - places(&two(), CENTRAL)[0]) as u32;
    let few = Limits { entries: 1, ..Limits::default() };
    let small = Limits { held_bytes: 90, ..Limits::default() };
    let start = places(&two(), CENTRAL)[0] as u64;
    for (what, bytes, limits, says) in [
        ("count", spoilt(two()), few.clone(), "limit of 1 members"),
        ("zip64 count", spoilt(zip64_end(start)), few.clone(), "limit of 1 members"),
        ("size", spoilt(two()), small, "limit of 90 bytes of names and attributes"),
        ("more than fit", numbers(two(), 3, size), Limits::default(), "damaged"),
        ("fewer than there are", numbers(two(), 1, size), few.clone(), "damaged"),
        ("less than there is", numbers(two(), 1, size - 1), few, "damaged"),
    ] {
        let options = Options { limits, ..Options::default() };
        let found = with(&bytes, &options, &mut |_| true).unwrap_err().to_string();
        assert!(found.contains(says), "{what}: {found}");
    }
    let two_in = |limits| Options { limits, ..Options::default() };
    let exact = Limits { entries: 2, ..Limits::default() };
    with(&two(), &two_in(exact), &mut |_| true).unwrap();
    assert_eq!(unpacked(&zip64_end(start)).unwrap().0, unpacked(&two()).unwrap().0);
}

/// Archives inside of archives have end records of their own, and so may comments.
#[test]
fn the_last_end_record_counts() {
    let inner = archive(&[("inner", 0o644, b"x")], CompressionMethod::Stored);
    let outer = archive(&[("a.zip", 0o644, &inner)], CompressionMethod::Stored);
    let tree = unpacked(&outer).unwrap().0;
    assert_eq!(tree.entries().len(), 1);
    assert!(tree.get("a.zip").is_some());
    // Two archives in one, by the comment of the first.
    let mut bytes = two();
    let length = u16::try_from(inner.len()).unwrap();
    let end = bytes.len() - 2;
    bytes[end..].copy_from_slice(&length.to_le_bytes());
    bytes.extend(inner);
    assert!(error(&bytes).contains("other data is before it"), "{}", error(&bytes));
    // A comment is no end.
    let mut bytes = two();
    let end = bytes.len() - 2;
    bytes[end..].copy_from_slice(&4_u16.to_le_bytes());
    bytes.extend(b"note");
    assert_eq!(unpacked(&bytes).unwrap().0, unpacked(&two()).unwrap().0);
}

#[test]
fn stops_bombs() {
    let size = Limits::RATIO_FLOOR as usize + (1 << 20);
    let bytes = archive(&[("bomb", 0o644, &vec![0; size])], CompressionMethod::Deflated);
    let says = "limit of 100 times its own size when unpacked at member \"bomb\"";
    assert!(error(&bytes).contains(says));
    // Whatever the headers say of its size.
    let small = (1_u32 << 20).to_le_bytes();
    let lying = patched(bytes, Some(22), 24, &small);
    assert!(error(&lying).contains("damaged at member \"bomb\""), "{}", error(&lying));
}
