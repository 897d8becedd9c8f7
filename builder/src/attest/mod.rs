//! Attestations: documents about images and commits, signed, beside them.
//!
//! *Terms.* A *document* says something about one *subject*, an index, a manifest or a commit:
//! where it comes from (`provenance`), what is in it (`spdx`, `cyclonedx`), or whatever its
//! author has to say. In a *statement* of in-toto's it is the *predicate*, of a [`PredicateType`];
//! the statement, signed in a bundle, is the *attestation*.
//!
//! *Phases.* [`Documents`] makes what a build knows into documents, which are functions of recipe,
//! lock and layers: no clock, no name of the machine. [`attach()`] signs them and puts them beside
//! their subjects; [`find()`] finds and judges what is there.
//!
//! Absent on purpose: any entry in an index, so that the digest of an image does not depend on what
//! is said about it.

mod attach;
mod commits;
mod cyclonedx;
mod documents;
mod find;
mod inputs;
mod inventory;
mod legacy;
mod provenance;
mod require;
mod sbom;
mod signed;
mod spdx;
mod types;

pub use attach::{AttachedDocument, AttestError, attach};
pub use commits::{attach_to_commits, find_of_commit, list_of_commit};
pub use documents::{Document, DocumentError, DocumentKind, Documents, keep as keep_document};
pub use find::{Attestation, AttestationForm, Found, Listed, find, list};
pub use provenance::{BUILD_TYPE, LOCAL_BUILDER};
pub use require::{MetBy, Required, Requirement, require, require_of_commit, subjects};
pub use types::{NotAType, PredicateType};

#[cfg(test)]
mod tests;
