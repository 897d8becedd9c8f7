//! The command line as users meet it: sealed environment, inline snapshots. Fast tier.

#![allow(clippy::unwrap_used, clippy::expect_used)]
