//! `treelay build`: the main path.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use treelay_layers::Contents;
use treelay_recipes::{Arch, Lock};
use treelay_signing::SecretKey;

use super::make::{Image, Made, Maker};
use crate::attest::{self, DocumentKind, Documents};
use crate::cli::args::{BuildArgs, KeyArgs};
use crate::cli::failure::Doing as _;
use crate::cli::places::images;
use crate::cli::report::{BuildReport, Phases};
use crate::cli::workspace::{LockPolicy, Workspace};
use crate::cli::{Failure, Result, Session, count, passwords};
use crate::dest::{Access, Dest, for_arch};
use crate::exec::again::{self, Outcome};
use crate::exec::{Layers, Workshop};
use crate::image_store::layout::Layout;
use crate::image_store::{ImageRef, is_tag};
use crate::ostree_repo::Repository;
use crate::output::{CommitArtifact, ostree as commits};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::sign;
use crate::sources::Everything;
use crate::tree_dir;

pub async fn run(session: &Session, args: BuildArgs) -> Result<()> {
    let started = Instant::now();
    let mut phases = Phases::start();
    let recipe = &args.recipe;
    let mut workspace =
        Workspace::open(session, &recipe.recipe, recipe.offline, args.sandbox.into())?;
    workspace.check_arches(&args.recipe.arch)?;
    let epoch = session.around.source_date_epoch()?;
    check_outputs(session, &args, &workspace)?;
    let keys = passwords::secret_keys(session, &args.keys.key)?;
    phases.end("read");

    let policy = if args.recipe.locked { LockPolicy::Locked } else { LockPolicy::Make };
    let (lock, changes) = workspace.lock(&policy, &session.reporter).await?;
    for change in changes {
        session.reporter.say(&format!("locked {change}"));
    }
    phases.end("lock");

    let plan = workspace.plan(&lock, &args.recipe.arch, epoch)?;
    let workshop = workspace.workshop(&session.reporter);
    let wants_image = |dest: &&Dest| matches!(dest, Dest::Oci { .. } | Dest::Docker { .. });
    let encode = args.output.is_empty() || args.output.iter().any(|dest| wants_image(&dest));
    let mut maker = Maker::new(&workspace, &workshop, &plan, &lock, encode);
    let mut made = maker.make(&mut phases).await?;

    if args.check_reproducible {
        let checked = check_reproducible(session, &args, &workspace, &plan, &lock, &made).await?;
        let layers = count(checked, "layer");
        session.reporter.say(&format!("{layers} made again from nothing: the same, byte for byte"));
        phases.end("again");
    }
    let mut build = Build {
        session,
        workspace: &workspace,
        plan: &plan,
        lock: &lock,
        workshop: &workshop,
        keys: &keys,
        args: &args,
        report: BuildReport::new(&workspace.recipe, &args.recipe.recipe, &plan),
        refused: None,
    };
    if let Some(image) = &made.image {
        build.report.image(&plan, &image.built, &image.layers, &image.blobs);
    }
    let others = args.output.iter().filter(|dest| !wants_image(dest));
    for dest in args.output.iter().filter(wants_image).chain(others) {
        while let Err(failure) = build.write(dest, &made).await {
            if !maker.mend(&failure, &made) {
                return Err(failure);
            }
            made = maker.make(&mut phases).await?;
        }
        phases.end(match dest {
            Dest::Ostree { .. } => "commits",
            Dest::Tree { .. } => "tree",
            Dest::Oci { .. } | Dest::Docker { .. } => "images",
        });
    }
    workspace.tell_mishaps(&*session.reporter);
    build.report.served(workspace.fetcher.served());
    let report = build.report.finish(phases, started.elapsed());
    if args.json { session.print_json(&report) } else { session.print(&report.text()) }?;
    build.refused.map_or(Ok(()), Err)
}

/// Makes everything again from nothing but the inputs, another way, and compares; how many layers.
async fn check_reproducible(
    session: &Session,
    args: &BuildArgs,
    workspace: &Workspace,
    plan: &Plan,
    lock: &Lock,
    made: &Made<'_>,
) -> Result<usize> {
    let again = workspace.again(session, args.sandbox.into())?;
    let second = again.plan(lock, &plan.arches, session.around.source_date_epoch()?)?;
    if second.digest() != plan.digest() {
        return Err(Failure::message("the local sources changed while they were built from"));
    }
    let workshop = again.workshop(&session.reporter);
    let mut maker = Maker::new(&again, &workshop, &second, lock, made.image.is_some());
    let remade = maker.make(&mut Phases::start()).await?;
    let first = Everything { sources: &workspace.sources, store: &workspace.store };
    let second = Everything { sources: &again.sources, store: &again.store };
    Ok(again::compare(outcome(made, &first), outcome(&remade, &second))?)
}

fn outcome<'m>(made: &'m Made<'m>, contents: &'m dyn Contents) -> Outcome<'m> {
    match &made.image {
        Some(image) => Outcome { layers: &image.layers, blobs: Some(&image.blobs), contents },
        None => Outcome { layers: &made.layers, blobs: None, contents },
    }
}

/// Refuses what could only fail after the work is done.
fn check_outputs(session: &Session, args: &BuildArgs, workspace: &Workspace) -> Result<()> {
    let arches =
        if args.recipe.arch.is_empty() { &workspace.recipe.arch } else { &args.recipe.arch };
    for dest in &args.output {
        match dest {
            Dest::Tree { .. } if arches.len() > 1 => {
                return Err(Failure::usage_message(format!(
                    "{dest} is the tree of one arch, and the recipe has {}",
                    arches.len()
                ))
                .hinted("choose one with --arch"));
            }
            Dest::Docker { image: ImageRef::Digest(_), .. } => {
                return Err(Failure::usage_message(format!(
                    "{dest} names a digest, which is only known after the build"
                ))
                .hinted("give a tag"));
            }
            Dest::Oci { .. } if !args.keys.key.is_empty() => {
                sign_as(&args.keys, workspace, "the version")?;
            }
            Dest::Ostree { reference: Some(reference), .. } => check_ref(reference, arches)?,
            _ => {}
        }
    }
    let commits = args.output.iter().any(|dest| matches!(dest, Dest::Ostree { .. }));
    check_attest(args)?;
    if !args.keys.gpg_key.is_empty() && !commits {
        return Err(Failure::usage_message(
            "--gpg-key signs commits, and no output is ostree:REPO",
        ));
    }
    for dest in &args.output {
        let opening = || format!("opening {dest}");
        match dest.under(&session.around.current_dir) {
            Dest::Oci { dir, .. } => Layout::check(&dir).doing(opening)?,
            Dest::Ostree { repo, .. } => Repository::check(&repo).doing(opening)?,
            Dest::Tree { dir } => tree_dir::check(&dir).doing(opening)?,
            // Its server says what it takes when it is asked.
            Dest::Docker { .. } => {}
        }
    }
    Ok(())
}

/// Refuses documents that nobody would sign, or that would be beside nothing.
fn check_attest(args: &BuildArgs) -> Result<()> {
    if args.attest.is_empty() {
        return Ok(());
    }
    if args.keys.key.is_empty() {
        return Err(Failure::usage_message("--attest signs documents, and no key is given")
            .hinted("give --key FILE"));
    }
    if args.output.iter().all(|dest| matches!(dest, Dest::Tree { .. })) {
        return Err(Failure::usage_message(
            "--attest puts documents beside images and commits, and no output is one",
        ));
    }
    Ok(())
}

/// Refuses a ref that several arches would share, or that holds what is not replaced in it.
fn check_ref(reference: &str, arches: &[Arch]) -> Result<()> {
    let names = arches.iter().map(|arch| for_arch(reference, *arch));
    if let Some(name) = names.clone().find(|name| name.contains("{{")) {
        return Err(Failure::usage_message(format!("the ref {name:?} has an unknown name"))
            .hinted("only {{ arch }} and {{ arch.uname }} are replaced in it"));
    }
    if arches.len() > 1 && names.collect::<BTreeSet<_>>().len() < arches.len() {
        let count = arches.len();
        return Err(Failure::usage_message(format!(
            "{reference:?} would be the ref of {count} arches"
        ))
        .hinted("put {{ arch.uname }} into it, or choose one with --arch"));
    }
    Ok(())
}

/// The name that signatures of an image in a layout carry.
fn sign_as(keys: &KeyArgs, workspace: &Workspace, tag: &str) -> Result<String> {
    let reference = workspace.recipe.image.reference.as_ref().map(|text| text.value.clone());
    let Some(name) = keys.sign_as.clone().or(reference) else {
        return Err(Failure::usage_message("nothing says what name the signature should carry")
            .hinted("give --sign-as REPO:TAG, or set image.reference in the recipe"));
    };
    Ok(with_tag(&name, tag))
}

/// A name with a tag: its own, or else this one.
fn with_tag(name: &str, tag: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:{tag}") }
}

struct Build<'a> {
    session: &'a Session,
    workspace: &'a Workspace,
    plan: &'a Plan,
    lock: &'a Lock,
    workshop: &'a Workshop<'a>,
    keys: &'a [SecretKey],
    args: &'a BuildArgs,
    report: BuildReport,
    /// What hosts would refuse of what is written; told when all is, with the report.
    refused: Option<Failure>,
}

impl Build<'_> {
    async fn write(&mut self, dest: &Dest, made: &Made<'_>) -> Result<()> {
        match (dest, &made.image) {
            (Dest::Ostree { repo, reference }, _) => {
                self.write_commits(dest, repo.clone(), reference.as_deref(), &made.layers).await
            }
            (Dest::Tree { dir }, _) => self.write_tree(dest, dir.clone(), &made.layers),
            (Dest::Oci { .. } | Dest::Docker { .. }, Some(image)) => {
                self.write_image(dest, image).await
            }
            // Images are always made where a destination wants them.
            (Dest::Oci { .. } | Dest::Docker { .. }, None) => Ok(()),
        }
    }

    /// What makes documents of this build.
    fn documents(&self) -> Documents<'_> {
        let file = self.args.recipe.recipe.file_name().and_then(|name| name.to_str());
        Documents {
            workshop: self.workshop,
            sources: &self.workspace.sources,
            plan: self.plan,
            lock: self.lock,
            file_name: file.unwrap_or("recipe.yaml"),
            text: &self.workspace.text,
            builder: self.args.builder_id.as_deref().unwrap_or(attest::LOCAL_BUILDER),
        }
    }

    fn document_kinds(&self) -> Vec<DocumentKind> {
        self.args.attest.iter().map(|kind| (*kind).into()).collect()
    }

    async fn write_image(&mut self, dest: &Dest, image: &Image<'_>) -> Result<()> {
        let registries = self.session.around.registries(self.args.registry.plain_http);
        let place = images(self.session, &registries, dest, Access::Write)?;
        let tag = match &place.image {
            ImageRef::Tag(tag) => tag.clone(),
            _ => self.plan.version.clone(),
        };
        if matches!(dest, Dest::Docker { .. }) && !is_tag(&tag) {
            return Err(Failure::usage_message(format!("{tag:?} cannot be a tag of a registry")));
        }
        let progress: Arc<dyn Progress> = self.session.reporter.clone();
        let built = &image.built;
        let written = built
            .write(&self.workspace.store, &*place.store, &tag, &progress)
            .await
            .doing(|| format!("writing {dest}"))?;
        let mut signed_as = None;
        if !self.keys.is_empty() {
            let name = match (&self.args.keys.sign_as, dest) {
                (None, Dest::Docker { repository, .. }) => format!("{repository}:{tag}"),
                _ => with_tag(&sign_as(&self.args.keys, self.workspace, &tag)?, &tag),
            };
            let signed = sign::attach(&*place.store, &written.index.digest, &name, self.keys)
                .await
                .doing(|| format!("signing {dest}"))?;
            self.report.signed(&signed);
            signed_as = Some(name);
        }
        // After the signatures, which cosign 3 looks for among attestations too.
        let kinds = self.document_kinds();
        if !kinds.is_empty() {
            let attesting = || format!("attesting {dest}");
            let documents = self.documents().of_image(&kinds, built, &image.layers);
            let documents = documents.doing(attesting)?;
            let manifests = built.images.iter().map(|one| one.manifest.descriptor());
            let subjects: Vec<_> =
                [built.index.descriptor()].into_iter().chain(manifests).collect();
            let store = &self.workspace.store;
            let attached =
                attest::attach(&*place.store, store, &subjects, &documents, self.keys).await;
            self.report.attested(attached.doing(attesting)?);
        }
        place.store.commit().await.doing(|| format!("writing {dest}"))?;
        self.report.wrote(dest, &tag, &written);
        // Last: cosign 3 takes attestations for signatures.
        if let Some(name) = signed_as {
            let keys = self.keys;
            let checked =
                super::as_host::check_published(self.session, dest, &place, &name, keys).await;
            if let Err(failure) = checked {
                self.refused.get_or_insert(failure);
            }
        }
        Ok(())
    }

    async fn write_commits(
        &mut self,
        dest: &Dest,
        repo: PathBuf,
        refname: Option<&str>,
        layers: &Layers<'_>,
    ) -> Result<()> {
        let path = self.session.around.current_dir.join(repo);
        let opening = || format!("opening {dest}");
        let repository = Repository::open_or_create(&path).doing(opening)?;
        let workshop = self.workspace.workshop(&self.session.reporter);
        let sources = &self.workspace.sources;
        let (keys, gpg_keys) = (self.keys, &self.args.keys.gpg_key);
        let kinds = self.document_kinds();
        let (mut signed, mut gpg_signed, mut attested) = (Vec::new(), Vec::new(), Vec::new());
        let mut sign = |made: &CommitArtifact| {
            let commit = made.outcome.checksum;
            signed.push((commit, repository.sign_commit(&commit, keys)?));
            for id in gpg_keys {
                repository.gpg_sign(&commit, id, None)?;
                gpg_signed.push((commit, id));
            }
            let made = std::slice::from_ref(made);
            let documents = self.documents().of_commits(&kinds, made, layers)?;
            let store = &self.workspace.store;
            attested.extend(attest::attach_to_commits(&repository, store, &documents, keys)?);
            Ok(())
        };
        let written =
            commits::write(&repository, refname, &workshop, self.plan, layers, sources, &mut sign)
                .await
                .doing(|| format!("writing {dest}"))?;
        for (commit, signatures) in &signed {
            self.report.signed_commit(commit, signatures);
        }
        for (commit, id) in gpg_signed {
            self.report.gpg_signed_commit(&commit, id);
        }
        self.report.attested(attested);
        self.report.committed(dest, &repository, &written);
        Ok(())
    }

    fn write_tree(&mut self, dest: &Dest, dir: PathBuf, layers: &Layers<'_>) -> Result<()> {
        let arch = self.plan.arches[0];
        let tree = layers.merged_tree(arch)?;
        let contents =
            Everything { sources: &self.workspace.sources, store: &self.workspace.store };
        let path = self.session.around.current_dir.join(dir);
        let written =
            tree_dir::write_tree(&path, &tree, &contents).doing(|| format!("writing {dest}"))?;
        for attribute in &written.attributes_left_out {
            self.session.reporter.say(&format!("could not set the attribute {attribute}"));
        }
        self.report.tree(dest, arch, written.files, written.bytes);
        Ok(())
    }
}
