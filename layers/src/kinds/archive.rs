//! `archive`: what is in an archive, under a prefix.
//!
//! Modes, links and attributes are the archive's. Owners are not: whoever packed it was somebody on
//! another machine, so everything is root's.

use serde_json::{Value, json};
use treelay_recipes::Arch;
use treelay_recipes::recipe::ArchiveLayer;

use super::{Given, Kind, KindError, Need, absolute};
use crate::tree::Owner;
use crate::{ContentSink, Entry, Tree};

impl Kind for ArchiveLayer {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn needs(&self, _arch: Arch) -> Result<Vec<Need>, KindError> {
        absolute(&self.prefix)?;
        Ok(vec![Need::Input(self.input.clone())])
    }

    fn options(&self, _arch: Arch) -> Result<Value, KindError> {
        let prefix = absolute(&self.prefix)?;
        Ok(json!({
            "kind": self.name(),
            "rules": 1,
            "prefix": prefix.map_or(String::new(), |prefix| prefix.to_string()),
        }))
    }

    fn tree(
        &self,
        _arch: Arch,
        given: &Given<'_>,
        _sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let prefix = absolute(&self.prefix)?;
        let owned = given.tree(0)?.entries().iter();
        let owned = owned.map(|entry| Entry { owner: Owner::default(), ..entry.clone() });
        Ok(Tree::from_entries(owned.collect())?.under(prefix.as_ref())?)
    }
}
