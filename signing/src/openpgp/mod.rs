//! OpenPGP signatures over downloads ([RFC 9580]), against pinned keys.
//!
//! A *certificate* is a primary key with what it says of itself: user IDs, subkeys, how long it
//! lives, each in a *self-signature*. Trust is in the fingerprint of the primary key and in nothing
//! else: neither in a name, nor in what others have signed, nor in a key server. From there the
//! self-signatures lead to the subkey that signs.
//!
//! - [`Fingerprint`]: the pin;
//! - [`Trust`]: certificates that have a pinned fingerprint;
//! - [`Detached`]: a `.asc` or `.sig` beside a file. [`Stream`] hashes the file while it comes by, so
//!   that it is not read again;
//! - [`ClearSigned`]: a text with its signature around it, as `InRelease` and `SHA256SUMS.asc`;
//! - [`Good`]: which key has signed and when; [`Fault`]: why a signature counts for nothing.
//!
//! # What is demanded
//! `pgp` reads packets and computes; the rules are here.
//!
//! | of | rule |
//! |---|---|
//! | the signature | version 4 or 6; over a binary file or a text; SHA-2 or SHA-3; not later than `at` and not expired at `at`; no critical part that is not understood |
//! | the key | RSA of 2048 bits and more, ECDSA or EdDSA; it may sign, by its flags; a subkey has a binding signature by the primary key and signs the primary key back |
//! | time | the signature was made when its key, and the primary key, were valid |
//! | revocation | a *hard* one (no reason given, compromised, anything unknown) ends a key for all times; a *soft* one (superseded, retired) from its date on. The hash of a revocation does not matter |
//! | self-signatures | the newest valid ones count that were made up to `at`; SHA-1 in them is accepted if they were made before 2023-02-01. Flags and life of the primary key are what it says directly, each; else what the newest one with a user ID says that says anything of it, as for GnuPG |
//! | user IDs | a revocation ends what was said before it; a user ID may be certified again |
//!
//! *A key may have expired since.* Releases are verified for years, and their keys live for three:
//! what counts is that the key was valid when it signed. Sequoia does so too; apt does not. Whoever
//! steals an expired key can therefore date a signature back. That is what revocations, and the
//! SHA-256 in the lock beside every signature, are for.
//!
//! *The newest word counts.* A key's life may have been prolonged, and exported certificates often
//! have the last self-signature alone: so it is read as GnuPG does, not as of the signature's time.
//!
//! *SHA-1*: whoever makes two texts of one hash needs somebody who signs the first. A key's holder is
//! not asked to sign foreign self-signatures, hence the later date, which is that of Sequoia's
//! standard policy (`SecondPreImageResistance`). MD5 and RIPEMD-160 are refused everywhere.
//!
//! A revocation by a designated revoker is not looked for: it would need that other certificate.
//!
//! [RFC 9580]: https://www.rfc-editor.org/rfc/rfc9580

mod armor;
mod cert;
mod clear;
mod error;
mod fingerprint;
mod packets;
mod policy;
mod shipped;
mod standing;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verify;

pub use cert::Trust;
pub use clear::ClearSigned;
pub use error::{Fault, NotGood, ReadError, TrustError};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use shipped::{GO_RELEASE, GO_RELEASE_CERTIFICATE};
pub use verify::{Detached, Good, Judged, Stream};
