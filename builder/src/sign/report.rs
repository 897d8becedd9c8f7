//! What was found out about an image and its signatures.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use treelay_recipes::Digest;
use treelay_signing::keyless::{IdentityForm, LogRecord, SigningTime};

use super::forms::{FORMS_ANNOTATION, Form, Forms};
use super::problem::Problem;
use crate::image_store::Platform;

/// What was found out about an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ImageReport {
    /// Whether there is no reason to refuse it.
    pub good: bool,
    /// The store, as in `oci:DIR`.
    pub place: String,
    /// The index or manifest that was verified: what the tag named when it was resolved.
    pub image: Digest,
    /// The index and every manifest below it, each once.
    pub subjects: Vec<SubjectReport>,
    /// What is damaged or does not fit; only looked for when asked.
    pub problems: Vec<Problem>,
    /// What some readers stumble over; no reason to refuse.
    pub warnings: Vec<Problem>,
    /// What is unusual and harms nobody, a sentence each.
    pub notes: Vec<String>,
}

impl ImageReport {
    pub(super) fn new(place: String, image: Digest, subjects: Vec<SubjectReport>) -> Self {
        let good = !subjects.is_empty() && subjects.iter().all(SubjectReport::is_good);
        let (problems, warnings, notes) = Default::default();
        Self { good, place, image, subjects, problems, warnings, notes }
    }

    pub(super) fn add(&mut self, problems: Vec<Problem>, warnings: Vec<Problem>) {
        self.good &= problems.is_empty();
        self.problems.extend(problems);
        self.warnings.extend(warnings);
    }

    /// Whether there is no reason to refuse it.
    pub fn is_good(&self) -> bool {
        self.good
    }

    /// The form that is good of every subject, where the other was taken away from some.
    pub fn left_alone(&self) -> Option<Form> {
        let stripped = self.subjects.iter().find_map(|one| one.forms.stripped.as_ref())?;
        let left = stripped.form.other();
        self.subjects.iter().all(|one| one.forms.of(left).is_good()).then_some(left)
    }

    /// Why it is refused, a sentence each; empty when it is good.
    pub fn reasons(&self) -> Vec<String> {
        let refused = self.subjects.iter().flat_map(|subject| {
            let told = subject.reasons().into_iter();
            told.map(move |reason| format!("{} ({}): {reason}", subject.name, subject.digest))
        });
        refused.chain(self.problems.iter().map(Problem::to_string)).collect()
    }
}

/// What was found out about one subject.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SubjectReport {
    /// What people call it: `index`, `linux/arm64/v8`.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// The platform, by the index.
    pub platform: Option<Platform>,
    /// Its signatures, in the order in which they are stored: those of the tag, then the bundles.
    pub signatures: Vec<SignatureReport>,
    /// What else is said of it in bundles. Not verified.
    pub attestations: Vec<AttestationReport>,
    /// What each form of its signatures is worth.
    pub forms: Forms,
    /// Why it is refused; `None` when the form that is required is good.
    pub refusal: Option<Refusal>,
}

impl SubjectReport {
    /// Whether it is not refused, and one of its signatures is good.
    pub fn is_good(&self) -> bool {
        self.refusal.is_none()
            && self.signatures.iter().any(|signature| signature.verdict == Judgement::Good)
    }

    /// Why it is refused, a sentence each; empty when it is not.
    pub fn reasons(&self) -> Vec<String> {
        match &self.refusal {
            Some(refusal) => self.forms.reasons(refusal),
            None => Vec::new(),
        }
    }
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SignatureReport {
    /// Name of the scheme: `simplesigning` of the tag, `sigstore-bundle`.
    pub scheme: &'static str,
    /// Digest of the signed payload, or of the bundle.
    pub payload: Digest,
    /// Fingerprint of the key that made it, where it is one of those that were given.
    pub key: Option<String>,
    /// Who made it with a certificate, where that is the identity that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<IdentityReport>,
    /// The name of the image that was signed. Only told when one of the given keys signed it, or
    /// the identity; a bundle has none.
    pub reference: Option<String>,
    /// What else was signed, by name. Only told when one of the given keys or the identity signed it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// When it was signed, in seconds since 1970, where that is in what one of the given keys
    /// signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// What it is worth.
    pub verdict: Judgement,
    /// Why it is not good.
    pub reason: Option<String>,
}

impl SignatureReport {
    /// What is said of a signature before it is known whose it is.
    pub(super) fn of(
        scheme: &'static str,
        payload: Digest,
        verdict: Judgement,
        reason: Option<String>,
    ) -> Self {
        let (key, signer, reference, time) = (None, None, None, None);
        let annotations = BTreeMap::new();
        Self { scheme, payload, key, signer, reference, annotations, time, verdict, reason }
    }

    /// Who made it, where that is one of those who are trusted: `key` and its fingerprint, or the
    /// identity and its issuer.
    pub fn by(&self) -> Option<String> {
        let key = self.key.as_ref().map(|key| format!("key {key}"));
        key.or_else(|| self.signer.as_ref().map(ToString::to_string))
    }
}

/// Who made a signature with a certificate, when, and where that is logged: all of it verified.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct IdentityReport {
    /// Name of the signer.
    pub identity: String,
    /// Form of that name.
    pub identity_form: IdentityForm,
    /// Who issued the identity.
    pub issuer: String,
    /// SHA-256 of the certificate, 64 lowercase hex digits.
    pub certificate: String,
    /// When it was signed, by everybody who vouches for a time; at least one.
    pub times: Vec<SigningTime>,
    /// Where it is logged; at least once.
    pub log: Vec<LogRecord>,
}

impl std::fmt::Display for IdentityReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, says {}", self.identity, self.issuer)
    }
}

/// A bundle that says something else of a subject than that it is signed. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AttestationReport {
    /// The manifest that holds it.
    pub manifest: Digest,
    /// What it says it is: `https://slsa.dev/provenance/v1`.
    pub predicate_type: String,
}

/// What a signature is worth to somebody who trusts the given keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// One of the keys made it, over this subject, under an acceptable name.
    Good,
    /// Made by none of the keys, as far as can be told.
    Unknown,
    /// Cannot be right, or one of the keys made it over something else.
    Bad,
}

/// Why a subject is refused.
///
/// Serialised as an object of `kind` (a fixed word) and `message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody signed it.
    #[error("it is not signed: {place} has no tag {tag}")]
    NoSignature {
        /// The store.
        place: String,
        /// The tag that was looked for.
        tag: String,
    },
    /// Nobody signed it in a bundle.
    #[error("{}", no_bundle(.place, *.attestations))]
    NoBundle {
        /// The store.
        place: String,
        /// Bundles with something else in them.
        attestations: usize,
    },
    /// One of the keys says something else about it, which is no signature.
    #[error("what poses as its signature in a bundle is {reason}")]
    Attestation {
        /// What it is.
        reason: String,
    },
    /// A bundle is good, but names nothing, and a name is asked for.
    #[error(
        "its bundle is good but names no image, and nothing else says that it is {expected}: \
         {reason}"
    )]
    NameNotSigned {
        /// The name that is asked for.
        expected: String,
        /// What is wrong with the form that would have a name.
        reason: String,
    },
    /// Who signed it says that they sign in both forms, and one is not there.
    #[error(
        "its {form} by {signer} is missing: the {} by the same says ({FORMS_ANNOTATION}, which is \
         signed) that both were made, so it was taken away or left behind; sign it again",
        .form.other()
    )]
    Stripped {
        /// The form that is missing.
        form: Form,
        /// Who made it: `key` and its fingerprint, or an identity.
        signer: String,
    },
    /// Others signed it.
    #[error("{}", other_keys(.tag, *.signatures, .keys, .identity.as_deref()))]
    OtherKeys {
        /// The tag of the signatures.
        tag: String,
        /// How many there are.
        signatures: usize,
        /// Fingerprints of the keys that were tried.
        keys: Vec<String>,
        /// The identity that was asked for.
        identity: Option<String>,
    },
    /// Somebody signed it with a certificate, but not who was asked for, or not as the trusted root
    /// can tell.
    #[error("no signature in {tag} is acceptable: {reason}")]
    OtherIdentity {
        /// The tag of the signatures.
        tag: String,
        /// Who signed instead, or whom the trusted root does not know.
        reason: String,
    },
    /// One of the keys signed, but another image: a signature was moved here.
    #[error("its signature in {tag} is {reason}")]
    OtherImage {
        /// The tag of the signatures.
        tag: String,
        /// What it is for.
        reason: String,
    },
    /// One of the keys signed the image, but under another name.
    #[error("its signature in {tag} is {reason}; sign it again under the name it has now")]
    OtherReference {
        /// The tag of the signatures.
        tag: String,
        /// The two names.
        reason: String,
    },
    /// There are signatures that have not the form of one, and none that is good.
    #[error("no signature in {tag} can be used: {reason}")]
    Malformed {
        /// The tag of the signatures.
        tag: String,
        /// What is wrong with the first such one.
        reason: String,
    },
    /// The subject or its signatures cannot be read.
    #[error("reading {what}: {reason}")]
    Unreadable {
        /// What cannot be read.
        what: String,
        /// Why.
        reason: String,
    },
}

impl Refusal {
    /// Whether one of the keys made the signature, for something else.
    pub(super) fn is_moved(&self) -> bool {
        matches!(self, Self::OtherReference { .. } | Self::OtherImage { .. })
    }

    /// One word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoSignature { .. } => "no-signature",
            Self::NoBundle { .. } => "no-bundle",
            Self::Attestation { .. } => "attestation",
            Self::NameNotSigned { .. } => "name-not-signed",
            Self::Stripped { .. } => "stripped",
            Self::OtherKeys { .. } => "other-keys",
            Self::OtherIdentity { .. } => "other-identity",
            Self::OtherImage { .. } => "other-image",
            Self::OtherReference { .. } => "other-reference",
            Self::Malformed { .. } => "malformed",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Refusal", 2)?;
        fields.serialize_field("kind", self.kind())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

fn no_bundle(place: &str, attestations: usize) -> String {
    match attestations {
        0 => format!("it is not signed in a bundle: {place} lists none beside it"),
        // cosign 3 takes any bundle, whatever it says, and looks for no tag where there is one.
        n => format!(
            "it is not signed in a bundle: {place} lists {n} beside it that say something else, \
             which are all that cosign 3 looks at"
        ),
    }
}

fn other_keys(tag: &str, signatures: usize, keys: &[String], identity: Option<&str>) -> String {
    let count = match signatures {
        1 => format!("its one signature ({tag}) was not made"),
        n => format!("none of its {n} signatures ({tag}) was made"),
    };
    let keys = match keys {
        [] => None,
        [key] => Some(format!("by key {key}")),
        keys => Some(format!("by one of the keys {}", keys.join(", "))),
    };
    let identity = identity.map(|identity| format!("by {identity}"));
    let by: Vec<_> = keys.into_iter().chain(identity).collect();
    format!("{count} {}, or was changed afterwards", by.join(" or "))
}
