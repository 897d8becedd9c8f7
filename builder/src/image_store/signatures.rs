//! What lives beside an image by cosign's tag scheme: signatures, which podman, skopeo and
//! rpm-ostree read there, and in the same form attestations and SBOMs.
//!
//! All signatures of one *subject* (an index or a manifest) are the layers of one manifest, whose
//! tag follows from the subject's digest. Adding one means writing that manifest anew, with the
//! layers of others kept.

use std::collections::BTreeMap;

use treelay_recipes::Digest;

use super::error::Result;
pub use super::layer_list::Addition;
use super::manifest::{Descriptor, Manifest, Parts};
use super::{ImageStore, Placement};

/// Annotation of a layer that holds the signature itself, in base64 (cosign's specification of
/// signatures).
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// What a tag beside an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// `.sig`: signatures.
    Signatures,
    /// `.att`: attestations, as DSSE envelopes.
    Attestations,
    /// `.sbom`: an SBOM, not signed.
    Sbom,
}

impl Beside {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Signatures, Self::Attestations, Self::Sbom];

    /// The end of the tag: `sig`, `att`, `sbom`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Signatures => "sig",
            Self::Attestations => "att",
            Self::Sbom => "sbom",
        }
    }

    /// The tag beside `subject`: `sha256-<hex>.sig`.
    pub fn tag(self, subject: &Digest) -> String {
        format!("sha256-{}.{}", subject.hex(), self.suffix())
    }

    /// The annotations of a layout's entry that holds it, as cosign writes them.
    pub(super) fn annotations(self) -> BTreeMap<String, String> {
        let kind = match self {
            Self::Signatures => "dev.cosignproject.cosign/sigs",
            Self::Attestations => "dev.cosignproject.cosign/atts",
            Self::Sbom => return BTreeMap::new(),
        };
        BTreeMap::from([("kind".to_owned(), kind.to_owned())])
    }
}

/// The tag under which the signatures of `subject` are found: `sha256-<hex>.sig`.
pub fn signature_tag(subject: &Digest) -> String {
    Beside::Signatures.tag(subject)
}

/// Whether a tag names something attached to an image: `sha256-<hex>`, alone (the fallback tag of
/// referrers) or with `.sig`, `.att` or `.sbom`.
pub fn is_attachment_tag(tag: &str) -> bool {
    let Some(rest) = tag.strip_prefix("sha256-") else { return false };
    let (hex, kind) = rest.split_once('.').unwrap_or((rest, ""));
    Digest::from_hex(hex).is_ok()
        && (kind.is_empty() || Beside::ALL.iter().any(|beside| beside.suffix() == kind))
}

/// The manifest that holds the signatures of `subject`, and its layers; `None` when there is none.
///
/// # Errors
/// [`StoreError::BadManifest`](super::StoreError::BadManifest) when there is something else in its place.
pub async fn signatures_of(
    store: &dyn ImageStore,
    subject: &Digest,
) -> Result<Option<(Manifest, Vec<Descriptor>)>> {
    beside(store, subject, Beside::Signatures).await
}

/// The manifest that holds `what` beside `subject`, and its layers; `None` when there is none.
///
/// # Errors
/// [`StoreError::BadManifest`](super::StoreError::BadManifest) when there is something else in its place.
pub async fn beside(
    store: &dyn ImageStore,
    subject: &Digest,
    what: Beside,
) -> Result<Option<(Manifest, Vec<Descriptor>)>> {
    let Some(manifest) = store.tagged(&what.tag(subject)).await? else { return Ok(None) };
    match manifest.parts(&store.place())? {
        Parts::Image { layers, .. } => Ok(Some((manifest, layers))),
        Parts::Index(_) => {
            let reason = "signatures must be in a manifest, not in an index".to_owned();
            Err(manifest.bad(&store.place(), reason))
        }
    }
}

/// Enters a manifest of signatures as it is, in the place of what was there.
///
/// # Errors
/// What [`ImageStore::put_manifest`] meets.
pub async fn put_signatures(
    store: &dyn ImageStore,
    subject: &Digest,
    manifest: &Manifest,
) -> Result<Descriptor> {
    let what = Beside::Signatures;
    let (tag, annotations) = (what.tag(subject), what.annotations());
    let placement = Placement::Tag { tag: &tag, annotations: &annotations };
    store.put_manifest(manifest, placement).await
}

/// Adds signatures to those of `subject`. `layers` are simplesigning layers with their
/// [`SIGNATURE`] annotation, whose blobs are in the store already. Signatures that are there, by
/// whomever, are kept, those that others add at the same time with them; one that is there already
/// is not added again.
///
/// # Errors
/// What reading and writing meets; [`StoreError::BadManifest`](super::StoreError::BadManifest) when
/// what is there is not a manifest of signatures; [`StoreError::Contended`](super::StoreError::Contended).
pub async fn add_signatures(
    store: &dyn ImageStore,
    subject: &Digest,
    layers: &[Descriptor],
) -> Result<Descriptor> {
    add_beside(store, subject, Beside::Signatures, layers).await
}

/// The same for anything that is the layers of a manifest beside `subject`.
///
/// # Errors
/// As [`add_signatures`].
pub async fn add_beside(
    store: &dyn ImageStore,
    subject: &Digest,
    what: Beside,
    layers: &[Descriptor],
) -> Result<Descriptor> {
    store.add_beside(subject, what, &Addition::layers(layers)).await
}

/// Enters a manifest with its layers as it is, unless there are others beside `subject`: then its
/// layers are added to those.
///
/// # Errors
/// As [`add_signatures`].
pub(super) async fn enter_beside(
    store: &dyn ImageStore,
    subject: &Digest,
    what: Beside,
    manifest: &Manifest,
    layers: &[Descriptor],
) -> Result<Descriptor> {
    store.add_beside(subject, what, &Addition::whole(manifest, layers)).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::image_store::BlobSource;
    use crate::image_store::layout::Layout;

    async fn layer(store: &dyn ImageStore, payload: &str, signature: &str) -> Descriptor {
        let blob = BlobSource::from_bytes(payload.to_owned());
        store.put_blob(&blob).await.unwrap();
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        let mut layer = Descriptor::new(kind, *blob.digest(), blob.size());
        layer.annotations.insert(SIGNATURE.to_owned(), signature.to_owned());
        layer
    }

    #[tokio::test]
    async fn signatures_of_others_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Layout::create(dir.path()).unwrap();
        let subject = Digest::of("subject");
        let one = layer(&store, "payload", "s1").await;
        let two = layer(&store, "payload", "s2").await;
        let first = add_signatures(&store, &subject, &[one.clone(), one.clone()]).await.unwrap();
        let again = add_signatures(&store, &subject, std::slice::from_ref(&one)).await.unwrap();
        assert_eq!(first, again);
        add_signatures(&store, &subject, &[two.clone(), one.clone()]).await.unwrap();
        store.commit().await.unwrap();

        let (manifest, layers) = signatures_of(&store, &subject).await.unwrap().unwrap();
        assert_eq!(layers, [one.clone(), two]);
        let Parts::Image { config, .. } = manifest.parts("").unwrap() else { panic!("an index") };
        let config = store.blob(&config.digest, config.size).await.unwrap();
        let config: Value = serde_json::from_slice(&config.read_all(9999).await.unwrap()).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([one.digest, one.digest]));
        let index: Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("index.json")).unwrap()).unwrap();
        let annotations = &index["manifests"][0]["annotations"];
        assert_eq!(annotations["kind"], "dev.cosignproject.cosign/sigs");
        assert_eq!(annotations["org.opencontainers.image.ref.name"], signature_tag(&subject));
    }

    #[test]
    fn attachment_tags() {
        let hex = Digest::of("x").hex();
        for kind in ["", ".sig", ".att", ".sbom"] {
            assert!(is_attachment_tag(&format!("sha256-{hex}{kind}")), "{kind}");
        }
        for other in ["latest", "sha256-12.sig", &format!("sha256-{hex}.x"), &format!("{hex}.sig")]
        {
            assert!(!is_attachment_tag(other), "{other}");
        }
    }
}
