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
    /// The image below the layers: `scratch` (the default).
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
}
