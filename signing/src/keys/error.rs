//! [`KeyError`].

/// Why a key cannot be read, opened or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither PEM nor one of ostree's lines.
    #[error("not a key: expected PEM, or one line of base64 as ostree keeps ed25519 keys")]
    NotAKey,
    /// Longer than any key.
    #[error("not a key: {length} bytes are more than any key has")]
    TooLong {
        /// Length of the file.
        length: usize,
    },
    /// A public key was given where the secret one is needed.
    #[error("a public key: signing needs the secret key that belongs to it")]
    PublicGiven,
    /// A secret key was given where the public one is needed.
    #[error("a secret key: give the public key that belongs to it, and keep this one to yourself")]
    SecretGiven,
    /// PEM of something that is not read.
    #[error("PEM of {label:?} is not supported: {hint}")]
    UnsupportedFile {
        /// What stands after `BEGIN`.
        label: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A key of a kind that is not read.
    #[error(
        "unsupported kind of key: {found}; expected ECDSA P-256 or P-384, Ed25519, or RSA of 2048 \
         to 8192 bits"
    )]
    UnsupportedKind {
        /// The kind, as far as it is known.
        found: String,
    },
    /// The file is what it should be, but its content is not.
    #[error("damaged key: {detail}")]
    Damaged {
        /// What is wrong.
        detail: String,
    },
    /// A sealed key asks for a derivation that nobody writes: it would cost absurd amounts
    /// of memory or time, or protect nothing.
    #[error("absurd parameters: {name} is {value}, expected {expected}")]
    AbsurdParameters {
        /// The parameter.
        name: &'static str,
        /// Its value in the file.
        value: String,
        /// What is read.
        expected: &'static str,
    },
    /// The password does not open the key.
    #[error("wrong password (or the sealed key was changed)")]
    WrongPassword,
    /// The secret half of a key that lives elsewhere is asked for.
    #[error("{signer} keeps this key to itself: it signs, and cannot be copied from there")]
    Elsewhere {
        /// Where it lives.
        signer: String,
    },
    /// The operating system gives no random bytes.
    #[error("no randomness from the operating system: {detail}")]
    NoRandomness {
        /// What it says.
        detail: String,
    },
}
