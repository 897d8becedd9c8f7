//! Keys wherever they live: how they are named, and those that are in no file.
//!
//! | named | lives | module |
//! |---|---|---|
//! | `PATH`, `file:PATH` | in a file | |
//! | `env://VARIABLE` | in a variable of the environment, as PEM | |
//! | `pkcs11:…` | in a token: a smart card, a security module | [`pkcs11`] |
//! | `exec:PROGRAM`, `exec:["PROGRAM", "ARGUMENT", …]` | wherever that program asks: a key service | [`command`] |
//!
//! A text is the first of these that its beginning fits; a file whose name begins so is given as
//! `./NAME` or `file:NAME`. Beginnings that other programs use for key services (`awskms://`) are
//! refused by name and not taken for files.
//!
//! Files and variables are read by `cli`, which alone knows the current directory and the
//! environment. Here are the effects of the other two: a module is loaded, a process started. Either
//! gives a [`treelay_signing::SecretKey`] that is asked at each signature, and whose every answer is
//! verified.

pub mod command;
pub mod pkcs11;
mod spec;

pub use spec::{KeySpec, KeySpecError};
