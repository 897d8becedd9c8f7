//! treelay and the consumers of Debian 13, in their own root.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod commits;
mod fixture;
mod go;
mod harness;
mod metadata;
mod policy;
mod refusals;
