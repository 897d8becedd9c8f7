//! Public keys from their numbers, as tokens give them.

use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{AnyRef, BitStringRef, OctetStringRef, PrintableStringRef, UintRef};
use pkcs8::der::{Decode as _, Encode as _};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::public::{OID_EC, OID_ED25519, OID_P256, OID_P384, OID_RSA, damaged, kind_of};
use super::{KeyError, PublicKey};

impl PublicKey {
    /// From modulus and public exponent of an RSA key, both big-endian.
    ///
    /// # Errors
    /// As of [`PublicKey::from_spki_der`].
    pub fn from_rsa_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let number = |bytes| UintRef::new(bytes).map_err(damaged);
        // RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }
        let numbers = vec![number(modulus)?, number(exponent)?].to_der().map_err(damaged)?;
        Self::from_algorithm(OID_RSA, Some(AnyRef::NULL), &numbers)
    }

    /// From CKA_EC_PARAMS and CKA_EC_POINT of a token's key (PKCS#11 3.0 mechanisms, sections 6.3.3
    /// and 6.3.5): the DER of the curve's name, and the point, which is in the DER of an OCTET
    /// STRING by the standard and bare by habit of some tokens.
    ///
    /// # Errors
    /// As of [`PublicKey::from_spki_der`]; [`KeyError::UnsupportedKind`] also for a curve that is
    /// not named.
    pub fn from_ec_attributes(params: &[u8], point: &[u8]) -> Result<Self, KeyError> {
        let curve = ObjectIdentifier::from_der(params).ok();
        let name = PrintableStringRef::from_der(params).ok();
        let edwards =
            curve == Some(OID_ED25519) || name.is_some_and(|name| name.as_str() == "edwards25519");
        let length = match curve {
            _ if edwards => 32,
            Some(OID_P256) => 65,
            Some(OID_P384) => 97,
            // Which refuses it.
            other => return kind_of(OID_EC, other).and(Err(KeyError::NotAKey)),
        };
        let bare = point.len() == length;
        let inner = OctetStringRef::from_der(point).map(|it| it.as_bytes());
        let point = match inner {
            Ok(inner) if !bare => inner,
            _ => point,
        };
        match curve {
            _ if edwards => Self::from_algorithm(OID_ED25519, None, point),
            Some(curve) => Self::from_algorithm(OID_EC, Some((&curve).into()), point),
            // `kind_of` has refused it.
            None => Err(KeyError::NotAKey),
        }
    }

    fn from_algorithm(
        oid: ObjectIdentifier,
        parameters: Option<AnyRef<'_>>,
        bits: &[u8],
    ) -> Result<Self, KeyError> {
        let algorithm = AlgorithmIdentifierRef { oid, parameters };
        let subject_public_key = BitStringRef::from_bytes(bits).map_err(damaged)?;
        let info = SubjectPublicKeyInfoRef { algorithm, subject_public_key };
        Self::from_spki_der(&info.to_der().map_err(damaged)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyKind, SecretKey};

    #[test]
    fn keys_are_put_together_from_what_tokens_say() {
        for kind in KeyKind::ALL {
            let public = SecretKey::generate(kind).unwrap().public().clone();
            let info = SubjectPublicKeyInfoRef::from_der(public.spki_der()).unwrap();
            let bits = info.subject_public_key.as_bytes().unwrap();
            if kind == KeyKind::Rsa {
                let numbers = Vec::<UintRef<'_>>::from_der(bits).unwrap();
                let padded = [&[0][..], numbers[0].as_bytes()].concat();
                for modulus in [numbers[0].as_bytes(), &padded] {
                    let made = PublicKey::from_rsa_numbers(modulus, numbers[1].as_bytes());
                    assert_eq!(made.as_ref(), Ok(&public));
                }
                let short = PublicKey::from_rsa_numbers(&[1; 128], &[1, 0, 1]);
                assert!(matches!(short, Err(KeyError::UnsupportedKind { .. })), "{short:?}");
                continue;
            }
            let curve = info.algorithm.parameters_oid().unwrap_or(OID_ED25519).to_der().unwrap();
            let wrapped = OctetStringRef::new(bits).unwrap().to_der().unwrap();
            for point in [bits, &wrapped] {
                assert_eq!(PublicKey::from_ec_attributes(&curve, point).as_ref(), Ok(&public));
            }
            if kind == KeyKind::Ed25519 {
                let name = PrintableStringRef::new("edwards25519").unwrap().to_der().unwrap();
                assert_eq!(PublicKey::from_ec_attributes(&name, bits).as_ref(), Ok(&public));
            }
            for (params, point) in [(&curve[..], &bits[1..]), (&curve, b""), (b"", bits)] {
                assert!(PublicKey::from_ec_attributes(params, point).is_err());
            }
        }
    }

    #[test]
    fn a_point_that_looks_like_der_is_taken_by_its_length() {
        // An Ed25519 key that begins as an OCTET STRING of 30 bytes does, 04 1e.
        let mut tried = 0_u16;
        let key = loop {
            tried += 1;
            let mut bytes = [7; 32];
            bytes[..2].copy_from_slice(&[4, 30]);
            bytes[2..4].copy_from_slice(&tried.to_le_bytes());
            let curve = OID_ED25519.to_der().unwrap();
            if let Ok(key) = PublicKey::from_ec_attributes(&curve, &bytes) {
                assert!(key.spki_der().ends_with(&bytes));
                break key;
            }
        };
        assert_eq!(key.kind(), KeyKind::Ed25519);
    }
}
