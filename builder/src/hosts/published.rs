//! [`check`]: whether hosts will take what was just published, found out the way they do.
//!
//! Everything is read again from the registry by its tag: manifests, then the signatures under their
//! own tags. Each consumer of containers/image then judges by the policy that treelay's kits ship:
//! signed by one of the keys, under the very name that is pulled.

use treelay_signing::PublicKey;

use super::Reference;
use super::consumers::{self, Broken, Trust};
use crate::image_store::{ImageRef, ImageStore, StoreError};
use crate::sign::evidence::{self, Evidence};

/// The consumers that decide whether something may be published. What cosign asks for beyond them
/// is not what a host runs.
const HOSTS: [&str; 2] = ["podman-5", "rpm-ostree"];

/// A consumer that would refuse what is there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Which.
    pub consumer: &'static str,
    /// Why.
    #[serde(flatten)]
    pub broken: Broken,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Broken { rule, subject, reason } = &self.broken;
        write!(f, "{} would refuse it ({rule}): {subject}: {reason}", self.consumer)
    }
}

/// Who would refuse the image that `image` names in the store now, pulled as `name`, from somebody
/// who trusts `keys`.
///
/// # Errors
/// [`StoreError`] where the image is not there or the registry does not answer.
pub async fn check(
    store: &dyn ImageStore,
    image: &ImageRef,
    name: &Reference,
    keys: &[PublicKey],
) -> Result<Vec<Refused>, StoreError> {
    Ok(judge(&evidence::gather(store, image, false).await?, name, keys))
}

fn judge(evidence: &Evidence, name: &Reference, keys: &[PublicKey]) -> Vec<Refused> {
    let trust = Trust { keys, name: Some(name) };
    let mut refused = Vec::new();
    for consumer in HOSTS.iter().filter_map(|name| consumers::by_name(name)) {
        let broken = consumer.judge(evidence, &trust).into_iter();
        refused.extend(broken.map(|broken| Refused { consumer: consumer.name(), broken }));
    }
    refused
}
