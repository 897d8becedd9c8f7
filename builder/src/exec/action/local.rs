//! [`LocalExecutor`]: actions on this machine, shut in.
//!
//! Trees that many actions see (a toolchain) are checked out in the store, compared with what they
//! should be before each use by their stat results, and mounted read-only. Others are checked out
//! for the run alone. Outputs go into the store as contents.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OnceCell;
use treelay_layers::action::{Action, InputTree, ROOT};
use treelay_layers::go::find_text;
use treelay_layers::{ContentSink as _, Contents, Entry, Tree, TreePath};
use treelay_recipes::Digest;

use super::sandbox::{Inside, Means, limited};
use super::{ActionError, Executor, Sandbox, checkout};
use crate::snapshot::{SnapshotError, StatFile, snapshot_dir};
use crate::store::{Store, StoreSink};

/// What a [`LocalExecutor`] must know of the world.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Whether processes are shut in.
    pub sandbox: Sandbox,
    /// Where programs are searched that shut in: PATH.
    pub path: OsString,
    /// Threads, of each process too.
    pub jobs: usize,
    /// A time before anything was looked at.
    pub now: SystemTime,
    /// Whether everything is done another way than it would be: with an empty cache, in other
    /// directories, on another number of threads. What comes of it must be the same.
    pub again: bool,
}

/// Carries actions out on this machine.
pub struct LocalExecutor {
    store: Arc<Store>,
    options: LocalOptions,
    means: OnceCell<Means>,
    /// What is checked out for this run.
    sources: Mutex<BTreeMap<Digest, Arc<TempDir>>>,
}

/// Where everything is that would be in the root, when it is done again.
const ELSEWHERE: &str = "/another/place";

/// What is told of a process's output at most, in bytes.
const OUTPUT: u64 = 64 << 10;

impl LocalExecutor {
    /// An executor that has started nothing yet.
    pub fn new(store: Arc<Store>, options: LocalOptions) -> Self {
        Self { store, options, means: OnceCell::new(), sources: Mutex::default() }
    }

    /// A tree as files. The second is held as long as they are used.
    fn place(
        &self,
        input: &InputTree<'_>,
        contents: &dyn Contents,
    ) -> Result<(PathBuf, Option<Arc<TempDir>>), ActionError> {
        let seen = checkout::seen(&input.tree)
            .map_err(|error| ActionError::io("looking at an input")(io::Error::other(error)))?;
        let digest = seen.digest();
        if input.lasting {
            return Ok((self.lasting(&seen, &digest, contents)?, None));
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = match sources.get(&digest) {
            Some(dir) => dir.clone(),
            None => {
                let dir = Arc::new(self.fresh(&seen, contents)?);
                sources.insert(digest, dir.clone());
                dir
            }
        };
        Ok((dir.path().join("tree"), Some(dir)))
    }

    /// A tree in a directory of its own, below `tree`.
    fn fresh(&self, seen: &Tree, contents: &dyn Contents) -> Result<TempDir, ActionError> {
        let made = self.store.temporary_dir().map_err(ActionError::io("making a directory"))?;
        let place = made.path().join("tree");
        let dir = fs::create_dir(&place)
            .and_then(|()| Dir::open_ambient_dir(&place, ambient_authority()))
            .map_err(ActionError::io("making a directory"))?;
        checkout::fill(&dir, seen, contents, self.options.jobs)?;
        Ok(made)
    }

    /// A tree that stays in the store, found to be what it should be.
    fn lasting(
        &self,
        seen: &Tree,
        digest: &Digest,
        contents: &dyn Contents,
    ) -> Result<PathBuf, ActionError> {
        let tree_of = |path: &Path| {
            let cache = StatFile::load(
                &self.store.stats(&format!("{}.out", digest.hex())),
                self.options.now,
            );
            snapshot_dir(path, &cache, self.options.jobs).map(|snapshot| snapshot.tree.digest())
        };
        if let Some(path) = self.store.checkout(digest) {
            let path = path.join("tree");
            match tree_of(&path) {
                Ok(found) if found == *digest => return Ok(path),
                // Another process may be using what this one merely failed to read.
                Err(error @ (SnapshotError::Reading { .. } | SnapshotError::Changed(_))) => {
                    let reading = "comparing a checkout with what it should be";
                    return Err(ActionError::io(reading)(io::Error::other(error)));
                }
                _ => self.store.forget_checkout(digest),
            }
        }
        let made = self.fresh(seen, contents)?;
        let kept = self.store.keep_checkout(made, digest);
        Ok(kept.map_err(ActionError::io("keeping a checkout"))?.join("tree"))
    }

    async fn means(&self, scratch: &Path) -> Result<&Means, ActionError> {
        let find = || Means::find(&self.options.path, scratch);
        Ok(self.means.get_or_try_init(find).await?)
    }

    /// Takes the files of the directories that a process filled into the store.
    fn collect(
        &self,
        out: &Path,
        outputs: &[String],
        forbidden: Option<&str>,
    ) -> Result<Tree, ActionError> {
        let mut sink = StoreSink::new(&self.store);
        let mut entries = Vec::new();
        let taking = "taking what was built";
        for output in outputs {
            let mut folders = vec![(out.join(output), output.clone())];
            while let Some((folder, prefix)) = folders.pop() {
                for entry in fs::read_dir(&folder).map_err(ActionError::io(taking))? {
                    let entry = entry.map_err(ActionError::io(taking))?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let path = format!("{prefix}/{name}");
                    let kind = entry.file_type().map_err(ActionError::io(taking))?;
                    let wrong = |what| ActionError::Output { path: path.clone(), what };
                    let place = TreePath::new(&path).map_err(|_| wrong("no path of a tree"))?;
                    if kind.is_dir() {
                        entries.push(Entry::dir(place, 0o755));
                        folders.push((entry.path(), path));
                        continue;
                    }
                    if !kind.is_file() {
                        return Err(wrong("neither a file nor a directory"));
                    }
                    let opened = || File::open(entry.path());
                    if let Some(text) = forbidden
                        && find_text(&mut opened().map_err(ActionError::io(taking))?, &[text])
                            .map_err(ActionError::io(taking))?
                            .is_some()
                    {
                        return Err(wrong(
                            "not fit for others: it has a path of this machine in it",
                        ));
                    }
                    let mut file = opened().map_err(ActionError::io(taking))?;
                    let (digest, size) = sink.put(&mut file).map_err(ActionError::io(taking))?;
                    let executable = is_executable(&file).map_err(ActionError::io(taking))?;
                    let mode = if executable { 0o755 } else { 0o644 };
                    entries.push(Entry::new_file(place, mode, digest, size));
                }
            }
        }
        Tree::from_entries(entries)
            .map_err(|error| ActionError::io(taking)(io::Error::other(error)))
    }
}

fn is_executable(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o100 != 0)
}

#[async_trait]
impl Executor for LocalExecutor {
    async fn execute(
        &self,
        action: &Action<'_>,
        contents: &dyn Contents,
    ) -> Result<Tree, ActionError> {
        let mut held = Vec::new();
        let mut read = Vec::new();
        for input in &action.inputs {
            let (path, hold) = self.place(input, contents)?;
            read.push((path, format!("{ROOT}/{}", input.at)));
            held.extend(hold);
        }
        let making = "making a directory";
        let own = self.store.temporary_dir().map_err(ActionError::io(making))?;
        let (scratch, out) = (own.path().join("root"), own.path().join("out"));
        fs::create_dir(&scratch).map_err(ActionError::io(making))?;
        let mut write = Vec::new();
        for output in &action.command.outputs {
            fs::create_dir_all(out.join(output)).map_err(ActionError::io(making))?;
            write.push((out.join(output), format!("{ROOT}/{output}")));
        }
        // In the open every run has directories of its own anyway.
        let moved = self.options.again && self.options.sandbox == Sandbox::Auto;
        if moved {
            let tmp = own.path().join("tmp");
            fs::create_dir(&tmp).map_err(ActionError::io(making))?;
            write.push((tmp, "/tmp".to_owned()));
        }
        if let Some(cache) = &action.cache {
            let path = match &cache.key {
                Some(key) if !self.options.again => self.store.cache(key),
                _ => fs::create_dir(own.path().join("cache")).map(|()| own.path().join("cache")),
            };
            write.push((path.map_err(ActionError::io(making))?, cache.at.to_owned()));
        }
        // How much is done at once changes no result, so it is no part of the action.
        let threads = match (self.options.again, self.options.jobs) {
            (false, jobs) => jobs,
            (true, 1) => 2,
            (true, _) => 1,
        };
        let threads = threads.to_string();
        let mut environment = vec![("GOMAXPROCS", threads.as_str())];
        let own_environment = action.command.environment.iter();
        environment.extend(own_environment.map(|(name, value)| (name.as_str(), value.as_str())));
        let arguments = action.command.arguments.iter().map(String::as_str).collect();
        let mut inside =
            Inside { scratch: &scratch, read, write, environment, folder: ROOT, arguments };
        let elsewhere;
        if moved {
            elsewhere = Elsewhere::of(&inside, ELSEWHERE);
            inside = elsewhere.inside(&scratch);
        }
        let (command, in_the_open) = match self.options.sandbox {
            Sandbox::Auto => {
                (self.means(&scratch).await?.command(&inside, &self.options.path), None)
            }
            Sandbox::Off => {
                let root = scratch.to_string_lossy().into_owned();
                (open(&inside).map_err(ActionError::io(making))?, Some(root))
            }
        };
        let said = own.path().join("said");
        let status = run(command, &said, action.timeout).await;
        let status = status.map_err(ActionError::io("starting a build"))?;
        let output = || told(&said, in_the_open.as_deref());
        match status {
            None => Err(ActionError::TimedOut { limit: action.timeout, output: output() }),
            Some(status) if !status.success() => {
                let output = match output() {
                    text if text.is_empty() => format!("it said nothing and ended with {status}"),
                    text => text,
                };
                Err(ActionError::Failed { output })
            }
            Some(_) => self.collect(&out, &action.command.outputs, in_the_open.as_deref()),
        }
    }
}

/// Runs a process to its end; `None` where it took too long. What it says goes into a file, which
/// the limits bound.
async fn run(
    mut command: Command,
    said: &Path,
    limit: std::time::Duration,
) -> io::Result<Option<ExitStatus>> {
    let file = File::create(said)?;
    command.stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn()?;
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(status) => Ok(Some(status?)),
        Err(_) => {
            child.kill().await?;
            Ok(None)
        }
    }
}

/// What a process said, without the paths that only it knew.
fn told(said: &Path, root: Option<&str>) -> String {
    let mut bytes = Vec::new();
    let whole = File::open(said).and_then(|file| {
        file.take(OUTPUT).read_to_end(&mut bytes).map(|read| (read as u64) < OUTPUT)
    });
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if let Some(root) = root {
        text = text.replace(&format!("{root}{ROOT}/"), &format!("{ROOT}/"));
    }
    text = text.replace(&format!("{ROOT}/src/"), "").replace(&format!("{ROOT}/go/"), "$GOROOT/");
    text = whole_word(&text, &format!("{ROOT}/src"), ".");
    text = whole_word(&text, &format!("{ROOT}/go"), "$GOROOT");
    let mut text = text.trim_end().to_owned();
    if !whole.unwrap_or(true) {
        text += "\n(and more)";
    }
    text
}

/// `text` with `path` replaced where it is not merely the beginning of a longer one.
fn whole_word(text: &str, path: &str, by: &str) -> String {
    let mut parts = text.split(path);
    let mut new = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // What ends a sentence is no part of a name.
        let rest = part.trim_start_matches('.');
        let longer = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '/');
        new += if rest.starts_with(longer) { path } else { by };
        new += part;
    }
    new
}

/// Whether a text begins with a path in the root or in `/tmp`.
fn is_moved(text: &str) -> bool {
    let within =
        |root| text.strip_prefix(root).map(|rest| rest.is_empty() || rest.starts_with('/'));
    [ROOT, "/tmp"].into_iter().filter_map(within).any(|within| within)
}

/// Whether this is what stands before the `=` of `-flag=value` or `NAME=value` where the value may
/// be a path; flags for the linker are a text.
fn is_name(text: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    !text.is_empty() && text.chars().all(letter) && text.trim_start_matches('-') != "ldflags"
}

/// A process whose paths are all below another directory.
pub(super) struct Elsewhere {
    read: Vec<(PathBuf, String)>,
    write: Vec<(PathBuf, String)>,
    environment: Vec<(String, String)>,
    folder: String,
    arguments: Vec<String>,
}

impl Elsewhere {
    /// Moves what is in the root or in `/tmp` below `place`; every path that the process is told is
    /// changed accordingly. Told are those with which an argument, its value or the value of a
    /// variable begins: what is within a text is the user's own.
    pub(super) fn of(inside: &Inside<'_>, place: &str) -> Self {
        let moved = |text: &str| match is_moved(text) {
            true => format!("{place}{text}"),
            false => text.to_owned(),
        };
        let argument = |text: &str| match text.split_once('=') {
            Some((name, value)) if is_name(name) => format!("{name}={}", moved(value)),
            _ => moved(text),
        };
        let places = |places: &[(PathBuf, String)]| {
            places.iter().map(|(from, at)| (from.clone(), moved(at))).collect()
        };
        let environment = inside.environment.iter();
        Self {
            read: places(&inside.read),
            write: places(&inside.write),
            environment: environment
                .map(|(name, value)| ((*name).to_owned(), moved(value)))
                .collect(),
            folder: moved(inside.folder),
            arguments: inside.arguments.iter().map(|text| argument(text)).collect(),
        }
    }

    pub(super) fn inside<'a>(&'a self, scratch: &'a Path) -> Inside<'a> {
        let environment = self.environment.iter();
        Inside {
            scratch,
            read: self.read.clone(),
            write: self.write.clone(),
            environment: environment.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            folder: &self.folder,
            arguments: self.arguments.iter().map(String::as_str).collect(),
        }
    }
}

/// The same process in the open: what it would see at fixed places is linked below a directory of
/// its own.
fn open(inside: &Inside<'_>) -> io::Result<Command> {
    let root = inside.scratch.to_string_lossy().into_owned();
    fs::create_dir_all(inside.scratch.join("tmp"))?;
    let elsewhere = Elsewhere::of(inside, &root);
    for (from, at) in elsewhere.read.iter().chain(&elsewhere.write) {
        fs::create_dir_all(Path::new(at).parent().unwrap_or(inside.scratch))?;
        std::os::unix::fs::symlink(from, at)?;
    }
    let arguments: Vec<OsString> =
        elsewhere.arguments.iter().map(|argument| argument.into()).collect();
    let mut command = limited(&arguments);
    fs::create_dir_all(&elsewhere.folder)?;
    command.env_clear().current_dir(&elsewhere.folder).envs(elsewhere.environment);
    Ok(command)
}
