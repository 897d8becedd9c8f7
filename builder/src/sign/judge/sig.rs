//! The `.sig` of one subject, judged.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{StreamExt, stream};
use treelay_recipes::Digest;
use treelay_signing::keyless::{self, LegacySignature};
use treelay_signing::schemes::{
    Scheme,
    simplesigning::{self, MAX_PAYLOAD, Payload, SimpleSigning},
};
use treelay_signing::{PublicKey, Reason, Signature, Subject, Verdict};

use super::{
    Class, Finding, FormJudged, Holder, Trust, bundle, identity, refusal, signers, unreadable,
};
use crate::image_store::{
    Descriptor, ImageRef, ImageStore, Manifest, Parts, Repository, StoreError, media, signatures,
};
use crate::sign::problem::with_causes;
use crate::sign::report::{Judgement, Refusal, SignatureReport};
use crate::sign::verify::Identity;

/// Payloads that are read at once.
const AT_ONCE: usize = 8;

/// Judges the `.sig` of `subject`. One good signature is enough, whatever stands beside it.
pub(super) async fn judge(
    store: &dyn ImageStore,
    subject: &Digest,
    trust: Trust<'_>,
) -> FormJudged {
    let tag = signatures::signature_tag(subject);
    let refused = |refusal| FormJudged { refusal: Some(refusal), ..FormJudged::default() };
    let (found, manifest) = match store.find(&ImageRef::Tag(tag.clone())).await {
        Ok(Some(found)) => found,
        Ok(None) => return refused(Refusal::NoSignature { place: store.place(), tag }),
        Err(error) => return refused(unreadable(&tag, &error)),
    };
    // A manifest that is too long is not read at all, by its store.
    if let Err(spent) = trust.share.take(found.size) {
        return refused(Refusal::Unreadable { what: tag, reason: spent.to_string() });
    }
    let holder = match read_holder(store, found, manifest).await {
        Ok(holder) => holder,
        Err(Broken::Store(error)) => return refused(unreadable(&tag, &error)),
        Err(Broken::Form(reason)) => return refused(Refusal::Malformed { tag, reason }),
    };
    let findings = judge_layers(store, subject, &holder.blobs[1..], trust).await;
    let refusal = refusal(&tag, &findings, trust);
    let signers = signers(&findings);
    let signatures = findings.into_iter().map(|finding| finding.report).collect();
    let holders = if trust.keep_holders { vec![holder] } else { Vec::new() };
    FormJudged { signatures, signers, refusal, holders, ..FormJudged::default() }
}

/// The signature in one layer, without a verdict.
///
/// # Errors
/// What keeps it from having the form of one.
pub(in crate::sign) fn signature_in(
    subject: &Digest,
    layer: &Descriptor,
    payload: Vec<u8>,
) -> Result<Signature, String> {
    let name = simplesigning::SIGNATURE_ANNOTATION;
    let text = layer
        .annotations
        .get(name)
        .ok_or_else(|| format!("layer {} has no annotation {name}", layer.digest))?;
    let bytes = BASE64
        .decode(text)
        .map_err(|error| format!("annotation {name} of layer {}: {error}", layer.digest))?;
    Ok(Signature {
        scheme: simplesigning::NAME,
        subject: subject.to_string(),
        bytes,
        payload: Some(payload),
        key: None,
    })
}

/// A finding for each layer, in order. Each payload is read once and dropped when the layers that
/// share it are judged, so that many long ones need no more memory than a few.
async fn judge_layers(
    store: &dyn ImageStore,
    subject: &Digest,
    layers: &[Descriptor],
    trust: Trust<'_>,
) -> Vec<Finding> {
    let mut sharing: BTreeMap<(Digest, u64), Vec<usize>> = BTreeMap::new();
    let mut findings = BTreeMap::new();
    for (n, layer) in layers.iter().enumerate() {
        if layer.media_type == simplesigning::MEDIA_TYPE {
            sharing.entry((layer.digest, layer.size)).or_default().push(n);
        } else {
            let reason =
                format!("layer {} has the media type {:?}", layer.digest, layer.media_type);
            findings.insert(n, malformed(layer, reason));
        }
    }
    let mut reads = stream::iter(sharing.into_iter().map(|((digest, size), places)| async move {
        let payload = match trust.share.take(size) {
            Ok(()) => read_payload(store, &digest, size).await.map_err(|error| with_causes(&error)),
            Err(spent) => Err(spent.to_string()),
        };
        (places, payload)
    }))
    .buffer_unordered(AT_ONCE);
    while let Some((places, payload)) = reads.next().await {
        for n in places {
            let finding = match &payload {
                Ok(payload) => judge_layer(subject, &layers[n], payload, trust),
                Err(error) => malformed(&layers[n], format!("reading the signed payload: {error}")),
            };
            findings.insert(n, finding);
        }
    }
    findings.into_values().collect()
}

async fn read_payload(
    store: &dyn ImageStore,
    digest: &Digest,
    size: u64,
) -> Result<Vec<u8>, StoreError> {
    store.blob(digest, size).await?.read_all(MAX_PAYLOAD as u64).await
}

enum Broken {
    Store(StoreError),
    Form(String),
}

async fn read_holder(
    store: &dyn ImageStore,
    found: Descriptor,
    manifest: Option<Manifest>,
) -> Result<Holder, Broken> {
    let form = |error: StoreError| match error {
        StoreError::BadManifest { .. } | StoreError::TooLarge { .. } => {
            Broken::Form(with_causes(&error))
        }
        other => Broken::Store(other),
    };
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => store.manifest(&found.digest).await.map_err(form)?,
    };
    // containers/image takes no other type, docker/docker_client.go, getSigstoreAttachmentManifest.
    if manifest.media_type() != media::MANIFEST {
        let reason = format!("its media type is {:?}", manifest.media_type());
        return Err(Broken::Form(reason));
    }
    match manifest.parts(&store.place()).map_err(form)? {
        Parts::Image { layers, .. } if layers.is_empty() => {
            Err(Broken::Form("it holds none".to_owned()))
        }
        Parts::Image { config, layers } => {
            let size = manifest.bytes().len() as u64;
            let blobs = std::iter::once(config).chain(layers).collect();
            Ok(Holder { what: "signatures".to_owned(), descriptor: found, size, blobs })
        }
        Parts::Index(_) => Err(Broken::Form("it is an index".to_owned())),
    }
}

fn judge_layer(subject: &Digest, layer: &Descriptor, payload: &[u8], trust: Trust<'_>) -> Finding {
    let signature = match signature_in(subject, layer, payload.to_vec()) {
        Ok(signature) => signature,
        Err(reason) => return malformed(layer, reason),
    };
    let by_keys = trust.keys.iter().map(|key| judge_by(subject, layer, &signature, key, trust));
    let by_identity =
        trust.identity.map(|who| judge_by_identity(subject, layer, &signature, who, trust));
    let tried = by_keys.chain(by_identity);
    // Keys that did not make it say nothing about it.
    let best = tried.min_by_key(|finding| finding.class);
    best.unwrap_or_else(|| malformed(layer, "there is no key to verify it with".to_owned()))
}

fn malformed(layer: &Descriptor, reason: String) -> Finding {
    finding(layer, Judgement::Bad, Some(reason), Class::Malformed)
}

fn judge_by(
    subject: &Digest,
    layer: &Descriptor,
    signature: &Signature,
    key: &PublicKey,
    trust: Trust<'_>,
) -> Finding {
    let digest = subject.to_string();
    let image = Subject::Image { digest: &digest, reference: None };
    let (verdict, class, reason) = match SimpleSigning.verify(&image, signature, key) {
        Verdict::Good => (Judgement::Good, Class::Good, None),
        Verdict::Unknown(reason) => (Judgement::Unknown, Class::OtherKeys, Some(reason)),
        Verdict::Bad(reason @ Reason::OtherSubject { .. }) => {
            (Judgement::Bad, Class::OtherImage, Some(reason))
        }
        Verdict::Bad(reason @ Reason::Malformed { .. }) => {
            (Judgement::Bad, Class::OtherForm, Some(reason))
        }
        Verdict::Bad(reason) => (Judgement::Bad, Class::Malformed, Some(reason)),
    };
    let mut finding = finding(layer, verdict, reason.map(|reason| reason.to_string()), class);
    if !matches!(class, Class::Good | Class::OtherImage) {
        return finding;
    }
    finding.report.key = Some(key.fingerprint());
    with_what_is_signed(finding, layer, signature, trust)
}

fn judge_by_identity(
    subject: &Digest,
    layer: &Descriptor,
    signature: &Signature,
    identity: &Identity,
    trust: Trust<'_>,
) -> Finding {
    let payload = signature.payload.as_deref().unwrap_or_default();
    let beside = LegacySignature::of_annotations(payload, &signature.bytes, &layer.annotations);
    let Some(beside) = beside else {
        let reason = Some("signed with a key, not with a certificate".to_owned());
        return finding(layer, Judgement::Unknown, reason, Class::OtherKeys);
    };
    let signed = match keyless::verify_legacy(&beside, &identity.root, &identity.policy) {
        Ok(signed) => signed,
        Err(error) => {
            let (verdict, class) = identity::judgement(&error);
            return finding(layer, verdict, Some(error.to_string()), class);
        }
    };
    let expected = subject.to_string();
    let mut finding = match Payload::parse(payload) {
        Ok(payload) if payload.digest() == expected => {
            finding(layer, Judgement::Good, None, Class::Good)
        }
        Ok(payload) => {
            let found = payload.digest().to_owned();
            let reason = Reason::OtherSubject { expected, found }.to_string();
            finding(layer, Judgement::Bad, Some(reason), Class::OtherImage)
        }
        Err(error) => return malformed(layer, error.to_string()),
    };
    finding.report.signer = identity::report(&signed);
    with_what_is_signed(finding, layer, signature, trust)
}

/// A finding with what stands in a payload that somebody trusted has signed, so that it may be
/// read; and bad, where that is another name than the one that is asked for.
fn with_what_is_signed(
    mut finding: Finding,
    layer: &Descriptor,
    signature: &Signature,
    trust: Trust<'_>,
) -> Finding {
    let payload = signature.payload.as_deref().unwrap_or_default();
    let signed = match Payload::parse(payload) {
        Ok(payload) => payload,
        Err(error) => return malformed(layer, error.to_string()),
    };
    for (name, value) in signed.optional().into_iter().flatten() {
        match name.as_str() {
            "timestamp" => finding.report.time = value.as_i64(),
            _ => {
                finding.report.annotations.insert(name.clone(), bundle::text(value.clone()));
            }
        }
    }
    let signed = signed.reference().to_owned();
    if let Some(expected) = trust.reference
        && finding.class == Class::Good
        && !names(expected, &signed)
    {
        let (expected, found) = (expected.to_owned(), signed.clone());
        finding.report.reason = Some(Reason::OtherReference { expected, found }.to_string());
        finding.report.verdict = Judgement::Bad;
        finding.class = Class::OtherReference;
    }
    finding.report.reference = Some(signed);
    finding
}

fn finding(
    layer: &Descriptor,
    verdict: Judgement,
    reason: Option<String>,
    class: Class,
) -> Finding {
    let report = SignatureReport::of(simplesigning::NAME, layer.digest, verdict, reason);
    Finding { report, class }
}

/// Whether a signature under the name `signed` will do for `expected`: with a tag or digest, exactly
/// this name; without, any name in this repository (containers-policy.json(5): `matchExact`,
/// `matchRepository`).
fn names(expected: &str, signed: &str) -> bool {
    let (repository, rest) = split(expected);
    let (signed_repository, signed_rest) = split(signed);
    let same = |a: &str, b: &str| match (a.parse::<Repository>(), b.parse::<Repository>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    };
    same(repository, signed_repository) && (rest.is_empty() || rest == signed_rest)
}

/// `HOST[:PORT]/NAME` and what follows: `:TAG`, `@DIGEST`, both or nothing.
fn split(reference: &str) -> (&str, &str) {
    let name_end = reference.find('@').unwrap_or(reference.len());
    let name = &reference[..name_end];
    let end = match name.rfind(':') {
        Some(colon) if !name[colon..].contains('/') => colon,
        _ => name_end,
    };
    reference.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_tag_means_that_name() {
        for (expected, signed, will_do) in [
            ("h.example/a:1", "h.example/a:1", true),
            ("h.example/a:1", "h.example/a:2", false),
            ("h.example/a:1", "h.example/a", false),
            ("h.example/a", "h.example/a:1", true),
            ("h.example/a", "h.example/a", true),
            ("h.example/a", "h.example/a/b:1", false),
            ("h.example/a", "h.example/ab", false),
            ("h.example:5000/a", "h.example:5000/a:1", true),
            ("h.example/a", "h.example:5000/a", false),
            ("docker.io/library/alpine:3", "alpine:3", true),
            ("h.example/a@sha256:00", "h.example/a@sha256:00", true),
            ("h.example/a@sha256:00", "h.example/a:1", false),
            ("h.example/a", "h.example/a:1@sha256:00", true),
            ("NOT A NAME", "NOT A NAME", true),
        ] {
            assert_eq!(names(expected, signed), will_do, "{expected} {signed}");
        }
    }
}
