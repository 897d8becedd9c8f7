//! Modules that were fetched, and the cache that Go finds them in.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use treelay_recipes::{Digest, Hasher};

use super::Module;
use crate::tree::{NotATreePath, TreeError};
use crate::{Entry, Tree, TreePath};

/// The path or version as module caches and proxies have it: `!a` for `A`, since file systems exist
/// that take both for one (go.dev/ref/mod, "module proxy").
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// Why files have no `h1:`, or one that would not say what they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SumError {
    /// A name of several lines: as the lines of other files, it would have the same sum.
    #[error("the name {name:?} has a line feed in it, which no sum of files (h1:) can have")]
    Newline {
        /// The name.
        name: String,
    },
    /// A file where the sum has none.
    #[error("{path} is not below {root}, where all that is summed must be")]
    Outside {
        /// The file, link or folder.
        path: String,
        /// Where it should be.
        root: String,
    },
    /// A name that only files in modules have, in a distribution.
    #[error("{path} would become a go.mod, which no official archive has under that name")]
    GoMod {
        /// The file.
        path: String,
    },
    /// There is nothing to be summed.
    #[error("no file in it is part of the module")]
    Nothing,
}

/// `h1:` of files by name: SHA-256 of the sorted lines of sha256sum(1) (`dirhash.Hash1`).
///
/// # Errors
/// [`SumError::Newline`], as for Go.
pub fn h1<'a>(files: impl IntoIterator<Item = (&'a str, &'a Digest)>) -> Result<String, SumError> {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort();
    let mut hasher = Hasher::default();
    for (name, digest) in files {
        if name.contains('\n') {
            return Err(SumError::Newline { name: name.to_owned() });
        }
        hasher.update(line(name, digest).as_bytes());
    }
    Ok(text(hasher))
}

/// `h1:` of a go.mod, as go.sum and checksum databases have it.
pub fn h1_of_go_mod(go_mod: &Digest) -> String {
    let mut hasher = Hasher::default();
    hasher.update(line("go.mod", go_mod).as_bytes());
    text(hasher)
}

fn line(name: &str, digest: &Digest) -> String {
    format!("{}  {name}\n", digest.hex())
}

fn text(hasher: Hasher) -> String {
    format!("h1:{}", STANDARD.encode(hasher.finish().as_bytes()))
}

/// A module that was fetched and found to be what go.sum says.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Which.
    pub module: Module,
    /// Its go.mod.
    pub go_mod: (Digest, u64),
    /// Its files, below `path@version/`; none where only its go.mod is needed.
    pub files: Option<Tree>,
}

impl Module {
    /// The folder of its files in a zip archive.
    pub fn folder(&self) -> String {
        format!("{}@{}", self.path, self.version)
    }

    /// The `h1:` of the files of its zip archive.
    ///
    /// # Errors
    /// [`SumError`]: some of them are not in its folder, or have names that no sum can have.
    pub fn h1_of(&self, files: &Tree) -> Result<String, SumError> {
        let root = self.folder() + "/";
        let files = files.entries().iter();
        let files: Vec<(&str, &Digest)> =
            files.filter_map(|entry| Some((entry.path.as_str(), entry.file()?.0))).collect();
        match files.iter().find(|(path, _)| !path.starts_with(&root)) {
            Some((path, _)) => Err(SumError::Outside { path: (*path).to_owned(), root }),
            None => h1(files),
        }
    }
}

/// Puts small texts where they can be read from.
pub type Keep<'a> = dyn FnMut(&str) -> io::Result<(Digest, u64)> + 'a;

/// A module cache (GOMODCACHE) with these modules, whole, so that nothing has to be written to it.
///
/// # Errors
/// What `keep` met; a path that no tree can have.
pub fn cache(modules: &[Fetched], keep: &mut Keep<'_>) -> io::Result<Tree> {
    let other = |error: NotATreePath| io::Error::other(error.to_string());
    let mut entries = Vec::new();
    for Fetched { module, go_mod, files } in modules {
        let (path, version) = (escaped(&module.path), escaped(&module.version));
        let at = format!("cache/download/{path}/@v/{version}");
        let mut file = |suffix: &str, (digest, size): (Digest, u64)| {
            let path = TreePath::new(&format!("{at}.{suffix}")).map_err(other)?;
            entries.push(Entry::new_file(path, 0o644, digest, size));
            io::Result::Ok(())
        };
        file("mod", *go_mod)?;
        file("info", keep(&serde_json::json!({ "Version": module.version }).to_string())?)?;
        let (Some(files), Some(h1)) = (files, &module.files) else { continue };
        file("ziphash", keep(h1)?)?;
        let prefix = module.folder();
        for entry in files.entries() {
            let Some((digest, size)) = entry.file() else { continue };
            let Some(rest) = entry.path.as_str().strip_prefix(&prefix) else { continue };
            let place = TreePath::new(&format!("{path}@{version}{rest}")).map_err(other)?;
            entries.push(Entry::new_file(place, 0o644, *digest, size));
        }
    }
    let tree = Tree::from_entries(entries);
    tree.map_err(|error: TreeError| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest that go.sum files have for a module, rsc.io/quote's go.mod among them, is that of
    /// one line of sha256sum.
    #[test]
    fn h1_is_what_go_computes() {
        let empty = h1([]).unwrap();
        assert_eq!(empty, "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        // rsc.io/sampler v1.3.0/go.mod, as go.sum files all over the world have it.
        let text = "module \"rsc.io/sampler\"\n\nrequire \"golang.org/x/text\" v0.0.0-20170915032832-14c0d48ead0c\n";
        let digest = Digest::of(text);
        let expected = "h1:T1hPZKmBbMNahiBKFy5HrXp6adAjACjK9JXDnKaTXpA=";
        assert_eq!(h1([("go.mod", &digest)]).unwrap(), expected);
        assert_eq!(h1_of_go_mod(&digest), expected);
        assert_eq!(escaped("github.com/Azure/azure-SDK"), "github.com/!azure/azure-!s!d!k");
    }

    /// One file whose name has the line of the next one in it would stand for both.
    #[test]
    fn names_of_two_lines_have_no_sum() {
        let name = |name: &str| format!("example.org/a@v1.0.0/{name}");
        let (one, two) = (Digest::of("one"), Digest::of("two"));
        let both = format!("{}\n{}  {}", name("a"), two.hex(), name("b"));
        assert!(matches!(h1([(both.as_str(), &one)]), Err(SumError::Newline { .. })));

        let (path, version) = ("example.org/a".to_owned(), "v1.0.0".to_owned());
        let module = Module { path, version, go_mod: None, files: None };
        let tree = |path: &str| {
            let path = crate::TreePath::new(path).unwrap();
            Tree::from_entries(vec![Entry::new_file(path, 0o644, one, 1)]).unwrap()
        };
        module.h1_of(&tree(&name("a"))).unwrap();
        for (path, expected) in [(both.as_str(), "has a line feed"), ("b", "b is not below")] {
            let told = module.h1_of(&tree(path)).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
