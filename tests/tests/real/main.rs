//! treelay and the consumers of Debian 12, cosign, and both registries.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;
