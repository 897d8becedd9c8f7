//! Which hashes, keys and parts of signatures are accepted.

use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureConfig, SignatureVersion, SubpacketData, SubpacketType};
use pgp::ser::Serialize;
use pgp::types::{
    EcdsaPublicParams, EddsaLegacyPublicParams, KeyDetails, PublicParams, RsaPublicParams,
};

use super::{Fault, Fingerprint};

/// 2023-02-01: from then on SHA-1 is not accepted in self-signatures either. The date of Sequoia's
/// standard policy.
const LAST_SHA1: u64 = 1_675_209_600;

/// Fewer bits of RSA are not accepted (NIST SP 800-131A; Sequoia's and apt's least).
const LEAST_RSA: usize = 2048;

/// What a hash is for. Of revocations it is not asked: better too many than too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A file that somebody else may have made.
    File,
    /// What a key says of itself, made at that time.
    Own(u64),
}

/// Whether a hash will do.
pub(super) fn hash(hash: HashAlgorithm, use_: Use) -> Result<(), Fault> {
    use HashAlgorithm::{Sha1, Sha3_256, Sha3_512, Sha224, Sha256, Sha384, Sha512};
    let good = match (hash, use_) {
        (Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512 | Sha224, _) => true,
        (Sha1, Use::Own(made)) => made < LAST_SHA1,
        _ => false,
    };
    if good { Ok(()) } else { Err(Fault::Hash(hash.to_string())) }
}

/// Whether a key is strong enough to sign.
pub(super) fn key(key: &impl KeyDetails) -> Result<(), Fault> {
    let weak = |reason: String| Fault::WeakKey { key: Fingerprint::of(key), reason };
    match key.public_params() {
        PublicParams::RSA(rsa) => match bits(rsa) {
            few if few < LEAST_RSA => Err(weak(format!("RSA of {few} bits, at least 2048 are"))),
            _ => Ok(()),
        },
        PublicParams::ECDSA(ecdsa) if !matches!(ecdsa, EcdsaPublicParams::Unsupported { .. }) => {
            Ok(())
        }
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { .. })
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => Ok(()),
        PublicParams::DSA(_) => Err(weak("DSA".to_owned())),
        _ => Err(weak(format!("{:?}", key.algorithm()))),
    }
}

/// What every signature is asked before anything is computed: its configuration and when it was
/// made, in seconds since 1970.
pub(super) fn config(signature: &Signature) -> Result<(&SignatureConfig, u64), Fault> {
    let version = signature.version();
    let config = signature.config();
    let (Some(config), SignatureVersion::V4 | SignatureVersion::V6) = (config, version) else {
        return Err(Fault::Version(version.into()));
    };
    for part in config.hashed_subpackets().filter(|part| part.is_critical) {
        match &part.data {
            SubpacketData::Notation(notation) => {
                let name = String::from_utf8_lossy(&notation.name).into_owned();
                return Err(Fault::Critical(format!("the notation {name:?}")));
            }
            _ => match part.typ() {
                SubpacketType::Other(n) | SubpacketType::Experimental(n) => {
                    return Err(Fault::Critical(format!("number {n}")));
                }
                _ => {}
            },
        }
    }
    let made = config.created().ok_or(Fault::Lacks("the time it was made"))?;
    Ok((config, u64::from(made.as_secs())))
}

/// Whether it names the key, or none: so that signatures by others are not computed for nothing.
pub(super) fn may_be_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (ids, prints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
    (ids.is_empty() && prints.is_empty())
        || ids.iter().any(|id| **id == key.legacy_key_id())
        || prints.iter().any(|print| **print == key.fingerprint())
}

/// When a signature ends to hold; `None` where it says nothing of it.
pub(super) fn expires(signature: &Signature, made: u64) -> Option<u64> {
    let holds = signature.signature_expiration_time()?.as_secs();
    (holds != 0).then(|| made + u64::from(holds))
}

/// A time as a day: `2026-11-30`.
pub(super) fn day(seconds: u64) -> String {
    // Days of the proleptic Gregorian calendar, in years that begin in March, so that the leap day
    // is the last one.
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + u64::from(month <= 2))
}

/// Bits of the modulus: the number in front of it, as it is written (RFC 9580, section 3.2).
fn bits(rsa: &RsaPublicParams) -> usize {
    let mut bytes = Vec::new();
    match rsa.to_writer(&mut bytes) {
        Ok(()) if bytes.len() > 2 => usize::from(bytes[0]) << 8 | usize::from(bytes[1]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (LAST_SHA1, "2023-02-01"),
            (LAST_SHA1 - 1, "2023-01-31"),
            (1_796_083_199, "2026-11-30"),
            (4_102_444_800, "2100-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(seconds), expected);
        }
    }

    #[test]
    fn weak_hashes_are_refused() {
        use HashAlgorithm::{Md5, Ripemd160, Sha1, Sha256, Sha512};
        for (one, use_, good) in [
            (Md5, Use::Own(0), false),
            (Ripemd160, Use::Own(0), false),
            (Sha1, Use::File, false),
            (Sha1, Use::Own(LAST_SHA1 - 1), true),
            (Sha1, Use::Own(LAST_SHA1), false),
            (Sha256, Use::File, true),
            (Sha512, Use::Own(u64::MAX), true),
            (HashAlgorithm::Other(99), Use::File, false),
        ] {
            assert_eq!(hash(one, use_).is_ok(), good, "{one:?} {use_:?}");
        }
    }
}
