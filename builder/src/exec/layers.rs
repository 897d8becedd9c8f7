//! Layers: from the plan to trees, and from trees to blobs.

use std::collections::BTreeMap;

use treelay_layers::Tree;
use treelay_layers::encode::Codec;
use treelay_layers::kinds::{self, Given, Item};
use treelay_recipes::recipe::Recipe;
use treelay_recipes::{Arch, Digest, Lock};

use super::{ExecError, Workshop};
use crate::plan::{Expanded, Plan, PlannedLayer, PlannedNeed};
use crate::sources::{Everything, Sources};
use crate::store::{LayerBlob, StoreSink};

/// A layer whose tree is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltLayer {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// The digest of its tree.
    pub tree: Digest,
    /// Whether the store had the tree.
    pub remembered: bool,
}

/// The layers of every arch, lowest first, and their trees.
pub struct Layers {
    /// Lowest first.
    pub by_arch: BTreeMap<Arch, Vec<BuiltLayer>>,
    trees: BTreeMap<Digest, Tree>,
}

impl Layers {
    /// A tree by its digest.
    pub fn tree(&self, digest: &Digest) -> Option<&Tree> {
        self.trees.get(digest)
    }

    /// The union of an arch's layers.
    ///
    /// # Errors
    /// [`ExecError::Merge`] where two of them want different things.
    pub fn merged(&self, arch: Arch) -> Result<Tree, ExecError> {
        let layers = self.by_arch.get(&arch).into_iter().flatten();
        let named =
            layers.filter_map(|layer| Some((layer.name.as_str(), self.trees.get(&layer.tree)?)));
        let merged = Tree::merge(named).map_err(|source| ExecError::Merge { arch, source })?;
        Ok(merged.tree)
    }
}

impl Workshop<'_> {
    /// Makes the tree of every layer of the plan.
    ///
    /// # Errors
    /// [`ExecError`]; also where layers cannot be merged, before anything is encoded.
    pub async fn make_layers(
        &self,
        plan: &Plan,
        expanded: &Expanded,
        lock: &Lock,
        sources: &Sources,
    ) -> Result<Layers, ExecError> {
        let mut layers = Layers { by_arch: BTreeMap::new(), trees: BTreeMap::new() };
        for planned in &plan.layers {
            let Some(recipe) = expanded.get(&planned.arch) else { continue };
            let built = match self.remembered(planned, &mut layers) {
                Some(built) => built,
                None => self.make_layer(planned, recipe, lock, sources, &mut layers).await?,
            };
            layers.by_arch.entry(planned.arch).or_default().push(built);
        }
        for arch in &plan.arches {
            layers.merged(*arch)?;
        }
        Ok(layers)
    }

    /// A layer whose tree the store remembers, and whose contents are where they were.
    fn remembered(&self, planned: &PlannedLayer, layers: &mut Layers) -> Option<BuiltLayer> {
        let tree: Digest = self.store.product("layer-tree", &planned.key)?;
        if let std::collections::btree_map::Entry::Vacant(vacant) = layers.trees.entry(tree) {
            vacant.insert(self.store.tree(&tree)?);
        }
        Some(built(planned, tree, true))
    }

    async fn make_layer(
        &self,
        planned: &PlannedLayer,
        recipe: &Recipe,
        lock: &Lock,
        sources: &Sources,
        layers: &mut Layers,
    ) -> Result<BuiltLayer, ExecError> {
        let failed =
            |source| ExecError::Layer { layer: planned.name.clone(), arch: planned.arch, source };
        let mut inputs = Vec::new();
        for need in &planned.needs {
            if let PlannedNeed::Input { name, .. } = need
                && let Some(locked) = lock.input(name, planned.arch)
            {
                inputs.push(self.input_tree(recipe, locked, sources).await?);
            }
        }
        let mut inputs = inputs.iter();
        let layer = recipe.layers.get(planned.index);
        let Some(kind) = layer.and_then(|layer| layer.kind()).map(kinds::of) else {
            return Err(failed(kinds::KindError::NotGiven { at: 0 }));
        };
        let needs = kind.needs(planned.arch).map_err(failed)?;
        let mut items = Vec::new();
        for (need, planned) in needs.iter().zip(&planned.needs) {
            items.extend(match (need, planned) {
                (_, PlannedNeed::Input { .. }) => inputs.next().map(Item::Tree),
                (_, PlannedNeed::LocalFile { digest, size, executable, .. }) => {
                    Some(Item::File { digest: *digest, size: *size, executable: *executable })
                }
                (kinds::Need::LocalDir { path, exclude }, PlannedNeed::LocalDir { .. }) => {
                    sources.dir(path, exclude).map(|dir| Item::Tree(&dir.tree))
                }
                _ => None,
            });
        }
        let contents = Everything { sources, store: self.store };
        let given = Given { items: &items, contents: &contents };
        let mut sink = StoreSink::new(self.store);
        let tree = kind.tree(planned.arch, &given, &mut sink).map_err(failed)?;
        let digest = self.keep_tree(&tree)?;
        self.store
            .put_product("layer-tree", &planned.key, &digest)
            .map_err(ExecError::store("remembering a layer"))?;
        layers.trees.insert(digest, tree);
        Ok(built(planned, digest, false))
    }

    /// Encodes every layer that the store has no blob of. The result is by tree, with whether it
    /// was there already.
    ///
    /// # Errors
    /// [`ExecError::Encode`].
    pub fn encode_layers(
        &self,
        layers: &Layers,
        codec: Codec,
        sources: &Sources,
    ) -> Result<BTreeMap<Digest, (LayerBlob, bool)>, ExecError> {
        let contents = Everything { sources, store: self.store };
        let mut blobs = BTreeMap::new();
        let mut new = Vec::new();
        for layer in layers.by_arch.values().flatten() {
            if blobs.contains_key(&layer.tree) {
                continue;
            }
            if let Some(blob) = self.store.layer_blob(&layer.tree, codec) {
                blobs.insert(layer.tree, (blob, true));
                continue;
            }
            let Some(tree) = layers.tree(&layer.tree) else { continue };
            let task = format!("encoding {}", layer.name);
            self.observer.begin(&task);
            let encoded = self.store.encode(tree, &contents, codec, self.jobs);
            self.observer.end(&task);
            let blob = encoded
                .map_err(|source| ExecError::Encode { layer: layer.name.clone(), source })?;
            new.push((layer.tree, codec, blob));
            blobs.insert(layer.tree, (blob, false));
        }
        if !new.is_empty() {
            self.store.sync().map_err(ExecError::store("syncing layers"))?;
            self.store.remember_blobs(&new).map_err(ExecError::store("remembering layers"))?;
        }
        Ok(blobs)
    }
}

fn built(planned: &PlannedLayer, tree: Digest, remembered: bool) -> BuiltLayer {
    BuiltLayer { name: planned.name.clone(), kind: planned.kind, tree, remembered }
}
