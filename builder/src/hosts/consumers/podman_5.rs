//! podman 5 and skopeo 1.18: containers/image 5.34.

use super::containers_image::{self, Ids};
use super::{Broken, Consumer, Rule, Trust};
use crate::sign::evidence::Evidence;

pub(super) struct Podman5;

const IDS: Ids = Ids {
    readable: "podman-5/readable",
    sig_tag: "podman-5/sig-tag",
    sig_manifest: "podman-5/sig-manifest",
    key: "podman-5/key",
    payload: "podman-5/payload",
    digest: "podman-5/digest",
    identity: "podman-5/identity",
};

impl Consumer for Podman5 {
    fn name(&self) -> &'static str {
        "podman-5"
    }

    fn about(&self) -> &'static str {
        "podman 5 and skopeo 1.18 with a policy of sigstoreSigned"
    }

    fn rules(&self) -> &'static [Rule] {
        &[
            Rule { id: IDS.readable, asks: "the manifest of each platform can be read" },
            Rule {
                id: IDS.sig_tag,
                asks: "it has a signature under the tag sha256-<hex>.sig; bundles are not looked for",
            },
            Rule {
                id: IDS.sig_manifest,
                asks: "under that tag is an OCI image manifest, all of whose layers can be read",
            },
            Rule { id: IDS.key, asks: "one of the keys made the signature" },
            Rule {
                id: IDS.payload,
                asks: "what is signed is a strict payload: no field too many, none twice",
            },
            Rule { id: IDS.digest, asks: "what is signed names the digest of that manifest" },
            Rule {
                id: IDS.identity,
                asks: "what is signed names the repository and tag that are pulled",
            },
        ]
    }

    fn judge(&self, evidence: &Evidence, trust: &Trust<'_>) -> Vec<Broken> {
        // Of an index, the signature is not asked for: that of the platform's manifest is.
        evidence
            .manifests()
            .filter_map(|subject| containers_image::judge(subject, trust, &IDS))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use treelay_recipes::Digest;
    use treelay_signing::{KeyKind, SecretKey};

    use super::super::containers_image::tests::{evidence, signature};
    use super::*;
    use crate::sign::evidence::SigTag;

    #[test]
    fn the_platforms_manifest_alone_must_be_signed() {
        let (key, other) = (KeyKind::EcdsaP256, KeyKind::EcdsaP256);
        let (key, other) = (SecretKey::generate(key).unwrap(), SecretKey::generate(other).unwrap());
        let name = "h.example/a:1".parse().unwrap();
        let keys = [key.public().clone()];
        let trust = Trust { keys: &keys, name: Some(&name) };
        let good = evidence(&key, "h.example/a:1");
        assert_eq!(Podman5.judge(&good, &trust), []);
        let child = good.subjects[1].digest;
        let signed = |attached| SigTag::Found(vec![attached]);
        let mut flipped = signature(&key, &child, "h.example/a:1");
        flipped.payload[60] ^= 1;
        let mut bare = signature(&key, &child, "h.example/a:1");
        bare.annotations = BTreeMap::new();
        for (sig, rule) in [
            (SigTag::Absent, IDS.sig_tag),
            (SigTag::Found(Vec::new()), IDS.sig_tag),
            (SigTag::Unusable("an index".to_owned()), IDS.sig_manifest),
            (signed(signature(&other, &child, "h.example/a:1")), IDS.key),
            (signed(flipped), IDS.key),
            (signed(bare), IDS.payload),
            (signed(signature(&key, &Digest::of("x"), "h.example/a:1")), IDS.digest),
            (signed(signature(&key, &child, "h.example/a")), IDS.identity),
            (signed(signature(&key, &child, "h.example/a:2")), IDS.identity),
        ] {
            let mut bad = good.clone();
            bad.subjects[1].sig = sig.clone();
            let broken = Podman5.judge(&bad, &trust);
            let rules: Vec<_> = broken.iter().map(|broken| broken.rule).collect();
            assert_eq!(rules, [rule], "{sig:?}");
            assert_eq!(broken[0].subject, "linux/amd64");
        }
        let mut unreadable = good.clone();
        unreadable.subjects[1].unreadable = Some("gone".to_owned());
        assert_eq!(Podman5.judge(&unreadable, &trust)[0].rule, IDS.readable);
        // It never asks for the index's.
        let mut index = good;
        index.subjects[0].sig = SigTag::Absent;
        assert_eq!(Podman5.judge(&index, &trust), []);
    }
}
