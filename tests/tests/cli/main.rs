//! The command line as users meet it: sealed environment, inline snapshots. Fast tier: no consumer,
//! no network.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod airgap;
mod archives;
mod attestations;
mod copies;
mod diffs;
mod everywhere;
mod files;
mod fixture;
mod git;
mod golang;
mod hosts;
mod keys;
mod locks;
mod mishaps;
mod modules;
mod offline;
mod outputs;
mod places;
mod recipes;
mod releases;
mod same;
mod servers;
mod signers;
mod sources;
mod sumdb;
mod tampering;
mod trust;
mod usage;
mod verified;
