//! The local sources of a recipe: looked at once, referenced where they are.
//!
//! Contents of local files and directories are never copied into the store to be built from. A
//! [`Sources`] knows their digests, through the store's cache of stat results, and opens them
//! again when they are encoded; whoever reads them hashes them again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use treelay_layers::go::{self, GoError};
use treelay_layers::kinds::{self, Globs, Kind, KindError, Need};
use treelay_layers::{Contents, Tree};
use treelay_recipes::recipe::{GoModulesInput, Input, Recipe, Source, Text};
use treelay_recipes::{Arch, Digest};

use crate::parallel::in_parallel;
use crate::snapshot::{
    FileSnapshot, Snapshot, SnapshotError, StatFile, snapshot_dir, snapshot_file,
};
use crate::store::Store;

/// How local sources are looked at.
pub struct Look<'a> {
    /// The folder of the recipe, which its paths are relative to.
    pub folder: &'a Path,
    /// Where stat results are remembered.
    pub store: &'a Store,
    /// Threads.
    pub jobs: usize,
    /// A time before anything was looked at.
    pub now: SystemTime,
}

/// What was seen.
#[derive(Default)]
pub struct Sources {
    snapshots: BTreeMap<PathBuf, Place>,
    /// Directories of which a layer leaves something out.
    parts: BTreeMap<DirKey, (Tree, Digest)>,
    /// Where the directories are that are taken whole.
    whole: BTreeMap<DirKey, PathBuf>,
    files: BTreeMap<String, SourceFile>,
}

struct Place {
    snapshot: Snapshot,
    /// The distribution in it; made when first asked for.
    go: OnceLock<Option<GoTree>>,
}

/// The canonical tree of a Go distribution.
pub struct GoTree {
    /// The tree.
    pub tree: Tree,
    /// Its digest.
    pub identity: Digest,
}

/// A local directory as a layer asked for it.
#[derive(Clone, Copy)]
pub struct SourceDir<'a> {
    /// Without what is excluded.
    pub tree: &'a Tree,
    /// The tree's digest.
    pub digest: Digest,
}

/// A local file.
pub struct SourceFile {
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
    snapshot: FileSnapshot,
}

/// Why local sources could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// One of them cannot be used.
    #[error("looking at {path:?}, which {user} names")]
    Snapshot {
        /// The path as the recipe has it.
        path: String,
        /// Who names it, such as `layer "settings"`.
        user: String,
        /// Why not.
        source: SnapshotError,
    },
    /// A layer's options make no sense.
    #[error("layer {layer:?}")]
    Layer {
        /// The layer.
        layer: String,
        /// What is wrong.
        source: KindError,
    },
}

impl Look<'_> {
    /// Looks at everything local that the layers and `dir` inputs of a recipe name.
    ///
    /// # Errors
    /// [`SourcesError`], with who names the path; of several, the first in the recipe's order.
    pub fn at(&self, recipes: &BTreeMap<&Arch, &Recipe>) -> Result<Sources, SourcesError> {
        let mut sources = Sources::default();
        let mut wanted = Vec::new();
        let mut dirs = Vec::new();
        for (&arch, recipe) in recipes {
            for (name, input) in &recipe.inputs {
                if let Input::GoToolchain(go) = input
                    && go.sources.contains(&Source::Dir)
                    && let Some(dir) = &go.dir
                {
                    // A later source may do; whether it must is the lock's to find out.
                    wanted.push(Wanted::new(self.folder, dir, format!("input {name:?}"), true));
                }
            }
            for (name, input) in &recipe.inputs {
                if let Input::GoModules(GoModulesInput { dir: Some(dir), .. }) = input {
                    let user = format!("input {name:?}");
                    wanted.push(Wanted::new(self.folder, dir, user, false));
                }
            }
            for layer in &recipe.layers {
                let Some(kind) = kinds::of_layer(layer) else { continue };
                let needs = kind.needs(*arch).map_err(|source| SourcesError::Layer {
                    layer: layer.name.value.clone(),
                    source,
                })?;
                let user = format!("layer {:?}", layer.name.value);
                for need in needs {
                    match need {
                        Need::LocalFile(path) => self.file(&mut sources, &path, &user)?,
                        Need::LocalDir { path, exclude } => {
                            let mut dir = Wanted::new(self.folder, &path, user.clone(), false);
                            dir.whole = exclude.is_empty();
                            wanted.push(dir);
                            dirs.push((path, exclude));
                        }
                        _ => {}
                    }
                }
            }
        }
        self.snapshots(&mut sources, wanted)?;
        for (path, exclude) in dirs {
            let key = dir_key(&path, &exclude);
            let place = self.folder.join(&path.value);
            if exclude.is_empty() {
                sources.whole.insert(key, place);
            } else if let Some(snapshot) = sources.snapshots.get(&place).map(|it| &it.snapshot) {
                sources.parts.entry(key).or_insert_with(|| {
                    let globs = Globs::new(exclude.iter().map(|text| &**text));
                    let tree = snapshot.tree.filter(|entry| !globs.matches(entry.path.as_str()));
                    let digest = tree.digest();
                    (tree, digest)
                });
            }
        }
        Ok(sources)
    }

    fn file(&self, sources: &mut Sources, path: &Text, user: &str) -> Result<(), SourcesError> {
        if sources.files.contains_key(&path.value) {
            return Ok(());
        }
        let place = self.folder.join(&path.value);
        let snapshot = snapshot_file(&place, &self.cache(&place))
            .map_err(|source| failed(&path.value, user, source))?;
        let file = SourceFile {
            digest: snapshot.digest,
            size: snapshot.size,
            executable: snapshot.mode & 0o100 != 0,
            snapshot,
        };
        sources.files.insert(path.value.clone(), file);
        Ok(())
    }

    /// Takes the snapshots of `wanted`, two at once: one ends with work for one thread, sorting,
    /// while the next one lists folders.
    fn snapshots(&self, sources: &mut Sources, wanted: Vec<Wanted>) -> Result<(), SourcesError> {
        let mut places = BTreeSet::new();
        let distinct: Vec<Wanted> =
            wanted.into_iter().filter(|wanted| places.insert(wanted.place.clone())).collect();
        let taken = in_parallel(self.jobs.min(2), &distinct, |wanted| {
            let taken = snapshot_dir(&wanted.place, &self.cache(&wanted.place), self.jobs);
            if let (true, Ok(snapshot)) = (wanted.whole, &taken) {
                // Here, while others are looked at; it is asked for in any case.
                snapshot.digest();
            }
            taken
        });
        for (wanted, snapshot) in distinct.into_iter().zip(taken) {
            let Wanted { place, path, user, optional, .. } = wanted;
            match snapshot {
                Ok(snapshot) => {
                    let place_of = Place { snapshot, go: OnceLock::new() };
                    sources.snapshots.insert(place, place_of);
                }
                Err(SnapshotError::NotThere(_)) if optional => {}
                Err(source) => return Err(failed(&path, &user, source)),
            }
        }
        Ok(())
    }

    fn cache(&self, place: &Path) -> StatFile {
        let name = StatFile::name_for(&std::path::absolute(place).unwrap_or_else(|_| place.into()));
        StatFile::load(&self.store.stats(&name), self.now)
    }
}

/// A folder to look at.
struct Wanted {
    place: PathBuf,
    /// As the recipe has it.
    path: String,
    user: String,
    /// Whether it may be missing.
    optional: bool,
    /// Whether all of it is wanted.
    whole: bool,
}

impl Wanted {
    fn new(folder: &Path, path: &Text, user: String, optional: bool) -> Self {
        let (place, path) = (folder.join(&path.value), path.value.clone());
        Self { place, path, user, optional, whole: true }
    }
}

fn failed(path: &str, user: &str, source: SnapshotError) -> SourcesError {
    SourcesError::Snapshot { path: path.to_owned(), user: user.to_owned(), source }
}

/// A directory's path in the recipe, and what is left out of it.
type DirKey = (String, Vec<String>);

fn dir_key(path: &str, exclude: &[Text]) -> DirKey {
    (path.to_owned(), exclude.iter().map(|text| text.value.clone()).collect())
}

impl Sources {
    /// A local file, by the path in the recipe.
    pub fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.get(path)
    }

    /// A local directory, by the path in the recipe and what is left out of it.
    pub fn dir(&self, path: &str, exclude: &[Text]) -> Option<SourceDir<'_>> {
        let key = dir_key(path, exclude);
        if let Some((tree, digest)) = self.parts.get(&key) {
            return Some(SourceDir { tree, digest: *digest });
        }
        let snapshot = self.snapshot(self.whole.get(&key)?)?;
        Some(SourceDir { tree: &snapshot.tree, digest: snapshot.digest() })
    }

    /// The whole of a local directory, by its place.
    pub fn snapshot(&self, place: &Path) -> Option<&Snapshot> {
        Some(&self.snapshots.get(place)?.snapshot)
    }

    /// The Go distribution in a local directory, in its canonical form.
    ///
    /// # Errors
    /// [`GoError`] where there is none; `None` where the directory is not there.
    pub fn go_tree(&self, place: &Path) -> Result<Option<&GoTree>, GoError> {
        let Some(place) = self.snapshots.get(place) else { return Ok(None) };
        let made = place.go.get_or_init(|| {
            let tree = go::canonical(&place.snapshot.tree).ok()?;
            Some(GoTree { identity: tree.digest(), tree })
        });
        match made {
            Some(made) => Ok(Some(made)),
            // Errors cannot be kept to be told twice, but found again.
            None => Err(go::canonical(&place.snapshot.tree).err().unwrap_or(GoError::NotFound)),
        }
    }

    fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.values().map(|place| &place.snapshot)
    }

    /// Whether a content is one of theirs.
    pub fn has(&self, digest: &Digest) -> bool {
        self.snapshots().any(|snapshot| snapshot.find(digest).is_some())
            || self.files.values().any(|file| file.digest == *digest)
    }

    /// Files that are there, and those whose content had to be read to know it.
    pub fn work(&self) -> (u64, u64) {
        let dirs = self.snapshots().map(|snapshot| snapshot.work);
        dirs.fold((0, 0), |(all, read), work| (all + work.files, read + work.hashed_files))
    }
}

impl Contents for Sources {
    fn open(&self, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>> {
        for snapshot in self.snapshots() {
            if snapshot.find(digest).is_some() {
                return snapshot.open(digest, size);
            }
        }
        match self.files.values().find(|file| file.digest == *digest) {
            Some(file) => file.snapshot.open(digest, size),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Contents of local sources where they are, else of the store.
pub struct Everything<'a> {
    /// What was looked at.
    pub sources: &'a Sources,
    /// The store.
    pub store: &'a Store,
}

impl Contents for Everything<'_> {
    fn open(&self, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>> {
        match self.sources.open(digest, size) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.store.open(digest, size),
            other => other,
        }
    }
}
