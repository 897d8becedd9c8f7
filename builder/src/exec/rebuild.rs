//! `verify: [rebuild]`: the programs of Go distributions, made again from their own source and
//! compared.
//!
//! Done when an input is locked; what comes of it is [`Evidence`] in the lock. What is built is
//! remembered like any other action, so it is built once for each distribution.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use treelay_layers::Tree;
use treelay_layers::go::Rebuild;
use treelay_recipes::lock::{Evidence, LockedInput};
use treelay_recipes::recipe::{GoToolchainInput, Input, Recipe, Text, Verify};
use treelay_recipes::{Arch, Digest};

use super::again::differences;
use super::inputs::describe;
use super::{ActionError, ExecError, Workshop};
use crate::plan::Expanded;
use crate::sources::{Everything, Sources};

/// A toolchain for this machine.
struct Builder {
    arch: Arch,
    tree: Tree,
    identity: Digest,
}

impl Workshop<'_> {
    /// Adds the evidence that the recipe asks for to each of `inputs` that has it not.
    pub(super) async fn prove(
        &self,
        expanded: &Expanded,
        beside: &Expanded,
        inputs: &mut [LockedInput],
        sources: &Sources,
    ) -> Result<(), ExecError> {
        let mut builders: BTreeMap<String, Arc<Builder>> = BTreeMap::new();
        let mut jobs = Vec::new();
        for at in 0..inputs.len() {
            let input = &inputs[at];
            let Some(recipe) = expanded.get(&input.arch).filter(|recipe| lacks(recipe, input))
            else {
                continue;
            };
            if !builders.contains_key(&input.name) {
                let builder = self.builder(input, inputs, expanded, beside, sources).await?;
                builders.insert(input.name.clone(), Arc::new(builder));
            }
            jobs.extend(builders.get(&input.name).map(|builder| (at, recipe, builder.clone())));
        }
        let proofs = jobs.iter().map(|(at, recipe, builder)| {
            let input = &inputs[*at];
            async move {
                let tree = self.input_tree(recipe, input, None, sources).await?;
                let files = self.rebuild(input, &tree, builder, sources).await?;
                let (by, toolchain) = (builder.arch, builder.identity);
                Ok::<_, ExecError>((*at, Evidence::Rebuild { files, by, toolchain }))
            }
        });
        let proofs = futures_util::stream::iter(proofs).buffer_unordered(self.jobs.max(1));
        let proofs: Vec<(usize, Evidence)> = proofs.try_collect().await?;
        for (at, evidence) in proofs {
            inputs[at].evidence.push(evidence);
        }
        Ok(())
    }

    /// The distribution that builds: the recipe's own for this machine; where the recipe is not for
    /// this machine, one from the same sources.
    async fn builder(
        &self,
        wanted: &LockedInput,
        inputs: &[LockedInput],
        expanded: &Expanded,
        beside: &Expanded,
        sources: &Sources,
    ) -> Result<Builder, ExecError> {
        let what = describe(&wanted.name, wanted.arch);
        let arch = self.machine.ok_or_else(|| ExecError::NoRebuilder { what: what.clone() })?;
        let own = inputs.iter().find(|input| input.name == wanted.name && input.arch == arch);
        if let (Some(own), Some(recipe)) = (own, expanded.get(&arch)) {
            let tree = self.input_tree(recipe, own, None, sources).await?;
            return Ok(Builder { arch, tree, identity: own.identity });
        }
        let elsewhere = async {
            let recipe = beside.get(&arch);
            let found = recipe.and_then(|recipe| Some((recipe, recipe.inputs.get(&wanted.name)?)));
            let Some((recipe, Input::GoToolchain(go))) = found else {
                return Err(ExecError::NoRebuilder { what: what.clone() });
            };
            // The release that is locked, where the recipe says `stable` or a series.
            let version = wanted.version.as_deref().unwrap_or(&go.version);
            let go = GoToolchainInput { version: Text::new(version), ..go.clone() };
            let locked = self.lock_go(&go, &wanted.name, arch, sources).await?;
            let tree = self.input_tree(recipe, &locked, None, sources).await?;
            Ok(Builder { arch, tree, identity: locked.identity })
        };
        elsewhere.await.map_err(|source| ExecError::RebuilderNotHad {
            what: what.clone(),
            machine: arch,
            source: Box::new(source),
        })
    }

    /// Makes the programs of a distribution again; how many, where all are the same.
    async fn rebuild(
        &self,
        input: &LockedInput,
        tree: &Tree,
        builder: &Builder,
        sources: &Sources,
    ) -> Result<u32, ExecError> {
        let what = describe(&input.name, input.arch);
        let wrong = |source| {
            let (what, from) = (what.clone(), input.from.clone());
            ExecError::Go { what, from, source }
        };
        let rebuild = Rebuild::of(tree, input.arch).map_err(wrong)?;
        let made = rebuild.action(&builder.tree, builder.arch);
        let action = made.map_err(|error| wrong(error.into()))?;
        let digest = action.digest();
        let contents = Everything { sources, store: self.store };
        let outputs = match self.outputs(&digest) {
            Some(outputs) => outputs,
            None => {
                let task = format!("rebuilding {what} from its source");
                self.observer.begin(&task);
                let outputs = self.executor.execute(&action, &contents).await;
                self.observer.end(&task);
                let outputs = outputs.map_err(|source| {
                    let is_input = matches!(source, ActionError::Input { .. });
                    let inputs = [tree, &builder.tree];
                    let mend = |mended, tree| self.mend_contents(tree, sources) || mended;
                    match is_input && inputs.into_iter().fold(false, mend) {
                        true => ExecError::Damaged { what: what.clone() },
                        false => ExecError::Rebuild { what: what.clone(), source },
                    }
                })?;
                self.remember_outputs(&digest, &outputs)?;
                Arc::new(outputs)
            }
        };
        let built = rebuild.built(&outputs).map_err(|error| wrong(error.into()))?;
        let differences = differences(rebuild.programs(), &built, &contents)
            .map_err(ExecError::store("comparing what was rebuilt"))?;
        if !differences.is_empty() {
            let (from, by) = (input.from.clone(), builder.arch);
            return Err(ExecError::NotRebuilt { what, from, by, differences });
        }
        // No distribution has as many programs.
        Ok(u32::try_from(rebuild.count()).unwrap_or(u32::MAX))
    }
}

/// Whether the recipe of an input's arch asks for evidence that the lock has not.
fn lacks(recipe: &Recipe, input: &LockedInput) -> bool {
    let asks = match recipe.inputs.get(&input.name) {
        Some(Input::GoToolchain(go)) => go.verify.contains(&Verify::Rebuild),
        _ => false,
    };
    asks && !input.evidence.iter().any(|one| one.method() == Verify::Rebuild)
}
