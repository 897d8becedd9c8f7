//! Making and refreshing locks.

use std::collections::BTreeSet;

use treelay_layers::go;
use treelay_layers::go::modules::digest_of;
use treelay_recipes::lock::{InputKind, LockedInput};
use treelay_recipes::recipe::{
    ArchiveInput, GoModulesInput, GoToolchainInput, Input, PypiInput, Recipe, Source,
};
use treelay_recipes::{Arch, Digest, Lock};

use super::git::Looked;
use super::inputs::{Got, describe};
use super::{ExecError, Workshop};
use crate::parallel::{beside_each_other, in_parallel};
use crate::plan::Expanded;
use crate::snapshot::Snapshot;
use crate::sources::Sources;

/// A lock, and what of it is new.
pub struct Locked {
    /// The lock, which fits the recipe.
    pub lock: Lock,
    /// For each stanza that is not as it was: what changed, in words.
    pub changes: Vec<String>,
}

/// What `--update` calls the base image.
pub const BASE: &str = "image.base";
/// What it calls the base commit.
pub const TREE: &str = "ostree.base";

/// The lock of `recipe`: stanzas of `old` that still fit are kept, except those of the inputs that
/// `update` names; all others are found anew, from the first source that has them, and verified as
/// the recipe asks. `beside` is [`plan::for_machine`](crate::plan::for_machine).
///
/// # Errors
/// [`ExecError`].
pub async fn relock(
    workshop: &Workshop<'_>,
    recipe: &Recipe,
    expanded: &Expanded,
    beside: &Expanded,
    old: Option<&Lock>,
    update: &dyn Fn(&str) -> bool,
    sources: &Sources,
) -> Result<Locked, ExecError> {
    workshop.look_for_go(expanded, sources);
    let looked = &Looked::default();
    let (mut jobs, mut later) = (Vec::new(), Vec::new());
    for (arch, recipe_of_arch) in expanded {
        for (name, input) in &recipe_of_arch.inputs {
            let keep = old
                .filter(|old| !update(name) && old.fits_input(recipe, name).is_ok())
                .and_then(|old| old.input(name, *arch));
            if let Input::GoModules(modules @ GoModulesInput { input: Some(of), .. }) = input {
                later.push((recipe_of_arch, modules, of, name, *arch, keep));
                continue;
            }
            jobs.push((recipe_of_arch, name, *arch, input, keep));
        }
    }
    let lock = async |(recipe, name, arch, input, keep): (
        &Recipe,
        &String,
        Arch,
        &Input,
        Option<&LockedInput>,
    )| {
        match (keep, input) {
            (Some(keep), _) if !workshop.dir_changed(keep, input, sources) => Ok(keep.clone()),
            (_, Input::GoToolchain(go)) => workshop.lock_go(go, name, arch, sources).await,
            (_, Input::Archive(archive)) => workshop.lock_archive(archive, name, arch).await,
            (_, Input::GoModules(modules)) => {
                workshop.lock_modules(modules, None, recipe, name, arch, sources).await
            }
            (_, Input::Pypi(package)) => workshop.lock_pypi(package, name, arch).await,
            (_, Input::Git(git)) => workshop.lock_git(git, name, arch, looked).await,
        }
    };
    // The first that fails is told, in the order of the recipe, whoever was faster.
    let inputs: Result<Vec<_>, _> = beside_each_other(jobs, lock).await.into_iter().collect();
    let mut inputs = inputs?;
    // What is made of other inputs, once those are known.
    for (recipe, modules, of, name, arch, keep) in later {
        let of = inputs.iter().find(|input| input.name == of.value && input.arch == arch);
        let same = of.zip(old).is_some_and(|(of, old)| {
            old.input(&of.name, arch).is_some_and(|old| old.identity == of.identity)
        });
        let locked = match keep.filter(|_| same) {
            Some(keep) => keep.clone(),
            None => workshop.lock_modules(modules, of, recipe, name, arch, sources).await?,
        };
        inputs.push(locked);
    }
    workshop.prove(expanded, beside, &mut inputs, sources).await?;
    let mut changes: Vec<String> = inputs.iter().filter_map(|input| change(old, input)).collect();
    let mut bases = Vec::new();
    for (arch, recipe_of_arch) in expanded {
        let Some(text) = &recipe_of_arch.image.base else { continue };
        let old = old.filter(|old| old.fits_base(recipe, *arch).is_ok());
        let old = old.and_then(|old| old.base(*arch));
        let locked = workshop.lock_base(text, *arch, old.filter(|_| !update(BASE))).await?;
        if let Some(new) = locked.as_ref().filter(|new| Some(*new) != old) {
            changes.push(format!("base for {arch}: {} ({})", new.image, new.manifest.short()));
        }
        bases.extend(locked);
    }
    let mut trees = Vec::new();
    for (arch, recipe_of_arch) in expanded {
        let Some(base) = &recipe_of_arch.ostree.base else { continue };
        let old = old.filter(|old| old.fits_tree(recipe, *arch).is_ok());
        let old = old.and_then(|old| old.tree(*arch));
        let keep = old.filter(|_| !update(TREE));
        let locked = workshop.lock_tree(base, *arch, keep, old).await?;
        if old != Some(&locked) {
            let short = &locked.commit.hex()[..12];
            changes.push(format!("base commit for {arch}: {} ({short})", locked.from));
        }
        trees.push(locked);
    }
    Ok(Locked { lock: Lock::new(recipe, inputs, bases, trees)?, changes })
}

impl Workshop<'_> {
    /// The first input whose directory holds something else than what `lock` says.
    pub fn changed_dir(
        &self,
        lock: &Lock,
        expanded: &Expanded,
        sources: &Sources,
    ) -> Option<String> {
        expanded.iter().find_map(|(arch, recipe)| {
            recipe.inputs.iter().find_map(|(name, input)| {
                let locked = lock.input(name, *arch)?;
                self.dir_changed(locked, input, sources).then(|| describe(name, *arch))
            })
        })
    }

    /// Whether a distribution in a directory, or what a go.sum says, is another one than when it was
    /// locked.
    fn dir_changed(&self, locked: &LockedInput, input: &Input, sources: &Sources) -> bool {
        if let Input::GoModules(modules) = input {
            // What is wrong with go.sum is told when it is locked.
            // What an input has changes with the lock of that alone.
            let Some(dir) = &modules.dir else { return false };
            let needed = self.modules_of(dir, &locked.name, sources).ok().flatten();
            return needed.map(|needed| digest_of(&needed)) != locked.sums;
        }
        let Input::GoToolchain(GoToolchainInput { dir: Some(dir), .. }) = input else {
            return false;
        };
        locked.source == Source::Dir
            && sources.snapshot(&self.folder.join(&dir.value)).is_some()
            && self.go_identity(&dir.value, sources) != Some(locked.identity)
    }

    /// Makes the canonical trees of the distributions whose identity is not remembered, all at once.
    fn look_for_go(&self, expanded: &Expanded, sources: &Sources) {
        let mut places = BTreeSet::new();
        for input in expanded.values().flat_map(|recipe| recipe.inputs.values()) {
            if let Input::GoToolchain(GoToolchainInput { dir: Some(dir), .. }) = input
                && let Some(snapshot) = sources.snapshot(&self.folder.join(&dir.value))
                && self.store.product::<Digest>("go-identity", &identity_key(snapshot)).is_none()
            {
                places.insert(self.folder.join(&dir.value));
            }
        }
        let places: Vec<_> = places.into_iter().collect();
        in_parallel(self.jobs, &places, |place| {
            // What is wrong with it, or with the store, is told when it is asked for.
            if let Ok(Some(found)) = sources.go_tree(place) {
                let _ = self.store.put_tree(&found.tree);
            }
            if let Some(snapshot) = sources.snapshot(place) {
                snapshot.prepare();
            }
        });
    }

    /// The identity of the distribution in a directory, if there is one: remembered under what the
    /// directory holds.
    pub(super) fn go_identity(&self, dir: &str, sources: &Sources) -> Option<Digest> {
        let place = self.folder.join(dir);
        let snapshot = sources.snapshot(&place)?;
        if let Some(identity) = self.store.product("go-identity", &identity_key(snapshot)) {
            return Some(identity);
        }
        let identity = sources.go_tree(&place).ok().flatten()?.identity;
        self.remember_identity(snapshot, &identity);
        Some(identity)
    }

    fn remember_identity(&self, snapshot: &Snapshot, identity: &Digest) {
        if let Err(error) = self.store.put_product("go-identity", &identity_key(snapshot), identity)
        {
            tracing::debug!("remembering an identity: {error}");
        }
    }

    async fn lock_archive(
        &self,
        archive: &ArchiveInput,
        name: &str,
        arch: Arch,
    ) -> Result<LockedInput, ExecError> {
        let (tree, Got { file, from, evidence, .. }) =
            self.archive_from(archive, &describe(name, arch), arch, None).await?;
        Ok(LockedInput {
            name: name.to_owned(),
            arch,
            kind: InputKind::Archive,
            version: None,
            source: Source::Archive,
            from,
            file: Some(file),
            identity: self.keep_tree(&tree)?,
            released: None,
            sums: None,
            evidence,
            commit: None,
        })
    }

    async fn lock_modules(
        &self,
        input: &GoModulesInput,
        of: Option<&LockedInput>,
        recipe: &Recipe,
        name: &str,
        arch: Arch,
        sources: &Sources,
    ) -> Result<LockedInput, ExecError> {
        let what = describe(name, arch);
        let needed = self.needed(input, of, recipe, &what, sources).await?;
        let from = input.dir.as_ref().or(input.input.as_ref());
        let from = from.map(|from| from.value.clone()).unwrap_or_default();
        let evidence = self.verify_modules(input, &needed, &what).await?;
        let tree = self.module_cache(input, &needed, &what).await?;
        Ok(LockedInput {
            name: name.to_owned(),
            arch,
            kind: InputKind::GoModules,
            version: None,
            source: Source::Dir,
            from,
            file: None,
            identity: self.keep_tree(&tree)?,
            released: None,
            sums: Some(digest_of(&needed)),
            evidence,
            commit: None,
        })
    }

    async fn lock_pypi(
        &self,
        input: &PypiInput,
        name: &str,
        arch: Arch,
    ) -> Result<LockedInput, ExecError> {
        let (tree, Got { file, from, .. }) =
            self.pypi_from(input, &describe(name, arch), arch, None).await?;
        Ok(LockedInput {
            name: name.to_owned(),
            arch,
            kind: InputKind::Pypi,
            version: Some(input.version.value.clone()),
            source: Source::Pypi,
            from,
            file: Some(file),
            identity: self.keep_tree(&tree)?,
            released: None,
            sums: None,
            evidence: vec![],
            commit: None,
        })
    }
}

fn identity_key(snapshot: &Snapshot) -> Digest {
    Digest::of(format!("{} {}", go::CANONICAL, snapshot.digest()))
}

/// An error with its causes on one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

fn change(old: Option<&Lock>, new: &LockedInput) -> Option<String> {
    let what = describe(&new.name, new.arch);
    let version = new.version.as_deref().unwrap_or("-");
    let short = new.identity.short();
    let proof: String = new.evidence.iter().map(|evidence| format!("; {evidence}")).collect();
    match old.and_then(|old| old.input(&new.name, new.arch)) {
        Some(old) if old == new => None,
        Some(old) if LockedInput { evidence: new.evidence.clone(), ..old.clone() } == *new => {
            Some(format!("{what}: {version} ({short}){proof}"))
        }
        Some(old) => Some(format!(
            "{what}: {} ({}) from {} is now {version} ({short}) from {}{}{proof}",
            old.version.as_deref().unwrap_or("-"),
            old.identity.short(),
            old.from,
            new.from,
            other_file(old, new),
        )),
        None => Some(format!("{what}: {version} ({short}) from {}{proof}", new.from)),
    }
}

/// What was published under the same name as before, where it is another file: both digests whole, as
/// publishers write them.
fn other_file(old: &LockedInput, new: &LockedInput) -> String {
    match (old.file, new.file) {
        (Some(before), Some(now))
            if old.from == new.from && old.version == new.version && before != now =>
        {
            format!("; the file was {} and is {}", before.sha256, now.sha256)
        }
        _ => String::new(),
    }
}
