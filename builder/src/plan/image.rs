//! What the plan says about images.

use std::collections::BTreeMap;

use serde::Serialize;
use treelay_layers::encode::Codec;
use treelay_recipes::recipe::{Compression, Health, Recipe, Text, nanoseconds};
use treelay_recipes::{Arch, Digest, Lock, rfc3339};

/// What all arches of an image have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageSettings {
    /// The repository it is known by, perhaps with a tag.
    pub reference: Option<String>,
    /// The codec's versioned name.
    pub codec: &'static str,
    /// Annotations of index and manifests.
    pub annotations: BTreeMap<String, String>,
    #[serde(skip)]
    compression: Compression,
}

/// The image of one arch: what its config says beside rootfs and history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedImage {
    /// The arch.
    pub arch: Arch,
    /// OCI's platform variant: the arch's own, or the least processor that the layers' programs run
    /// on.
    pub variant: Option<String>,
    /// User, perhaps with group.
    pub user: Option<String>,
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a caller may replace.
    pub cmd: Vec<String>,
    /// Environment variables as `NAME=value`, sorted.
    pub env: Vec<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// Exposed ports as `N/tcp`.
    pub ports: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// The stop signal.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How to find out that a container is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<PlannedHealth>,
    /// The image below the layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PlannedBase>,
}

/// The image below the layers, as the lock pins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedBase {
    /// As the recipe has it.
    pub image: String,
    /// What that names.
    pub digest: Digest,
    /// The manifest of the arch.
    pub manifest: Digest,
}

/// How to find out that a container is well, as Docker's image format has it. Times are
/// nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PlannedHealth {
    /// `CMD`, then the program and its arguments.
    pub test: Vec<String>,
    /// Time between two tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// Time after which a test has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Time at the beginning in which failures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<u64>,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The same as annotations of the manifest.
    #[serde(skip)]
    pub annotations: BTreeMap<String, String>,
}

impl PlannedHealth {
    fn of(health: &Health) -> Self {
        // The recipe's check has read the times before.
        let time = |text: &Option<Text>| text.as_ref().and_then(|text| nanoseconds(text));
        let program: Vec<&str> = health.test.iter().map(|text| &**text).collect();
        let mut annotations = BTreeMap::new();
        let mut add = |key: &str, value: Option<String>| {
            annotations.extend(value.map(|value| (format!("dev.treelay.health.{key}"), value)));
        };
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
        add("test", Some(serde_json::json!(program).to_string()));
        add("interval", text(&health.interval));
        add("timeout", text(&health.timeout));
        add("start-period", text(&health.start_period));
        add("retries", health.retries.map(|retries| retries.to_string()));
        Self {
            test: ["CMD"].into_iter().chain(program).map(str::to_owned).collect(),
            interval: time(&health.interval),
            timeout: time(&health.timeout),
            start_period: time(&health.start_period),
            retries: health.retries,
            annotations,
        }
    }
}

impl ImageSettings {
    /// Of a recipe that was expanded.
    pub(super) fn of(recipe: &Recipe, epoch: u64) -> Self {
        let mut annotations = BTreeMap::new();
        let mut add = |key: &str, value: String| {
            annotations.insert(format!("org.opencontainers.image.{key}"), value);
        };
        add("title", recipe.name.value.clone());
        add("version", recipe.version.value.clone());
        add("created", rfc3339(epoch));
        if let Some(summary) = &recipe.summary {
            add("description", summary.value.clone());
        }
        annotations.extend(strings(&recipe.image.annotations));
        let compression = recipe.image.compression;
        Self {
            reference: recipe.image.reference.as_ref().map(|text| text.value.clone()),
            codec: codec(compression).id(),
            annotations,
            compression,
        }
    }

    pub(super) fn codec(&self) -> Codec {
        codec(self.compression)
    }
}

fn codec(compression: Compression) -> Codec {
    match compression {
        Compression::Gzip => Codec::GZIP,
        Compression::Zstd => Codec::ZSTD,
    }
}

impl PlannedImage {
    /// Of a recipe that was expanded for `arch`.
    pub(super) fn of(recipe: &Recipe, arch: Arch, lock: &Lock) -> Self {
        let config = &recipe.image.config;
        let list = |texts: &[Text]| texts.iter().map(|text| text.value.clone()).collect();
        let one = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
        Self {
            arch,
            variant: super::level::variant(recipe, arch),
            user: one(&config.user),
            entrypoint: list(&config.entrypoint),
            cmd: list(&config.cmd),
            env: config.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            workdir: one(&config.workdir),
            ports: config.ports.iter().map(with_protocol).collect(),
            volumes: list(&config.volumes),
            stop_signal: one(&config.stop_signal),
            labels: strings(&config.labels).collect(),
            health: config.health.as_ref().map(PlannedHealth::of),
            base: lock.base(arch).map(|base| PlannedBase {
                image: base.image.clone(),
                digest: base.digest,
                manifest: base.manifest,
            }),
        }
    }
}

/// image-spec, config.md: a port without a protocol is a tcp port; written out, so that the two
/// spellings are one image.
fn with_protocol(port: &Text) -> String {
    if port.contains('/') { port.value.clone() } else { format!("{port}/tcp") }
}

pub(super) fn strings(map: &BTreeMap<String, Text>) -> impl Iterator<Item = (String, String)> + '_ {
    map.iter().map(|(key, text)| (key.clone(), text.value.clone()))
}
