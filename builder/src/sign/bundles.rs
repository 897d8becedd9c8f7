//! Bundles beside an image: the manifests that hold them, read and made.
//!
//! Specified in cosign, `specs/BUNDLE_SPEC.md`: a manifest with `subject`, whose `artifactType` and
//! whose one layer's media type are that of a bundle, with the empty config `{}`. Its annotations
//! repeat what is inside, and are not believed.

use futures_util::{StreamExt, stream};
use treelay_recipes::Digest;
use treelay_signing::Bundle;
use treelay_signing::bundle::{BundleVersion, MEDIA_TYPE};
use treelay_signing::schemes::sigstore_bundle::PREDICATE_TYPE;

use super::budget::{Share, Spent};
use super::problem::{Fault, Problem, with_causes};
use crate::image_store::attachments::{
    BUNDLE, BUNDLE_CONTENT, BUNDLE_PREDICATE_TYPE as PREDICATE, CREATED,
};
use crate::image_store::referrers::{self, Cut, Lie, Listing, Referrer};
use crate::image_store::{BlobSource, Descriptor, ImageStore, Manifest, Parts, StoreError, media};

/// Longest bundle that is read as a signature: real ones with certificates, log entries and
/// timestamps have about 10,000 bytes. What is longer is an attestation, or nothing.
const SIGNATURE_LIMIT: u64 = 128 * 1024;

/// Manifests and bundles that are read at once.
const AT_ONCE: usize = 8;

/// The bundles beside a subject.
#[derive(Default)]
pub(super) struct Bundles {
    /// In the order of their list.
    pub(super) found: Vec<Found>,
    /// How many referrers are listed.
    pub(super) listed: usize,
    /// Why there may be more.
    pub(super) cut: Option<Cut>,
    /// Entries of the list that are none.
    pub(super) unreadable: usize,
    /// How many of what is said to be something else were not looked at, and why.
    unseen: Option<(usize, Spent)>,
}

/// Something that refers to a subject.
pub(super) struct Found {
    /// Of the manifest that holds it.
    pub(super) manifest: Digest,
    /// What the manifest's annotation says of the statement inside; not believed.
    pub(super) predicate_type: Option<String>,
    /// The bundle's own digest, where the manifest names one.
    pub(super) bundle: Option<Digest>,
    /// Length of the manifest and what it names: its config, then the bundle. Only kept when it was
    /// asked for.
    pub(super) parts: Option<(u64, Vec<Descriptor>)>,
    /// Whether the manifest itself was read.
    is_read: bool,
    pub(super) content: Content,
    /// What is unusual about it and harms nobody.
    pub(super) notes: Vec<String>,
}

/// What it is.
pub(super) enum Content {
    /// Read, and not verified.
    Bundle(Box<Bundle>),
    /// Too long for a signature, and it does not say it is one.
    Attestation,
    /// Not to be used, for this reason.
    Broken(String),
    /// Damaged where it is stored, too.
    Damaged(String, Fault),
    /// Neither a bundle nor said to be one; what is damaged about it.
    Other(Option<Fault>),
    /// Said to be something else, and not looked at.
    Unseen(Spent),
}

/// Reads the bundles that refer to `subject`, as far as the share of the budget goes; `keep_parts`
/// keeps what each manifest names, for somebody who reads all that.
///
/// # Errors
/// What kept the list from being read.
pub(super) async fn of(
    store: &dyn ImageStore,
    subject: &Descriptor,
    share: &Share<'_>,
    keep_parts: bool,
) -> Result<Bundles, StoreError> {
    let Listing { referrers, unreadable, cut } = referrers::list(store, &subject.digest).await?;
    let listed = referrers.len();
    let mut reads = stream::iter(
        referrers
            .into_iter()
            .map(|listed| async move { look(store, subject, &listed, share, keep_parts).await }),
    )
    .buffered(AT_ONCE);
    let (mut found, mut unseen) = (Vec::new(), None);
    while let Some(one) = reads.next().await {
        if let Content::Unseen(spent) = one.content {
            unseen.get_or_insert((0, spent)).0 += 1;
        }
        found.push(one);
    }
    Ok(Bundles { found, listed, cut, unreadable, unseen })
}

impl Bundles {
    /// What is to be told of the list itself.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(cut) = self.cut {
            warnings.push(format!(
                "the list of what refers to it {cut}: {} were looked at",
                self.listed
            ));
        }
        if self.unreadable > 0 {
            let n = self.unreadable;
            warnings.push(format!("{n} entries of the list of what refers to it cannot be read"));
        }
        if let Some((n, spent)) = self.unseen {
            warnings.push(format!("{n} of what refers to it were {spent}"));
        }
        warnings
    }
}

/// Whether a list says that this is something else than a bundle. Where it says nothing, or has the
/// type of the empty config as cosign 3.1 writes it, it may be one.
fn is_other(listed: &Descriptor) -> bool {
    match listed.artifact_type.as_deref() {
        None | Some("" | media::EMPTY) => false,
        Some(said) => !said.starts_with(BUNDLE),
    }
}

/// Looks at one entry of a list.
async fn look(
    store: &dyn ImageStore,
    subject: &Descriptor,
    listed: &Descriptor,
    share: &Share<'_>,
    keep_parts: bool,
) -> Found {
    let said_bundle = listed.artifact_type.as_deref().is_some_and(|said| said.starts_with(BUNDLE));
    let found = |content| Found {
        manifest: listed.digest,
        predicate_type: None,
        bundle: None,
        parts: None,
        is_read: false,
        content,
        notes: Vec::new(),
    };
    if let Err(spent) = share.take(listed.size) {
        return found(match is_other(listed) {
            true => Content::Unseen(spent),
            false => Content::Broken(spent.to_string()),
        });
    }
    let referrer = match referrers::read(store, &subject.digest, listed).await {
        Ok(referrer) => referrer,
        Err(error) => {
            let fault = Fault::of(&error, &listed.digest);
            return found(match error {
                // What is said to be something else is no signature that cannot be used.
                StoreError::BadManifest { .. } if is_other(listed) => Content::Other(None),
                _ if is_other(listed) => Content::Other(Some(fault)),
                StoreError::BadManifest { .. } => Content::Broken(with_causes(&error)),
                _ => Content::Damaged(with_causes(&error), fault),
            });
        }
    };
    let Referrer { manifest, descriptor, subject: about, lies } = referrer;
    let artifact_type = descriptor.artifact_type.as_deref().unwrap_or_default();
    let usual = lies.iter().filter(|lie| lie.is_usual());
    let notes = usual.map(|lie| format!("{}: {lie}", listed.digest)).collect();
    let is_bundle = said_bundle || artifact_type.starts_with(BUNDLE);
    let size = manifest.bytes().len() as u64;
    share.count(size.saturating_sub(listed.size));
    let parts = match manifest.parts(&store.place()) {
        Ok(Parts::Image { config, layers }) => Ok((config, layers)),
        Ok(Parts::Index(_)) => Err("it is an index".to_owned()),
        Err(error) => Err(with_causes(&error)),
    };
    let predicate_type = descriptor.annotations.get(PREDICATE).cloned();
    let bundle = parts.as_ref().ok().and_then(|(_, layers)| Some(layers.first()?.digest));
    let named = parts.as_ref().ok().filter(|_| keep_parts).map(|(config, layers)| {
        (size, std::iter::once(config).chain(layers).cloned().collect::<Vec<_>>())
    });
    let is_read = parts.is_ok();
    let checked = parts.and_then(|(_, layers)| {
        check(artifact_type, &about, subject, &lies).and_then(|()| layer(&layers))
    });
    let content = match checked {
        _ if !is_bundle => Content::Other(None),
        Err(reason) => Content::Broken(reason),
        Ok(layer) => content(store, &layer, predicate_type.as_deref(), share).await,
    };
    let manifest = listed.digest;
    Found { manifest, predicate_type, bundle, parts: named, is_read, content, notes }
}

/// Compares the manifest with what it is about, and with what the list says of it.
fn check(
    artifact_type: &str,
    about: &Descriptor,
    subject: &Descriptor,
    lies: &[Lie],
) -> Result<(), String> {
    if let Some(lie) = lies.iter().find(|lie| !lie.is_usual()) {
        return Err(lie.to_string());
    }
    if BundleVersion::of_media_type(artifact_type).is_none() {
        return Err(format!("its artifact type {artifact_type:?} is no bundle of a known version"));
    }
    if (about.size, &about.media_type) != (subject.size, &subject.media_type) {
        return Err(format!(
            "its subject is {:?} of {} bytes, which the image is not: {:?} of {} bytes",
            about.media_type, about.size, subject.media_type, subject.size
        ));
    }
    Ok(())
}

fn layer(layers: &[Descriptor]) -> Result<Descriptor, String> {
    let [layer] = layers else {
        return Err(format!("its manifest has {} layers, expected one", layers.len()));
    };
    if BundleVersion::of_media_type(&layer.media_type).is_none() {
        let found = &layer.media_type;
        return Err(format!("its media type {found:?} is no bundle of a known version"));
    }
    Ok(layer.clone())
}

async fn content(
    store: &dyn ImageStore,
    layer: &Descriptor,
    predicate_type: Option<&str>,
    share: &Share<'_>,
) -> Content {
    let is_attestation = predicate_type.is_some_and(|said| said != PREDICATE_TYPE);
    if layer.size > SIGNATURE_LIMIT {
        if is_attestation {
            return Content::Attestation;
        }
        let size = layer.size;
        return Content::Broken(format!(
            "{size} bytes are more than the {SIGNATURE_LIMIT} that a signature may have"
        ));
    }
    if let Err(spent) = share.take(layer.size) {
        return Content::Broken(spent.to_string());
    }
    let bytes = match store.blob(&layer.digest, layer.size).await {
        Ok(blob) => blob.read_all(SIGNATURE_LIMIT).await,
        Err(error) => Err(error),
    };
    match bytes {
        Err(error) => {
            let fault = Fault::of(&error, &layer.digest);
            Content::Damaged(format!("reading the bundle: {}", with_causes(&error)), fault)
        }
        Ok(bytes) => match Bundle::parse(&bytes) {
            Ok(bundle) => Content::Bundle(Box::new(bundle)),
            Err(error) => Content::Broken(format!("it is no bundle: {error}")),
        },
    }
}

impl Found {
    /// Damage of the manifest itself, as a problem of the image of that name. What it names is read
    /// again when all is.
    pub(super) fn problem(&self, name: &str) -> Option<Problem> {
        match &self.content {
            Content::Damaged(_, fault) | Content::Other(Some(fault)) if !self.is_read => {
                let what = format!("what refers to {name}");
                Some(Problem { what, digest: self.manifest, fault: fault.clone() })
            }
            _ => None,
        }
    }
}

/// A bundle that is to be attached.
pub(super) struct NewBundle {
    /// The bundle itself, and the empty config.
    pub(super) blobs: [BlobSource<'static>; 2],
    /// What refers to the subject.
    pub(super) manifest: Manifest,
}

impl NewBundle {
    /// A signature's bundle beside `subject`.
    ///
    /// `created` is a date, which readers show and sort by. It is the image's own, not that of
    /// signing: so the same key signs the same image in the same bytes, and signing again, or
    /// elsewhere, adds no second manifest.
    pub(super) fn new(subject: &Descriptor, bundle: String, created: &str) -> Self {
        let bundle = BlobSource::from_bytes(bundle).named("bundle");
        let config = BlobSource::from_bytes(referrers::EMPTY_CONFIG).named("empty config");
        let annotations = [BUNDLE_CONTENT, (PREDICATE, PREDICATE_TYPE), (CREATED, created)];
        let layer = (bundle.digest(), bundle.size());
        let manifest = referrers::artifact(subject, MEDIA_TYPE, layer, &annotations);
        Self { blobs: [bundle, config], manifest }
    }
}
