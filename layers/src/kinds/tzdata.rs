//! `tzdata`: the time zones where every libc and Go's time package look, `/usr/share/zoneinfo`.
//!
//! Taken are the zones, by their names, and the tables that programs read beside them; what else
//! lies in the source (Python's package files, copies with leap seconds) is left out.

use std::io::{Cursor, Read as _};

use serde_json::{Value, json};
use treelay_recipes::Arch;
use treelay_recipes::recipe::{Text, TzdataLayer};

use super::{Given, Kind, KindError, Need, wrong};
use crate::archive::{self, Options};
use crate::{ContentSink, Entry, Node, Tree, TreePath};

const PLACE: &str = "usr/share/zoneinfo";
/// In a Go distribution.
const GO_ZIP: &str = "lib/time/zoneinfo.zip";
/// A zone that every source has, by which the folder of zones is found.
const KNOWN: &str = "Etc/UTC";
/// What tzdata packages put beside the zones.
const TABLES: [&str; 6] =
    ["iso3166.tab", "leap-seconds.list", "leapseconds", "tzdata.zi", "zone.tab", "zone1970.tab"];
/// More than any zip of zones; it is read into memory.
const MOST: u64 = 16 << 20;

impl Kind for TzdataLayer {
    fn name(&self) -> &'static str {
        "tzdata"
    }

    fn needs(&self, _arch: Arch) -> Result<Vec<Need>, KindError> {
        Ok(vec![Need::Input(self.input.clone())])
    }

    fn options(&self, _arch: Arch) -> Result<Value, KindError> {
        Ok(json!({
            "kind": self.name(),
            "rules": 1,
            "path": self.path.as_deref(),
            "localtime": self.localtime.as_deref(),
        }))
    }

    fn tree(
        &self,
        _arch: Arch,
        given: &Given<'_>,
        sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let at = self.path.as_ref().unwrap_or(&self.input);
        let input = given.tree(0)?;
        let unpacked;
        let zip = self.path.as_deref().unwrap_or(GO_ZIP);
        let zones = match input.get(zip).and_then(Entry::file) {
            Some((digest, size)) => {
                let mut bytes = Vec::new();
                let opened = given.contents.open(digest, size);
                opened
                    .and_then(|file| file.take(MOST).read_to_end(&mut bytes))
                    .map_err(|error| wrong(at, format!("reading {zip}: {error}")))?;
                let tree =
                    archive::unpack(Cursor::new(&bytes), &Options::default(), &mut |_| true, sink);
                unpacked = tree.map_err(|error| wrong(at, format!("unpacking {zip}: {error}")))?;
                Zones::find(None, &unpacked, at)?
            }
            None => Zones::find(self.path.as_ref(), input, at)?,
        };
        let mut entries = Vec::new();
        for (name, entry) in zones.entries {
            let Some((digest, size)) = entry.file() else { continue };
            let path = TreePath::new(PLACE)?.join(name)?;
            entries.push(Entry::new_file(path, 0o644, *digest, size));
        }
        if let Some(zone) = &self.localtime {
            let there = entries.iter().any(|entry| {
                entry.path.as_str().strip_prefix(PLACE) == Some(&format!("/{}", &**zone))
            });
            if !there {
                return Err(wrong(zone, format!("the input has no time zone {}", &**zone)));
            }
            let target = format!("../{PLACE}/{}", &**zone);
            entries.push(Entry::symlink(TreePath::new("etc/localtime")?, &target));
        }
        Ok(Tree::from_entries(entries)?)
    }
}

/// The zones of a tree, by name.
struct Zones<'t> {
    entries: Vec<(&'t str, &'t Entry)>,
}

impl<'t> Zones<'t> {
    fn find(folder: Option<&Text>, tree: &'t Tree, at: &Text) -> Result<Self, KindError> {
        let prefix = match folder {
            Some(folder) if &**folder == "." => String::new(),
            Some(folder) => format!("{}/", &**folder),
            None => {
                let known = tree.entries().iter().filter_map(|entry| {
                    let prefix = entry.path.as_str().strip_suffix(KNOWN)?;
                    (prefix.is_empty() || prefix.ends_with('/')).then_some(prefix)
                });
                known.min_by_key(|prefix| prefix.len()).map(str::to_owned).ok_or_else(|| {
                    wrong(at, format!("the input has no time zones: no {KNOWN} is in it"))
                })?
            }
        };
        let entries: Vec<_> = tree
            .entries()
            .iter()
            .filter_map(|entry| Some((entry.path.as_str().strip_prefix(&prefix)?, entry)))
            .filter(|(name, _)| is_zone(name) || TABLES.contains(name))
            .map(|(name, entry)| match followed(tree, entry) {
                Some(there) => Ok((name, there)),
                None => Err(wrong(at, format!("the time zone {name} is a link to nothing"))),
            })
            .collect::<Result<_, _>>()?;
        if !entries.iter().any(|(name, _)| *name == KNOWN) {
            return Err(wrong(at, format!("{prefix}{KNOWN} is not in the input")));
        }
        Ok(Self { entries })
    }
}

/// Where links lead: distributions have zones of several names so. `None` where that is not in the
/// tree, or goes round.
fn followed<'t>(tree: &'t Tree, entry: &'t Entry) -> Option<&'t Entry> {
    let mut entry = entry;
    for _ in 0..8 {
        let Node::Symlink { target } = &entry.node else { return Some(entry) };
        let mut parts: Vec<&str> = entry.path.as_str().split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        entry = tree.get(&parts.join("/"))?;
    }
    None
}

/// Zones have names such as `Europe/Berlin`, `GB-Eire`, `Etc/GMT+1`; what is no zone has a dot or
/// begins with a small letter or `_`.
fn is_zone(name: &str) -> bool {
    // The copies with and without leap seconds that some builds have beside the zones.
    if ["posix/", "right/"].iter().any(|copy| name.starts_with(copy)) {
        return false;
    }
    name.split('/').all(|part| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::fixture::tree;

    #[test]
    fn zones_that_are_links_are_what_they_lead_to() {
        let (tree, _) = tree(
            "f 0644 0 0 =london z/Europe/London
             l 0777 0 0 z/GB -> Europe/London
             l 0777 0 0 z/Etc/A -> ../GB
             l 0777 0 0 z/Lost -> Nowhere
             l 0777 0 0 z/Round -> Round",
        );
        let file = |path: &str| followed(&tree, tree.get(path).unwrap()).and_then(Entry::file);
        for path in ["z/Europe/London", "z/GB", "z/Etc/A"] {
            assert_eq!(file(path), file("z/Europe/London"), "{path}");
            assert!(file(path).is_some(), "{path}");
        }
        assert_eq!((file("z/Lost"), file("z/Round")), (None, None));
    }

    #[test]
    fn zones_are_told_from_what_lies_beside_them() {
        for zone in
            ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+1", "GB-Eire"]
        {
            assert!(is_zone(zone), "{zone}");
        }
        for other in ["__init__.py", "Europe/__init__.py", "zone.tab", "posixrules", "right/UTC"] {
            assert!(!is_zone(other), "{other}");
        }
    }
}
