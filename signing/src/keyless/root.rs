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
    /// Members that cannot be used here, such as logs with keys of kinds that came later.
    pub(super) unusable: Vec<Unusable>,
}

/// A member of a root that is left out: nothing that it vouches for is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    /// Where it is in the root, and its address, where it has one.
    pub name: String,
    /// The name of a log's key; of an authority nothing.
    pub log_id: Vec<u8>,
    /// Why it cannot be used.
    pub detail: String,
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
}

/// A member of a root, or why it cannot be used.
type Member<T> = Result<T, Unusable>;

impl TrustedRoot {
    /// Reads a trusted root in JSON.
    ///
    /// Fields that are not known say nothing, as in all JSON of protocol buffers; those that are known
    /// must be spelled as they are and be of the right form, wherever they are: a period that is not
    /// understood would be none. Every log must have a beginning; an authority without a period is
    /// trusted as long as its certificates are valid. A log or an authority with a key of a kind that
    /// is not known here, or a certificate that cannot be used, is left out, and named when something
    /// is in that log.
    ///
    /// # Errors
    /// [`TrustedRootError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustedRootError> {
        let value = form::parse(bytes, Limits { bytes: MAX_TRUSTED_ROOT, values: 100_000 })?;
        let names =
            ["mediaType", "tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"];
        let fields = Fields::of("", &value)?.no_variants(&names)?;
        let found = fields.need_text("mediaType")?;
        if !MEDIA_TYPES.contains(&found) {
            return Err(TrustedRootError::MediaType { found: found.to_owned() });
        }
        let mut unusable = Vec::new();
        Ok(Self {
            logs: members(fields, "tlogs", &mut unusable, log)?,
            ct_logs: members(fields, "ctlogs", &mut unusable, log)?,
            authorities: members(fields, "certificateAuthorities", &mut unusable, authority)?,
            timestamp_authorities: members(
                fields,
                "timestampAuthorities",
                &mut unusable,
                authority,
            )?,
            unusable,
        })
    }

    /// How many logs, logs of certificates, authorities and timestamp authorities it has.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 4] {
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

/// Reads a list of members, and puts aside those that cannot be used.
fn members<T>(
    fields: Fields<'_>,
    name: &str,
    unusable: &mut Vec<Unusable>,
    read: impl Fn(&str, &serde_json::Value) -> Result<Member<T>, FormError>,
) -> Result<Vec<T>, FormError> {
    let mut all = Vec::new();
    for (at, value) in fields.list(name, MAX_MEMBERS)?.iter().enumerate() {
        match read(&format!("{name}[{at}]"), value)? {
            Ok(member) => all.push(member),
            Err(one) => unusable.push(one),
        }
    }
    Ok(all)
}

fn log(place: &str, value: &serde_json::Value) -> Result<Member<Log>, FormError> {
    let names = ["baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId"];
    let fields = Fields::of(place, value)?.no_variants(&names)?;
    let url = fields.text("baseUrl")?.unwrap_or_default().to_owned();
    let hash = fields.text("hashAlgorithm")?.unwrap_or("SHA2_256");
    let key_at = fields.path("publicKey");
    let key = Fields::of(&key_at, fields.need("publicKey")?)?;
    let key = key.no_variants(&["rawBytes", "keyDetails", "validFor"])?;
    let der = key.need_bytes("rawBytes")?;
    let details = key.text("keyDetails")?.unwrap_or_default();
    let key_id = |name: &str, value| {
        let place = fields.path(name);
        Fields::of(&place, value)?.no_variants(&["keyId"])?.need_bytes("keyId")
    };
    let id = key_id("logId", fields.need("logId")?)?;
    let checkpoint_id = match fields.get("checkpointKeyId") {
        Some(value) => key_id("checkpointKeyId", value)?,
        None => id.clone(),
    };
    let period = period(&key_at, key)?;
    if period.start.is_none() {
        return Err(FormError::Missing { name: format!("{key_at}.validFor.start") });
    }
    let unusable = |detail: String| {
        let name = format!("{place} {url}").trim_end().to_owned();
        Ok(Err(Unusable { name, log_id: id.clone(), detail }))
    };
    if hash != "SHA2_256" {
        return unusable(format!("the hash {hash:?} is not known"));
    }
    let parsed = match details.starts_with("PKCS1_") {
        true => Some(Key::from_pkcs1(&der)),
        false => Key::from_spki(&der),
    };
    let Some(key) = parsed else {
        return unusable(format!("its key is of a kind that is not known, {details:?}"));
    };
    let Some(checkpoint_id) = checkpoint_id.first_chunk().copied() else {
        return unusable("the name of its key is shorter than 4 bytes".to_owned());
    };
    Ok(Ok(Log { url, id, checkpoint_id, key, period }))
}

fn authority(place: &str, value: &serde_json::Value) -> Result<Member<Authority>, FormError> {
    let fields = Fields::of(place, value)?.no_variants(&["uri", "certChain", "validFor"])?;
    let url = fields.text("uri")?.unwrap_or_default().to_owned();
    let period = period(place, fields)?;
    let chain_at = fields.path("certChain");
    let chain = Fields::of(&chain_at, fields.need("certChain")?)?.no_variants(&["certificates"])?;
    let (mut certificates, mut unusable) = (Vec::new(), None);
    for (at, one) in chain.list("certificates", MAX_MEMBERS)?.iter().enumerate() {
        let at = format!("{chain_at}.certificates[{at}]");
        let der = Fields::of(&at, one)?.no_variants(&["rawBytes"])?.need_bytes("rawBytes")?;
        match Certificate::parse(&der) {
            Ok(certificate) => certificates.push(certificate),
            Err(detail) => unusable = Some(format!("{at}: {detail}")),
        }
    }
    if let Some(detail) = unusable {
        let name = format!("{place} {url}").trim_end().to_owned();
        return Ok(Err(Unusable { name, log_id: Vec::new(), detail }));
    }
    if certificates.is_empty() {
        return Err(chain.wrong("certificates", "a list with a certificate"));
    }
    Ok(Ok(Authority { url, chain: certificates, period }))
}

fn period(place: &str, fields: Fields<'_>) -> Result<Period, FormError> {
    let place = format!("{place}.validFor");
    let Some(value) = fields.get("validFor") else { return Ok(Period::default()) };
    let fields = Fields::of(&place, value)?.no_variants(&["start", "end"])?;
    let time = |name: &str| -> Result<Option<Time>, FormError> {
        let Some(text) = fields.text(name)? else { return Ok(None) };
        let time = Time::parse_rfc3339(text);
        Ok(Some(time.ok_or_else(|| fields.wrong(name, "a time such as 2021-01-12T11:53:27Z"))?))
    };
    Ok(Period { start: time("start")?, end: time("end")? })
}
