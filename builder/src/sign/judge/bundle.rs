//! The bundles of one subject, judged.

use std::collections::BTreeMap;

use serde_json::Value;
use treelay_recipes::Digest;
use treelay_signing::bundle::{Bundle, Material};
use treelay_signing::keyless::{self, Artifact};
use treelay_signing::schemes::Scheme as _;
use treelay_signing::schemes::sigstore_bundle::{self, PREDICATE_TYPE, SigstoreBundle};
use treelay_signing::statement::TYPE;
use treelay_signing::{PublicKey, Reason, Statement, Subject, Verdict};

use super::{Class, Finding, FormJudged, Holder, Trust, identity, refusal, signers, unreadable};
use crate::image_store::{Descriptor, ImageStore};
use crate::sign::bundles::{self, Bundles, Content, Found};
use crate::sign::problem::{Fault, Problem};
use crate::sign::report::{AttestationReport, Judgement, Refusal, SignatureReport};
use crate::sign::verify::Identity;

/// How the place of bundles is called in messages.
const PLACE: &str = "bundles";

/// Judges the bundles of `subject`, which people call `name`. One good signature is enough,
/// whatever stands beside it, and what stands beside it is told.
pub(super) async fn judge(
    store: &dyn ImageStore,
    name: &str,
    subject: &Descriptor,
    trust: Trust<'_>,
) -> FormJudged {
    let bundles = match bundles::of(store, subject, trust.share, trust.keep_holders).await {
        Ok(bundles) => bundles,
        Err(error) => {
            let fault = Fault::of(&error, &subject.digest);
            let what = format!("list of what refers to {name}");
            return FormJudged {
                refusal: Some(unreadable(PLACE, &error)),
                problems: vec![Problem { what, digest: subject.digest, fault }],
                ..FormJudged::default()
            };
        }
    };
    let mut judged = FormJudged { warnings: bundles.warnings(), ..FormJudged::default() };
    let mut findings = Vec::new();
    for (found, n) in bundles.found.iter().zip(1..) {
        judged.problems.extend(found.problem(name));
        judged.holders.extend(holder(found, n));
        judged.notes.extend(found.notes.iter().cloned());
        match judge_one(&subject.digest, found, trust) {
            Judged::Other => {}
            Judged::Signature(finding) => findings.push(*finding),
            Judged::Attestation(predicate_type) => {
                let manifest = found.manifest;
                judged.attestations.push(AttestationReport { manifest, predicate_type });
            }
        }
    }
    judged.refusal = match refusal(PLACE, &findings, trust) {
        Some(refused) => Some(with_count(refused, &bundles)),
        None if findings.is_empty() => Some(Refusal::NoBundle {
            place: store.place(),
            attestations: judged.attestations.len(),
        }),
        None => None,
    };
    judged.signers = signers(&findings);
    judged.signatures = findings.into_iter().map(|finding| finding.report).collect();
    judged
}

/// A refusal of a list that is too long says how much of it was looked at.
fn with_count(refusal: Refusal, bundles: &Bundles) -> Refusal {
    match (bundles.cut, refusal) {
        (Some(cut), Refusal::Malformed { tag, reason }) => {
            let reason = format!("{reason}; the list {cut}: {} were looked at", bundles.listed);
            Refusal::Malformed { tag, reason }
        }
        (_, refusal) => refusal,
    }
}

fn holder(found: &Found, n: usize) -> Option<Holder> {
    let (size, blobs) = found.parts.clone()?;
    let descriptor = Descriptor::new("", found.manifest, size);
    Some(Holder { what: format!("referrer {n}"), descriptor, size, blobs })
}

enum Judged {
    /// No bundle.
    Other,
    Signature(Box<Finding>),
    /// Something else that is said of the image, with its predicate type.
    Attestation(String),
}

fn judge_one(subject: &Digest, found: &Found, trust: Trust<'_>) -> Judged {
    let broken = |reason: &str| {
        let reason = Some(reason.to_owned());
        Judged::Signature(Box::new(finding(found, Judgement::Bad, reason, Class::Malformed)))
    };
    let bundle = match &found.content {
        Content::Bundle(bundle) => bundle,
        Content::Attestation => {
            return Judged::Attestation(found.predicate_type.clone().unwrap_or_default());
        }
        Content::Other(_) | Content::Unseen(_) => return Judged::Other,
        Content::Broken(reason) | Content::Damaged(reason, _) => return broken(reason),
    };
    if let Some(predicate_type) = honest_attestation(found, bundle) {
        return Judged::Attestation(predicate_type);
    }
    let by_keys = trust.keys.iter().map(|key| judge_by(subject, found, bundle, key));
    let by_identity = trust.identity.map(|it| judge_by_identity(subject, found, bundle, it));
    let tried = by_keys.chain(by_identity);
    // Keys that did not make it say nothing about it.
    match tried.min_by_key(|finding| finding.class) {
        Some(best) => Judged::Signature(Box::new(best)),
        None => broken("there is no key to verify it with"),
    }
}

/// The predicate type of a statement that neither is nor is said to be a signature. Nothing of it
/// is verified, and nothing follows from it but that it is not counted as a signature.
fn honest_attestation(found: &Found, bundle: &Bundle) -> Option<String> {
    let said = found.predicate_type.as_ref().filter(|said| *said != PREDICATE_TYPE)?;
    let inside = bundle.unverified_statement().ok()?.predicate_type;
    (inside == *said).then_some(inside)
}

fn judge_by(subject: &Digest, found: &Found, bundle: &Bundle, key: &PublicKey) -> Finding {
    if !matches!(bundle.material, Material::PublicKey { .. }) {
        let reason = Reason::ByCertificate { fingerprint: key.fingerprint() }.to_string();
        return finding(found, Judgement::Unknown, Some(reason), Class::OtherKeys);
    }
    let digest = subject.to_string();
    let image = Subject::Image { digest: &digest, reference: None };
    let verdict = match SigstoreBundle::of_bundle(&image, bundle) {
        Ok(signature) => SigstoreBundle.verify(&image, &signature, key),
        Err(reason) => Verdict::Bad(reason),
    };
    let (judgement, class, reason) = match verdict {
        Verdict::Good => (Judgement::Good, Class::Good, None),
        Verdict::Unknown(reason) => (Judgement::Unknown, Class::OtherKeys, Some(reason)),
        Verdict::Bad(reason) => {
            let class = match reason {
                Reason::OtherSubject { .. } => Class::OtherImage,
                Reason::NotASignature { .. } => Class::Attestation,
                Reason::Malformed { .. } => Class::OtherForm,
                _ => Class::Malformed,
            };
            (Judgement::Bad, class, Some(reason))
        }
    };
    let mut finding = finding(found, judgement, reason.map(|reason| reason.to_string()), class);
    if matches!(class, Class::Good | Class::OtherImage | Class::Attestation) {
        finding.report.key = Some(key.fingerprint());
    }
    if class == Class::Good {
        finding.report.annotations = annotations(bundle, key, subject);
    }
    finding
}

fn judge_by_identity(
    subject: &Digest,
    found: &Found,
    bundle: &Bundle,
    identity: &Identity,
) -> Finding {
    let bad =
        |class, reason: Reason| finding(found, Judgement::Bad, Some(reason.to_string()), class);
    let by_key = matches!(bundle.material, Material::PublicKey { .. });
    if !by_key && bundle.envelope().is_none() {
        return bad(Class::Malformed, Reason::NoStatement);
    }
    let artifact = Artifact::of_sha256(*subject.as_bytes());
    let signed = match keyless::verify(bundle, &artifact, &identity.root, &identity.policy) {
        Ok(signed) => signed,
        Err(error) => {
            let (verdict, class) = identity::judgement(&error);
            return finding(found, verdict, Some(error.to_string()), class);
        }
    };
    let signer = identity::report(&signed);
    let mut finding = match signed.statement {
        None => bad(Class::Malformed, Reason::NoStatement),
        Some(it) if it.predicate_type != PREDICATE_TYPE || it.statement_type != TYPE => {
            let (expected, found) = (PREDICATE_TYPE, it.predicate_type);
            bad(Class::Attestation, Reason::NotASignature { expected, found })
        }
        Some(statement) => {
            let mut good = finding(found, Judgement::Good, None, Class::Good);
            good.report.annotations = annotations_of(statement, subject);
            good
        }
    };
    finding.report.signer = signer;
    finding
}

/// The annotations of a signature that `key` made.
pub(in crate::sign) fn annotations(
    bundle: &Bundle,
    key: &PublicKey,
    subject: &Digest,
) -> BTreeMap<String, String> {
    match bundle.verify_statement(key) {
        Ok(statement) => annotations_of(statement, subject),
        Err(_) => BTreeMap::new(),
    }
}

/// What a statement that is verified says of `subject` beside its digest.
fn annotations_of(statement: Statement, subject: &Digest) -> BTreeMap<String, String> {
    let hex = subject.hex();
    let own = statement.subjects.into_iter().find(|own| own.sha256() == Some(hex.as_str()));
    let annotations = own.and_then(|own| own.annotations).unwrap_or_default();
    annotations.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// A value as a text: annotations of cosign are texts.
pub(super) fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn finding(found: &Found, verdict: Judgement, reason: Option<String>, class: Class) -> Finding {
    let report = SignatureReport::of(
        sigstore_bundle::NAME,
        found.bundle.unwrap_or(found.manifest),
        verdict,
        reason,
    );
    Finding { report, class }
}
