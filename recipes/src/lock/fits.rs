//! Whether a lock is the lock of a recipe.

use super::meaning::{meaning, on};
use super::{Lock, LockedInput, proofs};
use crate::Arch;
use crate::recipe::{
    ArchiveInput, GitInput, GoRelease, GoToolchainInput, Input, Recipe, Source, Text,
};

/// In what a lock does not fit a recipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The recipe has an input that was never locked.
    #[error("input {input:?} is not in the lock")]
    Missing {
        /// The input.
        input: String,
    },
    /// An input was not locked for an arch of the recipe.
    #[error("input {input:?} is not locked for {arch}")]
    MissingArch {
        /// The input.
        input: String,
        /// The arch.
        arch: Arch,
    },
    /// The lock has an input that the recipe has not.
    #[error("input {input:?} of the lock is no longer in the recipe")]
    Extra {
        /// The input.
        input: String,
    },
    /// The lock has an input for an arch that the recipe has not.
    #[error("input {input:?} is locked for {arch}, which the recipe no longer builds")]
    ExtraArch {
        /// The input.
        input: String,
        /// The arch.
        arch: Arch,
    },
    /// An input is there twice for an arch.
    #[error("input {input:?} is locked twice for {arch}")]
    Twice {
        /// The input.
        input: String,
        /// The arch.
        arch: Arch,
    },
    /// The input became another kind of input.
    #[error("input {input:?} is now of the kind {recipe}, it was locked as {lock}")]
    Kind {
        /// The input.
        input: String,
        /// The kind in the recipe.
        recipe: &'static str,
        /// The kind in the lock.
        lock: &'static str,
    },
    /// The recipe asks for another version.
    #[error("input {input:?} is now version {recipe}, {lock} is locked")]
    Version {
        /// The input.
        input: String,
        /// The version in the recipe.
        recipe: String,
        /// The version in the lock.
        lock: String,
    },
    /// An input has different versions on different arches.
    #[error("input {input:?} is locked as version {one} and as version {other}")]
    Versions {
        /// The input.
        input: String,
        /// One of its versions.
        one: String,
        /// Another.
        other: String,
    },
    /// The recipe no longer has the source that the input was taken from.
    #[error("input {input:?} was locked from the source {lock}, which the recipe no longer lists")]
    Source {
        /// The input.
        input: String,
        /// The source in the lock.
        lock: &'static str,
    },
    /// The recipe no longer has the place that the input was taken from.
    #[error("input {input:?} of {arch} was locked from {lock}, which the recipe no longer names")]
    From {
        /// The input.
        input: String,
        /// The arch.
        arch: Arch,
        /// The place in the lock.
        lock: String,
    },
    /// The recipe says another digest of the file.
    #[error("input {input:?} of {arch} now has the sha256 {recipe}, {lock} is locked")]
    Sha256 {
        /// The input.
        input: String,
        /// The arch.
        arch: Arch,
        /// The digest in the recipe, in hex.
        recipe: String,
        /// The digest in the lock, in hex.
        lock: String,
    },
    /// The recipe says another commit.
    #[error("input {input:?} is now the commit {recipe}, {lock} is locked")]
    Commit {
        /// The input.
        input: String,
        /// The commit in the recipe.
        recipe: String,
        /// The commit in the lock.
        lock: String,
    },
    /// The recipe names another image below its layers.
    #[error("the base for {arch} is now {recipe}, {lock} is locked")]
    Base {
        /// The arch.
        arch: Arch,
        /// In the recipe.
        recipe: String,
        /// In the lock.
        lock: String,
    },
    /// The lock has a base for an arch that the recipe has not.
    #[error("a base is locked for {arch}, which the recipe no longer builds")]
    BaseOfNoArch {
        /// The arch.
        arch: Arch,
    },
    /// The recipe names another commit below its layers.
    #[error("the base commit for {arch} is now {recipe}, {lock} is locked")]
    Tree {
        /// The arch.
        arch: Arch,
        /// In the recipe.
        recipe: String,
        /// In the lock.
        lock: String,
    },
    /// It was not verified as the recipe asks.
    #[error(
        "input {input:?} of {arch} was locked without `verify: [{method}]`, which the recipe asks for"
    )]
    Evidence {
        /// The input.
        input: String,
        /// The arch.
        arch: Arch,
        /// What of `verify` is missing.
        method: &'static str,
    },
    /// Something is said to be verified that the recipe does not ask for.
    #[error(
        "input {input:?} of {arch} has evidence of `verify: [{method}]`, which the recipe does not ask for"
    )]
    UnaskedEvidence {
        /// The input.
        input: String,
        /// The arch.
        arch: Arch,
        /// What is said to be verified.
        method: &'static str,
    },
    /// What is said to be verified is not what the recipe asks for.
    #[error(
        "the evidence of `verify: [{method}]` of input {input:?} of {arch} says {lock}, but the recipe {recipe}"
    )]
    OtherEvidence {
        /// The input.
        input: String,
        /// The arch.
        arch: Arch,
        /// The method.
        method: &'static str,
        /// What the lock says.
        lock: String,
        /// What the recipe says.
        recipe: String,
    },
    /// Something else that the recipe says of the input changed.
    #[error("the options of input {input:?} changed in the recipe since it was locked")]
    Options {
        /// The input.
        input: String,
    },
}

impl Lock {
    /// Whether this is the lock of `recipe`, which is as parsed, not expanded.
    ///
    /// # Errors
    /// [`Misfit`]: the first input, by name, that changed, and in what.
    pub fn fits(&self, recipe: &Recipe) -> Result<(), Misfit> {
        for name in recipe.inputs.keys() {
            self.fits_input(recipe, name)?;
        }
        let known = |name: &str| recipe.inputs.contains_key(name);
        let locked = self.inputs.iter().map(|input| &input.name).chain(self.recipe_inputs.keys());
        if let Some(input) = locked.into_iter().find(|name| !known(name)) {
            return Err(Misfit::Extra { input: input.clone() });
        }
        recipe.arch.iter().try_for_each(|arch| self.fits_base(recipe, *arch))?;
        recipe.arch.iter().try_for_each(|arch| self.fits_tree(recipe, *arch))?;
        let bases = self.bases.iter().map(|base| base.arch);
        let mut locked = bases.chain(self.trees.iter().map(|tree| tree.arch));
        match locked.find(|arch| !recipe.arch.contains(arch)) {
            Some(arch) => Err(Misfit::BaseOfNoArch { arch }),
            None => Ok(()),
        }
    }

    /// Whether the commit that is locked for an arch is what `recipe` names as `ostree.base`.
    ///
    /// # Errors
    /// [`Misfit`], in what they differ.
    pub fn fits_tree(&self, recipe: &Recipe, arch: Arch) -> Result<(), Misfit> {
        let wanted = on(recipe, arch).ostree.base.map(|base| base.describe(arch));
        let lock = self.tree(arch).map(|tree| tree.from.clone());
        match wanted == lock {
            true => Ok(()),
            false => {
                let or = |base: Option<String>| base.unwrap_or_else(|| "none".into());
                Err(Misfit::Tree { arch, recipe: or(wanted), lock: or(lock) })
            }
        }
    }

    /// Whether the base that is locked for an arch is the one that `recipe` names.
    ///
    /// # Errors
    /// [`Misfit`], in what they differ.
    pub fn fits_base(&self, recipe: &Recipe, arch: Arch) -> Result<(), Misfit> {
        let recipe = on(recipe, arch).image.base.map(|base| base.value);
        let wanted = recipe.filter(|base| base != "scratch");
        let lock = self.base(arch).map(|base| base.image.clone());
        match wanted == lock {
            true => Ok(()),
            false => {
                let or = |base: Option<String>| base.unwrap_or_else(|| "scratch".into());
                Err(Misfit::Base { arch, recipe: or(wanted), lock: or(lock) })
            }
        }
    }

    /// Whether what is locked for one input is what `recipe` asks for; the others may have changed.
    ///
    /// # Errors
    /// [`Misfit`], in what the input changed.
    pub fn fits_input(&self, recipe: &Recipe, name: &str) -> Result<(), Misfit> {
        let input = name.to_owned();
        let Some(wanted) = recipe.inputs.get(name) else { return Err(Misfit::Extra { input }) };
        let locked: Vec<&LockedInput> = self.inputs.iter().filter(|one| one.name == name).collect();
        if locked.is_empty() {
            return Err(Misfit::Missing { input });
        }
        for pair in locked.windows(2) {
            let version = |one: &LockedInput| one.version.clone().unwrap_or_else(|| "none".into());
            if pair[0].arch == pair[1].arch {
                return Err(Misfit::Twice { input, arch: pair[0].arch });
            }
            if pair[0].version != pair[1].version {
                let (one, other) = (version(pair[0]), version(pair[1]));
                return Err(Misfit::Versions { input, one, other });
            }
        }
        if let Some(extra) = locked.iter().find(|one| !recipe.arch.contains(&one.arch)) {
            return Err(Misfit::ExtraArch { input, arch: extra.arch });
        }
        for &arch in &recipe.arch {
            let Some(locked) = locked.iter().find(|locked| locked.arch == arch) else {
                return Err(Misfit::MissingArch { input, arch });
            };
            if wanted.kind() != locked.kind {
                let (recipe, lock) = (wanted.kind().name(), locked.kind.name());
                return Err(Misfit::Kind { input, recipe, lock });
            }
            let on_arch = on(recipe, arch);
            let Some(wanted) = on_arch.inputs.get(name) else { continue };
            match wanted {
                Input::GoToolchain(go) => go_toolchain(go, locked)?,
                Input::Archive(file) => archive(file, locked)?,
                Input::Pypi(package) => version(&package.version, locked)?,
                Input::GoModules(modules) => {
                    place(modules.dir.iter().chain(&modules.input), locked)?;
                }
                Input::Git(wanted) => git(wanted, locked)?,
            }
            proofs::missing(wanted, locked)?;
        }
        if self.recipe_inputs.get(name) != Some(&meaning(recipe, name)) {
            return Err(Misfit::Options { input });
        }
        // The recipe is as it was: what differs now is not of its making.
        locked.iter().try_for_each(|locked| match on(recipe, locked.arch).inputs.get(name) {
            Some(wanted) => proofs::edited(wanted, locked),
            None => Ok(()),
        })
    }
}

fn go_toolchain(wanted: &GoToolchainInput, locked: &LockedInput) -> Result<(), Misfit> {
    let is = |found: &String| GoRelease::of(&wanted.version).is(found);
    if !locked.version.as_ref().is_some_and(is) {
        version(&wanted.version, locked)?;
    }
    let input = locked.name.clone();
    if !wanted.sources.contains(&locked.source) {
        return Err(Misfit::Source { input, lock: locked.source.name() });
    }
    match locked.source {
        // No list of sources has the last one. Of a mirror and an image all that matters is told by
        // the digest of what the recipe says.
        Source::GoDev | Source::Mirror | Source::Module | Source::Oci => Ok(()),
        Source::Pypi | Source::Git => Ok(()),
        Source::Dir => place(wanted.dir.iter(), locked),
        Source::Archive => match wanted.archive.as_ref().and_then(|map| map.get(&locked.arch)) {
            Some(wanted) => archive(wanted, locked),
            None => place([].into_iter(), locked),
        },
    }
}

fn version(wanted: &Text, locked: &LockedInput) -> Result<(), Misfit> {
    let lock = locked.version.clone().unwrap_or_else(|| "none".into());
    match wanted.value == lock {
        true => Ok(()),
        false => {
            Err(Misfit::Version { input: locked.name.clone(), recipe: wanted.value.clone(), lock })
        }
    }
}

fn archive(wanted: &ArchiveInput, locked: &LockedInput) -> Result<(), Misfit> {
    place(wanted.path.iter().chain(&wanted.urls), locked)?;
    let lock = locked.file.map_or_else(|| "none".into(), |file| file.sha256.hex());
    if let Some(recipe) = wanted.sha256.as_ref().filter(|recipe| recipe.value != lock) {
        let recipe = recipe.value.clone();
        return Err(Misfit::Sha256 { input: locked.name.clone(), arch: locked.arch, recipe, lock });
    }
    Ok(())
}

fn git(wanted: &GitInput, locked: &LockedInput) -> Result<(), Misfit> {
    place([&wanted.url].into_iter(), locked)?;
    match (&wanted.commit, &locked.commit) {
        (Some(recipe), lock) if Some(&recipe.value) != lock.as_ref() => Err(Misfit::Commit {
            input: locked.name.clone(),
            recipe: recipe.value.clone(),
            lock: lock.clone().unwrap_or_else(|| "none".into()),
        }),
        _ => Ok(()),
    }
}

fn place<'t>(
    mut places: impl Iterator<Item = &'t Text>,
    locked: &LockedInput,
) -> Result<(), Misfit> {
    match places.any(|place| place.value == locked.from) {
        true => Ok(()),
        false => Err(Misfit::From {
            input: locked.name.clone(),
            arch: locked.arch,
            lock: locked.from.clone(),
        }),
    }
}
