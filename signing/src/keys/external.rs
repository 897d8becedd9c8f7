//! Keys that live elsewhere: in a token, behind a service. What is known of one is its public key,
//! and a function that has it sign.
//!
//! The function is somebody else's: whatever it answers is verified before it is used, so that a
//! signer that holds another key, or hashes otherwise, is found out here and not by a host.

use std::fmt;
use std::sync::Arc;

use super::{Fit, KeyKind, PublicKey};
use crate::SignError;

/// Takes the message, gives the signature.
type SignFn = dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync;

/// Who signs.
#[derive(Clone)]
pub(super) struct External {
    name: String,
    sign: Arc<SignFn>,
}

impl External {
    pub(super) fn new(
        name: String,
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { name, sign: Arc::new(sign) }
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Has `message` signed, and takes the answer only when `public` verifies it.
    pub(super) fn sign(&self, public: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signer = || self.name.clone();
        let answer = (self.sign)(message)
            .map_err(|detail| SignError::Signer { signer: signer(), detail })?;
        let answer = public.ecdsa_in_der(&answer).unwrap_or(answer);
        let detail = match public.fits(message, &answer) {
            Fit::Yes => return Ok(answer),
            Fit::Malformed(expected) => {
                format!("{} bytes, expected {expected}", answer.len())
            }
            Fit::OtherKind(kind) => format!("a signature as {kind} keys make it"),
            Fit::No => match public.fits_with_other_hash(message, &answer) {
                Some(hash) => format!("a signature with {hash}, which verifiers do not compute"),
                None => "a signature by another key, or of something else".to_owned(),
            },
        };
        let (kind, fingerprint) = (public.kind(), public.fingerprint());
        Err(SignError::WrongAnswer { signer: signer(), kind, fingerprint, detail })
    }
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "External({})", self.name)
    }
}

impl PublicKey {
    /// The DER of an ECDSA signature that is `r` and `s` side by side, as PKCS#11 (section 6.3.1 of
    /// its 3.0 mechanisms) and JOSE have them; [`None`] of anything else.
    fn ecdsa_in_der(&self, signature: &[u8]) -> Option<Vec<u8>> {
        match (self.kind(), signature.len()) {
            (KeyKind::EcdsaP256, 64) => {
                let signature = p256::ecdsa::Signature::from_slice(signature).ok()?;
                Some(signature.to_der().as_bytes().to_vec())
            }
            (KeyKind::EcdsaP384, 96) => {
                let signature = p384::ecdsa::Signature::from_slice(signature).ok()?;
                Some(signature.to_der().as_bytes().to_vec())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::schemes::{SCHEMES, sign_all};
    use crate::{KeyError, KeyKind, SecretKey, SignError, Subject};

    const IMAGE: Subject<'_> = Subject::Image {
        digest: "sha256:db270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683",
        reference: Some("registry.example/a:1"),
    };

    /// A key whose secret half is in a closure.
    fn elsewhere(key: &SecretKey, change: fn(Vec<u8>) -> Vec<u8>) -> SecretKey {
        let (public, key) = (key.public().clone(), key.clone());
        let sign = move |message: &[u8]| key.sign(message).map(change).map_err(|e| e.to_string());
        SecretKey::external(public, "the test's signer", sign)
    }

    #[test]
    fn every_scheme_signs_with_a_key_that_lives_elsewhere() {
        for kind in KeyKind::ALL {
            let key = SecretKey::generate(kind).unwrap();
            let outside = elsewhere(&key, |bytes| bytes);
            assert_eq!((outside.kind(), outside.public()), (kind, key.public()));
            for subject in [IMAGE, Subject::Commit(b"a commit")] {
                let made = sign_all(&subject, &outside).unwrap();
                assert_eq!(made, sign_all(&subject, &key).unwrap());
                for signature in made {
                    let scheme = SCHEMES.iter().find(|it| it.name() == signature.scheme).unwrap();
                    assert!(scheme.verify(&subject, &signature, key.public()).is_good());
                }
            }
        }
    }

    #[test]
    fn signatures_of_two_numbers_side_by_side_are_put_in_der() {
        let p256 = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let side_by_side =
            |der: Vec<u8>| p256::ecdsa::Signature::from_der(&der).unwrap().to_bytes().to_vec();
        assert_eq!(elsewhere(&p256, side_by_side).sign(b"m"), p256.sign(b"m"));
        let p384 = SecretKey::generate(KeyKind::EcdsaP384).unwrap();
        let side_by_side =
            |der: Vec<u8>| p384::ecdsa::Signature::from_der(&der).unwrap().to_bytes().to_vec();
        assert_eq!(elsewhere(&p384, side_by_side).sign(b"m"), p384.sign(b"m"));
    }

    #[test]
    fn wrong_answers_are_told() {
        for kind in KeyKind::ALL {
            let key = SecretKey::generate(kind).unwrap();
            let other = SecretKey::generate(kind).unwrap();
            let public = key.public().clone();
            let foreign = SecretKey::external(public, "x", move |message| {
                other.sign(message).map_err(|e| e.to_string())
            });
            let flip = |mut bytes: Vec<u8>| {
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            };
            for (case, wrong) in [
                ("foreign", foreign),
                ("flipped", elsewhere(&key, flip)),
                ("empty", elsewhere(&key, |_| Vec::new())),
                ("zero", elsewhere(&key, |_| vec![0; 64])),
                ("long", elsewhere(&key, |_| vec![0x30; 70_000])),
                ("cut", elsewhere(&key, |bytes| bytes[1..].to_vec())),
            ] {
                let refused = wrong.sign(b"message").unwrap_err();
                let SignError::WrongAnswer { fingerprint, .. } = refused else {
                    panic!("{kind} {case}: {refused:?}");
                };
                assert_eq!(fingerprint, key.public().fingerprint());
            }
        }
        let key = SecretKey::generate(KeyKind::EcdsaP384).unwrap();
        let message = b"message";
        let wrong_hash = {
            use p384::ecdsa::signature::Signer as _;
            let secret = p384::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
            let der = pkcs8::EncodePrivateKey::to_pkcs8_der(&secret).unwrap();
            let public = SecretKey::from_pkcs8_der(der.as_bytes()).unwrap().public().clone();
            SecretKey::external(public, "hasher", move |message| {
                let signature: p384::ecdsa::DerSignature =
                    p384::ecdsa::SigningKey::from(&secret).sign(message);
                Ok(signature.as_bytes().to_vec())
            })
        };
        let said = wrong_hash.sign(message).unwrap_err().to_string();
        assert!(said.contains("hasher") && said.contains("SHA-384"), "{said}");
        let failing = SecretKey::external(key.public().clone(), "vault", |_| Err("sealed".into()));
        assert_eq!(failing.sign(message).unwrap_err().to_string(), "vault: sealed");
    }

    #[test]
    fn its_secret_half_is_nowhere_to_be_had() {
        let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
        let outside = elsewhere(&key, |bytes| bytes);
        let elsewhere = KeyError::Elsewhere { signer: "the test's signer".to_owned() };
        assert_eq!(outside.to_pkcs8_der().unwrap_err(), elsewhere);
        assert_eq!(outside.to_encrypted_pem(b"").unwrap_err(), elsewhere);
        assert_eq!(outside.to_ostree_line(), None);
        assert!(format!("{outside:?}").contains("ed25519"));
    }
}
