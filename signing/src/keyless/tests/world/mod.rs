//! A world of our own: authorities, logs and a timestamp authority, with keys made from fixed
//! seeds, that issue what no real one would.

mod plan;
mod timestamp;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use pkcs8::EncodePublicKey as _;
use serde_json::{Value, json as value};
use sha2::{Digest as _, Sha256};
use x509_cert::der::Encode as _;
use x509_cert::der::asn1::Ia5String;
use x509_cert::ext::pkix::name::GeneralName;

use plan::extension;
// The builder's tests, which have this world too, use some of them.
#[allow(unused_imports)]
pub use plan::{
    Plan, authority_extensions, for_signatures, names, only_directory_names_below, only_emails_of,
    purpose, unknown_extension,
};

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
pub const OTHER_LOG: u8 = 7;

pub fn spki(seed: u8) -> Vec<u8> {
    p256::PublicKey::from(key(seed).verifying_key()).to_public_key_der().unwrap().into_vec()
}

/// The name of a log by its key.
pub fn log_id(seed: u8) -> Vec<u8> {
    Sha256::digest(spki(seed)).to_vec()
}

pub fn sign(seed: u8, message: &[u8]) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = key(seed).sign(message);
    signature.to_der().as_bytes().to_vec()
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
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
    /// Whose log the entry is in.
    pub log: u8,
    /// Whether its body has two values of one name.
    pub body_twice: bool,
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
                names(vec![name]),
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
                "logId": { "keyId": base64(log_id(seed)) },
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
            log: LOG,
            body_twice: false,
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
    fn body(&self, signature: &[u8], certificate: &[u8]) -> String {
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
        let body =
            value!({ "apiVersion": self.entry.1, "kind": self.entry.0, "spec": spec }).to_string();
        match self.body_twice {
            true => body.replacen('{', "{\"kind\":\"other\",", 1),
            false => body,
        }
    }

    /// Body and signed entry timestamp of the log.
    pub fn promise(&self, body: &[u8]) -> Vec<u8> {
        let log_id = log_id(self.log);
        let signed = format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":1}}"#,
            base64(body),
            self.integrated,
            hex::encode(log_id)
        );
        sign(self.log, signed.as_bytes())
    }

    /// The bundle: of a tree of two entries, in which ours is the second.
    pub fn bundle(&self) -> Value {
        let is_envelope = self.entry.0 == "dsse";
        let (signature, certificate) = (self.signature(is_envelope), self.certificate());
        let body = self.body(&signature, &certificate);
        let key_id = log_id(self.log);
        let first = merkle::leaf_hash(b"another entry");
        let mut tree = vec![1];
        tree.extend(first);
        tree.extend(merkle::leaf_hash(body.as_bytes()));
        let root = base64(Sha256::digest(tree));
        let note = format!("log.treelay.example\n2\n{root}\n");
        let mut note_signature = key_id[..4].to_vec();
        note_signature.extend(sign(self.log, note.as_bytes()));
        let mut entry = value!({
            "logIndex": "1",
            "logId": { "keyId": base64(&key_id) },
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
        let body = self.body(&signature, &certificate);
        let bundle = value!({
            "SignedEntryTimestamp": base64(self.promise(body.as_bytes())),
            "Payload": {
                "body": base64(&body),
                "integratedTime": self.integrated,
                "logIndex": 1,
                "logID": hex::encode(log_id(self.log)),
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
