//! The files of a layout: opening, creating, writing whole or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use cap_tempfile::TempFile;
use ocidir::OciDir;
use rustix::fs::{FlockOperation, Mode, OFlags};
use treelay_recipes::{Digest, Hasher};

use super::index::Index;
use crate::image_store::blob::{CHUNK, OpenOnce, Watcher};
use crate::image_store::error::{Result, StoreError};

/// The marker file (image-spec, image-layout.md), and what it holds.
const MARKER: &str = "oci-layout";
const MARKER_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Where blobs are, by the hex of their digest.
const BLOBS: &str = "blobs/sha256";

/// Longest `index.json` that is read: room for tens of thousands of tags.
const INDEX_LIMIT: u64 = 16 << 20;

/// Blobs of this length, in bytes, are synced as soon as they are written.
const SYNC_AT_ONCE: u64 = 1 << 20;

/// The directory of a layout.
pub(super) struct Disk {
    path: PathBuf,
    oci: OciDir,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let dir = match Dir::open_ambient_dir(path, ambient_authority()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse(path, "there is no such directory"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(refuse(path, "it is not a directory"));
            }
            other => other.map_err(StoreError::io(format!("opening {}", path.display())))?,
        };
        check_marker(path, &dir)?;
        Self::from_dir(path, dir)
    }

    /// Refuses a path that [`create`](Self::create) would refuse, and makes nothing.
    pub(super) fn check(path: &Path) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        if !path.is_dir() {
            return Err(refuse(path, "it is not a directory"));
        }
        let doing = || format!("opening layout {}", path.display());
        let dir =
            Dir::open_ambient_dir(path, ambient_authority()).map_err(StoreError::io(doing()))?;
        // An empty one is left from a process that was stopped while it made the layout.
        if dir.metadata(MARKER).is_ok_and(|marker| marker.len() > 0) {
            return check_marker(path, &dir);
        }
        match foreign_entry(&dir).map_err(StoreError::io(doing()))? {
            None => Ok(()),
            Some(other) => {
                let reason = format!(
                    "it has no file oci-layout and is not empty (it holds {other:?}); \
                     name an empty or a new directory"
                );
                Err(refuse(path, reason))
            }
        }
    }

    pub(super) fn create(path: &Path) -> Result<Self> {
        Self::check(path)?;
        let doing = || format!("creating layout {}", path.display());
        std::fs::create_dir_all(path).map_err(StoreError::io(doing()))?;
        let dir =
            Dir::open_ambient_dir(path, ambient_authority()).map_err(StoreError::io(doing()))?;
        ensure_marker(&dir).map_err(StoreError::io(doing()))?;
        check_marker(path, &dir)?;
        dir.create_dir_all(BLOBS).map_err(StoreError::io(doing()))?;
        Self::from_dir(path, dir)
    }

    fn from_dir(path: &Path, dir: Dir) -> Result<Self> {
        let oci = OciDir::open(dir)
            .map_err(|_| refuse(path, "it has no directory blobs/sha256".to_owned()))?;
        Ok(Self { path: path.to_owned(), oci })
    }

    pub(super) fn place(&self) -> String {
        format!("oci:{}", self.path.display())
    }

    pub(super) fn not_a_layout(&self, reason: &str) -> StoreError {
        refuse(&self.path, reason)
    }

    fn context(&self, doing: &str) -> impl FnOnce(io::Error) -> StoreError + use<> {
        StoreError::io(format!("{doing} {}", self.place()))
    }

    pub(super) fn has_index(&self) -> Result<bool> {
        self.oci.dir().try_exists("index.json").map_err(self.context("reading index.json of"))
    }

    /// `index.json`, or an empty index where nothing was committed yet.
    pub(super) fn read_index(&self) -> Result<Index> {
        let bytes = match self.oci.dir().open("index.json") {
            Ok(file) => read_limited(file.into_std(), INDEX_LIMIT)
                .map_err(self.context("reading index.json of"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::empty()),
            Err(error) => return Err(self.context("opening index.json of")(error)),
        };
        let Some(bytes) = bytes else {
            let (place, what) = (self.place(), "index.json".to_owned());
            return Err(StoreError::TooLarge { place, what, limit: INDEX_LIMIT });
        };
        Index::parse(&bytes).map_err(|reason| refuse(&self.path, reason))
    }

    pub(super) fn write_index(&self, index: &Index) -> Result<()> {
        replace_file(self.oci.dir(), "index.json", &index.to_bytes())
            .map_err(self.context("replacing index.json of"))
    }

    /// Waits until no other process is between reading and replacing `index.json`. The lock ends
    /// with the value.
    pub(super) fn lock(&self) -> Result<OwnedFd> {
        let file = self
            .oci
            .dir()
            // NFS gives exclusive locks only on files opened for writing.
            .open_with(MARKER, OpenOptions::new().read(true).write(true))
            .map_err(self.context("opening the lock of"))?;
        let file = OwnedFd::from(file.into_std());
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.context("locking")(error.into())),
            }
        }
    }

    /// These blobs and their names are on the disk when this returns. Each is synced by itself: the
    /// file system may hold much that others wrote and do not wait for.
    pub(super) fn sync(&self, blobs: &[Digest]) -> Result<()> {
        if blobs.is_empty() {
            return Ok(());
        }
        for digest in blobs {
            if let Some((file, _)) = self.open_blob(digest)? {
                file.sync_all().map_err(self.context("syncing a blob of"))?;
            }
        }
        let synced = open_for_sync(self.oci.blobs_dir()).and_then(rustix::fs::fsync);
        synced.map_err(|e| self.context("syncing")(e.into()))
    }

    /// The blob as a file, with its length.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<Option<(File, u64)>> {
        let doing = || self.context("opening a blob of");
        match self.oci.blobs_dir().open(digest.hex()) {
            Ok(file) => {
                let file = file.into_std();
                let size = file.metadata().map_err(doing())?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(doing()(error)),
        }
    }

    pub(super) fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.oci.blobs_dir().metadata(digest.hex()) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.context("looking at a blob of")(error)),
        }
    }

    pub(super) fn hash_blob(&self, digest: &Digest) -> Result<Digest> {
        let doing = || self.context("hashing a blob of");
        let Some((mut file, _)) = self.open_blob(digest)? else {
            return Err(doing()(io::ErrorKind::NotFound.into()));
        };
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read(&mut buffer).map_err(doing())? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&buffer[..n]),
            }
        }
    }

    /// A blob of at most `limit` bytes, not verified.
    pub(super) fn read_small(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some((file, _)) = self.open_blob(digest)? else { return Ok(None) };
        match read_limited(file, limit).map_err(self.context("reading a blob of"))? {
            Some(bytes) => Ok(Some(bytes)),
            None => {
                let what = format!("manifest {digest}");
                Err(StoreError::TooLarge { place: self.place(), what, limit })
            }
        }
    }

    /// Writes a blob; it gets its name only when digest and size are right.
    pub(super) fn write_blob(
        &self,
        open: OpenOnce,
        digest: &Digest,
        size: u64,
        cancel: &Cancel,
        watcher: &Watcher,
    ) -> Result<()> {
        let doing = || self.context(&format!("writing blob {digest} to"));
        let mut source = open().map_err(StoreError::io(format!("opening blob {digest}")))?;
        // ocidir's own writer panics where its last buffer meets a full disk.
        let mut blob = TempFile::new(self.oci.dir()).map_err(doing())?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; CHUNK];
        let mut done = 0;
        loop {
            let n = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::io(format!("reading blob {digest}"))(error)),
            };
            if cancel.is_cancelled() {
                return Err(doing()(io::ErrorKind::Interrupted.into()));
            }
            done += n as u64;
            if done > size {
                return Err(self.wrong_size(digest, size, done));
            }
            hasher.update(&buffer[..n]);
            blob.write_all(&buffer[..n]).map_err(doing())?;
            watcher.at(done);
        }
        if done != size {
            return Err(self.wrong_size(digest, size, done));
        }
        let found = hasher.finish();
        if found != *digest {
            let place = format!("writing blob {digest} to {}", self.place());
            return Err(StoreError::DigestMismatch { place, expected: *digest, found });
        }
        blob.replace(format!("{BLOBS}/{}", digest.hex())).map_err(doing())?;
        if size >= SYNC_AT_ONCE {
            // The disk works on it while other blobs are written.
            self.sync(&[*digest])?;
        }
        Ok(())
    }

    fn wrong_size(&self, digest: &Digest, expected: u64, found: u64) -> StoreError {
        let place = format!("writing to {}", self.place());
        StoreError::SizeMismatch { place, digest: *digest, expected, found }
    }
}

fn refuse(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::NotALayout { path: path.to_owned(), reason: reason.into() }
}

/// Writes the marker where it is missing or empty. Never replaced: the lock is on this very file,
/// and another process may be holding it.
fn ensure_marker(dir: &Dir) -> io::Result<()> {
    // A layout that may only be read is opened by `open`.
    let mut file = dir.open_with(MARKER, OpenOptions::new().read(true).write(true).create(true))?;
    if file.metadata()?.len() == 0 {
        file.write_all(MARKER_TEXT.as_bytes())?;
        file.sync_all()?;
    }
    Ok(())
}

fn check_marker(path: &Path, dir: &Dir) -> Result<()> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let text = match dir.open(MARKER) {
        Ok(file) => read_limited(file.into_std(), 4096),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(refuse(path, "it has no file oci-layout"));
        }
        Err(error) => Err(error),
    };
    let text = text.map_err(StoreError::io(format!("reading oci-layout of {}", path.display())))?;
    let marker: Marker = serde_json::from_slice(&text.unwrap_or_default())
        .map_err(|_| refuse(path, "its file oci-layout does not say a version"))?;
    if !marker.image_layout_version.starts_with("1.") {
        let reason = format!("its layout version is {:?}, not 1", marker.image_layout_version);
        return Err(refuse(path, reason));
    }
    Ok(())
}

/// Anything that we would not have put there ourselves before `oci-layout` is in place.
fn foreign_entry(dir: &Dir) -> io::Result<Option<String>> {
    for entry in dir.entries()? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // Another process may be creating this very layout; its temporary files begin with a dot.
        if name != "blobs" && name != MARKER && !name.starts_with(".tmp") {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Replaces a small file at once: durable temporary file, rename, durable directory.
fn replace_file(dir: &Dir, name: &str, content: &[u8]) -> io::Result<()> {
    let mut file = TempFile::new(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.replace(name)?;
    rustix::fs::fsync(open_for_sync(dir)?)?;
    Ok(())
}

/// A `Dir` is opened with `O_PATH`, which cannot be synced.
fn open_for_sync(dir: &Dir) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, ".", flags, Mode::empty())
}

/// All of the file, or `None` when it is longer than `limit` bytes.
fn read_limited(file: File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Seen from the working thread: whether the one who asked for the work is gone.
pub(super) struct Cancel(Weak<()>);

/// A guard and its other end: dropping the guard cancels.
pub(super) fn cancel_pair() -> (Arc<()>, Cancel) {
    let guard = Arc::new(());
    let cancel = Cancel(Arc::downgrade(&guard));
    (guard, cancel)
}

impl Cancel {
    fn is_cancelled(&self) -> bool {
        self.0.strong_count() == 0
    }
}
