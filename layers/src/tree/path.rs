//! [`TreePath`]: a path that cannot leave its tree.

use std::fmt;

/// A path below the root of a tree: UTF-8, `/` between components, no leading or trailing `/`, no
/// empty, `.` or `..` component, no NUL. What an archive, a recipe or a directory says becomes one
/// of these before anything else looks at it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Box<str>);

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
/// NAME_MAX of every file system that matters.
const MAX_NAME: usize = 255;

impl TreePath {
    /// Takes a relative path as it must be written.
    ///
    /// # Errors
    /// [`NotATreePath`], with the reason.
    pub fn new(path: &str) -> Result<Self, NotATreePath> {
        let reason = if path.is_empty() {
            "is empty"
        } else if path.starts_with('/') {
            "is absolute"
        } else if path.len() > MAX_PATH {
            "is longer than 4095 bytes"
        } else if path.contains('\0') {
            "contains a NUL"
        } else if path.split('/').any(|name| name == "..") {
            "leaves its root with .."
        } else if path.split('/').any(|name| name.is_empty() || name == ".") {
            "has an empty or . component"
        } else if path.split('/').any(|name| name.len() > MAX_NAME) {
            "has a component longer than 255 bytes"
        } else {
            return Ok(Self(path.into()));
        };
        Err(NotATreePath { path: path.to_owned(), reason })
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

    /// `rest` below this path.
    ///
    /// # Errors
    /// [`NotATreePath`] where `rest` is none, or the whole is too long.
    pub fn join(&self, rest: &str) -> Result<Self, NotATreePath> {
        Self::new(&format!("{}/{rest}", self.0))
    }
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
    fn knows_its_parents() {
        let path = TreePath::new("usr/lib/go").unwrap();
        let above: Vec<_> = path.ancestors().map(|p| p.to_string()).collect();
        assert_eq!(above, ["usr", "usr/lib"]);
        assert_eq!(path.name(), "go");
        assert_eq!(path.parent(), Some(TreePath::new("usr/lib").unwrap()));
    }
}
