//! Signing, verifying and validating images in a layout.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

// Where `world` looks for them.
use treelay_signing::{bundle, dsse, statement};

mod beside;
mod bundles;
mod fixture;
mod forms;
mod integrity;
mod keyless;
mod lists;
mod moved;
mod signatures;
mod world;
