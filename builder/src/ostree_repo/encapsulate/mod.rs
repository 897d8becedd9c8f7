//! A commit as layers of a container image, in the form that `rpm-ostree rebase` takes ("ostree
//! native containers"; its importer is ostree-ext, `src/tar/import.rs` and
//! `src/container/unencapsulate.rs`).
//!
//! Layer 0, the *commit layer*, has the commit, its signatures, every dirtree and dirmeta, and the
//! directories; each *chunk* after it has content objects. All are laid out as a repository of mode
//! `bare-split-xattrs` in `sysroot/ostree/repo`, and the tree's paths are hard links into it. The
//! order matters to the importer: the commit first and what is detached from it right after it; the
//! attributes of a file before the file. Nothing depends on anything but the commit and its
//! signatures, so the same commit makes the same bytes (but see [`Repository::encapsulation`] where a
//! commit is of very many scattered paths).

pub mod labels;
mod split;
mod tar;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufReader, Write};

use ostree::gio::prelude::*;
use ostree::glib::Variant;
use ostree::{ObjectType, gio};
use treelay_recipes::Digest;

use super::commit::BASE;
use super::error::{Doing, OstreeError, Result};
use super::etc::on_host;
use super::origins::{self, LayerOf};
use super::overlay::DirRef;
use super::sign::dictionary;
use super::trees::Trees;
use super::{NONE, PathObject, Repository, objects};
use tar::{GnuTar, Meta, ROOT_DIR, ROOT_FILE};

pub use split::Chunk;

/// Where a host has its repository.
const REPO: &str = "sysroot/ostree/repo";
/// A directory that every host has of its own; nothing of it is part of the tree.
const SYSROOT: &str = "sysroot";
/// What makes the layout a repository.
const CONFIG: &[u8] = b"[core]\nrepo_version=1\nmode=bare-split-xattrs\n";

/// A commit divided into layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encapsulation {
    /// The commit.
    pub commit: Digest,
    /// One for each layer after the commit layer; there may be none.
    pub chunks: Vec<Chunk>,
    /// Metadata of the commit that are strings or booleans, as labels have them.
    pub metadata: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub time: u64,
    /// Its first line.
    pub subject: String,
}

impl Repository {
    /// Divides a commit into layers: a chunk for each layer that it says it was made of
    /// ([`CommitLayer`](super::CommitLayer)), and the base's. Where it names layers and not what is
    /// theirs, and the base is in the repository, what is not the base's is one chunk.
    ///
    /// # Errors
    /// [`OstreeError::Library`] for an object that cannot be read.
    pub fn encapsulation(&self, commit: &Digest) -> Result<Encapsulation> {
        let variant = self.load(ObjectType::Commit, commit)?;
        ostree::validate_structureof_commit(&variant)
            .doing(|| format!("reading commit {}", commit.hex()))?;
        let mut metadata = BTreeMap::new();
        for (key, value) in dictionary(&variant.child_value(0)) {
            let text = value.get::<String>().or_else(|| Some(value.get::<bool>()?.to_string()));
            metadata.extend(text.map(|text| (key, text)));
        }
        let files = self.files_of(commit)?;
        let layers = origins::read(&variant.child_value(0));
        let mut names: Vec<String> = layers.iter().map(|layer| layer.name.clone()).collect();
        let chunks = if layers.iter().all(|layer| layer.paths.is_some()) {
            let layer_of = LayerOf::new(&layers);
            split::split(&files, &names, |path, _| layer_of.get(path))
        } else {
            names = vec![names.join(" ")];
            let base = metadata.get(BASE).and_then(|base| Digest::from_hex(base).ok());
            match base.filter(|base| self.has_whole(base)) {
                Some(base) => {
                    let base = self.files_of(&base)?;
                    let over = |path: &str, object: &Digest| base.get(path) != Some(object);
                    split::split(&files, &names, |path, object| over(path, object).then_some(0))
                }
                None => split::split(&files, &names, |_, _| None),
            }
        };
        Ok(Encapsulation {
            commit: *commit,
            chunks,
            metadata,
            time: ostree::commit_get_timestamp(&variant),
            subject: variant.child_value(3).get().unwrap_or_default(),
        })
    }

    fn files_of(&self, commit: &Digest) -> Result<BTreeMap<String, Digest>> {
        let mut files = BTreeMap::new();
        for (path, object) in self.paths(commit)? {
            let PathObject::File(object) = object else { continue };
            // The image has the objects there.
            if path.starts_with("sysroot/") {
                return Err(OstreeError::Hidden { path, dir: SYSROOT });
            }
            files.insert(path, object);
        }
        Ok(files)
    }

    /// Writes the commit layer, as a tar.
    ///
    /// # Errors
    /// An object that cannot be read, or whatever `out` met.
    pub fn write_commit_layer<W: Write>(&self, commit: &Digest, out: W) -> Result<W> {
        let variant = self.load(ObjectType::Commit, commit)?;
        let trees = self.trees(commit)?;
        trees.check(commit)?;
        let mut writer =
            Writer { repository: self, tar: GnuTar::new(out), written: HashSet::new() };
        let meta = trees.root.meta;
        let root = self.load(ObjectType::DirMeta, &meta)?;
        writer.tar.dir("./", meta_of(&root)).doing(writing)?;
        writer.structure()?;
        writer.metadata("commit", commit, &variant)?;
        if let Some(detached) =
            self.detached_variant(commit).doing(|| format!("reading commit {}", commit.hex()))?
        {
            writer.metadata("commitmeta", commit, &detached)?;
        }
        writer.once("dirmeta", &meta, &root)?;
        let has_tmp = writer.dirs(&trees)?;
        if !has_tmp {
            // Programs in a container expect it, and nothing makes it there.
            let mode = Meta { mode: 0o1777, ..ROOT_DIR };
            writer.tar.dir("var/tmp", mode).doing(writing)?;
        }
        writer.tar.finish().doing(writing)
    }

    /// Writes a chunk, as a tar.
    ///
    /// # Errors
    /// As [`Repository::write_commit_layer`].
    pub fn write_chunk<W: Write>(&self, chunk: &Chunk, out: W) -> Result<W> {
        let mut writer =
            Writer { repository: self, tar: GnuTar::new(out), written: HashSet::new() };
        writer.structure()?;
        for (object, paths) in &chunk.objects {
            writer.content(object, paths)?;
        }
        writer.tar.finish().doing(writing)
    }
}

fn writing() -> String {
    "writing a layer".to_owned()
}

struct Writer<'r, W> {
    repository: &'r Repository,
    tar: GnuTar<W>,
    /// Objects that are in the layer, by kind.
    written: HashSet<(&'static str, Digest)>,
}

impl<W: Write> Writer<'_, W> {
    /// The directories of a repository, and its configuration.
    fn structure(&mut self) -> Result<()> {
        let parents = ["sysroot", "sysroot/ostree", REPO].map(str::to_owned);
        let prefixes = (0..=0xff_u8).map(|byte| format!("{REPO}/objects/{byte:02x}"));
        let others = [
            "extensions",
            "refs",
            "refs/heads",
            "refs/mirrors",
            "refs/remotes",
            "state",
            "tmp",
            "tmp/cache",
        ];
        let dirs = parents
            .into_iter()
            .chain([format!("{REPO}/objects")])
            .chain(prefixes)
            .chain(others.map(|name| format!("{REPO}/{name}")));
        for dir in dirs {
            self.tar.dir(&dir, ROOT_DIR).doing(writing)?;
        }
        self.tar.bytes(&format!("{REPO}/config"), ROOT_FILE, CONFIG).doing(writing)
    }

    fn metadata(&mut self, kind: &str, checksum: &Digest, object: &Variant) -> Result<()> {
        let path = object_path(checksum, kind);
        self.tar.bytes(&path, ROOT_FILE, &object.data_as_bytes()).doing(writing)
    }

    fn once(&mut self, kind: &'static str, checksum: &Digest, object: &Variant) -> Result<()> {
        match self.written.insert((kind, *checksum)) {
            true => self.metadata(kind, checksum, object),
            false => Ok(()),
        }
    }

    /// The objects of all directories, and their places in the tree unless they are below `sysroot`;
    /// whether `/var/tmp` is one.
    fn dirs(&mut self, trees: &Trees) -> Result<bool> {
        let mut has_tmp = false;
        self.dirtree(&trees.root.tree)?;
        // The next one last: a directory comes before what is in it, and that before its neighbour.
        let children = |tree: &Digest, path: &str, in_tree: bool| -> Vec<(String, DirRef, bool)> {
            let dirs = trees.listing(tree).dirs.iter().rev();
            let below = |name: &String| match path {
                "" => name.clone(),
                path => format!("{path}/{name}"),
            };
            dirs.map(|(name, dir)| (below(name), *dir, in_tree)).collect()
        };
        let mut todo = children(&trees.root.tree, "", true);
        while let Some((path, dir, in_tree)) = todo.pop() {
            has_tmp |= path == "var/tmp";
            let meta = self.repository.load(ObjectType::DirMeta, &dir.meta)?;
            self.once("dirmeta", &dir.meta, &meta)?;
            let in_tree = in_tree && path != SYSROOT;
            if in_tree {
                // With its slash, so that the layer is to the byte what ostree-ext writes.
                let place = if path == "usr/etc" { "etc/" } else { on_host(&path) };
                self.tar.dir(place, meta_of(&meta)).doing(writing)?;
            }
            self.dirtree(&dir.tree)?;
            todo.extend(children(&dir.tree, &path, in_tree));
        }
        Ok(has_tmp)
    }

    fn dirtree(&mut self, tree: &Digest) -> Result<()> {
        if self.written.contains(&("dirtree", *tree)) {
            return Ok(());
        }
        let object = self.repository.load(ObjectType::DirTree, tree)?;
        self.once("dirtree", tree, &object)
    }

    /// A content object with its attributes, and the paths that are it.
    fn content(&mut self, object: &Digest, paths: &[String]) -> Result<()> {
        let reading = || format!("reading object {}", object.hex());
        let (stream, info, xattrs) =
            self.repository.repo.load_file(&object.hex(), NONE).doing(reading)?;
        let xattrs = xattrs.data_as_bytes();
        let attributes = object_path(&Digest::of(&xattrs), "file-xattrs");
        if self.written.insert(("file-xattrs", Digest::of(&xattrs))) {
            self.tar.bytes(&attributes, ROOT_FILE, &xattrs).doing(writing)?;
        }
        let link = object_path(object, "file-xattrs-link");
        self.tar.hard_link(&link, &attributes, ROOT_FILE).doing(writing)?;
        let number = |name| info.attribute_uint32(name);
        let meta = Meta {
            uid: number("unix::uid"),
            gid: number("unix::gid"),
            mode: number("unix::mode") & 0o7777,
        };
        let place = object_path(object, "file");
        let mut empty = false;
        match stream.filter(|_| info.file_type() == gio::FileType::Regular) {
            Some(stream) => {
                let size = u64::try_from(info.size()).unwrap_or_default();
                empty = size == 0;
                let content = BufReader::with_capacity(128 << 10, stream.into_read());
                self.tar.file(&place, meta, size, content).doing(reading)?;
            }
            None => {
                let target = info.symlink_target().unwrap_or_default();
                self.tar.symlink(&place, &target.to_string_lossy(), meta).doing(writing)?;
            }
        }
        for path in paths {
            // Builders of derived images tend to break links to empty files apart.
            match empty {
                true => self.tar.bytes(on_host(path), meta, &[]).doing(writing)?,
                false => self.tar.hard_link(on_host(path), &place, meta).doing(writing)?,
            }
        }
        Ok(())
    }
}

/// What a dirmeta says.
fn meta_of(dirmeta: &Variant) -> Meta {
    let (owner, mode) = objects::owner_and_mode(dirmeta);
    Meta { uid: owner.uid, gid: owner.gid, mode: mode.into() }
}

fn object_path(checksum: &Digest, kind: &str) -> String {
    let hex = checksum.hex();
    format!("{REPO}/objects/{}/{}.{kind}", &hex[..2], &hex[2..])
}
