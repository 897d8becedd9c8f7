//! Layers that others made.

use std::collections::BTreeMap;

use treelay_recipes::Digest;

use super::tar::{BLOCK, archive, file, header, member, pax, symlink};
use super::*;

/// The paths of layers laid above each other.
fn paths(layers: &[Vec<u8>]) -> io::Result<Vec<String>> {
    let mut lower = Lower::new();
    for layer in layers {
        lower.add(&layer[..])?;
    }
    Ok(lower.into_tree().entries().iter().map(|entry| entry.path.to_string()).collect())
}

fn wanted(content: &[u8]) -> BTreeMap<Digest, u64> {
    [(Digest::of(content), content.len() as u64)].into()
}

/// What every way of reading a layer says.
fn errors(layer: &[u8]) -> Vec<String> {
    let mut sink = Memory::default();
    let each: [io::Result<()>; 3] = [
        Delta::read(layer).map(drop),
        contents_of(layer, &wanted(b"x"), &mut sink),
        members(layer, &mut |_| Ok(())),
    ];
    each.into_iter().map(|read| read.unwrap_err().to_string()).collect()
}

#[test]
fn contents_are_found_whatever_their_files_are_called() {
    let first = archive(&[
        file("usr/bin/perl5.36", b"perl"),
        member(b"usr/bin/perl", b'1', b"usr/bin/perl5.36", b""),
        file("usr/bin/ruby", b"ruby"),
    ]);
    let second = archive(&[file("usr/bin/.wh.perl5.36", b"")]);
    let found = paths(&[first.clone(), second]).unwrap();
    assert_eq!(found, ["usr", "usr/bin", "usr/bin/perl", "usr/bin/ruby"]);
    let mut sink = Memory::default();
    contents_of(&first[..], &wanted(b"perl"), &mut sink).unwrap();
    assert_eq!(sink.0.into_values().collect::<Vec<_>>(), [b"perl"]);

    let large = vec![b'l'; 3 << 20];
    let layer = archive(&[file("a", b"small"), file("b", &large), file("c", b"small")]);
    let mut sink = Memory::default();
    contents_of(&gzip(&layer)[..], &wanted(&large), &mut sink).unwrap();
    assert_eq!(sink.0.into_values().collect::<Vec<_>>(), [large]);
}

#[test]
fn extension_headers_are_bounded() {
    for kind in [b'L', b'K', b'x', b'g'] {
        let huge = header(b"././@LongLink", kind, b"", 1 << 32, |_| {}, b"");
        for error in errors(&archive(&[huge, file("a", b"x")])) {
            let says = "it goes over the limit of 1048576 bytes in an extension header";
            assert_eq!(error, says, "{}", char::from(kind));
        }
    }
    let name = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let long = member(b"././@LongLink", b'L', b"", format!("{name}\0").as_bytes());
    let layer = archive(&[long.clone(), file("a", b"x")]);
    assert_eq!(paths(&[layer]).unwrap(), [&name[..200], &name]);
    // As Go has it, and so whatever runs containers.
    let ends = member(b"././@LongLink", b'L', b"", b"etc/a\0b\0");
    assert_eq!(paths(&[archive(&[ends, file("c", b"x")])]).unwrap(), ["etc", "etc/a"]);
    for (bad, says) in [
        (vec![long.clone(), pax(&[("path", b"b")]), file("c", b"")], "both name a member"),
        (vec![pax(&[("path", b"")]), file("c", b"")], "is empty or contains a NUL"),
        (vec![pax(&[("path", b"a\0b")]), file("c", b"")], "is empty or contains a NUL"),
        (vec![long.clone(), long], "two extension headers of a kind"),
        (vec![member(b"x", b'x', b"", b"nonsense")], "a PAX record is malformed"),
        (vec![member(b"x", b'x', b"", b"")], "it ends after an extension header"),
        (vec![vec![b'x'; 512]], "the checksum of a tar header"),
    ] {
        for error in errors(&archive(&bad)) {
            assert!(error.contains(says), "{error}");
        }
    }
}

#[test]
fn what_is_below_a_link_of_a_lower_layer_replaces_it() {
    let first =
        archive(&[symlink("lib64", "usr/lib64"), file("etc", b"x"), file("usr/lib64/a", b"a")]);
    let second = archive(&[file("lib64/ld.so", b"ld"), file("etc/deep/b", b"b")]);
    let found = paths(&[first, second.clone()]).unwrap();
    let expected = ["etc", "etc/deep", "etc/deep/b", "lib64", "lib64/ld.so"];
    assert_eq!(found[..5], expected);
    assert_eq!(found[5..], ["usr", "usr/lib64", "usr/lib64/a"]);

    // Within one layer nothing says which of the two is meant.
    let both = archive(&[symlink("lib64", "usr/lib64"), file("lib64/ld.so", b"ld")]);
    let error = paths(&[second, both]).unwrap_err().to_string();
    assert_eq!(error, "member \"lib64/ld.so\": it lies below lib64, which is no directory");
}

#[test]
fn nothing_comes_out_altered() {
    let sparse = [
        vec![
            pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"var/disk"),
                ("GNU.sparse.realsize", b"9"),
            ]),
            file("GNUSparseFile.0/disk", b"1\n0\n1\nx"),
        ],
        vec![member(b"var/disk", b'S', b"", b"x")],
    ];
    for layer in sparse {
        for error in errors(&archive(&layer)) {
            assert_eq!(error, "member \"var/disk\": a sparse file, which is not supported");
        }
    }
    let owner = [pax(&[("uid", b"4294967296")]), file("a", b"x")];
    for error in errors(&archive(&owner)) {
        assert_eq!(error, "member \"a\": an owner is over 32 bits");
    }
    // As names that are not UTF-8.
    let links = archive(&[
        member(b"a", b'2', b"\xff", b""),
        member(b"b", b'1', b"\xff", b""),
        member(b"\xff", b'0', b"", b"x"),
        file("c", b"x"),
    ]);
    assert_eq!(paths(&[links]).unwrap(), ["c"]);
}

#[test]
fn the_end_may_be_missing_but_no_content() {
    let whole = archive(&[file("a", b"x"), file("b", b"content")]);
    for end in [BLOCK * 3 + 7, BLOCK * 4, BLOCK * 5, BLOCK * 6] {
        assert_eq!(paths(&[whole[..end].to_vec()]).unwrap(), ["a", "b"], "{end}");
    }
    for end in [BLOCK * 2 + 120, BLOCK * 3 + 6] {
        assert!(paths(&[whole[..end].to_vec()]).is_err(), "{end}");
    }
    let mut holed = whole[..BLOCK * 2].to_vec();
    holed.extend([0; BLOCK]);
    holed.extend(&whole[BLOCK * 2..]);
    let error = paths(&[holed]).unwrap_err().to_string();
    assert_eq!(error, "members follow half of an end marker");
}
