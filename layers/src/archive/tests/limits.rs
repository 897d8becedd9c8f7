//! What an archive may ask for: entries, bytes, memory.

use super::tar::{BLOCK, archive, expected, file, header, pax, sample};
use super::*;

#[test]
fn keeps_to_its_limits() {
    let bytes = archive(&[file("a", &[1; 600]), file("bb/cc", &[2; 100])]);
    let limits = Limits::default();
    for (limits, says) in [
        (Limits { entries: 1, ..limits.clone() }, "limit of 1 members at member \"bb/cc\""),
        (Limits { total_bytes: 2048, ..limits.clone() }, "limit of 2048 bytes unpacked in all"),
        (
            Limits { file_bytes: 599, ..limits.clone() },
            "limit of 599 bytes in one file at member \"a\"",
        ),
        (
            Limits { path_bytes: 4, ..limits.clone() },
            "limit of 4 bytes in a path at member \"bb/cc\"",
        ),
        (
            Limits { held_bytes: 405, ..limits },
            "limit of 405 bytes of names and attributes at member \"bb/cc\"",
        ),
    ] {
        let options = Options { limits, ..Options::default() };
        for bytes in [bytes.clone(), gzip(&bytes), xz(&bytes)] {
            let found = with(&bytes, &options, &mut |_| true).unwrap_err().to_string();
            assert!(found.contains(says), "{found}");
        }
    }

    let long = header(b"L", b'L', b"", 1 << 40, |_| {}, b"");
    assert!(error(&archive(&[long])).contains("limit of 1048576 bytes in an extension header"));
}

/// Attributes are held in memory until the tree is made: a megabyte of zeros for each member would
/// be much from little.
#[test]
fn attributes_of_all_members_together_are_limited() {
    let value = vec![b'x'; 100_000];
    let member = |at: usize| {
        [pax(&[("SCHILY.xattr.user.a", &value)]), file(&format!("f{at}"), b"")].concat()
    };
    let bytes = gzip(&archive(&(0..30).map(member).collect::<Vec<_>>()));
    unpacked(&bytes).unwrap();
    let limits = Limits { held_bytes: 2_000_000, ..Limits::default() };
    let found = with(&bytes, &Options { limits, ..Options::default() }, &mut |_| true);
    let found = found.unwrap_err().to_string();
    assert!(
        found.contains("limit of 2000000 bytes of names and attributes at member \"f19\""),
        "{found}"
    );
}

#[test]
fn xz_may_not_ask_for_much_memory() {
    // Twice the size for every two (the xz file format 1.2.0, section 5.3.1): 30 is 128 MiB.
    let plain = sample();
    assert_eq!(unpacked(&xz_with(&plain, 30)).unwrap().0.to_text(), expected());
    for size in [31, 32, 40] {
        let found = error(&xz_with(&plain, size));
        assert!(found.contains("memory"), "{size}: {found}");
    }
    for size in [41, 63, 64, 255] {
        unpacked(&xz_with(&plain, size)).unwrap_err();
    }
}

#[test]
fn stops_bombs() {
    let size = Limits::RATIO_FLOOR as usize + (1 << 20);
    let mut content = file("bomb", b"");
    content.truncate(0);
    content.extend(header(b"bomb", b'0', b"", size as u64, |_| {}, b""));
    content.resize(content.len() + size.next_multiple_of(BLOCK), 0);
    let plain = archive(&[content]);
    for bytes in [gzip(&plain), zstd(&plain)] {
        assert!(bytes.len() * 100 < size);
        let found = error(&bytes);
        let says = "limit of 100 times its own size when unpacked at member \"bomb\"";
        assert!(found.contains(says), "{found}");
    }
}
