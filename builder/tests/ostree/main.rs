//! Commits in real repositories, compared with what the `ostree` command makes and says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod commits;
mod fixture;
mod layers;
mod merged;
mod signatures;
