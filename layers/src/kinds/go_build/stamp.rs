//! Programs that carry their commit, as `go build -buildvcs=true` writes it.
//!
//! Go asks a `git` program and writes what it hears. A git of the machine would be an input that
//! nobody pins, and could only repeat what treelay knows. So there is a stand-in (`git.go`), compiled
//! by the toolchain of the recipe in the same action, whose answers are the facts of the lock; it
//! knows a repository without history, with the one commit and at most the one tag that the recipe
//! names. Go itself writes the stamp, each version as it does:
//!
//! ```text
//! /treelay/vcs/git.go    the stand-in
//! /treelay/src/.git      empty: that Go takes the source for a repository
//! ```

use std::borrow::Cow;
use std::sync::LazyLock;

use serde_json::{Value, json};
use treelay_recipes::recipe::Stamp;
use treelay_recipes::{Arch, Digest, rfc3339};

use super::command::LDFLAGS;
use crate::action::{Command, InputTree};
use crate::go::running;
use crate::kinds::KindError;
use crate::{Entry, Tree, TreePath};

/// The stand-in.
pub(super) const GIT: &str = include_str!("git.go");
static GIT_DIGEST: LazyLock<Digest> = LazyLock::new(|| Digest::of(GIT));

/// The stamp as JSON, for what names the layer's tree.
pub(super) fn options(stamp: &Stamp) -> Value {
    let Stamp { commit, dir } = stamp;
    json!({
        "commit": commit.id,
        "time": commit.time,
        "tag": commit.tag,
        "dir": dir,
        "git": *GIT_DIGEST,
    })
}

/// What the build info of a program has to say.
pub(super) fn settings(stamp: &Stamp) -> [(&'static str, String); 4] {
    [
        ("vcs", "git".to_owned()),
        ("vcs.revision", stamp.commit.id.clone()),
        ("vcs.time", rfc3339(stamp.commit.time)),
        ("vcs.modified", "false".to_owned()),
    ]
}

/// The source as the repository that it comes from, and the stand-in.
pub(super) fn inputs(stamp: &Stamp, source: &Tree) -> Result<[InputTree<'static>; 2], KindError> {
    let dir = stamp.dir.as_deref().map(TreePath::new).transpose()?;
    let mut entries = source.under(dir.as_ref())?.entries().to_vec();
    entries.push(Entry::dir(TreePath::new(".git")?, 0o755));
    let source = Tree::from_entries(entries)?;
    let path = TreePath::new("git.go")?;
    let git = Entry::new_file(path, 0o644, *GIT_DIGEST, GIT.len() as u64);
    let git = Tree::from_entries(vec![git])?;
    Ok([
        InputTree { at: "src", tree: Cow::Owned(source), lasting: false },
        InputTree { at: "vcs", tree: Cow::Owned(git), lasting: false },
    ])
}

/// The stand-in, compiled for the machine, that starts what `command` is.
pub(super) fn wrap(command: Command, stamp: &Stamp, machine: Arch) -> Command {
    let Stamp { commit, .. } = stamp;
    let mut arguments: Vec<String> =
        ["/treelay/go/bin/go", "run", "-trimpath", "-buildvcs=false"].map(str::to_owned).to_vec();
    arguments.push(format!("-ldflags={LDFLAGS}"));
    arguments.extend(["/treelay/vcs/git.go", "/treelay/src"].map(str::to_owned));
    arguments.extend([commit.id.clone(), commit.time.to_string()]);
    arguments.push(commit.tag.clone().unwrap_or_default());
    let variables = command.environment.iter();
    arguments.extend(variables.map(|(name, value)| format!("{name}={value}")));
    arguments.push("--".to_owned());
    arguments.extend(command.arguments);
    // What changes how programs are built is not for the stand-in.
    let own = running::environment(machine).into_iter();
    let environment = own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Command { arguments, environment, ..command }
}
