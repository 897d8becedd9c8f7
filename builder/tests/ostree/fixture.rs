//! Trees written as text, repositories in temporary directories, and the `ostree` command.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use treelay::ostree_repo::{
    CommitOutcome, CommitSpec, ObjectMemory, OstreeError, Over, Repository,
};
use treelay_layers::tree::{Entry, Owner};
use treelay_layers::{Contents, Tree, TreePath};
use treelay_recipes::{Arch, Digest};

/// Contents in memory, which count how many bytes were read.
#[derive(Default)]
pub struct Memory {
    pub bytes: BTreeMap<Digest, Vec<u8>>,
    pub read: AtomicU64,
}

impl Contents for Memory {
    fn open(&self, digest: &Digest, _size: u64) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.bytes.get(digest).ok_or(io::ErrorKind::NotFound)?;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(Box::new(io::Cursor::new(bytes.clone())))
    }
}

/// What the builder keeps in its store.
#[derive(Default)]
pub struct Remembered(Mutex<HashMap<Digest, Digest>>);

impl ObjectMemory for Remembered {
    fn get(&self, key: &Digest) -> Option<Digest> {
        self.0.lock().unwrap().get(key).copied()
    }

    fn put(&self, key: &Digest, object: &Digest) {
        self.0.lock().unwrap().insert(*key, *object);
    }
}

/// Lines of `kind mode uid gid path [=content | *size | -> target]`, with `\n` in contents; an `x name value` line adds an
/// attribute to the entry above it.
pub fn tree(text: &str) -> (Tree, Memory) {
    let mut entries: Vec<Entry> = Vec::new();
    let mut contents = Memory::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        if fields[0] == "x" {
            let entry = entries.pop().unwrap();
            let mut xattrs = entry.xattrs().to_vec();
            xattrs.push((fields[1].to_owned(), fields[2].as_bytes().to_vec()));
            entries.push(entry.with_xattrs(xattrs));
            continue;
        }
        let path = TreePath::new(fields[4]).unwrap();
        let mode = u16::from_str_radix(fields[1], 8).unwrap();
        let mut entry = match fields[0] {
            "d" => Entry::dir(path, mode),
            "l" => Entry::symlink(path, fields[5].strip_prefix("-> ").unwrap()),
            _ => {
                let content = match fields[5].split_at(1) {
                    ("=", text) => text.replace("\\n", "\n").into_bytes(),
                    (_, size) => noise(size.parse().unwrap()),
                };
                let (digest, size) = (Digest::of(&content), content.len() as u64);
                contents.bytes.insert(digest, content);
                Entry::new_file(path, mode, digest, size)
            }
        };
        entry.owner = Owner { uid: fields[2].parse().unwrap(), gid: fields[3].parse().unwrap() };
        entries.push(entry);
    }
    (Tree::from_entries(entries).unwrap(), contents)
}

/// Bytes that compress to about half.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u8
    };
    (0..n).map(next).collect()
}

/// A tree with all that a commit can hold; names that sort differently with and without a slash,
/// content below and above what is handled in one piece.
pub const SAMPLE: &str = "
    d 0755 0 0 usr
    d 0755 0 0 usr/bin
    f 0755 0 0 usr/bin/go *3000000
    l 0777 0 0 usr/bin/gofmt -> ../lib/go/bin/gofmt
    d 0755 0 0 usr/etc
    f 0600 0 0 usr/etc/empty =
    f 0644 0 0 usr/etc/motd =hello
    d 0700 0 0 usr/lib
    d 0755 0 0 usr/lib/go
    f 0644 0 0 usr/lib/go-1 =a
    f 0644 0 0 usr/lib/go.mod =b
    f 0644 0 0 usr/lib/go/src.go *70000
    f 0644 0 0 usr/lib/gö =ü";

pub fn spec(refname: &str) -> CommitSpec {
    CommitSpec {
        refname: refname.to_owned(),
        arch: Arch::Arm64,
        version: Some("1.27.3".to_owned()),
        subject: "go-sdk 1.27.3".to_owned(),
        body: String::new(),
        epoch: 1_700_000_000,
        metadata: BTreeMap::from([("io.github.sdk.lang".to_owned(), "go".to_owned())]),
        collection: None,
    }
}

/// A repository in a temporary directory.
pub struct Fixture {
    pub dir: TempDir,
    pub memory: Remembered,
}

impl Fixture {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), memory: Remembered::default() }
    }

    /// With a repository of that mode, made by the `ostree` command.
    pub fn with_mode(mode: &str) -> Self {
        let fixture = Self::new();
        fixture.ostree(&["init", &format!("--mode={mode}")]);
        fixture
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub fn commit(
        &self,
        tree: &Tree,
        contents: &dyn Contents,
        spec: &CommitSpec,
    ) -> Result<CommitOutcome, OstreeError> {
        self.commit_over(&Over::default(), tree, contents, spec)
    }

    pub fn commit_over(
        &self,
        over: &Over<'_>,
        tree: &Tree,
        contents: &dyn Contents,
        spec: &CommitSpec,
    ) -> Result<CommitOutcome, OstreeError> {
        let repository = Repository::open_or_create(&self.path())?;
        let mut run = repository.begin(2);
        let outcome = run.write_commit(tree, over, contents, &self.memory, spec, &|_| {})?;
        run.finish()?;
        Ok(outcome)
    }

    /// Runs `ostree` on the repository; its standard output.
    pub fn ostree(&self, arguments: &[&str]) -> String {
        let repo = format!("--repo={}", self.path().display());
        run(Command::new("ostree").arg(arguments[0]).arg(repo).args(&arguments[1..]))
    }

    /// The objects of the repository, by name such as `ab/cd….filez`.
    pub fn objects(&self) -> Vec<String> {
        let mut names = Vec::new();
        for dir in std::fs::read_dir(self.path().join("objects")).unwrap() {
            let dir = dir.unwrap();
            for object in std::fs::read_dir(dir.path()).unwrap() {
                let name = object.unwrap().file_name().into_string().unwrap();
                names.push(format!("{}/{name}", dir.file_name().to_str().unwrap()));
            }
        }
        names.sort();
        names
    }
}

/// Runs a program that must succeed; its standard output.
pub fn run(command: &mut Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| {
        panic!("starting {program}: {error}; it comes with the package ostree, gpg with gnupg")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes the tree real, for the `ostree` command to commit.
pub fn unpack(tree: &Tree, contents: &Memory, into: &Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |path: &Path, mode: u16| {
        let permissions = std::fs::Permissions::from_mode(mode.into());
        std::fs::set_permissions(path, permissions).unwrap();
    };
    std::fs::create_dir(into).unwrap();
    mode(into, 0o755);
    for entry in tree.entries() {
        let path = into.join(entry.path.as_str());
        match &entry.node {
            treelay_layers::Node::Dir => std::fs::create_dir(&path).unwrap(),
            treelay_layers::Node::File { digest, .. } => {
                std::fs::write(&path, &contents.bytes[digest]).unwrap();
            }
            treelay_layers::Node::Symlink { target } => {
                symlink(&**target, &path).unwrap();
                continue;
            }
        }
        mode(&path, entry.mode);
    }
}
