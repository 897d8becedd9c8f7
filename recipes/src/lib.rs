//! What a recipe says and whether it makes sense, and the lock file beside it.
//!
//! Everything here is a function from text to values and back: no file, no network, no clock.
//! The crate is the lowest of the house, so the two types that every other crate speaks,
//! [`Digest`] and [`Arch`], live here too.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod arch;
mod digest;

pub use arch::{Arch, UnknownArch};
pub use digest::{Digest, Hasher, HashingReader, NotADigest};
pub mod recipe;
