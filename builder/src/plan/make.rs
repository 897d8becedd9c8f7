//! Making the plan.

use std::collections::BTreeMap;

use serde_json::json;
use treelay_layers::kinds::{self, Kind, KindError, Need};
use treelay_recipes::recipe::{Input, Recipe, RecipeError, Verify};
use treelay_recipes::{Arch, Digest, Known, Lock, Scope};

use super::PlannedNeed;
use super::{ImageSettings, Plan, PlannedCommit, PlannedImage, PlannedInput, PlannedLayer};
use crate::sources::Sources;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The recipe makes no sense on one of its arches.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A layer's options make no sense.
    #[error("planning layer {layer:?} for {arch}")]
    Layer {
        /// The layer.
        layer: String,
        /// The arch.
        arch: Arch,
        /// What is wrong.
        source: KindError,
    },
    /// Nothing says what time it is.
    #[error(
        "nothing says what time image and commits should carry: no input has a release date; \
         set `epoch` in the recipe, or SOURCE_DATE_EPOCH"
    )]
    NoEpoch,
    /// A need has no digest: the lock or the sources were made for another recipe.
    #[error("layer {layer:?} needs {what}, which was neither locked nor looked at")]
    NotThere {
        /// The layer.
        layer: String,
        /// What it needs.
        what: String,
    },
}

/// The recipe as it is on each of its arches.
pub type Expanded = BTreeMap<Arch, Recipe>;

/// Expands `recipe` for each of its arches.
///
/// # Errors
/// [`RecipeError`] for names without a meaning and texts that break a rule once expanded.
pub fn expand(recipe: &Recipe, known: &Known) -> Result<Expanded, RecipeError> {
    let each = recipe.arch.iter();
    each.map(|arch| Ok((*arch, recipe.expand(&Scope::new(*arch, known))?))).collect()
}

/// What has to be had for `machine` although the recipe is not for it: the toolchains that build
/// others again (`verify: [rebuild]`). The recipe with these inputs alone, expanded for the machine;
/// nothing where none is needed.
///
/// # Errors
/// As [`expand`].
pub fn for_machine(
    recipe: &Recipe,
    known: &Known,
    machine: Option<Arch>,
) -> Result<Expanded, RecipeError> {
    let builds = |input: &Input| match input {
        Input::GoToolchain(go) => go.verify.contains(&Verify::Rebuild),
        _ => false,
    };
    let Some(machine) = machine.filter(|machine| !recipe.arch.contains(machine)) else {
        return Ok(Expanded::new());
    };
    if !recipe.inputs.values().any(builds) {
        return Ok(Expanded::new());
    }
    let mut expanded = recipe.expand(&Scope::new(machine, known))?;
    expanded.inputs.retain(|_, input| builds(input));
    expanded.layers.clear();
    Ok(Expanded::from([(machine, expanded)]))
}

/// The plan of a recipe whose inputs are locked and whose local sources were looked at.
/// `source_date_epoch` is the environment's SOURCE_DATE_EPOCH.
///
/// # Errors
/// [`PlanError`].
pub fn make(
    recipe: &Recipe,
    expanded: &Expanded,
    lock: &Lock,
    sources: &Sources,
    source_date_epoch: Option<u64>,
) -> Result<Plan, PlanError> {
    let epoch = recipe
        .epoch
        .map(u64::from)
        .or(source_date_epoch)
        .or_else(|| lock.newest_release())
        .ok_or(PlanError::NoEpoch)?;
    let mut layers = Vec::new();
    let (mut images, mut commits) = (Vec::new(), Vec::new());
    for arch in &recipe.arch {
        let Some(recipe) = expanded.get(arch) else { continue };
        for (index, layer) in recipe.layers.iter().enumerate() {
            // A recipe that was parsed has exactly one kind for every layer.
            let Some(kind) = kinds::of_layer(layer) else { continue };
            let mut planned = plan_layer(&layer.name, &kind, *arch, lock, sources)?;
            (planned.index, planned.at) = (index, layer.name.at);
            planned.share = layer.share;
            layers.push(planned);
        }
        images.push(PlannedImage::of(recipe, *arch, lock));
        commits.push(PlannedCommit::of(recipe, *arch, lock));
    }
    let inputs = lock.inputs().iter().filter(|input| recipe.arch.contains(&input.arch));
    // The recipe checks that what all arches share is the same on all of them.
    let any = expanded.values().next().unwrap_or(recipe);
    Ok(Plan {
        treelay: env!("CARGO_PKG_VERSION"),
        name: recipe.name.value.clone(),
        version: any.version.value.clone(),
        epoch,
        arches: recipe.arch.clone(),
        inputs: inputs
            .map(|input| PlannedInput {
                name: input.name.clone(),
                arch: input.arch,
                from: input.from.clone(),
                sha256: input.file.map(|file| file.sha256),
                size: input.file.map(|file| file.size),
                identity: input.identity,
            })
            .collect(),
        layers,
        images,
        commits,
        image: ImageSettings::of(any, epoch),
    })
}

fn plan_layer(
    name: &str,
    kind: &dyn Kind,
    arch: Arch,
    lock: &Lock,
    sources: &Sources,
) -> Result<PlannedLayer, PlanError> {
    let failed = |source| PlanError::Layer { layer: name.to_owned(), arch, source };
    let options = kind.options(arch).map_err(failed)?;
    let mut needs = Vec::new();
    for need in kind.needs(arch).map_err(failed)? {
        let planned = plan_need(&need, arch, lock, sources);
        needs.push(planned.ok_or_else(|| PlanError::NotThere {
            layer: name.to_owned(),
            what: format!("{need:?}"),
        })?);
    }
    let needed: Vec<_> = needs.iter().map(PlannedNeed::identity).collect();
    let key = Digest::of(json!({ "options": options, "needs": needed }).to_string());
    let (at, share) = Default::default();
    let name = name.to_owned();
    Ok(PlannedLayer { name, arch, kind: kind.name(), options, share, needs, key, index: 0, at })
}

fn plan_need(need: &Need, arch: Arch, lock: &Lock, sources: &Sources) -> Option<PlannedNeed> {
    match need {
        Need::Input(name) => {
            let identity = lock.input(name, arch)?.identity;
            Some(PlannedNeed::Input { name: name.value.clone(), identity })
        }
        Need::Toolchain(name) => {
            let of_it = lock.inputs().iter().filter(|input| input.name == name.value);
            let identities: BTreeMap<_, _> =
                of_it.map(|input| (input.arch, input.identity)).collect();
            (!identities.is_empty())
                .then(|| PlannedNeed::Toolchain { name: name.value.clone(), identities })
        }
        Need::LocalFile(path) => {
            let file = sources.file(path)?;
            Some(PlannedNeed::LocalFile {
                path: path.value.clone(),
                digest: file.digest,
                size: file.size,
                executable: file.executable,
            })
        }
        Need::LocalDir { path, exclude } => {
            let tree = sources.dir(path, exclude)?.digest;
            Some(PlannedNeed::LocalDir { path: path.value.clone(), tree })
        }
        _ => None,
    }
}

impl PlannedNeed {
    /// What it is, without what it is called.
    fn identity(&self) -> serde_json::Value {
        match self {
            Self::Input { identity, .. } => json!({ "input": identity }),
            Self::Toolchain { identities, .. } => json!({ "toolchain": identities }),
            Self::LocalFile { digest, size, executable, .. } => {
                json!({ "file": digest, "size": size, "executable": executable })
            }
            Self::LocalDir { tree, .. } => json!({ "dir": tree }),
        }
    }
}
