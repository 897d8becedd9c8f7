//! A referrer of one layer, made.

use std::collections::BTreeMap;

use serde_json::json;
use treelay_recipes::Digest;

use crate::image_store::{Descriptor, Manifest, media};

/// The config of what has none (image-spec, manifest.md, "Guidance for an Empty Descriptor"). It is
/// a blob that the store must have.
pub const EMPTY_CONFIG: &[u8] = b"{}";

/// The manifest of an artifact about `subject`: its type is that of its one layer. Of the subject's
/// descriptor only what identifies it is repeated.
pub fn artifact(
    subject: &Descriptor,
    media_type: &str,
    (digest, size): (&Digest, u64),
    annotations: &[(&str, &str)],
) -> Manifest {
    let annotations: BTreeMap<&str, &str> = annotations.iter().copied().collect();
    let config = Digest::of(EMPTY_CONFIG);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::MANIFEST,
        "artifactType": media_type,
        "config": Descriptor::new(media::EMPTY, config, EMPTY_CONFIG.len() as u64),
        "layers": [Descriptor::new(media_type, *digest, size)],
        "subject": Descriptor::new(&subject.media_type, subject.digest, subject.size),
        "annotations": annotations,
    });
    Manifest::new(media::MANIFEST, manifest.to_string().into_bytes())
}
