//! Bundles of inputs: everything that recipes with their locks need to be built where there is no
//! network, in one file. (Not the bundles that signatures come in: those are `treelay_signing::bundle`.)
//!
//! ```text
//! bundle.json          the manifest: every other member, with its length and SHA-256
//! commits/COMMIT/…     objects of base commits, as an archive repository keeps them
//! objects/DIGEST       fetched files, contents, parts of base images, recipes and locks
//! trees/DIGEST         canonical texts of trees
//! ```
//!
//! A tar under zstd, its members in the order of their names. The same recipes, locks and inputs
//! make the same bytes, by the versioned codec that is in the name of [`CODEC`].
//!
//! *Trust.* A bundle vouches for nothing. Whoever reads one takes the manifest's word for lengths and
//! digests, and refuses every byte that is not as the manifest has it: headers are compared with the
//! ones that would be written, so a member has no path, mode or type that could mean anything else.
//! What a build takes from the store afterwards is what its own lock names; base commits are judged
//! by the keys of the recipe when it is built.

mod error;
mod import;
mod manifest;
mod read;
mod write;

#[cfg(test)]
mod tests;

use treelay_layers::encode::Codec;

pub use error::BundleError;
pub use import::{Imported, import};
pub use manifest::{CarriedCommit, CarriedRecipe, Manifest, Member};
pub use read::{list, verify};
pub use write::{Load, Written, write};

/// What bundles are compressed with.
pub const CODEC: Codec = Codec::ZSTD;

/// The first member.
const MANIFEST: &str = "bundle.json";
