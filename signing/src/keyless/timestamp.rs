//! Signed timestamps (RFC 3161): that bytes were there at a time, by an authority of the root.
//!
//! A *response* holds a *token*, which is CMS SignedData (RFC 5652) over a *TSTInfo*; that has the
//! hash of what was there, the *message imprint*, and the time.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use super::certificate::{Certificate, Purpose, signature_hash};
use super::der::{Element, Elements, only, tag};
use super::error::KeylessError;
use super::key::{Hash, Kind};
use super::path;
use super::root::{Authority, TrustedRoot};
use super::time::{Period, Time};

/// Longest response that is read, in bytes; real ones have 1 to 8 KiB.
const MAX_RESPONSE: usize = 256 * 1024;

/// RFC 5652, section 5.1.
const OID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// RFC 3161, section 2.4.2.
const OID_TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// RFC 5652, section 11.1.
const OID_CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// RFC 5652, section 11.2.
const OID_MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// RFC 2634, section 5.4: the signer's certificate by its SHA-1.
const OID_SIGNER_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// RFC 5035, section 3: by any hash.
const OID_SIGNER_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// RFC 8017, appendix A.1: the hash is told beside it.
const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Why a signed timestamp is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// It has not the form of one.
    #[error("{what} is malformed")]
    Malformed {
        /// The part of it.
        what: &'static str,
    },
    /// The authority refused to make it.
    #[error("the authority did not grant it")]
    NotGranted,
    /// It is over something else.
    #[error("it is over another signature")]
    OtherMessage,
    /// Its signer's certificate is neither in it nor in the trusted root.
    #[error("there is no certificate of who signed it, neither in it nor in the trusted root")]
    NoSigner,
    /// The signature does not fit.
    #[error("it or the authority's signature was changed")]
    Signature,
    /// The certificate is not one for timestamps, or of no authority of the root.
    #[error("{0}")]
    Chain(Box<KeylessError>),
    /// The authority was not to be trusted then.
    #[error("the authority {authority} is trusted {period}, and it is of {time}")]
    AuthorityPeriod {
        /// Whose authority it is.
        authority: String,
        /// When it is trusted.
        period: Period,
        /// The time that it tells.
        time: Time,
    },
}

/// Checks a response, over `message`, and gives the time and the authority.
///
/// # Errors
/// [`TimestampError`].
pub(super) fn verify<'a>(
    response: &[u8],
    message: &[u8],
    root: &'a TrustedRoot,
) -> Result<(Time, &'a Authority), TimestampError> {
    let token = Token::parse(response)?;
    let info = Info::parse(token.content)?;
    if info.imprint_hash.of(message) != info.imprint {
        return Err(TimestampError::OtherMessage);
    }
    let signer = token.signer(root)?;
    token.check_signature(&signer)?;
    // Where the root names the one certificate that signs, it is no other of the same authority.
    let may_sign = |authority: &&Authority| match authority.chain.as_slice() {
        [first, _, ..] if first.check_signer(Purpose::TimeStamping).is_ok() => *first == signer,
        _ => true,
    };
    let mut refusal = None;
    for authority in root.timestamp_authorities.iter().filter(may_sign) {
        let one = std::slice::from_ref(authority);
        match path::verify(&signer, one, Purpose::TimeStamping, info.time) {
            Ok(_) => return Ok((info.time, authority)),
            Err(KeylessError::AuthorityPeriod { authority, period, .. }) => {
                let time = info.time;
                refusal = Some(TimestampError::AuthorityPeriod { authority, period, time });
            }
            Err(KeylessError::UnknownAuthority { .. }) => {}
            Err(error) => refusal = Some(TimestampError::Chain(Box::new(error))),
        }
    }
    Err(refusal.unwrap_or_else(|| {
        let issuer = signer.issuer();
        TimestampError::Chain(Box::new(KeylessError::UnknownAuthority { issuer }))
    }))
}

/// A token, taken apart.
struct Token<'a> {
    /// The TSTInfo.
    content: &'a [u8],
    certificates: Vec<&'a [u8]>,
    signer_id: SignerId<'a>,
    digest_hash: Hash,
    /// `[0]` in place of the tag of a set.
    attributes: Element<'a>,
    algorithm: ObjectIdentifier,
    signature: &'a [u8],
}

enum SignerId<'a> {
    /// DER of the issuer's name, and of the serial number.
    Issued(&'a [u8], &'a [u8]),
    KeyId(&'a [u8]),
}

fn oid(element: Element<'_>) -> Option<ObjectIdentifier> {
    (element.tag == tag::OID).then(|| ObjectIdentifier::from_bytes(element.content).ok()).flatten()
}

/// The algorithm of an AlgorithmIdentifier; parameters are none, or NULL.
fn algorithm(element: Element<'_>) -> Option<ObjectIdentifier> {
    let mut inside = element.inside();
    let algorithm = oid(inside.need(tag::OID)?)?;
    let parameters = inside.next();
    (parameters.is_none_or(|null| null.whole == [5, 0]) && inside.is_empty()).then_some(algorithm)
}

impl<'a> Token<'a> {
    fn parse(response: &'a [u8]) -> Result<Self, TimestampError> {
        let malformed = TimestampError::Malformed { what: "the response" };
        if response.len() > MAX_RESPONSE {
            return Err(malformed);
        }
        let response = only(response, tag::SEQUENCE).ok_or(malformed.clone())?;
        let mut inside = response.inside();
        let status = inside.need(tag::SEQUENCE).ok_or(malformed.clone())?;
        let status = status.inside().need(tag::INTEGER).ok_or(malformed.clone())?;
        // Granted, or granted with changes (RFC 3161, section 2.4.2).
        if !matches!(status.content, [0 | 1]) {
            return Err(TimestampError::NotGranted);
        }
        let token = inside.need(tag::SEQUENCE).filter(|_| inside.is_empty()).ok_or(malformed)?;
        Self::of_content_info(token).ok_or(TimestampError::Malformed { what: "the token" })
    }

    fn of_content_info(info: Element<'a>) -> Option<Self> {
        let mut info = info.inside();
        (oid(info.need(tag::OID)?)? == OID_SIGNED_DATA).then_some(())?;
        let data = only(info.need(tag::CONTEXT_0)?.content, tag::SEQUENCE)?;
        info.end()?;

        let mut data = data.inside();
        data.need(tag::INTEGER).filter(|version| version.content == [3])?;
        let digest_algorithms = data.need(tag::SET)?;
        let mut encapsulated = data.need(tag::SEQUENCE)?.inside();
        (oid(encapsulated.need(tag::OID)?)? == OID_TST_INFO).then_some(())?;
        let content = only(encapsulated.need(tag::CONTEXT_0)?.content, tag::OCTET_STRING)?;
        encapsulated.end()?;
        let mut certificates = Vec::new();
        if let Some(all) = data.maybe(tag::CONTEXT_0) {
            let mut all = all.inside();
            while !all.is_empty() {
                certificates.push(all.next()?.whole);
            }
        }
        // Lists of revoked certificates, `[1]`, may not stand here; then comes the one signer
        // (RFC 3161, section 2.4.2).
        let mut signer = only(data.need(tag::SET)?.content, tag::SEQUENCE)?.inside();
        data.end()?;

        let version = signer.need(tag::INTEGER)?.content;
        let id = signer.next()?;
        let signer_id = match (id.tag, version) {
            (tag::SEQUENCE, [1]) => {
                let mut id = id.inside();
                let (issuer, serial) = (id.need(tag::SEQUENCE)?, id.need(tag::INTEGER)?);
                id.end()?;
                SignerId::Issued(issuer.whole, serial.whole)
            }
            (tag::CONTEXT_0_PRIMITIVE, [3]) => SignerId::KeyId(id.content),
            _ => return None,
        };
        let digest_hash = Hash::by_oid(&algorithm(signer.need(tag::SEQUENCE)?)?)?;
        let mut announced = digest_algorithms.inside();
        while Hash::by_oid(&algorithm(announced.need(tag::SEQUENCE)?)?) != Some(digest_hash) {}
        let attributes = signer.need(tag::CONTEXT_0)?;
        let algorithm = algorithm(signer.need(tag::SEQUENCE)?)?;
        let signature = signer.need(tag::OCTET_STRING)?.content;
        // Attributes that nobody signed say nothing.
        signer.maybe(tag::CONTEXT_1);
        signer.end()?;
        let content = content.content;
        Some(Self {
            content,
            certificates,
            signer_id,
            digest_hash,
            attributes,
            algorithm,
            signature,
        })
    }

    /// The certificate of who signed: from the token, and where that has none, from the root.
    fn signer(&self, root: &TrustedRoot) -> Result<Certificate, TimestampError> {
        let is_signer = |certificate: &Certificate| {
            let tbs = &certificate.inner.tbs_certificate;
            match self.signer_id {
                SignerId::Issued(issuer, serial) => {
                    tbs.issuer.to_der().is_ok_and(|der| der == issuer)
                        && tbs.serial_number.to_der().is_ok_and(|der| der == serial)
                }
                SignerId::KeyId(id) => {
                    let extension = certificate.extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER);
                    let found = extension.and_then(|der| SubjectKeyIdentifier::from_der(der).ok());
                    found.is_some_and(|found| found.0.as_bytes() == id)
                }
            }
        };
        if self.certificates.is_empty() {
            let mut all = root.timestamp_authorities.iter().filter_map(|one| one.chain.first());
            let found = all.find(|one| is_signer(one));
            return found.cloned().ok_or(TimestampError::NoSigner);
        }
        for der in &self.certificates {
            let certificate = Certificate::parse(der)
                .map_err(|_| TimestampError::Malformed { what: "a certificate in it" })?;
            if is_signer(&certificate) {
                return Ok(certificate);
            }
        }
        Err(TimestampError::NoSigner)
    }

    fn check_signature(&self, signer: &Certificate) -> Result<(), TimestampError> {
        let malformed = TimestampError::Malformed { what: "the list of signed attributes" };
        let attributes = Attributes::parse(self.attributes).ok_or(malformed)?;
        let content_type = only(attributes.content_type, tag::OID).and_then(oid);
        let digest = only(attributes.message_digest, tag::OCTET_STRING);
        if content_type != Some(OID_TST_INFO)
            || digest.is_none_or(|digest| digest.content != self.digest_hash.of(self.content))
            || !attributes.names(signer)
        {
            return Err(TimestampError::Signature);
        }
        // Signed as a set (RFC 5652, section 5.4).
        let mut signed = self.attributes.whole.to_vec();
        signed[0] = tag::SET;
        let hash = match self.algorithm {
            OID_RSA if signer.key.kind() == Kind::Rsa => Some(self.digest_hash),
            _ => signature_hash(&self.algorithm, &signer.key),
        };
        match hash {
            Some(hash) if signer.key.fits(hash, &signed, self.signature) => Ok(()),
            _ => Err(TimestampError::Signature),
        }
    }
}

/// The signed attributes that count, each the DER of its one value.
struct Attributes<'a> {
    content_type: &'a [u8],
    message_digest: &'a [u8],
    signer_v1: Option<&'a [u8]>,
    signer_v2: Option<&'a [u8]>,
}

impl<'a> Attributes<'a> {
    fn parse(attributes: Element<'a>) -> Option<Self> {
        let mut found: Vec<(ObjectIdentifier, &[u8])> = Vec::new();
        let mut all = attributes.inside();
        while !all.is_empty() {
            let mut attribute = all.need(tag::SEQUENCE)?.inside();
            let name = oid(attribute.need(tag::OID)?)?;
            let values = attribute.need(tag::SET)?;
            attribute.end()?;
            let known = [OID_CONTENT_TYPE, OID_MESSAGE_DIGEST, OID_SIGNER_V1, OID_SIGNER_V2];
            if !known.contains(&name) {
                continue;
            }
            // Each once, with one value.
            let mut inside = values.inside();
            let value = inside.next()?.whole;
            inside.end()?;
            if found.iter().any(|(other, _)| *other == name) {
                return None;
            }
            found.push((name, value));
        }
        let get = |oid| found.iter().find(|(name, _)| *name == oid).map(|(_, value)| *value);
        Some(Self {
            content_type: get(OID_CONTENT_TYPE)?,
            message_digest: get(OID_MESSAGE_DIGEST)?,
            signer_v1: get(OID_SIGNER_V1),
            signer_v2: get(OID_SIGNER_V2),
        })
    }

    /// Whether they name `signer`, as they must (RFC 3161, section 2.4.2; RFC 5816): the first
    /// certificate of the list is the signer's.
    fn names(&self, signer: &Certificate) -> bool {
        let first = |value: &'a [u8]| {
            let list = only(value, tag::SEQUENCE)?.inside().need(tag::SEQUENCE)?;
            list.inside().need(tag::SEQUENCE).map(|id| id.inside())
        };
        let by_v2 = |mut id: Elements<'_>| {
            let hash = match id.maybe(tag::SEQUENCE) {
                None => Hash::Sha256,
                Some(element) => Hash::by_oid(&algorithm(element)?)?,
            };
            Some(id.need(tag::OCTET_STRING)?.content == hash.of(&signer.der))
        };
        let by_v1 = |mut id: Elements<'_>| {
            use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY as SHA1, digest};
            Some(id.need(tag::OCTET_STRING)?.content == digest(&SHA1, &signer.der).as_ref())
        };
        let v2 = self.signer_v2.map(|value| first(value).and_then(by_v2) == Some(true));
        let v1 = self.signer_v1.map(|value| first(value).and_then(by_v1) == Some(true));
        match (v1, v2) {
            (None, None) => false,
            (v1, v2) => v1.unwrap_or(true) && v2.unwrap_or(true),
        }
    }
}

/// A TSTInfo.
struct Info<'a> {
    imprint_hash: Hash,
    imprint: &'a [u8],
    time: Time,
}

impl<'a> Info<'a> {
    fn parse(der: &'a [u8]) -> Result<Self, TimestampError> {
        let read = || {
            let mut info = only(der, tag::SEQUENCE)?.inside();
            info.need(tag::INTEGER).filter(|version| version.content == [1])?;
            info.need(tag::OID)?;
            let mut imprint = info.need(tag::SEQUENCE)?.inside();
            let imprint_hash = Hash::by_oid(&algorithm(imprint.need(tag::SEQUENCE)?)?)?;
            let hashed = imprint.need(tag::OCTET_STRING)?.content;
            imprint.end()?;
            info.need(tag::INTEGER)?;
            let time = Time::parse_generalized(info.need(tag::GENERALIZED_TIME)?.content)?;
            Some(Self { imprint_hash, imprint: hashed, time })
        };
        read().ok_or(TimestampError::Malformed { what: "what is signed in it" })
    }
}
