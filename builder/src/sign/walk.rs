//! All manifests of an image, read once.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use treelay_recipes::Digest;

use crate::image_store::{
    Descriptor, ImageRef, ImageStore, MANIFEST_LIMIT, Manifest, Parts, Platform, StoreError,
};

/// Indexes inside indexes that are followed.
const DEPTH: usize = 4;

/// Manifests of one image that are read: far above the platforms there are.
const MANIFESTS: usize = 1000;

/// Bytes of manifests of one image that are read.
const BYTES: u64 = 16 * MANIFEST_LIMIT;

/// Manifests that are read at once.
const AT_ONCE: usize = 8;

/// A manifest of an image: the image's own, or one that an index names.
pub(super) struct Node {
    /// What people call it: `index`, `linux/arm64/v8`, `manifest 2`.
    pub(super) name: String,
    /// What names it: the index above, or the store.
    pub(super) descriptor: Descriptor,
    /// What it holds, or why that cannot be said.
    pub(super) content: Result<Content, StoreError>,
}

/// What a manifest holds.
pub(super) struct Content {
    /// Its media type, as it says itself or was served.
    pub(super) media_type: String,
    /// Its length in bytes.
    pub(super) size: u64,
    /// What it names.
    pub(super) parts: Parts,
}

impl Node {
    pub(super) fn platform(&self) -> Option<&Platform> {
        self.descriptor.platform.as_ref()
    }
}

/// Where a walk begins.
pub(super) struct Root {
    /// As the store names it.
    pub(super) descriptor: Descriptor,
    /// The manifest, where it came along.
    manifest: Option<Manifest>,
}

/// The manifest that `image` names now.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none.
pub(super) async fn resolve(store: &dyn ImageStore, image: &ImageRef) -> Result<Root, StoreError> {
    match store.find(image).await? {
        Some((descriptor, manifest)) => Ok(Root { descriptor, manifest }),
        None => Err(StoreError::NotFound { place: store.place(), what: image.to_string() }),
    }
}

/// The manifest that is `root` and everything below it, level by level, each in the order of
/// its index; one that is named twice comes twice. Where there is too much, the last one is an
/// error.
pub(super) async fn walk(store: &dyn ImageStore, root: Root) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut bytes = 0;
    let Root { descriptor, manifest } = root;
    let mut level = vec![(descriptor, None, manifest)];
    for depth in 0..=DEPTH {
        let mut below = Vec::new();
        let mut reads =
            stream::iter(level.into_iter().map(|(descriptor, place, known)| async move {
                let content = read(store, &descriptor, known).await;
                (descriptor, place, content)
            }))
            .buffered(AT_ONCE);
        while let Some((descriptor, place, mut content)) = reads.next().await {
            bytes += content.as_ref().map_or(0, |content| content.size);
            let full = nodes.len() >= MANIFESTS || bytes > BYTES;
            if full {
                content = Err(refuse(store, &descriptor, "the image has too many manifests"));
            }
            if let Ok(Content { parts: Parts::Index(children), .. }) = &content {
                if depth == DEPTH {
                    content = Err(refuse(store, &descriptor, "too many indexes in each other"));
                } else {
                    let places = (1..).map(Some);
                    below.extend(children.iter().zip(places).map(|(c, n)| (c.clone(), n, None)));
                }
            }
            let name = name(&descriptor, place, &content);
            nodes.push(Node { name, descriptor, content });
            if full {
                return nodes;
            }
        }
        drop(reads);
        level = below;
    }
    nodes
}

/// Each manifest once, under its first name.
pub(super) fn subjects(nodes: Vec<Node>) -> Vec<Node> {
    let mut seen: HashSet<Digest> = HashSet::new();
    nodes.into_iter().filter(|node| seen.insert(node.descriptor.digest)).collect()
}

async fn read(
    store: &dyn ImageStore,
    descriptor: &Descriptor,
    known: Option<Manifest>,
) -> Result<Content, StoreError> {
    let manifest = match known {
        Some(manifest) => manifest,
        None => store.manifest(&descriptor.digest).await?,
    };
    let parts = manifest.parts(&store.place())?;
    let size = manifest.bytes().len() as u64;
    Ok(Content { media_type: manifest.media_type().to_owned(), size, parts })
}

fn name(
    descriptor: &Descriptor,
    place: Option<usize>,
    content: &Result<Content, StoreError>,
) -> String {
    let is_index = matches!(content, Ok(Content { parts: Parts::Index(_), .. }))
        || descriptor.media_type.contains("index")
        || descriptor.media_type.contains("list");
    let kind = if is_index { "index" } else { "manifest" };
    match (&descriptor.platform, place) {
        (Some(platform), _) => platform_name(platform),
        (None, Some(place)) => format!("{kind} {place}"),
        (None, None) => kind.to_owned(),
    }
}

/// As users of images write it: `linux/arm64/v8`.
pub(super) fn platform_name(platform: &Platform) -> String {
    let Platform { os, architecture, variant } = platform;
    let variant = variant.as_ref().map_or(String::new(), |variant| format!("/{variant}"));
    format!("{os}/{architecture}{variant}")
}

fn refuse(store: &dyn ImageStore, descriptor: &Descriptor, reason: &str) -> StoreError {
    let (place, digest) = (store.place(), descriptor.digest);
    StoreError::BadManifest { place, digest, reason: reason.to_owned() }
}
