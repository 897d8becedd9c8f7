//! treelay and the consumers of Debian 13, in their own root, and what hosts read images with.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod commits;
mod fixture;
mod go;
mod harness;
mod host_images;
mod kit;
mod labels;
mod metadata;
mod ostree_ext;
mod over_image;
mod policy;
mod refusals;
mod sysroot;
mod toolbox;
