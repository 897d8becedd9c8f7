//! Layers: from trees to blobs.

use std::collections::BTreeMap;
use std::io;

use treelay_layers::Contents as _;
use treelay_layers::encode::{Codec, EncodeError};
use treelay_recipes::Digest;

use super::layers::{BuiltLayer, Layers};
use super::{ExecError, Workshop};
use crate::sources::{Everything, Sources};
use crate::store::LayerBlob;

/// The blob of each tree, and whether the store had it.
pub type Blobs = BTreeMap<Digest, (LayerBlob, bool)>;

impl Workshop<'_> {
    /// Encodes every layer that the store has no blob of.
    ///
    /// # Errors
    /// [`ExecError::Encode`]; [`ExecError::Damaged`] where the store had a content that turned out
    /// to be damaged: it is forgotten, and the same build succeeds when it is done again.
    pub fn encode_layers(
        &self,
        layers: &Layers<'_>,
        codec: Codec,
        sources: &Sources,
    ) -> Result<Blobs, ExecError> {
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
            let tree = layers.tree(&layer.tree)?;
            let task = format!("encoding {}", layer.name);
            self.observer.begin(&task);
            let encoded = self.store.encode(&tree, &contents, codec, self.jobs);
            self.observer.end(&task);
            let blob = encoded.map_err(|source| self.damaged(layer, &tree, source, sources))?;
            new.push((layer.tree, codec, blob));
            blobs.insert(layer.tree, (blob, false));
        }
        if !new.is_empty() {
            self.store.remember_blobs(&new).map_err(ExecError::store("remembering layers"))?;
        }
        Ok(blobs)
    }

    /// Tells a store that is damaged from anything else, and forgets what is damaged.
    fn damaged(
        &self,
        layer: &BuiltLayer,
        tree: &treelay_layers::Tree,
        error: EncodeError,
        sources: &Sources,
    ) -> ExecError {
        let path = match &error {
            EncodeError::Read { path, .. } | EncodeError::Changed { path, .. } => path.clone(),
            _ => return ExecError::Encode { layer: layer.name.clone(), source: error },
        };
        let content = tree.get(path.as_str()).and_then(|entry| entry.file());
        let local = content.is_some_and(|(digest, size)| {
            !matches!(sources.open(digest, size), Err(e) if e.kind() == io::ErrorKind::NotFound)
        });
        match content {
            Some((digest, _)) if !local => {
                self.store.forget_object(digest);
                self.store.forget_product("layer-tree", &layer.key);
                ExecError::Damaged { what: format!("the content of /{path}") }
            }
            _ => ExecError::Encode { layer: layer.name.clone(), source: error },
        }
    }
}
