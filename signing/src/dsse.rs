//! [`Envelope`]: a payload, its type, and signatures over both.
//!
//! Specified in DSSE v1.0, `protocol.md` and `envelope.md`. What is signed is not the payload but
//! its [pre-authentication encoding](pae), in which the type stands too, so that one kind of
//! payload cannot be taken for another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::form::{self, Fields, FormError, Limits};
use crate::keys::{PublicKey, SecretKey};
use crate::schemes::{sign_bytes, verify_bytes};
use crate::statement::{MAX_STATEMENT, PAYLOAD_TYPE};
use crate::{Reason, SignError, Signature, Statement, Verdict};

/// Longest envelope that is read, in bytes: base64 of the longest statement and some.
pub const MAX_ENVELOPE: usize = MAX_STATEMENT / 3 * 4 + 64 * 1024;

/// Signatures of one envelope that are read.
const MAX_SIGNATURES: usize = 16;

/// A payload with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is; an in-toto statement has [`PAYLOAD_TYPE`].
    pub payload_type: String,
    /// The payload itself, not in base64.
    pub payload: Vec<u8>,
    /// The signatures, any number: to verify, there must be [exactly one](Envelope::signature).
    pub signatures: Vec<EnvelopeSignature>,
}

/// A signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// The signature over the [pre-authentication encoding](pae), not in base64.
    pub sig: Vec<u8>,
    /// What its maker calls the key; proves nothing.
    pub keyid: String,
}

/// Why nothing can be said about an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// None or several signatures: which of them counts would be a matter of taste.
    #[error("the envelope has {found} signatures, expected exactly one")]
    SignatureCount {
        /// How many.
        found: usize,
    },
    /// The payload is something else than the reader asks for.
    #[error("the payload of the envelope is {found:?}, expected {expected:?}")]
    PayloadType {
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// The bytes that are signed: the *pre-authentication encoding* (DSSE, `protocol.md`).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// Signs a payload.
    ///
    /// # Errors
    /// [`SignError`] when the key cannot be used, or lives elsewhere and gives no good answer.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SecretKey) -> Result<Self, SignError> {
        let sig = sign_bytes("dsse", String::new(), &pae(payload_type, &payload), key)?.bytes;
        let signatures = vec![EnvelopeSignature { sig, keyid: String::new() }];
        Ok(Self { payload_type: payload_type.to_owned(), payload, signatures })
    }

    /// Reads an envelope that stands by itself (media type `application/vnd.dsse.envelope.v1+json`).
    ///
    /// # Errors
    /// [`FormError`]. Fields with other names than those of the specification are let be, as it
    /// demands; those in another case are not.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let value = form::parse(bytes, Limits { bytes: MAX_ENVELOPE, values: 10_000 })?;
        let fields = Fields::of("", &value)?.no_variants(&FIELDS)?;
        Self::from_fields(fields, |signature| signature.no_variants(&SIGNATURE_FIELDS))
    }

    /// Reads the envelope in a bundle, in which nothing unknown has a place.
    pub(crate) fn in_bundle(place: &str, value: &Value) -> Result<Self, FormError> {
        let fields = Fields::of(place, value)?.only(&FIELDS)?;
        Self::from_fields(fields, |signature| signature.only(&SIGNATURE_FIELDS))
    }

    fn from_fields(
        fields: Fields<'_>,
        check: impl Fn(Fields<'_>) -> Result<Fields<'_>, FormError>,
    ) -> Result<Self, FormError> {
        let place = fields.path("signatures");
        let mut signatures = Vec::new();
        for item in fields.list("signatures", MAX_SIGNATURES)? {
            let item = check(Fields::of(&place, item)?)?;
            let keyid = item.text("keyid")?.unwrap_or_default().to_owned();
            signatures.push(EnvelopeSignature { sig: item.need_bytes("sig")?, keyid });
        }
        let payload_type = fields.need_text("payloadType")?.to_owned();
        Ok(Self { payload_type, payload: fields.need_bytes("payload")?, signatures })
    }

    /// The JSON of it, in the order in which cosign writes its fields.
    pub fn to_json(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let signatures: Vec<String> = self
            .signatures
            .iter()
            .map(|EnvelopeSignature { sig, keyid }| {
                let keyid = match keyid.as_str() {
                    "" => String::new(),
                    keyid => format!(",\"keyid\":{}", text(keyid)),
                };
                format!("{{\"sig\":\"{}\"{keyid}}}", BASE64.encode(sig))
            })
            .collect();
        format!(
            r#"{{"payload":"{}","payloadType":{},"signatures":[{}]}}"#,
            BASE64.encode(&self.payload),
            text(&self.payload_type),
            signatures.join(",")
        )
    }

    /// The bytes that its signatures are over.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// The one signature.
    ///
    /// # Errors
    /// [`EnvelopeError::SignatureCount`] where there are none or several.
    pub fn signature(&self) -> Result<&EnvelopeSignature, EnvelopeError> {
        match self.signatures.as_slice() {
            [signature] => Ok(signature),
            all => Err(EnvelopeError::SignatureCount { found: all.len() }),
        }
    }

    /// The payload of an in-toto statement; not read, and not verified.
    ///
    /// # Errors
    /// [`EnvelopeError::PayloadType`] where it is another payload.
    pub fn statement_bytes(&self) -> Result<&[u8], EnvelopeError> {
        if self.payload_type != PAYLOAD_TYPE {
            let found = self.payload_type.clone();
            return Err(EnvelopeError::PayloadType { found, expected: PAYLOAD_TYPE });
        }
        Ok(&self.payload)
    }

    /// Judges whether `key` made the one signature, over a statement, and gives the statement. What
    /// it is about, and what it says, is the caller's to compare.
    ///
    /// # Errors
    /// The verdict that is not [`Verdict::Good`]. Nothing is read from a payload that the key has
    /// not signed.
    pub fn verify(&self, key: &PublicKey) -> Result<Statement, Verdict> {
        self.verify_named(key, None)
    }

    /// As [`verify`](Self::verify), where the key is named by its fingerprint too.
    pub(crate) fn verify_named(
        &self,
        key: &PublicKey,
        fingerprint: Option<String>,
    ) -> Result<Statement, Verdict> {
        let bad = |error: EnvelopeError| Verdict::Bad(Reason::Envelope(error));
        let payload = self.statement_bytes().map_err(bad)?;
        let signature = Signature {
            scheme: "dsse",
            subject: String::new(),
            bytes: self.signature().map_err(bad)?.sig.clone(),
            payload: None,
            key: fingerprint,
        };
        match verify_bytes(&self.pae(), &signature, key) {
            Verdict::Good => {
                Statement::parse(payload).map_err(|error| Verdict::Bad(Reason::Statement(error)))
            }
            other => Err(other),
        }
    }
}

const FIELDS: [&str; 3] = ["payload", "payloadType", "signatures"];
const SIGNATURE_FIELDS: [&str; 2] = ["sig", "keyid"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyKind;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        // The example of `protocol.md`.
        let encoded = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn an_envelope_is_read_as_it_is_written() {
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let mut envelope = Envelope::sign("a/\"b", b"\xff\xfe".to_vec(), &key).unwrap();
        envelope.signatures[0].keyid = "me".to_owned();
        let text = envelope.to_json();
        assert_eq!(Envelope::parse(text.as_bytes()), Ok(envelope.clone()));
        let change = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Envelope::parse(text.replacen(from, to, 1).as_bytes())
        };
        assert_eq!(change("{\"payload\"", "{\"x\":1,\"payload\""), Ok(envelope.clone()));
        assert_eq!(change("//4=", "__4"), Ok(envelope));
        for (from, to) in [
            ("{\"payload\"", "{\"Payload\":\"\",\"payload\""),
            ("{\"payload\"", "{\"payload\":\"\",\"payload\""),
            ("\"payload\"", "\"payloads\""),
            ("\"payloadType\"", "\"payloadtype\""),
            ("\"sig\"", "\"SIG\""),
            ("\"sig\"", "\"gis\""),
            ("\"keyid\":\"me\"", "\"keyid\":[]"),
            ("//4=", "//5="),
        ] {
            assert!(change(from, to).is_err(), "{from} {to}");
        }
        let many = format!("[{}{{\"sig\":\"\"}}]", "{\"sig\":\"\"},".repeat(MAX_SIGNATURES));
        let many = format!("{{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":{many}}}");
        assert!(Envelope::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn one_signature_over_one_type_of_payload() {
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let digest = "00".repeat(32);
        let statement = Statement::about(&digest, "https://a.example/b", serde_json::json!({}));
        let good = Envelope::sign(PAYLOAD_TYPE, statement.to_bytes(), &key).unwrap();
        assert_eq!(good.verify(key.public()), Ok(statement));
        let reason = |envelope: &Envelope| match envelope.verify(key.public()) {
            Err(Verdict::Bad(reason) | Verdict::Unknown(reason)) => reason,
            other => panic!("{other:?}"),
        };
        for found in [0, 2] {
            let signatures = vec![good.signatures[0].clone(); found];
            let envelope = Envelope { signatures, ..good.clone() };
            let expected = Reason::Envelope(EnvelopeError::SignatureCount { found });
            assert_eq!(reason(&envelope), expected);
        }
        let payload_type = "application/json".to_owned();
        let swapped = Envelope { payload_type, ..good.clone() };
        assert!(matches!(reason(&swapped), Reason::Envelope(EnvelopeError::PayloadType { .. })));
        // Signed under another type, and relabelled.
        let other = Envelope::sign("application/json", good.payload.clone(), &key).unwrap();
        let relabelled = Envelope { payload_type: PAYLOAD_TYPE.to_owned(), ..other };
        assert!(matches!(reason(&relabelled), Reason::NotByThisKey { .. }));
        // Signed, and no statement.
        let none = Envelope::sign(PAYLOAD_TYPE, b"{}".to_vec(), &key).unwrap();
        assert!(matches!(reason(&none), Reason::Statement(FormError::Missing { .. })));
    }
}
