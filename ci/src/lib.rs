//! What each test tier needs and where set-up puts it.
//!
//! Shared by the `cargo xtask` command, which installs, and by the test harness, which uses what
//! was installed: so a consumer's place and the package that brings it are written once.

pub mod tier;
pub mod tools;

pub use tier::Tier;
