//! [`TreePath`]: a path that cannot leave its tree.

use std::fmt;
use std::sync::Arc;

/// A path below the root of a tree: UTF-8, `/` between components, no leading or trailing `/`, no
/// empty, `.` or `..` component, no NUL. What an archive, a recipe or a directory says becomes one
/// of these before anything else looks at it.
///
/// Clones share the text: a tree and the layers that it is split into or merged from hold each path
/// once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Arc<str>);

/// Why a text is no [`TreePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} {reason}")]
pub struct NotATreePath {
    /// What was given.
    pub path: String,
    /// What is wrong with it, as the rest of a sentence.
    pub reason: &'static str,
}

/// Linux's PATH_MAX, less the NUL.
const MAX_PATH: usize = 4095;
const TOO_LONG: &str = "is longer than 4095 bytes";
/// NAME_MAX of every file system that matters.
const MAX_NAME: usize = 255;

impl TreePath {
    /// Takes a relative path as it must be written.
    ///
    /// # Errors
    /// [`NotATreePath`], with the reason.
    pub fn new(path: &str) -> Result<Self, NotATreePath> {
        match fault(path) {
            None => Ok(Self(path.into())),
            Some(reason) => Err(NotATreePath { path: path.to_owned(), reason }),
        }
    }

    /// Takes an absolute path, as recipes write them; `None` is the root itself.
    ///
    /// # Errors
    /// [`NotATreePath`], with the reason.
    pub fn from_absolute(path: &str) -> Result<Option<Self>, NotATreePath> {
        let Some(rest) = path.strip_prefix('/') else {
            return Err(NotATreePath { path: path.to_owned(), reason: "is not absolute" });
        };
        if rest.is_empty() {
            return Ok(None);
        }
        Self::new(rest)
            .map(Some)
            .map_err(|error| NotATreePath { path: path.to_owned(), reason: error.reason })
    }

    /// The text, without a leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The path of the directory it is in; `None` for what is in the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind('/').map(|at| Self(self.0[..at].into()))
    }

    /// All directories above it, the highest first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.match_indices('/').map(|(at, _)| Self(self.0[..at].into()))
    }

    /// All directories above it, the deepest first, without the root.
    pub(super) fn ancestors_up(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.rmatch_indices('/').map(|(at, _)| Self(self.0[..at].into()))
    }

    /// `rest` below this path.
    ///
    /// # Errors
    /// [`NotATreePath`] where `rest` is none, or the whole is too long.
    pub fn join(&self, rest: &str) -> Result<Self, NotATreePath> {
        let path = [&*self.0, "/", rest].concat();
        // What is here already need not be looked at again.
        match fault(rest).or((path.len() > MAX_PATH).then_some(TOO_LONG)) {
            None => Ok(Self(path.into())),
            Some(reason) => Err(NotATreePath { path, reason }),
        }
    }
}

/// Why a text is no path of a tree. Paths are checked by the hundred thousand, so one pass decides
/// whether anything is wrong, and only then is it found out what.
fn fault(path: &str) -> Option<&'static str> {
    let fine = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && name.len() <= MAX_NAME;
    let bytes = path.as_bytes();
    let mut start = 0;
    let mut good = bytes.len() <= MAX_PATH;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'/' {
            good &= fine(&bytes[start..at]);
            start = at + 1;
        }
        good &= *byte != 0;
    }
    if good && fine(&bytes[start..]) {
        return None;
    }
    let mut names = path.split('/');
    Some(match () {
        () if path.is_empty() => "is empty",
        () if path.starts_with('/') => "is absolute",
        () if path.len() > MAX_PATH => TOO_LONG,
        () if path.contains('\0') => "contains a NUL",
        () if names.clone().any(|name| name == "..") => "leaves its root with ..",
        () if names.any(|name| matches!(name, "" | ".")) => "has an empty or . component",
        () => "has a component longer than 255 bytes",
    })
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_paths_that_could_leave() {
        let long = "a".repeat(256);
        for path in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b", &long] {
            assert!(TreePath::new(path).is_err(), "{path:?}");
        }
        assert!(TreePath::new("a/..b/c.").is_ok());
    }

    #[test]
    fn says_what_is_wrong() {
        let (long, deep) = ("a".repeat(256), "a/".repeat(2048));
        for (path, expected) in [
            ("", "is empty"),
            ("/a/..", "is absolute"),
            (deep.as_str(), "is longer than 4095 bytes"),
            ("a\0b", "contains a NUL"),
            ("a/../b", "leaves its root with .."),
            ("a//b", "has an empty or . component"),
            ("a/", "has an empty or . component"),
            ("./a", "has an empty or . component"),
            (long.as_str(), "has a component longer than 255 bytes"),
        ] {
            assert_eq!(TreePath::new(path).unwrap_err().reason, expected, "{path:?}");
        }
    }

    #[test]
    fn joins_what_is_a_path_itself() {
        let above = TreePath::new("usr/lib").unwrap();
        assert_eq!(above.join("go/bin"), TreePath::new("usr/lib/go/bin"));
        for rest in ["", "/go", "..", "go/", "a\0"] {
            assert!(above.join(rest).is_err(), "{rest:?}");
        }
        let deep = TreePath::new(&format!("{}a", "a/".repeat(2046))).unwrap();
        assert!(deep.join("b").is_ok());
        assert_eq!(deep.join("bbb").unwrap_err().reason, "is longer than 4095 bytes");
    }

    #[test]
    fn knows_its_parents() {
        let path = TreePath::new("usr/lib/go").unwrap();
        let above: Vec<_> = path.ancestors().map(|p| p.to_string()).collect();
        assert_eq!(above, ["usr", "usr/lib"]);
        assert_eq!(path.name(), "go");
        assert_eq!(path.parent(), Some(TreePath::new("usr/lib").unwrap()));
    }
}
