//! Certificates of the world, and what stands in them.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};
use sha2::{Digest as _, Sha256};
use x509_cert::der::asn1::{BitString, GeneralizedTime, Ia5String, OctetString, UtcTime};
use x509_cert::der::{DateTime, Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, NameConstraints, SubjectAltName,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Validity;
use x509_cert::{Certificate as X509, TbsCertificate, Version};

use super::{OID_SCTS, sign, spki};

pub(super) fn extension(
    oid: ObjectIdentifier,
    critical: bool,
    content: &impl x509_cert::der::Encode,
) -> Extension {
    let extn_value = OctetString::new(content.to_der().unwrap()).unwrap();
    Extension { extn_id: oid, critical, extn_value }
}

/// A certificate to be made.
#[derive(Clone)]
pub struct Plan {
    pub subject: &'static str,
    pub issuer: &'static str,
    pub key: u8,
    pub issuer_key: u8,
    pub from: i64,
    pub to: i64,
    pub extensions: Vec<Extension>,
}

fn time(unix: i64) -> x509_cert::time::Time {
    let since = std::time::Duration::from_secs(u64::try_from(unix).unwrap());
    let time = DateTime::from_unix_duration(since).unwrap();
    match UtcTime::from_date_time(time) {
        Ok(time) => x509_cert::time::Time::UtcTime(time),
        Err(_) => GeneralizedTime::from_date_time(time).into(),
    }
}

impl Plan {
    fn tbs(&self) -> TbsCertificate {
        TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&[self.key, 7]).unwrap(),
            signature: algorithm(),
            issuer: self.issuer.parse::<Name>().unwrap(),
            validity: Validity { not_before: time(self.from), not_after: time(self.to) },
            subject: match self.subject {
                "" => Name::default(),
                name => name.parse().unwrap(),
            },
            subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&spki(self.key)).unwrap(),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.extensions.clone()),
        }
    }

    pub fn make(&self) -> Vec<u8> {
        let tbs_certificate = self.tbs();
        let signature = sign(self.issuer_key, &tbs_certificate.to_der().unwrap());
        let signature = BitString::from_bytes(&signature).unwrap();
        X509 { tbs_certificate, signature_algorithm: algorithm(), signature }.to_der().unwrap()
    }

    /// Makes it with a signed certificate timestamp of the log `log`, which was shown it.
    pub fn make_logged(&self, log: u8) -> Vec<u8> {
        let tbs = self.tbs().to_der().unwrap();
        let timestamp = u64::try_from(self.from).unwrap() * 1000;
        let mut signed = vec![0, 0];
        signed.extend(timestamp.to_be_bytes());
        signed.extend([0, 1]);
        signed.extend(Sha256::digest(spki(self.issuer_key)));
        signed.extend(&u32::try_from(tbs.len()).unwrap().to_be_bytes()[1..]);
        signed.extend(&tbs);
        signed.extend([0, 0]);
        let signature = sign(log, &signed);
        let mut sct = vec![0];
        sct.extend(Sha256::digest(spki(log)));
        sct.extend(timestamp.to_be_bytes());
        sct.extend([0, 0, 4, 3]);
        sct.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
        sct.extend(signature);
        let mut list = u16::try_from(sct.len() + 2).unwrap().to_be_bytes().to_vec();
        list.extend(u16::try_from(sct.len()).unwrap().to_be_bytes());
        list.extend(sct);
        let mut logged = self.clone();
        logged.extensions.push(extension(OID_SCTS, false, &OctetString::new(list).unwrap()));
        logged.make()
    }
}

fn algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: rfc5912::ECDSA_WITH_SHA_256, parameters: None }
}

pub fn authority_extensions(path_length: Option<u8>) -> Vec<Extension> {
    let constraints = BasicConstraints { ca: true, path_len_constraint: path_length };
    let usage = KeyUsage(KeyUsages::KeyCertSign.into());
    vec![
        extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &constraints),
        extension(rfc5280::ID_CE_KEY_USAGE, true, &usage),
    ]
}

pub fn purpose(oid: ObjectIdentifier, critical: bool) -> Extension {
    extension(rfc5280::ID_CE_EXT_KEY_USAGE, critical, &ExtendedKeyUsage(vec![oid]))
}

pub fn only_emails_of(host: &str) -> Extension {
    only(GeneralName::Rfc822Name(Ia5String::new(host).unwrap()))
}

pub fn only_directory_names_below(name: &str) -> Extension {
    only(GeneralName::DirectoryName(name.parse().unwrap()))
}

fn only(base: GeneralName) -> Extension {
    let tree = GeneralSubtree { base, minimum: 0, maximum: None };
    let constraints =
        NameConstraints { permitted_subtrees: Some(vec![tree]), excluded_subtrees: None };
    extension(rfc5280::ID_CE_NAME_CONSTRAINTS, true, &constraints)
}

pub fn names(names: Vec<GeneralName>) -> Extension {
    extension(rfc5280::ID_CE_SUBJECT_ALT_NAME, true, &SubjectAltName(names))
}

pub fn unknown_extension() -> Extension {
    extension(ObjectIdentifier::new_unwrap("1.2.3.4"), true, &OctetString::new([1]).unwrap())
}

pub fn for_signatures() -> Extension {
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    extension(rfc5280::ID_CE_KEY_USAGE, true, &usage)
}
