//! `directory`: a local tree under a prefix.
//!
//! What depends on whoever checked the directory out is normalised away: owners are the layer's,
//! directories 0755, files 0644 or, where their owner may execute them, 0755; attributes are left
//! out.

use serde_json::{Value, json};
use treelay_recipes::Arch;
use treelay_recipes::recipe::DirectoryLayer;

use super::{Given, Globs, Kind, KindError, Need, absolute, mode};
use crate::tree::Owner;
use crate::{ContentSink, Entry, Node, Tree};

impl Kind for DirectoryLayer {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn needs(&self, _arch: Arch) -> Result<Vec<Need>, KindError> {
        absolute(&self.prefix)?;
        self.mode.as_ref().map(mode).transpose()?;
        let (path, exclude) = (self.source.clone(), self.exclude.clone());
        Ok(vec![Need::LocalDir { path, exclude }])
    }

    fn options(&self, _arch: Arch) -> Result<Value, KindError> {
        let prefix = absolute(&self.prefix)?;
        let exclude: Vec<&str> = self.exclude.iter().map(|pattern| &**pattern).collect();
        Ok(json!({
            "kind": self.name(),
            "rules": 1,
            "prefix": prefix.map_or(String::new(), |prefix| prefix.to_string()),
            "uid": self.uid.unwrap_or(0),
            "gid": self.gid.unwrap_or(0),
            "mode": self.mode.as_ref().map(mode).transpose()?,
            "exclude": exclude,
        }))
    }

    fn tree(
        &self,
        _arch: Arch,
        given: &Given<'_>,
        _sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let prefix = absolute(&self.prefix)?;
        let file_mode = self.mode.as_ref().map(mode).transpose()?;
        let owner = Owner { uid: self.uid.unwrap_or(0), gid: self.gid.unwrap_or(0) };
        let globs = Globs::new(self.exclude.iter().map(|pattern| &**pattern));

        let mut entries = Vec::new();
        // The prefix is what the directory itself becomes, so it is the same owner's.
        if let Some(prefix) = &prefix {
            entries.push(Entry { owner, ..Entry::dir(prefix.clone(), 0o755) });
        }
        for entry in given.tree(0)?.entries() {
            if globs.matches(entry.path.as_str()) {
                continue;
            }
            let path = match &prefix {
                Some(prefix) => prefix.join(entry.path.as_str())?,
                None => entry.path.clone(),
            };
            let mode = match entry.node {
                Node::Dir => 0o755,
                Node::Symlink { .. } => 0o777,
                Node::File { .. } if entry.mode & 0o100 != 0 => file_mode.unwrap_or(0o755),
                Node::File { .. } => file_mode.unwrap_or(0o644),
            };
            entries.push(Entry { path, mode, owner, node: entry.node.clone(), xattrs: None });
        }
        Ok(Tree::from_entries(entries)?)
    }
}
