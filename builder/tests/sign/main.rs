//! Signing, verifying and validating images in a layout.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod beside;
mod bundles;
mod fixture;
mod forms;
mod integrity;
mod lists;
mod moved;
mod signatures;
