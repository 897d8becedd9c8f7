//! Signed certificate timestamps: that a certificate is in a log of certificates (RFC 6962,
//! section 3).

use const_oid::ObjectIdentifier;
use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::OctetStringRef;

use super::certificate::Certificate;
use super::error::KeylessError;
use super::key::{Hash, Kind};
use super::root::{Log, TrustedRoot};
use super::time::Time;

/// RFC 6962, section 3.3.
const OID_SCTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

/// Most timestamps of one certificate that are looked at; Fulcio writes one.
const MAX_SCTS: usize = 16;

/// One signed certificate timestamp.
struct Sct<'a> {
    log_id: &'a [u8],
    /// In milliseconds since 1970.
    timestamp: u64,
    extensions: &'a [u8],
    hash: u8,
    algorithm: u8,
    signature: &'a [u8],
}

/// Checks that a log of the root was shown `certificate`, which `issuer` signed. Those of other
/// logs may stand beside; what a log of the root signed must be right.
///
/// # Errors
/// [`KeylessError::NoSct`] and [`KeylessError::Sct`].
pub(super) fn verify(
    certificate: &Certificate,
    issuer: &Certificate,
    root: &TrustedRoot,
) -> Result<(), KeylessError> {
    let Some(extension) = certificate.extension(OID_SCTS) else {
        return Err(KeylessError::NoSct { detail: String::new() });
    };
    let damaged = || KeylessError::Sct { detail: "damaged".to_owned() };
    let list = OctetStringRef::from_der(extension).map_err(|_| damaged())?;
    let scts = parse_list(list.as_bytes()).ok_or_else(damaged)?;
    let tbs = certificate.tbs_without(OID_SCTS).ok_or_else(damaged)?;
    let mut foreign = Vec::new();
    let mut good = false;
    for sct in &scts {
        // One key may stand in the root with several periods.
        let mut verdict = None;
        for log in root.ct_logs.iter().filter(|log| log.id == sct.log_id) {
            let signed = signed_data(sct, issuer, &tbs).ok_or_else(damaged)?;
            verdict = Some(check(sct, log, &signed));
            if verdict == Some(Ok(())) {
                break;
            }
        }
        match verdict {
            Some(verdict) => verdict.map_err(|detail| KeylessError::Sct { detail })?,
            None => {
                foreign.push(name(sct.log_id, root));
                continue;
            }
        }
        good = true;
    }
    if good {
        return Ok(());
    }
    Err(KeylessError::NoSct { detail: format!(": it is of {}", foreign.join(", ")) })
}

/// Checks one against one log of the root; the error says what is wrong.
fn check(sct: &Sct<'_>, log: &Log, signed: &[u8]) -> Result<(), String> {
    let time = Time::from_unix(i64::try_from(sct.timestamp / 1000).unwrap_or(i64::MAX));
    if !log.period.contains(time) {
        return Err(format!("the log {} is trusted {}, and it is of {time}", log.url, log.period));
    }
    // RFC 5246, section 7.4.1.4.1: sha256 is 4, rsa 1, ecdsa 3; RFC 6962, section 2.1.4, allows
    // nothing else.
    let algorithm = match log.key.kind() {
        Kind::Rsa => Some(1),
        Kind::P256 | Kind::P384 | Kind::P521 => Some(3),
        Kind::Ed25519 => None,
    };
    let good = sct.hash == 4
        && Some(sct.algorithm) == algorithm
        && log.key.fits(Hash::Sha256, signed, sct.signature);
    match good {
        true => Ok(()),
        false => Err(format!("the log {} did not sign this certificate", log.url)),
    }
}

/// What to call a log that is not used.
fn name(log_id: &[u8], root: &TrustedRoot) -> String {
    match root.unusable.iter().find(|one| one.log_id == log_id) {
        Some(one) => format!("{}, which cannot be used: {}", one.name, one.detail),
        None => hex::encode(log_id),
    }
}

/// What the log signs (RFC 6962, section 3.2), of a certificate that was not issued yet.
fn signed_data(sct: &Sct<'_>, issuer: &Certificate, tbs: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(tbs.len()).ok().filter(|length| *length < 1 << 24)?;
    // Version 1; the type of the signature; the time; the type of the entry, a precertificate.
    let mut data = vec![0, 0];
    data.extend(sct.timestamp.to_be_bytes());
    data.extend([0, 1]);
    data.extend(Sha256::digest(&issuer.spki));
    data.extend(&length.to_be_bytes()[1..]);
    data.extend(tbs);
    data.extend(u16::try_from(sct.extensions.len()).ok()?.to_be_bytes());
    data.extend(sct.extensions);
    Some(data)
}

/// Bytes behind their length in two bytes, and the rest.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn parse_list(bytes: &[u8]) -> Option<Vec<Sct<'_>>> {
    let (mut list, rest) = counted(bytes)?;
    let mut all = Vec::new();
    while !list.is_empty() {
        let (one, after) = counted(list)?;
        all.push(parse(one)?);
        list = after;
    }
    (rest.is_empty() && !all.is_empty() && all.len() <= MAX_SCTS).then_some(all)
}

fn parse(bytes: &[u8]) -> Option<Sct<'_>> {
    let (version, rest) = bytes.split_first()?;
    let (log_id, rest) = rest.split_at_checked(32)?;
    let (timestamp, rest) = rest.split_first_chunk::<8>()?;
    let (extensions, rest) = counted(rest)?;
    let (&[hash, algorithm], rest) = rest.split_first_chunk::<2>()?;
    let (signature, rest) = counted(rest)?;
    let timestamp = u64::from_be_bytes(*timestamp);
    let sct = Sct { log_id, timestamp, extensions, hash, algorithm, signature };
    (*version == 0 && rest.is_empty()).then_some(sct)
}
