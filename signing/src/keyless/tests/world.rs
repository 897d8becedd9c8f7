//! A world of our own: authorities, logs and a timestamp authority, with keys made from fixed
//! seeds, that issue what no real one would.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use pkcs8::EncodePublicKey as _;
use serde_json::{Value, json as value};
use sha2::{Digest as _, Sha256};
use x509_cert::der::asn1::{BitString, GeneralizedTime, Ia5String, OctetString, UtcTime};
use x509_cert::der::{DateTime, Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, NameConstraints, SubjectAltName,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Validity;
use x509_cert::{Certificate as X509, TbsCertificate, Version};

use super::*;

pub const IDENTITY: &str = "signer@treelay.example";
pub const ISSUER: &str = "https://issuer.treelay.example";
/// When things are signed.
pub const NOW: i64 = 1_700_000_000;
const YEAR: i64 = 365 * 86_400;

const OID_SCTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
const OID_ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");

/// Keys of the world.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

pub const ROOT: u8 = 1;
pub const AUTHORITY: u8 = 2;
pub const SIGNER: u8 = 3;
pub const CT_LOG: u8 = 4;
pub const LOG: u8 = 5;
pub const TSA: u8 = 6;

pub fn spki(seed: u8) -> Vec<u8> {
    p256::PublicKey::from(key(seed).verifying_key()).to_public_key_der().unwrap().into_vec()
}

pub fn sign(seed: u8, message: &[u8]) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = key(seed).sign(message);
    signature.to_der().as_bytes().to_vec()
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn extension(
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
    use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
    let base = GeneralName::Rfc822Name(Ia5String::new(host).unwrap());
    let tree = GeneralSubtree { base, minimum: 0, maximum: None };
    let constraints =
        NameConstraints { permitted_subtrees: Some(vec![tree]), excluded_subtrees: None };
    extension(rfc5280::ID_CE_NAME_CONSTRAINTS, true, &constraints)
}

pub fn unknown_extension() -> Extension {
    extension(ObjectIdentifier::new_unwrap("1.2.3.4"), true, &OctetString::new([1]).unwrap())
}

pub fn for_signatures() -> Extension {
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    extension(rfc5280::ID_CE_KEY_USAGE, true, &usage)
}

/// Everything that a signature needs; change what should be wrong, then [`World::verify`].
pub struct World {
    pub root: Plan,
    pub authority: Plan,
    pub leaf: Plan,
    pub tsa: Plan,
    /// Which log is shown the certificate.
    pub ct_log: Option<u8>,
    /// Which key the signature is by.
    pub signer: u8,
    /// When the log says that it took the signature in.
    pub integrated: i64,
    /// When the timestamp authority says that it saw it.
    pub stamped: Option<i64>,
    /// Kind and version of the entry.
    pub entry: (&'static str, &'static str),
    pub trusted_root: Value,
    pub content: Vec<u8>,
}

impl World {
    /// In which all is right.
    pub fn new() -> Self {
        let name = GeneralName::Rfc822Name(Ia5String::new(IDENTITY).unwrap());
        let root = Plan {
            subject: "CN=root,O=treelay",
            issuer: "CN=root,O=treelay",
            key: ROOT,
            issuer_key: ROOT,
            from: NOW - 5 * YEAR,
            to: NOW + 5 * YEAR,
            extensions: authority_extensions(Some(1)),
        };
        let authority = Plan {
            subject: "CN=authority,O=treelay",
            key: AUTHORITY,
            from: NOW - YEAR,
            to: NOW + YEAR,
            extensions: authority_extensions(Some(0)),
            ..root.clone()
        };
        let issuer = x509_cert::der::asn1::Utf8StringRef::new(ISSUER).unwrap();
        let leaf = Plan {
            subject: "",
            issuer: authority.subject,
            key: SIGNER,
            issuer_key: AUTHORITY,
            from: NOW - 60,
            to: NOW + 540,
            extensions: vec![
                for_signatures(),
                purpose(rfc5280::ID_KP_CODE_SIGNING, false),
                extension(rfc5280::ID_CE_SUBJECT_ALT_NAME, true, &SubjectAltName(vec![name])),
                extension(OID_ISSUER, false, &issuer),
            ],
        };
        let tsa = Plan {
            subject: "CN=clock,O=treelay",
            key: TSA,
            from: NOW - YEAR,
            to: NOW + YEAR,
            extensions: vec![for_signatures(), purpose(rfc5280::ID_KP_TIME_STAMPING, true)],
            ..root.clone()
        };
        let log = |seed: u8, url: &str| {
            value!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64(spki(seed)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": { "start": "2020-01-01T00:00:00Z" },
                },
                "logId": { "keyId": base64(Sha256::digest(spki(seed))) },
            })
        };
        let trusted_root = value!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot.v0.2+json",
            "tlogs": [log(LOG, "https://log.treelay.example")],
            "ctlogs": [log(CT_LOG, "https://ct.treelay.example")],
            "certificateAuthorities": [],
            "timestampAuthorities": [],
        });
        Self {
            root,
            authority,
            leaf,
            tsa,
            ct_log: Some(CT_LOG),
            signer: SIGNER,
            integrated: NOW,
            stamped: None,
            entry: ("hashedrekord", "0.0.1"),
            trusted_root,
            content: b"content\n".to_vec(),
        }
    }

    fn certificate(&self) -> Vec<u8> {
        match self.ct_log {
            Some(log) => self.leaf.make_logged(log),
            None => self.leaf.make(),
        }
    }

    /// The root, with the authorities as they are planned.
    pub fn root(&self) -> TrustedRoot {
        TrustedRoot::parse(self.root_json().to_string().as_bytes()).unwrap()
    }

    /// The same, as it is in a file.
    pub fn root_json(&self) -> Value {
        let mut root = self.trusted_root.clone();
        let chain = |plans: &[&Plan]| {
            let all = plans.iter().map(|plan| value!({ "rawBytes": base64(plan.make()) }));
            value!([{ "uri": "https://authority.treelay.example",
                      "certChain": { "certificates": all.collect::<Vec<_>>() } }])
        };
        root["certificateAuthorities"] = chain(&[&self.authority, &self.root]);
        root["timestampAuthorities"] = chain(&[&self.tsa, &self.root]);
        root
    }

    pub fn signature(&self, is_envelope: bool) -> Vec<u8> {
        match is_envelope {
            true => {
                sign(self.signer, &crate::dsse::pae(crate::statement::PAYLOAD_TYPE, &self.content))
            }
            false => sign(self.signer, &self.content),
        }
    }

    /// The body of the entry.
    fn body(&self, signature: &[u8], certificate: &[u8]) -> Value {
        let pem = base64(pem(certificate));
        let verifier = value!({
            "x509Certificate": { "rawBytes": base64(certificate) },
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        });
        let hash = Sha256::digest(&self.content);
        let spec = match self.entry {
            ("hashedrekord", "0.0.1") => value!({
                "data": { "hash": { "algorithm": "sha256", "value": hex::encode(hash) } },
                "signature": { "content": base64(signature), "publicKey": { "content": pem } },
            }),
            ("hashedrekord", _) => value!({ "hashedRekordV002": {
                "data": { "algorithm": "SHA2_256", "digest": base64(hash) },
                "signature": { "content": base64(signature), "verifier": verifier },
            } }),
            (_, "0.0.1") => value!({
                "envelopeHash": { "algorithm": "sha256", "value": hex::encode([0; 32]) },
                "payloadHash": { "algorithm": "sha256", "value": hex::encode(hash) },
                "signatures": [{ "signature": base64(signature), "verifier": pem }],
            }),
            _ => value!({ "dsseV002": {
                "payloadHash": { "algorithm": "SHA2_256", "digest": base64(hash) },
                "signatures": [{ "content": base64(signature), "verifier": verifier }],
            } }),
        };
        value!({ "apiVersion": self.entry.1, "kind": self.entry.0, "spec": spec })
    }

    /// Body and signed entry timestamp of the log.
    pub fn promise(&self, body: &[u8]) -> Vec<u8> {
        let log_id = Sha256::digest(spki(LOG));
        let signed = format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":1}}"#,
            base64(body),
            self.integrated,
            hex::encode(log_id)
        );
        sign(LOG, signed.as_bytes())
    }

    /// The bundle: of a tree of two entries, in which ours is the second.
    pub fn bundle(&self) -> Value {
        let is_envelope = self.entry.0 == "dsse";
        let (signature, certificate) = (self.signature(is_envelope), self.certificate());
        let body = self.body(&signature, &certificate).to_string();
        let log_id = base64(Sha256::digest(spki(LOG)));
        let first = merkle::leaf_hash(b"another entry");
        let mut tree = vec![1];
        tree.extend(first);
        tree.extend(merkle::leaf_hash(body.as_bytes()));
        let root = base64(Sha256::digest(tree));
        let note = format!("log.treelay.example\n2\n{root}\n");
        let mut note_signature = Sha256::digest(spki(LOG))[..4].to_vec();
        note_signature.extend(sign(LOG, note.as_bytes()));
        let mut entry = value!({
            "logIndex": "1",
            "logId": { "keyId": log_id },
            "kindVersion": { "kind": self.entry.0, "version": self.entry.1 },
            "integratedTime": self.integrated.to_string(),
            "inclusionProof": {
                "logIndex": "1", "rootHash": root, "treeSize": "2", "hashes": [base64(first)],
                "checkpoint": { "envelope": format!(
                    "{note}\n— log.treelay.example {}\n", base64(note_signature)) },
            },
            "canonicalizedBody": base64(&body),
        });
        if self.entry.1 == "0.0.1" {
            let promise = self.promise(body.as_bytes());
            entry["inclusionPromise"] = value!({ "signedEntryTimestamp": base64(promise) });
        }
        let mut bundle = value!({
            "mediaType": crate::bundle::MEDIA_TYPE,
            "verificationMaterial": {
                "certificate": { "rawBytes": base64(certificate) },
                "tlogEntries": [entry],
            },
        });
        if let Some(stamped) = self.stamped {
            let token = self.timestamp(&signature, stamped);
            bundle["verificationMaterial"]["timestampVerificationData"] =
                value!({ "rfc3161Timestamps": [{ "signedTimestamp": base64(token) }] });
        }
        match is_envelope {
            true => {
                bundle["dsseEnvelope"] = value!({
                    "payload": base64(&self.content),
                    "payloadType": crate::statement::PAYLOAD_TYPE,
                    "signatures": [{ "sig": base64(signature) }],
                })
            }
            false => {
                bundle["messageSignature"] = value!({
                    "messageDigest": {
                        "algorithm": "SHA2_256", "digest": base64(Sha256::digest(&self.content)),
                    },
                    "signature": base64(signature),
                })
            }
        }
        bundle
    }

    /// A response of the timestamp authority (RFC 3161).
    pub fn timestamp(&self, message: &[u8], at: i64) -> Vec<u8> {
        const SHA256: &str = "2.16.840.1.101.3.4.2.1";
        let time = Time::from_unix(at).to_string().replace(['-', ':', 'T'], "");
        let certificate = self.tsa.make();
        let parsed = Certificate::parse(&certificate).unwrap();
        let tbs = &parsed.inner.tbs_certificate;
        let hash = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
        let sha256 = || seq(0x30, &[oid(SHA256)]);
        let info = seq(
            0x30,
            &[
                vec![2, 1, 1],
                oid("1.2.3"),
                seq(0x30, &[sha256(), seq(4, &[hash(message)])]),
                vec![2, 1, 9],
                seq(0x18, &[time.into_bytes()]),
            ],
        );
        let attribute = |name: &str, value: Vec<u8>| seq(0x30, &[oid(name), seq(0x31, &[value])]);
        let by = seq(0x30, &[seq(0x30, &[seq(0x30, &[seq(4, &[hash(&certificate)])])])]);
        let attributes = [
            attribute("1.2.840.113549.1.9.3", oid("1.2.840.113549.1.9.16.1.4")),
            attribute("1.2.840.113549.1.9.4", seq(4, &[hash(&info)])),
            attribute("1.2.840.113549.1.9.16.2.47", by),
        ];
        let signature = sign(TSA, &seq(0x31, &attributes));
        let signer = seq(
            0x30,
            &[
                vec![2, 1, 1],
                seq(0x30, &[tbs.issuer.to_der().unwrap(), tbs.serial_number.to_der().unwrap()]),
                sha256(),
                seq(0xa0, &attributes),
                seq(0x30, &[oid("1.2.840.10045.4.3.2")]),
                seq(4, &[signature]),
            ],
        );
        let data = seq(
            0x30,
            &[
                vec![2, 1, 3],
                seq(0x31, &[sha256()]),
                seq(0x30, &[oid("1.2.840.113549.1.9.16.1.4"), seq(0xa0, &[seq(4, &[info])])]),
                seq(0xa0, &[certificate]),
                seq(0x31, &[signer]),
            ],
        );
        let token = seq(0x30, &[oid("1.2.840.113549.1.7.2"), seq(0xa0, &[data])]);
        seq(0x30, &[seq(0x30, &[vec![2, 1, 0]]), token])
    }

    pub fn verify(&self) -> Result<Signed, KeylessError> {
        self.verify_bundle(&self.bundle())
    }

    pub fn verify_bundle(&self, bundle: &Value) -> Result<Signed, KeylessError> {
        let bundle = Bundle::parse(bundle.to_string().as_bytes()).unwrap();
        let artifact = Artifact::of_bytes(b"content\n");
        verify(&bundle, &artifact, &self.root(), &policy(IDENTITY, ISSUER))
    }

    /// The signature in the old form: certificate, chain, bundle.
    pub fn annotations(&self) -> (Vec<u8>, String, String, String) {
        let (signature, certificate) = (self.signature(false), self.certificate());
        let body = self.body(&signature, &certificate).to_string();
        let bundle = value!({
            "SignedEntryTimestamp": base64(self.promise(body.as_bytes())),
            "Payload": {
                "body": base64(&body),
                "integratedTime": self.integrated,
                "logIndex": 1,
                "logID": hex::encode(Sha256::digest(spki(LOG))),
            },
        });
        let chain = pem(&self.authority.make()) + &pem(&self.root.make());
        (signature, pem(&certificate), chain, bundle.to_string())
    }
}

pub fn pem(der: &[u8]) -> String {
    let text = pem_rfc7468::encode_string("CERTIFICATE", pem_rfc7468::LineEnding::LF, der);
    text.unwrap()
}

fn oid(text: &str) -> Vec<u8> {
    ObjectIdentifier::new_unwrap(text).to_der().unwrap()
}

fn seq(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let mut der = vec![tag];
    match content.len() {
        short @ 0..=0x7f => der.push(u8::try_from(short).unwrap()),
        short @ 0x80..=0xff => der.extend([0x81, u8::try_from(short).unwrap()]),
        long => {
            der.push(0x82);
            der.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    der.extend(content);
    der
}
