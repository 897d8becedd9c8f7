//! The signatures of one subject, in both forms, judged.

pub(super) mod bundle;
mod identity;
pub(super) mod sig;

use treelay_signing::PublicKey;

use super::budget::Share;
use super::forms::{FORMS_ANNOTATION, Form, FormReport, Forms, Stripped};
use super::problem::{Problem, with_causes};
use super::report::{AttestationReport, Refusal, SignatureReport};
use super::verify::Identity;
use crate::image_store::{Descriptor, ImageStore, StoreError};

/// Whom to trust, and for what.
#[derive(Clone, Copy)]
pub(super) struct Trust<'a> {
    /// One of them must have signed,
    pub(super) keys: &'a [PublicKey],
    /// or they.
    pub(super) identity: Option<&'a Identity>,
    /// The name that must have been signed, where the form has one.
    pub(super) reference: Option<&'a str>,
    /// How much is read.
    pub(super) share: &'a Share<'a>,
    /// Whether what the manifests with signatures name is kept.
    pub(super) keep_holders: bool,
}

/// A manifest that holds signatures of a subject, or refers to it.
pub(super) struct Holder {
    /// What people call it: `signatures`, `referrer 2`.
    pub(super) what: String,
    /// As the tag or the list names it.
    pub(super) descriptor: Descriptor,
    /// Its length in bytes.
    pub(super) size: u64,
    /// Its config, then its layers.
    pub(super) blobs: Vec<Descriptor>,
}

/// What came of it.
pub(super) struct Judged {
    pub(super) signatures: Vec<SignatureReport>,
    pub(super) attestations: Vec<AttestationReport>,
    pub(super) forms: Forms,
    /// What is to be told whether it is refused or not.
    pub(super) warnings: Vec<String>,
    /// What is unusual and harms nobody.
    pub(super) notes: Vec<String>,
    pub(super) holders: Vec<Holder>,
    /// Damage of what is stored.
    pub(super) problems: Vec<Problem>,
}

/// What came of one form.
#[derive(Default)]
struct FormJudged {
    signatures: Vec<SignatureReport>,
    /// Who signed this subject.
    signers: Vec<Signer>,
    attestations: Vec<AttestationReport>,
    refusal: Option<Refusal>,
    warnings: Vec<String>,
    notes: Vec<String>,
    holders: Vec<Holder>,
    problems: Vec<Problem>,
}

/// Judges the signatures of `subject`, which people call `name`.
pub(super) async fn judge(
    store: &dyn ImageStore,
    name: &str,
    subject: &Descriptor,
    trust: Trust<'_>,
) -> Judged {
    let (sig, bundle) = futures_util::join!(
        sig::judge(store, &subject.digest, trust),
        bundle::judge(store, name, subject, trust)
    );
    let forms = Forms {
        stripped: stripped(&sig.signers, &bundle.signers),
        sig: FormReport { refusal: sig.refusal },
        bundle: FormReport { refusal: bundle.refusal },
    };
    Judged {
        signatures: sig.signatures.into_iter().chain(bundle.signatures).collect(),
        attestations: bundle.attestations,
        forms,
        warnings: sig.warnings.into_iter().chain(bundle.warnings).collect(),
        notes: sig.notes.into_iter().chain(bundle.notes).collect(),
        holders: sig.holders.into_iter().chain(bundle.holders).collect(),
        problems: sig.problems.into_iter().chain(bundle.problems).collect(),
    }
}

/// Somebody trusted who signed this very subject in one form.
struct Signer {
    /// As [`Stripped`] names them.
    who: String,
    /// Whether it is good: not for another name.
    is_good: bool,
    /// What it says of forms ([`FORMS_ANNOTATION`]).
    forms: Option<String>,
}

/// The form that is missing by the words of who signed in the other.
fn stripped(sig: &[Signer], bundle: &[Signer]) -> Option<Stripped> {
    let missing = |form: Form, here: &[Signer], there: &[Signer]| {
        let claims = |signer: &&Signer| {
            let named = signer.forms.as_ref().is_some_and(|forms| form.is_named_in(forms));
            // One for another name is there, whatever else is to be said of it.
            signer.is_good && named && there.iter().all(|other| other.who != signer.who)
        };
        let signer = here.iter().find(claims)?.who.clone();
        Some(Stripped { form, signer })
    };
    missing(Form::Sig, bundle, sig).or_else(|| missing(Form::Bundle, sig, bundle))
}

/// Those of the findings who are trusted and signed this very subject.
fn signers(findings: &[Finding]) -> Vec<Signer> {
    let signed = findings.iter().filter_map(|finding| {
        let is_good = finding.class == Class::Good;
        let who = finding.report.by().filter(|_| is_good || finding.class == Class::OtherReference);
        let forms = finding.report.annotations.get(FORMS_ANNOTATION).cloned();
        Some(Signer { who: who?, is_good, forms })
    });
    signed.collect()
}

/// A signature's report, with what decides the refusal.
struct Finding {
    report: SignatureReport,
    class: Class,
}

/// In the order of what is most worth telling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Good,
    OtherReference,
    OtherImage,
    /// By one of the keys, but not a signature.
    Attestation,
    Malformed,
    /// With a certificate, by others or as far as the trusted root can tell.
    OtherIdentity,
    OtherKeys,
    /// Not even the form that signatures of the given keys have: by a key of another kind, or junk.
    OtherForm,
}

/// Why none of the signatures that are `tag` or have that tag is good.
fn refusal(tag: &str, findings: &[Finding], trust: Trust<'_>) -> Option<Refusal> {
    let best = findings.iter().min_by_key(|finding| finding.class)?;
    let tag = tag.to_owned();
    let reason = best.report.reason.clone().unwrap_or_default();
    match best.class {
        Class::Good => None,
        Class::OtherReference => Some(Refusal::OtherReference { tag, reason }),
        Class::OtherImage => Some(Refusal::OtherImage { tag, reason }),
        Class::Attestation => Some(Refusal::Attestation { reason }),
        Class::Malformed | Class::OtherForm => Some(Refusal::Malformed { tag, reason }),
        Class::OtherIdentity => Some(Refusal::OtherIdentity { tag, reason }),
        Class::OtherKeys => {
            let keys = trust.keys.iter().map(PublicKey::fingerprint).collect();
            let identity = trust.identity.map(ToString::to_string);
            Some(Refusal::OtherKeys { tag, signatures: findings.len(), keys, identity })
        }
    }
}

fn unreadable(what: &str, error: &StoreError) -> Refusal {
    Refusal::Unreadable { what: format!("its signatures ({what})"), reason: with_causes(error) }
}
