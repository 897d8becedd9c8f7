//! Where signatures live beside an image: cosign's tag scheme, which podman, skopeo and rpm-ostree
//! read.

use std::collections::BTreeMap;

use treelay_recipes::Digest;

/// The tag under which the signatures of `subject` are found: `sha256-<hex>.sig`.
pub fn signature_tag(subject: &Digest) -> String {
    format!("sha256-{}.sig", subject.hex())
}

/// The annotations of a layout's entry that holds signatures, as cosign writes them.
pub fn signature_annotations() -> BTreeMap<String, String> {
    BTreeMap::from([("kind".to_owned(), "dev.cosignproject.cosign/sigs".to_owned())])
}

/// Whether a tag names something attached to an image: `sha256-<hex>`, alone (the fallback tag of
/// referrers) or with `.sig`, `.att` or `.sbom`.
pub fn is_attachment_tag(tag: &str) -> bool {
    let Some(rest) = tag.strip_prefix("sha256-") else { return false };
    let (hex, kind) = rest.split_once('.').unwrap_or((rest, ""));
    Digest::from_hex(hex).is_ok() && matches!(kind, "" | "sig" | "att" | "sbom")
}
