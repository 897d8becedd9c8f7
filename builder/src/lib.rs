//! Builds toolchain layers into signed OCI images and OSTree commits.
//!
//! This is the only crate with effects, each in one module: [`fetch`] knows the network, [`exec`]
//! does what the plan says, [`store`] remembers, [`output`] writes, [`cli`] talks.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod airgap;
pub mod attest;
pub mod cli;
pub mod dest;
pub mod diff;
pub mod exec;
pub mod fetch;
pub mod hosts;
pub mod image_store;
pub mod ostree_repo;
pub mod output;
mod parallel;
pub mod plan;
pub mod progress;
pub mod sign;
pub mod signers;
pub mod snapshot;
pub mod sources;
pub mod store;
pub mod tree_dir;
