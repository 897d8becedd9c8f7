//! Signatures by people and workflows that have no key of their own, verified without network and
//! clock.
//!
//! *Terms.* The signer makes a key that lives for minutes. An *authority* (Fulcio) gives it a
//! *certificate* that says who the signer is (the *identity*) and who vouches for that (the
//! *issuer*), and shows it to a *log of certificates*, whose receipt, the *SCT*, is in it. The
//! signature goes into a *transparency log* (Rekor), which gives a *signed entry timestamp* and a
//! *proof* that ends in a *checkpoint*; a *timestamp authority* may sign the time too. A *trusted
//! root* is a file that names all of them, with their keys and periods.
//!
//! *Phases.* [`verify`] goes through all of them, in this order, and what it gives back is true:
//!
//! 1. The signature fits the key of the certificate, and the bytes or the statement's envelope.
//! 2. Times: every timestamp is by an authority of the root, over the signature. Every log entry is
//!    in a log of the root, about this signature, by this certificate, over this content; its time
//!    counts where the log signed it. At least one time and one entry are needed.
//!    The logs were to be trusted at *each* of all these times.
//! 3. The certificate goes up to an authority of the root, and it, all certificates above it and the
//!    authority were to be trusted at *each* of the times too.
//! 4. A log of certificates of the root has signed that it was shown the certificate, at a time at
//!    which that log was to be trusted: the log says it, and it is not one of the times above.
//! 5. The identity and its issuer are those that are asked for.
//! 6. The statement is about the artifact.
//!
//! What is there must be right, also where it would not be needed: an entry or timestamp that does
//! not verify is a refusal, whatever stands beside it. The times at which something is judged are
//! proved; what the clock says never matters.
//!
//! sigstore's own crate for this, sigstore-verify 0.15, is not used: it asks the clock, judges
//! keys of logs by the present, knows no entries of the kind dsse 0.0.2, and compares entries of
//! the kind intoto by their keys alone.
//!
//! Signing in this way is not here. Its result would be a [`Bundle`] like any other.

mod artifact;
mod certificate;
mod checkpoint;
mod der;
mod entry;
mod error;
mod identity;
mod key;
mod legacy;
mod log;
mod merkle;
mod path;
mod root;
mod sct;
mod signed;
#[cfg(test)]
mod tests;
mod time;
mod timestamp;

pub use artifact::Artifact;
pub use error::KeylessError;
pub use identity::{IdentityError, IdentityForm, Matcher, NotAPattern, Policy};
pub use legacy::{LegacySignature, verify_legacy};
pub use root::{MAX_TRUSTED_ROOT, TrustedRoot, TrustedRootError};
pub use signed::{LogRecord, Signed, SignedBy, SignedForm, SigningTime, TimeSource};
pub use time::{Period, Time};
pub use timestamp::TimestampError;

use certificate::{Certificate, Purpose};
use entry::{Fact, Signer};
use identity::Claims;
use key::{Hash, Key, Kind};

use crate::bundle::{Bundle, Content, LogEntry, Material};
use crate::keys::PublicKey;
use crate::statement::Statement;

/// Verifies that somebody whom `policy` accepts signed `artifact`, by everything that `root` trusts.
///
/// # Errors
/// [`KeylessError`], the first reason why not.
pub fn verify(
    bundle: &Bundle,
    artifact: &Artifact<'_>,
    root: &TrustedRoot,
    policy: &Policy,
) -> Result<Signed, KeylessError> {
    let (leaf, chain) = match &bundle.material {
        Material::PublicKey { hint } => {
            return Err(KeylessError::NoCertificate { hint: hint.clone() });
        }
        Material::Certificate(leaf) => (leaf, &[][..]),
        Material::CertificateChain(all) => match all.split_first() {
            Some((leaf, rest)) => (leaf, rest),
            None => return Err(KeylessError::Certificate { detail: "there is none".to_owned() }),
        },
    };
    let parse = |der: &Vec<u8>| {
        Certificate::parse(der).map_err(|detail| KeylessError::Certificate { detail })
    };
    let leaf = parse(leaf)?;
    for one in chain {
        check_known(&parse(one)?, root)?;
    }
    let evidence = Evidence::of_bundle(bundle, artifact)?;
    let times = evidence.check(Signer::Certificate(&leaf), &leaf.key, root)?;
    let by = check_certificate(&leaf, &times, root, policy)?;
    evidence.into_signed(bundle, artifact, by, times)
}

/// Verifies that `key` signed `artifact`. With a trusted root, all log entries and timestamps that
/// the bundle has must be right too, though none is needed; without one, they count for nothing.
///
/// # Errors
/// [`KeylessError`], the first reason why not.
pub fn verify_by_key(
    bundle: &Bundle,
    artifact: &Artifact<'_>,
    key: &PublicKey,
    root: Option<&TrustedRoot>,
) -> Result<Signed, KeylessError> {
    if !matches!(bundle.material, Material::PublicKey { .. }) {
        return Err(KeylessError::ByCertificate);
    }
    let fingerprint = key.fingerprint();
    if let Some(found) = bundle.key_fingerprint().filter(|found| *found != fingerprint) {
        return Err(KeylessError::OtherKey { fingerprint, found });
    }
    // Keys that can be read are of kinds that are known here.
    let verifier = Key::from_spki(key.spki_der()).ok_or_else(|| misfit(Signer::Key(key)))?;
    let evidence = Evidence::of_bundle(bundle, artifact)?;
    let times = match root {
        Some(root) => evidence.check(Signer::Key(key), &verifier, root)?,
        None => {
            evidence.check_signature(Signer::Key(key), &verifier)?;
            Times::default()
        }
    };
    evidence.into_signed(bundle, artifact, SignedBy::Key { key: fingerprint }, times)
}

/// Every certificate that a bundle brings beside the signer's must be known: nothing is taken from
/// it, and what is not known has no business there.
fn check_known(certificate: &Certificate, root: &TrustedRoot) -> Result<(), KeylessError> {
    if root.has_certificate(certificate) {
        return Ok(());
    }
    Err(KeylessError::ForeignCertificate { subject: certificate.subject() })
}

/// Phases 3 to 5.
fn check_certificate(
    leaf: &Certificate,
    times: &Times,
    root: &TrustedRoot,
    policy: &Policy,
) -> Result<SignedBy, KeylessError> {
    if times.log.is_empty() {
        return Err(KeylessError::NoLogEntry);
    }
    if times.times.is_empty() {
        return Err(KeylessError::NoTime {
            detail: "no log has signed a time, and there is no timestamp of an authority, which \
                     entries of Rekor version 2 need",
        });
    }
    let mut issuer = None;
    for signed in &times.times {
        let (_, found) = path::verify(leaf, &root.authorities, Purpose::CodeSigning, signed.time)?;
        issuer = Some(found);
    }
    // There is a time, so there is an issuer.
    let Some(issuer) = issuer else {
        return Err(KeylessError::UnknownAuthority { issuer: leaf.issuer() });
    };
    sct::verify(leaf, issuer, root)?;
    let (identity_form, identity, issuer) = Claims::of(leaf)?.judge(policy)?;
    Ok(SignedBy::Identity { identity, identity_form, issuer, certificate: leaf.fingerprint() })
}

/// What proves a signature, apart from who made it.
struct Evidence<'a> {
    signature: &'a [u8],
    content: entry::Content<'a>,
    log_entries: &'a [LogEntry],
    timestamps: &'a [Vec<u8>],
}

/// What is proved of when and where.
#[derive(Default)]
struct Times {
    times: Vec<SigningTime>,
    log: Vec<LogRecord>,
}

impl<'a> Evidence<'a> {
    fn of_bundle(bundle: &'a Bundle, artifact: &'a Artifact<'a>) -> Result<Self, KeylessError> {
        let (signature, content) = match &bundle.content {
            Content::Envelope(envelope) => {
                envelope.statement_bytes()?;
                (&envelope.signature()?.sig, entry::Content::Envelope(envelope))
            }
            Content::Message(message) => {
                if let Some(named) = &message.digest {
                    check_named(artifact, &named.algorithm, &named.digest)?;
                }
                (&message.signature, entry::Content::Message(artifact))
            }
        };
        let (log_entries, timestamps) = (&bundle.log_entries, &bundle.timestamps);
        Ok(Self { signature, content, log_entries, timestamps })
    }

    /// Phases 1 and 2.
    fn check(
        &self,
        signer: Signer<'_>,
        key: &Key,
        root: &TrustedRoot,
    ) -> Result<Times, KeylessError> {
        self.check_signature(signer, key)?;
        let mut found = Times::default();
        for response in self.timestamps {
            let (time, authority) = timestamp::verify(response, self.signature, root)?;
            let source = TimeSource::TimestampAuthority;
            found.times.push(SigningTime { time, source, authority: authority.name() });
        }
        let fact = Fact { signature: self.signature, signer, content: self.content };
        let mut all = Vec::new();
        for (at, entry) in self.log_entries.iter().enumerate() {
            check_once(entry, &self.log_entries[..at])?;
            entry::check(entry, &fact)?;
            let proved = log::verify(entry, root)?;
            let log = proved.url().to_owned();
            if let Some(time) = proved.time {
                let (source, authority) = (TimeSource::Log, log.clone());
                found.times.push(SigningTime { time, source, authority });
            }
            let kind = format!("{} {}", entry.kind, entry.kind_version);
            found.log.push(LogRecord { log, index: proved.index, kind });
            all.push(proved);
        }
        // Only now are all times known: an entry may have none of its own.
        for proved in &all {
            for signed in &found.times {
                proved.check_period(signed.time)?;
            }
            // With a certificate, a time is asked for below.
            let by_key = matches!(signer, Signer::Key(_));
            if by_key && found.times.is_empty() && proved.ends() {
                return Err(KeylessError::NoTime {
                    detail: "without a timestamp nobody knows whether the log's key was still to be \
                             trusted",
                });
            }
        }
        Ok(found)
    }

    fn check_signature(&self, signer: Signer<'_>, key: &Key) -> Result<(), KeylessError> {
        let by_key = matches!(signer, Signer::Key(_));
        let (usual, others) = hashes(key.kind(), by_key);
        if key.kind() == Kind::Ed25519 {
            let envelope;
            let bytes = match self.content {
                entry::Content::Envelope(it) => {
                    envelope = it.pae();
                    Some(envelope.as_slice())
                }
                entry::Content::Message(artifact) => artifact.bytes(),
            };
            let bytes = bytes.ok_or(KeylessError::NeedsBytes { kind: "Ed25519" })?;
            let is_message = matches!(self.content, entry::Content::Message(_));
            return match (key.fits(Hash::Sha512, bytes, self.signature), by_key) {
                (true, _) => Ok(()),
                (false, _) if !key.fits_ed25519ph(bytes, self.signature) => Err(misfit(signer)),
                // So are files signed with certificates.
                (false, false) if is_message => Ok(()),
                (false, _) => Err(KeylessError::HashNobodyReads { hash: "Ed25519ph" }),
            };
        }
        let fits = |hash: &Hash| match self.content {
            entry::Content::Envelope(envelope) => key.fits(*hash, &envelope.pae(), self.signature),
            entry::Content::Message(artifact) => artifact
                .hash(*hash)
                .is_some_and(|digest| key.fits_digest(*hash, digest, self.signature)),
        };
        if usual.iter().any(fits) {
            return Ok(());
        }
        if others.iter().any(fits) {
            return Err(KeylessError::HashNobodyReads { hash: "SHA-384" });
        }
        // A hash that is not known may be the one that was signed.
        if let entry::Content::Message(artifact) = self.content {
            usual.iter().try_for_each(|hash| artifact.need(*hash).map(drop))?;
        }
        Err(misfit(signer))
    }

    /// Phase 6.
    fn into_signed(
        self,
        bundle: &Bundle,
        artifact: &Artifact<'_>,
        by: SignedBy,
        times: Times,
    ) -> Result<Signed, KeylessError> {
        let (form, statement) = match self.content {
            entry::Content::Message(_) => {
                (SignedForm::MessageSignature { bundle: bundle.version }, None)
            }
            entry::Content::Envelope(envelope) => {
                let statement = Statement::parse(envelope.statement_bytes()?)
                    .map_err(KeylessError::Statement)?;
                artifact.check_statement(&statement)?;
                let predicate_type = statement.predicate_type.clone();
                let form = SignedForm::Statement { bundle: bundle.version, predicate_type };
                (form, Some(statement))
            }
        };
        let Times { times, log } = times;
        Ok(Signed { artifact: artifact.digest(), by, times, form, log, statement })
    }
}

/// Refuses an entry that is among those before it: the same number or the same content in one log.
fn check_once(entry: &LogEntry, before: &[LogEntry]) -> Result<(), KeylessError> {
    let same = |other: &LogEntry| {
        other.log_id == entry.log_id
            && (other.log_index == entry.log_index
                || other.canonicalized_body == entry.canonicalized_body)
    };
    match before.iter().any(same) {
        true => Err(KeylessError::EntryTwice { index: entry.log_index }),
        false => Ok(()),
    }
}

fn misfit(signer: Signer<'_>) -> KeylessError {
    let by = match signer {
        Signer::Certificate(certificate) => {
            format!("the certificate {}", certificate.fingerprint())
        }
        Signer::Key(key) => format!("key {}", key.fingerprint()),
    };
    KeylessError::Signature { by }
}

/// The hashes with which keys of a kind sign, and those with which they sign by mistake. With a
/// certificate it is that of the size of the curve, in older programs SHA-256; with a key that
/// lives on always SHA-256, as [`crate::keys`] says.
fn hashes(kind: Kind, by_key: bool) -> (&'static [Hash], &'static [Hash]) {
    match kind {
        Kind::P384 if by_key => (&[Hash::Sha256], &[Hash::Sha384]),
        Kind::P384 => (&[Hash::Sha384, Hash::Sha256], &[]),
        Kind::P521 => (&[Hash::Sha512, Hash::Sha256], &[]),
        Kind::P256 | Kind::Rsa => (&[Hash::Sha256], &[]),
        // Has none.
        Kind::Ed25519 => (&[], &[]),
    }
}

/// Compares the digest that a bundle names with that of the artifact.
fn check_named(
    artifact: &Artifact<'_>,
    algorithm: &str,
    digest: &[u8],
) -> Result<(), KeylessError> {
    let (hash, name) = match algorithm {
        "SHA2_256" => (Hash::Sha256, "sha256"),
        "SHA2_384" => (Hash::Sha384, "sha384"),
        "SHA2_512" => (Hash::Sha512, "sha512"),
        other => {
            let found = format!("{other} {}", hex::encode(digest));
            return Err(KeylessError::OtherArtifact { expected: artifact.digest(), found });
        }
    };
    let expected = artifact.need(hash)?;
    if expected == digest {
        return Ok(());
    }
    Err(KeylessError::OtherArtifact {
        expected: format!("{name}:{}", hex::encode(expected)),
        found: format!("{name}:{}", hex::encode(digest)),
    })
}
