//! Writing a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Cursor, Read, Write};

use treelay_layers::encode::{Stream, TAR_END, tar_padding};
use treelay_recipes::{Digest, Hasher, HashingReader};

use super::error::BundleError;
use super::manifest::{
    CarriedCommit, CarriedRecipe, Kind, Manifest, Member, is_plain, object, stem,
};
use super::read::header_of;
use super::{CODEC, MANIFEST};
use crate::exec::Portable;
use crate::ostree_repo::Repository;
use crate::store::Store;

/// A recipe with everything that it needs.
pub struct Load {
    /// The name of its file.
    pub file: String,
    /// Its text.
    pub recipe: String,
    /// The text of its lock.
    pub lock: String,
    /// What its lock pins, in the store.
    pub inputs: Portable,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The manifest.
    pub manifest: Manifest,
    /// The length of the file, in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub digest: Digest,
}

/// Where the bytes of members are.
struct Shelf<'s> {
    store: &'s Store,
    /// Texts of recipes and locks.
    texts: BTreeMap<Digest, String>,
    /// For each commit a repository that has nothing else.
    commits: BTreeMap<Digest, Repository>,
    /// Where these are.
    _place: tempfile::TempDir,
}

/// Writes what `loads` need as a bundle.
///
/// # Errors
/// [`BundleError`]; then what was written is no bundle.
pub fn write(out: &mut dyn Write, loads: &[Load], store: &Store) -> Result<Written, BundleError> {
    let mut names = BTreeSet::new();
    for load in loads {
        if !is_plain(&load.file) {
            let what = format!("a recipe's file in a bundle cannot be called {:?}", load.file);
            return Err(BundleError::Manifest(what));
        }
        if !names.insert(stem(&load.file)) {
            return Err(BundleError::SameName(load.file.clone()));
        }
    }
    let (shelf, manifest) = Shelf::fill(loads, store)?;
    let json = manifest.to_json().map_err(|error| BundleError::Manifest(error.to_string()))?;

    let writing = || BundleError::writing("writing the bundle");
    let hashed = Hashed { out, hasher: Hasher::default() };
    let mut stream = Stream::new(CODEC, hashed).map_err(writing())?;
    let own =
        Member { path: MANIFEST.to_owned(), size: json.len() as u64, sha256: Digest::of(&json) };
    put(&mut stream, &own, &mut &json[..])?;
    for member in &manifest.members {
        put(&mut stream, member, &mut *shelf.open(member)?)
            .inspect_err(|_| shelf.forget(member))?;
    }
    stream.write_all(&TAR_END).map_err(writing())?;
    let hashed = stream.finish().map_err(writing())?;
    let size = hashed.hasher.bytes();
    Ok(Written { manifest, size, digest: hashed.hasher.finish() })
}

fn put(out: &mut dyn Write, member: &Member, content: &mut dyn Read) -> Result<(), BundleError> {
    let writing = || BundleError::writing("writing the bundle");
    out.write_all(&header_of(&member.path, member.size, &member.sha256)).map_err(writing())?;
    let mut content = HashingReader::new(content);
    // Not to its end: one that grew would be hashed on for nothing.
    io::copy(&mut (&mut content).take(member.size + 1), out).map_err(writing())?;
    let (digest, size) = content.finish();
    if (digest, size) != (member.sha256, member.size) {
        return Err(BundleError::Lost { what: member.path.clone() });
    }
    out.write_all(&vec![0; tar_padding(size)]).map_err(writing())
}

impl<'s> Shelf<'s> {
    /// Everything that `loads` need, and the manifest of it.
    fn fill(loads: &[Load], store: &'s Store) -> Result<(Self, Manifest), BundleError> {
        let making = || BundleError::writing("making a directory in the store");
        let place = store.temporary_dir().map_err(making())?;
        let (mut objects, mut trees) = (BTreeMap::new(), BTreeSet::new());
        let (mut images, mut commits) = (BTreeSet::new(), BTreeSet::new());
        let (mut texts, mut recipes) = (BTreeMap::new(), Vec::new());
        for load in loads {
            let mut text = |text: &String| {
                let digest = Digest::of(text);
                objects.insert(digest, text.len() as u64);
                texts.insert(digest, text.clone());
                digest
            };
            let (recipe, lock) = (text(&load.recipe), text(&load.lock));
            let (file, beside) = (load.file.clone(), load.inputs.beside.iter().cloned().collect());
            recipes.push(CarriedRecipe { file, recipe, lock, beside });
            objects.extend(&load.inputs.objects);
            trees.extend(&load.inputs.trees);
            images.extend(&load.inputs.images);
            commits.extend(load.inputs.commits.iter().cloned());
        }

        let mut members: Vec<Member> = Vec::new();
        members.extend(objects.iter().map(|(digest, size)| Member {
            path: object(digest),
            size: *size,
            sha256: *digest,
        }));
        for digest in &trees {
            let tree = store.tree(digest).ok_or_else(|| BundleError::lost("tree", digest))?;
            let (path, size) = (format!("trees/{}", digest.hex()), tree.to_text().len() as u64);
            members.push(Member { path, size, sha256: *digest });
        }
        let mut alone = BTreeMap::new();
        for (url, commit) in &commits {
            if alone.contains_key(commit) {
                continue;
            }
            let from = store.base_repository(url).map_err(making())?;
            let repository = Repository::open_or_create(&place.path().join(commit.hex()))?;
            repository.take_whole(&Repository::open(&from)?, commit)?;
            for file in repository.object_files()? {
                let path = repository.path().join("objects").join(&file);
                let (sha256, size) = hash(File::open(path)).map_err(making())?;
                let path = format!("commits/{}/{file}", commit.hex());
                members.push(Member { path, size, sha256 });
            }
            alone.insert(*commit, repository);
        }
        let images = images.into_iter().collect();
        let commits = commits.into_iter().map(|(url, commit)| CarriedCommit { url, commit });
        let manifest = Manifest::new(recipes, images, commits.collect(), members);
        Ok((Self { store, texts, commits: alone, _place: place }, manifest))
    }

    /// Takes out of the store what turned out to be damaged, so that it is fetched anew.
    fn forget(&self, member: &Member) {
        if let Some(Kind::Object(digest)) = member.kind() {
            self.store.check_object(&digest);
        }
    }

    fn open(&self, member: &Member) -> Result<Box<dyn Read>, BundleError> {
        let lost = || BundleError::Lost { what: member.path.clone() };
        let file = match member.kind().ok_or_else(lost)? {
            Kind::Object(digest) => {
                if let Some(text) = self.texts.get(&digest) {
                    return Ok(Box::new(Cursor::new(text.clone())));
                }
                self.store.object(&digest).ok_or_else(lost)?
            }
            Kind::Tree(digest) => {
                let tree = self.store.tree(&digest).ok_or_else(lost)?;
                return Ok(Box::new(Cursor::new(tree.to_text())));
            }
            Kind::Commit(commit, file) => {
                let repository = self.commits.get(&commit).ok_or_else(lost)?;
                repository.path().join("objects").join(file)
            }
        };
        Ok(Box::new(File::open(file).map_err(|_| lost())?))
    }
}

fn hash(file: io::Result<File>) -> io::Result<(Digest, u64)> {
    let mut reader = HashingReader::new(file?);
    io::copy(&mut reader, &mut io::sink())?;
    Ok(reader.finish())
}

/// Hashes what is written.
struct Hashed<'o> {
    out: &'o mut dyn Write,
    hasher: Hasher,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
