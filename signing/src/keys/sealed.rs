//! Keys sealed with a password, in the form that cosign shares with go-tuf and
//! go-securesystemslib (`encrypted/encrypted.go`): PEM over JSON
//! `{kdf: {name, params: {N, r, p}, salt}, cipher: {name, nonce}, ciphertext}`, byte strings in
//! base64; scrypt makes the key of a NaCl secretbox over PKCS#8.
//!
//! The parameters come from the file, so they are checked before a single byte is derived:
//! `N = 2^30` would ask for a terabyte, a short salt would panic further down.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{KeyError, SecretKey, openssl::SealedPkcs8, public::damaged, secret::random};

/// What cosign 2 and 3 write.
pub(super) const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// What cosign 1 wrote.
pub(super) const OLD_LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";

const KDF: &str = "scrypt";
const CIPHER: &str = "nacl/secretbox";
/// log2 of what cosign 2.5 and 3.1 write; go-securesystemslib calls it "standard".
const LOG_N: u8 = 16;
/// The N that are read: the older go-tuf wrote 32768.
const KNOWN_N: [u64; 2] = [32768, 65536];
const R: u32 = 8;
const P: u32 = 1;
const SALT: usize = 32;
const NONCE: usize = 24;
const KEY: usize = 32;
/// Of the secretbox: a 16-byte tag, then the PKCS#8, about 4,800 bytes for RSA-8192.
const CIPHERTEXT: std::ops::RangeInclusive<usize> = 17..=16 * 1024;

/// A key that needs a password, with parameters that are safe to use.
pub struct SealedKey(Seal);

enum Seal {
    Cosign(Envelope),
    Pkcs8(SealedPkcs8),
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: Base64,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: Base64,
}

/// Numbers of any size, so that an absurd one can be named.
#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: serde_json::Number,
    r: serde_json::Number,
    p: serde_json::Number,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: Base64,
}

/// Bytes that are base64 in JSON.
struct Base64(Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl SealedKey {
    /// Reads the JSON inside the PEM and checks every parameter.
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeyError> {
        let envelope: Envelope = serde_json::from_slice(json).map_err(damaged)?;
        let Envelope { kdf, cipher, ciphertext } = &envelope;
        let n = &kdf.params.n;
        let checks = [
            ("kdf.name", kdf.name.clone(), KDF, kdf.name == KDF),
            ("kdf.params.N", n.to_string(), "32768 or 65536", {
                n.as_u64().is_some_and(|n| KNOWN_N.contains(&n))
            }),
            ("kdf.params.r", kdf.params.r.to_string(), "8", {
                kdf.params.r.as_u64() == Some(R.into())
            }),
            ("kdf.params.p", kdf.params.p.to_string(), "1", {
                kdf.params.p.as_u64() == Some(P.into())
            }),
            ("length of kdf.salt", kdf.salt.0.len().to_string(), "32 bytes", {
                kdf.salt.0.len() == SALT
            }),
            ("cipher.name", cipher.name.clone(), CIPHER, cipher.name == CIPHER),
            ("length of cipher.nonce", cipher.nonce.0.len().to_string(), "24 bytes", {
                cipher.nonce.0.len() == NONCE
            }),
            ("length of ciphertext", ciphertext.0.len().to_string(), "17 to 16384 bytes", {
                CIPHERTEXT.contains(&ciphertext.0.len())
            }),
        ];
        for (name, value, expected, right) in checks {
            if !right {
                return Err(KeyError::AbsurdParameters { name, value, expected });
            }
        }
        Ok(Self(Seal::Cosign(envelope)))
    }

    /// Reads a PKCS#8 EncryptedPrivateKeyInfo and checks every parameter.
    pub(super) fn parse_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        SealedPkcs8::parse(der).map(Seal::Pkcs8).map(Self)
    }

    /// Opens it: one derivation, whatever kind of key is inside. Of a file that cosign wrote it takes
    /// a tenth of a second and 64 MiB; of a PKCS#8 as its parameters say, at most some seconds and
    /// 256 MiB.
    ///
    /// # Errors
    /// [`KeyError::WrongPassword`]; [`KeyError::UnsupportedKind`] or [`KeyError::Damaged`] for
    /// what was sealed.
    pub fn open(&self, password: &[u8]) -> Result<SecretKey, KeyError> {
        let envelope = match &self.0 {
            Seal::Cosign(envelope) => envelope,
            Seal::Pkcs8(sealed) => return sealed.open(password),
        };
        // Written again from what was checked, so that what is checked and what is used cannot
        // differ by a second reading of the same text.
        let json = serde_json::to_vec(envelope).map_err(damaged)?;
        let der = sigstore::crypto::signing_key::kdf::decrypt(&json, password)
            .map(Zeroizing::new)
            .map_err(|_| KeyError::WrongPassword)?;
        SecretKey::from_pkcs8_der(&der)
    }
}

impl std::fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedKey(..)")
    }
}

/// Seals `der` as cosign 2.5 and 3.1 do. sigstore's own `kdf::encrypt` derives with half their N.
pub(super) fn seal(der: &[u8], password: &[u8]) -> Result<Zeroizing<String>, KeyError> {
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    random(&mut salt)?;
    random(&mut nonce)?;

    let params = scrypt::Params::new(LOG_N, R, P).map_err(damaged)?;
    let mut key = Zeroizing::new([0; KEY]);
    scrypt::scrypt(password, &salt, &params, &mut *key).map_err(damaged)?;
    let ciphertext = crypto_secretbox::XSalsa20Poly1305::new((&*key).into())
        .encrypt((&nonce).into(), der)
        .map_err(damaged)?;

    let envelope = Envelope {
        kdf: Kdf {
            name: KDF.to_owned(),
            params: Params { n: (1_u32 << LOG_N).into(), r: R.into(), p: P.into() },
            salt: Base64(salt.to_vec()),
        },
        cipher: Cipher { name: CIPHER.to_owned(), nonce: Base64(nonce.to_vec()) },
        ciphertext: Base64(ciphertext),
    };
    let json = serde_json::to_vec(&envelope).map_err(damaged)?;
    pem_rfc7468::encode_string(LABEL, pem_rfc7468::LineEnding::LF, &json)
        .map(Zeroizing::new)
        .map_err(damaged)
}
