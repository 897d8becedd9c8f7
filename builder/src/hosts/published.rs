//! [`check`]: whether hosts will take what was just published, found out the way they do.
//!
//! Everything is read again from the registry by its tag: manifests, then the signatures under their
//! own tags, and the bundles of what the tag names. Each consumer then judges for somebody who trusts
//! one of the keys and no other: those of containers/image by the policy that treelay's kits ship,
//! under the very name that is pulled, and cosign 3 by the bundles, which it takes first.

use treelay_signing::PublicKey;

use super::Reference;
use super::consumers::{self, Broken, Trust};
use crate::image_store::{ImageRef, ImageStore, StoreError};
use crate::sign::evidence::{self, Evidence};

/// The consumers that decide whether something is well published: of each form of signatures those
/// that read it. What cosign 2 reads, the others read too, and more strictly.
const READERS: [&str; 3] = ["podman-5", "rpm-ostree", "cosign-3"];

/// A consumer that would refuse what is there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Which.
    pub consumer: &'static str,
    /// Fingerprint of the key that whoever uses it trusts.
    pub key: String,
    /// Why.
    #[serde(flatten)]
    pub broken: Broken,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Broken { rule, subject, reason } = &self.broken;
        write!(
            f,
            "{} would refuse it ({rule}): {subject}: {reason} (by key {})",
            self.consumer,
            self.key.get(..12).unwrap_or(&self.key)
        )
    }
}

/// Who would refuse the image that `image` names in the store now, pulled as `name`: for each of the
/// keys, where it is the only one that is trusted. The image is read once.
///
/// # Errors
/// [`StoreError`] where the image is not there or the registry does not answer.
pub async fn check(
    store: &dyn ImageStore,
    image: &ImageRef,
    name: &Reference,
    keys: &[PublicKey],
) -> Result<Vec<Refused>, StoreError> {
    Ok(judge(&evidence::gather(store, image, true).await?, name, keys))
}

fn judge(evidence: &Evidence, name: &Reference, keys: &[PublicKey]) -> Vec<Refused> {
    let mut refused = Vec::new();
    for key in keys {
        let trust = Trust { keys: std::slice::from_ref(key), name: Some(name) };
        for consumer in READERS.iter().filter_map(|name| consumers::by_name(name)) {
            let (name, key) = (consumer.name(), key.fingerprint());
            let broken = consumer.judge(evidence, &trust).into_iter();
            refused.extend(broken.map(|broken| Refused {
                consumer: name,
                key: key.clone(),
                broken,
            }));
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use treelay_signing::{Bundle, KeyKind, SecretKey, Statement};

    use super::super::consumers::containers_image::tests::evidence;
    use super::*;
    use crate::sign::evidence::Bundled;

    #[test]
    fn each_key_must_be_good_alone_and_for_readers_of_both_forms() {
        let keys = [KeyKind::EcdsaP256; 2].map(|kind| SecretKey::generate(kind).unwrap());
        let [mine, other] = &keys;
        let public = |keys: &[SecretKey]| -> Vec<PublicKey> {
            keys.iter().map(|key| key.public().clone()).collect()
        };
        let name = "h.example/a:1".parse().unwrap();
        let mut image = evidence(mine, "h.example/a:1");
        let one = std::slice::from_ref(mine);
        assert_eq!(judge(&image, &name, &public(one)), []);
        // The other key signed nothing, whatever the first one did.
        let refused = judge(&image, &name, &public(&keys));
        assert_eq!(refused.len(), 4, "{refused:?}");
        assert!(refused.iter().all(|it| it.key == other.public().fingerprint()));
        // Where there is a bundle, cosign 3 looks at nothing else.
        let about = Statement::about(&image.image.hex(), "https://in-toto.io/x", json!({}));
        let bundle = Box::new(Bundle::sign(&about, other).unwrap());
        image.subjects[0].bundles =
            Ok(vec![Bundled { manifest: image.image, content: Ok(bundle) }]);
        let refused = judge(&image, &name, &public(one));
        assert_eq!(
            refused.iter().map(|it| it.broken.rule).collect::<Vec<_>>(),
            ["cosign-3/bundle-first"]
        );
    }
}
