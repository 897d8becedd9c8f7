//! Reading of bundles.

use serde_json::Value;

use super::{
    Bundle, BundleError, BundleVersion, Content, InclusionProof, LogEntry, MAX_BUNDLE, Material,
    MessageDigest, MessageSignature,
};
use crate::dsse::Envelope;
use crate::form::{self, Fields, FormError, Limits};

/// Values in a bundle: the largest real ones, with many log entries, have a few hundred.
const MAX_VALUES: usize = 20_000;

/// Log entries and timestamps of one bundle; sigstore-go has the same limit.
const MAX_PROOFS: usize = 32;

/// Certificates of one chain.
const MAX_CHAIN: usize = 10;

/// Hashes of an inclusion proof: one for each bit of the number of an entry.
const MAX_HASHES: usize = 64;

/// Longest hint: a digest or the name of a key.
const MAX_HINT: usize = 1024;

/// Digests that sigstore names, `sigstore_common.proto`, `HashAlgorithm`, and their bytes.
const DIGESTS: [(&str, usize); 5] =
    [("SHA2_256", 32), ("SHA2_384", 48), ("SHA2_512", 64), ("SHA3_256", 32), ("SHA3_384", 48)];

impl Bundle {
    /// Reads a bundle of any version, and verifies nothing.
    ///
    /// # Errors
    /// [`BundleError`] for all that is not exactly a bundle.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let value = form::parse(bytes, Limits { bytes: MAX_BUNDLE, values: MAX_VALUES })?;
        let fields = Fields::of("", &value)?;
        let found = fields.need_text("mediaType")?;
        let version = BundleVersion::of_media_type(found)
            .ok_or_else(|| BundleError::MediaType { found: found.to_owned() })?;
        let contents = ["dsseEnvelope", "messageSignature"];
        let fields =
            fields.only(&["mediaType", "verificationMaterial", contents[0], contents[1]])?;
        let content = match one_of(fields, &contents)? {
            ("dsseEnvelope", value) => {
                Content::Envelope(Envelope::in_bundle("dsseEnvelope", value)?)
            }
            (_, value) => Content::Message(message(value)?),
        };

        let place = "verificationMaterial";
        let kinds = ["publicKey", "x509CertificateChain", "certificate"];
        let others = ["tlogEntries", "timestampVerificationData"];
        let fields = Fields::of(place, fields.need(place)?)?;
        fields.only(&[&kinds[..], &others[..]].concat())?;
        let material = match one_of(fields, &kinds)? {
            ("publicKey", value) => public_key(value)?,
            ("certificate", value) => {
                Material::Certificate(certificate("verificationMaterial.certificate", value)?)
            }
            (_, value) => chain(value)?,
        };
        let mut log_entries = Vec::new();
        for entry in fields.list("tlogEntries", MAX_PROOFS)? {
            log_entries.push(log_entry(entry)?);
        }
        let timestamps = match fields.get("timestampVerificationData") {
            Some(value) => timestamps(value)?,
            None => Vec::new(),
        };
        check_rules(version, &material, &log_entries)?;
        Ok(Self { version, material, log_entries, timestamps, content })
    }
}

/// What the versions differ in; sigstore-go, `pkg/bundle/bundle.go`, `validate`, has the same rules.
fn check_rules(
    version: BundleVersion,
    material: &Material,
    entries: &[LogEntry],
) -> Result<(), BundleError> {
    let refuse = |rule| Err(BundleError::Rule { version, rule });
    match version {
        BundleVersion::V0_1 => {
            if entries.iter().any(|entry| entry.inclusion_promise.is_none()) {
                return refuse("has an inclusionPromise in each of its log entries");
            }
        }
        BundleVersion::V0_2 | BundleVersion::V0_3 => {
            let proved = |entry: &LogEntry| {
                entry.inclusion_proof.as_ref().is_some_and(|proof| proof.checkpoint.is_some())
            };
            if !entries.iter().all(proved) {
                return refuse(
                    "has an inclusionProof with a checkpoint in each of its log entries",
                );
            }
            let chain = matches!(material, Material::CertificateChain(_));
            if chain && version == BundleVersion::V0_3 {
                return refuse("has one certificate, not an x509CertificateChain");
            }
        }
    }
    Ok(())
}

/// The one of these values that is there.
fn one_of<'a>(
    fields: Fields<'a>,
    names: &[&'static str],
) -> Result<(&'static str, &'a Value), BundleError> {
    let there: Vec<_> =
        names.iter().filter_map(|name| fields.get(name).map(|value| (*name, value))).collect();
    match there.as_slice() {
        [one] => Ok(*one),
        all => {
            let names: Vec<_> = names.iter().map(|name| fields.path(name)).collect();
            Err(BundleError::OneOf { names: names.join(", "), found: all.len() })
        }
    }
}

fn message(value: &Value) -> Result<MessageSignature, FormError> {
    let fields = Fields::of("messageSignature", value)?.only(&["messageDigest", "signature"])?;
    let digest = match fields.get("messageDigest") {
        None => None,
        // So cosign 3 writes it for Ed25519, which signs the bytes and not a digest.
        Some(Value::Object(fields)) if fields.is_empty() => None,
        Some(value) => {
            let place = "messageSignature.messageDigest";
            let fields = Fields::of(place, value)?.only(&["algorithm", "digest"])?;
            let algorithm = fields.need_text("algorithm")?;
            let digest = fields.need_bytes("digest")?;
            if !DIGESTS.contains(&(algorithm, digest.len())) {
                return Err(fields.wrong("digest", "a digest of its algorithm"));
            }
            Some(MessageDigest { algorithm: algorithm.to_owned(), digest })
        }
    };
    Ok(MessageSignature { digest, signature: fields.need_bytes("signature")? })
}

fn public_key(value: &Value) -> Result<Material, FormError> {
    let fields = Fields::of("verificationMaterial.publicKey", value)?.only(&["hint"])?;
    let hint = fields.text("hint")?.unwrap_or_default();
    if hint.len() > MAX_HINT {
        return Err(fields.wrong("hint", "a short text"));
    }
    Ok(Material::PublicKey { hint: hint.to_owned() })
}

fn certificate(place: &str, value: &Value) -> Result<Vec<u8>, FormError> {
    let fields = Fields::of(place, value)?.only(&["rawBytes"])?;
    let der = fields.need_bytes("rawBytes")?;
    if der.is_empty() {
        return Err(fields.wrong("rawBytes", "a certificate"));
    }
    Ok(der)
}

fn chain(value: &Value) -> Result<Material, FormError> {
    let place = "verificationMaterial.x509CertificateChain";
    let fields = Fields::of(place, value)?.only(&["certificates"])?;
    let place = fields.path("certificates");
    let all = fields.list("certificates", MAX_CHAIN)?;
    let chain: Vec<_> = all.iter().map(|one| certificate(&place, one)).collect::<Result<_, _>>()?;
    if chain.is_empty() {
        return Err(FormError::Missing { name: place });
    }
    Ok(Material::CertificateChain(chain))
}

fn timestamps(value: &Value) -> Result<Vec<Vec<u8>>, FormError> {
    let place = "verificationMaterial.timestampVerificationData";
    let fields = Fields::of(place, value)?.only(&["rfc3161Timestamps"])?;
    let place = fields.path("rfc3161Timestamps");
    let all = fields.list("rfc3161Timestamps", MAX_PROOFS)?;
    all.iter()
        .map(|one| {
            Fields::of(&place, one)?.only(&["signedTimestamp"])?.need_bytes("signedTimestamp")
        })
        .collect()
}

fn log_entry(value: &Value) -> Result<LogEntry, FormError> {
    let place = "verificationMaterial.tlogEntries";
    let fields = Fields::of(place, value)?.only(&[
        "logIndex",
        "logId",
        "kindVersion",
        "integratedTime",
        "inclusionPromise",
        "inclusionProof",
        "canonicalizedBody",
    ])?;
    let (log_id_at, kind_at) = (fields.path("logId"), fields.path("kindVersion"));
    let log_id = Fields::of(&log_id_at, fields.need("logId")?)?.only(&["keyId"])?;
    let kind = Fields::of(&kind_at, fields.need("kindVersion")?)?.only(&["kind", "version"])?;
    let promise_at = fields.path("inclusionPromise");
    let inclusion_promise = match fields.get("inclusionPromise") {
        None => None,
        Some(value) => {
            let fields = Fields::of(&promise_at, value)?.only(&["signedEntryTimestamp"])?;
            Some(fields.need_bytes("signedEntryTimestamp")?)
        }
    };
    let proof_at = fields.path("inclusionProof");
    Ok(LogEntry {
        // Protocol buffers leave out what is 0.
        log_index: fields.count("logIndex")?.unwrap_or(0),
        log_id: log_id.need_bytes("keyId")?,
        kind: kind.need_text("kind")?.to_owned(),
        kind_version: kind.need_text("version")?.to_owned(),
        integrated_time: fields.count("integratedTime")?.unwrap_or(0),
        inclusion_promise,
        inclusion_proof: match fields.get("inclusionProof") {
            None => None,
            Some(value) => Some(inclusion_proof(&proof_at, value)?),
        },
        canonicalized_body: fields.need_bytes("canonicalizedBody")?,
    })
}

fn inclusion_proof(place: &str, value: &Value) -> Result<InclusionProof, FormError> {
    let names = ["logIndex", "rootHash", "treeSize", "hashes", "checkpoint"];
    let fields = Fields::of(place, value)?.only(&names)?;
    let mut hashes = Vec::new();
    for hash in fields.list("hashes", MAX_HASHES)? {
        let hash = form::bytes_of(hash).filter(|hash| hash.len() == 32);
        hashes.push(hash.ok_or_else(|| fields.wrong("hashes", "hashes of 32 bytes in base64"))?);
    }
    let root_hash = fields.need_bytes("rootHash")?;
    if root_hash.len() != 32 {
        return Err(fields.wrong("rootHash", "a hash of 32 bytes"));
    }
    let checkpoint = match fields.get("checkpoint") {
        None => None,
        Some(value) => {
            let place = fields.path("checkpoint");
            let envelope = Fields::of(&place, value)?.only(&["envelope"])?;
            Some(envelope.need_text("envelope")?.to_owned())
        }
    };
    Ok(InclusionProof {
        log_index: fields.count("logIndex")?.unwrap_or(0),
        root_hash,
        tree_size: fields.count("treeSize")?.unwrap_or(0),
        hashes,
        checkpoint,
    })
}
