//! What a recipe says and whether it makes sense, and the lock file beside it.
//!
//! Everything here is a function from text to values and back: no file, no network, no clock.
//! The crate is the lowest of the house, so the two types that every other crate speaks,
//! [`Digest`] and [`Arch`], live here too.
//!
//! A text becomes a [`Recipe`] in these steps: [`yaml`] reads a tree whose nodes know their places;
//! [`shape`] compares it with the language, which is the JSON Schema of the types in [`recipe`];
//! serde fills the types; [`check`] looks for sense, on the recipe as written and as it is for each
//! arch. [`Recipe::expand`] repeats the last step with what the lock knows.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
// The tour above names private modules: it is for the reader of the source.
#![allow(rustdoc::private_intra_doc_links)]

mod arch;
mod caps;
mod check;
mod commit;
mod digest;
mod error;
pub mod lock;
mod origin;
pub mod recipe;
mod reference;
mod schema;
mod scope;
pub mod settings;
mod shape;
mod template;
mod yaml;

pub use arch::{Arch, UnknownArch};
pub use caps::{FileCaps, NotCaps};
pub use commit::{Commit, rfc3339};
pub use digest::{Digest, Hasher, HashingReader, NotADigest};
pub use error::{LockError, Problem, RecipeError};
pub use lock::{Lock, LockedInput, Misfit};
pub use recipe::Recipe;
pub use reference::reference;
pub use schema::schema;
pub use scope::{Known, MIRROR_NAMES, Scope};

#[cfg(test)]
mod tests;
