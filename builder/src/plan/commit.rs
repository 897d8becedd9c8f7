//! What the plan says about commits.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use treelay_recipes::lock::LockedTree;
use treelay_recipes::recipe::{Bootable, OstreeBase, PathContext, PathType, Recipe};
use treelay_recipes::{Arch, Digest, Lock};

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
    /// The commit below the layers.
    pub base: Option<PlannedTree>,
    /// Patterns of paths of the base to leave out.
    pub remove: Vec<String>,
    /// Where a directory of the base may become a file, or the reverse.
    pub replace: Vec<String>,
    /// SELinux contexts beside those of the base's policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<PlannedContext>,
    /// Whether hosts shall be able to boot it: `auto`, `true`, `false`.
    #[serde(serialize_with = "name")]
    pub bootable: Bootable,
}

/// A commit below layers, as the lock pins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedTree {
    /// What the recipe says, expanded.
    pub from: String,
    /// Its checksum.
    #[serde(serialize_with = "hex")]
    pub commit: Digest,
    /// The base itself, expanded.
    #[serde(skip)]
    pub place: OstreeBase,
    /// What the lock says of it.
    #[serde(skip)]
    pub locked: LockedTree,
}

/// An SELinux context for some paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedContext {
    /// A regular expression for the whole path.
    pub path: String,
    /// What it is for, by its letter: `f`, `d`, `l`; every type, if none.
    #[serde(rename = "type")]
    pub kind: Option<char>,
    /// The context, or its type alone.
    pub context: String,
}

impl PlannedContext {
    fn of(context: &PathContext) -> Self {
        let letter = |kind| match kind {
            PathType::File => 'f',
            PathType::Directory => 'd',
            PathType::Link => 'l',
        };
        Self {
            path: context.path.value.clone(),
            kind: context.kind.map(letter),
            context: context.context.value.clone(),
        }
    }
}

fn name<S: Serializer>(bootable: &Bootable, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match bootable {
        Bootable::Auto => "auto",
        Bootable::True => "true",
        Bootable::False => "false",
    })
}

fn hex<S: Serializer>(commit: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&commit.hex())
}

impl PlannedCommit {
    /// Of a recipe that was expanded for `arch`.
    pub(super) fn of(recipe: &Recipe, arch: Arch, lock: &Lock) -> Self {
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
            base: recipe.ostree.base.as_ref().zip(lock.tree(arch)).map(|(place, locked)| {
                let (from, commit) = (locked.from.clone(), locked.commit);
                let (place, locked) = (place.clone(), locked.clone());
                PlannedTree { from, commit, place, locked }
            }),
            remove: recipe.ostree.remove.iter().map(|text| text.value.clone()).collect(),
            replace: recipe.ostree.replace.iter().map(|text| text.value.clone()).collect(),
            contexts: recipe.ostree.contexts.iter().map(PlannedContext::of).collect(),
            bootable: recipe.ostree.bootable,
        }
    }
}
