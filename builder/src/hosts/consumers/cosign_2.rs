//! cosign 2.5, `cosign verify --key`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use treelay_signing::schemes::Scheme as _;
use treelay_signing::schemes::simplesigning::{
    MEDIA_TYPE, NAME, SIGNATURE_ANNOTATION, SimpleSigning,
};
use treelay_signing::{Reason, Signature, Verdict};

use super::containers_image::no_tag;
use super::{Broken, Consumer, Rule, Trust};
use crate::hosts::policy::Attached;
use crate::sign::evidence::{Evidence, SigTag, Subject};

pub(super) struct Cosign2;

const SIG_TAG: &str = "cosign-2/sig-tag";
const READABLE: &str = "cosign-2/readable";
const KEY: &str = "cosign-2/key";
const DIGEST: &str = "cosign-2/digest";

impl Consumer for Cosign2 {
    fn name(&self) -> &'static str {
        "cosign-2"
    }

    fn about(&self) -> &'static str {
        "cosign 2.5: verify --key, of what the name names"
    }

    fn rules(&self) -> &'static [Rule] {
        &[
            Rule { id: READABLE, asks: "what the name names, and its signatures, can be read" },
            Rule {
                id: SIG_TAG,
                asks: "it has a signature under sha256-<hex>.sig; bundles are not looked for",
            },
            Rule { id: KEY, asks: "one of the keys made the signature" },
            Rule {
                id: DIGEST,
                asks: "what is signed names its digest; the repository and tag in it are not compared",
            },
        ]
    }

    fn judge(&self, evidence: &Evidence, trust: &Trust<'_>) -> Vec<Broken> {
        // Platforms are not looked at: whoever pulls by the index trusts its digests.
        evidence
            .root()
            .and_then(|root| sig(root, trust, [READABLE, SIG_TAG, KEY, DIGEST]))
            .into_iter()
            .collect()
    }
}

/// Which of the rules `[readable, sig-tag, key, digest]` the signatures under the tag break.
pub(super) fn sig(subject: &Subject, trust: &Trust<'_>, ids: [&'static str; 4]) -> Option<Broken> {
    let [readable, sig_tag, key, other_digest] = ids;
    let broken =
        |rule, reason: String| Some(Broken { rule, subject: subject.name.clone(), reason });
    if let Some(reason) = &subject.unreadable {
        return broken(readable, reason.clone());
    }
    let attached = match &subject.sig {
        SigTag::Absent => return broken(sig_tag, no_tag(subject)),
        SigTag::Unusable(reason) => return broken(readable, reason.clone()),
        SigTag::Found(attached) => attached,
    };
    let signatures = || attached.iter().filter(|one| one.media_type == MEDIA_TYPE);
    if signatures().next().is_none() {
        return broken(sig_tag, no_tag(subject));
    }
    let mut other = None;
    for attached in signatures() {
        for key in trust.keys {
            match verdict(subject, attached, key) {
                Verdict::Good => return None,
                Verdict::Bad(reason @ Reason::OtherSubject { .. }) => other = Some(reason),
                _ => {}
            }
        }
    }
    match other {
        Some(reason) => broken(other_digest, reason.to_string()),
        None => broken(
            key,
            format!("none of its {} signatures is by one of the keys", signatures().count()),
        ),
    }
}

fn verdict(subject: &Subject, attached: &Attached, key: &treelay_signing::PublicKey) -> Verdict {
    let text = attached.annotations.get(SIGNATURE_ANNOTATION).map_or("", String::as_str);
    let digest = subject.digest.to_string();
    let signature = Signature {
        scheme: NAME,
        subject: digest.clone(),
        bytes: BASE64.decode(text).unwrap_or_default(),
        payload: Some(attached.payload.clone()),
        key: None,
    };
    let image = treelay_signing::Subject::Image { digest: &digest, reference: None };
    SimpleSigning.verify(&image, &signature, key)
}

#[cfg(test)]
mod tests {
    use treelay_recipes::Digest;
    use treelay_signing::{KeyKind, SecretKey};

    use super::super::containers_image::tests::{evidence, signature};
    use super::*;

    #[test]
    fn what_the_name_names_must_be_signed_under_any_name() {
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let other = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let keys = [key.public().clone()];
        let trust = Trust { keys: &keys, name: None };
        let mut good = evidence(&key, "elsewhere.example/a");
        good.subjects[1].sig = SigTag::Absent;
        assert_eq!(Cosign2.judge(&good, &trust), []);
        let index = good.subjects[0].digest;
        for (sig, rule) in [
            (SigTag::Absent, SIG_TAG),
            (SigTag::Unusable("no".to_owned()), READABLE),
            (SigTag::Found(vec![signature(&other, &index, "h.example/a")]), KEY),
            (SigTag::Found(vec![signature(&key, &Digest::of("x"), "h.example/a")]), DIGEST),
        ] {
            let mut bad = good.clone();
            bad.subjects[0].sig = sig;
            let rules: Vec<_> = Cosign2.judge(&bad, &trust).iter().map(|it| it.rule).collect();
            assert_eq!(rules, [rule]);
        }
    }
}
