use super::*;

/// One of everything; the paths, relative to the store.
fn filled(store: &Store) -> [PathBuf; 5] {
    let (object, size) = StoreSink::new(store).put(&mut &b"content"[..]).unwrap();
    let path = TreePath::new("file").unwrap();
    let tree = Tree::from_entries(vec![Entry::new_file(path, 0o644, object, size)]).unwrap();
    let tree_digest = store.put_tree(&tree).unwrap();
    let key = Digest::of("key");
    store.put_product("layer-tree", &key, &tree_digest).unwrap();
    let codec = treelay_layers::encode::Codec::ALL[0];
    let blob = store.encode(&tree, store, codec, 1).unwrap();
    store.remember_blob(&tree_digest, codec, &blob).unwrap();
    let frame = only(&store.root().join("frames"));
    [
        store.path("objects", &object),
        store.path("trees", &tree_digest),
        store.path("blobs", &blob.digest),
        frame,
        store.path("products", &key).with_extension("layer-tree"),
    ]
}

fn only(path: &Path) -> PathBuf {
    let entry = fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    if entry.is_dir() { only(&entry) } else { entry }
}

#[test]
fn a_good_store_has_no_problems() {
    let (_folder, store) = store();
    filled(&store);
    let report = store.check(3, false).unwrap();
    assert_eq!((report.problems, report.files), (Vec::new(), 6));
}

#[test]
fn each_damaged_thing_is_found_and_removed() {
    // A tree and a blob take their record with them, and a frame its blob.
    for (at, wrong) in [1, 2, 2, 3, 1].into_iter().enumerate() {
        for damage in
            [|_: &[u8]| Vec::new(), |bytes: &[u8]| [&[bytes[0] ^ 1], &bytes[1..]].concat()]
        {
            let (_folder, store) = store();
            let path = filled(&store)[at].clone();
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, damage(&bytes)).unwrap();
            let report = store.check(2, false).unwrap();
            let paths: Vec<_> = report.problems.iter().map(|problem| &problem.path).collect();
            let relative = path.strip_prefix(store.root()).unwrap().to_owned();
            assert!(paths.contains(&&relative), "{paths:?} lack {relative:?}");
            assert_eq!(paths.len(), wrong, "{paths:?}");
            assert!(path.exists() && !report.repaired);
            assert!(store.check(2, true).unwrap().repaired);
            assert!(!path.exists());
            assert_eq!(store.check(2, false).unwrap().problems, []);
        }
    }
}

#[test]
fn records_of_what_is_gone_and_strangers_are_problems() {
    let (_folder, store) = store();
    let [_, tree, blob, ..] = filled(&store);
    fs::remove_file(tree).unwrap();
    fs::remove_file(blob).unwrap();
    fs::write(store.root().join("frames").join("x"), "not in a folder").unwrap();
    fs::create_dir_all(store.root().join("objects/zz")).unwrap();
    fs::write(store.root().join("objects/zz/letter"), "dear").unwrap();
    let report = store.check(1, false).unwrap();
    let reasons: Vec<_> =
        report.problems.iter().map(|problem| problem.reason.split('/').next().unwrap()).collect();
    let refers = ["it refers to blobs", "it refers to trees"];
    assert_eq!(reasons.len(), 3);
    assert_eq!(reasons[0], "its name is no digest");
    assert!(refers.iter().all(|refers| reasons.contains(refers)), "{reasons:?}");
}

/// A tree of one file a frame, more of them than are between two checkpoints.
pub(super) fn long(store: &Store, last: &str) -> Tree {
    let mut entries = Vec::new();
    for n in 0..30_u32 {
        let text = if n == 29 { last.to_owned() } else { format!("{n} of many\n").repeat(200_000) };
        let (object, size) = StoreSink::new(store).put(&mut text.as_bytes()).unwrap();
        let path = TreePath::new(&format!("{n:02}")).unwrap();
        entries.push(Entry::new_file(path, 0o644, object, size));
    }
    Tree::from_entries(entries).unwrap()
}

#[test]
fn what_is_damaged_before_a_checkpoint_is_made_again() {
    let (_folder, store) = store();
    let store = std::sync::Arc::new(store);
    let codec = treelay_layers::encode::Codec::ALL[0];
    let encode = |last: &str| store.encode(&long(&store, last), &*store, codec, 2).unwrap();
    let read = |digest: &Digest| {
        let mut bytes = Vec::new();
        store.open_blob(digest).unwrap().read_to_end(&mut bytes).map(|_| Digest::of(&bytes))
    };
    let first = encode("one");
    assert!(store.check_blob(&first.digest));
    let frames = store.frames_of(&first.digest);
    assert!(frames.len() > 16, "{}", frames.len());
    for damage in [b"short".as_slice(), b""] {
        fs::write(store.path("frames", &frames[3]), damage).unwrap();
        // It goes on after the damaged frame, which is not read.
        let other = encode("two");
        assert!(read(&other.digest).is_err());
        assert!(!store.check_blob(&other.digest));
        assert!(store.mishaps().iter().any(|path| path.starts_with("frames")));
        let again = encode("two");
        assert_eq!(again, other);
        assert_eq!(read(&again.digest).unwrap(), again.digest);
        assert!(store.check_blob(&first.digest), "what shares its frames is whole as well");
    }

    // A state that is not that of these frames.
    let key = encode_keys(&frames);
    let state = store.checkpoint(&key).unwrap();
    let wrong = Checkpoint { blob: Hasher::default().save(), ..state };
    store.put_checkpoint(&key, &wrong);
    let other = encode("three");
    assert_ne!(read(&other.digest).unwrap(), other.digest);
    assert!(!store.check_blob(&other.digest));
    let again = encode("three");
    assert_eq!(read(&again.digest).unwrap(), again.digest);
}

fn encode_keys(frames: &[Digest]) -> Digest {
    treelay_layers::encode::checkpoint_keys(frames)[0]
}
