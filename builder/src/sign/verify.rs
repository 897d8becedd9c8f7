//! [`verify_image`].

use futures_util::{StreamExt, stream};
use treelay_signing::PublicKey;
use treelay_signing::keyless::{Policy, TrustedRoot};

use super::budget::Budget;
use super::error::SignatureError;
use super::forms::{FormReport, Forms, RequiredForm};
use super::judge::{self, Judged, Trust};
use super::problem::{Fault, Problem, with_causes};
use super::report::{ImageReport, Refusal, SubjectReport};
use super::validate::{self, Jobs, ValidateOptions};
use super::walk::{self, Node};
use crate::image_store::{Descriptor, ImageRef, ImageStore};

/// Subjects whose signatures are read at once.
const AT_ONCE: usize = 4;

/// Somebody without a key of their own whose signatures are accepted.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who they are, and who vouches for that.
    pub policy: Policy,
    /// Whose certificates, logs and timestamps count.
    pub root: TrustedRoot,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, says {}", self.policy.identity, self.policy.issuer)
    }
}

/// What makes an image good.
#[derive(Clone, Default)]
pub struct VerifyOptions<'a> {
    /// The name that must have been signed: `registry/repository:tag` demands exactly this one,
    /// `registry/repository` any in that repository.
    pub expected_reference: Option<&'a str>,
    /// Whether that name must be signed: then a bundle alone, which has none, is not enough.
    /// Otherwise it is enough where no signature by one of the keys says another name.
    pub name_must_be_signed: bool,
    /// Whose signatures are accepted, beside those by keys.
    pub identity: Option<&'a Identity>,
    /// Which form of signatures must be good.
    pub required_form: RequiredForm,
    /// Whether every blob is read and compared with what names it, signatures of others included.
    pub check_blobs: bool,
    /// How blobs are read.
    pub validate: ValidateOptions,
}

/// Verifies an image: its index and every manifest below must each carry a good signature by one of
/// `keys` or by [`VerifyOptions::identity`], in the form that is required. A tag is resolved once.
///
/// # Errors
/// Only where nothing can be said about the image: it is not there, the store does not answer, no
/// keys and no identity. Whatever is met after it was found is in the report, and keeps it from being good.
pub async fn verify_image(
    store: &dyn ImageStore,
    image: &ImageRef,
    keys: &[PublicKey],
    options: &VerifyOptions<'_>,
) -> Result<ImageReport, SignatureError> {
    if keys.is_empty() && options.identity.is_none() {
        return Err(SignatureError::NoKeys);
    }
    let root = walk::resolve(store, image).await?;
    let digest = root.descriptor.digest;
    let nodes = walk::walk(store, root).await;
    let mut jobs = Jobs::default();
    if options.check_blobs {
        validate::add_image(store, &nodes, &mut jobs).await;
    }
    let reference = options.expected_reference;
    let budget = &Budget::of_image();
    let mut judged = Vec::new();
    let mut judging = stream::iter(walk::subjects(nodes).into_iter().map(|node| async move {
        let share = &budget.of_subject();
        let (identity, keep_holders) = (options.identity, options.check_blobs);
        let trust = Trust { keys, identity, reference, share, keep_holders };
        let judged = judge_node(store, &node, trust).await;
        (node.name, node.descriptor, judged)
    }))
    .buffered(AT_ONCE);
    // Of each, what is to be told is kept, and not what was read.
    while let Some((name, descriptor, mut one)) = judging.next().await {
        for holder in one.holders.drain(..) {
            validate::add_signatures(&name, &holder, &mut jobs);
        }
        judged.push((name, descriptor, one));
    }
    drop(judging);
    let mixed = Forms::mixed(judged.iter().map(|(.., one)| &one.forms));
    let named = options.expected_reference.filter(|_| options.name_must_be_signed);
    let (mut subjects, mut damage, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let mut all_notes = Vec::new();
    for (name, descriptor, one) in judged {
        let (digest, platform) = (descriptor.digest, descriptor.platform);
        let Judged { signatures, attestations, forms, warnings: also, notes, problems, .. } = one;
        all_notes.extend(notes);
        let (refusal, told) = forms.decide(options.required_form, &mixed, named);
        damage.extend(problems);
        warnings.extend(told.into_iter().chain(also).map(|reason| {
            let fault = Fault::Signature { reason };
            Problem { what: name.clone(), digest, fault }
        }));
        let subject =
            SubjectReport { name, digest, platform, signatures, attestations, forms, refusal };
        subjects.push(subject);
    }
    let mut report = ImageReport::new(store.place(), digest, subjects);
    let (problems, found) = validate::run(store, jobs, &options.validate).await;
    damage.retain(|problem| {
        options.check_blobs && problems.iter().all(|other| other.digest != problem.digest)
    });
    report.add(damage.into_iter().chain(problems).collect(), warnings);
    report.add(Vec::new(), found);
    report.notes = all_notes;
    Ok(report)
}

async fn judge_node(store: &dyn ImageStore, node: &Node, trust: Trust<'_>) -> Judged {
    let digest = node.descriptor.digest;
    match &node.content {
        Ok(content) => {
            let subject = Descriptor::new(&content.media_type, digest, content.size);
            judge::judge(store, &node.name, &subject, trust).await
        }
        Err(error) => {
            let (what, reason) = ("it".to_owned(), with_causes(error));
            let refusal = Some(Refusal::Unreadable { what, reason });
            let form = FormReport { refusal };
            Judged {
                signatures: Vec::new(),
                attestations: Vec::new(),
                forms: Forms { sig: form.clone(), bundle: form, stripped: None },
                warnings: Vec::new(),
                notes: Vec::new(),
                holders: Vec::new(),
                problems: Vec::new(),
            }
        }
    }
}
