//! The objects of a commit: read from git, and each proved to be what its id says.
//!
//! An id is the hash of the object's kind, length and content (git's `Documentation/gitformat-*`,
//! "Git Objects" in Pro Git), SHA-1 or SHA-256. A commit names its tree, a tree its entries: so the
//! id of the commit is the id of every byte below it.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sha2::Digest as _;
use tempfile::TempDir;
use treelay_layers::{ContentSink, Entry, Tree, TreePath};
use treelay_recipes::Digest;

use super::GitError;

/// A commit or tree that is longer is refused, in bytes.
const MOST: u64 = 64 << 20;
/// A commit with more files and folders is refused.
const MOST_ENTRIES: usize = 4_000_000;
/// Linux's PATH_MAX, less the NUL.
const LONGEST_LINK: u64 = 4095;

/// A repository with one commit, open.
pub struct Objects {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    commit: String,
    /// Where the repository is.
    _room: TempDir,
}

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitObject {
    /// The id of its tree.
    tree: String,
    /// The committer's time, in seconds since 1970.
    pub time: u64,
}

/// Whether a text is a whole id.
pub(super) fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Objects {
    /// Opens the repository `bare`, in `room`, with the command that is git; `None` where it does not
    /// have the commit.
    pub(super) fn open(
        mut git: Command,
        bare: &Path,
        commit: &str,
        room: TempDir,
    ) -> Result<Option<Self>, GitError> {
        git.env("GIT_DIR", bare).args(["cat-file", "--batch"]);
        git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = git.spawn().map_err(GitError::start)?;
        let (asks, answers) = (child.stdin.take(), child.stdout.take());
        let Some(answers) = answers else {
            return Err(GitError::io("starting git")(io::ErrorKind::BrokenPipe.into()));
        };
        let answers = BufReader::with_capacity(64 << 10, answers);
        let mut objects = Self { child, asks, answers, commit: commit.to_owned(), _room: room };
        let Some((kind, size)) = objects.ask(commit)? else { return Ok(None) };
        let content = objects.content(commit, &kind, size)?;
        if kind == "commit" {
            return Ok(Some(objects));
        }
        let (id, target) = (commit.to_owned(), field(&content, "object ").map(str::to_owned));
        let commit = target.filter(|_| kind == "tag");
        Err(GitError::NotACommit { id, kind, commit })
    }

    /// What the commit says.
    ///
    /// # Errors
    /// [`GitError::Object`] where it makes no sense.
    pub fn commit(&mut self) -> Result<CommitObject, GitError> {
        let id = self.commit.clone();
        let content = self.whole(&id, "commit")?;
        let wrong = |reason: &str| object(&id, "commit", reason);
        let tree = field(&content, "tree ").filter(|tree| is_id(tree));
        let tree = tree.ok_or_else(|| wrong("names no tree"))?.to_owned();
        // `Name <mail> SECONDS +HHMM`; a name may be in any encoding.
        let header = content.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
        let time = header
            .filter_map(|line| line.strip_prefix(b"committer "))
            .find_map(|line| line.rsplit(|byte| *byte == b' ').nth(1))
            .and_then(|seconds| std::str::from_utf8(seconds).ok()?.parse::<u32>().ok());
        let time = time.ok_or_else(|| wrong("has no time between 1970 and 2106"))?.into();
        Ok(CommitObject { tree, time })
    }

    /// The files of the commit below `dir`, which go into `sink`: root's, 0755 where git says that
    /// they are executable, else 0644.
    ///
    /// # Errors
    /// [`GitError`]: an object that is not what its id says, a submodule, a name that no file may
    /// have, a folder that is not there.
    pub fn tree(
        &mut self,
        commit: &CommitObject,
        dir: Option<&str>,
        sink: &mut dyn ContentSink,
    ) -> Result<Tree, GitError> {
        let mut root = commit.tree.clone();
        for part in dir.iter().flat_map(|dir| dir.split('/')).filter(|part| *part != ".") {
            let entries = self.listing(&root)?;
            let found = entries.into_iter().find(|entry| entry.name == part.as_bytes());
            let found = found.filter(|entry| entry.mode == DIR);
            let no_dir = || GitError::NoDir {
                commit: self.commit.clone(),
                dir: dir.unwrap_or_default().to_owned(),
            };
            root = found.ok_or_else(no_dir)?.id;
        }
        let mut entries = Vec::new();
        let mut known: HashMap<String, (Digest, u64)> = HashMap::new();
        let mut folders: Vec<(String, Option<TreePath>)> = vec![(root, None)];
        while let Some((id, folder)) = folders.pop() {
            for Listed { mode, name, id: of_entry } in self.listing(&id)? {
                let path = place(&id, folder.as_ref(), &name)?;
                if entries.len() == MOST_ENTRIES {
                    let reason = format!("has more than {MOST_ENTRIES} files and folders");
                    return Err(object(&self.commit, "commit", reason));
                }
                entries.push(match mode {
                    DIR => {
                        folders.push((of_entry, Some(path.clone())));
                        Entry::dir(path, 0o755)
                    }
                    LINK => {
                        let target = self.link(&of_entry)?;
                        Entry::symlink(path, &target)
                    }
                    SUBMODULE => {
                        return Err(GitError::Submodule { path: path.to_string() });
                    }
                    mode if mode & 0o170_000 == FILE => {
                        let (digest, size) = match known.get(&of_entry) {
                            Some(known) => *known,
                            None => self.blob(&of_entry, &path, sink)?,
                        };
                        known.insert(of_entry, (digest, size));
                        let mode = if mode & 0o100 != 0 { 0o755 } else { 0o644 };
                        Entry::new_file(path, mode, digest, size)
                    }
                    mode => {
                        let reason = format!("has {path} with the mode {mode:o}");
                        return Err(object(&id, "tree", reason));
                    }
                });
            }
        }
        Ok(Tree::from_entries(entries)?)
    }

    /// Asks for an object: its kind and length, and its content comes next.
    fn ask(&mut self, id: &str) -> Result<Option<(String, u64)>, GitError> {
        let broken = |error| GitError::io("reading objects from git")(error);
        if let Some(asks) = &mut self.asks {
            asks.write_all(format!("{id}\n").as_bytes()).map_err(broken)?;
        }
        let mut line = String::new();
        (&mut self.answers).take(256).read_line(&mut line).map_err(broken)?;
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next().map(str::parse)) {
            (Some(named), Some("missing"), None) if named == id => Ok(None),
            (Some(named), Some(kind), Some(Ok(size))) if named == id => {
                Ok(Some((kind.to_owned(), size)))
            }
            _ => Err(broken(io::Error::other(format!("it answered {:?}", line.trim_end())))),
        }
    }

    /// An object of this kind, which has to be there.
    fn ask_for(&mut self, id: &str, kind: &'static str) -> Result<u64, GitError> {
        match self.ask(id)? {
            Some((found, size)) if found == kind => Ok(size),
            Some((found, _)) => Err(object(id, kind, format!("is a {found}"))),
            None => Err(object(id, kind, "is not in the repository")),
        }
    }

    fn whole(&mut self, id: &str, kind: &'static str) -> Result<Vec<u8>, GitError> {
        let size = self.ask_for(id, kind)?;
        self.content(id, kind, size)
    }

    /// The content of a small object that was asked for.
    fn content(&mut self, id: &str, kind: &str, size: u64) -> Result<Vec<u8>, GitError> {
        let kind = match kind {
            "commit" => "commit",
            "tree" => "tree",
            "tag" => "tag",
            _ => "blob",
        };
        if size > MOST {
            return Err(object(id, kind, format!("is longer than {MOST} bytes")));
        }
        let mut content = Vec::new();
        let mut reader = self.reader(id, kind, size);
        reader.read_to_end(&mut content).map_err(GitError::io("reading objects from git"))?;
        reader.finish(id, kind)?;
        Ok(content)
    }

    fn blob(
        &mut self,
        id: &str,
        path: &TreePath,
        sink: &mut dyn ContentSink,
    ) -> Result<(Digest, u64), GitError> {
        let size = self.ask_for(id, "blob")?;
        let mut reader = self.reader(id, "blob", size);
        let kept = sink.put(&mut reader);
        let kept = kept.map_err(|source| GitError::Keeping { path: path.to_string(), source })?;
        reader.finish(id, "blob")?;
        Ok(kept)
    }

    /// What a symbolic link says.
    fn link(&mut self, id: &str) -> Result<String, GitError> {
        let size = self.ask_for(id, "blob")?;
        let wrong = |reason: &str| object(id, "symbolic link", reason);
        if size == 0 || size > LONGEST_LINK {
            return Err(wrong("is empty, or longer than 4095 bytes"));
        }
        let target = self.content(id, "blob", size)?;
        let target = String::from_utf8(target).map_err(|_| wrong("is not UTF-8"))?;
        match target.contains('\0') {
            true => Err(wrong("contains a NUL")),
            false => Ok(target),
        }
    }

    /// The entries of a tree.
    fn listing(&mut self, id: &str) -> Result<Vec<Listed>, GitError> {
        let content = self.whole(id, "tree")?;
        listing(&content, id.len() / 2).ok_or_else(|| object(id, "tree", "is no list of entries"))
    }

    fn reader(&mut self, id: &str, kind: &str, size: u64) -> Verified<'_> {
        let mut hash = match id.len() {
            64 => Hash::Sha256(sha2::Sha256::new()),
            _ => Hash::Sha1(Box::new(sha1_checked::Sha1::new())),
        };
        hash.update(format!("{kind} {size}\0").as_bytes());
        Verified { rest: (&mut self.answers).take(size), hash }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It ends when nothing more is asked, or else is made to; nobody waits for what it says.
        self.asks = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn object(id: &str, kind: &'static str, reason: impl Into<String>) -> GitError {
    GitError::Object { id: id.to_owned(), kind, reason: reason.into() }
}

/// The first line of an object's header that starts with `name`, without it.
fn field<'c>(content: &'c [u8], name: &str) -> Option<&'c str> {
    let mut header = content.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let value = header.find_map(|line| line.strip_prefix(name.as_bytes()))?;
    std::str::from_utf8(value).ok()
}

const DIR: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;

/// An entry of a tree.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    mode: u32,
    name: Vec<u8>,
    id: String,
}

/// Takes a tree apart: mode in octal, space, name, NUL and the id in `width` bytes, again and again.
fn listing(content: &[u8], width: usize) -> Option<Vec<Listed>> {
    let mut entries = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ')?;
        let mode = u32::from_str_radix(std::str::from_utf8(&rest[..space]).ok()?, 8).ok()?;
        let after = &rest[space + 1..];
        let nul = after.iter().position(|byte| *byte == 0)?;
        let id = after.get(nul + 1..nul + 1 + width)?;
        entries.push(Listed { mode, name: after[..nul].to_vec(), id: hex::encode(id) });
        rest = &after[nul + 1 + width..];
    }
    Some(entries)
}

/// Where an entry of the tree `id` is, which is at `folder`. Its name is one component.
fn place(id: &str, folder: Option<&TreePath>, name: &[u8]) -> Result<TreePath, GitError> {
    let shown = String::from_utf8_lossy(name);
    let wrong = |reason: &str| object(id, "tree", format!("has the name {shown:?}, {reason}"));
    let text = std::str::from_utf8(name).map_err(|_| wrong("which is not UTF-8"))?;
    if text.contains('/') {
        return Err(wrong("which is more than a name"));
    }
    // As git refuses it: whoever writes it out would make a repository of it.
    if text.eq_ignore_ascii_case(".git") {
        return Err(wrong("which is git's own"));
    }
    Ok(match folder {
        Some(folder) => {
            TreePath::new(text)?;
            folder.join(text)?
        }
        None => TreePath::new(text)?,
    })
}

/// The hash that ids are made of.
enum Hash {
    Sha1(Box<sha1_checked::Sha1>),
    Sha256(sha2::Sha256),
}

impl Hash {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Hash::Sha1(hash) => sha1_checked::Digest::update(&mut **hash, bytes),
            Hash::Sha256(hash) => sha2::Digest::update(hash, bytes),
        }
    }

    /// In hex; `None` where the bytes were made to collide with others.
    fn finish(self) -> Option<String> {
        match self {
            Hash::Sha1(hash) => {
                let found = hash.try_finalize();
                (!found.has_collision()).then(|| hex::encode(found.hash()))
            }
            Hash::Sha256(hash) => Some(hex::encode(hash.finalize())),
        }
    }
}

/// The content of an object, hashed while it is read.
struct Verified<'o> {
    rest: io::Take<&'o mut BufReader<ChildStdout>>,
    hash: Hash,
}

impl Read for Verified<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(buffer)?;
        if read == 0 && !buffer.is_empty() && self.rest.limit() > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "git ended early"));
        }
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl Verified<'_> {
    /// Compares with the id, once all was read, and takes the line break that follows.
    fn finish(self, id: &str, kind: &'static str) -> Result<(), GitError> {
        let mut line = [0];
        let answers = self.rest.into_inner();
        answers.read_exact(&mut line).map_err(GitError::io("reading objects from git"))?;
        match self.hash.finish() {
            Some(found) if found == id && line == *b"\n" => Ok(()),
            _ => Err(GitError::WrongObject { id: id.to_owned(), kind }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_taken_apart() {
        let id = |byte: u8| vec![byte; 20];
        let bytes = [&b"100644 a b\0"[..], &id(1), b"40000 dir\0", &id(2)].concat();
        let entries = listing(&bytes, 20).unwrap();
        let told: Vec<_> = entries
            .iter()
            .map(|entry| (entry.mode, String::from_utf8_lossy(&entry.name), entry.id.len()))
            .collect();
        assert_eq!(told, [(0o100_644, "a b".into(), 40), (0o40_000, "dir".into(), 40)]);
        for cut in [1, 6, 8, 15, bytes.len() - 1] {
            assert_eq!(listing(&bytes[..cut], 20), None, "{cut}");
        }
        assert_eq!(listing(b"", 20), Some(vec![]));
    }

    #[test]
    fn names_stay_in_their_folder() {
        let folder = TreePath::new("in").unwrap();
        let told = |name: &[u8]| place("id", Some(&folder), name).map(|path| path.to_string());
        assert_eq!(told(b"a b").unwrap(), "in/a b");
        for name in
            [&b""[..], b".", b"..", b"a/b", b"/a", b"../a", b".git", b".GIT", b"\xff", b"a\0b"]
        {
            assert!(told(name).is_err(), "{:?}", String::from_utf8_lossy(name));
            assert!(place("id", None, name).is_err());
        }
    }

    #[test]
    fn a_header_ends_at_the_first_empty_line() {
        let commit = b"tree 12\nauthor x\n\ncommitter of a message\ntree 34\n";
        assert_eq!(field(commit, "tree "), Some("12"));
        assert_eq!(field(commit, "committer "), None);
    }
}
