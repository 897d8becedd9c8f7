//! [`Pkcs11Error`].

use std::path::PathBuf;

use treelay_signing::KeyError;

/// Why a token gives no key or no signature.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// Nothing says which module.
    #[error(
        "no PKCS#11 module is named: add ?module-path=/…/MODULE.so to the URI, or set \
         COSIGN_PKCS11_MODULE_PATH"
    )]
    NoModule,
    /// No such module where they are installed.
    #[error("no PKCS#11 module {name:?} in {}", .folders.join(", "))]
    ModuleNotFound {
        /// Its name.
        name: String,
        /// Where it was looked for.
        folders: Vec<String>,
    },
    /// The file cannot be loaded, or does not start.
    #[error("loading the PKCS#11 module {}: {reason}", .path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No token fits.
    #[error("no token fits {uri}; {} shows {}", .module.display(), list(.there, "no token"))]
    NoToken {
        /// What was looked for.
        uri: String,
        /// The module.
        module: PathBuf,
        /// The tokens that are there.
        there: Vec<String>,
    },
    /// Several fit.
    #[error(
        "several tokens fit {uri}: {}; say which by token, serial or slot-id",
        list(.there, "")
    )]
    SeveralTokens {
        /// What was looked for.
        uri: String,
        /// Those that fit.
        there: Vec<String>,
    },
    /// There is no PIN.
    #[error("the token {token:?} needs its PIN: {reason}")]
    NoPin {
        /// The token.
        token: String,
        /// Why.
        reason: String,
    },
    /// The PIN is refused.
    #[error("the token {token:?} refuses the PIN: {reason}")]
    Pin {
        /// The token.
        token: String,
        /// Why, and what it says of the tries that are left.
        reason: String,
    },
    /// No key fits.
    #[error("no {what} fits {uri}; the token {token:?} shows {}", list(.there, "none"))]
    NoKey {
        /// Private or public key.
        what: &'static str,
        /// What was looked for.
        uri: String,
        /// The token.
        token: String,
        /// The keys that are there.
        there: Vec<String>,
    },
    /// Several fit.
    #[error("several {what}s fit {uri}: {}; say which by object or id", list(.there, ""))]
    SeveralKeys {
        /// Private or public key.
        what: &'static str,
        /// What was looked for.
        uri: String,
        /// Those that fit.
        there: Vec<String>,
    },
    /// The private key is there alone.
    #[error(
        "the token {token:?} has no public key beside the private key {key}: there must be one with \
         the same id"
    )]
    NoPublicHalf {
        /// The token.
        token: String,
        /// The private key.
        key: String,
    },
    /// It wants the PIN again for each signature.
    #[error("the key {key} asks for the PIN at every signature, which treelay does not do")]
    AlwaysAuthenticate {
        /// The key.
        key: String,
    },
    /// The public key is none, or of a kind that is not used.
    #[error("the public key {key} of the token {token:?}")]
    Key {
        /// The token.
        token: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Something else fails.
    #[error("the token {token:?}, while {doing}: {reason}")]
    Failed {
        /// The token, or the module where there is none yet.
        token: String,
        /// What was done.
        doing: &'static str,
        /// What the module says.
        reason: String,
    },
}

fn list(there: &[String], nothing: &str) -> String {
    if there.is_empty() { nothing.to_owned() } else { there.join(", ") }
}

/// A return value of PKCS#11 in few words: the crate's own are paragraphs of the standard.
pub(super) fn brief(error: &cryptoki::error::Error) -> String {
    match error {
        cryptoki::error::Error::Pkcs11(value, function) => {
            format!("{function} says {value:?}")
        }
        other => other.to_string(),
    }
}
