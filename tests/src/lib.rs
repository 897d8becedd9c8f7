//! The harness of the tests that use treelay from outside, as its users' programs do.
//!
//! [`Env`] is a sealed environment: a temporary folder with a home, a GnuPG home, a store and
//! container settings of its own, and programs that see nothing of the machine's. From it come
//! [`Run`]s of treelay and of the real consumers. [`registry`] and [`http`] serve on loopback and
//! stop when dropped. A consumer that is missing panics with its package and the set-up command:
//! a test is never skipped in silence.

// A harness that cannot go on has no better answer than to fail the test that called it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod consumers;
pub mod env;
pub mod git;
pub mod http;
pub mod image;
pub mod machine;
pub mod modules;
pub mod registry;
pub mod rfc8032;
pub mod run;
pub mod selinux;
pub mod snapshot;
pub mod sumdb;
pub mod tamper;
pub mod tools;
mod trixie;

pub use consumers::Cosign;
pub use env::Env;
pub use run::{Output, Run};
pub use snapshot::normalise;
