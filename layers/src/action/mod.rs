//! [`Action`]: a process that makes part of a layer, as data.
//!
//! It is modelled as the Remote Execution API v2 models it
//! (`build/bazel/remote/execution/v2/remote_execution.proto`): a *Command* says what is run, an
//! *input root* is what it sees, as a Merkle tree of *Directory* messages, and the *Action* holds
//! the digests of both. The digest of the encoded Action names what comes of it, on any machine:
//! nothing here knows where the store is, or whether the process runs here or elsewhere.
//!
//! Files of an input root are executable or not and have no other mode, owner or time, since that
//! is all that the API's `FileNode` says.

mod message;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use treelay_recipes::Digest;

use crate::{Node, Tree};
use message::Message;

/// Where the input root is while a process runs. Go wants absolute paths, so this is asked of the
/// platform (`InputRootAbsolutePath`). The name is one that no program has by chance in its bytes.
pub const ROOT: &str = "/treelay";

/// A process, and what it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action<'a> {
    /// What is run.
    pub command: Command,
    /// The parts of the input root.
    pub inputs: Vec<InputTree<'a>>,
    /// How long it may take.
    pub timeout: Duration,
    /// What may make it faster and changes nothing; not part of its digest, and not known to
    /// every executor.
    pub cache: Option<Cache>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, then its arguments.
    pub arguments: Vec<String>,
    /// All of its environment.
    pub environment: BTreeMap<String, String>,
    /// Directories that it fills, relative to the input root; they are there and empty when it
    /// starts.
    pub outputs: Vec<String>,
    /// What the machine must be.
    pub platform: BTreeMap<String, String>,
}

/// A part of the input root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputTree<'a> {
    /// The directory of the input root that it is: one component.
    pub at: &'static str,
    /// What is in it.
    pub tree: Cow<'a, Tree>,
    /// Whether many actions will see the same, so that it is worth keeping as files.
    pub lasting: bool,
}

/// A directory that a tool keeps between actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Where the tool looks for it: an absolute path outside the input root.
    pub at: &'static str,
    /// What of it may be shared: actions with the same key have the same directory. An action
    /// without one has an empty directory, for itself alone.
    pub key: Option<Digest>,
}

/// An action as messages of the Remote Execution API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The digest of the Action message.
    pub action: Digest,
    /// Every message by its digest: the Action, its Command, and every Directory.
    pub messages: BTreeMap<Digest, Vec<u8>>,
}

impl Action<'_> {
    /// The action as messages.
    pub fn encode(&self) -> Encoded {
        let mut messages = BTreeMap::new();
        let mut root = Message::default();
        let mut inputs: Vec<_> = self.inputs.iter().collect();
        inputs.sort_by_key(|input| input.at);
        for input in inputs {
            let directory = directory(&input.tree, &mut messages);
            // Directory.directories
            root.message(2, &named(input.at, &directory));
        }
        let root = keep(root, &mut messages);
        let command = keep(self.command.message(), &mut messages);

        let mut action = Message::default();
        action.message(1, &command);
        action.message(2, &root);
        let mut timeout = Message::default();
        timeout.number(1, self.timeout.as_secs());
        timeout.number(2, self.timeout.subsec_nanos().into());
        action.message(6, &timeout);
        action.message(10, &self.command.platform());
        let bytes = action.into_bytes();
        let digest = Digest::of(&bytes);
        messages.insert(digest, bytes);
        Encoded { action: digest, messages }
    }

    /// The digest of the Action message.
    pub fn digest(&self) -> Digest {
        self.encode().action
    }
}

impl Command {
    fn message(&self) -> Message {
        let mut command = Message::default();
        self.arguments.iter().for_each(|argument| command.text(1, argument));
        for (name, value) in &self.environment {
            command.message(2, &pair(name, value));
        }
        command.message(5, &self.platform());
        let mut outputs: Vec<&String> = self.outputs.iter().collect();
        outputs.sort();
        outputs.into_iter().for_each(|output| command.text(7, output));
        command
    }

    /// `Platform.properties`, sorted by name; a map is.
    fn platform(&self) -> Message {
        let mut platform = Message::default();
        for (name, value) in &self.platform {
            platform.message(1, &pair(name, value));
        }
        platform
    }
}

/// `EnvironmentVariable` and `Platform.Property`: a name and a value.
fn pair(name: &str, value: &str) -> Message {
    let mut pair = Message::default();
    pair.text(1, name);
    pair.text(2, value);
    pair
}

/// `DirectoryNode`, and the beginning of `FileNode`: a name and a digest.
fn named(name: &str, digest: &Message) -> Message {
    let mut node = Message::default();
    node.text(1, name);
    node.message(2, digest);
    node
}

/// `Digest`
fn digest(hash: &Digest, size: u64) -> Message {
    let mut digest = Message::default();
    digest.text(1, &hash.hex());
    digest.number(2, size);
    digest
}

/// Keeps a message; the `Digest` that names it.
fn keep(message: Message, messages: &mut BTreeMap<Digest, Vec<u8>>) -> Message {
    let bytes = message.into_bytes();
    let hash = Digest::of(&bytes);
    let name = digest(&hash, bytes.len() as u64);
    messages.insert(hash, bytes);
    name
}

/// What is directly in a directory: names are sorted, as the API wants them, since a tree's
/// entries are.
#[derive(Default)]
struct Listing<'t> {
    files: Vec<(&'t str, Message)>,
    directories: Vec<(&'t str, Message)>,
    links: Vec<(&'t str, &'t str)>,
}

/// The digest of the Directory that a tree is; with all below it in `messages`.
fn directory(tree: &Tree, messages: &mut BTreeMap<Digest, Vec<u8>>) -> Message {
    let mut listings: BTreeMap<&str, Listing<'_>> = BTreeMap::from([("", Listing::default())]);
    for entry in tree.entries() {
        let path = entry.path.as_str();
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let listing = listings.entry(parent).or_default();
        match &entry.node {
            Node::File { digest: hash, size } => {
                let mut file = named(name, &digest(hash, *size));
                file.number(4, u64::from(entry.mode & 0o100 != 0));
                listing.files.push((name, file));
            }
            Node::Symlink { target } => listing.links.push((name, target)),
            Node::Dir => {
                listings.entry(path).or_default();
            }
        }
    }
    // The deepest first: whatever a directory holds is known before the directory is.
    while let Some((path, listing)) = listings.pop_last() {
        let mut message = Message::default();
        listing.files.iter().for_each(|(_, file)| message.message(1, file));
        let mut directories = listing.directories;
        directories.sort_by_key(|(name, _)| *name);
        directories.iter().for_each(|(name, digest)| message.message(2, &named(name, digest)));
        listing.links.iter().for_each(|(name, target)| message.message(3, &pair(name, target)));
        let digest = keep(message, messages);
        if path.is_empty() {
            return digest;
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        listings.entry(parent).or_default().directories.push((name, digest));
    }
    Message::default()
}

#[cfg(test)]
mod tests;
