//! The documents of an image: config, manifest and index, as bytes. Pure.
//!
//! All are canonical JSON (keys sorted, no spaces), so that equal plans and layers give equal
//! digests, whatever the order of any map.

mod on_base;

use std::collections::{BTreeSet, HashMap};

use oci_spec::OciSpecError;
use oci_spec::image::{
    ConfigBuilder, DescriptorBuilder, HistoryBuilder, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, PlatformBuilder, RootFsBuilder, Sha256Digest,
};
use serde::Serialize;
use serde_json::{Map, Value};
use treelay_recipes::{Arch, Digest};

use crate::exec::{BaseImage, Bases, Part};
use crate::image_store::{Manifest, media};
use crate::ostree_repo::image_labels::{self, VERSION};
use crate::plan::{Plan, PlannedImage};
use crate::store::LayerBlob;
use treelay_recipes::rfc3339;

/// A layer as the image names it.
#[derive(Debug, Clone)]
pub struct ImageLayer {
    /// Its name in the recipe.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// What of the recipe's layer it is.
    pub part: Part,
    /// The blob.
    pub blob: LayerBlob,
}

/// An image's layers, lowest first, and what they lie on.
#[derive(Debug, Clone, Copy)]
pub struct ImageParts<'a> {
    /// The base; none for an image from scratch.
    pub base: Option<&'a BaseImage>,
    /// The layers above it.
    pub layers: &'a [ImageLayer],
}

/// The image of one arch.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// The arch.
    pub arch: Arch,
    /// Its variant.
    pub variant: Option<String>,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
}

/// Why a document could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A required field is missing; a mistake of treelay's.
    #[error("assembling the image")]
    Spec(#[from] OciSpecError),
    /// It cannot be written as JSON; a mistake of treelay's.
    #[error("writing the image's documents")]
    Json(#[from] serde_json::Error),
}

type Result<T> = std::result::Result<T, AssembleError>;

/// The config and manifest of one arch.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble(plan: &Plan, image: &PlannedImage, parts: ImageParts<'_>) -> Result<Assembled> {
    let ImageParts { base, layers } = parts;
    let config = canonical(&configuration(plan, image, parts)?)?;
    let descriptor = |media_type: MediaType, digest: &Digest, size: u64| {
        DescriptorBuilder::default()
            .media_type(media_type)
            .digest(sha256(digest)?)
            .size(size)
            .build()
    };
    let mut descriptors = Vec::new();
    for layer in base.into_iter().flat_map(|base| &base.layers) {
        let mut described =
            descriptor(layer.media_type.as_str().into(), &layer.digest, layer.size)?;
        // Of use with the bytes, which are the same: zstd:chunked keeps its table of contents here.
        if !layer.annotations.is_empty() {
            described.set_annotations(Some(layer.annotations.clone().into_iter().collect()));
        }
        descriptors.push(described);
    }
    for layer in layers {
        let media_type = MediaType::from(plan.codec().media_type());
        descriptors.push(descriptor(media_type, &layer.blob.digest, layer.blob.size)?);
    }
    let mut manifest_annotations = annotations(plan);
    if let Some(base) = base {
        manifest_annotations.extend(base_annotations(&base.name, &base.manifest));
    }
    if let Some(health) = &image.health {
        let health = health.annotations.clone();
        // What the recipe says itself is what its author means.
        for (key, value) in health {
            manifest_annotations.entry(key).or_insert(value);
        }
    }
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, &Digest::of(&config), config.len() as u64)?)
        .layers(descriptors)
        .annotations(manifest_annotations)
        .build()?;
    let manifest = Manifest::new(media::MANIFEST, canonical(&manifest)?);
    Ok(Assembled { arch: image.arch, variant: image.variant.clone(), config, manifest })
}

/// The index over the images of all arches.
///
/// # Errors
/// [`AssembleError`].
pub fn index(plan: &Plan, images: &[Assembled], bases: &Bases) -> Result<Manifest> {
    let mut manifests = Vec::new();
    for image in images {
        let mut platform = PlatformBuilder::default().architecture(image.arch.oci()).os("linux");
        if let Some(variant) = &image.variant {
            platform = platform.variant(variant.as_str());
        }
        let child = image.manifest.descriptor();
        let descriptor = DescriptorBuilder::default()
            .media_type(MediaType::ImageManifest)
            .digest(sha256(&child.digest)?)
            .size(child.size)
            .platform(platform.build()?)
            .build()?;
        manifests.push(descriptor);
    }
    let mut index_annotations = annotations(plan);
    // Where the arches lie on one image, that is the index's base.
    if let Some(base) = bases.values().next()
        && bases.len() == images.len()
        && bases.values().all(|other| (&other.name, other.digest) == (&base.name, base.digest))
    {
        index_annotations.extend(base_annotations(&base.name, &base.digest));
    }
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .annotations(index_annotations)
        .build()?;
    Ok(Manifest::new(media::INDEX, canonical(&index)?))
}

/// image-spec, annotations.md.
fn base_annotations(name: &str, digest: &Digest) -> [(String, String); 2] {
    let key = |key: &str| format!("org.opencontainers.image.base.{key}");
    [(key("name"), name.to_owned()), (key("digest"), digest.to_string())]
}

fn configuration(plan: &Plan, image: &PlannedImage, parts: ImageParts<'_>) -> Result<Value> {
    let ImageParts { base, layers } = parts;
    let mut config = ConfigBuilder::default();
    if let Some(user) = &image.user {
        config = config.user(user.clone());
    }
    if !image.entrypoint.is_empty() {
        config = config.entrypoint(image.entrypoint.clone());
    }
    if !image.cmd.is_empty() {
        config = config.cmd(image.cmd.clone());
    }
    if !image.env.is_empty() {
        config = config.env(image.env.clone());
    }
    if let Some(workdir) = &image.workdir {
        config = config.working_dir(workdir.clone());
    }
    if !image.ports.is_empty() {
        config = config.exposed_ports(image.ports.clone());
    }
    if !image.volumes.is_empty() {
        config = config.volumes(image.volumes.clone());
    }
    if let Some(signal) = &image.stop_signal {
        config = config.stop_signal(signal.clone());
    }
    if !image.labels.is_empty() {
        let labels: HashMap<_, _> = image.labels.clone().into_iter().collect();
        config = config.labels(labels);
    }
    let created = rfc3339(plan.epoch);
    let mut history = Vec::new();
    for layer in layers {
        history.push(
            HistoryBuilder::default()
                .created(created.clone())
                .created_by(format!(
                    "treelay layer {} ({}{})",
                    layer.name,
                    layer.kind,
                    match layer.part {
                        Part::Whole => "",
                        Part::Shared => ", what all arches share",
                        Part::Own => ", what this arch adds",
                    }
                ))
                .build()?,
        );
    }
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.blob.diff_id.to_string()).collect();
    let configuration = ImageConfigurationBuilder::default()
        .created(created)
        .architecture(image.arch.oci())
        .os("linux")
        .config(config.build()?)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build()?)
        .history(history)
        .build()?;
    let mut configuration = serde_json::to_value(configuration)?;
    // image-spec, config.md has `variant` beside `architecture`; the builder has no setter for it.
    if let (Some(variant), Some(object)) = (&image.variant, configuration.as_object_mut()) {
        object.insert("variant".to_owned(), variant.as_str().into());
    }
    // Reserved by image-spec, config.md, and written by BuildKit; the builder has no setter either.
    if let (Some(health), Some(config)) =
        (&image.health, configuration.get_mut("config").and_then(|config| config.as_object_mut()))
    {
        config.insert("Healthcheck".to_owned(), serde_json::to_value(health)?);
    }
    if let Some(base) = base {
        on_base::join(&mut configuration, base);
    }
    if let Some(labels) = configuration["config"]["Labels"].as_object_mut() {
        let said = image.labels.keys().map(String::as_str).collect();
        name_version(labels, &said, &plan.version);
    }
    Ok(configuration)
}

/// An image for hosts to boot says in labels which version they show; its base's is another's.
fn name_version(labels: &mut Map<String, Value>, said: &BTreeSet<&str>, version: &str) {
    if !image_labels::OF_HOSTS.iter().any(|label| labels.contains_key(*label)) {
        return;
    }
    if !said.contains(VERSION) {
        labels.insert(VERSION.to_owned(), version.into());
    }
    // The older name, by which some images say it too.
    if let Some(there) = labels.get_mut("version").filter(|_| !said.contains("version")) {
        *there = version.into();
    }
}

fn annotations(plan: &Plan) -> HashMap<String, String> {
    plan.image.annotations.clone().into_iter().collect()
}

fn sha256(digest: &Digest) -> std::result::Result<Sha256Digest, OciSpecError> {
    digest.hex().parse()
}

/// Canonical JSON.
///
/// # Errors
/// Where the value cannot be JSON.
pub fn canonical<T: Serialize>(value: &T) -> std::result::Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    let formatter = canon_json::CanonicalFormatter::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_for_hosts_names_its_own_version() {
        for (labels, said, expected) in [
            (r#"{"a":"1"}"#, vec![], r#"{"a":"1"}"#),
            (r#"{"version":"1"}"#, vec![], r#"{"version":"1"}"#),
            (
                r#"{"containers.bootc":"1"}"#,
                vec![],
                r#"{"containers.bootc":"1","org.opencontainers.image.version":"7"}"#,
            ),
            (
                r#"{"ostree.bootable":"true","org.opencontainers.image.version":"1","version":"1"}"#,
                vec![],
                r#"{"org.opencontainers.image.version":"7","ostree.bootable":"true","version":"7"}"#,
            ),
            (
                r#"{"ostree.bootable":"true","org.opencontainers.image.version":"1"}"#,
                vec![VERSION],
                r#"{"org.opencontainers.image.version":"1","ostree.bootable":"true"}"#,
            ),
        ] {
            let mut labels = serde_json::from_str(labels).unwrap();
            name_version(&mut labels, &said.into_iter().collect(), "7");
            assert_eq!(String::from_utf8(canonical(&labels).unwrap()).unwrap(), expected);
        }
    }

    #[test]
    fn canonical_json_is_json_whatever_a_text_holds() {
        let map = std::collections::BTreeMap::from([
            ("b", "line\nfeed\ttab \u{1} \"quoted\" \\"),
            ("a", "u\u{308} stays as it is written"),
        ]);
        let bytes = canonical(&map).unwrap();
        let back: std::collections::BTreeMap<&str, String> =
            serde_json::from_slice(&bytes).unwrap();
        assert!(map.iter().all(|(key, value)| back[key] == *value), "{back:?}");
        assert!(bytes.starts_with(b"{\"a\":"));
    }
}
