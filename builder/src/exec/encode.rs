//! Layers: from trees to blobs.

use std::collections::BTreeMap;

use treelay_layers::encode::{Codec, EncodeError};
use treelay_recipes::Digest;

use super::layers::Layers;
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
            let blob = encoded.map_err(|source| {
                let reads =
                    matches!(&source, EncodeError::Read { .. } | EncodeError::Changed { .. });
                if reads && self.mend_layer(layer, &tree, sources) {
                    return ExecError::Damaged { what: format!("content of layer {}", layer.name) };
                }
                ExecError::Encode { layer: layer.name.clone(), source }
            })?;
            // At once: what fails after it does not make this layer be made again.
            self.store
                .remember_blob(&layer.tree, codec, &blob)
                .map_err(ExecError::store("remembering a layer"))?;
            blobs.insert(layer.tree, (blob, false));
        }
        Ok(blobs)
    }
}
