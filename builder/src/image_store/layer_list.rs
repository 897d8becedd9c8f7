//! The layers of a manifest that has a tag beside its subject, and more of them.

use serde_json::{Value, json};
use treelay_recipes::Digest;

use super::error::Result;
use super::manifest::{Descriptor, Manifest, Parts, media};
use super::shared::{Made, SharedList};
use super::signatures::SIGNATURE;

/// The time cosign writes where there is none: Go's zero time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// What is to be added beside a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    layers: Vec<Descriptor>,
    /// The manifest that has just these, which replaces one that has no others.
    whole: Option<Manifest>,
}

impl Addition {
    /// Layers, whose blobs the store has.
    pub(super) fn layers(layers: &[Descriptor]) -> Self {
        Self { layers: layers.to_vec(), whole: None }
    }

    /// A manifest with its layers. It is entered as it is, unless what is there has other layers
    /// too: then its layers are added to those.
    pub(super) fn whole(manifest: &Manifest, layers: &[Descriptor]) -> Self {
        Self { layers: layers.to_vec(), whole: Some(manifest.clone()) }
    }

    /// Adds this to what is there. Whether that changed.
    pub(super) fn add_to(&self, list: &mut LayerList) -> bool {
        match &self.whole {
            Some(whole) if covers(&self.layers, &list.layers) => {
                let same = list.base.as_ref().is_some_and(|base| base.digest() == whole.digest());
                if same && list.new == 0 {
                    return false;
                }
                list.base = Some(whole.clone());
                list.config = match whole.parts("") {
                    Ok(Parts::Image { config, .. }) => Some(config),
                    _ => None,
                };
                list.layers.clone_from(&self.layers);
                list.new = 0;
                true
            }
            _ => list.add(&self.layers),
        }
    }
}

/// The layers beside a subject.
pub(super) struct LayerList {
    /// What they are added to, with its config.
    base: Option<Manifest>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    /// How many of them, at the end, are not in `base`.
    new: usize,
}

impl LayerList {
    fn add(&mut self, layers: &[Descriptor]) -> bool {
        let before = self.layers.len();
        for layer in layers {
            if !self.layers.iter().any(|other| same(other, layer)) {
                self.layers.push(layer.clone());
            }
        }
        self.new += self.layers.len() - before;
        self.layers.len() != before
    }
}

impl SharedList for LayerList {
    fn read(there: Option<&Manifest>, place: &str) -> Result<Self> {
        let Some(manifest) = there else {
            return Ok(Self { base: None, config: None, layers: Vec::new(), new: 0 });
        };
        match manifest.parts(place)? {
            Parts::Image { config, layers } => {
                Ok(Self { base: Some(manifest.clone()), config: Some(config), layers, new: 0 })
            }
            Parts::Index(_) => {
                let reason = "signatures must be in a manifest, not in an index".to_owned();
                Err(manifest.bad(place, reason))
            }
        }
    }

    fn merge(&mut self, other: &Self) -> bool {
        self.add(&other.layers)
    }

    fn config(&self) -> Option<&Descriptor> {
        self.config.as_ref().filter(|_| self.new > 0)
    }

    fn make(&self, config: Option<&[u8]>, place: &str) -> Result<Made> {
        let (mut manifest, mut config) = match (&self.base, config) {
            (Some(base), _) if self.new == 0 => {
                return Ok(Made { config: None, manifest: base.clone() });
            }
            (Some(base), Some(config)) => parse(base, config, place)?,
            _ => empty(),
        };
        for layer in &self.layers[self.layers.len() - self.new..] {
            // Only an object can be indexed by name; `parse` checked that these are.
            push(&mut manifest["layers"], json!(layer));
            push(&mut config["rootfs"]["diff_ids"], json!(layer.digest));
            push(&mut config["history"], json!({ "created": NO_TIME }));
        }
        let config = config.to_string().into_bytes();
        manifest["config"] =
            json!(Descriptor::new(CONFIG, Digest::of(&config), config.len() as u64));
        let manifest = Manifest::new(media::MANIFEST, manifest.to_string().into_bytes());
        Ok(Made { config: Some(config), manifest })
    }
}

/// Whether every layer among `some` is among `all`.
fn covers(all: &[Descriptor], some: &[Descriptor]) -> bool {
    some.iter().all(|layer| all.iter().any(|other| same(other, layer)))
}

/// All that a reader looks at: one that differs in its media type or size is not read as the other.
fn same(a: &Descriptor, b: &Descriptor) -> bool {
    let read = |layer: &Descriptor| (layer.digest, layer.size, layer.media_type.clone());
    read(a) == read(b) && a.annotations.get(SIGNATURE) == b.annotations.get(SIGNATURE)
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

/// Manifest and config without a layer, as cosign writes them.
fn empty() -> (Value, Value) {
    let manifest = json!({ "schemaVersion": 2, "mediaType": media::MANIFEST });
    let rootfs = json!({ "type": "layers" });
    let config = json!({
        "architecture": "", "os": "", "created": NO_TIME, "config": {}, "rootfs": rootfs,
    });
    (manifest, config)
}

/// Manifest and config that are there.
fn parse(manifest: &Manifest, config: &[u8], place: &str) -> Result<(Value, Value)> {
    let bad = |reason: &str| manifest.bad(place, reason.to_owned());
    let config: Value =
        serde_json::from_slice(config).map_err(|_| bad("its config is not JSON"))?;
    let value: Value =
        serde_json::from_slice(manifest.bytes()).map_err(|_| bad("it is not JSON"))?;
    let rootfs_fits = config.get("rootfs").is_none_or(|r| r.is_object() || r.is_null());
    if !config.is_object() || !value.is_object() || !rootfs_fits {
        return Err(bad("its config is not that of signatures"));
    }
    Ok((value, config))
}
