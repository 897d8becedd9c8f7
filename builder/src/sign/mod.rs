//! Signatures on images, and whether an image is what it says: made, judged, recomputed, against
//! any [`ImageStore`](crate::image_store::ImageStore).
//!
//! *Terms.* The *subjects* of an image are its index and every manifest below it: hosts look at one
//! or the other (podman at the manifest of its platform, older rpm-ostree at the index), so each
//! carries signatures of its own, in two *forms*. The `.sig` is one manifest, tagged
//! `sha256-<hex>.sig` after the subject ([`signatures`](crate::image_store::signatures)), each of
//! whose layers is a signature; a layer's blob is the signed *payload*. A *bundle* is a signature in
//! a manifest that refers to the subject ([`referrers`](crate::image_store::referrers)).
//!
//! *Phases.* `walk` reads all manifests of an image, once. [`attach()`] signs each subject in both
//! forms. [`verify_image`] judges the signatures of each (`judge`) and decides by the form that is
//! required ([`RequiredForm`]), and [`validate()`] recomputes every digest, size and diffID below. A
//! tag is resolved once; from then on only digests count.
//!
//! Signatures alone prove the manifests, and through their digests what a host will pull;
//! [`VerifyOptions::check_blobs`] adds the proof that what is stored here is still that.
//!
//! Absent on purpose: committing (a build commits image and signatures together), and trust (which
//! keys, and which [`Identity`] with which trusted root, are good is the caller's).

mod attach;
mod budget;
mod bundles;
mod created;
mod error;
pub mod evidence;
mod forms;
mod judge;
mod problem;
mod report;
mod validate;
mod verify;
mod walk;

pub use attach::{AttachOptions, AttachReport, AttachedKey, SignedSubject, attach, attach_with};
pub use error::SignatureError;
pub use forms::{
    BOTH_FORMS, FORMS_ANNOTATION, Form, FormReport, FormState, Forms, RequiredForm, Stripped,
    UnknownForm,
};
pub use problem::{Fault, Problem};
pub use report::{
    AttestationReport, IdentityReport, ImageReport, Judgement, Refusal, SignatureReport,
    SubjectReport,
};
pub use validate::{ValidateOptions, ValidationReport, validate};
pub use verify::{Identity, VerifyOptions, verify_image};
