//! builder

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod dest;
pub mod fetch;
pub mod image_store;
pub mod ostree_repo;
pub mod progress;
pub mod snapshot;
