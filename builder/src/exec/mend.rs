//! What to do when a store turns out to be damaged: forget all of it that this build uses, so that
//! the same build makes it anew when it is done again.

use std::collections::BTreeSet;

use treelay_layers::Tree;

use super::layers::{BuiltLayer, Layers};
use super::{Blobs, Workshop};
use crate::sources::Sources;

impl Workshop<'_> {
    /// Reads everything of the store that an output is made of, and forgets what is damaged or
    /// missing; whether there was any.
    pub fn mend(&self, layers: &Layers<'_>, blobs: Option<&Blobs>, sources: &Sources) -> bool {
        let mut mended = false;
        for (blob, _) in blobs.into_iter().flat_map(|blobs| blobs.values()) {
            mended |= !self.store.check_blob(&blob.digest);
        }
        let mut seen = BTreeSet::new();
        for layer in layers.by_arch.values().flatten().filter(|layer| seen.insert(layer.tree)) {
            match layers.tree(&layer.tree) {
                Ok(tree) => mended |= self.mend_layer(layer, &tree, sources),
                // It is removed, which is all that is needed.
                Err(_) => mended = true,
            }
        }
        mended
    }

    /// Forgets the contents of a layer that are damaged, and what became of them; whether there
    /// were any.
    pub(super) fn mend_layer(&self, layer: &BuiltLayer, tree: &Tree, sources: &Sources) -> bool {
        let mended = self.mend_contents(tree, sources);
        if mended {
            self.store.forget_product("layer-tree", &layer.key);
        }
        mended
    }

    /// Forgets the contents of a tree that are damaged or missing; whether there were any. Contents
    /// of local files are not the store's.
    pub(super) fn mend_contents(&self, tree: &Tree, sources: &Sources) -> bool {
        let files = tree.entries().iter().filter_map(|entry| entry.file());
        let digests: BTreeSet<_> = files.map(|(digest, _)| digest).collect();
        let kept = digests.into_iter().filter(|digest| !sources.has(digest));
        // Counted, so that each is looked at.
        kept.filter(|digest| !self.store.check_object(digest)).count() > 0
    }
}
