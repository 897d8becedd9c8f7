//! What the config says, compared with manifest and index.

use serde::Deserialize;
use treelay_recipes::Digest;

use super::layer::Compression;
use super::{Fault, Jobs};
use crate::image_store::{Descriptor, ImageStore, MANIFEST_LIMIT, Platform};
use crate::sign::walk::{Node, platform_name};

/// Media types of configs of images.
const IMAGE_CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// The members that are compared (image-spec, config.md). Whoever writes two of one name is refused
/// by the reader.
#[derive(Deserialize)]
struct Config {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    rootfs: Option<RootFs>,
    history: Option<Vec<Step>>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    empty_layer: bool,
}

/// Checks the config of a manifest, and adds its layers. Of what is no image (an attestation in an
/// index, an artifact) only digests and sizes are checked.
pub(super) async fn add(
    store: &dyn ImageStore,
    node: &Node,
    config: &Descriptor,
    layers: &[Descriptor],
    jobs: &mut Jobs,
) {
    let name = &node.name;
    // buildx marks the attestations that it puts into an index so.
    let is_platform = node.platform().is_some_and(|p| p.architecture != "unknown");
    let of_image = IMAGE_CONFIGS.contains(&config.media_type.as_str());
    if is_platform && !of_image {
        let (expected, found) = (IMAGE_CONFIGS.join(" or "), config.media_type.clone());
        jobs.problem(config_of(name), config.digest, Fault::MediaType { expected, found });
    }
    let is_image = of_image && (is_platform || node.platform().is_none());
    if !is_image {
        jobs.blob(config, None, config_of(name), None);
        for (n, layer) in layers.iter().enumerate() {
            jobs.blob(layer, None, layer_of(n, name), None);
        }
        return;
    }
    let diff_ids = match read(store, config).await {
        Ok(config_says) => compare(node, config, layers.len(), &config_says, jobs),
        Err(fault) => {
            jobs.problem(config_of(name), config.digest, fault);
            Vec::new()
        }
    };
    for (n, layer) in layers.iter().enumerate() {
        let compression = Compression::of(&layer.media_type);
        if compression.is_none() {
            let fault = Fault::MediaType {
                expected: "a layer's".to_owned(),
                found: layer.media_type.clone(),
            };
            jobs.problem(layer_of(n, name), layer.digest, fault);
        }
        let diff_id = diff_ids.get(n).copied().flatten();
        jobs.blob(layer, compression, layer_of(n, name), diff_id);
    }
}

async fn read(store: &dyn ImageStore, config: &Descriptor) -> Result<Config, Fault> {
    let fault = |error| Fault::of(&error, &config.digest);
    let blob = store.blob(&config.digest, config.size).await.map_err(fault)?;
    let bytes = blob.read_all(MANIFEST_LIMIT).await.map_err(fault)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Fault::Malformed { reason: format!("reading its JSON: {error}") })
}

/// Compares; the diffIDs, one for each layer as far as they are there and make sense.
fn compare(
    node: &Node,
    descriptor: &Descriptor,
    layers: usize,
    config: &Config,
    jobs: &mut Jobs,
) -> Vec<Option<Digest>> {
    let mut problem = |fault| jobs.problem(config_of(&node.name), descriptor.digest, fault);
    match (&config.os, &config.architecture) {
        (Some(os), Some(architecture)) => {
            let found = Platform {
                architecture: architecture.clone(),
                os: os.clone(),
                variant: config.variant.clone(),
            };
            if let Some(expected) = node.platform()
                && normal(expected) != normal(&found)
            {
                let (expected, found) = (platform_name(expected), platform_name(&found));
                problem(Fault::Platform { expected, found });
            }
        }
        _ => problem(Fault::Malformed { reason: "it names no os and architecture".to_owned() }),
    }
    let diff_ids = config.rootfs.as_ref().and_then(|rootfs| rootfs.diff_ids.as_deref());
    let diff_ids = diff_ids.unwrap_or_default();
    if diff_ids.len() != layers {
        problem(Fault::LayerCount { expected: layers, found: diff_ids.len() });
    }
    if let Some(history) = &config.history {
        let found = history.iter().filter(|step| !step.empty_layer).count();
        // No history at all is fine.
        if found != layers && !history.is_empty() {
            problem(Fault::History { expected: layers, found });
        }
    }
    let parse = |text: &String| match text.parse::<Digest>() {
        Ok(diff_id) => Some(diff_id),
        Err(error) => {
            problem(Fault::Malformed { reason: format!("its diffID: {error}") });
            None
        }
    };
    diff_ids.iter().map(parse).collect()
}

/// The platform without a variant that is the default of its architecture: to say it or not means
/// the same (containerd, platforms/database.go, normalizeArch).
fn normal(platform: &Platform) -> (&str, &str, Option<&str>) {
    let Platform { os, architecture, variant } = platform;
    let variant = match (architecture.as_str(), variant.as_deref()) {
        ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")) | (_, Some("")) => None,
        (_, variant) => variant,
    };
    (os, architecture, variant)
}

fn config_of(name: &str) -> String {
    format!("config of {name}")
}

fn layer_of(n: usize, name: &str) -> String {
    format!("layer {} of {name}", n + 1)
}
