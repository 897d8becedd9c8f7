//! Layers: from the plan to trees.
//!
//! Trees are made only where the store does not remember them, and read only by who needs them: an
//! unchanged build knows all of this by digest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use treelay_layers::Tree;
use treelay_layers::kinds::{Given, Kind, KindError};
use treelay_recipes::{Arch, Digest, Lock};

use super::actions::{Gathered, failed, kind_of};
use super::{ExecError, Workshop};
use crate::parallel::in_parallel;
use crate::plan::{Expanded, Plan, PlannedLayer, PlannedNeed};
use crate::sources::{Everything, Sources};
use crate::store::{Store, StoreSink};

/// What of a recipe's layer a layer of the image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// What all arches have of it.
    Shared,
    /// What only this arch has of it.
    Own,
}

/// A layer whose tree is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltLayer {
    /// Its name in the recipe.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// What of the recipe's layer it is.
    pub part: Part,
    /// The digest of its tree.
    pub tree: Digest,
    /// What the recipe's layer is remembered under.
    pub(super) key: Digest,
}

impl BuiltLayer {
    fn whole(planned: &PlannedLayer, tree: Digest) -> Self {
        let (name, kind, key) = (planned.name.clone(), planned.kind, planned.key);
        Self { name, kind, part: Part::Whole, tree, key }
    }
}

/// The layers of every arch, by digest; trees are read from the store when they are asked for.
pub struct Layers<'a> {
    /// Lowest first.
    pub by_arch: BTreeMap<Arch, Vec<BuiltLayer>>,
    /// The same before what arches share was split off.
    whole: BTreeMap<Arch, Vec<BuiltLayer>>,
    merged: BTreeMap<Arch, Digest>,
    store: &'a Store,
    trees: Mutex<BTreeMap<Digest, Arc<Tree>>>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        let (by_arch, whole, merged) = Default::default();
        Self { by_arch, whole, merged, store, trees: Mutex::default() }
    }

    /// A tree by its digest.
    ///
    /// # Errors
    /// [`ExecError::Damaged`] where the store had it and has it no more.
    pub fn tree(&self, digest: &Digest) -> Result<Arc<Tree>, ExecError> {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = trees.get(digest) {
            return Ok(tree.clone());
        }
        let tree = self.store.tree(digest).map(Arc::new);
        let tree = tree.ok_or_else(|| ExecError::Damaged { what: format!("tree {digest}") })?;
        trees.insert(*digest, tree.clone());
        Ok(tree)
    }

    /// The digest of the union of an arch's layers.
    pub fn merged(&self, arch: Arch) -> Option<&Digest> {
        self.merged.get(&arch)
    }

    /// The union of an arch's layers.
    ///
    /// # Errors
    /// As [`Layers::tree`].
    pub fn merged_tree(&self, arch: Arch) -> Result<Arc<Tree>, ExecError> {
        match self.merged.get(&arch) {
            Some(digest) => self.tree(digest),
            None => Ok(Arc::default()),
        }
    }

    /// The layers of an arch as the recipe has them, lowest first: the union of their trees is
    /// [`Layers::merged_tree`].
    pub fn whole(&self, arch: Arch) -> &[BuiltLayer] {
        self.whole.get(&arch).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same trees, with the layers of no arch yet.
    pub(super) fn without_layers(&self) -> Self {
        let (whole, merged) = (self.whole.clone(), self.merged.clone());
        let trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { trees: Mutex::new(trees), whole, merged, ..Self::new(self.store) }
    }

    pub(super) fn remember(&self, digest: Digest, tree: Tree) {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        trees.insert(digest, Arc::new(tree));
    }
}

/// What is to be done for a layer.
enum Todo {
    /// Nothing.
    Remembered(Digest),
    /// Its tree, from what it needs.
    Make(Gathered),
}

impl<'a> Workshop<'a> {
    /// Makes the tree of every layer of the plan, splits off what arches share, and finds out that
    /// they can be merged.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn make_layers(
        &self,
        plan: &Plan,
        expanded: &Expanded,
        lock: &Lock,
        sources: &Sources,
    ) -> Result<Layers<'a>, ExecError> {
        let mut layers = Layers::new(self.store);
        let mut materials = self.act(plan, expanded, lock, sources).await?;
        let mut todo = Vec::new();
        for planned in &plan.layers {
            todo.push(match self.remembered(planned) {
                Some(tree) => (planned, Todo::Remembered(tree)),
                None => {
                    let gathered = self.gather(planned, expanded, lock, sources, &mut materials);
                    (planned, Todo::Make(gathered.await?))
                }
            });
        }
        let trees = in_parallel(self.jobs, &todo, |(planned, todo)| match todo {
            Todo::Remembered(tree) => Ok(*tree),
            Todo::Make(gathered) => self.make_layer(planned, expanded, gathered, sources, &layers),
        });
        for ((planned, _), tree) in todo.into_iter().zip(trees) {
            let built = BuiltLayer::whole(planned, tree?);
            layers.by_arch.entry(planned.arch).or_default().push(built);
        }
        for arch in &plan.arches {
            let merged = self.merge(*arch, &layers)?;
            layers.merged.insert(*arch, merged);
        }
        layers.whole.clone_from(&layers.by_arch);
        self.share(plan, &mut layers)?;
        Ok(layers)
    }

    /// The layers of the plan, if the store remembers the tree of each.
    ///
    /// # Errors
    /// [`ExecError`], of splitting them.
    pub fn known_layers(&self, plan: &Plan) -> Result<Option<Layers<'a>>, ExecError> {
        let mut layers = Layers::new(self.store);
        for planned in &plan.layers {
            let Some(tree) = self.remembered(planned) else { return Ok(None) };
            layers.by_arch.entry(planned.arch).or_default().push(BuiltLayer::whole(planned, tree));
        }
        self.share(plan, &mut layers)?;
        Ok(Some(layers))
    }

    /// The tree of a layer that the store remembers.
    pub(super) fn remembered(&self, planned: &PlannedLayer) -> Option<Digest> {
        let tree = self.store.product("layer-tree", &planned.key)?;
        for need in &planned.needs {
            // In use as long as the layer is, so that a layer that changes finds it unpacked.
            let trees: Vec<&Digest> = match need {
                PlannedNeed::Input { identity, .. } => vec![identity],
                PlannedNeed::Toolchain { identities, .. } => identities.values().collect(),
                _ => Vec::new(),
            };
            for tree in trees {
                self.store.has_tree(tree);
            }
        }
        self.store.has_tree(&tree).then_some(tree)
    }

    fn make_layer(
        &self,
        planned: &PlannedLayer,
        expanded: &Expanded,
        gathered: &Gathered,
        sources: &Sources,
        layers: &Layers<'_>,
    ) -> Result<Digest, ExecError> {
        let Some(kind) = kind_of(planned, expanded) else {
            return Err(failed(planned, KindError::NotGiven { at: 0 }));
        };
        let items = gathered.items(planned, &kind, sources)?;
        let contents = Everything { sources, store: self.store };
        let given = Given { items: &items, contents: &contents };
        let mut sink = StoreSink::new(self.store);
        let tree = kind.tree(planned.arch, &given, &mut sink).map_err(|source| {
            // What it read may have been damaged.
            let mend = |mended, tree| self.mend_contents(tree, sources) || mended;
            match gathered.trees().fold(false, mend) {
                true => ExecError::Damaged { what: format!("an input of layer {}", planned.name) },
                false => failed(planned, source),
            }
        })?;
        let digest = self.keep_tree(&tree)?;
        self.store
            .put_product("layer-tree", &planned.key, &digest)
            .map_err(ExecError::store("remembering a layer"))?;
        layers.remember(digest, tree);
        Ok(digest)
    }

    /// The digest of the union of an arch's layers.
    fn merge(&self, arch: Arch, layers: &Layers<'_>) -> Result<Digest, ExecError> {
        let of_arch = layers.by_arch.get(&arch).map(Vec::as_slice).unwrap_or_default();
        if let [only] = of_arch {
            return Ok(only.tree);
        }
        let parts: Vec<_> = of_arch.iter().map(|layer| layer.tree.to_string()).collect();
        let key = Digest::of(format!("merge-1 {}", parts.join(" ")));
        if let Some(digest) = self.store.product("merged-tree", &key)
            && self.store.has_tree(&digest)
        {
            return Ok(digest);
        }
        let mut trees = Vec::new();
        for layer in of_arch {
            trees.push((layer.name.as_str(), layers.tree(&layer.tree)?));
        }
        let merged = Tree::merge(trees.iter().map(|(name, tree)| (*name, &**tree)))
            .map_err(|source| ExecError::Merge { arch, source })?;
        let digest =
            self.store.put_tree(&merged.tree).map_err(ExecError::store("keeping a tree"))?;
        self.store
            .put_product("merged-tree", &key, &digest)
            .map_err(ExecError::store("remembering a tree"))?;
        layers.remember(digest, merged.tree);
        Ok(digest)
    }
}
