//! `go-toolchain`: a Go distribution under a prefix.

use serde_json::{Value, json};
use treelay_recipes::recipe::GoToolchainLayer;
use treelay_recipes::{Arch, Digest};

use super::{Given, Kind, KindError, Need, absolute, wrong};
use crate::go::{GoDistribution, LICENSE, PATENTS};
use crate::{ContentSink, Entry, Tree, TreePath};

/// What a distribution lacks and its terms ask for.
const TERMS: [(&str, &str); 2] = [("LICENSE", LICENSE), ("PATENTS", PATENTS)];
/// The programs that get a link.
const LINKED: [&str; 2] = ["go", "gofmt"];

impl Kind for GoToolchainLayer {
    fn name(&self) -> &'static str {
        "go-toolchain"
    }

    fn needs(&self, _arch: Arch) -> Result<Vec<Need>, KindError> {
        self.places()?;
        Ok(vec![Need::Input(self.input.clone())])
    }

    fn options(&self, arch: Arch) -> Result<Value, KindError> {
        let (prefix, link) = self.places()?;
        Ok(json!({
            "kind": self.name(),
            "rules": 1,
            "arch": arch,
            "prefix": prefix.as_str(),
            "link": link.map(|link| link.as_ref().map_or(String::new(), ToString::to_string)),
            "terms": TERMS.map(|(_, text)| Digest::of(text).to_string()),
        }))
    }

    fn tree(
        &self,
        arch: Arch,
        given: &Given<'_>,
        sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let (prefix, link) = self.places()?;
        // Canonical: the digest of an input's tree is its identity.
        let distribution = GoDistribution::of(given.tree(0)?.clone(), given.contents)?;
        distribution.check_arch(arch, given.contents)?;
        let placed = distribution.tree().under(Some(&prefix))?;

        let mut entries = placed.entries().to_vec();
        for (name, text) in TERMS {
            let path = prefix.join(name)?;
            let (digest, size) = sink
                .put(&mut text.as_bytes())
                .map_err(|source| KindError::Keeping { path: path.clone(), source })?;
            entries.push(Entry::new_file(path, 0o644, digest, size));
        }
        if let Some(folder) = link {
            for name in LINKED {
                let at = match &folder {
                    Some(folder) => folder.join(name)?,
                    None => TreePath::new(name)?,
                };
                let target = relative(&at, &prefix.join("bin")?.join(name)?);
                entries.push(Entry::symlink(at, &target));
            }
        }
        Ok(Tree::from_entries(entries)?)
    }
}

/// The folder for links: none, or a path, whose `None` is the root.
type LinkFolder = Option<Option<TreePath>>;

trait Places {
    fn places(&self) -> Result<(TreePath, LinkFolder), KindError>;
}

impl Places for GoToolchainLayer {
    fn places(&self) -> Result<(TreePath, LinkFolder), KindError> {
        let prefix = absolute(&self.prefix)?
            .ok_or_else(|| wrong(&self.prefix, "a Go toolchain cannot have / as its prefix"))?;
        Ok((prefix, self.link.as_ref().map(absolute).transpose()?))
    }
}

/// The target that makes a link at `link` lead to `to`, whatever the tree is mounted on.
fn relative(link: &TreePath, to: &TreePath) -> String {
    let from: Vec<&str> = link.as_str().split('/').collect();
    let to: Vec<&str> = to.as_str().split('/').collect();
    let folder = &from[..from.len() - 1];
    let common = folder.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut parts = vec![".."; folder.len() - common];
    parts.extend(&to[common..]);
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative() {
        for (link, to, expected) in [
            ("usr/bin/go", "usr/lib/golang/bin/go", "../lib/golang/bin/go"),
            ("go", "usr/lib/golang/bin/go", "usr/lib/golang/bin/go"),
            ("opt/go/go", "opt/go/bin/go", "bin/go"),
            ("a/b/c/go", "x/go", "../../../x/go"),
        ] {
            let path = |text| TreePath::new(text).unwrap();
            assert_eq!(relative(&path(link), &path(to)), expected);
        }
    }
}
