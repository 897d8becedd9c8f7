//! Looking into a plan, where it is the base's too.

use super::{File, Listing, Lower, Place, Plan};
use crate::ostree_repo::error::Result;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ostree_repo) enum Look {
    File(File),
    /// The names of its files and of its directories.
    Dir {
        files: Vec<String>,
        dirs: Vec<String>,
    },
}

impl Plan<'_> {
    /// What is at `path`, which has no `/` at its ends; links are not followed.
    pub(in crate::ostree_repo) fn look(
        &self,
        path: &str,
        lower: Option<&dyn Lower>,
    ) -> Result<Option<Look>> {
        let mut at = Place::Made(0);
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let (file, dir) = match at {
                Place::Made(at) => {
                    let dir = &self.dirs[at];
                    (dir.files.get(name).copied(), dir.dirs.get(name).copied())
                }
                Place::Kept(dir) => {
                    let listing = kept(&dir.tree, lower)?;
                    let file = listing.files.get(name).map(|object| File::Base(*object));
                    (file, listing.dirs.get(name).map(|dir| Place::Kept(*dir)))
                }
            };
            match (file, dir) {
                (Some(file), _) if names.peek().is_none() => return Ok(Some(Look::File(file))),
                (_, Some(dir)) => at = dir,
                _ => return Ok(None),
            }
        }
        let (files, dirs) = match at {
            Place::Made(at) => {
                let dir = &self.dirs[at];
                (dir.files.keys().cloned().collect(), dir.dirs.keys().cloned().collect())
            }
            Place::Kept(dir) => {
                let listing = kept(&dir.tree, lower)?;
                (listing.files.into_keys().collect(), listing.dirs.into_keys().collect())
            }
        };
        Ok(Some(Look::Dir { files, dirs }))
    }
}

fn kept(tree: &treelay_recipes::Digest, lower: Option<&dyn Lower>) -> Result<Listing> {
    // What is kept is a base's, which is there then.
    lower.map_or_else(|| Ok(Listing::default()), |lower| lower.listing(tree))
}
