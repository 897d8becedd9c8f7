use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Mutex;

use treelay_recipes::Digest;

use super::*;
use crate::tree::fixture::{Memory, tree};
use crate::{Entry, Tree, TreePath};

#[derive(Default)]
struct MemoryStore {
    frames: Mutex<BTreeMap<Digest, Packed>>,
    checkpoints: Mutex<BTreeMap<Digest, Checkpoint>>,
}

impl FrameStore for MemoryStore {
    fn get(&self, key: &Digest) -> Option<Packed> {
        self.frames.lock().unwrap().get(key).cloned()
    }

    fn has(&self, key: &Digest) -> bool {
        self.frames.lock().unwrap().contains_key(key)
    }

    fn put(&self, key: &Digest, packed: &Packed) -> io::Result<Keep<'_>> {
        let (key, packed) = (*key, packed.clone());
        Ok(Box::new(move || {
            self.frames.lock().unwrap().insert(key, packed);
            Ok(())
        }))
    }

    fn checkpoint(&self, key: &Digest) -> Option<Checkpoint> {
        self.checkpoints.lock().unwrap().get(key).cloned()
    }

    fn put_checkpoint(&self, key: &Digest, checkpoint: &Checkpoint) {
        self.checkpoints.lock().unwrap().insert(*key, checkpoint.clone());
    }
}

/// Contents that tell which of them were opened.
struct Counted<'a>(&'a Memory, Mutex<Vec<Digest>>);

impl crate::Contents for Counted<'_> {
    fn open(&self, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>> {
        self.1.lock().unwrap().push(*digest);
        self.0.open(digest, size)
    }
}

/// A tree with many small files and one that is cut inside.
fn big() -> (Tree, Memory) {
    let mut contents = Memory::default();
    let mut entries = Vec::new();
    let mut add = |path: String, bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        let path = TreePath::new(&path).unwrap();
        entries.push(Entry::new_file(path, 0o644, digest, bytes.len() as u64));
        contents.0.insert(digest, bytes);
    };
    for n in 0_u32..600 {
        let text: Vec<u8> = (0..n * 23).flat_map(|i| (i * n / 7).to_le_bytes()).collect();
        add(format!("src/{n:03}/file.go"), text);
    }
    add("bin/go".into(), (0..5_000_001_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect());
    (Tree::from_entries(entries).unwrap(), contents)
}

fn run(
    tree: &Tree,
    contents: &dyn crate::Contents,
    codec: Codec,
    store: &MemoryStore,
    workers: usize,
) -> (Encoded, Vec<u8>) {
    let encoded = encode(tree, contents, codec, store, workers).unwrap();
    let mut blob = Vec::new();
    for piece in &encoded.pieces {
        match piece {
            Piece::Bytes(bytes) => blob.extend_from_slice(bytes),
            Piece::Frame(key) => blob.extend(store.get(key).unwrap().bytes),
        }
    }
    assert_eq!(encoded.digest, Digest::of(&blob));
    assert_eq!(encoded.size, blob.len() as u64);
    (encoded, blob)
}

fn fresh() -> MemoryStore {
    MemoryStore::default()
}

fn decompress(codec: Codec, blob: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    if codec == Codec::GZIP {
        // A decoder that stops after the first member, like the one ostree-ext uses.
        let mut decoder = flate2::bufread::GzDecoder::new(blob);
        decoder.read_to_end(&mut raw).unwrap();
        assert!(decoder.into_inner().is_empty(), "there is more than one member");
    } else {
        raw = zstd::decode_all(blob).unwrap();
    }
    raw
}

#[test]
fn every_codec_gives_back_the_tree_whatever_the_cache_and_the_workers() {
    let (tree, contents) = big();
    for codec in Codec::ALL {
        let (first, blob) = run(&tree, &contents, codec, &fresh(), 1);
        let raw = decompress(codec, &blob);
        assert_eq!(Digest::of(&raw), first.diff_id);
        assert_eq!(raw.len() as u64, first.raw_size);
        let mut archive = ::tar::Archive::new(&raw[..]);
        let mut files = 0;
        for (member, entry) in archive.entries().unwrap().zip(tree.entries()) {
            let mut member = member.unwrap();
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).unwrap();
            let path = member.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
            assert_eq!(path, entry.path.as_str());
            if let Some((digest, _)) = entry.file() {
                assert_eq!(Digest::of(&bytes), *digest);
                files += 1;
            }
        }
        assert_eq!(files, 601);

        let store = fresh();
        for workers in [1, 2, 7] {
            assert_eq!(run(&tree, &contents, codec, &store, workers).1, blob);
            assert_eq!(run(&tree, &contents, codec, &fresh(), workers).1, blob);
        }
        let (again, _) = run(&tree, &contents, codec, &store, 2);
        assert_eq!(again.frames.all, again.frames.reused);
        // Half of the frames are lost, then the checkpoints as well, then only every other of them.
        for round in 0..3 {
            let mut at = 0;
            let mut every_other = || {
                at += 1;
                at % 2 == 0
            };
            store.frames.lock().unwrap().retain(|_, _| every_other());
            store.checkpoints.lock().unwrap().retain(|_, _| round != 1 && every_other());
            let (encoded, bytes) = run(&tree, &contents, codec, &store, 2);
            assert_eq!(bytes, blob, "round {round}");
            assert!(encoded.frames.reused > 0 && encoded.frames.reused < encoded.frames.all);
        }
    }
}

#[test]
fn what_is_before_a_change_is_not_read_again() {
    // More frames than are between two checkpoints, the large file among the first.
    let (mut tree, mut contents) = big();
    let mut entries = tree.entries().to_vec();
    for n in 0..24 {
        let bytes: Vec<u8> = (0..600_000_u32).map(|i| (i.wrapping_mul(i + n) >> 9) as u8).collect();
        let (digest, path) = (Digest::of(&bytes), format!("lib/{n:02}"));
        entries.push(Entry::new_file(TreePath::new(&path).unwrap(), 0o644, digest, 600_000));
        contents.0.insert(digest, bytes);
    }
    tree = Tree::from_entries(entries).unwrap();
    let store = fresh();
    run(&tree, &contents, Codec::GZIP, &store, 2);
    assert!(store.checkpoints.lock().unwrap().len() > 1);

    let mut entries = tree.entries().to_vec();
    let changed =
        entries.iter_mut().find(|entry| entry.path.as_str() == "src/500/file.go").unwrap();
    *changed = Entry::new_file(changed.path.clone(), 0o644, Digest::of("new"), 3);
    contents.0.insert(Digest::of("new"), b"new".to_vec());
    let other = Tree::from_entries(entries).unwrap();
    let (_, expected) = run(&other, &contents, Codec::GZIP, &fresh(), 1);
    let counted = Counted(&contents, Mutex::default());
    let (encoded, blob) = run(&other, &counted, Codec::GZIP, &store, 2);
    assert_eq!(blob, expected);
    assert!(encoded.frames.all - encoded.frames.reused <= 2, "{:?}", encoded.frames);
    let digest = |path: &str| *other.get(path).unwrap().file().unwrap().0;
    let opened = counted.1.into_inner().unwrap();
    assert!(!opened.contains(&digest("bin/go")) && !opened.contains(&digest("lib/00")));
    assert!(opened.contains(&Digest::of("new")) && opened.contains(&digest("src/599/file.go")));
}

/// If this fails, bytes that users have signed change: give the codec a new id.
#[test]
fn the_bytes_of_a_codec_never_change() {
    let (tree, contents) = big();
    let pinned = [
        ("gzip-2", "sha256:2924782300ea0b63ee2049619d9c27bd1579836429e91743c2f26ca5de7b92be"),
        ("zstd-1", "sha256:1aec8d91e15452be53b4148216b6bd0bb5ee1b7f665dec6d215a2eaa2c6de2c4"),
    ];
    for (codec, (id, digest)) in Codec::ALL.into_iter().zip(pinned) {
        assert_eq!(codec.id(), id);
        assert_eq!(run(&tree, &contents, codec, &fresh(), 2).0.digest.to_string(), digest);
    }
}

#[test]
fn an_empty_tree_is_an_empty_archive() {
    for codec in Codec::ALL {
        let (encoded, blob) = run(&Tree::default(), &Memory::default(), codec, &fresh(), 2);
        assert_eq!(decompress(codec, &blob), vec![0; 1024]);
        assert_eq!(encoded.frames, FrameCount::default());
    }
}

#[test]
fn a_content_that_changed_is_an_error_that_names_it() {
    let (tree, mut contents) = tree("f 0644 0 0 =hello etc/motd");
    let digest = *tree.get("etc/motd").unwrap().file().unwrap().0;
    for (bytes, expected) in [
        (&b"jello"[..], "/etc/motd changed while it was read"),
        (b"hell", "reading the content of /etc/motd"),
        (b"hello!", "reading the content of /etc/motd"),
    ] {
        contents.0.insert(digest, bytes.to_vec());
        let error = encode(&tree, &contents, Codec::GZIP, &fresh(), 2);
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn what_was_read_wrong_is_not_remembered() {
    let (tree, contents) = big();
    let (_, blob) = run(&tree, &contents, Codec::GZIP, &fresh(), 2);
    for path in ["bin/go", "src/300/file.go"] {
        let store = fresh();
        let mut wrong = Memory(contents.0.clone());
        let digest = tree.get(path).unwrap().file().unwrap().0;
        // In a frame that is made long before the end of a large file is seen.
        wrong.0.get_mut(digest).unwrap()[100] ^= 1;
        let error = encode(&tree, &wrong, Codec::GZIP, &store, 2).unwrap_err();
        assert!(matches!(&error, EncodeError::Changed { path: at, .. } if at.as_str() == path));
        assert!(run(&tree, &contents, Codec::GZIP, &store, 2).1 == blob, "{path}");
    }
}

#[test]
fn a_full_disk_is_reported() {
    /// Full after so many frames, or when they are to be kept.
    struct Full(Mutex<usize>, bool);
    impl FrameStore for Full {
        fn get(&self, _: &Digest) -> Option<Packed> {
            None
        }
        fn has(&self, _: &Digest) -> bool {
            false
        }
        fn put(&self, _: &Digest, _: &Packed) -> io::Result<Keep<'_>> {
            let full = || io::Error::from(io::ErrorKind::StorageFull);
            let mut left = self.0.lock().unwrap();
            *left = left.checked_sub(1).ok_or_else(full)?;
            let late = self.1;
            Ok(Box::new(move || if late { Err(full()) } else { Ok(()) }))
        }
        fn checkpoint(&self, _: &Digest) -> Option<Checkpoint> {
            None
        }
        fn put_checkpoint(&self, _: &Digest, _: &Checkpoint) {}
    }
    let (tree, contents) = big();
    for full in [Full(Mutex::new(0), false), Full(Mutex::new(7), false), Full(Mutex::new(99), true)]
    {
        let error = encode(&tree, &contents, Codec::GZIP, &full, 2).unwrap_err();
        assert!(matches!(error, EncodeError::Write(_)), "{error}");
    }
}
