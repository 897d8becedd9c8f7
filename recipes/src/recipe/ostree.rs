//! The OSTree commits.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Text;

/// The OSTree commits, one for each arch.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ostree {
    /// The ref; left out, `treelay/{{ name }}/{{ arch.uname }}`. With several arches it must name
    /// `{{ arch.uname }}` (or `{{ arch }}`).
    #[serde(rename = "ref", default)]
    pub refname: Option<Text>,
    /// Metadata strings of the commits, beside those that treelay writes.
    #[serde(default)]
    pub metadata: BTreeMap<String, Text>,
    /// The collection id that the commits are bound to.
    #[serde(default)]
    pub collection: Option<Text>,
}
