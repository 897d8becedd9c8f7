//! [`Certificate`]: one certificate (RFC 5280), read once and strictly.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ID_KP_CODE_SIGNING, ID_KP_TIME_STAMPING};
use const_oid::db::{rfc5280, rfc5912, rfc8410};
use sha2::{Digest as _, Sha256};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName,
};

use super::key::{Hash, Key};
use super::time::{Period, Time};

/// Longest certificate that is read; real ones have less than 4 KiB.
const MAX_CERTIFICATE: usize = 64 * 1024;

/// RFC 5280, section 4.2.1.12.
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// What a certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    CodeSigning,
    TimeStamping,
}

impl Purpose {
    fn oid(self) -> ObjectIdentifier {
        match self {
            Self::CodeSigning => ID_KP_CODE_SIGNING,
            Self::TimeStamping => ID_KP_TIME_STAMPING,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::CodeSigning => "code signing",
            Self::TimeStamping => "time stamping",
        }
    }
}

/// A certificate.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub der: Vec<u8>,
    pub inner: x509_cert::Certificate,
    pub key: Key,
    pub spki: Vec<u8>,
    tbs: Vec<u8>,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        if der.len() > MAX_CERTIFICATE {
            return Err(format!("{} bytes are more than any has", der.len()));
        }
        let damaged = |error: x509_cert::der::Error| format!("damaged: {error}");
        let inner = x509_cert::Certificate::from_der(der).map_err(damaged)?;
        // What is signed is encoded again below, also without one extension; so it must be the one
        // encoding that DER allows.
        if inner.to_der().map_err(damaged)? != der {
            return Err("not encoded in DER".to_owned());
        }
        let tbs = inner.tbs_certificate.to_der().map_err(damaged)?;
        if inner.signature_algorithm != inner.tbs_certificate.signature {
            return Err("two different algorithms of its signature".to_owned());
        }
        let spki = inner.tbs_certificate.subject_public_key_info.to_der().map_err(damaged)?;
        let key = Key::from_spki(&spki).ok_or("a kind of key that is not supported")?;
        let certificate = Self { der: der.to_vec(), inner, key, spki, tbs };
        let extensions = certificate.extensions();
        for (at, one) in extensions.iter().enumerate() {
            if extensions[..at].iter().any(|other| other.extn_id == one.extn_id) {
                return Err(format!("the extension {} twice", one.extn_id));
            }
            if one.critical && !is_understood(&one.extn_id) {
                return Err(format!("the critical extension {} is not understood", one.extn_id));
            }
        }
        Ok(certificate)
    }

    /// Reads one certificate in PEM.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_pem(pem: &[u8]) -> Result<Self, String> {
        let mut all = Self::parse_pems(pem)?;
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err("several certificates, expected one".to_owned()),
            (None, _) => Err("no certificate in PEM".to_owned()),
        }
    }

    /// Reads the certificates that stand one after the other in PEM.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn parse_pems(pem: &[u8]) -> Result<Vec<Self>, String> {
        const END: &str = "-----END CERTIFICATE-----";
        let mut rest = std::str::from_utf8(pem).map_err(|_| "not PEM")?.trim();
        let mut all = Vec::new();
        while !rest.is_empty() {
            let end = rest.find(END).ok_or("not a certificate in PEM")? + END.len();
            let (block, after) = rest.split_at(end);
            let (label, der) = pem_rfc7468::decode_vec(block.as_bytes())
                .map_err(|error| format!("damaged PEM: {error}"))?;
            if label != "CERTIFICATE" {
                return Err(format!("PEM of {label:?}, expected CERTIFICATE"));
            }
            all.push(Self::parse(&der)?);
            rest = after.trim_start();
        }
        Ok(all)
    }

    fn extensions(&self) -> &[Extension] {
        self.inner.tbs_certificate.extensions.as_deref().unwrap_or_default()
    }

    /// The content of an extension.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        let found = self.extensions().iter().find(|one| one.extn_id == oid)?;
        Some(found.extn_value.as_bytes())
    }

    fn decoded<'a, T: x509_cert::der::Decode<'a>>(
        &'a self,
        oid: ObjectIdentifier,
        name: &str,
    ) -> Result<Option<T>, String> {
        self.extension(oid)
            .map(|value| T::from_der(value).map_err(|error| format!("damaged {name}: {error}")))
            .transpose()
    }

    /// Whose it is, as people read it.
    pub fn subject(&self) -> String {
        let name = self.inner.tbs_certificate.subject.to_string();
        if name.is_empty() { "the signer".to_owned() } else { name }
    }

    /// Who says to have issued it.
    pub fn issuer(&self) -> String {
        self.inner.tbs_certificate.issuer.to_string()
    }

    /// When it is valid.
    pub fn period(&self) -> Period {
        let validity = &self.inner.tbs_certificate.validity;
        // Certificates have no times before 1970 or after 9999.
        let time = |time: x509_cert::time::Time| {
            Time::from_unix(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
        };
        Period { start: Some(time(validity.not_before)), end: Some(time(validity.not_after)) }
    }

    /// SHA-256 of its DER, 64 lowercase hex digits.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.der))
    }

    /// Whether `issuer` is named as the issuer, and its key signed this.
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        if self.inner.tbs_certificate.issuer != issuer.inner.tbs_certificate.subject {
            return false;
        }
        let Some(hash) = signature_hash(&self.inner.signature_algorithm.oid, &issuer.key) else {
            return false;
        };
        let signature = self.inner.signature.as_bytes();
        signature.is_some_and(|signature| issuer.key.fits(hash, &self.tbs, signature))
    }

    /// Checks that it may be used by a signer for `purpose`.
    ///
    /// # Errors
    /// Why not.
    pub fn check_signer(&self, purpose: Purpose) -> Result<(), String> {
        let constraints: Option<BasicConstraints> =
            self.decoded(rfc5280::ID_CE_BASIC_CONSTRAINTS, "basic constraints")?;
        if constraints.is_some_and(|constraints| constraints.ca) {
            return Err("it is that of an authority, which signs nothing else".to_owned());
        }
        let usage: Option<KeyUsage> = self.decoded(rfc5280::ID_CE_KEY_USAGE, "key usage")?;
        if !usage.is_some_and(|usage| usage.digital_signature()) {
            return Err("its key is not for digital signatures".to_owned());
        }
        let purposes: Option<ExtendedKeyUsage> =
            self.decoded(rfc5280::ID_CE_EXT_KEY_USAGE, "extended key usage")?;
        let fits = |purposes: ExtendedKeyUsage| match purpose {
            Purpose::CodeSigning => purposes.0.contains(&purpose.oid()),
            // Nothing else, and nobody may overlook it (RFC 3161, section 2.3).
            Purpose::TimeStamping => {
                purposes.0 == [purpose.oid()]
                    && self
                        .extensions()
                        .iter()
                        .any(|one| one.extn_id == rfc5280::ID_CE_EXT_KEY_USAGE && one.critical)
            }
        };
        if !purposes.is_some_and(fits) {
            return Err(format!("it is not for {}", purpose.name()));
        }
        Ok(())
    }

    /// Checks that it may issue certificates for `purpose` with `below` authorities between it and
    /// the signer.
    ///
    /// # Errors
    /// Why not.
    pub fn check_authority(&self, purpose: Purpose, below: usize) -> Result<(), String> {
        let of = |words: &str| format!("the certificate of {} {words}", self.subject());
        let constraints: Option<BasicConstraints> =
            self.decoded(rfc5280::ID_CE_BASIC_CONSTRAINTS, "basic constraints")?;
        let Some(constraints) = constraints.filter(|constraints| constraints.ca) else {
            return Err(of("is not that of an authority"));
        };
        if constraints.path_len_constraint.is_some_and(|most| usize::from(most) < below) {
            return Err(of("allows fewer authorities below it"));
        }
        let usage: Option<KeyUsage> = self.decoded(rfc5280::ID_CE_KEY_USAGE, "key usage")?;
        if usage.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(of("is not for signing certificates"));
        }
        let purposes: Option<ExtendedKeyUsage> =
            self.decoded(rfc5280::ID_CE_EXT_KEY_USAGE, "extended key usage")?;
        let fits = |purposes: &ExtendedKeyUsage| {
            purposes.0.contains(&purpose.oid()) || purposes.0.contains(&ANY_PURPOSE)
        };
        if purposes.is_some_and(|purposes| !fits(&purposes)) {
            return Err(of(&format!("is not for {}", purpose.name())));
        }
        Ok(())
    }

    /// The names it is for.
    ///
    /// # Errors
    /// Where they are damaged.
    pub fn names(&self) -> Result<Option<SubjectAltName>, String> {
        self.decoded(rfc5280::ID_CE_SUBJECT_ALT_NAME, "subject alternative name")
    }

    /// The names that it allows below it.
    ///
    /// # Errors
    /// Where they are damaged.
    pub fn name_constraints(&self) -> Result<Option<NameConstraints>, String> {
        self.decoded(rfc5280::ID_CE_NAME_CONSTRAINTS, "name constraints")
    }

    /// What was signed, without the extension `oid`: of a certificate whose transparency log was
    /// told of it before (RFC 6962, section 3.2).
    pub fn tbs_without(&self, oid: ObjectIdentifier) -> Option<Vec<u8>> {
        let mut tbs = self.inner.tbs_certificate.clone();
        if let Some(extensions) = &mut tbs.extensions {
            extensions.retain(|one| one.extn_id != oid);
        }
        tbs.to_der().ok()
    }
}

/// The extensions that are looked at, or say nothing about whether to trust.
fn is_understood(oid: &ObjectIdentifier) -> bool {
    [
        rfc5280::ID_CE_BASIC_CONSTRAINTS,
        rfc5280::ID_CE_KEY_USAGE,
        rfc5280::ID_CE_EXT_KEY_USAGE,
        rfc5280::ID_CE_SUBJECT_ALT_NAME,
        rfc5280::ID_CE_NAME_CONSTRAINTS,
        rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER,
        rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER,
    ]
    .contains(oid)
}

/// The hash of a signature algorithm, if keys like this make such signatures.
pub(super) fn signature_hash(oid: &ObjectIdentifier, key: &Key) -> Option<Hash> {
    use super::key::Kind;
    let (is_rsa, hash) = match *oid {
        rfc5912::ECDSA_WITH_SHA_256 => (false, Hash::Sha256),
        rfc5912::ECDSA_WITH_SHA_384 => (false, Hash::Sha384),
        rfc5912::ECDSA_WITH_SHA_512 => (false, Hash::Sha512),
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => (true, Hash::Sha256),
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => (true, Hash::Sha384),
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => (true, Hash::Sha512),
        // The hash is part of the algorithm.
        rfc8410::ID_ED_25519 => return (key.kind() == Kind::Ed25519).then_some(Hash::Sha512),
        _ => return None,
    };
    let fits = match key.kind() {
        Kind::Rsa => is_rsa,
        Kind::P256 | Kind::P384 | Kind::P521 => !is_rsa,
        Kind::Ed25519 => false,
    };
    fits.then_some(hash)
}
