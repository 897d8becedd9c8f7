//! What hosts trust: the files that say it, read as the programs that obey them do.
//!
//! A *policy* ([`policy`], containers-policy.json(5)) says which signatures an image must carry;
//! *registries.d* ([`registries_d`], containers-registries.d(5)) says where signatures are looked
//! for. A *kit* ([`kit`]) is all the files a host needs to trust what some keys sign; it is
//! merged into what a host has ([`merge`]) without weakening it. [`doctor`] reads the files of a
//! host and says what it would refuse, or accept too easily. [`consumers`] are the programs
//! themselves: what each asks of an image, rule by rule.
//!
//! Everything here but [`published`] (which reads an image store) and [`root`] (which reads files
//! below a root) is pure.

pub mod consumers;
pub mod doctor;
pub mod json;
pub mod keyfile;
pub mod kit;
pub mod merge;
pub mod policy;
pub mod published;
pub mod reference;
pub mod registries_d;
pub mod root;
pub mod rule;
pub mod text_diff;

pub use reference::Reference;
pub use rule::Rule;
