use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;

use treelay_recipes::Digest;

use super::*;
use crate::tree::fixture::{Memory, tree};
use crate::{Entry, Tree, TreePath};

#[derive(Default)]
struct MemoryCache(Mutex<BTreeMap<Digest, Packed>>);

impl FrameCache for MemoryCache {
    fn get(&self, key: &Digest) -> Option<Packed> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn put(&self, key: &Digest, packed: &Packed) -> Remember<'_> {
        let (key, packed) = (*key, packed.clone());
        Box::new(move || drop(self.0.lock().unwrap().insert(key, packed)))
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
    contents: &Memory,
    codec: Codec,
    cache: &dyn FrameCache,
    workers: usize,
) -> (Encoded, Vec<u8>) {
    let mut blob = Vec::new();
    let encoded = encode(tree, contents, codec, cache, workers, &mut blob).unwrap();
    assert_eq!(encoded.digest, Digest::of(&blob));
    assert_eq!(encoded.size, blob.len() as u64);
    (encoded, blob)
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
        let (first, blob) = run(&tree, &contents, codec, &NoCache, 1);
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

        let cache = MemoryCache::default();
        for workers in [1, 2, 7] {
            assert_eq!(run(&tree, &contents, codec, &cache, workers).1, blob);
            assert_eq!(run(&tree, &contents, codec, &NoCache, workers).1, blob);
        }
        let (again, _) = run(&tree, &contents, codec, &cache, 2);
        assert_eq!(again.frames.all, again.frames.reused);
        // Half of the cache is lost.
        let mut lost = 0;
        cache.0.lock().unwrap().retain(|_, _| {
            lost += 1;
            lost % 2 == 0
        });
        assert_eq!(run(&tree, &contents, codec, &cache, 2).1, blob);
    }
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
        assert_eq!(run(&tree, &contents, codec, &NoCache, 2).0.digest.to_string(), digest);
    }
}

#[test]
fn an_empty_tree_is_an_empty_archive() {
    for codec in Codec::ALL {
        let (encoded, blob) = run(&Tree::default(), &Memory::default(), codec, &NoCache, 2);
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
        let error = encode(&tree, &contents, Codec::GZIP, &NoCache, 2, &mut Vec::new());
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn what_was_read_wrong_is_not_remembered() {
    let (tree, contents) = big();
    let (_, blob) = run(&tree, &contents, Codec::GZIP, &NoCache, 2);
    for path in ["bin/go", "src/300/file.go"] {
        let cache = MemoryCache::default();
        let mut wrong = Memory(contents.0.clone());
        let digest = tree.get(path).unwrap().file().unwrap().0;
        // In a frame that is made long before the end of a large file is seen.
        wrong.0.get_mut(digest).unwrap()[100] ^= 1;
        let error = encode(&tree, &wrong, Codec::GZIP, &cache, 2, &mut Vec::new()).unwrap_err();
        assert!(matches!(&error, EncodeError::Changed { path: at, .. } if at.as_str() == path));
        assert!(run(&tree, &contents, Codec::GZIP, &cache, 2).1 == blob, "{path}");
    }
}

#[test]
fn a_full_disk_is_reported() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (tree, contents) = big();
    let error = encode(&tree, &contents, Codec::GZIP, &NoCache, 2, &mut Full).unwrap_err();
    assert!(matches!(error, EncodeError::Write(_)), "{error}");
}
