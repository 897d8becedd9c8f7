//! Splitting layers into what arches share and the rest, remembered in the store.

use serde::{Deserialize, Serialize};
use treelay_layers::{Tree, share};
use treelay_recipes::recipe::Share;
use treelay_recipes::{Arch, Digest};

use super::layers::{BuiltLayer, Layers, Part};
use super::{ExecError, Workshop};
use crate::parallel::in_parallel;
use crate::plan::Plan;

/// Images of more layers than this are not split further: containerd and Docker take 127.
const MOST_LAYERS: usize = 60;

/// What a split became, by digest.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// The shared tree and each arch's own; `None` where it did not pay.
    split: Option<(Digest, Vec<Digest>)>,
}

impl Workshop<'_> {
    /// Replaces each layer that several arches have by its shared and its own part, where it pays.
    pub(super) fn share(&self, plan: &Plan, layers: &mut Layers<'_>) -> Result<(), ExecError> {
        let mut names: Vec<&str> = Vec::new();
        for layer in plan.layers.iter().filter(|layer| layer.share == Share::Auto) {
            if !names.contains(&layer.name.as_str()) {
                names.push(&layer.name);
            }
        }
        for name in names {
            let places: Vec<(Arch, usize)> = layers
                .by_arch
                .iter()
                .filter_map(|(arch, of_arch)| {
                    Some((*arch, of_arch.iter().position(|layer| layer.name == name)?))
                })
                .collect();
            if layers.by_arch.values().any(|of_arch| of_arch.len() >= MOST_LAYERS) {
                return Ok(());
            }
            let whole: Vec<BuiltLayer> =
                places.iter().map(|(arch, at)| layers.by_arch[arch][*at].clone()).collect();
            let Some((shared, rest)) = self.split(&whole, layers)? else { continue };
            for (((arch, at), whole), own) in places.into_iter().zip(whole).zip(rest) {
                let part = |part, tree| BuiltLayer { part, tree, ..whole.clone() };
                if let Some(of_arch) = layers.by_arch.get_mut(&arch) {
                    let parts = [part(Part::Shared, shared), part(Part::Own, own)];
                    of_arch.splice(at..=at, parts);
                }
            }
        }
        Ok(())
    }

    /// The digests of a layer's parts.
    fn split(
        &self,
        whole: &[BuiltLayer],
        layers: &Layers<'_>,
    ) -> Result<Option<(Digest, Vec<Digest>)>, ExecError> {
        if whole.len() < 2 || whole.iter().all(|layer| layer.tree == whole[0].tree) {
            return Ok(None);
        }
        let parts: Vec<_> = whole.iter().map(|layer| layer.tree.to_string()).collect();
        let key = Digest::of(format!("{} {}", share::RULE, parts.join(" ")));
        if let Some(Remembered { split }) = self.store.product("split", &key) {
            let there = |(shared, rest): &(Digest, Vec<Digest>)| {
                self.store.has_tree(shared) && rest.iter().all(|tree| self.store.has_tree(tree))
            };
            if split.as_ref().is_none_or(there) {
                return Ok(split);
            }
        }
        let mut trees = Vec::new();
        for layer in whole {
            trees.push(layers.tree(&layer.tree)?);
        }
        let made = share::split(&trees.iter().map(|tree| &**tree).collect::<Vec<_>>());
        let keep =
            |tree: &Tree| self.store.put_tree(tree).map_err(ExecError::store("keeping a tree"));
        let split = match made {
            None => None,
            Some(made) => {
                let all: Vec<&Tree> = made.rest.iter().chain([&made.shared]).collect();
                let kept = in_parallel(self.jobs, &all, |tree| keep(tree)).into_iter();
                let mut rest = kept.collect::<Result<Vec<_>, _>>()?;
                rest.pop().map(|shared| (shared, rest))
            }
        };
        let remembered = Remembered { split };
        self.store
            .put_product("split", &key, &remembered)
            .map_err(ExecError::store("remembering what arches share"))?;
        Ok(remembered.split)
    }
}
