//! What a recipe with its lock needs to be built elsewhere, without network: every locked input and
//! base, in the store.
//!
//! An input that is a file is carried as that file, whose digest the lock has: it is unpacked again
//! where it is used. One without a file is carried as its tree and contents. What lies in the recipe's
//! folder is the recipe's own, and is not carried.

use std::collections::{BTreeMap, BTreeSet};

use treelay_recipes::lock::LockedInput;
use treelay_recipes::recipe::{GoModulesInput, Input, Recipe, Source};
use treelay_recipes::{Arch, Digest, Lock};

use super::base::image_of;
use super::inputs::describe;
use super::{ExecError, Workshop};
use crate::plan::{Expanded, PlannedTree};
use crate::sources::Sources;

/// What is carried, all of it in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portable {
    /// Objects, with their lengths in bytes.
    pub objects: BTreeMap<Digest, u64>,
    /// Trees, by their digests.
    pub trees: BTreeSet<Digest>,
    /// Manifests of base images, which are objects too.
    pub images: BTreeSet<Digest>,
    /// Base commits: the address that each was pulled from, and the commit.
    pub commits: BTreeSet<(String, Digest)>,
    /// What is not carried because it lies beside the recipe, in words.
    pub beside: BTreeSet<String>,
}

impl Workshop<'_> {
    /// Brings everything that `lock` pins into the store, and says what it is.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn portable(
        &self,
        expanded: &Expanded,
        lock: &Lock,
        sources: &Sources,
    ) -> Result<Portable, ExecError> {
        let mut all = Portable::default();
        for (arch, recipe) in expanded {
            for (name, input) in &recipe.inputs {
                let none =
                    || ExecError::NoSource { what: describe(name, *arch), tried: Vec::new() };
                let locked = lock.input(name, *arch).ok_or_else(none)?;
                self.carry_input(recipe, input, locked, lock, sources, &mut all).await?;
            }
            self.carry_tree(recipe, *arch, lock, &mut all).await?;
        }
        let arches: Vec<Arch> = expanded.keys().copied().collect();
        for image in self.bases(&arches, lock).await?.values() {
            all.objects.extend(self.image_objects(image)?);
            all.images.insert(image.manifest);
        }
        Ok(all)
    }

    async fn carry_input(
        &self,
        recipe: &Recipe,
        input: &Input,
        locked: &LockedInput,
        lock: &Lock,
        sources: &Sources,
        all: &mut Portable,
    ) -> Result<(), ExecError> {
        if let Some(file) = locked.file {
            self.input_file(input, locked, file).await?;
            self.check_file(input, locked, sources).await?;
            all.objects.insert(file.sha256, file.size);
            return Ok(());
        }
        if let (Input::GoToolchain(_), Source::Dir) = (input, locked.source) {
            let what = describe(&locked.name, locked.arch);
            all.beside.insert(format!("{what}: the directory {}", locked.from));
            return Ok(());
        }
        let of = match input {
            Input::GoModules(GoModulesInput { input: Some(of), .. }) => {
                lock.input(&of.value, locked.arch)
            }
            _ => None,
        };
        let tree = self.input_tree(recipe, locked, of, sources).await?;
        all.trees.insert(locked.identity);
        let files = tree.entries().iter().filter_map(|entry| entry.file());
        all.objects.extend(files.map(|(digest, size)| (*digest, size)));
        Ok(())
    }

    /// Whether what is in the file of an input, which is in the store, is what the lock says. A lock
    /// that was merged wrongly would be found out where nothing can be fetched.
    async fn check_file(
        &self,
        input: &Input,
        locked: &LockedInput,
        sources: &Sources,
    ) -> Result<(), ExecError> {
        let what = describe(&locked.name, locked.arch);
        let (arch, pinned) = (locked.arch, locked.file);
        let found = match input {
            Input::GoToolchain(go) => self.go_in_file(locked, go, sources).await?,
            Input::Archive(archive) => {
                Some(self.archive_from(archive, &what, arch, pinned).await?.0.digest())
            }
            Input::Pypi(package) => {
                Some(self.pypi_from(package, &what, arch, pinned).await?.0.digest())
            }
            // These have no file.
            Input::Git(_) | Input::GoModules(_) => None,
        };
        match found.filter(|found| *found != locked.identity) {
            Some(found) => Err(ExecError::OtherIdentity { what, expected: locked.identity, found }),
            None => Ok(()),
        }
    }

    async fn carry_tree(
        &self,
        recipe: &Recipe,
        arch: Arch,
        lock: &Lock,
        all: &mut Portable,
    ) -> Result<(), ExecError> {
        let (Some(base), Some(locked)) = (&recipe.ostree.base, lock.tree(arch)) else {
            return Ok(());
        };
        if let Some(text) = &base.image {
            let gone = || ExecError::Damaged { what: locked.from.clone() };
            let image = self.base(&image_of(locked, text).ok_or_else(gone)?).await?;
            all.objects.extend(self.image_objects(&image)?);
            all.images.insert(image.manifest);
        } else if let Some(remote) = &base.remote {
            self.base_repository(&PlannedTree {
                from: locked.from.clone(),
                commit: locked.commit,
                place: base.clone(),
                locked: locked.clone(),
            })
            .await?;
            all.commits.insert((remote.url.value.clone(), locked.commit));
        } else if let Some(repo) = &base.repo {
            all.beside.insert(format!("the base commit for {arch}: the repository {}", repo.value));
        }
        Ok(())
    }
}
