//! Reading all that a repository has.

use ostree::{ObjectType, RepoCommitState};
use treelay_recipes::Digest;

use super::error::{Doing, Result};
use super::verify::{Damage, damage};
use super::{Repository, integrity};

/// What there is in a repository.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many objects were computed again.
    pub objects: u64,
    /// Those that are not what they are called, and those that are missing.
    pub damage: Vec<Damage>,
}

impl Repository {
    /// Reads every object that is there, on `threads` threads, and looks whether commits have all of
    /// theirs. With `remove`, what is wrong is removed, and commits that lack something count as
    /// partial then: who needs one pulls or makes the rest again.
    ///
    /// # Errors
    /// What kept it from looking or removing.
    pub fn check_all(&self, threads: usize, remove: bool) -> Result<Checked> {
        let mut checked = Checked::default();
        let (mut commits, mut files) = (Vec::new(), Vec::new());
        for (kind, object) in self.loose_objects()? {
            checked.objects += 1;
            match kind {
                ObjectType::File => files.push((object, String::new())),
                _ => checked.damage.extend(self.wrong_metadata(kind, &object)),
            }
            if kind == ObjectType::Commit {
                commits.push(object);
            }
        }
        checked.damage.append(&mut integrity::check_files(self, &files, threads));
        if remove {
            checked.damage.iter().try_for_each(|damage| self.remove(damage))?;
        }
        for commit in commits {
            // What is missing of a partial one is known to be.
            let Ok((_, RepoCommitState::NORMAL)) = self.repo.load_commit(&commit.hex()) else {
                continue;
            };
            let Some(object) = self.lacks(&commit) else { continue };
            if remove {
                let marking = || format!("marking commit {} as partial", commit.hex());
                self.repo.mark_commit_partial(&commit.hex(), true).doing(marking)?;
            }
            if !checked.damage.iter().any(|damage| damage.object == object) {
                let (path, reason) = (String::new(), "it is missing".to_owned());
                checked.damage.push(Damage { object, path, reason });
            }
        }
        Ok(checked)
    }

    /// An object that a commit lacks; of what cannot be read, the commit itself.
    fn lacks(&self, commit: &Digest) -> Option<String> {
        self.missing(commit).unwrap_or_else(|_| Some(format!("{}.commit", commit.hex())))
    }

    fn wrong_metadata(&self, kind: ObjectType, object: &Digest) -> Option<Damage> {
        let reason = integrity::metadata(self, kind, object).err()?;
        Some(damage(object, &ostree::object_type_to_string(kind), "", &reason))
    }

    /// The objects that are files of the repository itself.
    fn loose_objects(&self) -> Result<Vec<(ObjectType, Digest)>> {
        let listing = || format!("listing the objects of {}", self.path.display());
        let mut found = Vec::new();
        let all = self.dir.open_dir("objects").doing(listing)?;
        for folder in all.entries().doing(listing)? {
            let folder = folder.doing(listing)?;
            let prefix = folder.file_name().to_string_lossy().into_owned();
            if prefix.len() != 2 || !folder.file_type().doing(listing)?.is_dir() {
                continue;
            }
            for object in folder.open_dir().doing(listing)?.entries().doing(listing)? {
                let name = object.doing(listing)?.file_name().to_string_lossy().into_owned();
                let Some((rest, kind)) = name.split_once('.') else { continue };
                let kind = match kind {
                    "commit" => ObjectType::Commit,
                    "dirtree" => ObjectType::DirTree,
                    "dirmeta" => ObjectType::DirMeta,
                    "file" | "filez" => ObjectType::File,
                    _ => continue,
                };
                let object = Digest::from_hex(&format!("{prefix}{rest}"));
                found.extend(object.ok().map(|object| (kind, object)));
            }
        }
        found.sort_by_key(|(_, object)| *object);
        Ok(found)
    }
}
