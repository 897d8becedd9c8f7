use std::collections::BTreeSet;
use std::fs::File;

use super::*;

/// Makes a file look as if it had last been used so many days ago.
pub fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
}

fn limits(days: u64, size: Option<u64>) -> Limits {
    Limits { since: SystemTime::now() - Duration::from_secs(days * 24 * 3600), size }
}

/// Everything that is there, as `room` and how often.
fn left(store: &Store) -> Vec<(&'static str, usize)> {
    let rooms = ["products", "trees", "blobs", "frames", "objects", "quarantine", "tmp", "runs"];
    let count = |room: &str| count(&store.root().join(room));
    rooms.into_iter().map(|room| (room, count(room))).filter(|(_, count)| *count > 0).collect()
}

fn count(path: &Path) -> usize {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

fn all_old(path: &Path, days: u64) {
    for entry in fs::read_dir(path).unwrap().flatten() {
        if entry.path().is_dir() {
            all_old(&entry.path(), days);
        } else {
            age(&entry.path(), days);
        }
    }
}

/// A layer of one file: content, tree, record of the tree, blob, record of the blob. The key.
fn layer(store: &Store, content: &str) -> (Digest, Digest) {
    let (digest, size) = StoreSink::new(store).put(&mut content.as_bytes()).unwrap();
    let path = TreePath::new("file").unwrap();
    let tree = Tree::from_entries(vec![Entry::new_file(path, 0o644, digest, size)]).unwrap();
    let tree_digest = store.put_tree(&tree).unwrap();
    let key = Digest::of(format!("key of {content}"));
    store.put_product("layer-tree", &key, &tree_digest).unwrap();
    let codec = treelay_layers::encode::Codec::ALL[0];
    let blob = store.encode(&tree, store, codec, 1).unwrap();
    store.remember_blob(&tree_digest, codec, &blob).unwrap();
    (key, tree_digest)
}

const ONE: [(&str, usize); 5] =
    [("products", 2), ("trees", 1), ("blobs", 1), ("frames", 1), ("objects", 1)];

/// Makes a directory look as if it had last been used so many days ago.
fn age_dir(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    File::open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn directories_are_kept_and_removed_as_a_whole() {
    let (_folder, store) = store();
    let keys = ["used", "old"].map(Digest::of);
    for key in &keys {
        let made = store.temporary_dir().unwrap();
        fs::create_dir(made.path().join("sub")).unwrap();
        fs::write(made.path().join("sub/file"), vec![0; 5000]).unwrap();
        let kept = store.keep_checkout(made, key).unwrap();
        let cache = store.cache(key).unwrap();
        fs::write(cache.join("entry"), "x").unwrap();
        age_dir(&kept, 40);
        age_dir(&cache, 40);
    }
    store.checkout(&keys[0]).unwrap();
    store.cache(&keys[0]).unwrap();
    // Left by a run that was killed.
    let left = store.temporary_dir().unwrap().keep();
    fs::write(left.join("file"), "x").unwrap();

    let would = store.gc(&limits(30, None), true).unwrap();
    let report = store.gc(&limits(30, None), false).unwrap();
    assert_eq!(would, report);
    assert_eq!(report.rooms["checkouts"], Tally { files: 1, bytes: 4096 + 4096 + 8192 });
    assert_eq!(report.rooms["caches"].files, 1);
    assert_eq!(report.rooms["tmp"].files, 1);
    assert!(store.checkout(&keys[0]).is_some_and(|path| path.join("sub/file").is_file()));
    assert!(store.cache(&keys[0]).unwrap().join("entry").is_file());
    assert_eq!(store.checkout(&keys[1]), None);
    assert!(!store.cache(&keys[1]).unwrap().join("entry").exists());
    assert!(!left.exists());
}

#[test]
fn what_a_used_record_refers_to_stays_however_old_it_is() {
    let (_folder, store) = store();
    let (key, tree) = layer(&store, "one");
    layer(&store, "two");
    all_old(store.root(), 40);
    // As an unchanged build does.
    assert_eq!(store.product("layer-tree", &key), Some(tree));
    assert!(store.layer_blob(&tree, treelay_layers::encode::Codec::ALL[0]).is_some());
    let report = store.gc(&limits(30, None), false).unwrap();
    assert_eq!(left(&store), ONE);
    assert_eq!((report.removed.files, report.kept.files), (6, 6));
    assert_eq!(report.rooms["objects"].files, 1);
    // Now the blob's record is old, and the other one is not: the tree stays for it.
    all_old(store.root(), 40);
    store.has_tree(&tree);
    store.gc(&limits(30, None), false).unwrap();
    assert_eq!(left(&store), [("trees", 1), ("objects", 1)]);
}

#[test]
fn nothing_is_removed_by_a_dry_run() {
    let (_folder, store) = store();
    layer(&store, "one");
    all_old(store.root(), 40);
    let dry = store.gc(&limits(30, None), true).unwrap();
    assert_eq!(left(&store), ONE);
    assert_eq!(store.gc(&limits(30, None), false).unwrap(), dry);
    assert_eq!(left(&store), []);
}

#[test]
fn the_longest_unused_goes_first_when_there_is_too_much() {
    let (_folder, store) = store();
    for (days, name) in [(9, "old"), (6, "middle"), (3, "new")] {
        let before: BTreeSet<_> = everything(store.root());
        layer(&store, name);
        for path in everything(store.root()).difference(&before) {
            age(path, days);
        }
    }
    // A layer is six files of a block each.
    let report = store.gc(&limits(30, Some(11 * 4096)), false).unwrap();
    assert_eq!((report.removed.files, report.kept.bytes), (7, 11 * 4096));
    assert!(store.has_tree(&tree_of("new")) && store.has_tree(&tree_of("middle")));
    assert!(!store.has_tree(&tree_of("old")));
    // The seventh was a record: nothing that is left refers to what is gone.
    assert_eq!(store.check(1, false).unwrap().problems, []);
}

#[test]
fn wherever_removal_ends_nothing_refers_to_what_is_gone() {
    for size in 0..=12 {
        let (_folder, store) = store();
        layer(&store, "one");
        layer(&store, "two");
        let report = store.gc(&limits(30, Some(size * 4096)), false).unwrap();
        assert_eq!(report.kept.files, size);
        assert_eq!(store.check(1, false).unwrap().problems, [], "{size}");
    }
}

#[test]
fn what_a_run_uses_stays_whatever_the_limits() {
    let (folder, store) = store();
    let (key, tree) = layer(&store, "one");
    layer(&store, "two");
    all_old(store.root(), 40);
    let mut at_work = Store::open(&folder.path().join("store")).unwrap();
    at_work.begin().unwrap();
    assert_eq!(at_work.product("layer-tree", &key), Some(tree));
    let put = StoreSink::new(&at_work).put(&mut &b"new"[..]).unwrap().0;
    let kept = StoreSink::new(&at_work).put(&mut &b"two"[..]).unwrap().0;
    fs::write(store.root().join("tmp/half"), "half").unwrap();
    let report = store.gc(&limits(0, Some(0)), false).unwrap();
    assert_eq!(report.running, 1);
    let expected = [("products", 1), ("trees", 1), ("objects", 3), ("tmp", 1), ("runs", 1)];
    assert_eq!(left(&store), expected);
    assert!(store.check_object(&put) && store.check_object(&kept));
    drop(at_work);
    store.gc(&limits(0, Some(0)), false).unwrap();
    assert_eq!(left(&store), []);
}

#[test]
fn what_killed_runs_left_is_removed() {
    let (_folder, store) = store();
    fs::create_dir(store.root().join("runs")).unwrap();
    fs::create_dir(store.root().join("quarantine")).unwrap();
    for left in ["runs/r1", "tmp/t1", "quarantine/q1"] {
        fs::write(store.root().join(left), "x").unwrap();
    }
    let report = store.gc(&limits(30, None), false).unwrap();
    assert_eq!((report.running, left(&store)), (0, vec![("quarantine", 1)]));
    age(&store.root().join("quarantine/q1"), 31);
    store.gc(&limits(30, None), false).unwrap();
    assert_eq!(left(&store), []);
}

fn tree_of(content: &str) -> Digest {
    let (digest, size) = (Digest::of(content), content.len() as u64);
    let path = TreePath::new("file").unwrap();
    Tree::from_entries(vec![Entry::new_file(path, 0o644, digest, size)]).unwrap().digest()
}

fn everything(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(everything(&entry.path()));
        } else {
            found.insert(entry.path());
        }
    }
    found
}

#[test]
fn the_beginnings_of_a_layer_stay_as_long_as_its_blob() {
    let (_folder, store) = store();
    let tree = super::check::long(&store, "one");
    let digest = store.put_tree(&tree).unwrap();
    let codec = treelay_layers::encode::Codec::ALL[0];
    let blob = store.encode(&tree, &store, codec, 2).unwrap();
    store.remember_blob(&digest, codec, &blob).unwrap();
    let frames = store.frames_of(&blob.digest);
    let key = treelay_layers::encode::checkpoint_keys(&frames)[0];
    let path = store.path("products", &key).with_extension("layer-prefix");
    assert!(path.exists());
    all_old(store.root(), 40);
    store.layer_blob(&digest, codec).unwrap();
    store.gc(&limits(30, None), false).unwrap();
    assert!(path.exists() && store.check_blob(&blob.digest));
    all_old(store.root(), 40);
    store.gc(&limits(30, None), false).unwrap();
    assert!(!path.exists());
}
