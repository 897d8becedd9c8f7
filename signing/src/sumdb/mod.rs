//! Go's checksum database: which content a version of a module has, said once and for everybody
//! (go.dev/ref/mod, "Checksum database"; research.swtch.com/tlog).
//!
//! The database is a log that only grows. A *record* has the `h1:` of a module's files and of its
//! go.mod. The records are the leaves of a Merkle tree ([RFC 6962, section 2.1]). The database signs
//! a *tree head*: how many records there are, and the root over them; the signature is that of a
//! *note*. Whoever has a head can check with a few hashes that a record is in the tree (*inclusion*)
//! and that an older head is of the same log (*consistency*). The hashes are served in *tiles*, 256
//! to a file.
//!
//! | step | here |
//! |---|---|
//! | what GOSUMDB, GONOSUMDB and GOPRIVATE say | [`Setting`], [`Patterns`] |
//! | the answer of `/lookup/MODULE@VERSION`, or of `/latest` | [`Claim::lookup`], [`Claim::latest`] |
//! | the tiles that its proof needs | [`Claim::tiles`], [`Tile::path`] |
//! | the proof | [`Claim::prove`] |
//! | what the database says of the module | [`Proven::check`] |
//! | the head to remember | [`Proven::head`] |
//!
//! Nothing here asks for anything: the caller fetches what [`Claim::tiles`] names, and keeps the
//! head. A head that contradicts the one that was kept proves that the database lies to somebody:
//! the error has both, with their signatures.
//!
//! An `h1:` is computed where files are (`treelay_layers::go::modules`); here it is a text.
//!
//! [RFC 6962, section 2.1]: https://www.rfc-editor.org/rfc/rfc6962#section-2.1

mod claim;
mod error;
mod note;
mod patterns;
mod setting;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tile;
mod tree;

pub use claim::{Claim, Proven, Sums, lookup_path};
pub use error::{KeyTextError, PatternError, SettingError, SumDbError};
pub use note::{VerifierKey, open_note};
pub use patterns::Patterns;
pub use setting::{DEFAULT, Database, SUM_GOLANG_ORG, Setting};
pub use tile::{Tile, Tiles};
pub use tree::{Hash, SignedHead, TreeHead};
