//! Bytes to signature, signature to verdict; keys.
//!
//! Everything here is a function of what the caller hands over: it opens no file, asks for no
//! password, knows no registry and no OSTree repository. The one thing taken from outside is
//! randomness, when a key is made or sealed.
//!
//! - [`keys`]: secret and public keys, and the files they live in;
//! - [`schemes`]: the forms a signature takes, one file each, all in [`schemes::SCHEMES`];
//! - [`bundle`], [`dsse`], [`statement`]: the documents of Sigstore and in-toto, read strictly;
//! - [`keyless`]: signatures with certificates, logs and timestamps, by a trusted root;
//! - [`openpgp`]: signatures by OpenPGP keys over downloads;
//! - [`sumdb`]: Go's checksum database, and what it proves;
//! - [`Subject`] and [`Signature`]: what is signed, and what came of it;
//! - [`Verdict`]: what a signature is worth, with the [`Reason`] when it is worth nothing.
//!
//! ```
//! use treelay_signing::{KeyKind, SecretKey, Subject, schemes};
//!
//! let key = SecretKey::generate(KeyKind::EcdsaP256)?;
//! let subject = Subject::Commit(b"the bytes of a commit object");
//! for signature in schemes::sign_all(&subject, &key)? {
//!     let scheme = schemes::by_name(signature.scheme).ok_or("a scheme that is not listed")?;
//!     assert!(scheme.verify(&subject, &signature, key.public()).is_good());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod bundle;
pub mod dsse;
mod form;
pub mod keyless;
pub mod keys;
pub mod openpgp;
pub mod schemes;
mod signature;
pub mod statement;
pub mod sumdb;
mod verdict;

pub use bundle::Bundle;
pub use form::FormError;
pub use keys::{KeyError, KeyKind, KeyList, KeyListError, PublicKey, SecretKey};
pub use signature::{SignError, Signature, Subject};
pub use statement::Statement;
pub use verdict::{Reason, Verdict};
