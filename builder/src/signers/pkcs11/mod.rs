//! Keys in tokens: smart cards and security modules, through the module that PKCS#11 has for each.
//!
//! A module is a shared library that is loaded while treelay runs. Its file is `module-path` of the
//! URI; or `module-name` of it, looked for where modules are installed; or what the caller takes for
//! the usual one. In it the one token is taken that fits what the URI says of tokens, and in the
//! token the one private key that fits what it says of keys: where several fit, none is taken.
//!
//! | kind | mechanism | given |
//! |---|---|---|
//! | ECDSA P-256, P-384 | CKM_ECDSA | the SHA-256 of the message |
//! | RSA | CKM_RSA_PKCS | the SHA-256 of the message as DigestInfo (RFC 8017, section 9.2) |
//! | Ed25519 | CKM_EDDSA | the message |
//!
//! The public key is an object of its own beside the private one, with the same `id`, else the same
//! label; of RSA the private key's own numbers suffice.
//!
//! A wrong PIN is tried once: three wrong ones lock many tokens for good.

mod error;
mod module;
mod token;
mod uri;

use std::path::PathBuf;

use treelay_signing::{PublicKey, SecretKey};
use zeroize::Zeroizing;

pub use error::Pkcs11Error;
pub use uri::{Uri, UriError};

/// Asks for the PIN of the token with this label; the error says why there is none.
pub type AskPin<'a> = dyn Fn(&str) -> Result<Zeroizing<String>, String> + 'a;

/// The private key that `uri` names. `usual_module` is taken where the URI names none.
///
/// # Errors
/// [`Pkcs11Error`].
pub fn secret_key(
    uri: &Uri,
    usual_module: Option<PathBuf>,
    pin: &AskPin<'_>,
) -> Result<SecretKey, Pkcs11Error> {
    let token = token::Token::open(uri, &module::find(uri, usual_module)?)?;
    token.log_in(pin)?;
    token.secret_key(uri)
}

/// The public half of the key that `uri` names. The PIN is asked for only when the token shows the
/// key to nobody without it.
///
/// # Errors
/// [`Pkcs11Error`].
pub fn public_key(
    uri: &Uri,
    usual_module: Option<PathBuf>,
    pin: &AskPin<'_>,
) -> Result<PublicKey, Pkcs11Error> {
    let token = token::Token::open(uri, &module::find(uri, usual_module)?)?;
    match token.public_key(uri) {
        Err(Pkcs11Error::NoKey { .. }) => {
            token.log_in(pin)?;
            token.public_key_of_private(uri)
        }
        found => found,
    }
}
