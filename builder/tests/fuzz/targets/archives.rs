//! Archives, layers that others made, and bundles of inputs.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use treelay::airgap;
use treelay_layers::archive::{self, Delta, Limits, Options};
use treelay_layers::{ContentSink, Node, Tree, TreePath};
use treelay_recipes::Digest;

use super::told;

/// Small ones, so that a case takes no longer than it must.
fn limits() -> Limits {
    Limits {
        entries: 500,
        total_bytes: 8 << 20,
        file_bytes: 4 << 20,
        held_bytes: 2 << 20,
        ..Limits::default()
    }
}

/// Contents in memory.
#[derive(Default)]
struct Memory {
    kept: BTreeMap<Digest, u64>,
    bytes: u64,
}

impl ContentSink for Memory {
    fn put(&mut self, content: &mut dyn Read) -> io::Result<(Digest, u64)> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        self.bytes += size;
        self.kept.insert(digest, size);
        Ok((digest, size))
    }
}

/// An archive of any kind becomes a tree that is one, or is refused.
pub fn archive(bytes: &[u8]) -> bool {
    let (limits, mut memory) = (limits(), Memory::default());
    let options = Options { limits: limits.clone(), ..Options::default() };
    let tree = archive::unpack(Cursor::new(bytes), &options, &mut |_| true, &mut memory);
    assert!(memory.bytes <= limits.total_bytes, "{} bytes were unpacked", memory.bytes);
    let tree = match tree {
        Ok(tree) => tree,
        Err(error) => return told(&error),
    };
    for entry in tree.entries() {
        let path = entry.path.as_str();
        assert!(TreePath::new(path).is_ok(), "{path:?} is no path");
        match &entry.node {
            Node::File { digest, size } => {
                assert_eq!(memory.kept.get(digest), Some(size), "{path} has a content of its own");
            }
            Node::Symlink { target } => {
                assert!(!target.starts_with('/') && !target.contains('\0'), "{path} -> {target}");
                let above = target.split('/').take_while(|part| *part == "..").count();
                assert!(above <= path.matches('/').count(), "{path} -> {target}");
            }
            Node::Dir => {}
        }
    }
    let again = Tree::from_text(&tree.to_text());
    assert!(again.is_ok_and(|again| again == tree), "its text is that of another tree");
    true
}

/// What others made a layer of is read, or refused.
pub fn layer(bytes: &[u8]) -> bool {
    let mut count: u64 = 0;
    let passed = archive::members(bytes, &mut |member| {
        count += io::copy(member.content, &mut io::sink())?;
        match count > 64 << 20 {
            true => Err(io::Error::other("enough")),
            false => Ok(()),
        }
    });
    if count > 64 << 20 {
        return false;
    }
    let delta = Delta::read(bytes);
    assert!(passed.is_ok() || delta.is_err(), "{passed:?}, and yet it has members");
    delta.is_ok()
}

/// The manifest of a bundle of inputs names members and nothing else, or is refused.
pub fn bundle(bytes: &[u8]) -> bool {
    let manifest = match airgap::Manifest::parse(bytes, 1 << 30) {
        Ok(manifest) => manifest,
        Err(error) => return told(&error),
    };
    for member in &manifest.members {
        let path = &member.path;
        assert!(TreePath::new(path).is_ok(), "{path:?} is a member");
        let room = path.split('/').next().unwrap_or_default();
        assert!(["objects", "trees", "commits"].contains(&room), "{path:?} is a member");
    }
    for recipe in &manifest.recipes {
        assert!(!recipe.file.contains('/') && !recipe.file.starts_with('.'), "{}", recipe.file);
    }
    assert!(manifest.total() <= 100 << 30);
    true
}

/// A bundle of inputs is whole, or is refused.
pub fn bundle_file(bytes: &[u8]) -> bool {
    airgap::verify(Cursor::new(bytes)).map_or_else(|error| told(&error), |_| true)
}
