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

/// `h1:` of files by name: SHA-256 of the sorted lines of sha256sum(1) (`dirhash.Hash1`).
pub fn h1<'a>(files: impl IntoIterator<Item = (&'a str, &'a Digest)>) -> String {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort();
    let mut hasher = Hasher::default();
    for (name, digest) in files {
        hasher.update(format!("{}  {name}\n", digest.hex()).as_bytes());
    }
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

    /// The `h1:` of the files of its zip archive; `None` where some of them are not in its folder.
    pub fn h1_of(&self, files: &Tree) -> Option<String> {
        let prefix = self.folder() + "/";
        let files: Vec<(&str, &Digest)> = files
            .entries()
            .iter()
            .filter_map(|entry| Some((entry.path.as_str(), entry.file()?.0)))
            .collect();
        files.iter().all(|(path, _)| path.starts_with(&prefix)).then(|| h1(files))
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
        let empty = h1([]);
        assert_eq!(empty, "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        // rsc.io/sampler v1.3.0/go.mod, as go.sum files all over the world have it.
        let text = "module \"rsc.io/sampler\"\n\nrequire \"golang.org/x/text\" v0.0.0-20170915032832-14c0d48ead0c\n";
        let digest = Digest::of(text);
        assert_eq!(h1([("go.mod", &digest)]), "h1:T1hPZKmBbMNahiBKFy5HrXp6adAjACjK9JXDnKaTXpA=");
        assert_eq!(escaped("github.com/Azure/azure-SDK"), "github.com/!azure/azure-!s!d!k");
    }
}
