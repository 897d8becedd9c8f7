//! A changed byte anywhere makes `verify` refuse and name what was changed.

use std::fs;
use std::path::Path;

use treelay_tests::tamper::{self, Random};
use treelay_tests::{Env, Output};

use crate::sdk::{ARCHES, sdk};
use crate::small;

/// Of each file: the first bytes, the last, and some between.
const FIRST: u64 = 8;
const LAST: u64 = 4;
const BETWEEN: u64 = 8;

/// Changes single bits in the file, one after the other, and hands each time what `verify` said.
fn for_each_change(path: &Path, verify: impl Fn() -> Output, check: impl Fn(u64, Output)) {
    let size = fs::metadata(path).unwrap().len();
    let mut random = Random(size);
    let mut offsets: Vec<u64> = (0..FIRST.min(size)).collect();
    offsets.extend((0..BETWEEN).map(|_| random.below(size)));
    offsets.extend(size.saturating_sub(LAST)..size);
    offsets.sort_unstable();
    offsets.dedup();
    for offset in offsets {
        let mask = 1 << random.below(8);
        tamper::flip_at(path, offset, mask);
        check(offset, verify());
        tamper::flip_at(path, offset, mask);
    }
}

#[test]
fn a_changed_byte_of_any_blob_of_a_layout_is_found_and_named() {
    let env = small::env();
    small::build(&env, "oci:layout", &["good"]).ok();
    let verify = || env.treelay(["verify", "oci:layout", "--key=good.pub"]).output();
    let _ = verify().ok();
    let blobs = tamper::files(&env.path("layout/blobs"));
    // An index, and for each arch manifest, config and its own layer; a shared layer; and for each
    // of four subjects a manifest of signatures and a payload, and their config.
    assert!(blobs.len() > 1 + 3 * 3 + 1 + 4 * 2, "{blobs:?}");
    for blob in &blobs {
        let name = blob.file_name().unwrap().to_str().unwrap();
        for_each_change(blob, verify, |offset, said| {
            let said = said.fails(1);
            assert!(said.out().contains(name), "byte {offset} of {name}:\n{said}");
        });
    }
    let _ = verify().ok();
}

#[test]
fn a_changed_byte_of_any_object_of_a_repository_is_found_and_named() {
    let env = small::env();
    small::build(&env, "ostree:repo", &["good"]).arg("--arch=amd64").ok();
    let verify = || env.treelay(["verify", "ostree:repo", "--key=good.pub"]).output();
    let _ = verify().ok();
    let objects = tamper::files(&env.path("repo/objects"));
    for kind in ["commit", "commitmeta", "dirtree", "dirmeta", "filez"] {
        let of_kind = |path: &&std::path::PathBuf| path.extension().is_some_and(|ext| ext == kind);
        assert!(objects.iter().any(|path| of_kind(&path)), "{objects:?}");
    }
    for object in &objects {
        let folder = object.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let name = object.file_name().unwrap().to_str().unwrap();
        let name = format!("{folder}{}", name.replace(".filez", ".file"));
        for_each_change(object, verify, |offset, said| {
            let said = said.fails(1);
            let text = format!("{}{}", said.out(), said.err());
            // A signature that was changed is no longer one by the key: then the commit is named.
            let named = match name.strip_suffix(".commitmeta") {
                Some(checksum) => text.contains(checksum),
                None => text.contains(&name),
            };
            assert!(named, "byte {offset} of {name}:\n{said}");
        });
    }
    let _ = verify().ok();
}

#[test]
fn a_changed_byte_of_the_real_toolchain_layer_is_found_and_named() {
    let env = Env::new();
    let sdk = sdk();
    env.run("cp").arg("--recursive").arg(sdk.path("layout")).arg("layout").ok();
    let digest = sdk.image(&ARCHES[1])["layers"][0]["digest"].as_str().unwrap();
    tamper::flip(&small::blob(&env, "layout", digest), 7);
    let verify = env.treelay(["verify", "--json", "oci:layout", &sdk.key("p256.pub")]);
    let said = verify.fails(1).json();
    assert_eq!(said["good"], false);
    let problems = said["image"]["problems"].as_array().unwrap();
    assert!(!problems.is_empty(), "{said}");
    for problem in problems {
        assert_eq!(problem["digest"], digest, "{problem}");
        assert!(problem["what"].as_str().unwrap().contains("linux/arm64/v8"), "{problem}");
    }
}
