//! [`TrustedRoot`]: whom to trust: authorities and logs, their keys, and from when to when.
//!
//! Specified in sigstore's protobuf-specs, `sigstore_trustroot.proto`.

use super::certificate::Certificate;
use super::key::Key;
use super::time::{Period, Time};
use crate::form::{self, Fields, FormError, Limits};

/// Longest trusted root that is read, in bytes; that of the public good instance has 7 KiB.
pub const MAX_TRUSTED_ROOT: usize = 4 * 1024 * 1024;

/// Authorities and logs of one sort in a root.
const MAX_MEMBERS: usize = 1000;

const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// Whom to trust for signatures with certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedRoot {
    pub(super) logs: Vec<Log>,
    pub(super) ct_logs: Vec<Log>,
    pub(super) authorities: Vec<Authority>,
    pub(super) timestamp_authorities: Vec<Authority>,
}

/// A log, of signatures or of certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log {
    /// Where it is, `https://rekor.sigstore.dev`.
    pub url: String,
    /// Its name: SHA-256 of its key, of newer logs the hash of name and key.
    pub id: Vec<u8>,
    /// The beginning of the name that its checkpoints carry.
    pub checkpoint_id: [u8; 4],
    pub key: Key,
    pub period: Period,
}

/// An authority for certificates or timestamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// Where it is.
    pub url: String,
    /// Its certificates; the last is the root, which is trusted, and of a timestamp authority the
    /// first may be the one that signs.
    pub chain: Vec<Certificate>,
    pub period: Period,
}

impl Authority {
    /// What people call it.
    pub fn name(&self) -> String {
        match (self.url.as_str(), self.chain.last()) {
            ("", Some(root)) => root.subject(),
            (url, _) => url.to_owned(),
        }
    }
}

/// Why something is no trusted root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustedRootError {
    /// It has not the form of one.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Of a version that is not known, or something else.
    #[error("{found:?} is not the media type of a trusted root of version 0.1 or 0.2")]
    MediaType {
        /// The media type it names.
        found: String,
    },
    /// A key or certificate in it cannot be used.
    #[error("{place}: {detail}")]
    Member {
        /// Where it is.
        place: String,
        /// What is wrong.
        detail: String,
    },
}

impl TrustedRoot {
    /// Reads a trusted root in JSON. Fields that it does not know say nothing, as in all JSON of
    /// protocol buffers; what is known must be right, in every member.
    ///
    /// # Errors
    /// [`TrustedRootError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustedRootError> {
        let value = form::parse(bytes, Limits { bytes: MAX_TRUSTED_ROOT, values: 100_000 })?;
        let fields = Fields::of("", &value)?;
        let found = fields.need_text("mediaType")?;
        if !MEDIA_TYPES.contains(&found) {
            return Err(TrustedRootError::MediaType { found: found.to_owned() });
        }
        let names = ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"];
        let fields = fields.no_variants(&names)?;
        let logs = |name: &str| -> Result<Vec<Log>, TrustedRootError> {
            let all = fields.list(name, MAX_MEMBERS)?.iter().enumerate();
            all.map(|(at, value)| log(&format!("{name}[{at}]"), value)).collect()
        };
        let authorities = |name: &str| -> Result<Vec<Authority>, TrustedRootError> {
            let all = fields.list(name, MAX_MEMBERS)?.iter().enumerate();
            all.map(|(at, value)| authority(&format!("{name}[{at}]"), value)).collect()
        };
        Ok(Self {
            logs: logs("tlogs")?,
            ct_logs: logs("ctlogs")?,
            authorities: authorities("certificateAuthorities")?,
            timestamp_authorities: authorities("timestampAuthorities")?,
        })
    }

    /// How many logs, logs of certificates, authorities and timestamp authorities it has.
    pub fn sizes(&self) -> [usize; 4] {
        [
            self.logs.len(),
            self.ct_logs.len(),
            self.authorities.len(),
            self.timestamp_authorities.len(),
        ]
    }

    pub(super) fn has_certificate(&self, certificate: &Certificate) -> bool {
        self.authorities.iter().any(|authority| authority.chain.contains(certificate))
    }
}

fn log(place: &str, value: &serde_json::Value) -> Result<Log, TrustedRootError> {
    let wrong = |detail: &str| TrustedRootError::Member {
        place: place.to_owned(),
        detail: detail.to_owned(),
    };
    let fields = Fields::of(place, value)?;
    if !matches!(fields.text("hashAlgorithm")?, None | Some("SHA2_256")) {
        return Err(fields.wrong("hashAlgorithm", "SHA2_256").into());
    }
    let key_at = fields.path("publicKey");
    let key = Fields::of(&key_at, fields.need("publicKey")?)?;
    let der = key.need_bytes("rawBytes")?;
    let details = key.text("keyDetails")?.unwrap_or_default();
    let parsed = match details.starts_with("PKCS1_") {
        true => Some(Key::from_pkcs1(&der)),
        false => Key::from_spki(&der),
    };
    let id_at = fields.path("logId");
    let id = Fields::of(&id_at, fields.need("logId")?)?.need_bytes("keyId")?;
    let checkpoint_at = fields.path("checkpointKeyId");
    let checkpoint_id = match fields.get("checkpointKeyId") {
        Some(value) => Fields::of(&checkpoint_at, value)?.need_bytes("keyId")?,
        None => id.clone(),
    };
    let period = period(&key_at, key)?;
    Ok(Log {
        url: fields.text("baseUrl")?.unwrap_or_default().to_owned(),
        checkpoint_id: *checkpoint_id
            .first_chunk()
            .ok_or_else(|| wrong("the name of its key is shorter than 4 bytes"))?,
        id,
        key: parsed.ok_or_else(|| wrong("a kind of key that is not supported"))?,
        period,
    })
}

fn authority(place: &str, value: &serde_json::Value) -> Result<Authority, TrustedRootError> {
    let fields = Fields::of(place, value)?;
    let chain_at = fields.path("certChain");
    let chain = Fields::of(&chain_at, fields.need("certChain")?)?;
    let mut certificates = Vec::new();
    for (at, one) in chain.list("certificates", MAX_MEMBERS)?.iter().enumerate() {
        let place = format!("{chain_at}.certificates[{at}]");
        let der = Fields::of(&place, one)?.need_bytes("rawBytes")?;
        let parsed = Certificate::parse(&der);
        certificates.push(parsed.map_err(|detail| TrustedRootError::Member { place, detail })?);
    }
    if certificates.is_empty() {
        return Err(chain.wrong("certificates", "a list with a certificate").into());
    }
    let url = fields.text("uri")?.unwrap_or_default().to_owned();
    Ok(Authority { url, chain: certificates, period: period(place, fields)? })
}

fn period(place: &str, fields: Fields<'_>) -> Result<Period, TrustedRootError> {
    let place = format!("{place}.validFor");
    let Some(value) = fields.get("validFor") else { return Ok(Period::default()) };
    let fields = Fields::of(&place, value)?.no_variants(&["start", "end"])?;
    let time = |name: &str| -> Result<Option<Time>, TrustedRootError> {
        let Some(text) = fields.text(name)? else { return Ok(None) };
        let time = Time::parse_rfc3339(text);
        Ok(Some(time.ok_or_else(|| fields.wrong(name, "a time such as 2021-01-12T11:53:27Z"))?))
    };
    Ok(Period { start: time("start")?, end: time("end")? })
}
