//! Which SELinux label a path has by a policy, as `selabel_lookup` of libselinux 3.8.1 (Debian 13)
//! answers with a file type and without validation.
//!
//! Terms:
//!
//! - a *specification* is a line of `file_contexts`: a pattern, perhaps a file type, a context;
//! - a *literal* is a pattern without anything that means something in a regular expression, once
//!   escapes of punctuation are taken away; it is compared, not matched;
//! - a *substitution* is a line of `.subs` or `.subs_dist`: what is below one directory is labelled
//!   as if it were below another.
//!
//! The phases of a lookup:
//!
//! 1. The path is cleaned: runs of slashes become one, one slash at the end goes. Then the first
//!    line of `.subs` that fits is applied, and to its result the first of `.subs_dist`.
//! 2. Specifications are kept in a tree by the first three names of the path that a pattern spells
//!    out. Only those along the path are looked at, which is why alternatives at the outermost level
//!    of a pattern (`/a/b|/c/d`) match less than they seem to.
//! 3. A literal wins over every pattern. Among equal literals one with a file type wins, and then
//!    the first, whichever file it is in.
//! 4. Else the last specification that matches wins: `file_contexts` comes before `.homedirs`, that
//!    before `.local`. The length of the fixed beginning plays no role; the policy's own tools sort
//!    the files so that what is more exact comes later.
//! 5. `<<none>>` as the context means that the path has no label. Where a pattern says so in the
//!    deepest branch of the tree that has one that matches, that holds even against a later one
//!    nearer to the root.
//!
//! libselinux 3.4 (Debian 12) differs:
//!
//! | | 3.4 | 3.8.1, here |
//! |---|---|---|
//! | two lines of `.subs` or `.subs_dist` fit | the last | the first |
//! | a slash at the end of the path | stays, so few patterns match | goes |
//! | equal literals | the last that fits the type | one with a type, then the first |
//! | `<<none>>` and a later, less exact pattern | the later | none |
//! | alternatives at the outermost level | only the first name is looked at, and not in a pattern that has it | the first three names |
//! | characters outside of ASCII in a specification | refused or not, by the locale | refused |
//!
//! What this module adds is [`Own`]: specifications of a recipe's. A literal of theirs comes before
//! those of the policy, a pattern before its patterns: what users of `semanage fcontext` expect, and
//! what 3.8.1 does not keep for `.local` where the policy has the same literal (mended upstream
//! later).
//!
//! Compiled files (`file_contexts.bin`) are not read: they are made from the text beside them.

mod config;
mod lines;
mod pattern;
mod pcre;
mod specs;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use specs::Specs;

pub use config::Config;

/// What a path is, as specifications tell file types apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// `-d`
    Directory,
    /// `-c`
    CharDevice,
    /// `-b`
    BlockDevice,
    /// `-s`
    Socket,
    /// `-p`
    Fifo,
    /// `-l`
    Symlink,
    /// `--`
    Regular,
}

impl FileType {
    /// Every type.
    pub const ALL: [Self; 7] = [
        Self::Directory,
        Self::CharDevice,
        Self::BlockDevice,
        Self::Socket,
        Self::Fifo,
        Self::Symlink,
        Self::Regular,
    ];

    /// The letter after the dash in a specification.
    pub const fn letter(self) -> char {
        match self {
            Self::Directory => 'd',
            Self::CharDevice => 'c',
            Self::BlockDevice => 'b',
            Self::Socket => 's',
            Self::Fifo => 'p',
            Self::Symlink => 'l',
            Self::Regular => '-',
        }
    }
}

/// The texts of a policy's `contexts/files` directory. What is not there is empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// `file_contexts`
    pub contexts: &'a [u8],
    /// `file_contexts.homedirs`
    pub homedirs: &'a [u8],
    /// `file_contexts.local`
    pub local: &'a [u8],
    /// `file_contexts.subs`
    pub subs: &'a [u8],
    /// `file_contexts.subs_dist`
    pub subs_dist: &'a [u8],
}

/// A specification beside those of the policy, as `semanage fcontext -a` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The pattern, a regular expression for the whole path.
    pub path: String,
    /// What it is for; every file type, if none.
    pub kind: Option<FileType>,
    /// The whole context, or [`NO_LABEL`], or only a type: then the user is `system_u`, the role
    /// `object_r`, and the level `s0` if the policy has levels.
    pub context: String,
}

/// The context of paths that shall have none.
pub const NO_LABEL: &str = "<<none>>";

/// Where a specification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The file, as `file_contexts.local`; none for an [`Own`].
    pub file: Option<&'static str>,
    /// The line, or which one of the list; counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some(file) => write!(out, "{file}: line {}", self.line),
            None => write!(out, "entry {} of the contexts", self.line),
        }
    }
}

/// Why a policy's files cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContextsError {
    /// A line that libselinux refuses as well.
    #[error("{place}: {problem}")]
    Line {
        /// Which one.
        place: Place,
        /// What is wrong with it.
        problem: String,
    },
    /// A pattern that a path has to be compared with and that cannot be; of [`Own`], every one.
    #[error("{place}: the pattern {pattern} {problem}")]
    Pattern {
        /// Which one.
        place: Place,
        /// The pattern as written.
        pattern: String,
        /// What is wrong with it, or what in it treelay does not know.
        problem: String,
    },
    /// An own specification that can never match, because paths there are labelled as others are.
    #[error(
        "the context for {path} has no effect: the policy labels {from} as {to}; write {instead}"
    )]
    Substituted {
        /// The specification's pattern.
        path: String,
        /// The directory that is substituted.
        from: String,
        /// What it is labelled as.
        to: String,
        /// The pattern to write.
        instead: String,
    },
}

/// A policy's specifications, ready to be asked.
#[derive(Debug)]
pub struct FileContexts {
    policy: Specs,
    own: Specs,
    subs: Vec<lines::Substitution>,
    subs_dist: Vec<lines::Substitution>,
}

impl FileContexts {
    /// Reads a policy's files. Its patterns are compiled when a path is first compared with them, so
    /// one that cannot be is no error here; those of `own` are looked at.
    pub fn parse(texts: &Texts<'_>, own: &[Own]) -> Result<Self, ContextsError> {
        let mut policy = Specs::default();
        let mut levels = false;
        let files = [
            ("file_contexts", texts.contexts),
            ("file_contexts.homedirs", texts.homedirs),
            ("file_contexts.local", texts.local),
        ];
        for (file, text) in files {
            for line in lines::specifications(file, text) {
                let line = line?;
                levels |= line.context.matches(':').count() > 2;
                policy.insert(line);
            }
        }
        let subs = lines::substitutions(texts.subs);
        let subs_dist = lines::substitutions(texts.subs_dist);
        policy.order();
        let mut specs = Specs::default();
        for (index, own) in own.iter().enumerate() {
            refuse_substituted(own, &subs, &subs_dist)?;
            specs.insert(lines::own(index, own, levels)?);
        }
        specs.order();
        specs.check()?;
        Ok(Self { policy, own: specs, subs, subs_dist })
    }

    /// The context of `path`, absolute, as far as there is one.
    pub fn label(&self, path: &[u8], kind: FileType) -> Result<Option<&str>, ContextsError> {
        let path = clean(path);
        if path.is_empty() {
            return Ok(None);
        }
        let local = lines::substitute(&self.subs, &path);
        let path = local.map_or(path, Cow::Owned);
        let dist = lines::substitute(&self.subs_dist, &path);
        let path = dist.map_or(path, Cow::Owned);
        let literal = self.own.literal(&path, kind).or_else(|| self.policy.literal(&path, kind));
        let context = match literal {
            Some(context) => Some(context),
            None => match self.own.pattern(&path, kind)? {
                Some(context) => Some(context),
                None => self.policy.pattern(&path, kind)?,
            },
        };
        Ok(context.filter(|context| *context != NO_LABEL))
    }
}

/// Without doubled slashes and without one at the end.
fn clean(path: &[u8]) -> Cow<'_, [u8]> {
    let mut path = if path.windows(2).any(|two| two == b"//") {
        let mut clean = path.to_vec();
        clean.dedup_by(|next, last| *next == b'/' && *last == b'/');
        Cow::Owned(clean)
    } else {
        Cow::Borrowed(path)
    };
    if path.len() > 1 && path.ends_with(b"/") {
        match &mut path {
            Cow::Borrowed(path) => *path = &path[..path.len() - 1],
            Cow::Owned(path) => drop(path.pop()),
        }
    }
    path
}

/// As `semanage fcontext` does: the path of a lookup is substituted, and the pattern is not.
fn refuse_substituted(
    own: &Own,
    subs: &[lines::Substitution],
    subs_dist: &[lines::Substitution],
) -> Result<(), ContextsError> {
    for sub in subs.iter().chain(subs_dist) {
        let rest = own.path.as_bytes().strip_prefix(sub.from.as_slice());
        let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/")) else {
            continue;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        return Err(ContextsError::Substituted {
            path: own.path.clone(),
            from: text(&sub.from),
            to: text(&sub.to),
            instead: format!("{}{}", text(&sub.to).trim_end_matches('/'), text(rest)),
        });
    }
    Ok(())
}
