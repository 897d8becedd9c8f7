//! Ar.

use super::*;

/// A member as it is written: header, content, padding.
fn member(name: &str, mode: &str, size: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("{name:<16}{:<12}{:<6}{:<6}{mode:<8}{size:<10}`\n", 0, 0, 7).into_bytes();
    bytes.extend(content);
    if content.len() % 2 == 1 {
        bytes.push(b'\n');
    }
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(name, "100644", &content.len().to_string(), content)
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [b"!<arch>\n".to_vec(), members.concat()].concat()
}

#[test]
fn reads_a_package_of_debians() {
    let bytes = archive(&[
        file("debian-binary", b"2.0\n"),
        file("control.tar.xz/", b"odd"),
        member("data.tar.xz", "755", "4", b"data"),
    ]);
    let digest = |text: &str| treelay_recipes::Digest::of(text).hex();
    let expected = format!(
        "f 0644 0 7 3 {} control.tar.xz\nf 0755 0 7 4 {} data.tar.xz\nf 0644 0 7 4 {} debian-binary\n",
        digest("odd"),
        digest("data"),
        digest("2.0\n"),
    );
    assert_eq!(unpacked(&bytes).unwrap().0.to_text(), expected);
    let (tree, memory) =
        with(&bytes, &Options::default(), &mut |path| path == "data.tar.xz").unwrap();
    assert_eq!((tree.entries().len(), memory.0.len()), (1, 1));
    assert!(unpacked(&archive(&[])).unwrap().0.is_empty());
}

#[test]
fn refuses_bad_members() {
    let end = |mut bytes: Vec<u8>| {
        bytes[58] = b'x';
        bytes
    };
    let behind = [&file("a", b"odd")[..63], b"x"].concat();
    for (what, bytes, says) in [
        ("absolute", file("/etc", b""), "not supported: a table of names"),
        ("names", file("//", b"long/\n"), "not supported: a table of names"),
        ("bsd", file("#1/4", b"name"), "not supported: a table of names"),
        ("dots", file("../x", b""), "leaves its root with .."),
        ("empty", file("", b""), "has a path that is empty"),
        ("nul", file("a\0b", b""), "\"a\\0b\" of the archive has a path that"),
        ("link", member("a", "120777", "1", b"b"), "is a link, device or directory"),
        ("device", member("a", "20644", "0", b""), "is a link, device or directory"),
        ("mode", member("a", "9", "0", b""), "a number in the header of a member is none"),
        ("size", member("a", "644", "-1", b""), "a number in the header of a member is none"),
        ("plus", member("a", "644", "+1", b"b"), "a number in the header of a member is none"),
        ("long", member("a", "644", "9", b"b"), "truncated: it ends at member \"a\""),
        ("huge", member("a", "644", "9999999999", b""), "truncated"),
        ("twice", [file("a", b"x"), file("a", b"y")].concat(), "\"a\" is in the archive twice"),
        ("no end", end(file("a", b"")), "has no end"),
        ("padding", behind, "a byte is behind its content"),
        ("rest", [file("a", b""), b"rest".to_vec()].concat(), "truncated"),
    ] {
        let found = error(&archive(&[bytes]));
        assert!(found.contains(says), "{what}: {found}");
    }
    let latin = [&archive(&[])[..], &[0xe9; 2][..], &file("", b"")[2..]].concat();
    assert!(error(&latin).contains("not UTF-8"), "{}", error(&latin));
}

#[test]
fn keeps_to_its_limits() {
    let bytes = archive(&[file("a", &[1; 600]), file("bb", &[2; 100])]);
    let limits = Limits::default();
    for (limits, says) in [
        (Limits { entries: 1, ..limits.clone() }, "limit of 1 members at member \"bb\""),
        (Limits { total_bytes: 650, ..limits.clone() }, "limit of 650 bytes unpacked in all"),
        (Limits { file_bytes: 599, ..limits.clone() }, "limit of 599 bytes in one file"),
        (Limits { path_bytes: 1, ..limits }, "limit of 1 bytes in a path"),
    ] {
        let options = Options { limits, ..Options::default() };
        let found = with(&bytes, &options, &mut |_| true).unwrap_err().to_string();
        assert!(found.contains(says), "{found}");
    }
}
