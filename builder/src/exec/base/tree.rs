//! Laying the layers of a recipe on a base: what is there decides what their directories are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Arc;

use treelay_layers::archive::{Lower, above, contents_of};
use treelay_layers::{Entry, Tree};
use treelay_recipes::Digest;
use treelay_recipes::recipe::{Layer, UsersLayer};

use super::super::{BuiltLayer, ExecError, Layers, Workshop};
use super::{BaseError, BaseImage, Bases, accounts};
use crate::plan::Expanded;
use crate::store::StoreSink;

/// The kind of product that remembers what is in a base.
const TREE: &str = "base-tree";

impl Workshop<'_> {
    /// The layers as they may lie above the bases: their directories are the bases'.
    ///
    /// # Errors
    /// [`BaseError::Misplaced`].
    pub fn on_bases<'l>(
        &self,
        layers: &Layers<'l>,
        bases: &Bases,
        expanded: &Expanded,
    ) -> Result<Layers<'l>, ExecError> {
        let mut placed = layers.without_layers();
        for (arch, of_arch) in &layers.by_arch {
            let Some(base) = bases.get(arch) else {
                placed.by_arch.insert(*arch, of_arch.clone());
                continue;
            };
            let lower = self.base_tree(base)?;
            let mut above_it = Vec::with_capacity(of_arch.len());
            for layer in of_arch {
                let recipe = expanded.get(arch).map(|recipe| recipe.layers.as_slice());
                let same = |said: &&Layer| said.name.value == layer.name;
                let users = recipe.unwrap_or_default().iter().find(same);
                let users = users.and_then(|said| said.users.as_ref());
                let tree = self.above(layer, layers, base, &lower, &placed, users)?;
                above_it.push(BuiltLayer { tree, ..layer.clone() });
            }
            placed.by_arch.insert(*arch, above_it);
        }
        Ok(placed)
    }

    fn above(
        &self,
        layer: &BuiltLayer,
        layers: &Layers<'_>,
        base: &BaseImage,
        lower: &Tree,
        placed: &Layers<'_>,
        users: Option<&UsersLayer>,
    ) -> Result<Digest, ExecError> {
        // What a layer says of users is more than its tree.
        let said = users.map_or(String::new(), |_| format!(" {}", layer.key));
        let key = Digest::of(format!("above-3 {} {}{said}", layer.tree, base.manifest));
        if let Some(digest) = self.store.product("tree-above", &key)
            && self.store.has_tree(&digest)
        {
            return Ok(digest);
        }
        let mut tree = layers.tree(&layer.tree)?;
        if let Some(users) = users.filter(|_| tree.get(accounts::PASSWD).is_some()) {
            tree = Arc::new(self.among_users(&tree, &layer.name, users, base, lower)?);
        }
        let tree = above(&tree, lower).map_err(|source| {
            let (image, layer) = (base.name.clone(), layer.name.clone());
            BaseError::Misplaced { image, layer, source }
        })?;
        let digest = self.keep_tree(&tree)?;
        self.store
            .put_product("tree-above", &key, &digest)
            .map_err(ExecError::store("remembering a layer"))?;
        placed.remember(digest, tree);
        Ok(digest)
    }

    /// What is in a base: every path of its layers, without contents.
    ///
    /// # Errors
    /// [`BaseError::Layer`]; [`ExecError::Damaged`] where the store had a layer and has it no more.
    pub fn base_tree(&self, base: &BaseImage) -> Result<Arc<Tree>, ExecError> {
        let key = Digest::of(format!("lower-3 {}", base.manifest));
        if let Some(digest) = self.store.product(TREE, &key)
            && let Some(tree) = self.store.tree(&digest)
        {
            return Ok(Arc::new(tree));
        }
        let task = format!("reading {}", base.name);
        self.observer.begin(&task);
        let read = self.read_base(base);
        self.observer.end(&task);
        let tree = read?;
        let digest = self.keep_tree(&tree)?;
        self.store
            .put_product(TREE, &key, &digest)
            .map_err(ExecError::store("remembering a base"))?;
        Ok(Arc::new(tree))
    }

    /// Brings contents of files of a base, whose tree is `lower`, into the store.
    ///
    /// # Errors
    /// As [`Workshop::base_tree`].
    pub fn base_contents(
        &self,
        base: &BaseImage,
        lower: &Tree,
        wanted: &BTreeSet<Digest>,
    ) -> Result<(), ExecError> {
        // By digest alone: the name it has in its layer may be gone in one above it.
        let wanted: BTreeMap<Digest, u64> = lower
            .entries()
            .iter()
            .filter_map(Entry::file)
            .map(|(digest, size)| (*digest, size))
            .filter(|(digest, _)| wanted.contains(digest) && !self.store.check_object(digest))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        self.each_layer(base, |layer| contents_of(layer, &wanted, &mut StoreSink::new(self.store)))
    }

    fn read_base(&self, base: &BaseImage) -> Result<Tree, ExecError> {
        let mut lower = Lower::new();
        self.each_layer(base, |layer| lower.add(layer))?;
        Ok(lower.into_tree())
    }

    /// Reads every layer of a base, the lowest first.
    pub(super) fn each_layer(
        &self,
        base: &BaseImage,
        mut read: impl FnMut(BufReader<File>) -> io::Result<()>,
    ) -> Result<(), ExecError> {
        for layer in &base.layers {
            let damaged = || ExecError::Damaged { what: format!("layer {}", layer.digest) };
            if !self.store.check_object(&layer.digest) {
                return Err(damaged());
            }
            let path = self.store.object(&layer.digest).ok_or_else(damaged)?;
            let read =
                File::open(path).and_then(|file| read(BufReader::with_capacity(256 << 10, file)));
            read.map_err(|source| BaseError::Layer {
                image: base.name.clone(),
                layer: layer.digest,
                source,
            })?;
        }
        Ok(())
    }
}
