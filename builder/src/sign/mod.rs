//! Signatures on images, and whether an image is what it says: made, judged, recomputed, against
//! any [`ImageStore`](crate::image_store::ImageStore).
//!
//! *Terms.* The *subjects* of an image are its index and every manifest below it: hosts look at one
//! or the other (podman at the manifest of its platform, older rpm-ostree at the index), so each
//! carries signatures of its own. The *signatures* of a subject are the layers of one manifest,
//! tagged `sha256-<hex>.sig` after the subject ([`signatures`](crate::image_store::signatures)); a
//! layer's blob is the signed *payload*.
//!
//! *Phases.* `walk` reads all manifests of an image, once. [`attach()`] signs each subject.
//! [`verify_image`] judges the signatures of each (`judge`), and [`validate()`] recomputes every
//! digest, size and diffID below. A tag is resolved once; from then on only digests count.
//!
//! Signatures alone prove the manifests, and through their digests what a host will pull;
//! [`VerifyOptions::check_blobs`] adds the proof that what is stored here is still that.
//!
//! Absent on purpose: committing (a build commits image and signatures together), trust (which keys
//! are good is the caller's), and the second form of signatures, bundles as referrers, whose place
//! is beside `judge` and in [`attach()`].

mod attach;
mod error;
mod judge;
mod problem;
mod report;
mod validate;
mod verify;
mod walk;

pub use attach::{AttachReport, AttachedKey, SignedSubject, attach};
pub use error::SignatureError;
pub use problem::{Fault, Problem};
pub use report::{ImageReport, Judgement, Refusal, SignatureReport, SubjectReport};
pub use validate::{ValidateOptions, ValidationReport, validate};
pub use verify::{VerifyOptions, verify_image};
