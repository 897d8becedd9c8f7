//! rpm-ostree and bootc, `ostree-image-signed:docker://…`: ostree-ext, which reads images through
//! skopeo.
//!
//! Until 2026-04 skopeo's proxy asked the policy about what the tag names, which is the index; since
//! then about the platform's manifest too. Both must be signed to be taken by both.

use super::containers_image::{self, Ids};
use super::{Broken, Consumer, Rule, Trust};
use crate::sign::evidence::Evidence;

pub(super) struct RpmOstree;

const INDEX: Ids = Ids {
    readable: "rpm-ostree/readable",
    sig_tag: "rpm-ostree/index-sig-tag",
    sig_manifest: "rpm-ostree/sig-manifest",
    key: "rpm-ostree/key",
    payload: "rpm-ostree/payload",
    digest: "rpm-ostree/digest",
    identity: "rpm-ostree/identity",
};

const PLATFORM: Ids = Ids { sig_tag: "rpm-ostree/platform-sig-tag", ..INDEX };

impl Consumer for RpmOstree {
    fn name(&self) -> &'static str {
        "rpm-ostree"
    }

    fn about(&self) -> &'static str {
        "rpm-ostree and bootc, ostree-image-signed: with a policy of sigstoreSigned"
    }

    fn rules(&self) -> &'static [Rule] {
        &[
            Rule { id: INDEX.readable, asks: "index and manifests can be read" },
            Rule {
                id: INDEX.sig_tag,
                asks: "what the tag names has a signature under sha256-<hex>.sig (before 2026-04)",
            },
            Rule {
                id: PLATFORM.sig_tag,
                asks: "so has the manifest of each platform (since 2026-04)",
            },
            Rule {
                id: INDEX.sig_manifest,
                asks: "under those tags are OCI image manifests, all of whose layers can be read",
            },
            Rule { id: INDEX.key, asks: "one of the keys made the signatures" },
            Rule {
                id: INDEX.payload,
                asks: "what is signed are strict payloads: no field too many, none twice",
            },
            Rule { id: INDEX.digest, asks: "they name the digests of what they are for" },
            Rule { id: INDEX.identity, asks: "they name the repository and tag that are pulled" },
        ]
    }

    fn judge(&self, evidence: &Evidence, trust: &Trust<'_>) -> Vec<Broken> {
        let root = evidence.root().map(|subject| subject.digest);
        let judge = |subject: &crate::sign::evidence::Subject| {
            let ids = if Some(subject.digest) == root { &INDEX } else { &PLATFORM };
            containers_image::judge(subject, trust, ids)
        };
        // Indexes inside the index are walked through, not asked about.
        let asked = |subject: &&crate::sign::evidence::Subject| {
            !subject.is_index || Some(subject.digest) == root
        };
        evidence.subjects.iter().filter(asked).filter_map(judge).collect()
    }
}

#[cfg(test)]
mod tests {
    use treelay_signing::{KeyKind, SecretKey};

    use super::super::containers_image::tests::evidence;
    use super::*;
    use crate::sign::evidence::SigTag;

    #[test]
    fn index_and_manifests_must_be_signed() {
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let name = "h.example/a:1".parse().unwrap();
        let keys = [key.public().clone()];
        let trust = Trust { keys: &keys, name: Some(&name) };
        let good = evidence(&key, "h.example/a:1");
        assert_eq!(RpmOstree.judge(&good, &trust), []);
        for (n, rule) in [(0, INDEX.sig_tag), (1, PLATFORM.sig_tag)] {
            let mut bad = good.clone();
            bad.subjects[n].sig = SigTag::Absent;
            let rules: Vec<_> = RpmOstree.judge(&bad, &trust).iter().map(|it| it.rule).collect();
            assert_eq!(rules, [rule]);
        }
    }
}
