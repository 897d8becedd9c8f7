//! The plan: everything that will happen, before anything happens.
//!
//! [`Plan`] is data. It is a pure function of the recipe, its lock and the digests of local
//! sources; `treelay plan` prints it, and the digest of its canonical JSON ([`Plan::digest`]) names
//! the build. A layer's *key* is the digest of its kind, its options and the digests of what it
//! needs: the store remembers the layer's tree under it, so that a layer whose key is known is not
//! made again.

mod commit;
mod image;
mod level;
mod make;

use std::collections::BTreeMap;

use serde::Serialize;
use treelay_layers::encode::Codec;
use treelay_recipes::recipe::{At, Share};
use treelay_recipes::{Arch, Digest};

pub use commit::{PlannedCommit, PlannedContext, PlannedTree};
pub use image::{ImageSettings, PlannedBase, PlannedHealth, PlannedImage};
pub use make::{Expanded, PlanError, expand, for_machine, make};

/// All that a build will do. Lists are in the order of the recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The version of treelay that made the plan.
    pub treelay: &'static str,
    /// The recipe's name.
    pub name: String,
    /// The recipe's version, expanded.
    pub version: String,
    /// Seconds since 1970 that image and commits carry.
    pub epoch: u64,
    /// The arches.
    pub arches: Vec<Arch>,
    /// What is used of the lock.
    pub inputs: Vec<PlannedInput>,
    /// Every layer on every arch that has it; one arch after the other, lowest layer first.
    pub layers: Vec<PlannedLayer>,
    /// The image of each arch.
    pub images: Vec<PlannedImage>,
    /// The commit of each arch.
    pub commits: Vec<PlannedCommit>,
    /// What all arches of the image have in common.
    pub image: ImageSettings,
}

/// An input as the lock pins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedInput {
    /// Its name in the recipe.
    pub name: String,
    /// The arch it is for.
    pub arch: Arch,
    /// Where it was locked from.
    pub from: String,
    /// The fetched file, where one is fetched.
    pub sha256: Option<Digest>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// The digest of its canonical tree.
    pub identity: Digest,
}

/// A layer on one arch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedLayer {
    /// Its name in the recipe.
    pub name: String,
    /// The arch.
    pub arch: Arch,
    /// Its kind.
    pub kind: &'static str,
    /// The kind's options, without places in files.
    pub options: serde_json::Value,
    /// Whether what arches share of it becomes a layer of its own.
    pub share: Share,
    /// What it needs, in the kind's order.
    pub needs: Vec<PlannedNeed>,
    /// What its tree is remembered under.
    pub key: Digest,
    /// Its index in the recipe expanded for the arch.
    #[serde(skip)]
    pub index: usize,
    /// Where the recipe says it.
    #[serde(skip)]
    pub at: At,
}

/// Something a layer needs, by what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedNeed {
    /// The tree of an input.
    Input {
        /// The input's name.
        name: String,
        /// The digest of its tree.
        identity: Digest,
    },
    /// A toolchain that is run. Which one depends on the machine, so all of them count.
    Toolchain {
        /// The input's name.
        name: String,
        /// The digest of its tree for each arch that it is locked for.
        identities: BTreeMap<Arch, Digest>,
    },
    /// A local file.
    LocalFile {
        /// Its path as the recipe has it.
        path: String,
        /// SHA-256 of its content.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A local directory.
    LocalDir {
        /// Its path as the recipe has it.
        path: String,
        /// The digest of its tree, without what is excluded.
        tree: Digest,
    },
}

impl Plan {
    /// The plan as JSON: object keys sorted, no spaces; equal plans give equal bytes.
    pub fn canonical_json(&self) -> String {
        // serde_json's maps are sorted, and nothing in a plan can fail to be written: no map has
        // keys other than strings.
        serde_json::to_value(self).unwrap_or_default().to_string()
    }

    /// The digest that names the build.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical_json())
    }

    /// How layers are compressed.
    pub fn codec(&self) -> Codec {
        self.image.codec()
    }

    /// The layers of one arch, lowest first.
    pub fn layers_of(&self, arch: Arch) -> impl Iterator<Item = &PlannedLayer> {
        self.layers.iter().filter(move |layer| layer.arch == arch)
    }
}
