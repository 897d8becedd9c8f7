//! Commits say which layers they were made of.

use std::sync::Arc;

use treelay::ostree_repo::{CommitLayer, LayerOf, Origins, Over, Repository};
use treelay_layers::Tree;

use crate::fixture::{Fixture, spec, tree};

const REF: &str = "ours/aarch64";

const BASE: &str = "
    d 0755 0 0 usr
    d 0755 0 0 usr/bin
    f 0755 0 0 usr/bin/sh =sh
    f 0755 0 0 usr/bin/same =same
    d 0755 0 0 usr/lib
    d 0755 0 0 usr/lib/go
    f 0644 0 0 usr/lib/go/old =old
    d 0755 0 0 usr/local
    d 0755 0 0 usr/share
    d 0755 0 0 usr/share/empty";

const GO: &str = "
    d 0755 0 0 usr
    d 0755 0 0 usr/bin
    f 0755 0 0 usr/bin/go =go
    f 0755 0 0 usr/bin/same =same
    d 0755 0 0 usr/lib
    d 0755 0 0 usr/lib/go
    f 0644 0 0 usr/lib/go/new =new
    d 0755 0 0 usr/lib/go/src
    f 0644 0 0 usr/lib/go/src/a =a
    f 0644 0 0 usr/lib/go/src/b =b";

const OTHER: &str = "
    d 0755 0 0 usr
    d 0755 0 0 usr/bin
    f 0755 0 0 usr/bin/sh =changed
    d 0755 0 0 usr/local
    f 0644 0 0 usr/local/x =x
    d 0755 0 0 usr/share
    d 0755 0 0 usr/share/empty";

#[test]
fn over_a_base_what_layers_bring_anew_is_theirs() {
    let fixture = Fixture::new();
    let (base, contents) = tree(BASE);
    let base = fixture.commit(&base, &contents, &spec("os/aarch64")).unwrap();
    // Older commits say nothing, and are read.
    let repository = Repository::open(&fixture.path()).unwrap();
    assert_eq!(repository.layers_of(&base.checksum).unwrap(), []);
    assert_eq!(repository.inspect("os/aarch64").unwrap().layers, []);

    let parts = [("go", GO), ("other", OTHER)].map(|(name, text)| {
        let (tree, _) = tree(text);
        (name.to_owned(), tree.digest(), Arc::new(tree))
    });
    let merged = Tree::merge(parts.iter().map(|(name, _, tree)| (&**name, &**tree))).unwrap().tree;
    let (_, mut contents) = tree(GO);
    contents.bytes.extend(tree(OTHER).1.bytes);
    let lower = repository.base(&base.checksum).unwrap();
    let commit = |name: &str| {
        let origins = Origins::of(&merged, &parts, name);
        let over = Over { base: Some(&lower), origins, ..Over::default() };
        fixture.commit_over(&over, &merged, &contents, &spec(REF)).unwrap()
    };
    let outcome = commit("recipe");
    let expected = [
        ("go", vec!["/usr/bin/go", "/usr/lib/go/new", "/usr/lib/go/src/"]),
        ("other", vec!["/usr/bin/sh", "/usr/local/"]),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .zip(&parts)
        .map(|((name, paths), (_, tree, _))| CommitLayer {
            name: name.to_owned(),
            tree: *tree,
            paths: Some(paths.into_iter().map(str::to_owned).collect()),
        })
        .collect();
    assert_eq!(outcome.layers, expected);
    assert_eq!(repository.layers_of(&outcome.checksum).unwrap(), expected);
    let of = LayerOf::new(&expected);
    assert_eq!(of.get("usr/lib/go/src/a"), Some(0));
    assert_eq!((of.get("usr/bin/same"), of.get("usr/lib/go/old")), (None, None));

    let info = repository.inspect(REF).unwrap();
    let counts: Vec<_> = info.layers.iter().map(|layer| (layer.files, layer.bytes)).collect();
    assert_eq!(counts, [(Some(4), Some(2 + 3 + 1 + 1)), (Some(2), Some(7 + 1))]);
    assert_eq!((info.base, info.base_version.as_deref()), (Some(base.checksum), Some("1.27.3")));
    assert_eq!(info.metadata.get("treelay.layers"), None);
    fixture.ostree(&["fsck", "--quiet"]);
    let shown = fixture.ostree(&["show", "--print-metadata-key=treelay.layers", REF]);
    assert!(shown.contains("'/usr/lib/go/src/'"), "{shown}");

    // The same layers are no news, and the same tree of others is.
    assert_eq!(commit("recipe").written, None);
    let mut renamed = parts.clone();
    renamed[0].0 = "golang".to_owned();
    let origins = Origins::of(&merged, &renamed, "recipe");
    let over = Over { base: Some(&lower), origins, ..Over::default() };
    let next = fixture.commit_over(&over, &merged, &contents, &spec(REF)).unwrap();
    assert_eq!(next.content_checksum, outcome.content_checksum);
    assert!(next.written.is_some() && next.checksum != outcome.checksum);
}
