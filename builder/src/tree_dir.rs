//! `tree:DIR`: a tree as plain files, as whoever runs treelay may own them.
//!
//! - DIR must be absent, empty, or a tree that was written here before (marked by the attribute
//!   `user.treelay.tree` of DIR, where the file system keeps such attributes); then it is replaced
//!   as a whole. Anything else is refused: it may be somebody's home.
//! - Everything is written to a hidden sibling, through a [`Dir`] that no path can leave, and takes
//!   DIR's name when it is complete and durable.
//! - Modes are the tree's. Owners are too when root runs this; otherwise all is the user's own.
//! - Attributes of `user.` are set, the others too when root runs this. What the file system or the
//!   kernel does not take is told, not fatal.
//! - Times are 0, as in every layer.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use rustix::fs::{
    AtFlags, FlockOperation, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;
use treelay_layers::tree::{Entry, Node, Tree};
use treelay_layers::{Contents, TreePath};
use treelay_recipes::{Digest, HashingReader};

/// Marks the root of a tree that was written here; its value is the tree's digest.
const MARK: &str = "user.treelay.tree";

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeWritten {
    /// Regular files.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Whether the owners are the tree's; `false` if they had to be the user.
    pub owners_set: bool,
    /// Attributes that could not be set, each as `path: name`.
    pub attributes_left_out: Vec<String>,
}

/// Why a tree could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TreeDirError {
    /// Something else is there.
    #[error("{path} is not written: {reason}")]
    InTheWay {
        /// The directory that was to be written.
        path: PathBuf,
        /// What is in the way.
        reason: &'static str,
    },
    /// Content that is not what the tree says it is.
    #[error("the content of /{path} is not what was promised: expected {expected}, found {found}")]
    WrongContent {
        /// Where it was to go.
        path: TreePath,
        /// What the tree names.
        expected: Digest,
        /// What was read.
        found: Digest,
    },
    /// What the file system says.
    #[error("{doing}")]
    Io {
        /// A gerund naming the file.
        doing: String,
        /// Why.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, TreeDirError>;

/// Writes `tree` as the directory `path`.
///
/// # Errors
/// [`TreeDirError`]; then `path` is as it was.
pub fn write_tree(path: &Path, tree: &Tree, contents: &dyn Contents) -> Result<TreeWritten> {
    let (parent, name) = split(path)?;
    std::fs::create_dir_all(parent).doing(|| format!("creating {}", parent.display()))?;
    let (parent, there) = look_for(path, parent, name)?;
    let draft = Draft::new(&parent, name, path)?;
    let mut written = draft.fill(tree, contents)?;
    let writing = || format!("writing {}", path.display());
    written.owners_set = is_root();
    let root = open_fd(&parent, &draft.name).doing(writing)?;
    // Where it cannot be marked, it will not be replaced either.
    let flags = rustix::fs::XattrFlags::empty();
    let _ = rustix::fs::fsetxattr(&root, MARK, tree.digest().to_string().as_bytes(), flags);
    rustix::fs::futimens(&root, &ZERO).map_err(io::Error::from).doing(writing)?;
    rustix::fs::syncfs(&root).map_err(io::Error::from).doing(writing)?;
    draft.publish(&there).doing(writing)?;
    Ok(written)
}

/// Refuses a path that [`write_tree`] would refuse, and makes nothing.
///
/// # Errors
/// [`TreeDirError::InTheWay`].
pub fn check(path: &Path) -> Result<()> {
    let (parent, name) = split(path)?;
    if parent.exists() {
        look_for(path, parent, name)?;
    }
    Ok(())
}

fn in_the_way(path: &Path, reason: &'static str) -> TreeDirError {
    TreeDirError::InTheWay { path: path.to_owned(), reason }
}

/// The directory that holds it, and its name there.
fn split(path: &Path) -> Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| in_the_way(path, "its last component is no plain name"))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((parent, name))
}

/// Opens the directory that holds it, and says what is there.
fn look_for(path: &Path, parent: &Path, name: &str) -> Result<(Dir, There)> {
    let parent = Dir::open_ambient_dir(parent, ambient_authority())
        .doing(|| format!("opening {}", parent.display()))?;
    match look(&parent, name).doing(|| format!("looking at {}", path.display()))? {
        There::NoDirectory => Err(in_the_way(path, "there is something that is no directory")),
        There::Foreign => {
            let reason = "the directory is neither empty nor marked as a tree of treelay's";
            Err(in_the_way(path, reason))
        }
        there @ (There::Room | There::OurTree) => Ok((parent, there)),
    }
}

/// What is at the destination.
enum There {
    /// Nothing, or an empty directory.
    Room,
    OurTree,
    Foreign,
    NoDirectory,
}

fn look(parent: &Dir, name: &str) -> io::Result<There> {
    match parent.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Room),
        Err(error) => return Err(error),
        Ok(meta) if !meta.is_dir() => return Ok(There::NoDirectory),
        Ok(_) => {}
    }
    if parent.read_dir(name)?.next().is_none() {
        return Ok(There::Room);
    }
    let mut value = [0_u8; 80];
    let marked = rustix::fs::fgetxattr(open_fd(parent, name)?, MARK, &mut value[..]);
    Ok(if marked.is_ok() { There::OurTree } else { There::Foreign })
}

/// The hidden sibling, locked by whoever writes it.
struct Draft<'a> {
    parent: &'a Dir,
    target: &'a str,
    name: String,
    dir: Dir,
    _lock: rustix::fd::OwnedFd,
}

impl<'a> Draft<'a> {
    fn new(parent: &'a Dir, target: &'a str, path: &Path) -> Result<Self> {
        let name = format!(".{target}.treelay");
        let creating = || format!("creating {}", path.with_file_name(&name).display());
        // One that is left from a run that was killed has no lock.
        if parent.symlink_metadata(&name).is_ok() {
            let left = open_fd(parent, &name).doing(creating)?;
            if rustix::fs::flock(&left, FlockOperation::NonBlockingLockExclusive).is_err() {
                let reason = "another run is writing it at this moment";
                return Err(TreeDirError::InTheWay { path: path.to_owned(), reason });
            }
            remove(parent, &name).doing(creating)?;
        }
        parent.create_dir(&name).doing(creating)?;
        let lock = open_fd(parent, &name).doing(creating)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(io::Error::from)
            .doing(creating)?;
        let dir = parent.open_dir(&name).doing(creating)?;
        Ok(Self { parent, target, name, dir, _lock: lock })
    }

    fn fill(&self, tree: &Tree, contents: &dyn Contents) -> Result<TreeWritten> {
        let mut written = TreeWritten::default();
        self.dir.set_permissions(".", mode(0o755)).doing(|| "setting modes".to_owned())?;
        for entry in tree.entries() {
            let writing = || format!("writing /{}", entry.path);
            let path = entry.path.as_str();
            match &entry.node {
                Node::Dir => {
                    self.dir.create_dir(path).doing(writing)?;
                    // Whatever the umask.
                    self.dir.set_permissions(path, mode(0o700)).doing(writing)?;
                }
                Node::Symlink { target } => {
                    self.dir.symlink_contents(&**target, path).doing(writing)?;
                    self.finish_link(entry).doing(writing)?;
                }
                Node::File { digest, size } => {
                    let content = contents.open(digest, *size);
                    let content =
                        content.doing(|| format!("reading the content of /{}", entry.path))?;
                    self.file(entry, *digest, content, &mut written)?;
                }
            }
        }
        // The deepest first: a mode may keep its owner out, and every new file changes a time.
        for entry in tree.entries().iter().rev() {
            if matches!(entry.node, Node::Dir) {
                let dir = open_fd(&self.dir, entry.path.as_str());
                dir.and_then(|dir| finish(&dir, entry, &mut written))
                    .doing(|| format!("writing /{}", entry.path))?;
            }
        }
        Ok(written)
    }

    fn file(
        &self,
        entry: &Entry,
        digest: Digest,
        content: Box<dyn Read + Send>,
        written: &mut TreeWritten,
    ) -> Result<()> {
        let writing = || format!("writing /{}", entry.path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = self.dir.open_with(entry.path.as_str(), &options).doing(writing)?;
        let mut content = HashingReader::new(content);
        let size = io::copy(&mut content, &mut file).and_then(|size| file.flush().map(|()| size));
        let size = size.doing(writing)?;
        let (found, _) = content.finish();
        if found != digest {
            let path = entry.path.clone();
            return Err(TreeDirError::WrongContent { path, expected: digest, found });
        }
        finish(&file, entry, written).doing(writing)?;
        written.files += 1;
        written.bytes += size;
        Ok(())
    }

    fn finish_link(&self, entry: &Entry) -> io::Result<()> {
        let parent = match entry.path.parent() {
            Some(parent) => &self.dir.open_dir(parent.as_str())?,
            None => &self.dir,
        };
        let name = entry.path.name();
        if is_root() {
            let (uid, gid) = owner(entry);
            rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        rustix::fs::utimensat(parent, name, &ZERO, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// Gives the draft its name.
    fn publish(self, there: &There) -> io::Result<()> {
        if matches!(there, There::OurTree) {
            // One step, so that there is always one or the other.
            let flags = RenameFlags::EXCHANGE;
            match rustix::fs::renameat_with(
                self.parent,
                &*self.name,
                self.parent,
                self.target,
                flags,
            ) {
                // Some file systems cannot: then there is a moment with neither.
                Err(Errno::INVAL | Errno::NOSYS) => remove(self.parent, self.target)?,
                exchanged => return Ok(exchanged?),
            }
        }
        self.parent.rename(&self.name, self.parent, self.target)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // What it holds now is a draft that failed or the tree that was replaced, or it is gone.
        // What cannot be removed is removed by the next run.
        let _ = remove(self.parent, &self.name);
    }
}

const ZERO: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 0, tv_nsec: 0 },
};

/// Owner, attributes, mode and time, in this order: each may undo a later one.
fn finish(
    file: &impl rustix::fd::AsFd,
    entry: &Entry,
    written: &mut TreeWritten,
) -> io::Result<()> {
    if is_root() {
        let (uid, gid) = owner(entry);
        rustix::fs::fchown(file, uid, gid)?;
    }
    for (name, value) in entry.xattrs() {
        let may = is_root() || name.starts_with("user.");
        let flags = rustix::fs::XattrFlags::empty();
        if !may || rustix::fs::fsetxattr(file, name.as_str(), value, flags).is_err() {
            written.attributes_left_out.push(format!("{}: {name}", entry.path));
        }
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode.into()))?;
    rustix::fs::futimens(file, &ZERO)?;
    Ok(())
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.owner.uid)), Some(Gid::from_raw(entry.owner.gid)))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn mode(mode: u32) -> Permissions {
    Permissions::from_mode(mode)
}

/// A directory's own descriptor; those of [`Dir`] only name it and cannot be locked or changed.
fn open_fd(parent: &Dir, path: &str) -> io::Result<rustix::fd::OwnedFd> {
    // Opened through `Dir`, so that no link of the path is followed out of it.
    let dir = parent.open_dir(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(&dir, ".", flags, Mode::empty())?)
}

/// Removes a tree, also where its modes keep its owner out.
fn remove(parent: &Dir, name: &str) -> io::Result<()> {
    match parent.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(meta) if meta.is_dir() => {}
        _ => return parent.remove_file(name),
    }
    open_up(parent, name)?;
    parent.remove_dir_all(name)
}

fn open_up(parent: &Dir, name: &str) -> io::Result<()> {
    parent.set_permissions(name, mode(0o700))?;
    let dir = parent.open_dir(name)?;
    for entry in dir.entries()? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Some(name) = entry.file_name().to_str()
        {
            open_up(&dir, name)?;
        }
    }
    Ok(())
}

/// Adds what was being done to an error.
trait Doing<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| TreeDirError::Io { doing: doing(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    struct Memory(BTreeMap<Digest, Vec<u8>>);

    impl Contents for Memory {
        fn open(&self, digest: &Digest, _size: u64) -> io::Result<Box<dyn Read + Send>> {
            let bytes = self.0.get(digest).ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(io::Cursor::new(bytes.clone())))
        }
    }

    fn sample(motd: &str) -> (Tree, Memory) {
        let path = |path: &str| TreePath::new(path).unwrap();
        let (digest, size) = (Digest::of(motd), motd.len() as u64);
        let entries = vec![
            Entry::dir(path("closed"), 0o500),
            Entry::new_file(path("closed/tool"), 0o4555, digest, size),
            Entry::new_file(path("etc/motd"), 0o640, digest, size)
                .with_xattrs(vec![("user.note".to_owned(), b"hi".to_vec())]),
            Entry::symlink(path("etc/link"), "/etc/../../motd"),
        ];
        let contents = Memory(BTreeMap::from([(digest, motd.as_bytes().to_vec())]));
        (Tree::from_entries(entries).unwrap(), contents)
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn writes_what_the_tree_says_and_replaces_its_own() {
        let base = tempfile::tempdir().unwrap();
        let out = base.path().join("new/out");
        for motd in ["hello", "again"] {
            let (tree, contents) = sample(motd);
            let written = write_tree(&out, &tree, &contents).unwrap();
            assert_eq!((written.files, written.bytes), (2, 10));
            assert_eq!(std::fs::read_to_string(out.join("etc/motd")).unwrap(), motd);
            for (path, mode) in
                [("", 0o755), ("closed", 0o500), ("closed/tool", 0o4555), ("etc/motd", 0o640)]
            {
                let meta = std::fs::symlink_metadata(out.join(path)).unwrap();
                assert_eq!((meta.mode() & 0o7777, meta.mtime()), (mode, 0), "{path}");
            }
            let link = out.join("etc/link");
            assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("/etc/../../motd"));
            assert_eq!(std::fs::symlink_metadata(&link).unwrap().mtime(), 0);
            assert_eq!(names(out.parent().unwrap()), ["out"]);
        }
    }

    #[test]
    fn leaves_alone_what_is_not_its_own() {
        let base = tempfile::tempdir().unwrap();
        let (tree, contents) = sample("hello");
        let out = base.path().join("out");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("mine"), "").unwrap();
        std::fs::write(base.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("/", base.path().join("link")).unwrap();
        for (name, reason) in [
            ("out", "neither empty nor marked"),
            ("file", "no directory"),
            ("link", "no directory"),
            ("..", "no plain name"),
        ] {
            let error = write_tree(&base.path().join(name), &tree, &contents).unwrap_err();
            assert!(error.to_string().contains(reason), "{name}: {error}");
        }
        assert_eq!(names(base.path()), ["file", "link", "out"]);
        assert_eq!(names(&out), ["mine"]);
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let base = tempfile::tempdir().unwrap();
        let out = base.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let (tree, mut contents) = sample("hello");
        // Left from a run that was killed.
        std::fs::create_dir(base.path().join(".out.treelay")).unwrap();
        contents.0.values_mut().for_each(|bytes| bytes.push(b'!'));
        let error = write_tree(&out, &tree, &contents).unwrap_err();
        assert!(matches!(error, TreeDirError::WrongContent { .. }), "{error}");
        assert_eq!(names(base.path()), ["out"]);
        assert_eq!(names(&out), [""; 0]);
        contents.0.values_mut().for_each(|bytes| bytes.truncate(5));
        write_tree(&out, &tree, &contents).unwrap();
    }
}
