//! treelay and the consumers of Debian 12, cosign, and both registries.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod base;
mod bundles;
mod consumers;
mod cosign;
mod documents;
mod files;
mod harness;
mod judged;
mod labels;
mod layers;
mod loading;
mod oci;
mod openpgp;
mod ostree;
mod over_base;
mod over_image;
mod over_odd;
mod over_remote;
mod production;
mod programs;
mod rebuild;
mod referrers;
mod registry;
mod remotes;
mod reproducible;
mod runs;
mod sdk;
mod signatures;
mod small;
mod tampered;
mod tokens;
mod verified;
