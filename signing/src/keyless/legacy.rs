//! Signatures with annotations beside them, cosign's form before bundles: the layers of `.sig` tags.

use std::collections::BTreeMap;

use super::certificate::Certificate;
use super::entry::{self, Signer};
use super::error::KeylessError;
use super::{
    Artifact, Evidence, Policy, Signed, SignedForm, TrustedRoot, check_certificate, check_known,
};
use crate::bundle::LogEntry;
use crate::form::{self, Fields, FormError, Limits};

/// Annotation with the signer's certificate, in PEM.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// Annotation with the certificates above it, in PEM.
const CHAIN: &str = "dev.sigstore.cosign/chain";
/// Annotation with the log's entry.
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
/// Annotation with a signed timestamp.
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// Longest of the annotations in JSON, in bytes.
const MAX_ANNOTATION: usize = 1024 * 1024;

/// A signature and what stands beside it, as it is in the annotations.
#[derive(Debug, Clone, Copy)]
pub struct LegacySignature<'a> {
    /// The signed bytes.
    pub payload: &'a [u8],
    /// The signature over them, not in base64 (`dev.cosignproject.cosign/signature` is).
    pub signature: &'a [u8],
    /// `dev.sigstore.cosign/certificate`.
    pub certificate: &'a str,
    /// `dev.sigstore.cosign/chain`.
    pub chain: Option<&'a str>,
    /// `dev.sigstore.cosign/bundle`.
    pub bundle: Option<&'a str>,
    /// `dev.sigstore.cosign/rfc3161timestamp`.
    pub timestamp: Option<&'a str>,
}

impl<'a> LegacySignature<'a> {
    /// A signature with what stands beside it in `annotations`; [`None`] where there is no
    /// certificate, so that it was made with a key.
    pub fn of_annotations(
        payload: &'a [u8],
        signature: &'a [u8],
        annotations: &'a BTreeMap<String, String>,
    ) -> Option<Self> {
        let of = |name: &str| annotations.get(name).map(String::as_str).filter(|it| !it.is_empty());
        Some(Self {
            payload,
            signature,
            certificate: of(CERTIFICATE)?,
            chain: of(CHAIN),
            bundle: of(BUNDLE),
            timestamp: of(TIMESTAMP),
        })
    }
}

/// Verifies that somebody whom `policy` accepts signed the payload, as [`verify`](super::verify)
/// does with a bundle. What the payload says is the caller's to judge.
///
/// # Errors
/// [`KeylessError`], the first reason why not.
pub fn verify_legacy(
    signature: &LegacySignature<'_>,
    root: &TrustedRoot,
    policy: &Policy,
) -> Result<Signed, KeylessError> {
    let leaf = Certificate::parse_pem(signature.certificate.as_bytes())
        .map_err(|detail| KeylessError::Annotation { annotation: CERTIFICATE, detail })?;
    let chain = Certificate::parse_pems(signature.chain.unwrap_or_default().as_bytes())
        .map_err(|detail| KeylessError::Annotation { annotation: CHAIN, detail })?;
    for one in &chain {
        check_known(one, root)?;
    }
    let of = |annotation: &'static str| {
        move |error: FormError| KeylessError::Annotation { annotation, detail: error.to_string() }
    };
    let entry = signature.bundle.map(log_entry).transpose().map_err(of(BUNDLE))?;
    let timestamp = signature.timestamp.map(timestamp).transpose().map_err(of(TIMESTAMP))?;
    let artifact = Artifact::of_bytes(signature.payload);
    let evidence = Evidence {
        signature: signature.signature,
        content: entry::Content::Message(&artifact),
        log_entries: entry.as_slice(),
        timestamps: timestamp.as_slice(),
    };
    let times = evidence.check(Signer::Certificate(&leaf), &leaf.key, root)?;
    let by = check_certificate(&leaf, &times, root, policy)?;
    Ok(Signed {
        artifact: artifact.digest(),
        by,
        times: times.times,
        form: SignedForm::Annotations,
        log: times.log,
        statement: None,
    })
}

/// Reads `{"SignedEntryTimestamp":…,"Payload":{"body":…,"integratedTime":…,"logIndex":…,"logID":…}}`
/// (cosign, `pkg/cosign/bundle/rekor.go`).
fn log_entry(json: &str) -> Result<LogEntry, FormError> {
    let limits = Limits { bytes: MAX_ANNOTATION, values: 100 };
    let value = form::parse(json.as_bytes(), limits)?;
    let fields = Fields::of("", &value)?.only(&["SignedEntryTimestamp", "Payload"])?;
    let promise = fields.need_bytes("SignedEntryTimestamp")?;
    let payload = Fields::of("Payload", fields.need("Payload")?)?;
    let payload = payload.only(&["body", "integratedTime", "logIndex", "logID"])?;
    let canonicalized_body = payload.need_bytes("body")?;
    let log_id = hex::decode(payload.need_text("logID")?)
        .map_err(|_| payload.wrong("logID", "hex digits"))?;
    // The entry says itself of what kind it is; elsewhere that is beside it too.
    let body = form::parse(&canonicalized_body, Limits { bytes: MAX_ANNOTATION, values: 1000 })?;
    let body = Fields::of("Payload.body", &body)?;
    Ok(LogEntry {
        log_index: payload.count("logIndex")?.unwrap_or(0),
        log_id,
        kind: body.need_text("kind")?.to_owned(),
        kind_version: body.need_text("apiVersion")?.to_owned(),
        integrated_time: payload.count("integratedTime")?.unwrap_or(0),
        inclusion_promise: Some(promise),
        inclusion_proof: None,
        canonicalized_body,
    })
}

/// Reads `{"SignedRFC3161Timestamp":…}` (cosign, `pkg/cosign/bundle/tsa.go`).
fn timestamp(json: &str) -> Result<Vec<u8>, FormError> {
    let value = form::parse(json.as_bytes(), Limits { bytes: MAX_ANNOTATION, values: 10 })?;
    Fields::of("", &value)?.only(&["SignedRFC3161Timestamp"])?.need_bytes("SignedRFC3161Timestamp")
}
