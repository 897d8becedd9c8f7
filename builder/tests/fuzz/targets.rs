//! What is attacked: everything here that reads strangers' bytes, each as a function that takes any
//! bytes, says whether they were accepted, and panics where something is wrong that must not be.
//!
//! They know nothing of whoever makes the bytes: the campaign beside this, or libFuzzer (`builder/fuzz`).

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use treelay::hosts::policy::Policy;
use treelay::hosts::registries_d::RegistriesD;
use treelay::image_store::{Manifest, Parts, media};
use treelay::{airgap, plan};
use treelay_layers::archive::{self, Delta, Limits, Options};
use treelay_layers::{ContentSink, Node, Tree, TreePath};
use treelay_recipes::{Digest, Lock, Recipe};

/// A way in.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `tests/corpus`.
    pub name: &'static str,
    /// Whether the bytes are accepted.
    pub judge: fn(&[u8]) -> bool,
    /// What the bytes are.
    pub form: Form,
}

/// In which ways bytes are spoiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bytes.
    Binary,
    /// A tar, whose headers get the checksums that they need to be read at all.
    Tar,
    /// An xz, of which the first headers get their checksums.
    Xz,
    /// Lines.
    Text,
    /// JSON.
    Json,
}

/// All of them.
pub const ALL: [Target; 13] = [
    Target { name: "tar", judge: archive, form: Form::Tar },
    Target { name: "gzip", judge: archive, form: Form::Binary },
    Target { name: "xz", judge: archive, form: Form::Xz },
    Target { name: "zstd", judge: archive, form: Form::Binary },
    Target { name: "zip", judge: archive, form: Form::Binary },
    Target { name: "ar", judge: archive, form: Form::Binary },
    Target { name: "layer", judge: layer, form: Form::Tar },
    Target { name: "bundle", judge: bundle, form: Form::Json },
    Target { name: "recipe", judge: recipe, form: Form::Text },
    Target { name: "lock", judge: lock, form: Form::Text },
    Target { name: "policy", judge: policy, form: Form::Json },
    Target { name: "registries-d", judge: registries_d, form: Form::Text },
    Target { name: "manifest", judge: manifest, form: Form::Json },
];

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

/// A recipe makes sense on each of its arches, or is refused with a line.
pub fn recipe(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Recipe::parse(text, "recipe.yaml") {
        Ok(recipe) => match plan::expand(&recipe, &recipe.known()) {
            Ok(expanded) => {
                assert_eq!(expanded.len(), recipe.arch.len());
                true
            }
            Err(error) => told(&error),
        },
        Err(error) => told(&error),
    }
}

/// A lock says the same when it is written again, or is refused with a line.
pub fn lock(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let lock = match Lock::parse(text, "recipe.lock") {
        Ok(lock) => lock,
        Err(error) => return told(&error),
    };
    let written = lock.to_text();
    match Lock::parse(&written, "recipe.lock") {
        Ok(again) => assert!(again == lock, "written again it is another lock:\n{written}"),
        Err(error) => panic!("what was written cannot be read: {error}\n{written}"),
    }
    true
}

/// A policy is read or refused.
pub fn policy(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    Policy::parse(text).map_or_else(|error| told(&error), |_| true)
}

/// A file of registries.d is read or refused.
pub fn registries_d(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    RegistriesD::parse([("a.yaml", text)]).map_or_else(|error| told(&error), |_| true)
}

/// A manifest or an index is read or refused, whatever it is served as.
pub fn manifest(bytes: &[u8]) -> bool {
    let is_image = treelay::exec::CarriedImage::of(bytes).is_some();
    let mut accepted = false;
    for served_as in [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, "application/json"] {
        let manifest = Manifest::new(served_as, bytes.to_vec());
        let about = manifest.about("a place");
        match manifest.parts("a place") {
            Ok(parts) => {
                let image = matches!(parts, Parts::Image { .. });
                assert_eq!(image, is_image, "of two readers one takes it for an image's");
                accepted |= about.is_ok();
            }
            Err(error) => drop(told(&error)),
        }
    }
    accepted
}

/// An error must be one that can be told.
fn told(error: &dyn std::error::Error) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        assert!(!error.to_string().is_empty());
        next = error.source();
    }
    false
}

/// Bytes whose headers have the checksums that they need: without them, whatever is spoiled is
/// refused for that alone.
pub fn repaired(form: Form, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match form {
        Form::Tar => repair_tar(&mut bytes),
        Form::Xz => repair_xz(&mut bytes),
        Form::Binary | Form::Text | Form::Json => {}
    }
    bytes
}

fn repair_xz(xz: &mut [u8]) {
    // The stream's header, and that of the first block (the xz file format 1.2.0, 2.1.1 and 3.1).
    let size = xz.get(12).map_or(0, |size| (usize::from(*size) + 1) * 4);
    for (start, end) in [(6, 8), (12, 8 + size)] {
        if start < end && xz.len() >= end + 4 {
            let sum = crc32fast::hash(&xz[start..end]).to_le_bytes();
            xz[end..end + 4].copy_from_slice(&sum);
        }
    }
}

fn repair_tar(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if !block[257..].starts_with(b"ustar") {
            continue;
        }
        // The field itself counts as spaces (POSIX, ustar Interchange).
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
