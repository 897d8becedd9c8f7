//! `treelay attest`.

use std::path::Path;

use serde_json::{Value, json};
use treelay_recipes::{Arch, Digest};

use crate::attest::{
    self, AttachedDocument, AttestError, Document, Listed, PredicateType, keep_document,
};
use crate::cli::failure::Doing as _;
use crate::cli::places::{Images, images};
use crate::cli::plain::plain;
use crate::cli::verify_args::AttestArgs;
use crate::cli::{Failure, Result, Session, passwords};
use crate::dest::{Access, Dest};
use crate::image_store::Descriptor;
use crate::ostree_repo::Repository;

pub async fn run(session: &Session, args: AttestArgs) -> Result<()> {
    let place = Place::open(session, &args).await?;
    match (&args.kind, &args.predicate) {
        (Some(kind), Some(file)) => put(session, &args, &place, kind, file).await,
        (Some(kind), None) if args.show => show(session, &args, &place, kind).await,
        (kind, None) => list(session, &args, &place, kind.as_ref()).await,
        (None, Some(_)) => {
            Err(Failure::usage_message("what type of document is it?").hinted("give --type TYPE"))
        }
    }
}

/// What documents may be about.
enum Place {
    Images(Images, Vec<(String, Descriptor)>),
    Commits(Box<Repository>, Vec<(String, Digest)>),
}

impl Place {
    async fn open(session: &Session, args: &AttestArgs) -> Result<Self> {
        let AttestArgs { dest, arch, .. } = args;
        let opening = || format!("opening {dest}");
        if let Dest::Ostree { repo, reference } = dest.under(&session.around.current_dir) {
            let repository = Repository::open(&repo).doing(opening)?;
            let mut commits = Vec::new();
            for (name, commit) in repository.named(reference.as_deref()).doing(opening)? {
                let said = repository.arch_of(&commit).doing(opening)?;
                if arch.is_none_or(|arch| said.as_deref() == Some(arch.uname())) {
                    commits.push((name, commit));
                }
            }
            none(args, commits.is_empty())?;
            return Ok(Self::Commits(Box::new(repository), commits));
        }
        let registries = session.around.registries(args.registry.plain_http);
        let place = images(session, &registries, dest, Access::Read)?;
        let root = place.resolve(dest).await?;
        let mut subjects = attest::subjects(&*place.store, &root.digest).await.doing(opening)?;
        if let Some(arch) = arch {
            subjects.retain(|(_, one)| is_for(one, *arch));
        }
        none(args, subjects.is_empty())?;
        Ok(Self::Images(place, subjects))
    }

    /// Name, digest and documents of each subject.
    async fn listed(&self, args: &AttestArgs) -> Result<Vec<(String, Digest, Vec<Listed>)>> {
        let reading = || format!("reading what is beside {}", args.dest);
        let mut all = Vec::new();
        match self {
            Self::Images(place, subjects) => {
                for (name, subject) in subjects {
                    let listed = attest::list(&*place.store, &subject.digest).await;
                    all.push((name.clone(), subject.digest, listed.doing(reading)?));
                }
            }
            Self::Commits(repository, commits) => {
                for (name, commit) in commits {
                    let listed = attest::list_of_commit(repository, commit).doing(reading)?;
                    all.push((name.clone(), *commit, listed));
                }
            }
        }
        Ok(all)
    }
}

fn is_for(descriptor: &Descriptor, arch: Arch) -> bool {
    descriptor.platform.as_ref().is_some_and(|platform| platform.architecture == arch.oci())
}

fn none(args: &AttestArgs, empty: bool) -> Result<()> {
    match (empty, args.arch) {
        (false, _) => Ok(()),
        (true, Some(arch)) => {
            Err(Failure::message(format!("{} has nothing for {arch}", args.dest)))
        }
        (true, None) => Err(Failure::message(format!("there is nothing in {}", args.dest))),
    }
}

/// Puts the user's document beside each subject.
async fn put(
    session: &Session,
    args: &AttestArgs,
    place: &Place,
    kind: &PredicateType,
    file: &Path,
) -> Result<()> {
    let bytes = read(session, kind, file)?;
    let keys = passwords::secret_keys(session, &args.key)?;
    let store = session.store()?;
    let content = keep_document(&store, &bytes).doing(|| "keeping the document".to_owned())?;
    let about = |subject| Document { kind: kind.clone(), subject, content };
    let attesting = || format!("attesting {}", args.dest);
    let attached = match place {
        Place::Images(place, subjects) => {
            let subjects: Vec<_> = subjects.iter().map(|(_, subject)| subject.clone()).collect();
            let documents: Vec<_> = subjects.iter().map(|subject| about(subject.digest)).collect();
            let attached =
                attest::attach(&*place.store, &store, &subjects, &documents, &keys).await;
            let attached = hinted(attached, args)?;
            place.store.commit().await.doing(attesting)?;
            attached
        }
        Place::Commits(repository, commits) => {
            let documents: Vec<_> = commits.iter().map(|(_, commit)| about(*commit)).collect();
            hinted(attest::attach_to_commits(repository, &store, &documents, &keys), args)?
        }
    };
    if args.json {
        return session.print_json(&json!({ "attestations": attached }));
    }
    let added: Vec<&AttachedDocument> = attached.iter().filter(|one| one.added).collect();
    if added.is_empty() {
        return session.print("everything carries this attestation already\n");
    }
    let lines = added.iter().map(|one| format!("{} {}\n", one.subject, one.kind));
    session.print(&lines.collect::<String>())
}

/// The user's document, which must be what it is said to be.
fn read(session: &Session, kind: &PredicateType, file: &Path) -> Result<Vec<u8>> {
    let name = file.display();
    let bytes = std::fs::read(session.around.current_dir.join(file))
        .doing(|| format!("reading the document {name}"))
        .map_err(Failure::into_usage)?;
    let value: Value = serde_json::from_slice(&bytes)
        .doing(|| format!("{name} is no JSON"))
        .map_err(Failure::into_usage)?;
    if !value.is_object() {
        return Err(Failure::usage_message(format!("{name} is JSON, but no object")));
    }
    kind.check(&value).map_err(|missing| {
        Failure::usage_message(format!("{name} is no {kind} document: it has no {missing:?}"))
            .hinted("--type says what kind of document it is; --predicate takes the document alone, not a statement around it")
    })?;
    Ok(bytes)
}

fn hinted<T>(result: std::result::Result<T, AttestError>, args: &AttestArgs) -> Result<T> {
    let unsigned = matches!(result, Err(AttestError::NotSigned { .. }));
    result.doing(|| format!("attesting {}", args.dest)).map_err(|failure| match unsigned {
        true => failure.hinted(format!("sign it first: treelay sign {} --key FILE", args.dest)),
        false => failure,
    })
}

/// Prints the one document of a type.
async fn show(
    session: &Session,
    args: &AttestArgs,
    place: &Place,
    kind: &PredicateType,
) -> Result<()> {
    let all = place.listed(args).await?;
    let mut found: Vec<&Value> = Vec::new();
    for listed in all.iter().flat_map(|(_, _, listed)| listed) {
        // The same document in several forms, or about several subjects, is one.
        if listed.predicate_type == kind.uri() && !found.contains(&&listed.predicate) {
            found.push(&listed.predicate);
        }
    }
    match found.as_slice() {
        [] => Err(Failure::message(format!("there is no {kind} beside {}", args.dest))),
        [one] => session.print_json(one),
        several => {
            let text = format!("there are {} {kind} documents beside {}", several.len(), args.dest);
            Err(Failure::message(text).hinted("choose the image of one arch with --arch"))
        }
    }
}

/// Lists what is there.
async fn list(
    session: &Session,
    args: &AttestArgs,
    place: &Place,
    kind: Option<&PredicateType>,
) -> Result<()> {
    let mut all = place.listed(args).await?;
    let wanted = |listed: &Listed| kind.is_none_or(|kind| listed.predicate_type == kind.uri());
    all.iter_mut().for_each(|(_, _, listed)| listed.retain(wanted));
    if args.json {
        let list: Vec<_> = all
            .iter()
            .map(|(name, subject, listed)| {
                json!({ "name": name, "subject": subject, "attestations": listed })
            })
            .collect();
        return session.print_json(&json!({ "subjects": list }));
    }
    let mut text = String::new();
    for (name, subject, listed) in &all {
        text.push_str(&plain(&format!("{subject} {name}")));
        text.push('\n');
        for one in listed {
            let kind: Option<PredicateType> = one.predicate_type.parse().ok();
            let kind = kind.map_or(one.predicate_type.clone(), |kind| kind.to_string());
            let form = serde_json::to_value(one.form).ok();
            let form = form.as_ref().and_then(Value::as_str).unwrap_or_default();
            text.push_str(&plain(&format!("  {kind} {form} {} bytes", one.size)));
            text.push('\n');
        }
    }
    session.print(&text)
}
