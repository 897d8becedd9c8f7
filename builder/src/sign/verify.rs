//! [`verify_image`].

use futures_util::{StreamExt, stream};
use treelay_signing::PublicKey;

use super::error::SignatureError;
use super::judge::{self, Judged, Trust};
use super::problem::with_causes;
use super::report::{ImageReport, Refusal, SubjectReport};
use super::validate::{self, Jobs, ValidateOptions};
use super::walk::{self, Node};
use crate::image_store::{ImageRef, ImageStore};

/// Subjects whose signatures are read at once.
const AT_ONCE: usize = 4;

/// What makes an image good.
#[derive(Clone, Default)]
pub struct VerifyOptions<'a> {
    /// The name that must have been signed: `registry/repository:tag` demands exactly this one,
    /// `registry/repository` any in that repository.
    pub expected_reference: Option<&'a str>,
    /// Whether every blob is read and compared with what names it, signatures of others included.
    pub check_blobs: bool,
    /// How blobs are read.
    pub validate: ValidateOptions,
}

/// Verifies an image: its index and every manifest below must each carry a good signature by one of
/// `keys`. A tag is resolved once.
///
/// # Errors
/// Only where nothing can be said about the image: it is not there, the store does not answer, no
/// keys. Whatever is met after it was found is in the report, and keeps it from being good.
pub async fn verify_image(
    store: &dyn ImageStore,
    image: &ImageRef,
    keys: &[PublicKey],
    options: &VerifyOptions<'_>,
) -> Result<ImageReport, SignatureError> {
    if keys.is_empty() {
        return Err(SignatureError::NoKeys);
    }
    let root = walk::resolve(store, image).await?;
    let digest = root.digest;
    let nodes = walk::walk(store, root).await;
    let mut jobs = Jobs::default();
    if options.check_blobs {
        validate::add_image(store, &nodes, &mut jobs).await;
    }
    let trust = Trust { keys, reference: options.expected_reference };
    let mut subjects = Vec::new();
    let mut judging = stream::iter(walk::subjects(nodes).into_iter().map(|node| async move {
        let judged = judge_node(store, &node, trust).await;
        (node, judged)
    }))
    .buffered(AT_ONCE);
    while let Some((node, judged)) = judging.next().await {
        if let (true, Some(holder)) = (options.check_blobs, &judged.holder) {
            validate::add_signatures(&node.name, holder, &mut jobs);
        }
        let Node { name, descriptor, .. } = node;
        let Judged { signatures, refusal, .. } = judged;
        let (digest, platform) = (descriptor.digest, descriptor.platform);
        subjects.push(SubjectReport { name, digest, platform, signatures, refusal });
    }
    let mut report = ImageReport::new(store.place(), digest, subjects);
    let (problems, warnings) = validate::run(store, jobs, &options.validate).await;
    report.add(problems, warnings);
    Ok(report)
}

async fn judge_node(store: &dyn ImageStore, node: &Node, trust: Trust<'_>) -> Judged {
    match &node.content {
        Ok(_) => judge::judge(store, &node.descriptor.digest, trust).await,
        Err(error) => {
            let (what, reason) = ("it".to_owned(), with_causes(error));
            let refusal = Some(Refusal::Unreadable { what, reason });
            Judged { signatures: Vec::new(), refusal, holder: None }
        }
    }
}
