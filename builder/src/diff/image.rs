//! What is in an image: its layers, one above the other, as one tree.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use serde::Deserialize;
use tokio_util::io::SyncIoBridge;
use treelay_layers::Tree;
use treelay_layers::archive::{Delta, Lower};
use treelay_recipes::Digest;

use super::sides::LINUX;
use crate::image_store::{
    Descriptor, ImageStore, MANIFEST_LIMIT, Parts, Platform, Result, StoreError,
};
use crate::ostree_repo::image_labels;

/// An image of one platform.
#[derive(Debug, Clone)]
pub struct ImageContents {
    /// GOARCH, as its config says.
    pub architecture: String,
    /// All of its layers.
    pub tree: Tree,
    /// The number of the layer that each entry of `tree` is of; none where no layer names a
    /// directory.
    pub layer_of: Vec<Option<usize>>,
    /// What each layer is called: as the recipe that it was made from calls it, else the beginning of
    /// its digest.
    pub layers: Vec<String>,
    /// Whether a commit is encapsulated in it, or in the image that it was made from.
    pub encapsulated: bool,
}

/// Layers that were read, by digest: images of several arches share some.
pub type KnownLayers = HashMap<Digest, Arc<Delta>>;

#[derive(Deserialize)]
struct Config {
    architecture: String,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    history: Vec<Step>,
    #[serde(default)]
    config: Option<Execution>,
}

#[derive(Default, Deserialize)]
struct Execution {
    #[serde(default, rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Step {
    created_by: Option<String>,
    #[serde(default)]
    empty_layer: bool,
}

/// The platform that an image's config says.
pub(super) async fn platform(store: &dyn ImageStore, image: &Digest) -> Result<Platform> {
    let Config { architecture, os, variant, .. } = config(store, image).await?.0;
    let os = os.unwrap_or_else(|| LINUX.to_owned());
    Ok(Platform { architecture, os, variant })
}

async fn config(store: &dyn ImageStore, image: &Digest) -> Result<(Config, Vec<Descriptor>)> {
    let bad = |reason: String| bad(store, image, reason);
    let Parts::Image { config, layers } = store.manifest(image).await?.parts(&store.place())?
    else {
        return Err(bad("it is an index inside an index".to_owned()));
    };
    let bytes = store.blob(&config.digest, config.size).await?.read_all(MANIFEST_LIMIT).await?;
    let config = serde_json::from_slice(&bytes)
        .map_err(|error| bad(format!("its config cannot be read: {error}")))?;
    Ok((config, layers))
}

fn bad(store: &dyn ImageStore, image: &Digest, reason: String) -> StoreError {
    StoreError::BadManifest { place: store.place(), digest: *image, reason }
}

/// Reads an image whole; every byte is verified.
///
/// # Errors
/// [`StoreError::BadManifest`] for an index or a layer that is no tar; otherwise what kept it from
/// being read.
pub async fn contents(
    store: &dyn ImageStore,
    image: &Digest,
    known: &mut KnownLayers,
) -> Result<ImageContents> {
    let (config, layers) = config(store, image).await?;
    let mut lower = Lower::new();
    for layer in &layers {
        let delta = match known.get(&layer.digest) {
            Some(delta) => delta.clone(),
            None => {
                let read = read(store, layer).await?;
                let delta = read.map_err(|error| {
                    let reason =
                        format!("its layer {} cannot be read: {error}", layer.digest.short());
                    bad(store, image, reason)
                })?;
                known.entry(layer.digest).or_insert(Arc::new(delta)).clone()
            }
        };
        lower.put(&delta);
    }
    let (tree, layer_of) = lower.into_tree_by_layer();
    let mut steps = config.history.into_iter().filter(|step| !step.empty_layer);
    let names = layers.iter().map(|layer| {
        let said = steps.next().and_then(|step| step.created_by).unwrap_or_default();
        let own = said.strip_prefix("treelay layer ").and_then(|rest| rest.split(" (").next());
        own.map_or_else(|| layer.digest.short(), str::to_owned)
    });
    let labels = config.config.unwrap_or_default().labels.unwrap_or_default();
    Ok(ImageContents {
        architecture: config.architecture,
        tree,
        layer_of,
        layers: names.collect(),
        encapsulated: labels.contains_key(image_labels::LAST_LAYER),
    })
}

/// Reads a layer. The inner error is the layer's own; what is wrong with its blob is the outer one.
async fn read(store: &dyn ImageStore, layer: &Descriptor) -> Result<io::Result<Delta>> {
    let blob = store.blob(&layer.digest, layer.size).await?.into_async_read();
    let read = tokio::task::spawn_blocking(move || {
        let mut blob = BufReader::with_capacity(256 << 10, SyncIoBridge::new(blob));
        let delta = Delta::read(&mut blob);
        // The blob is found to be right at its end, which a tar reader need not reach.
        let rest = io::copy(&mut blob.by_ref(), &mut io::sink());
        (delta, rest)
    });
    match read.await {
        Ok((delta, rest)) => {
            rest.map_err(StoreError::io(format!("reading the layer {}", layer.digest.short())))?;
            Ok(delta)
        }
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => {
                Err(StoreError::io("reading a layer".to_owned())(io::Error::other(error)))
            }
        },
    }
}
