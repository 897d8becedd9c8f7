//! Programs and images, in a table.

use super::*;
use crate::elf::Required;
use crate::go::gate::fixture::Sample;
use crate::tree::fixture::{Memory, tree};

const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// As Debian has it.
const DEBIAN: &str = "
    l 0777 0 0 lib -> usr/lib
    l 0777 0 0 lib64 -> usr/lib64
    l 0777 0 0 usr/lib64/ld-linux-x86-64.so.2 -> ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
    f 0755 0 0 =loader usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
    f 0755 0 0 =libc usr/lib/x86_64-linux-gnu/libc.so.6
    l 0777 0 0 usr/lib/x86_64-linux-gnu/libz.so.1 -> libz.so.1.3
    f 0644 0 0 =libz usr/lib/x86_64-linux-gnu/libz.so.1.3
    f 0644 0 0 =private usr/lib/app/libprivate.so.2";

/// As Alpine has it.
const ALPINE: &str = "
    f 0755 0 0 =musl lib/ld-musl-x86_64.so.1
    l 0777 0 0 lib/libc.musl-x86_64.so.1 -> ld-musl-x86_64.so.1
    f 0755 0 0 =libz lib/libz.so.1";

/// `LOADER|- LIBRARY… [LIBRARY:VERSION…] [@FOLDER…]`
fn program(path: &str, text: &str) -> Dynamic {
    let mut words = text.split(' ');
    let loader = words.next().filter(|loader| *loader != "-");
    let mut program = Program { interpreter: loader.map(str::to_owned), ..Program::default() };
    for word in words {
        match (word.strip_prefix('@'), word.split_once(':')) {
            (Some(folder), _) => program.run_path.push(folder.to_owned()),
            (None, Some((library, version))) => {
                let (library, version) = (library.to_owned(), version.to_owned());
                program.requires.push(Required { library, version });
            }
            (None, None) => program.needed.push(word.to_owned()),
        }
    }
    Dynamic { path: TreePath::new(path).unwrap(), program }
}

/// What is said of a program in an image on a base; `ok` where nothing is.
fn said(base: Option<&str>, layer: &str, text: &str) -> String {
    let (lower, _) = tree(base.unwrap_or_default());
    let (own, _) = tree(layer);
    let image = Image::new(Arch::Amd64, base.map(|_| "docker://b@sha256:1"), vec![&lower, &own]);
    let file = program("opt/app/bin/x", text);
    let versions = ["GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.36", "GLIBC_PRIVATE"];
    let provides = image
        .libraries(&file)
        .into_iter()
        .map(|((digest, _), at)| {
            let versions = if at.ends_with("libc.so.6") { &versions[..] } else { &[] };
            (digest, versions.iter().map(|version| (*version).to_owned()).collect())
        })
        .collect();
    image.problem(&file, &provides).map_or("ok".to_owned(), |problem| problem.to_string())
}

#[test]
fn what_cannot_be_loaded_is_named_with_its_reason() {
    let on_debian = |text: &str| said(Some(DEBIAN), "", text);
    let on_alpine = |text: &str| said(Some(ALPINE), "", text);
    for good in [
        format!("{GLIBC} libc.so.6 libc.so.6:GLIBC_2.9 libc.so.6:GLIBC_2.36"),
        format!("{GLIBC} libz.so.1 libz.so.1:ZLIB_1.2"),
        format!("{GLIBC} libprivate.so.2 @$ORIGIN/../../../usr/lib/app"),
        format!("{GLIBC} libprivate.so.2"),
        format!("{GLIBC} /usr/lib/app/libprivate.so.2"),
        "- libc.so.6".to_owned(),
        "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 libc.so.6".to_owned(),
    ] {
        assert_eq!(on_debian(&good), "ok", "{good}");
    }
    for good in [
        format!("{MUSL} libc.musl-x86_64.so.1"),
        format!("{MUSL} libc.so libpthread.so.0 libz.so.1 libc.so:GLIBC_9"),
        "- libz.so.1".to_owned(),
    ] {
        assert_eq!(on_alpine(&good), "ok", "{good}");
    }
    let base = "the base docker://b@sha256:1";
    for (said, expected) in [
        (
            on_debian(&format!("{MUSL} libc.musl-x86_64.so.1")),
            format!("is linked for musl ({MUSL}); {base} has glibc ({GLIBC})"),
        ),
        (
            on_alpine(&format!("{GLIBC} libc.so.6")),
            format!("is linked for glibc ({GLIBC}); {base} has musl ({MUSL})"),
        ),
        (
            on_alpine("- libm.so.6 libc.so.6"),
            format!("is linked for glibc (libc.so.6); {base} has musl ({MUSL})"),
        ),
        (
            on_debian("- libc.musl-x86_64.so.1"),
            format!("is linked for musl (libc.musl-x86_64.so.1); {base} has glibc ({GLIBC})"),
        ),
        (
            on_debian("/nix/store/ld.so libc.so.6"),
            format!("needs the loader /nix/store/ld.so, which is not in {base}"),
        ),
        (
            on_debian(&format!("{GLIBC} libc.so.6 liba.so.1")),
            format!("needs liba.so.1, which is not in {base}"),
        ),
        (
            on_debian(&format!("{GLIBC} liba.so.1 libc.so.6 libb.so.2 /opt/libz.so.1")),
            format!("needs liba.so.1, libb.so.2, /opt/libz.so.1, which are not in {base}"),
        ),
        (
            on_debian(&format!(
                "{GLIBC} libc.so.6 libc.so.6:GLIBC_2.100 libc.so.6:GLIBC_2.38 libc.so.6:GLIBC_2.9"
            )),
            format!(
                "needs GLIBC_2.100 of libc.so.6; /usr/lib/x86_64-linux-gnu/libc.so.6 in {base} has \
                 GLIBC_2.36 at most"
            ),
        ),
        (
            on_debian(&format!("{GLIBC} libc.so.6 libc.so.6:OTHER_1")),
            format!(
                "needs OTHER_1 of libc.so.6; /usr/lib/x86_64-linux-gnu/libc.so.6 in {base} has no \
                 such version"
            ),
        ),
    ] {
        assert_eq!(said, format!("/opt/app/bin/x {expected}"));
    }
}

#[test]
fn layers_bring_what_the_base_has_not() {
    let own = "f 0644 0 0 =a opt/app/lib/liba.so.1
               f 0755 0 0 =musl lib/ld-musl-x86_64.so.1";
    let text = format!("{MUSL} liba.so.1");
    assert_eq!(said(None, own, &text), "ok");
    assert_eq!(
        said(None, "", &text),
        format!("/opt/app/bin/x needs the loader {MUSL}, which is not in the image")
    );
    // Both C libraries; and musl in glibc's place.
    let both = format!("{DEBIAN}\nf 0755 0 0 =musl usr/lib/ld-musl-x86_64.so.1");
    assert_eq!(said(Some(&both), "", &format!("{MUSL} libc.musl-x86_64.so.1")), "ok");
    assert_eq!(said(Some(&both), "", &format!("{GLIBC} libc.so.6")), "ok");
    let gcompat = "l 0777 0 0 lib64/ld-linux-x86-64.so.2 -> ../lib/ld-linux-x86-64.so.2
                   f 0755 0 0 =gcompat lib/ld-linux-x86-64.so.2
                   f 0755 0 0 =gcompat lib/libgcompat.so.0";
    let text = format!("{GLIBC} libc.so.6 libc.so.6:GLIBC_2.99");
    assert_eq!(said(Some(ALPINE), gcompat, &text), "ok");
}

#[test]
fn links_are_followed_inside_the_image() {
    let (lower, _) = tree(
        "l 0777 0 0 a -> /b
         l 0777 0 0 b/c -> ../../../d/./e
         f 0644 0 0 =x d/e
         l 0777 0 0 one -> two
         l 0777 0 0 two -> one
         l 0777 0 0 gone -> nowhere
         d 0755 0 0 dir",
    );
    let (upper, _) = tree("f 0644 0 0 =y d/f\nl 0777 0 0 dir -> d");
    let root = Root::new(vec![&lower, &upper]);
    let file = |path: &str| root.file(path).map(|(path, _)| path);
    assert_eq!(file("/a/c"), Some("d/e".to_owned()));
    assert_eq!(file("//dir/../d/f"), Some("d/f".to_owned()));
    for none in ["/one", "/gone", "/d", "/d/e/x", "/", "/x", "/d/e/.."] {
        assert_eq!(file(none), None, "{none}");
    }
    assert_eq!(root.anywhere("f").map(|(path, _)| path), Some("d/f".to_owned()));
}

#[test]
fn only_what_may_be_loaded_is_looked_at() {
    let good = Sample::good(Arch::Amd64);
    let linked = Sample { interpreter: Some(MUSL), libraries: &["liba.so"], ..good.clone() };
    let library = Sample { libraries: &["liba.so"], ..good.clone() };
    let other = Sample { arch: Arch::Arm64, ..linked.clone() };
    let mut broken = library.bytes();
    broken.truncate(300);
    let mut contents = Memory::default();
    let mut entries = Vec::new();
    for (path, mode, bytes) in [
        ("bin/dynamic", 0o755, linked.bytes()),
        ("bin/static", 0o755, good.bytes()),
        ("bin/script", 0o755, b"#!/bin/sh\n".to_vec()),
        ("bin/other", 0o755, other.bytes()),
        ("bin/broken", 0o755, broken),
        ("lib/liba.so.1.2", 0o644, library.bytes()),
        ("lib/plugin.so", 0o644, library.bytes()),
        ("testdata/library.so_", 0o644, library.bytes()),
        ("testdata/a.so.gz", 0o644, library.bytes()),
        ("testdata/program", 0o644, linked.bytes()),
    ] {
        let (digest, size) = crate::ContentSink::put(&mut contents, &mut &bytes[..]).unwrap();
        entries.push(Entry::new_file(TreePath::new(path).unwrap(), mode, digest, size));
    }
    let tree = Tree::from_entries(entries).unwrap();
    let found = dynamic(&tree, Arch::Amd64, &contents).unwrap();
    let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["bin/dynamic", "lib/liba.so.1.2", "lib/plugin.so"]);
    assert_eq!(found[0].program.interpreter.as_deref(), Some(MUSL));
    assert_eq!(found[0].program.needed, ["liba.so"]);

    contents.0.clear();
    let (path, _) = dynamic(&tree, Arch::Amd64, &contents).unwrap_err();
    assert_eq!(path.as_str(), "bin/broken");
}
