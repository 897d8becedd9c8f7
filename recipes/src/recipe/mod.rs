//! The types of a recipe, as its author wrote it.
//!
//! Texts are [`Text`]: they keep their line and column, so that a message about any of them can
//! point at it, and they may hold `{{ names }}` until [`Recipe::expand`](Recipe::expand) has been
//! called for one arch. The field names are the recipe language; `docs/recipe.md` and
//! `treelay schema` come from these definitions and their comments.

mod attributes;
mod base;
mod go_build;
mod image;
mod inputs;
mod layers;
mod ostree;
mod parse;
mod system;
mod text;
mod verify;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

#[doc(no_inline)]
pub use crate::error::{Problem, RecipeError};
pub use attributes::{Attributes, PathAttributes};
pub use base::Base;
pub use go_build::{GO_BUILD_ENV, GoBuildLayer, GoSource, Stamp};
pub use image::{Compression, Health, Image, ImageConfig, nanoseconds};
pub use inputs::{
    ArchiveInput, GitInput, GoModulesInput, GoRelease, GoToolchainInput, Input, OciInput,
    PypiInput, Source,
};
pub use layers::{
    ArchiveLayer, DirectoryLayer, ElfCheck, FileEntry, FilesLayer, GoToolchainLayer, Layer,
    LayerKind, Share,
};
pub use ostree::{Bootable, Ostree, OstreeBase, OstreeRemote, PathContext, PathType};
pub use system::{Account, CertificatesLayer, Group, TzdataLayer, UsersLayer};
pub use text::{At, Text};
pub use verify::{OpenPgp, Over, Verify, VerifyArchive, VerifyModules};

use crate::Arch;
use crate::origin::Origin;

/// A treelay recipe: toolchain layers for image-based Linux, and the image and commits made of them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the product is called: lowercase letters, digits, `-`, `_` and `.`.
    pub name: Text,
    /// One line for people.
    #[serde(default)]
    pub summary: Option<Text>,
    /// The product's version; also the default tag. Usually `{{ input.go.version }}`.
    pub version: Text,
    /// The arches to build for, each at most once.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub arch: Vec<Arch>,
    /// What is fetched and locked before anything is built, by name.
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// The layers, lowest first.
    #[schemars(length(min = 1))]
    pub layers: Vec<Layer>,
    /// The OCI image.
    #[serde(default)]
    pub image: Image,
    /// The OSTree commits.
    #[serde(default)]
    pub ostree: Ostree,
    /// Seconds since 1970 that the image's `created` and the commits carry; left out,
    /// SOURCE_DATE_EPOCH, else the newest release date among the locked inputs.
    #[serde(default)]
    pub epoch: Option<u32>,
    /// The file it was read from, for messages.
    #[serde(skip)]
    pub(crate) origin: Origin,
}

#[cfg(test)]
mod tests;
