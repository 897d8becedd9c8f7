//! A changed bit anywhere makes `verify` fail and name where.

use std::collections::BTreeMap;
use std::path::Path;

use treelay_tests::{Env, tamper};

use crate::keys::signed;

fn verify(env: &Env, dest: &str) -> treelay_tests::Run {
    env.treelay(["verify", dest, "--key", "key.pub"])
}

/// The checksum that a blob or object is named by.
fn checksum(path: &Path) -> String {
    let name = path.file_stem().unwrap().to_str().unwrap();
    if name.len() == 64 {
        return name.to_owned();
    }
    path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned() + name
}

#[test]
fn every_blob_of_a_layout() {
    let env = signed();
    verify(&env, "oci:out").ok();
    let blobs = tamper::files(&env.path("out/blobs/sha256"));
    // Index; manifest, config and own layer of each arch; the layer of both; and for each of the
    // three manifests a signature's payload and manifest, a bundle, its manifest and the list that
    // has it; the three signatures share no config, the bundles one.
    assert!(blobs.len() >= 24, "{blobs:?}");
    for (seed, blob) in blobs.iter().enumerate() {
        let name = checksum(blob);
        for seed in [seed as u64, 1000 + seed as u64] {
            let flip = tamper::flip(blob, seed);
            let output = verify(&env, "oci:out").fails(1);
            assert!(output.out().contains(&name), "{name} {flip:?}\n{output}");
            assert!(output.out().starts_with("refused: "), "{output}");
            tamper::flip(blob, seed);
        }
    }
    verify(&env, "oci:out").ok();
    for blob in &blobs {
        let bytes = std::fs::read(blob).unwrap();
        std::fs::remove_file(blob).unwrap();
        let output = verify(&env, "oci:out").fails(1);
        assert!(format!("{}{}", output.out(), output.err()).contains(&checksum(blob)), "{output}");
        std::fs::write(blob, bytes).unwrap();
    }
}

#[test]
fn every_object_of_a_repository() {
    let env = signed();
    verify(&env, "ostree:repo").ok();
    let mut kinds = BTreeMap::new();
    let objects = tamper::files(&env.path("repo/objects"));
    for (seed, object) in objects.iter().enumerate() {
        let kind = object.extension().unwrap().to_str().unwrap();
        *kinds.entry(kind.to_owned()).or_insert(0) += 1;
        for seed in [seed as u64, 1000 + seed as u64] {
            let flip = tamper::flip(object, seed);
            let output = verify(&env, "ostree:repo").fails(1);
            let (name, said) = (checksum(object), output.out() + &output.err());
            assert!(said.contains(&name), "{name}.{kind} {flip:?}\n{output}");
            tamper::flip(object, seed);
        }
    }
    let expected =
        [("commit", 2), ("commitmeta", 2), ("dirmeta", 1), ("dirtree", 10), ("filez", 5)];
    assert_eq!(kinds, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
    verify(&env, "ostree:repo").ok();
    for object in &objects {
        let bytes = std::fs::read(object).unwrap();
        std::fs::remove_file(object).unwrap();
        let output = verify(&env, "ostree:repo").fails(1);
        assert!((output.out() + &output.err()).contains(&checksum(object)), "{output}");
        std::fs::write(object, bytes).unwrap();
    }
}

#[test]
fn every_bit_of_a_commits_signature() {
    let env = signed();
    let objects = tamper::files(&env.path("repo/objects"));
    let dest = "ostree:repo:treelay/small/x86_64";
    let commit = env.read("repo/refs/heads/treelay/small/x86_64").trim().to_owned() + ".commitmeta";
    let own = |path: &&std::path::PathBuf| {
        commit == checksum(path) + "." + path.extension().unwrap().to_str().unwrap()
    };
    let metadata = objects.iter().find(own).unwrap();
    let size = std::fs::metadata(metadata).unwrap().len();
    for offset in 0..size {
        tamper::flip_at(metadata, offset, 1 << (offset % 8));
        verify(&env, dest).fails(1);
        tamper::flip_at(metadata, offset, 1 << (offset % 8));
    }
    verify(&env, "ostree:repo").ok();
}

#[test]
fn a_ref_or_tag_that_was_moved() {
    let env = signed();
    let refs = "repo/refs/heads/treelay/small";
    let (x86, arm) = (format!("{refs}/x86_64"), format!("{refs}/aarch64"));
    let (right, wrong) = (env.read(&x86), env.read(&arm));
    env.write(&x86, &wrong);
    let output = verify(&env, "ostree:repo:treelay/small/x86_64").fails(1);
    assert!(output.out().contains("treelay/small/aarch64"), "{output}");
    env.write(&x86, right);
    verify(&env, "ostree:repo").ok();

    // A signature of one image does not serve another.
    let index = env.read("out/index.json");
    let report = env.treelay(["inspect", "oci:out", "--json"]).ok().json();
    let of =
        |at: usize| report["images"][at]["digest"].as_str().unwrap().replace(':', "-") + ".sig";
    let swapped = index.replace(&of(0), "swap").replace(&of(1), &of(0)).replace("swap", &of(1));
    env.write("out/index.json", swapped);
    let output = verify(&env, "oci:out").fails(1);
    assert!(output.out().contains("linux/amd64"), "{output}");
    env.write("out/index.json", index);
    verify(&env, "oci:out").ok();
}

/// Takes the entries of `index.json` away whose tags are chosen.
fn untag(env: &Env, chosen: impl Fn(&str) -> bool) {
    let mut index: serde_json::Value = serde_json::from_str(&env.read("out/index.json")).unwrap();
    let tag = |entry: &serde_json::Value| {
        let tag = &entry["annotations"]["org.opencontainers.image.ref.name"];
        tag.as_str().unwrap_or_default().to_owned()
    };
    index["manifests"].as_array_mut().unwrap().retain(|entry| !chosen(&tag(entry)));
    env.write("out/index.json", index.to_string());
}

#[test]
fn a_form_of_signatures_that_was_taken_away() {
    let env = signed();
    let whole = env.read("out/index.json");
    let report = env.treelay(["inspect", "oci:out", "--json"]).ok().json();
    let child = report["images"][0]["digest"].as_str().unwrap().replace(':', "-");
    let sig = |tag: &str| tag.starts_with("sha256-") && tag.ends_with(".sig");
    let list = |tag: &str| tag.starts_with("sha256-") && !tag.contains('.');
    let of_child = |tag: &str| tag.starts_with(child.as_str());
    type Chosen<'a> = &'a dyn Fn(&str) -> bool;
    let any: [(&str, Chosen<'_>, [bool; 4], &str); 6] = [
        ("every .sig", &sig, [false, false, true, false], "it is not signed"),
        ("every bundle", &list, [false, true, false, false], "not signed in a bundle"),
        ("one .sig", &|tag| sig(tag) && of_child(tag), [false, false, true, false], "not signed"),
        (
            "one bundle",
            &|tag| list(tag) && of_child(tag),
            [false, true, false, false],
            "in a bundle",
        ),
        ("both of one", &of_child, [false; 4], "linux/amd64"),
        ("both", &|tag| sig(tag) || list(tag), [false; 4], "it is not signed"),
    ];
    for (what, chosen, expected, says) in any {
        env.write("out/index.json", &whole);
        untag(&env, chosen);
        for (form, good) in ["any", "sig", "bundle", "both"].into_iter().zip(expected) {
            let run = verify(&env, "oci:out").args(["--require-form", form]);
            let output = if good { run.ok() } else { run.fails(1) };
            // Also where it is good, what is missing is told.
            assert!(output.out().contains(says), "{what} {form}: {output}");
            assert!(!good || output.out().contains("warning: "), "{what} {form}: {output}");
            if form == "any" && what != "both" && what != "both of one" {
                let left = if what.contains(".sig") { "bundle" } else { "sig" };
                assert!(output.out().contains("sign it again"), "{what}: {output}");
                output.says(&format!("--require-form {left} takes"));
            }
        }
    }
    env.write("out/index.json", whole);
    verify(&env, "oci:out").args(["--require-form", "both"]).ok();
    let named = ["--require-form", "bundle", "--signed-as", "registry.example/small"];
    let refused = verify(&env, "oci:out").args(named).fails(2);
    assert!(refused.err().contains("a bundle names no image"), "{refused}");
}
