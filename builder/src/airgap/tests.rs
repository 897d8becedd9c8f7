//! Bundles made by hand, good and bad.

use std::collections::BTreeSet;
use std::io::{Cursor, Write as _};

use serde_json::{Value, json};
use treelay_layers::encode::{Stream, TAR_END, tar_padding};
use treelay_layers::{ContentSink as _, Entry, Tree, TreePath};
use treelay_recipes::Digest;

use super::read::header_of;
use super::*;
use crate::exec::Portable;
use crate::store::{Store, StoreSink};

struct Places {
    folder: tempfile::TempDir,
}

impl Places {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self, name: &str) -> Store {
        Store::open(&self.folder.path().join(name)).unwrap()
    }

    /// Files that are in a store, beside what says that it is one.
    fn files(&self, name: &str) -> usize {
        let rooms = ["objects", "trees", "products", "bases", "tmp"];
        let count = |room| {
            walk(&self.folder.path().join(name).join(room)).into_iter().filter(|file| *file).count()
        };
        rooms.into_iter().map(count).sum()
    }
}

/// For each entry below a folder, whether it is a file.
fn walk(folder: &std::path::Path) -> Vec<bool> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path().is_file());
        found.extend(walk(&entry.path()));
    }
    found
}

/// What a store with a tree of one file has to carry.
fn load(store: &Store) -> Load {
    let (digest, size) = StoreSink::new(store).put(&mut &b"content"[..]).unwrap();
    let entry = Entry::new_file(TreePath::new("a").unwrap(), 0o644, digest, size);
    let tree = store.put_tree(&Tree::from_entries(vec![entry]).unwrap()).unwrap();
    let inputs = Portable {
        objects: [(digest, size)].into(),
        trees: BTreeSet::from([tree]),
        ..Portable::default()
    };
    let text = |text: &str| text.to_owned();
    Load { file: text("x.yaml"), recipe: text("a recipe"), lock: text("a lock"), inputs }
}

fn good() -> (Places, Vec<u8>) {
    let places = Places::new();
    let store = places.store("from");
    let mut bytes = Vec::new();
    write(&mut bytes, &[load(&store)], &store).unwrap();
    (places, bytes)
}

fn zstd(tar: &[u8]) -> Vec<u8> {
    let mut stream = Stream::new(CODEC, Vec::new()).unwrap();
    stream.write_all(tar).unwrap();
    stream.finish().unwrap()
}

fn member(path: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = header_of(path, content.len() as u64, &Digest::of(content));
    bytes.extend(content);
    bytes.extend(vec![0; tar_padding(content.len() as u64)]);
    bytes
}

/// The name of an object.
fn object(content: &[u8]) -> String {
    format!("objects/{}", Digest::of(content).hex())
}

fn listed(path: &str, content: &[u8]) -> Value {
    json!({"path": path, "size": content.len(), "sha256": Digest::of(content)})
}

/// A bundle with these members, of which the manifest lists `members`, changed by `change`.
fn bundle(members: &[(&str, &[u8])], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let list: Vec<Value> = members.iter().map(|(path, content)| listed(path, content)).collect();
    let mut manifest = json!({
        "format": "treelay bundle of inputs", "version": 1,
        "recipes": [], "images": [], "commits": [], "members": list,
    });
    change(&mut manifest);
    let mut tar = member(MANIFEST, manifest.to_string().as_bytes());
    members.iter().for_each(|(path, content)| tar.extend(member(path, content)));
    tar.extend(TAR_END);
    zstd(&tar)
}

/// The error of reading and of importing, with a store that must stay empty.
fn refused(bytes: &[u8]) -> String {
    let places = Places::new();
    let store = places.store("to");
    let error = import(Cursor::new(bytes), &store, 1).map(|_| ()).unwrap_err();
    assert_eq!(places.files("to"), 0, "{error}");
    error.to_string()
}

#[test]
fn what_is_exported_is_what_is_imported() {
    let (places, bytes) = good();
    let store = places.store("to");
    let imported = import(Cursor::new(&bytes), &store, 1).unwrap();
    assert_eq!(imported.recipes, [("a recipe".to_owned(), "a lock".to_owned())]);
    assert_eq!(imported.manifest, verify(Cursor::new(&bytes)).unwrap());
    assert_eq!(imported.manifest, list(Cursor::new(&bytes)).unwrap());
    assert!(store.object(&Digest::of("content")).is_some());
    assert_eq!(places.files("to"), 4);
    // The same from the other store.
    let mut again = Vec::new();
    write(&mut again, &[load(&store)], &store).unwrap();
    assert!(again == bytes);
}

#[test]
fn a_store_that_lost_something_gives_no_bundle() {
    let places = Places::new();
    let store = places.store("from");
    let load = load(&store);
    let path = store.object(&Digest::of("content")).unwrap();
    std::fs::write(&path, "CONTENT").unwrap();
    let loads = [load];
    let error = write(&mut Vec::new(), &loads, &store).unwrap_err().to_string();
    assert!(error.contains("missing or damaged"), "{error}");
    // Else it would be found damaged for ever.
    assert!(!path.exists());
    let error = write(&mut Vec::new(), &loads, &store).unwrap_err().to_string();
    assert!(error.contains("missing or damaged"), "{error}");
}

#[test]
fn a_cut_anywhere_is_refused() {
    let (_, bytes) = good();
    for length in 0..bytes.len() {
        refused(&bytes[..length]);
    }
}

#[test]
fn what_is_not_as_listed_is_refused() {
    let (a, b) = (object(b"a"), object(b"b"));
    let (first, second) = if a < b {
        ((&*a, &b"a"[..]), (&*b, &b"b"[..]))
    } else {
        ((&*b, &b"b"[..]), (&*a, &b"a"[..]))
    };
    let both = [first, second];
    import(Cursor::new(bundle(&both, |_| ())), &Places::new().store("to"), 1).unwrap();
    let rename = |path: &str| {
        let path = path.to_owned();
        move |it: &mut Value| it["members"][0]["path"] = json!(path)
    };
    let tree = |text: &str| (format!("trees/{}", Digest::of(text).hex()), text.to_owned());
    let other = Digest::of("other");
    let stray = tree(&format!("f 0644 0 0 5 {} a\n", other.hex()));
    let no_tree = tree("what is this");
    let other_way = tree("d 755 0 0 a\n");
    let commit = other.hex();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "unlisted",
            bundle(&both, |it| drop(it["members"].as_array_mut().unwrap().pop())),
            "followed by what",
        ),
        (
            "missing",
            bundle(&both[..1], |it| {
                it["members"].as_array_mut().unwrap().push(listed(second.0, second.1))
            }),
            "what is there is not what",
        ),
        ("out of order", bundle(&[second, first], |_| ()), "twice or out of order"),
        ("twice", bundle(&[first, first], |_| ()), "twice or out of order"),
        (
            "swapped",
            bundle(&both, |it| it["members"][0]["size"] = json!(2)),
            "not what the manifest lists next",
        ),
        (
            "digest",
            bundle(&both, |it| it["members"][0]["sha256"] = json!(other)),
            "with another digest",
        ),
        ("absolute", bundle(&both, rename("/etc/passwd")), "which is no name of a member"),
        ("dots", bundle(&both, rename("objects/../../x")), "which is no name of a member"),
        ("short", bundle(&both, rename("objects/ab")), "which is no name of a member"),
        (
            "room",
            bundle(&both, rename(&first.0.replace("objects", "products"))),
            "which is no name",
        ),
        ("upper", bundle(&both, rename(&first.0.to_uppercase())), "which is no name of a member"),
        (
            "commit file",
            bundle(&both, rename(&format!("commits/{commit}/../../x.commit"))),
            "which is no name",
        ),
        (
            "stray commit",
            bundle(
                &[(&format!("commits/{commit}/{}/{}.commit", &commit[..2], &commit[2..]), b"x")],
                |_| (),
            ),
            "of a commit that it does not name",
        ),
        (
            "no commit",
            bundle(&both, |it| {
                it["commits"] = json!([{"url": "https://x.example", "commit": other}])
            }),
            "which it does not list",
        ),
        ("huge", bundle(&both, |it| it["members"][0]["size"] = json!(1_u64 << 40)), "is over"),
        (
            "bomb",
            bundle(&both, |it| it["members"][0]["size"] = json!(1_u64 << 30)),
            "over 100 times the file",
        ),
        (
            "content",
            {
                let mut tar = Vec::new();
                let manifest = json!({"format": "treelay bundle of inputs", "version": 1, "recipes": [], "images": [], "commits": [], "members": [listed(&a, b"a")]});
                tar.extend(member(MANIFEST, manifest.to_string().as_bytes()));
                let mut wrong = member(&a, b"a");
                wrong[512] = b'b';
                tar.extend(wrong);
                tar.extend(TAR_END);
                zstd(&tar)
            },
            "its SHA-256 is",
        ),
        (
            "recipe name",
            bundle(
                &both,
                |it| it["recipes"] = json!([{"file": "../x.yaml", "recipe": Digest::of("a"), "lock": Digest::of("b"), "beside": []}]),
            ),
            "a recipe is called",
        ),
        (
            "recipe gone",
            bundle(
                &both,
                |it| it["recipes"] = json!([{"file": "x.yaml", "recipe": other, "lock": Digest::of("b"), "beside": []}]),
            ),
            "which it does not list",
        ),
        (
            "recipes that are held",
            bundle(&both, |it| {
                it["members"][0]["size"] = json!(1 << 20);
                let digest = it["members"][0]["sha256"].clone();
                let one = |n: u32| json!({"file": format!("{n}.yaml"), "recipe": digest, "lock": digest, "beside": []});
                it["recipes"] = (0..33).map(one).collect();
            }),
            "its recipes and locks are over",
        ),
        (
            "image that is held",
            bundle(&both, |it| {
                it["members"][0]["size"] = json!(5 << 20);
                it["images"] = json!([it["members"][0]["sha256"]]);
            }),
            "a manifest of an image, is over",
        ),
        (
            "tree that is held",
            bundle(&[(&no_tree.0, no_tree.1.as_bytes())], |it| {
                it["members"][0]["size"] = json!(1 << 29);
            }),
            "is over 268435456 bytes",
        ),
        (
            "image",
            bundle(&both, |it| it["images"] = json!([Digest::of("a")])),
            "it is no manifest of an image",
        ),
        (
            "content of a tree",
            bundle(&[(&stray.0, stray.1.as_bytes())], |_| ()),
            "which is not in the bundle",
        ),
        (
            "tree in another way",
            bundle(&[(&other_way.0, other_way.1.as_bytes())], |_| ()),
            "it is not written as trees are",
        ),
        ("no tree", bundle(&[(&no_tree.0, no_tree.1.as_bytes())], |_| ()), "is damaged at trees/"),
        ("version", bundle(&both, |it| it["version"] = json!(2)), "of version 2 of the format"),
        (
            "format",
            bundle(&both, |it| it["format"] = json!("x")),
            "its manifest is of something else",
        ),
        ("extra", bundle(&both, |it| it["extra"] = json!(1)), "unknown field"),
        (
            "no manifest",
            zstd(&[member(first.0, first.1), TAR_END.to_vec()].concat()),
            "does not begin with bundle.json",
        ),
        ("empty", zstd(&[]), "the bundle ends there"),
        ("no end", zstd(&member(MANIFEST, b"{}")), "no bundle of inputs"),
        ("behind", [bundle(&both, |_| ()), zstd(b"more")].concat(), "followed by what"),
        (
            "garbage behind",
            [bundle(&both, |_| ()), b"more garbage".to_vec()].concat(),
            "damaged at its end",
        ),
        ("gzip", b"\x1f\x8b\x08\0".to_vec(), "it is no bundle of inputs"),
    ];
    for (what, bytes, says) in cases {
        let found = refused(&bytes);
        assert!(found.contains(says), "{what}: {found}");
    }
}

#[test]
fn an_image_comes_with_all_that_its_manifest_names() {
    let config = br#"{"architecture":"amd64","os":"linux"}"#;
    let part = |media: &str, content: &[u8]| json!({"mediaType": media, "digest": Digest::of(content), "size": content.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": part("application/vnd.oci.image.config.v1+json", config),
        "layers": [part("application/vnd.oci.image.layer.v1.tar", b"layer")],
    })
    .to_string();
    let contents = [manifest.as_bytes(), config, b"layer"];
    let mut members: Vec<(String, &[u8])> = contents.map(|it| (object(it), it)).into();
    members.sort();
    let image = |it: &mut Value| it["images"] = json!([Digest::of(&manifest)]);
    let make = |members: &[(String, &[u8])]| {
        let members: Vec<(&str, &[u8])> = members.iter().map(|(name, it)| (&**name, *it)).collect();
        bundle(&members, image)
    };
    let places = Places::new();
    import(Cursor::new(make(&members)), &places.store("to"), 1).unwrap();
    // With the record of the image.
    assert_eq!(places.files("to"), 4);
    for at in 0..members.len() {
        let mut less = members.clone();
        less.remove(at);
        let found = refused(&make(&less));
        assert!(found.contains("not in the bundle") || found.contains("does not list"), "{found}");
    }
}
