//! `treelay copy`.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use treelay_recipes::Digest;
use treelay_signing::SecretKey;
use treelay_signing::schemes::simplesigning::{self, Payload};

use crate::cli::args::CopyArgs;
use crate::cli::failure::Doing as _;
use crate::cli::places::{Images, images};
use crate::cli::plain::plain;
use crate::cli::{Failure, Result, Session, count, passwords};
use crate::dest::{Access, Dest};
use crate::hosts::Reference;
use crate::hosts::policy::Identity;
use crate::image_store::signatures::{Beside, signatures_of};
use crate::image_store::{CopyOptions, ImageRef, ImageStore, StoreError, copy, is_tag};
use crate::ostree_repo::{OstreeError, Repository};
use crate::output::encapsulated::Encapsulated;
use crate::progress::Progress;
use crate::sign;

/// Signatures whose names are looked at.
const MOST_NAMES: usize = 100;

pub async fn run(session: &Session, args: CopyArgs) -> Result<()> {
    let registries = session.around.registries(args.registry.plain_http);
    let keys = passwords::secret_keys(session, &args.keys.key)?;
    if let Dest::Ostree { repo, reference } = args.src.under(&session.around.current_dir) {
        return encapsulate(session, &args, &repo, reference.as_deref(), &keys).await;
    }
    let from = images(session, &registries, &args.src, Access::Read)?;
    // Before the destination is made: from a source without the image nothing is to be copied.
    let found = from.resolve(&args.src).await?;
    let to = images(session, &registries, &args.dest, Access::Write)?;
    let tag = destination_tag(&args, &from, &to, &found.digest).await?;
    let name = name_to_sign(&args, &to, tag.as_deref(), &keys)?;
    let options = CopyOptions {
        signatures: !args.no_signatures,
        progress: session.reporter.clone(),
        ..CopyOptions::default()
    };
    let copying = || format!("copying {} to {}", args.src, args.dest);
    let copied = copy(&*from.store, &from.image, &*to.store, tag.as_deref(), &options)
        .await
        .doing(copying)?;
    let Some(image) = &copied.image else {
        return Err(Failure::message(format!("{} has no such image", args.src)));
    };

    let mut checked = Ok(());
    if let Some(name) = name {
        sign::attach(&*to.store, &image.digest, &name, &keys)
            .await
            .doing(|| format!("signing {}", args.dest))?;
        to.store.commit().await.doing(copying)?;
        checked = super::as_host::check_published(session, &args.dest, &to, &name, &keys).await;
    } else if let Dest::Docker { repository, .. } = &args.dest
        && !copied.signed.is_empty()
    {
        // Nobody says here whose keys count, so that nothing can be judged; but names can.
        let asked =
            Reference::of(repository, &tag.map_or(ImageRef::Digest(image.digest), ImageRef::Tag));
        let named = names(&*to.store, &image.digest).await.doing(copying)?;
        for other in named.iter().filter(|name| !Identity::default().accepts(Some(&asked), name)) {
            session.reporter.say(&format!(
                "warning: a signature names {other:?}; hosts that pull {asked} refuse it unless their \
                 policy remaps it; sign the copy with --key"
            ));
        }
    }
    for left in &copied.left {
        session.reporter.say(&plain(&format!(
            "warning: something attached to {} was not copied: {}",
            left.subject, left.reason
        )));
    }
    let (moved, bytes) = copied.moved;
    if args.json {
        session.print_json(&json!({
            "digest": image.digest,
            "manifests": copied.children,
            "signed": copied.signed,
            "attached": copied.attached,
            "left_behind": copied.left,
            "blobs": { "moved": moved, "bytes": bytes, "reused": copied.reused },
        }))?;
        return checked;
    }
    // Those of `.sig` are told by what they sign.
    let referrers = copied.attached.iter().filter(|a| a.kind != Beside::Signatures.suffix());
    let attached = match referrers.count() {
        0 => String::new(),
        n => format!("; {} more attached to them", count(n, "manifest")),
    };
    session.print(&format!(
        "{}\n{} copied ({}), {} there already; {} of {} manifests have signatures{attached}\n",
        image.digest,
        count(moved, "blob"),
        indicatif::HumanBytes(bytes),
        copied.reused,
        copied.signed.len(),
        copied.children.len() + 1
    ))?;
    checked
}

/// Makes images of commits, in the encapsulated form.
async fn encapsulate(
    session: &Session,
    args: &CopyArgs,
    repo: &Path,
    reference: Option<&str>,
    keys: &[SecretKey],
) -> Result<()> {
    let copying = || format!("copying {} to {}", args.src, args.dest);
    let opening = || format!("opening {}", args.src);
    let repository = Repository::open(repo).doing(opening)?;
    let commits = repository.named(reference).doing(copying)?;
    let registries = session.around.registries(args.registry.plain_http);
    let to = images(session, &registries, &args.dest, Access::Write)?;
    let tag = match &to.image {
        ImageRef::Tag(tag) => tag.clone(),
        ImageRef::Digest(_) => {
            let message = format!("{} names an image that is not made yet: give a tag", args.dest);
            return Err(Failure::usage_message(message));
        }
        ImageRef::Default => version_of(&repository, &commits).doing(copying)?.ok_or_else(|| {
            Failure::usage_message(format!(
                "{} does not say which tag is meant, and the commits have no version that could be one",
                args.dest
            ))
        })?,
    };
    let signed_as = name_to_sign(args, &to, Some(&tag), keys)?;
    let store = session.store()?;
    let dir = store.temporary_dir().doing(copying)?;
    let made = Encapsulated::make(&repository, &commits, dir.path(), session.jobs);
    let made = made.doing(copying)?;
    let progress: Arc<dyn Progress> = session.reporter.clone();
    let written = made.write(&*to.store, &tag, &progress).await.doing(copying)?;
    let mut signed = Vec::new();
    if let Some(name) = &signed_as {
        let report = sign::attach(&*to.store, &written.index.digest, name, keys).await;
        report.doing(|| format!("signing {}", args.dest))?;
        signed.push(written.index.digest);
        signed.extend(written.manifests.iter().map(|(_, digest)| *digest));
    }
    to.store.commit().await.doing(copying)?;
    let checked = match &signed_as {
        Some(name) => super::as_host::check_published(session, &args.dest, &to, name, keys).await,
        None => Ok(()),
    };
    let children: Vec<Digest> = written.manifests.iter().map(|(_, digest)| *digest).collect();
    let (moved, bytes) = written.moved;
    if args.json {
        session.print_json(&json!({
            "digest": written.index.digest,
            "manifests": children,
            "signed": signed,
            "blobs": { "moved": moved, "bytes": bytes, "reused": written.reused },
        }))?;
        return checked;
    }
    session.print(&format!(
        "{}\n{} made of {} written ({}), {} there already; {} of {} manifests have signatures\n",
        written.index.digest,
        count(moved, "blob"),
        count(commits.len(), "commit"),
        indicatif::HumanBytes(bytes),
        written.reused,
        signed.len(),
        children.len() + 1
    ))?;
    checked
}

/// The version that all of them have, if it can be a tag.
fn version_of(
    repository: &Repository,
    commits: &[(String, Digest)],
) -> std::result::Result<Option<String>, OstreeError> {
    let versions = commits.iter().map(|(_, commit)| repository.version(commit));
    let mut versions = versions.collect::<std::result::Result<Vec<_>, _>>()?;
    versions.dedup();
    Ok(match versions.as_slice() {
        [Some(version)] if is_tag(version) => Some(version.clone()),
        _ => None,
    })
}

/// The tag in the destination: the one given, else the source's own.
async fn destination_tag(
    args: &CopyArgs,
    from: &Images,
    to: &Images,
    found: &Digest,
) -> Result<Option<String>> {
    if let ImageRef::Tag(tag) = &to.image {
        return Ok(Some(tag.clone()));
    }
    if let ImageRef::Digest(digest) = &to.image {
        if found == digest {
            return Ok(None);
        }
        return Err(Failure::usage_message(format!(
            "{} names {digest}, and {} is {found}",
            args.dest, args.src
        )));
    }
    match &from.image {
        ImageRef::Tag(tag) => Ok(Some(tag.clone())),
        _ => {
            // The only image of a layout has a tag of its own.
            for tag in from.store.tags().await? {
                let same = from.store.resolve(&ImageRef::Tag(tag.clone())).await?;
                if same.is_some_and(|same| same.digest == *found) {
                    return Ok(Some(tag));
                }
            }
            Err(Failure::usage_message(format!("{} does not say which tag is meant", args.dest)))
        }
    }
}

/// The name that signatures carry, where there are keys to sign with.
fn name_to_sign(
    args: &CopyArgs,
    to: &Images,
    tag: Option<&str>,
    keys: &[SecretKey],
) -> Result<Option<String>> {
    if keys.is_empty() {
        return Ok(None);
    }
    match reference_of(args, to, tag) {
        None => Err(Failure::usage_message("nothing says what name the signature should carry")
            .hinted("give --sign-as REPO:TAG")),
        name => Ok(name),
    }
}

fn reference_of(args: &CopyArgs, to: &Images, tag: Option<&str>) -> Option<String> {
    args.keys.sign_as.clone().or_else(|| match (&args.dest, tag) {
        (Dest::Docker { repository, .. }, Some(tag)) => Some(format!("{repository}:{tag}")),
        _ => to.reference.clone(),
    })
}

/// The names that the signatures of an image carry, as far as they can be read.
async fn names(
    store: &dyn ImageStore,
    image: &Digest,
) -> std::result::Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let (_, layers) = match signatures_of(store, image).await? {
        Some(found) => found,
        None => return Ok(names),
    };
    for layer in layers.iter().take(MOST_NAMES) {
        let payload = store.blob(&layer.digest, layer.size).await?;
        let payload = payload.read_all(simplesigning::MAX_PAYLOAD as u64).await?;
        if let Ok(payload) = Payload::parse(&payload) {
            names.push(payload.reference().to_owned());
        }
    }
    names.dedup();
    Ok(names)
}
