//! [`Key`]: the keys of certificates and logs, which say themselves with which hash they are used.

use aws_lc_rs::digest as hash;
use aws_lc_rs::signature as alg;
use aws_lc_rs::signature::UnparsedPublicKey;
use pkcs8::ObjectIdentifier;
use pkcs8::spki::SubjectPublicKeyInfoRef;
use x509_cert::der::Decode as _;

use crate::keys::{OID_EC, OID_ED25519, OID_P256, OID_P384, OID_RSA};

/// RFC 5480, section 2.1.1.1: secp521r1.
const OID_P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// A hash that signatures are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub fn of(self, message: &[u8]) -> Vec<u8> {
        hash::digest(self.algorithm(), message).as_ref().to_vec()
    }

    fn algorithm(self) -> &'static hash::Algorithm {
        match self {
            Self::Sha256 => &hash::SHA256,
            Self::Sha384 => &hash::SHA384,
            Self::Sha512 => &hash::SHA512,
        }
    }

    /// The hash of an algorithm identifier: NIST's arc for hash functions (RFC 5754, section 2).
    pub fn by_oid(oid: &ObjectIdentifier) -> Option<Self> {
        const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
        const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
        const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
        match *oid {
            SHA256 => Some(Self::Sha256),
            SHA384 => Some(Self::Sha384),
            SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    P384,
    P521,
    Rsa,
    Ed25519,
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    kind: Kind,
    /// A point, uncompressed; an RSAPublicKey; or 32 bytes.
    raw: Vec<u8>,
}

impl Key {
    /// From the DER of a SubjectPublicKeyInfo.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
        let curve = info.algorithm.parameters_oid().ok();
        let kind = match (info.algorithm.oid, curve) {
            (OID_EC, Some(OID_P256)) => Kind::P256,
            (OID_EC, Some(OID_P384)) => Kind::P384,
            (OID_EC, Some(OID_P521)) => Kind::P521,
            (OID_RSA, _) => Kind::Rsa,
            (OID_ED25519, None) => Kind::Ed25519,
            _ => return None,
        };
        Some(Self { kind, raw: info.subject_public_key.as_bytes()?.to_vec() })
    }

    /// From the DER of an RSAPublicKey (RFC 8017, appendix A.1.1), as trusted roots have old keys.
    pub fn from_pkcs1(der: &[u8]) -> Self {
        Self { kind: Kind::Rsa, raw: der.to_vec() }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the key made `signature` over the `hash` of `message`; Ed25519 knows no hash.
    pub fn fits(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        if self.kind == Kind::Ed25519 {
            return self.dalek().is_some_and(|key| {
                ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            });
        }
        self.fits_digest(hash, &hash.of(message), signature)
    }

    /// The same with the hash of the message. Never with Ed25519, which needs the message.
    pub fn fits_digest(&self, hash: Hash, digest: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn alg::VerificationAlgorithm = match (self.kind, hash) {
            (Kind::P256, Hash::Sha256) => &alg::ECDSA_P256_SHA256_ASN1,
            (Kind::P256, Hash::Sha384) => &alg::ECDSA_P256_SHA384_ASN1,
            (Kind::P256, Hash::Sha512) => &alg::ECDSA_P256_SHA512_ASN1,
            (Kind::P384, Hash::Sha256) => &alg::ECDSA_P384_SHA256_ASN1,
            (Kind::P384, Hash::Sha384) => &alg::ECDSA_P384_SHA384_ASN1,
            (Kind::P384, Hash::Sha512) => &alg::ECDSA_P384_SHA512_ASN1,
            (Kind::P521, Hash::Sha256) => &alg::ECDSA_P521_SHA256_ASN1,
            (Kind::P521, Hash::Sha384) => &alg::ECDSA_P521_SHA384_ASN1,
            (Kind::P521, Hash::Sha512) => &alg::ECDSA_P521_SHA512_ASN1,
            (Kind::Rsa, Hash::Sha256) => &alg::RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa, Hash::Sha384) => &alg::RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, Hash::Sha512) => &alg::RSA_PKCS1_2048_8192_SHA512,
            (Kind::Ed25519, _) => return false,
        };
        let digest = hash::Digest::import_less_safe(digest, hash.algorithm());
        digest.is_ok_and(|digest| {
            UnparsedPublicKey::new(algorithm, &self.raw).verify_digest(&digest, signature).is_ok()
        })
    }

    /// Whether it is an Ed25519 key that made `signature` over `message` in the variant Ed25519ph
    /// of RFC 8032, as cosign 3.1 signs images and attestations by mistake, and as files are signed
    /// with a certificate of such a key. With a key alone cosign signs files in plain Ed25519.
    pub fn fits_ed25519ph(&self, message: &[u8], signature: &[u8]) -> bool {
        use ed25519_dalek::Digest as _;
        if self.kind != Kind::Ed25519 {
            return false;
        }
        let hash = ed25519_dalek::Sha512::new_with_prefix(message);
        self.dalek().is_some_and(|key| {
            ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_prehashed_strict(hash, None, &signature).is_ok())
        })
    }

    fn dalek(&self) -> Option<ed25519_dalek::VerifyingKey> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(self.raw.as_slice().try_into().ok()?);
        key.ok().filter(|key| !key.is_weak())
    }
}
