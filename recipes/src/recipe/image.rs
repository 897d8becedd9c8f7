//! The OCI image.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Text;

/// The OCI image.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// The repository it will be known by, `registry.example/tools/go`, with or without a tag;
    /// what signatures name when `--sign-as` does not.
    #[serde(default)]
    pub reference: Option<Text>,
    /// The image below the layers: `scratch` (the default), `oci:DIR[:TAG]` relative to the
    /// recipe's file, or `docker://HOST/REPO[:TAG]@sha256:…`. Its layers are taken as they are; what
    /// the recipe's config does not say is as the base has it. Commits lie on
    /// `ostree.base` alone.
    #[serde(default)]
    pub base: Option<Text>,
    /// What a container of it runs, and how.
    #[serde(default)]
    pub config: ImageConfig,
    /// Annotations of index and manifests, beside those that treelay writes.
    #[serde(default)]
    pub annotations: BTreeMap<String, Text>,
    /// How layers are compressed.
    #[serde(default)]
    pub compression: Compression,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// One gzip member; read by everything.
    #[default]
    Gzip,
    /// Zstandard; smaller and faster, not read by Docker before 23.
    Zstd,
}

/// The execution parameters of the image (image-spec, config.md).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageConfig {
    /// `user`, `uid`, `user:group` or `uid:gid`.
    #[serde(default)]
    pub user: Option<Text>,
    /// The program and its fixed arguments.
    #[serde(default)]
    pub entrypoint: Vec<Text>,
    /// Arguments that a caller may replace.
    #[serde(default)]
    pub cmd: Vec<Text>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// The directory a container starts in.
    #[serde(default)]
    pub workdir: Option<Text>,
    /// Ports it listens on: `8080/tcp`.
    #[serde(default)]
    pub ports: Vec<Text>,
    /// Directories that are volumes.
    #[serde(default)]
    pub volumes: Vec<Text>,
    /// The signal that stops it: `SIGTERM`.
    #[serde(default)]
    pub stop_signal: Option<Text>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
    /// How to find out that a container is well. The OCI format has no field for it: it is written
    /// as `Healthcheck` of the config, a name that image-spec keeps free and Docker reads, and as
    /// annotations `dev.treelay.health.*` of the manifest for everyone else.
    #[serde(default)]
    pub health: Option<Health>,
}

/// How to find out that a container is well.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Health {
    /// The program in the container and its arguments; it ends with 0 when all is well.
    #[schemars(length(min = 1))]
    pub test: Vec<Text>,
    /// Time between two tests: `30s`, `1m30s`, `500ms`.
    #[serde(default)]
    pub interval: Option<Text>,
    /// Time after which a test has failed.
    #[serde(default)]
    pub timeout: Option<Text>,
    /// Time at the beginning in which failures do not count.
    #[serde(default)]
    pub start_period: Option<Text>,
    /// Failures in a row that make it unhealthy.
    #[serde(default)]
    pub retries: Option<u32>,
}

/// A time such as `1m30s` in nanoseconds: numbers with the units `h`, `m`, `s` and `ms`, larger
/// units first. `None` for what is no such time, or is 0 or more than a day.
pub fn nanoseconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] =
        [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000)];
    let mut units = UNITS.iter();
    let (mut rest, mut all) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        // Going on from the last unit keeps them in order, each at most once.
        let (_, unit) = units.find(|(name, _)| *name == &rest[..end])?;
        all = all.checked_add(number.checked_mul(*unit)?)?;
        rest = &rest[end..];
    }
    (1..=24 * UNITS[0].1).contains(&all).then_some(all)
}
