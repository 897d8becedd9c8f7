//! cosign 3.1, `cosign verify --key`.

use treelay_signing::PublicKey;

use super::cosign_2;
use super::{Broken, Consumer, Rule, Trust};
use crate::sign::evidence::{Bundled, Evidence, Subject};

pub(super) struct Cosign3;

const READABLE: &str = "cosign-3/readable";
const BUNDLE_FIRST: &str = "cosign-3/bundle-first";
const SIG_TAG: &str = "cosign-3/sig-tag";
const KEY: &str = "cosign-3/key";
const DIGEST: &str = "cosign-3/digest";

impl Consumer for Cosign3 {
    fn name(&self) -> &'static str {
        "cosign-3"
    }

    fn about(&self) -> &'static str {
        "cosign 3.1: verify --key, of what the name names"
    }

    fn rules(&self) -> &'static [Rule] {
        &[
            Rule {
                id: READABLE,
                asks: "what the name names, and what is attached to it, can be read",
            },
            Rule {
                id: BUNDLE_FIRST,
                asks: "where any bundle is attached, one of them is good: the .sig is not looked at then",
            },
            Rule {
                id: SIG_TAG,
                asks: "where there is no bundle, there is a signature under the tag sha256-<hex>.sig",
            },
            Rule { id: KEY, asks: "one of the keys made it" },
            Rule { id: DIGEST, asks: "what is signed names its digest" },
        ]
    }

    fn judge(&self, evidence: &Evidence, trust: &Trust<'_>) -> Vec<Broken> {
        evidence.root().and_then(|root| judge(root, trust)).into_iter().collect()
    }
}

fn judge(subject: &Subject, trust: &Trust<'_>) -> Option<Broken> {
    let broken = |rule, reason| Some(Broken { rule, subject: subject.name.clone(), reason });
    let bundles = match &subject.bundles {
        Ok(bundles) => bundles,
        Err(reason) => return broken(READABLE, reason.clone()),
    };
    if bundles.is_empty() {
        return cosign_2::sig(subject, trust, [READABLE, SIG_TAG, KEY, DIGEST]);
    }
    let mut reasons = Vec::new();
    for bundled in bundles {
        for key in trust.keys {
            match fits(subject, bundled, key) {
                Ok(()) => return None,
                Err(reason) => reasons.push(reason),
            }
        }
    }
    reasons.dedup();
    let count = match bundles.len() {
        1 => "the one bundle is not good".to_owned(),
        n => format!("none of the {n} bundles is good"),
    };
    broken(BUNDLE_FIRST, format!("{count}: {}", reasons.join("; ")))
}

/// Whether the key signed a statement about the subject, whatever its predicate says: cosign does
/// not look at that.
fn fits(subject: &Subject, bundled: &Bundled, key: &PublicKey) -> Result<(), String> {
    let bundle = bundled.content.as_ref().map_err(Clone::clone)?;
    let statement = bundle.verify_statement(key).map_err(|verdict| match verdict.reason() {
        Some(reason) => reason.to_string(),
        None => "it has no verdict".to_owned(),
    })?;
    match statement.subject(&subject.digest.hex()) {
        Some(_) => Ok(()),
        None => Err("it is about another image".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use treelay_recipes::Digest;
    use treelay_signing::{Bundle, KeyKind, SecretKey, Statement};

    use super::super::containers_image::tests::evidence;
    use super::*;
    use crate::sign::evidence::SigTag;

    #[test]
    fn where_there_is_a_bundle_the_sig_does_not_count() {
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let other = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let keys = [key.public().clone()];
        let trust = Trust { keys: &keys, name: None };
        let good = evidence(&key, "h.example/a");
        let index = good.subjects[0].digest;
        let bundle = |key: &SecretKey, digest: &Digest| {
            let statement =
                Statement::about(&digest.hex(), "https://sigstore.dev/cosign/sign/v1", json!({}));
            let content = Ok(Box::new(Bundle::sign(&statement, key).unwrap()));
            Bundled { manifest: Digest::of("manifest"), content }
        };
        let junk = Bundled { manifest: Digest::of("junk"), content: Err("it is junk".to_owned()) };
        for (bundles, sig, rule) in [
            (Ok(vec![]), true, ""),
            (Ok(vec![]), false, SIG_TAG),
            (Ok(vec![bundle(&key, &index)]), false, ""),
            (Ok(vec![junk.clone(), bundle(&other, &index), bundle(&key, &index)]), false, ""),
            (Ok(vec![bundle(&other, &index)]), true, BUNDLE_FIRST),
            (Ok(vec![bundle(&key, &Digest::of("other"))]), true, BUNDLE_FIRST),
            (Ok(vec![junk]), true, BUNDLE_FIRST),
            (Err("no answer".to_owned()), true, READABLE),
        ] {
            let mut image = good.clone();
            image.subjects[0].bundles = bundles;
            if !sig {
                image.subjects[0].sig = SigTag::Absent;
            }
            let rules: Vec<_> = Cosign3.judge(&image, &trust).iter().map(|it| it.rule).collect();
            let expected: Vec<_> = Some(rule).filter(|rule| !rule.is_empty()).into_iter().collect();
            assert_eq!(rules, expected);
        }
    }
}
