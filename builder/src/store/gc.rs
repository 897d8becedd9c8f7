//! Removing what was not used for long, or what is too much.
//!
//! Everything counts as used when it was made or last marked (see [`runs`](super::runs)), and also
//! whenever something that refers to it was used: records refer to trees and blobs, trees to
//! objects, blobs to frames and to what is remembered of their beginnings. So a thing is never older than what refers to it. Removal goes from the longest unused
//! on, at equal times records first, then trees, then the rest: wherever it ends, whether the
//! limit is reached or the process is killed, nothing that is left refers to what is gone.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use serde::Serialize;
use treelay_layers::Tree;
use treelay_layers::encode::checkpoint_keys;
use treelay_recipes::Digest;

use super::dirs::{self, DIR_ROOMS};
use super::frames::PREFIX;
use super::{Store, hex_of};

/// What a store may keep.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What was last used before this goes.
    pub since: SystemTime,
    /// Bytes on disk, as far as no running build uses more.
    pub size: Option<u64>,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GcReport {
    /// Removed in all.
    pub removed: Tally,
    /// Kept in all.
    pub kept: Tally,
    /// Removed from each room.
    pub rooms: BTreeMap<&'static str, Tally>,
    /// Processes that are at work with the store.
    pub running: usize,
}

/// How much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Files, and directories that are kept as one.
    pub files: u64,
    /// Bytes on disk, in blocks of 4 KiB.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, size: u64) {
        self.files += 1;
        self.bytes += size;
    }
}

/// A file of the store.
struct Item {
    room: &'static str,
    name: Name,
    size: u64,
    used: SystemTime,
}

/// A million objects are a million names: most are held as what they stand for.
enum Name {
    Digest(Digest),
    Path(PathBuf),
}

/// Rooms whose files are `ab/cdef…`, in the order in which they are removed at equal times.
const ROOMS: [&str; 5] = ["products", "trees", "blobs", "frames", "objects"];
/// Folders of files that nothing refers to and that refer to nothing.
const FLAT: [&str; 2] = ["stats", "quarantine"];

impl Store {
    /// Removes what `limits` does not allow, except what a running build uses. With `dry_run`
    /// nothing is removed.
    ///
    /// # Errors
    /// What kept it from looking or removing.
    pub fn gc(&self, limits: &Limits, dry_run: bool) -> io::Result<GcReport> {
        let _turn = self.turn(FlockOperation::LockExclusive)?;
        let running = self.running();
        let mut report = GcReport { running: running.count, ..GcReport::default() };
        let in_use = |used: SystemTime| running.since.is_some_and(|since| used >= since);

        // Whoever made a file here holds a run, or was killed.
        for (path, metadata) in self.flat("tmp")? {
            if metadata.modified().is_ok_and(|made| !in_use(made)) {
                report.remove("tmp", blocks(&metadata));
                if !dry_run {
                    remove(&path)?;
                }
            }
        }
        for path in self.folders("tmp")? {
            let made = some(fs::metadata(&path).and_then(|metadata| metadata.modified()))?;
            if made.is_some_and(|made| !in_use(made)) {
                report.remove("tmp", dirs::size(&path)?);
                if !dry_run {
                    remove(&path)?;
                }
            }
        }

        let items = self.items()?;
        let mut left: u64 = items.iter().map(|item| item.size).sum();
        for item in items {
            let too_old = item.used < limits.since;
            let too_much = limits.size.is_some_and(|size| left > size);
            if in_use(item.used) || !(too_old || too_much) {
                report.kept.add(item.size);
                continue;
            }
            left -= item.size;
            report.remove(item.room, item.size);
            if !dry_run {
                match &item.name {
                    Name::Digest(digest) => remove(&self.path(item.room, digest))?,
                    Name::Path(path) => remove(path)?,
                }
            }
        }
        Ok(report)
    }

    /// Everything, in the order in which it is removed.
    fn items(&self) -> io::Result<Vec<Item>> {
        let mut items = Vec::new();
        for room in ROOMS {
            for folder in self.folders(room)? {
                for (path, metadata) in files(folder)? {
                    let name = match hex_of(&path) {
                        Some(digest) if room != "products" => Name::Digest(digest),
                        _ => Name::Path(path),
                    };
                    items.push(Item::new(room, name, &metadata)?);
                }
            }
        }
        for room in DIR_ROOMS {
            for path in self.dirs(room)? {
                // Another process may have forgotten it.
                let Some(metadata) = some(fs::metadata(&path))? else { continue };
                let (used, size) = (metadata.modified()?, dirs::size(&path)?);
                items.push(Item { room, size, name: Name::Path(path), used });
            }
        }
        for room in FLAT {
            for (path, metadata) in self.flat(room)? {
                items.push(Item::new(room, Name::Path(path), &metadata)?);
            }
        }
        let index = self.root.join(super::products::OBJECT_INDEX);
        if let Ok(metadata) = fs::metadata(&index) {
            items.push(Item::new("ostree", Name::Path(index), &metadata)?);
        }
        self.pass_on_use(&mut items);
        let rank = |room| ROOMS.iter().position(|other| *other == room).unwrap_or(ROOMS.len());
        items.sort_by_key(|item| (item.used, rank(item.room)));
        Ok(items)
    }

    /// Makes everything as new as the newest that refers to it.
    fn pass_on_use(&self, items: &mut [Item]) {
        let mut places = HashMap::new();
        for (at, item) in items.iter().enumerate() {
            match &item.name {
                Name::Digest(digest) => {
                    places.insert((item.room, *digest), at);
                }
                Name::Path(path) if path.extension().is_some_and(|kind| kind == PREFIX) => {
                    places.extend(hex_of(path).map(|key| ((PREFIX, key), at)));
                }
                Name::Path(_) => {}
            }
        }
        // Records before trees, so that a tree's time is final when it is passed on.
        for at in 0..items.len() {
            let used = items[at].used;
            for target in self.referred(&items[at]) {
                if let Some(&to) = places.get(&target) {
                    items[to].used = items[to].used.max(used);
                }
            }
        }
    }

    /// What an item refers to. What cannot be read refers to nothing: it is made anew when it is
    /// used.
    fn referred(&self, item: &Item) -> Vec<(&'static str, Digest)> {
        match (&item.name, item.room) {
            (Name::Path(path), "products") => self.record(path).map_or(Vec::new(), |record| {
                record.refers().into_iter().map(|(room, digest, _)| (room, digest)).collect()
            }),
            (Name::Digest(digest), "trees") => {
                let text = fs::read_to_string(self.path("trees", digest)).unwrap_or_default();
                let tree = Tree::from_text(&text).unwrap_or_default();
                let files = tree.entries().iter().filter_map(|entry| entry.file());
                files.map(|(digest, _)| ("objects", *digest)).collect()
            }
            (Name::Digest(digest), "blobs") => {
                let frames = self.frames_of(digest);
                let prefixes = checkpoint_keys(&frames).into_iter().map(|key| (PREFIX, key));
                prefixes.chain(frames.iter().map(|key| ("frames", *key))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The folders of a room.
    pub(super) fn folders(&self, room: &str) -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in some(fs::read_dir(self.root.join(room)))?.into_iter().flatten() {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// The files of a folder without folders.
    pub(super) fn flat(&self, room: &str) -> io::Result<Vec<(PathBuf, Metadata)>> {
        files(self.root.join(room))
    }
}

impl Item {
    fn new(room: &'static str, name: Name, metadata: &Metadata) -> io::Result<Self> {
        Ok(Self { room, name, size: blocks(metadata), used: metadata.modified()? })
    }
}

impl GcReport {
    fn remove(&mut self, room: &'static str, size: u64) {
        self.removed.add(size);
        self.rooms.entry(room).or_default().add(size);
    }
}

/// The files of a folder; none where it is not there.
pub(super) fn files(folder: PathBuf) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut files = Vec::new();
    for entry in some(fs::read_dir(folder))?.into_iter().flatten() {
        let entry = entry?;
        // Who uses the store may remove what is damaged meanwhile.
        if let Some(metadata) = some(entry.metadata())?.filter(Metadata::is_file) {
            files.push((entry.path(), metadata));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

/// What it takes on disk. Not `st_blocks`: what was just written may not have its blocks yet.
pub(super) fn blocks(metadata: &Metadata) -> u64 {
    metadata.len().next_multiple_of(4096)
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    some(removed).map(drop)
}

/// What is not there is none.
pub(super) fn some<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
