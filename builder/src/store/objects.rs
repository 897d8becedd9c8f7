//! Objects: file contents and fetched files, by their SHA-256.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use treelay_layers::{ContentSink, Contents};
use treelay_recipes::{Digest, Hasher, HashingReader};

use super::{Store, persist, place};
use crate::fetch::{BlobSink, BlobWriter};

/// Contents up to this size are hashed before anything is written, so that what is there already
/// costs no write.
const SMALL: u64 = 1 << 20;
/// How a large content streams.
const CHUNK: usize = 1 << 18;
/// What `quarantine/` may hold, in bytes.
const QUARANTINE: u64 = 512 << 20;

impl Store {
    /// Where the object is, if it is there.
    pub fn object(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.path("objects", digest)).filter(|path| self.mark(path))
    }

    /// Reads an object whole; removes it, and says so, unless it is what its name says.
    pub fn check_object(&self, digest: &Digest) -> bool {
        self.check_bytes("objects", digest)
    }

    /// As its name says and there.
    pub(super) fn check_bytes(&self, room: &str, digest: &Digest) -> bool {
        let path = self.path(room, digest);
        if self.lender.is_some() {
            self.borrow(&path);
        }
        match hash_file(&path) {
            Ok(found) if found == *digest => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            _ => {
                self.damaged(&path);
                false
            }
        }
    }

    /// Takes an object that turned out to be something else than was asked for out of the store, into
    /// the quarantine.
    pub fn reject_object(&self, digest: &Digest) {
        let path = self.path("objects", digest);
        let size = fs::metadata(&path).map_or(u64::MAX, |metadata| metadata.len());
        // For inspection only: where it cannot be kept it is removed.
        let kept = room(&self.root, size)
            .is_some_and(|folder| fs::rename(&path, folder.join(digest.hex())).is_ok());
        if !kept {
            let _ = fs::remove_file(path);
        }
    }

    /// Its digest, and whether it was not there before.
    fn put_small(&self, bytes: &[u8]) -> io::Result<(Digest, bool)> {
        let digest = Digest::of(bytes);
        let path = self.path("objects", &digest);
        if self.has_small(&path, bytes) {
            return Ok((digest, false));
        }
        let new = !path.exists();
        self.write_new(&path, bytes)?;
        Ok((digest, new))
    }

    /// Whether the object is there and whole. Contents are put again only where something is
    /// missing or damaged, so what an earlier run left is compared.
    fn has_small(&self, path: &Path, bytes: &[u8]) -> bool {
        let Ok(there) = fs::metadata(path) else { return false };
        let whole = there.len() == bytes.len() as u64
            && (there.modified().is_ok_and(|used| self.is_ours(used))
                || fs::read(path).is_ok_and(|found| found == bytes));
        whole && self.mark(path)
    }
}

impl Contents for Store {
    fn open(&self, digest: &Digest, _size: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path("objects", digest))?))
    }
}

/// The store as a sink of contents.
pub struct StoreSink<'a> {
    store: &'a Store,
    buffer: Vec<u8>,
    made: Vec<Digest>,
}

impl<'a> StoreSink<'a> {
    /// A sink that writes objects into `store`.
    pub fn new(store: &'a Store) -> Self {
        Self { store, buffer: Vec::new(), made: Vec::new() }
    }

    /// Takes out of the store again what was not there before: what it is from was refused.
    pub fn take_back(self) {
        for digest in self.made {
            // Whoever came to need it meanwhile finds it missing and makes it anew.
            let _ = fs::remove_file(self.store.path("objects", &digest));
        }
    }
}

impl ContentSink for StoreSink<'_> {
    fn put(&mut self, content: &mut dyn Read) -> io::Result<(Digest, u64)> {
        self.buffer.clear();
        Read::take(&mut *content, SMALL).read_to_end(&mut self.buffer)?;
        if (self.buffer.len() as u64) < SMALL {
            let (digest, new) = self.store.put_small(&self.buffer)?;
            self.made.extend(new.then_some(digest));
            return Ok((digest, self.buffer.len() as u64));
        }
        let mut file = self.store.temporary()?;
        let mut hasher = Hasher::default();
        hasher.update(&self.buffer);
        file.write_all(&self.buffer)?;
        self.buffer.resize(CHUNK, 0);
        loop {
            match content.read(&mut self.buffer)? {
                0 => break,
                n => {
                    hasher.update(&self.buffer[..n]);
                    file.write_all(&self.buffer[..n])?;
                }
            }
        }
        let size = hasher.bytes();
        let digest = hasher.finish();
        let path = self.store.path("objects", &digest);
        self.made.extend((!path.exists()).then_some(digest));
        persist(file.into_temp_path(), &path)?;
        Ok((digest, size))
    }
}

impl BlobSink for Store {
    fn begin(&self, _: Option<&Digest>, _: Option<u64>) -> io::Result<Box<dyn BlobWriter>> {
        Ok(Box::new(Incoming { file: self.temporary()?, root: self.root.clone() }))
    }
}

/// A download on its way into the store.
struct Incoming {
    file: tempfile::NamedTempFile,
    root: PathBuf,
}

impl BlobWriter for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn finish(self: Box<Self>, digest: &Digest, _size: u64) -> io::Result<bool> {
        let to = place(&self.root, "objects", digest);
        let new = !to.exists();
        persist(self.file.into_temp_path(), &to)?;
        Ok(new)
    }

    fn reject(self: Box<Self>, actual: &Digest) {
        // For inspection only: a failure to keep it changes nothing.
        let size = self.file.as_file().metadata().map_or(u64::MAX, |metadata| metadata.len());
        if let Some(folder) = room(&self.root, size) {
            let _ = self.file.persist(folder.join(actual.hex()));
        }
    }
}

/// The SHA-256 of a file.
pub(super) fn hash_file(path: &Path) -> io::Result<Digest> {
    let mut reader = HashingReader::new(File::open(path)?);
    let mut buffer = vec![0; CHUNK];
    while reader.read(&mut buffer)? > 0 {}
    Ok(reader.finish().0)
}

/// The quarantine, once it has room for so many bytes: what was put there first goes first. `None`
/// where it never has.
fn room(root: &Path, size: u64) -> Option<PathBuf> {
    let folder = root.join("quarantine");
    fs::create_dir_all(&folder).ok()?;
    let entries = fs::read_dir(&folder).ok()?.flatten();
    let file = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok()?;
        Some((meta.modified().ok()?, meta.len(), entry.path()))
    };
    let mut files: Vec<_> = entries.filter_map(file).collect();
    files.sort();
    let mut held = files.iter().map(|(_, size, _)| size).sum::<u64>();
    let left = QUARANTINE.checked_sub(size)?;
    for (_, size, path) in files {
        if held <= left {
            break;
        }
        fs::remove_file(path).ok()?;
        held -= size;
    }
    Some(folder)
}
