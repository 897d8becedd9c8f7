//! Signing, verifying and validating images in a layout.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod bundles;
mod fixture;
mod integrity;
mod signatures;
