//! Where a build goes: one file for each kind of destination.

pub mod encapsulated;
pub mod image;
pub mod oci;
pub mod ostree;

pub use oci::{BuiltImage, ImageArtifact};
pub use ostree::CommitArtifact;
