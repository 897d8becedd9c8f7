//! What the plan says about commits.

use std::collections::BTreeMap;

use serde::Serialize;
use treelay_recipes::Arch;
use treelay_recipes::recipe::Recipe;

use super::image::strings;

/// The metadata key that says the least processor that runs a commit's programs, where it is more
/// than the arch's own.
const VARIANT: &str = "treelay.variant";

/// The commit of one arch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedCommit {
    /// The arch.
    pub arch: Arch,
    /// The ref.
    #[serde(rename = "ref")]
    pub refname: String,
    /// First line of the commit's message.
    pub subject: String,
    /// The recipe's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The collection the commit is bound to.
    pub collection: Option<String>,
}

impl PlannedCommit {
    /// Of a recipe that was expanded for `arch`.
    pub(super) fn of(recipe: &Recipe, arch: Arch) -> Self {
        let mut metadata: BTreeMap<_, _> = strings(&recipe.ostree.metadata).collect();
        if let Some(variant) = super::level::above_default(recipe, arch) {
            metadata.entry(VARIANT.to_owned()).or_insert(variant);
        }
        let default = || format!("treelay/{}/{}", recipe.name, arch.uname());
        Self {
            arch,
            refname: recipe.ostree.refname.as_ref().map_or_else(default, |text| text.value.clone()),
            subject: format!("{} {}", recipe.name, recipe.version),
            metadata,
            collection: recipe.ostree.collection.as_ref().map(|text| text.value.clone()),
        }
    }
}
