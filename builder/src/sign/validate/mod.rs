//! [`validate()`]: is an image what it says it is? Every digest, size and diffID is computed again.
//!
//! *Phases.* The manifests are compared with what names them, and the configs with their manifests
//! and index ([`add_image`]); what is to be read becomes a list of [`Jobs`], each blob once, however
//! many platforms share it. Then the blobs stream past, several at once, in bounded buffers
//! ([`run`]). Nothing stops at the first problem: all of them are told.

mod config;
mod layer;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use treelay_recipes::Digest;

use self::layer::{Compression, Unpacked};
use super::error::SignatureError;
use super::judge::Holder;
use super::problem::{Fault, Problem};
use super::walk::{self, Content, Node};
use crate::image_store::{Descriptor, ImageRef, ImageStore, Parts, media};
use crate::progress::{Item, Outcome, Progress, Unwatched};

/// How an image is validated.
#[derive(Clone)]
pub struct ValidateOptions {
    /// How many blobs are read at once.
    pub parallel: usize,
    /// Who is told how far it is.
    pub progress: Arc<dyn Progress>,
}

impl Default for ValidateOptions {
    fn default() -> Self {
        Self { parallel: 4, progress: Arc::new(Unwatched) }
    }
}

/// What was found out about an image's integrity.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ValidationReport {
    /// Whether there is no problem.
    pub good: bool,
    /// The store, as in `oci:DIR`.
    pub place: String,
    /// The index or manifest that was validated.
    pub image: Digest,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
    /// What some readers stumble over.
    pub warnings: Vec<Problem>,
}

/// Validates an image and everything below it; signatures are [`verify_image`]'s matter.
///
/// [`verify_image`]: super::verify_image
///
/// # Errors
/// Only where nothing can be said: it is not there, the store does not answer.
pub async fn validate(
    store: &dyn ImageStore,
    image: &ImageRef,
    options: &ValidateOptions,
) -> Result<ValidationReport, SignatureError> {
    let root = walk::resolve(store, image).await?;
    let image = root.descriptor.digest;
    let mut jobs = Jobs::default();
    add_image(store, &walk::walk(store, root).await, &mut jobs).await;
    let (problems, warnings) = run(store, jobs, options).await;
    let place = store.place();
    Ok(ValidationReport { good: problems.is_empty(), place, image, problems, warnings })
}

/// Blobs that are to be read, and what is known to be wrong before that.
#[derive(Default)]
pub(super) struct Jobs {
    problems: Vec<Problem>,
    blobs: Vec<Job>,
    /// Places in `blobs`.
    known: HashMap<(Digest, u64, Option<Compression>), usize>,
}

/// A blob, and who uses it how.
struct Job {
    digest: Digest,
    size: u64,
    /// Of a layer; `None` for what is only hashed.
    compression: Option<Compression>,
    uses: Vec<Use>,
}

struct Use {
    /// What people call it.
    what: String,
    /// What the config says it unpacks to.
    diff_id: Option<Digest>,
}

impl Jobs {
    fn problem(&mut self, what: impl Into<String>, digest: Digest, fault: Fault) {
        self.problems.push(Problem { what: what.into(), digest, fault });
    }

    fn blob(
        &mut self,
        blob: &Descriptor,
        compression: Option<Compression>,
        what: String,
        diff_id: Option<Digest>,
    ) {
        let (digest, size) = (blob.digest, blob.size);
        let place = *self.known.entry((digest, size, compression)).or_insert_with(|| {
            self.blobs.push(Job { digest, size, compression, uses: Vec::new() });
            self.blobs.len() - 1
        });
        self.blobs[place].uses.push(Use { what, diff_id });
    }
}

/// Compares the manifests of an image with what names them, and adds what they name.
pub(super) async fn add_image(store: &dyn ImageStore, nodes: &[Node], jobs: &mut Jobs) {
    for node in nodes {
        let digest = node.descriptor.digest;
        let content = match &node.content {
            Ok(content) => content,
            Err(error) => {
                jobs.problem(&node.name, digest, Fault::of(error, &digest));
                continue;
            }
        };
        check_descriptor(&node.name, &node.descriptor, content.size, jobs);
        check_media_type(node, content, jobs);
        if let Parts::Image { config, layers } = &content.parts {
            config::add(store, node, config, layers, jobs).await;
        }
    }
}

/// Adds the manifest that holds signatures, of whomever, and all it names.
pub(super) fn add_signatures(subject: &str, holder: &Holder, jobs: &mut Jobs) {
    let what = format!("{} of {subject}", holder.what);
    check_descriptor(&what, &holder.descriptor, holder.size, jobs);
    for (n, blob) in holder.blobs.iter().enumerate() {
        let what = match n {
            0 => format!("config of the {what}"),
            n if holder.what == "signatures" => format!("signature {n} of {subject}"),
            _ => what.clone(),
        };
        jobs.blob(blob, None, what, None);
    }
}

fn check_descriptor(what: &str, descriptor: &Descriptor, found: u64, jobs: &mut Jobs) {
    if descriptor.size != found {
        let fault = Fault::Size { expected: descriptor.size, found };
        jobs.problem(what, descriptor.digest, fault);
    }
}

fn check_media_type(node: &Node, content: &Content, jobs: &mut Jobs) {
    let found = content.media_type.clone();
    let digest = node.descriptor.digest;
    if node.descriptor.media_type != found {
        let expected = format!("{:?}", node.descriptor.media_type);
        jobs.problem(&node.name, digest, Fault::MediaType { expected, found });
        return;
    }
    let expected = match content.parts {
        Parts::Index(_) => [media::INDEX, media::DOCKER_LIST],
        Parts::Image { .. } => [media::MANIFEST, media::DOCKER_MANIFEST],
    };
    if !expected.contains(&found.as_str()) {
        let expected = expected.join(" or ");
        jobs.problem(&node.name, digest, Fault::MediaType { expected, found });
    }
}

/// Reads all blobs: problems, then warnings.
pub(super) async fn run(
    store: &dyn ImageStore,
    jobs: Jobs,
    options: &ValidateOptions,
) -> (Vec<Problem>, Vec<Problem>) {
    let (mut problems, mut warnings) = (jobs.problems, Vec::new());
    let mut checks = stream::iter(jobs.blobs.into_iter().map(|job| async move {
        let result = read(store, &job, &options.progress).await;
        (job, result)
    }))
    .buffered(options.parallel.max(1));
    while let Some((job, result)) = checks.next().await {
        let digest = job.digest;
        let all = || job.uses.iter().map(|u| u.what.as_str()).collect::<Vec<_>>().join(", ");
        match result {
            Err(fault) => problems.push(Problem { what: all(), digest, fault }),
            Ok(None) => {}
            Ok(Some(Unpacked { diff_id: found, members })) => {
                for Use { what, diff_id } in &job.uses {
                    if let Some(expected) = diff_id.filter(|expected| *expected != found) {
                        let fault = Fault::DiffId { expected, found };
                        problems.push(Problem { what: what.clone(), digest, fault });
                    }
                }
                if members > 1 {
                    let fault = Fault::GzipMembers { found: members };
                    warnings.push(Problem { what: all(), digest, fault });
                }
            }
        }
    }
    (problems, warnings)
}

/// Reads one blob: what it unpacks to, where it is a layer.
async fn read(
    store: &dyn ImageStore,
    job: &Job,
    progress: &Arc<dyn Progress>,
) -> Result<Option<Unpacked>, Fault> {
    let name = job.uses.first().map(|u| u.what.clone()).unwrap_or_default();
    let item = Item { name, digest: job.digest, size: job.size };
    let blob =
        store.blob(&job.digest, job.size).await.map_err(|error| Fault::of(&error, &job.digest))?;
    let mut done = 0;
    let blob = blob.inspect(|chunk| {
        done += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        progress.at(&item, done);
    });
    let unpacked = match job.compression {
        Some(compression) => Some(layer::unpack(blob, compression, &job.digest).await?),
        None => {
            layer::drain(blob, &job.digest).await?;
            None
        }
    };
    progress.finished(&item, Outcome::Moved);
    Ok(unpacked)
}
