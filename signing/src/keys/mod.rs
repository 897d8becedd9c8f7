//! Secret and public keys, and the files they live in.
//!
//! | file | read | written |
//! |---|---|---|
//! | `ENCRYPTED SIGSTORE PRIVATE KEY` (cosign 2 and 3) | yes | [`SecretKey::to_encrypted_pem`] |
//! | `ENCRYPTED COSIGN PRIVATE KEY` (cosign 1) | yes | |
//! | `PRIVATE KEY`: unencrypted PKCS#8 | yes | |
//! | `ENCRYPTED PRIVATE KEY`: PKCS#8 with a password (PBES2), as OpenSSL seals it | yes | |
//! | `EC PRIVATE KEY`, `RSA PRIVATE KEY`: OpenSSL's older files, without password | yes | |
//! | ostree's ed25519 secret key: base64 of seed and public key, one line | yes | |
//! | `PUBLIC KEY`: SubjectPublicKeyInfo | yes | [`PublicKey::to_pem`] |
//! | ostree's ed25519 public key: base64 of 32 bytes, one line | yes | [`PublicKey::to_ostree_line`] |
//! | several public keys in one file, as ostree has them | [`KeyList::parse`] | |
//!
//! A key has one way to sign, which is the default of its kind in OpenSSL and in Go's sigstore
//! library, and the one every verifier of images and commits computes: ECDSA over SHA-256 in
//! ASN.1 DER, also on P-384; plain Ed25519; RSA PKCS#1 v1.5 over SHA-256. With keys of files all of
//! them are deterministic (ECDSA by RFC 6979), so that signing twice gives the same bytes. A key that
//! lives elsewhere ([`SecretKey::external`]) may take random numbers: whether it has signed
//! something is to be found out by verifying what is there, never by comparing.

mod error;
mod external;
mod kind;
mod list;
mod openssl;
mod parts;
mod public;
mod sealed;
mod secret;
#[cfg(test)]
mod tests;

pub use error::KeyError;
pub use kind::{KeyKind, UnknownKeyKind};
pub use list::{KeyList, KeyListError};
pub(crate) use public::Fit;
pub use public::PublicKey;
pub(crate) use public::{OID_EC, OID_ED25519, OID_P256, OID_P384, OID_RSA};
pub use sealed::SealedKey;
pub use secret::{SecretKey, SecretKeyFile};

use zeroize::Zeroizing;

/// Longest file that is looked at for a key; the longest real one, a sealed RSA-8192 key, has
/// about 9,000 bytes.
const MAX_FILE: usize = 64 * 1024;

/// A PEM file, decoded.
struct Pem {
    label: String,
    content: Zeroizing<Vec<u8>>,
}

/// Decodes a PEM file; [`None`] when it is not PEM at all.
fn read_pem(file: &[u8]) -> Result<Option<Pem>, KeyError> {
    if file.len() > MAX_FILE {
        return Err(KeyError::TooLong { length: file.len() });
    }
    let text = std::str::from_utf8(file).map_err(|_| KeyError::NotAKey)?;
    // Everything in front of the block is comment (RFC 7468, section 2); `openssl` and `cat` also
    // leave blank lines after it.
    // `openssl ecparam -genkey` puts a block in front that says what the key's own says again.
    let text = match text.split_once("-----END EC PARAMETERS-----") {
        Some((_, rest)) if rest.contains("-----BEGIN ") => rest,
        _ => text,
    };
    let Some(start) = text.find("-----BEGIN ") else { return Ok(None) };
    let text = text[start..].trim_end();
    if let Some(label) = text.strip_prefix("-----BEGIN ").and_then(|it| it.split("-----").next())
        && text.lines().nth(1).is_some_and(|line| line.starts_with("Proc-Type:"))
    {
        let hint = "sealed in OpenSSL's oldest way; seal it anew: openssl pkcs8 -topk8";
        return Err(KeyError::UnsupportedFile { label: label.to_owned(), hint });
    }
    let block = text.as_bytes();
    let damaged = |e: pem_rfc7468::Error| KeyError::Damaged { detail: format!("PEM: {e}") };
    let label = pem_rfc7468::decode_label(block).map_err(damaged)?.to_owned();
    let (_, content) = pem_rfc7468::decode_vec(block).map_err(damaged)?;
    Ok(Some(Pem { label, content: Zeroizing::new(content) }))
}

/// Decodes a file of one line of base64, as ostree keeps keys.
fn read_base64_line(file: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(file.trim_ascii())
        .map(Zeroizing::new)
        .map_err(|_| KeyError::NotAKey)
}
