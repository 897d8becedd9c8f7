//! The files in which OpenSSL keeps secret keys: what is in them is put into PKCS#8, which is what
//! it means, and read as that.

use pkcs8::der::asn1::{AnyRef, ContextSpecific, ObjectIdentifier, OctetStringRef};
use pkcs8::der::{Decode as _, Encode as _, Reader as _, SliceReader, TagNumber};
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::pkcs5::{self, EncryptionScheme};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::public::{OID_EC, OID_RSA, damaged};
use super::{KeyError, SecretKey};

/// The label of a PKCS#8 EncryptedPrivateKeyInfo (RFC 5958, section 3).
pub(super) const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// OpenSSL writes 2048; password managers some hundred thousands. Ten millions take seconds.
const MAX_ITERATIONS: u32 = 10_000_000;
/// log2 of the largest N of scrypt; OpenSSL writes 14.
const MAX_LOG_N: u32 = 18;
/// The r and the largest p of scrypt: with [`MAX_LOG_N`] 256 MiB, and some seconds.
const SCRYPT_R: u16 = 8;
const MAX_SCRYPT_P: u16 = 4;

impl SecretKey {
    /// From the DER of an ECPrivateKey (RFC 5915, section 3), which must name its curve.
    pub(super) fn from_sec1_der(der: &[u8]) -> Result<Self, KeyError> {
        let curve = SliceReader::new(der)
            .and_then(|mut reader| {
                reader.sequence(|fields| {
                    u8::decode(fields)?;
                    OctetStringRef::decode(fields)?;
                    let curve = ContextSpecific::<ObjectIdentifier>::decode_explicit(
                        fields,
                        TagNumber::N0,
                    )?;
                    // The public key, which is computed again.
                    fields.read_slice(fields.remaining_len())?;
                    Ok(curve)
                })
            })
            .map_err(damaged)?;
        let Some(curve) = curve else {
            let found = "ECDSA on a curve that the file does not name".to_owned();
            return Err(KeyError::UnsupportedKind { found });
        };
        Self::from_algorithm(OID_EC, (&curve.value).into(), der)
    }

    /// From the DER of an RSAPrivateKey (RFC 8017, appendix A.1.2).
    pub(super) fn from_pkcs1_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_algorithm(OID_RSA, AnyRef::NULL, der)
    }

    fn from_algorithm(
        oid: ObjectIdentifier,
        parameters: AnyRef<'_>,
        der: &[u8],
    ) -> Result<Self, KeyError> {
        let algorithm = AlgorithmIdentifierRef { oid, parameters: Some(parameters) };
        let info = PrivateKeyInfo::new(algorithm, der).to_der().map(Zeroizing::new);
        Self::from_pkcs8_der(&info.map_err(damaged)?)
    }
}

/// An EncryptedPrivateKeyInfo whose parameters are safe to use.
pub(super) struct SealedPkcs8(Vec<u8>);

impl SealedPkcs8 {
    /// Checks every parameter; derives nothing.
    pub(super) fn parse(der: &[u8]) -> Result<Self, KeyError> {
        let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| unsupported())?;
        let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
            return Err(unsupported());
        };
        let absurd = |name, value: String, expected| {
            Err(KeyError::AbsurdParameters { name, value, expected })
        };
        match &parameters.kdf {
            Kdf::Pbkdf2(kdf) if !(1..=MAX_ITERATIONS).contains(&kdf.iteration_count) => {
                let expected = "1 to 10000000";
                absurd("PBKDF2's iteration count", kdf.iteration_count.to_string(), expected)?;
            }
            Kdf::Scrypt(kdf) => {
                let n = kdf.cost_parameter;
                if !n.is_power_of_two() || !(1..=MAX_LOG_N).contains(&n.ilog2()) {
                    absurd("scrypt's N", n.to_string(), "a power of 2 up to 262144")?;
                }
                if kdf.block_size != SCRYPT_R {
                    absurd("scrypt's r", kdf.block_size.to_string(), "8")?;
                }
                if !(1..=MAX_SCRYPT_P).contains(&kdf.parallelization) {
                    absurd("scrypt's p", kdf.parallelization.to_string(), "1 to 4")?;
                }
            }
            Kdf::Pbkdf2(_) => {}
            _ => return Err(unsupported()),
        }
        Ok(Self(der.to_vec()))
    }

    /// Opens it.
    pub(super) fn open(&self, password: &[u8]) -> Result<SecretKey, KeyError> {
        let info = EncryptedPrivateKeyInfo::from_der(&self.0).map_err(damaged)?;
        let document = info.decrypt(password).map_err(|error| match error {
            // pkcs5 0.7 says so of a padding that is not one.
            pkcs8::Error::EncryptedPrivateKey(
                pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed,
            ) => KeyError::WrongPassword,
            pkcs8::Error::EncryptedPrivateKey(_) => unsupported(),
            // Nothing authenticates the ciphertext: with a wrong password one try in 256 gives
            // bytes that end as they should, and are no DER.
            _ => KeyError::WrongPassword,
        })?;
        if PrivateKeyInfo::from_der(document.as_bytes()).is_err() {
            return Err(KeyError::WrongPassword);
        }
        SecretKey::from_pkcs8_der(document.as_bytes())
    }
}

fn unsupported() -> KeyError {
    KeyError::UnsupportedFile {
        label: ENCRYPTED_LABEL.to_owned(),
        hint: "sealed in a way that is not read; seal it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc",
    }
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::pbes2::{Parameters, Pbkdf2Params, ScryptParams};

    use super::*;
    use crate::KeyKind;
    use crate::keys::SecretKeyFile;

    fn pem(label: &str, der: &[u8]) -> String {
        pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap()
    }

    fn open(file: &str) -> Result<SecretKey, KeyError> {
        SecretKey::parse(file.as_bytes(), || panic!("asked for a password"))
    }

    #[test]
    fn the_older_files_of_openssl_hold_the_same_keys() {
        for (kind, label) in [
            (KeyKind::EcdsaP256, "EC PRIVATE KEY"),
            (KeyKind::EcdsaP384, "EC PRIVATE KEY"),
            (KeyKind::Rsa, "RSA PRIVATE KEY"),
        ] {
            let key = SecretKey::generate(kind).unwrap();
            let der = key.to_pkcs8_der().unwrap();
            let info = PrivateKeyInfo::from_der(&der).unwrap();
            let curve = info.algorithm.parameters_oid().ok();
            let body = match curve {
                // PKCS#8 names the curve outside; a file of SEC 1 does so inside.
                Some(curve) => with_curve(info.private_key, curve),
                None => info.private_key.to_vec(),
            };
            let file = pem(label, &body);
            assert_eq!(open(&file).unwrap().public(), key.public(), "{kind}");
            if let Some(curve) = curve {
                // As `openssl ecparam -genkey` writes it.
                let file = pem("EC PARAMETERS", &curve.to_der().unwrap()) + &file;
                assert_eq!(open(&file).unwrap().public(), key.public(), "{kind}");
                let nameless = open(&pem(label, info.private_key)).unwrap_err();
                assert!(matches!(nameless, KeyError::UnsupportedKind { .. }), "{nameless:?}");
            }
            for cut in 0..body.len() {
                assert!(open(&pem(label, &body[..cut])).is_err(), "{kind} cut at {cut}");
            }
            let mut headed = file.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1);
            let refused = open(&headed).unwrap_err();
            assert!(matches!(refused, KeyError::UnsupportedFile { .. }), "{refused:?}");
            headed.truncate(40);
            assert!(open(&headed).is_err());
        }
    }

    /// An ECPrivateKey with the curve put in.
    fn with_curve(sec1: &[u8], curve: ObjectIdentifier) -> Vec<u8> {
        let mut reader = SliceReader::new(sec1).unwrap();
        let (version, secret, rest) = reader
            .sequence(|fields| {
                let version = u8::decode(fields)?;
                let secret = OctetStringRef::decode(fields)?;
                Ok((version, secret, fields.read_slice(fields.remaining_len())?))
            })
            .unwrap();
        let name = ContextSpecific {
            tag_number: TagNumber::N0,
            tag_mode: pkcs8::der::TagMode::Explicit,
            value: curve,
        };
        let fields = [
            version.to_der().unwrap(),
            secret.to_der().unwrap(),
            name.to_der().unwrap(),
            rest.to_vec(),
        ]
        .concat();
        let length = pkcs8::der::Length::try_from(fields.len()).unwrap();
        let header = pkcs8::der::Header::new(pkcs8::der::Tag::Sequence, length).unwrap();
        [header.to_der().unwrap(), fields].concat()
    }

    fn sealed(parameters: Parameters<'_>, der: &[u8]) -> Vec<u8> {
        let info = PrivateKeyInfo::from_der(der).unwrap();
        info.encrypt_with_params(parameters, b"a password").unwrap().as_bytes().to_vec()
    }

    #[test]
    fn sealed_pkcs8_opens_with_its_password() {
        let (salt, iv) = ([1; 16], [2; 16]);
        let scrypt = pkcs8::pkcs5::scrypt::Params::new(10, 8, 1, 32).unwrap();
        for kind in KeyKind::ALL {
            let key = SecretKey::generate(kind).unwrap();
            for parameters in [
                Parameters::pbkdf2_sha256_aes256cbc(2048, &salt, &iv).unwrap(),
                Parameters::scrypt_aes256cbc(scrypt, &salt, &iv).unwrap(),
            ] {
                let der = sealed(parameters, &key.to_pkcs8_der().unwrap());
                let file = pem(ENCRYPTED_LABEL, &der);
                let SecretKeyFile::Sealed(sealed) = SecretKeyFile::parse(file.as_bytes()).unwrap()
                else {
                    panic!("not sealed");
                };
                assert_eq!(sealed.open(b"a password").unwrap().public(), key.public());
                for wrong in 0..40_u8 {
                    assert_eq!(sealed.open(&[wrong]).unwrap_err(), KeyError::WrongPassword);
                }
            }
        }
    }

    #[test]
    fn what_openssl_sealed_is_read() {
        // openssl genpkey -algorithm ed25519 | openssl pkcs8 -topk8 -passout pass:treelay
        let file = include_bytes!("../../fixtures/openssl-sealed.pem");
        let key = SecretKey::parse(file, || Ok::<_, KeyError>(Zeroizing::new(b"treelay".to_vec())));
        let public = include_str!("../../fixtures/openssl-sealed.pub");
        assert_eq!(key.unwrap().public().to_pem(), public);
        // openssl pkcs8 -topk8 -v1 PBE-MD5-DES
        let file = include_bytes!("../../fixtures/openssl-sealed-pbes1.pem");
        let refused = SecretKeyFile::parse(file).map(|_| ()).unwrap_err();
        assert!(matches!(refused, KeyError::UnsupportedFile { .. }), "{refused:?}");
    }

    #[test]
    fn absurd_parameters_are_refused_before_anything_is_derived() {
        let (salt, iv) = ([1; 16], [2; 16]);
        let pbkdf2 = |count| {
            let kdf = Pbkdf2Params { iteration_count: count, ..pbkdf2_params(&salt) };
            (Kdf::Pbkdf2(kdf), "PBKDF2's iteration count")
        };
        let scrypt = |n, r, p, name| {
            let kdf = ScryptParams {
                salt: &salt,
                cost_parameter: n,
                block_size: r,
                parallelization: p,
                key_length: None,
            };
            (Kdf::Scrypt(kdf), name)
        };
        for (kdf, expected) in [
            pbkdf2(0),
            pbkdf2(10_000_001),
            pbkdf2(100_000_000),
            scrypt(1 << 30, 8, 1, "scrypt's N"),
            scrypt(1 << 63, 8, 1, "scrypt's N"),
            scrypt(1000, 8, 1, "scrypt's N"),
            scrypt(1, 8, 1, "scrypt's N"),
            scrypt(0, 8, 1, "scrypt's N"),
            scrypt(1 << 14, u16::MAX, 1, "scrypt's r"),
            scrypt(1 << 14, 0, 1, "scrypt's r"),
            scrypt(1 << 14, 8, u16::MAX, "scrypt's p"),
            scrypt(1 << 14, 8, 0, "scrypt's p"),
        ] {
            let encryption = pkcs8::pkcs5::pbes2::EncryptionScheme::Aes256Cbc { iv: &iv };
            let info = EncryptedPrivateKeyInfo {
                encryption_algorithm: Parameters { kdf, encryption }.into(),
                encrypted_data: &[0; 64],
            };
            let refused = SealedPkcs8::parse(&info.to_der().unwrap()).map(|_| ()).unwrap_err();
            match refused {
                KeyError::AbsurdParameters { name, .. } => assert_eq!(name, expected),
                // What the decoder refuses by itself.
                KeyError::UnsupportedFile { .. } if expected.starts_with("PBKDF2") => {}
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

    fn pbkdf2_params(salt: &[u8]) -> Pbkdf2Params<'_> {
        Pbkdf2Params::hmac_with_sha256(1, salt).unwrap()
    }
}
