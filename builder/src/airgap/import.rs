//! Taking a bundle into a store: all of it, once all of it is known to be right.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek};

use treelay_layers::Tree;
use treelay_recipes::Digest;

use super::error::BundleError;
use super::manifest::{Kind, Manifest, Member, object};
use super::read::{self, Take};
use crate::exec::{CarriedImage, remember_image};
use crate::ostree_repo::Repository;
use crate::store::{Intake, Room, Store};

/// What was taken in.
pub struct Imported {
    /// What was in the bundle.
    pub manifest: Manifest,
    /// The text of each recipe and its lock, in the order of the manifest.
    pub recipes: Vec<(String, String)>,
}

/// Reads a bundle to its end and takes it into `store`; commits are read on `threads` threads.
///
/// # Errors
/// [`BundleError`]; then nothing of it is in the store.
pub fn import(
    bundle: impl Read + Seek,
    store: &Store,
    threads: usize,
) -> Result<Imported, BundleError> {
    let keeping = || BundleError::writing("keeping what is in the bundle");
    let (mut stream, size) = read::open(bundle)?;
    let manifest = read::manifest(&mut stream, size)?;
    let intake = store.intake().map_err(keeping())?;
    let mut taking = Taking { intake, commits: BTreeMap::new() };
    for commit in &manifest.commits {
        let path = taking.intake.folder().join(format!("commit-{}", commit.commit.hex()));
        taking.commits.insert(commit.commit, Repository::open_or_create(&path)?);
    }
    read::members(&mut stream, &manifest, &mut taking)?;

    let Taking { intake, commits } = taking;
    let sizes: BTreeMap<&str, u64> =
        manifest.members.iter().map(|member| (member.path.as_str(), member.size)).collect();
    let listed = |(digest, size): &(Digest, u64)| sizes.get(object(digest).as_str()) == Some(size);
    check_trees(&manifest, &intake, &listed)?;
    let images = images(&manifest, &intake, &listed)?;
    let recipes = texts(&manifest, &intake)?;
    for (commit, repository) in &commits {
        // Read again from the disk: now as objects, each by its own checksum.
        let damage = repository.check_whole(commit, threads)?;
        if !damage.is_empty() {
            let reasons = damage.iter().take(10).map(ToString::to_string).collect();
            return Err(BundleError::Commit { commit: commit.hex(), reasons });
        }
    }

    let _place = intake.finish().map_err(keeping())?;
    for (manifest, image) in &images {
        remember_image(store, manifest, image).map_err(keeping())?;
    }
    for carried in &manifest.commits {
        let Some(from) = commits.get(&carried.commit) else { continue };
        let path = store.base_repository(&carried.url).map_err(keeping())?;
        Repository::open_or_create(&path)?.take_whole(from, &carried.commit)?;
    }
    Ok(Imported { manifest, recipes })
}

/// What is taken while the bundle is read.
struct Taking<'s> {
    intake: Intake<'s>,
    commits: BTreeMap<Digest, Repository>,
}

impl Take for Taking<'_> {
    fn member(&mut self, member: &Member, content: &mut dyn Read) -> io::Result<()> {
        match member.kind() {
            Some(Kind::Object(digest)) => self.intake.put(Room::Objects, &digest, content),
            Some(Kind::Tree(digest)) => self.intake.put(Room::Trees, &digest, content),
            Some(Kind::Commit(commit, file)) => {
                // The manifest names it, and was checked.
                let Some(repository) = self.commits.get(&commit) else { return Ok(()) };
                let path = repository.path().join("objects").join(file);
                fs::create_dir_all(path.parent().unwrap_or(&path))?;
                io::copy(content, &mut File::create_new(path)?).map(drop)
            }
            None => Ok(()),
        }
    }
}

type Listed<'l> = dyn Fn(&(Digest, u64)) -> bool + 'l;

/// A tree must be one, and all its contents be there.
fn check_trees(
    manifest: &Manifest,
    intake: &Intake<'_>,
    listed: &Listed<'_>,
) -> Result<(), BundleError> {
    for member in &manifest.members {
        let Some(Kind::Tree(digest)) = member.kind() else { continue };
        let wrong = |reason: String| BundleError::damaged(&member.path, reason);
        let text = intake.read(Room::Trees, &digest).map_err(BundleError::Reading)?;
        let text = String::from_utf8(text).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        let tree = Tree::from_text(&text).map_err(|error| wrong(error.to_string()))?;
        // Else it would have one name in the store and another one in locks.
        if tree.digest() != digest {
            return Err(wrong("it is not written as trees are".to_owned()));
        }
        for (content, size) in tree.entries().iter().filter_map(|entry| entry.file()) {
            if !listed(&(*content, size)) {
                return Err(wrong(format!("it names {content}, which is not in the bundle")));
            }
        }
    }
    Ok(())
}

/// The base images, each with all that its manifest names.
fn images(
    manifest: &Manifest,
    intake: &Intake<'_>,
    listed: &Listed<'_>,
) -> Result<Vec<(Digest, CarriedImage)>, BundleError> {
    let mut images = Vec::new();
    for digest in &manifest.images {
        let path = object(digest);
        let wrong = |reason: String| BundleError::damaged(&path, reason);
        let bytes = intake.read(Room::Objects, digest).map_err(BundleError::Reading)?;
        let image = CarriedImage::of(&bytes);
        let image = image.ok_or_else(|| wrong("it is no manifest of an image".to_owned()))?;
        for part in std::iter::once(&image.config).chain(&image.layers) {
            if !listed(part) {
                return Err(wrong(format!("it names {}, which is not in the bundle", part.0)));
            }
        }
        images.push((*digest, image));
    }
    Ok(images)
}

fn texts(manifest: &Manifest, intake: &Intake<'_>) -> Result<Vec<(String, String)>, BundleError> {
    let text = |digest: &Digest| {
        let bytes = intake.read(Room::Objects, digest).map_err(BundleError::Reading)?;
        String::from_utf8(bytes)
            .map_err(|_| BundleError::damaged(&object(digest), "it is not UTF-8"))
    };
    manifest.recipes.iter().map(|one| Ok((text(&one.recipe)?, text(&one.lock)?))).collect()
}
