//! [`SecretKey`] and the file it is in.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::KeypairBytes;
use p256::elliptic_curve::rand_core::{OsRng, RngCore as _};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use pkcs8::der::Decode as _;
use pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, PrivateKeyInfo};
use sha2::{Digest as _, Sha256};
use sigstore::crypto::signing_key::{
    KeyPair as _, Signer as _,
    rsa::{DigestAlgorithm, PaddingScheme, RSASigner, keypair::RSAKeys},
};
use zeroize::Zeroizing;

use super::external::External;
use super::public::{damaged, kind_of};
use super::{KeyError, KeyKind, Pem, PublicKey, SealedKey, openssl, sealed};
use crate::SignError;

/// Bits of the RSA keys made here: 128 bits of strength (NIST SP 800-57 part 1, table 2).
const RSA_BITS: usize = 3072;

/// A key that signs: one whose parts are here, and wiped from memory when it is dropped, or one that
/// lives elsewhere and is asked ([`SecretKey::external`]).
#[derive(Clone)]
pub struct SecretKey {
    inner: Inner,
    public: PublicKey,
}

#[derive(Clone)]
enum Inner {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    Ed25519(ed25519_dalek::SigningKey),
    Rsa(RSAKeys),
    External(External),
}

/// What a file of a secret key holds.
#[derive(Debug)]
pub enum SecretKeyFile {
    /// A key that anybody may use who can read the file.
    Open(Box<SecretKey>),
    /// A key that needs a password.
    Sealed(SealedKey),
}

impl SecretKeyFile {
    /// Reads a file without opening what is sealed in it: cheap, and asks for no password.
    ///
    /// # Errors
    /// [`KeyError`] when the file holds no key that is read (see the [module](super)), or seals
    /// it with absurd parameters.
    pub fn parse(file: &[u8]) -> Result<Self, KeyError> {
        let Some(Pem { label, content }) = super::read_pem(file)? else {
            let raw = super::read_base64_line(file)?;
            return match raw.len() {
                64 => SecretKey::from_ostree_bytes(&raw).map(Self::open),
                32 => Err(KeyError::PublicGiven),
                _ => Err(KeyError::NotAKey),
            };
        };
        let hint = match label.as_str() {
            "PRIVATE KEY" => return SecretKey::from_pkcs8_der(&content).map(Self::open),
            sealed::LABEL | sealed::OLD_LABEL => {
                return SealedKey::parse(&content).map(Self::Sealed);
            }
            "PUBLIC KEY" => return Err(KeyError::PublicGiven),
            "EC PRIVATE KEY" => return SecretKey::from_sec1_der(&content).map(Self::open),
            "RSA PRIVATE KEY" => return SecretKey::from_pkcs1_der(&content).map(Self::open),
            openssl::ENCRYPTED_LABEL => return SealedKey::parse_pkcs8(&content).map(Self::Sealed),
            "OPENSSH PRIVATE KEY" => "convert it: ssh-keygen -p -m PKCS8",
            _ => "expected PRIVATE KEY or ENCRYPTED SIGSTORE PRIVATE KEY",
        };
        Err(KeyError::UnsupportedFile { label, hint })
    }

    fn open(key: SecretKey) -> Self {
        Self::Open(Box::new(key))
    }
}

impl SecretKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        // The generators of the curves panic where the operating system gives no randomness;
        // once it has given some it does not stop.
        random(&mut [0; 32])?;
        match kind {
            KeyKind::EcdsaP256 => Self::from_p256(p256::SecretKey::random(&mut OsRng)),
            KeyKind::EcdsaP384 => Self::from_p384(p384::SecretKey::random(&mut OsRng)),
            KeyKind::Ed25519 => {
                let mut seed = Zeroizing::new([0; 32]);
                random(&mut *seed)?;
                Self::from_ed25519(ed25519_dalek::SigningKey::from_bytes(&seed))
            }
            KeyKind::Rsa => {
                let keys = RSAKeys::new(RSA_BITS)
                    .map_err(|e| KeyError::NoRandomness { detail: e.to_string() })?;
                Self::from_rsa(keys)
            }
        }
    }

    /// Reads a file, and asks for the password only when the key in it is sealed.
    ///
    /// # Errors
    /// What `password` says; [`KeyError`] when the file holds no key that is read, is sealed with
    /// absurd parameters, or has another password.
    pub fn parse<E: From<KeyError>>(
        file: &[u8],
        password: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        match SecretKeyFile::parse(file)? {
            SecretKeyFile::Open(key) => Ok(*key),
            SecretKeyFile::Sealed(sealed) => Ok(sealed.open(&password()?)?),
        }
    }

    /// A key that lives elsewhere: `public` is its public half, `name` what it is called in messages,
    /// and `sign` has it sign a message with the one algorithm of its kind (see the
    /// [module](super)), or says why it cannot. A signature by ECDSA is in DER, or `r` and `s` side
    /// by side. It need not be the same each time.
    ///
    /// Every answer is verified with `public` before it is used; a wrong one is
    /// [`SignError::WrongAnswer`].
    pub fn external(
        public: PublicKey,
        name: impl Into<String>,
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { inner: Inner::External(External::new(name.into(), sign)), public }
    }

    /// From the DER of a PKCS#8 PrivateKeyInfo (RFC 5208).
    ///
    /// # Errors
    /// [`KeyError::UnsupportedKind`] or [`KeyError::Damaged`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = PrivateKeyInfo::from_der(der).map_err(damaged)?;
        let algorithm = info.algorithm;
        match kind_of(algorithm.oid, algorithm.parameters_oid().ok())? {
            KeyKind::EcdsaP256 => {
                Self::from_p256(p256::SecretKey::from_pkcs8_der(der).map_err(damaged)?)
            }
            KeyKind::EcdsaP384 => {
                Self::from_p384(p384::SecretKey::from_pkcs8_der(der).map_err(damaged)?)
            }
            KeyKind::Ed25519 => {
                Self::from_ed25519(ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(damaged)?)
            }
            KeyKind::Rsa => Self::from_rsa(RSAKeys::from_pkcs8_der(der).map_err(damaged)?),
        }
    }

    /// From ostree's 64 bytes: seed, then public key.
    fn from_ostree_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes.try_into().map_err(|_| KeyError::NotAKey)?;
        ed25519_dalek::SigningKey::from_keypair_bytes(bytes)
            .map_err(|_| KeyError::Damaged {
                detail: "the public half of the ed25519 key does not belong to its seed".to_owned(),
            })
            .and_then(Self::from_ed25519)
    }

    fn from_p256(key: p256::SecretKey) -> Result<Self, KeyError> {
        let public = PublicKey::from_p256(&key.public_key())?;
        Ok(Self { inner: Inner::P256(key), public })
    }

    fn from_p384(key: p384::SecretKey) -> Result<Self, KeyError> {
        let public = PublicKey::from_p384(key.public_key())?;
        Ok(Self { inner: Inner::P384(key), public })
    }

    fn from_ed25519(key: ed25519_dalek::SigningKey) -> Result<Self, KeyError> {
        let public = PublicKey::from_ed25519(key.verifying_key())?;
        Ok(Self { inner: Inner::Ed25519(key), public })
    }

    fn from_rsa(keys: RSAKeys) -> Result<Self, KeyError> {
        let public = PublicKey::from_spki_der(&keys.public_key_to_der().map_err(damaged)?)?;
        Ok(Self { inner: Inner::Rsa(keys), public })
    }

    /// The kind.
    pub fn kind(&self) -> KeyKind {
        self.public.kind()
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// PKCS#8 DER, unencrypted. Version 1, without the public key that version 2 may carry: every
    /// reader takes that.
    ///
    /// # Errors
    /// [`KeyError::Elsewhere`]; [`KeyError::Damaged`] when the key cannot be encoded, which no key
    /// read or made here does.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.inner {
            Inner::P256(key) => key.to_pkcs8_der(),
            Inner::P384(key) => key.to_pkcs8_der(),
            Inner::Ed25519(key) => {
                KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_der()
            }
            Inner::Rsa(keys) => return keys.private_key_to_der().map_err(damaged),
            Inner::External(it) => {
                return Err(KeyError::Elsewhere { signer: it.name().to_owned() });
            }
        };
        Ok(document.map_err(damaged)?.to_bytes())
    }

    /// Seals the key with a password as cosign does: PEM `ENCRYPTED SIGSTORE PRIVATE KEY`.
    /// Takes a tenth of a second and 64 MiB, which is its purpose.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`], [`KeyError::Elsewhere`].
    pub fn to_encrypted_pem(&self, password: &[u8]) -> Result<Zeroizing<String>, KeyError> {
        sealed::seal(&self.to_pkcs8_der()?, password)
    }

    /// The line ostree reads as an ed25519 secret key, without its end; [`None`] for other kinds.
    pub fn to_ostree_line(&self) -> Option<Zeroizing<String>> {
        match &self.inner {
            Inner::Ed25519(key) => {
                let bytes = Zeroizing::new(key.to_keypair_bytes());
                Some(Zeroizing::new(BASE64.encode(*bytes)))
            }
            _ => None,
        }
    }

    /// Signs with the one algorithm of its kind (see the [module](super)).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let unusable = |detail: String| SignError::UnusableKey { kind: self.kind(), detail };
        match &self.inner {
            Inner::External(it) => it.sign(&self.public, message),
            Inner::P256(key) => {
                let key = p256::ecdsa::SigningKey::from(key);
                let signature: p256::ecdsa::DerSignature =
                    key.try_sign(message).map_err(|e| unusable(e.to_string()))?;
                Ok(signature.as_bytes().to_vec())
            }
            Inner::P384(key) => {
                let key = p384::ecdsa::SigningKey::from(key);
                let signature: p384::ecdsa::DerSignature = key
                    .sign_prehash(&Sha256::digest(message))
                    .map_err(|e| unusable(e.to_string()))?;
                Ok(signature.as_bytes().to_vec())
            }
            Inner::Ed25519(key) => Ok(key.sign(message).to_vec()),
            Inner::Rsa(keys) => {
                let (digest, padding) = (DigestAlgorithm::Sha256, PaddingScheme::PKCS1v15);
                RSASigner::from_rsa_keys(keys, digest, padding)
                    .sign(message)
                    .map_err(|e| unusable(e.to_string()))
            }
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({} of {:?})", self.kind(), self.public)
    }
}

/// Fills `bytes` from the operating system.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), KeyError> {
    OsRng.try_fill_bytes(bytes).map_err(|e| KeyError::NoRandomness { detail: e.to_string() })
}
