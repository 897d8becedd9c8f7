//! [`gather`]: everything about an image that consumers decide by, read once.
//!
//! Manifests and signatures alone, no layer of the image: some small requests for each manifest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use futures_util::{StreamExt, stream};
use treelay_recipes::Digest;

use treelay_signing::Bundle;

use super::budget::{Budget, Share};
use super::bundles::{self, Content};
use super::problem::with_causes;
use super::walk::{self, Node};
use crate::hosts::policy::Attached;
use crate::image_store::{
    Descriptor, ImageRef, ImageStore, Parts, Platform, StoreError, media, signatures,
};

/// Manifests whose signatures are read at once.
const AT_ONCE: usize = 4;

/// Longest payload that containers/image reads, in bytes (`internal/iolimits`).
const PAYLOAD_LIMIT: u64 = 4 << 20;

/// An image and what is attached to it.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The store, as in `docker://HOST/REPO`.
    pub place: String,
    /// What the tag named when it was resolved.
    pub image: Digest,
    /// The image's own manifest first, then every manifest below it, each once.
    pub subjects: Vec<Subject>,
}

/// A manifest of an image.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What people call it: `index`, `linux/arm64/v8`.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Whether it is an index.
    pub is_index: bool,
    /// The platform, by the index.
    pub platform: Option<Platform>,
    /// Why it cannot be read.
    pub unreadable: Option<String>,
    /// What is under its tag `sha256-<hex>.sig`.
    pub sig: SigTag,
    /// The bundles that refer to it, in the order of their list; or why the list cannot be read.
    /// Empty where they were not asked for, and below the image's own manifest: programs that read
    /// bundles look at what a name names.
    pub bundles: Result<Vec<Bundled>, String>,
}

/// A bundle that refers to a manifest, or what is said to be one.
#[derive(Debug, Clone)]
pub struct Bundled {
    /// Of the manifest that holds it.
    pub manifest: Digest,
    /// What it holds, unverified; or why that cannot be used.
    pub content: Result<Box<Bundle>, String>,
}

/// What is under a tag `sha256-<hex>.sig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigTag {
    /// Nothing.
    Absent,
    /// Something that containers/image does not take for signatures, with the reason; it refuses
    /// the image then.
    Unusable(String),
    /// Its layers.
    Found(Vec<Attached>),
}

impl SigTag {
    /// Its layers; none where it is absent or unusable.
    pub fn attached(&self) -> &[Attached] {
        match self {
            Self::Found(attached) => attached,
            Self::Absent | Self::Unusable(_) => &[],
        }
    }
}

impl Evidence {
    /// What the image's own digest names.
    pub fn root(&self) -> Option<&Subject> {
        self.subjects.first()
    }

    /// The manifests of platforms.
    pub fn manifests(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter().filter(|subject| !subject.is_index)
    }
}

/// Reads an image's manifests and what is attached to them; the bundles of its own manifest only where
/// they are asked for, since most consumers do not look at them. A tag is resolved once. What is
/// attached is read so far: beyond that it is told to be unusable.
///
/// # Errors
/// [`StoreError`] where the image itself is not there or the store does not answer; what is found
/// wrong after that is in the evidence.
pub async fn gather(
    store: &dyn ImageStore,
    image: &ImageRef,
    bundles: bool,
) -> Result<Evidence, StoreError> {
    let root = walk::resolve(store, image).await?;
    let digest = root.descriptor.digest;
    let nodes = walk::subjects(walk::walk(store, root).await);
    let budget = &Budget::of_image();
    let reads = nodes.into_iter().map(|node| async move {
        let bundles = bundles && node.descriptor.digest == digest;
        subject(store, node, bundles, &budget.of_subject()).await
    });
    let subjects = stream::iter(reads).buffered(AT_ONCE).collect().await;
    Ok(Evidence { place: store.place(), image: digest, subjects })
}

async fn subject(store: &dyn ImageStore, node: Node, bundles: bool, share: &Share<'_>) -> Subject {
    let bundles = match bundles {
        true => bundled(store, &node.descriptor, share).await,
        false => Ok(Vec::new()),
    };
    let Node { name, descriptor: Descriptor { digest, platform, media_type, .. }, content } = node;
    let (is_index, unreadable) = match &content {
        Ok(content) => (matches!(content.parts, Parts::Index(_)), None),
        Err(error) => {
            let index = [media::INDEX, media::DOCKER_LIST].contains(&media_type.as_str());
            (index, Some(with_causes(error)))
        }
    };
    let sig = sig_tag(store, &digest, share).await.unwrap_or_else(SigTag::Unusable);
    Subject { name, digest, is_index, platform, unreadable, sig, bundles }
}

async fn bundled(
    store: &dyn ImageStore,
    subject: &Descriptor,
    share: &Share<'_>,
) -> Result<Vec<Bundled>, String> {
    let found = bundles::of(store, subject, share, false).await;
    let found = found.map_err(|error| with_causes(&error))?.found;
    let bundled = |found: bundles::Found| {
        let content = match found.content {
            Content::Bundle(bundle) => Ok(bundle),
            Content::Attestation => Err("it is too long for a signature".to_owned()),
            Content::Broken(reason) | Content::Damaged(reason, _) => Err(reason),
            Content::Other(_) | Content::Unseen(_) => return None,
        };
        Some(Bundled { manifest: found.manifest, content })
    };
    Ok(found.into_iter().filter_map(bundled).collect())
}

/// As `docker/docker_image_src.go` reads it: every layer, whatever it is; where one cannot be read,
/// none counts.
async fn sig_tag(
    store: &dyn ImageStore,
    subject: &Digest,
    share: &Share<'_>,
) -> Result<SigTag, String> {
    let tag = signatures::signature_tag(subject);
    let because = |error: StoreError| format!("{tag}: {}", with_causes(&error));
    let found = store.tagged(&tag).await.map_err(because)?;
    let Some(manifest) = found else { return Ok(SigTag::Absent) };
    if manifest.media_type() != media::MANIFEST {
        return Err(format!("{tag}: its media type is {:?}", manifest.media_type()));
    }
    let Parts::Image { layers, .. } = manifest.parts(&store.place()).map_err(because)? else {
        return Err(format!("{tag}: it is an index"));
    };
    // Layers that share a payload have a copy each, so that each counts; it is read once.
    let bytes = layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
    let bytes = bytes.saturating_add(manifest.bytes().len() as u64);
    share.take(bytes).map_err(|spent| format!("{tag}: {spent}"))?;
    let mut payloads: HashMap<(Digest, u64), Vec<u8>> = HashMap::new();
    let mut attached = Vec::new();
    for layer in layers {
        let payload = match payloads.entry((layer.digest, layer.size)) {
            Entry::Occupied(read) => read.get().clone(),
            Entry::Vacant(new) => {
                let blob = store.blob(&layer.digest, layer.size).await.map_err(because)?;
                new.insert(blob.read_all(PAYLOAD_LIMIT).await.map_err(because)?).clone()
            }
        };
        let Descriptor { media_type, annotations, .. } = layer;
        attached.push(Attached { media_type, annotations, payload });
    }
    Ok(SigTag::Found(attached))
}
