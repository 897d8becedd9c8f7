//! [`PublicKey`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use p384::ecdsa::signature::hazmat::PrehashVerifier as _;
use pkcs8::der::{Decode as _, Reader as _, SliceReader, asn1::UintRef};
use pkcs8::spki::SubjectPublicKeyInfoRef;
use pkcs8::{DecodePublicKey as _, EncodePublicKey as _, ObjectIdentifier};
use sha2::{Digest as _, Sha256};
use sigstore::crypto::{CosignVerificationKey, Signature as SigstoreSignature, SigningScheme};

use super::{KeyError, KeyKind, Pem};

/// RFC 8017, appendix A.1.
pub(crate) const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480, section 2.1.1.
pub(crate) const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 5480, section 2.1.1.1: secp256r1.
pub(crate) const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// RFC 5480, section 2.1.1.1: secp384r1.
pub(crate) const OID_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// RFC 8410, section 3.
pub(crate) const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A key that verifies.
#[derive(Clone)]
pub struct PublicKey {
    inner: Inner,
    spki: Vec<u8>,
}

#[derive(Clone)]
enum Inner {
    P256(CosignVerificationKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
    Rsa(CosignVerificationKey),
}

/// How a signature and a message go together under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The key made this signature over this message.
    Yes,
    /// It did not.
    No,
    /// It did not: such bytes are made by keys of this other kind.
    OtherKind(KeyKind),
    /// These bytes have not the form of a signature by such a key, which is what is said here, nor
    /// by any other.
    Malformed(&'static str),
}

impl PublicKey {
    /// Reads a key file: PEM `PUBLIC KEY` (SubjectPublicKeyInfo), or one line of base64 of the
    /// 32 bytes of an ed25519 key, as ostree keeps them.
    ///
    /// # Errors
    /// [`KeyError`] for anything else, also for a secret key.
    pub fn parse(file: &[u8]) -> Result<Self, KeyError> {
        match super::read_pem(file)? {
            Some(Pem { label, content }) if label == "PUBLIC KEY" => Self::from_spki_der(&content),
            Some(Pem { label, .. }) if label.ends_with("PRIVATE KEY") => Err(KeyError::SecretGiven),
            Some(Pem { label, .. }) => Err(KeyError::UnsupportedFile {
                hint: match label.as_str() {
                    "RSA PUBLIC KEY" => "convert it: openssl rsa -RSAPublicKey_in -pubout",
                    "CERTIFICATE" => "take its key: openssl x509 -noout -pubkey",
                    _ => "expected PUBLIC KEY",
                },
                label,
            }),
            None => {
                let raw = super::read_base64_line(file)?;
                match raw.len() {
                    32 => Self::from_ed25519_bytes(&raw),
                    64 => Err(KeyError::SecretGiven),
                    _ => Err(KeyError::NotAKey),
                }
            }
        }
    }

    /// From the DER of a SubjectPublicKeyInfo (RFC 5280, section 4.1).
    ///
    /// # Errors
    /// [`KeyError::UnsupportedKind`], or [`KeyError::Damaged`] when it is not DER, or not a point
    /// of its curve.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(damaged)?;
        let algorithm = info.algorithm;
        match kind_of(algorithm.oid, algorithm.parameters_oid().ok())? {
            KeyKind::EcdsaP256 => {
                Self::from_p256(&p256::PublicKey::from_public_key_der(der).map_err(damaged)?)
            }
            KeyKind::EcdsaP384 => {
                Self::from_p384(p384::PublicKey::from_public_key_der(der).map_err(damaged)?)
            }
            KeyKind::Ed25519 => {
                let bits = info.subject_public_key.as_bytes().unwrap_or_default();
                Self::from_ed25519_bytes(bits)
            }
            KeyKind::Rsa => {
                // RFC 3279, section 2.3.1. One key must not have several names.
                if algorithm.parameters.is_none_or(|parameters| !parameters.is_null()) {
                    return Err(damaged("the parameters of the RSA key are not NULL"));
                }
                check_rsa(info.subject_public_key.as_bytes().unwrap_or_default())?;
                let key = CosignVerificationKey::from_der(der, &SigningScheme::RSA_PKCS1_SHA256(0))
                    .map_err(damaged)?;
                Ok(Self { inner: Inner::Rsa(key), spki: der.to_vec() })
            }
        }
    }

    pub(super) fn from_p256(key: &p256::PublicKey) -> Result<Self, KeyError> {
        let spki = key.to_public_key_der().map_err(damaged)?.into_vec();
        let key = CosignVerificationKey::from_der(&spki, &SigningScheme::ECDSA_P256_SHA256_ASN1)
            .map_err(damaged)?;
        Ok(Self { inner: Inner::P256(key), spki })
    }

    pub(super) fn from_p384(key: p384::PublicKey) -> Result<Self, KeyError> {
        let spki = key.to_public_key_der().map_err(damaged)?.into_vec();
        Ok(Self { inner: Inner::P384(key.into()), spki })
    }

    /// From the 32 bytes of an ed25519 key.
    fn from_ed25519_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes.try_into().map_err(|_| KeyError::Damaged {
            detail: format!("an ed25519 key of {} bytes, expected 32", bytes.len()),
        })?;
        Self::from_ed25519(ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(damaged)?)
    }

    pub(super) fn from_ed25519(key: ed25519_dalek::VerifyingKey) -> Result<Self, KeyError> {
        if key.is_weak() {
            let detail = "an ed25519 key of small order, under which anything verifies";
            return Err(KeyError::Damaged { detail: detail.to_owned() });
        }
        let spki = key.to_public_key_der().map_err(damaged)?.into_vec();
        Ok(Self { inner: Inner::Ed25519(key), spki })
    }

    /// The kind.
    pub fn kind(&self) -> KeyKind {
        match self.inner {
            Inner::P256(_) => KeyKind::EcdsaP256,
            Inner::P384(_) => KeyKind::EcdsaP384,
            Inner::Ed25519(_) => KeyKind::Ed25519,
            Inner::Rsa(_) => KeyKind::Rsa,
        }
    }

    /// The DER of its SubjectPublicKeyInfo; points of elliptic curves uncompressed.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// PEM of [`spki_der`](Self::spki_der), labelled `PUBLIC KEY`: what cosign, containers/image
    /// and ostree's spki read.
    pub fn to_pem(&self) -> String {
        let base64 = BASE64.encode(&self.spki);
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for start in (0..base64.len()).step_by(64) {
            pem.push_str(&base64[start..base64.len().min(start + 64)]);
            pem.push('\n');
        }
        pem + "-----END PUBLIC KEY-----\n"
    }

    /// The line ostree reads as an ed25519 key, without its end; [`None`] for other kinds.
    pub fn to_ostree_line(&self) -> Option<String> {
        match &self.inner {
            Inner::Ed25519(key) => Some(BASE64.encode(key.as_bytes())),
            _ => None,
        }
    }

    /// The key's name: SHA-256 of [`spki_der`](Self::spki_der) in 64 lowercase hex digits.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.spki))
    }

    /// The same hash in base64, as sigstore's bundles name a key.
    pub fn hint(&self) -> String {
        BASE64.encode(Sha256::digest(&self.spki))
    }

    /// Whether the key made `signature` over `message`, with the one algorithm of its kind (see
    /// the [module](super)).
    pub(crate) fn fits(&self, message: &[u8], signature: &[u8]) -> Fit {
        match &self.inner {
            Inner::P256(key) => {
                if p256::ecdsa::DerSignature::from_bytes(signature).is_err() {
                    return misfit("an ECDSA signature in DER", signature);
                }
                sigstore_fits(key, message, signature)
            }
            Inner::P384(key) => match p384::ecdsa::Signature::from_der(signature) {
                Ok(signature) => {
                    fit(key.verify_prehash(&Sha256::digest(message), &signature).is_ok())
                }
                Err(_) => misfit("an ECDSA signature in DER", signature),
            },
            Inner::Ed25519(key) => match ed25519_dalek::Signature::from_slice(signature) {
                Ok(signature) => fit(key.verify_strict(message, &signature).is_ok()),
                Err(_) => misfit("64 bytes of an ed25519 signature", signature),
            },
            Inner::Rsa(key) => sigstore_fits(key, message, signature),
        }
    }

    /// The hash under which the signature fits although [`fits`](Self::fits) says no: cosign 3
    /// signs with SHA-384 on P-384 and with Ed25519ph where neither it nor anybody else
    /// verifies so. For a better message; such a signature is still not good.
    pub(crate) fn fits_with_other_hash(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Option<&'static str> {
        match &self.inner {
            Inner::P384(key) => {
                use p384::ecdsa::signature::Verifier as _;
                let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
                key.verify(message, &signature).is_ok().then_some("SHA-384")
            }
            Inner::Ed25519(key) => {
                use ed25519_dalek::Digest as _;
                let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
                let hash = ed25519_dalek::Sha512::new_with_prefix(message);
                key.verify_prehashed_strict(hash, None, &signature).is_ok().then_some("Ed25519ph")
            }
            Inner::P256(_) | Inner::Rsa(_) => None,
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind(), self.fingerprint())
    }
}

/// The kind that an algorithm and its parameters name.
pub(super) fn kind_of(
    algorithm: ObjectIdentifier,
    curve: Option<ObjectIdentifier>,
) -> Result<KeyKind, KeyError> {
    match (algorithm, curve) {
        (OID_EC, Some(OID_P256)) => Ok(KeyKind::EcdsaP256),
        (OID_EC, Some(OID_P384)) => Ok(KeyKind::EcdsaP384),
        (OID_ED25519, _) => Ok(KeyKind::Ed25519),
        (OID_RSA, _) => Ok(KeyKind::Rsa),
        (OID_EC, Some(curve)) => {
            Err(KeyError::UnsupportedKind { found: format!("ECDSA on the curve {curve}") })
        }
        (OID_EC, None) => {
            Err(KeyError::UnsupportedKind { found: "ECDSA on a curve without name".to_owned() })
        }
        (other, _) => Err(KeyError::UnsupportedKind { found: format!("algorithm {other}") }),
    }
}

/// Checks the RSAPublicKey (RFC 8017, appendix A.1.1) that is used only when verifying.
fn check_rsa(der: &[u8]) -> Result<(), KeyError> {
    let mut reader = SliceReader::new(der).map_err(damaged)?;
    let modulus_bits = reader
        .sequence(|fields| {
            let modulus = UintRef::decode(fields)?;
            UintRef::decode(fields)?;
            let leading = modulus.as_bytes().first().map_or(0, |byte| byte.leading_zeros());
            Ok(modulus.as_bytes().len() * 8 - leading as usize)
        })
        .and_then(|bits| reader.finish(bits))
        .map_err(damaged)?;
    if (2048..=8192).contains(&modulus_bits) {
        return Ok(());
    }
    Err(KeyError::UnsupportedKind { found: format!("RSA of {modulus_bits} bits") })
}

fn sigstore_fits(key: &CosignVerificationKey, message: &[u8], signature: &[u8]) -> Fit {
    fit(key.verify_signature(SigstoreSignature::Raw(signature), message).is_ok())
}

fn fit(fits: bool) -> Fit {
    if fits { Fit::Yes } else { Fit::No }
}

/// What is to be said of bytes that have not the expected form.
fn misfit(expected: &'static str, signature: &[u8]) -> Fit {
    let other = match signature.len() {
        64 => Some(KeyKind::Ed25519),
        _ if p256::ecdsa::DerSignature::from_bytes(signature).is_ok() => Some(KeyKind::EcdsaP256),
        _ if p384::ecdsa::DerSignature::from_bytes(signature).is_ok() => Some(KeyKind::EcdsaP384),
        // As long as the modulus, of 2048 to 8192 bits.
        256..=1024 => Some(KeyKind::Rsa),
        _ => None,
    };
    other.map_or(Fit::Malformed(expected), Fit::OtherKind)
}

pub(super) fn damaged(error: impl fmt::Display) -> KeyError {
    KeyError::Damaged { detail: error.to_string() }
}
