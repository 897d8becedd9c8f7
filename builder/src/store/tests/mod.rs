mod check;
mod gc;

use std::io::{self, Read};

use treelay_layers::encode::{Checkpoint, FrameStore as _, Packed};
use treelay_layers::{ContentSink as _, Contents as _, Entry, TreePath};

use treelay_recipes::Hasher;

use super::*;
use crate::ostree_repo::ObjectMemory as _;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

#[test]
fn contents_of_every_size_are_kept_and_found() {
    let (_folder, store) = store();
    for size in [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 7] {
        let bytes: Vec<u8> = (0..size as u32).map(|n| (n % 251) as u8).collect();
        let (digest, length) = StoreSink::new(&store).put(&mut &bytes[..]).unwrap();
        assert_eq!((digest, length), (Digest::of(&bytes), size as u64));
        let mut read = Vec::new();
        store.open(&digest, length).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}

#[test]
fn a_content_that_fails_leaves_nothing() {
    struct Breaks;
    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let (_folder, store) = store();
    let mut half = io::Cursor::new(vec![1; 3 << 20]).chain(Breaks);
    assert!(StoreSink::new(&store).put(&mut half).is_err());
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    assert!(!store.root().join("objects").exists());
}

/// What is rejected can be looked at, the newest of it, and no more than there is room for.
#[test]
fn the_quarantine_has_room_for_what_is_new() {
    let (_folder, store) = store();
    let quarantine = store.root().join("quarantine");
    let reject = |text: &str| {
        let mut writer = crate::fetch::BlobSink::begin(&store, None, None).unwrap();
        writer.write(text.as_bytes()).unwrap();
        writer.reject(&Digest::of(text));
    };
    reject("first");
    // As large as what fits beside what comes later, though it takes no place on the disk.
    let old = fs::File::create(quarantine.join("old")).unwrap();
    old.set_len((512 << 20) - 7).unwrap();
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
    old.set_modified(before).unwrap();
    reject("second");
    let kept = |name: &str| quarantine.join(name).exists();
    assert!(!kept("old") && kept(&Digest::of("first").hex()) && kept(&Digest::of("second").hex()));
    assert!(!fs::exists(store.root().join("objects")).unwrap());
}

#[test]
fn trees_come_back_and_damaged_ones_do_not() {
    let (_folder, store) = store();
    let path = TreePath::new("etc/motd").unwrap();
    let tree = Tree::from_entries(vec![Entry::symlink(path, "x")]).unwrap();
    let digest = store.put_tree(&tree).unwrap();
    assert_eq!(store.tree(&digest), Some(tree));
    fs::write(store.path("trees", &digest), "l 0777 0 0 etc/motd -> y\n").unwrap();
    assert_eq!(store.tree(&digest), None);
    assert!(!store.has_tree(&digest), "a damaged tree is removed");
}

#[test]
fn damaged_frames_are_not_there() {
    let (_folder, store) = store();
    let key = Digest::of("key");
    let packed = Packed { bytes: b"packed".to_vec(), crc: 7, raw: 9 };
    assert_eq!(store.get(&key), None);
    drop(store.put(&key, &packed).unwrap());
    assert_eq!(store.get(&key), None);
    store.put(&key, &packed).unwrap()().unwrap();
    assert_eq!(store.get(&key), Some(packed));
    let path = store.path("frames", &key);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(store.get(&key), None, "byte {at}");
    }
    fs::write(&path, &whole[..5]).unwrap();
    assert_eq!(store.get(&key), None);
}

#[test]
fn damaged_records_are_not_there_and_are_told() {
    let (_folder, store) = store();
    let (key, other) = (Digest::of("key"), Digest::of("other"));
    store.put_product("layer-tree", &key, &other).unwrap();
    assert_eq!(store.product("layer-tree", &key), Some(other));
    let path = store.path("products", &key).with_extension("layer-tree");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(store.product::<Digest>("layer-tree", &key), None, "byte {at}");
        assert_eq!(store.mishaps().len(), 1);
    }
    assert_eq!(store.product::<Digest>("layer-tree", &key), None);
    assert_eq!(store.mishaps(), [""; 0], "what is not there is not damaged");
    let elsewhere = store.path("products", &other).with_extension("layer-tree");
    fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    fs::write(&elsewhere, &whole).unwrap();
    assert_eq!(store.product::<Digest>("layer-tree", &other), None, "a record of another key");
}

#[test]
fn damaged_contents_are_replaced_when_they_are_put_again() {
    let (_folder, mut store) = store();
    let (digest, _) = StoreSink::new(&store).put(&mut &b"content"[..]).unwrap();
    fs::write(store.path("objects", &digest), "c0ntent").unwrap();
    store.begin().unwrap();
    // What this run wrote is not read again.
    tests::gc::age(&store.path("objects", &digest), 1);
    StoreSink::new(&store).put(&mut &b"content"[..]).unwrap();
    assert!(store.check_object(&digest));
}

#[test]
fn half_a_pair_is_cut_off_the_index() {
    let (_folder, store) = store();
    let path = store.root().join("ostree-objects");
    fs::write(&path, [7; 100]).unwrap();
    let index = ObjectIndex::new(&store);
    index.put(&Digest::of("k"), &Digest::of("v"));
    index.save().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 128);
    assert_eq!(ObjectIndex::new(&store).get(&Digest::of("k")), Some(Digest::of("v")));
}

#[test]
fn what_became_of_objects_is_remembered_across_runs() {
    let (_folder, store) = store();
    let index = ObjectIndex::new(&store);
    for n in 0..100 {
        index.put(&Digest::of(format!("k{n}")), &Digest::of(format!("v{n}")));
    }
    index.save().unwrap();
    let again = ObjectIndex::new(&store);
    assert_eq!(again.get(&Digest::of("k42")), Some(Digest::of("v42")));
    assert_eq!(again.get(&Digest::of("other")), None);
    again.put(&Digest::of("k42"), &Digest::of("v42"));
    again.save().unwrap();
    assert_eq!(fs::metadata(store.root().join("ostree-objects")).unwrap().len(), 6400);
}

#[test]
fn nothing_but_a_store_is_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter"), "dear").unwrap();
    let error = Store::open(folder.path()).err().unwrap();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("neither empty"));
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("treelay-store"), "treelay store 9\n").unwrap();
    assert!(Store::open(&other).is_err());
}

#[test]
fn a_store_apart_has_what_was_fetched_and_nothing_that_was_made() {
    let (_folder, store) = store();
    let key = Digest::of("key");
    let object = StoreSink::new(&store).put(&mut &b"content"[..]).unwrap().0;
    let tree = Tree::from_entries(vec![Entry::dir(TreePath::new("a").unwrap(), 0o755)]).unwrap();
    let kept = store.put_tree(&tree).unwrap();
    for kind in ["go-module", "base-image", "layer-tree", "layer-blob", "action"] {
        store.put_product(kind, &key, &kept).unwrap();
    }
    let apart = store.apart().unwrap();
    assert_eq!(apart.product("go-module", &key), Some(kept));
    assert_eq!(apart.product("base-image", &key), Some(kept));
    for kind in ["layer-tree", "layer-blob", "action"] {
        assert_eq!(apart.product::<Digest>(kind, &key), None, "{kind}");
    }
    assert_eq!(apart.tree(&kept), Some(tree));
    assert!(apart.check_object(&object) && apart.object(&object).is_some());
    assert!(!apart.check_object(&Digest::of("else")));
    let place = apart.root().to_owned();
    assert!(place.exists() && store.object(&object).is_some());
    drop(apart);
    assert!(!place.exists() && store.check_object(&object));
}
