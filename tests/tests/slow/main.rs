//! treelay and consumers that take minutes to prepare.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ed25519;
mod fixture;
mod harness;
mod spki;
