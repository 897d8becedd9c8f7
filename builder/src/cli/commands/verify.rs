//! `treelay verify`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use treelay_recipes::rfc3339;
use treelay_signing::PublicKey;
use treelay_signing::schemes::{sigstore_bundle, simplesigning};

use super::verify_options::{self, Kind};
use super::{identity, verify_file};
use crate::attest::{self, Requirement, require_of_commit};
use crate::cli::failure::Doing as _;
use crate::cli::places::{Images, images};
use crate::cli::plain::plain;
use crate::cli::verify_args::{Verifiable, VerifyArgs};
use crate::cli::{Failure, Result, Session, passwords};
use crate::dest::{Access, Dest};
use crate::image_store::ImageRef;
use crate::ostree_repo::{CommitSignature, Keyring, Repository, SignatureVerdict, Trust};
use crate::sign::{
    FORMS_ANNOTATION, ImageReport, Judgement, RequiredForm, VerifyOptions, verify_image,
};

pub async fn run(session: &Session, args: VerifyArgs) -> Result<()> {
    let as_host = args.policy.is_some() || !args.as_consumer.is_empty();
    let dest = match &args.dest {
        Verifiable::Place(dest) => dest.clone(),
        Verifiable::File(_) | Verifiable::Digest(_) | Verifiable::Sha512(_) => {
            verify_options::check(&args, Kind::File)?;
            return verify_file::run(session, &args);
        }
    };
    let kind = match &dest {
        Dest::Tree { .. } => {
            let message = "a tree carries no signatures: verify the image or commit";
            return Err(Failure::usage_message(message));
        }
        Dest::Ostree { .. } => Kind::Commits,
        Dest::Oci { .. } | Dest::Docker { .. } if as_host => Kind::HostedImage,
        Dest::Oci { .. } | Dest::Docker { .. } => Kind::Image,
    };
    verify_options::check(&args, kind)?;
    let by_identity = [&args.identity, &args.identity_regexp, &args.issuer, &args.issuer_regexp]
        .into_iter()
        .any(Option::is_some);
    let for_commits = args.gpg_keyring.is_some() || args.remote.is_some();
    if args.key.is_empty() && !for_commits && !by_identity && !as_host {
        return Err(Failure::usage_message("nothing to verify with").hinted(
            "give --key PUB; or, for images, --identity WHO with --issuer URL and \
                 --trusted-root FILE; or, for commits, --gpg-keyring FILE or --remote NAME",
        ));
    }
    let keys = passwords::public_keys(session, &args.key)?;
    match dest.under(&session.around.current_dir) {
        _ if as_host => super::as_host::verify(session, &args, &dest, &keys).await,
        Dest::Ostree { repo, reference } => {
            commits(session, &args, &repo, reference.as_deref(), keys)
        }
        _ => image(session, &args, &dest, &keys).await,
    }
}

fn commits(
    session: &Session,
    args: &VerifyArgs,
    repo: &Path,
    reference: Option<&str>,
    keys: Vec<PublicKey>,
) -> Result<()> {
    let verifying = || format!("verifying {}", args.dest);
    let here = &session.around.current_dir;
    let sysroot = args.sysroot.as_ref().map(|root| here.join(root));
    let opened = match &sysroot {
        Some(root) => Repository::open_in(repo, root),
        None => Repository::open(repo),
    };
    let repository = opened.doing(|| format!("opening {}", args.dest))?;
    let mut trust = match &args.remote {
        Some(name) => repository.trust_of_remote(name, sysroot.as_deref()).doing(verifying)?,
        None => Trust::of(keys.clone()),
    };
    trust.revoked.extend(passwords::key_lists(session, &args.revoked)?);
    if let Some(file) = &args.gpg_keyring {
        trust.gpg = Some(Keyring::read(&here.join(file)).doing(verifying)?);
    }
    let mut reports = Vec::new();
    let mut required = Vec::new();
    for named in repository.named_of(args.remote.as_deref(), reference).doing(verifying)? {
        let report = repository.verify_commit(&named, &trust, session.jobs).doing(verifying)?;
        let (name, commit) = (&named.name, &report.checksum);
        let found = require_of_commit(&repository, name, commit, &args.require, &keys);
        required.extend(found.doing(verifying)?);
        reports.push((named.name, report));
    }
    let good = reports.iter().all(|(_, report)| report.is_good()) && all_met(&required);
    if args.json {
        let list: Vec<_> = reports.iter().map(|(_, report)| report).collect();
        let mut said = json!({ "good": good, "remote": args.remote, "commits": list });
        add(&mut said, &required);
        session.print_json(&said)?;
    } else {
        let mut text = String::new();
        for (name, report) in &reports {
            let about = || required.iter().filter(|one| one.subject == report.checksum);
            let verdict = verdict(report.is_good() && about().all(Requirement::is_met));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{verdict}: {} {} ({} objects)",
                plain(name),
                report.checksum.hex(),
                report.objects
            );
            // The reasons of a refusal speak of every signature; of a good commit, all are shown.
            let good = |signature: &&CommitSignature| signature.verdict == SignatureVerdict::Good;
            for signature in report.signatures.iter().filter(|one| report.is_good() || good(one)) {
                let _ = writeln!(text, "  {}", plain(&signature.to_string()));
            }
            for reason in &report.reasons {
                let _ = writeln!(text, "  {}", plain(reason));
            }
            for requirement in about() {
                let _ = writeln!(text, "  {}", plain(&requirement.to_string()));
            }
        }
        session.print(&text)?;
    }
    refuse(args, good)
}

async fn image(
    session: &Session,
    args: &VerifyArgs,
    dest: &Dest,
    keys: &[PublicKey],
) -> Result<()> {
    let registries = session.around.registries(args.registry.plain_http);
    let place = images(session, &registries, dest, Access::Read)?;
    let verified = verify(session, args, dest, &place, &place.image, keys).await?;
    if args.json {
        session.print_json(&verified.json())?;
    } else {
        session.print(&verified.text())?;
    }
    verified.conclude(args)
}

/// An image's signatures, and what else it must have, verified.
pub(super) struct Verified {
    report: ImageReport,
    required: Vec<Requirement>,
}

/// Verifies what `image` names in a place, by the options that ask for signatures and documents.
pub(super) async fn verify(
    session: &Session,
    args: &VerifyArgs,
    dest: &Dest,
    place: &Images,
    image: &ImageRef,
    keys: &[PublicKey],
) -> Result<Verified> {
    let identity = identity::of_image(session, args)?;
    let expected = args.signed_as.as_deref().or(place.reference.as_deref());
    let check_blobs = args.blobs || matches!(dest, Dest::Oci { .. });
    if args.require_form == RequiredForm::Bundle && args.signed_as.is_some() {
        let message = "a bundle names no image: --signed-as needs --require-form sig or both";
        return Err(Failure::usage_message(message));
    }
    let options = VerifyOptions {
        expected_reference: expected,
        name_must_be_signed: args.signed_as.is_some(),
        identity: identity.as_ref(),
        required_form: args.require_form,
        check_blobs,
        ..VerifyOptions::default()
    };
    let report = verify_image(&*place.store, image, keys, &options)
        .await
        .doing(|| format!("verifying {}", args.dest))?;
    // Of what the tag was resolved to, wherever it points by now.
    let required = attest::require(&*place.store, &report.image, &args.require, keys)
        .await
        .doing(|| format!("looking for what {} must have", args.dest))?;
    Ok(Verified { report, required })
}

impl Verified {
    pub(super) fn is_good(&self) -> bool {
        self.report.is_good() && all_met(&self.required)
    }

    pub(super) fn json(&self) -> Value {
        let mut said = json!({ "good": self.is_good(), "image": self.report });
        add(&mut said, &self.required);
        said
    }

    pub(super) fn text(&self) -> String {
        image_text(&self.report, &self.required)
    }

    /// The failure, where there is a reason to refuse it.
    pub(super) fn conclude(&self, args: &VerifyArgs) -> Result<()> {
        let refusals = || self.report.subjects.iter().filter_map(|one| one.refusal.as_ref());
        let refused_as = |kind: &str| refusals().any(|it| it.kind() == kind);
        match refuse(args, self.is_good()) {
            // cosign, for one, names the repository alone, which default policies of hosts refuse
            // too.
            Err(failure) if refused_as("other-reference") => Err(failure.hinted(
                "--signed-as REPOSITORY takes signatures under any name in that repository",
            )),
            Err(failure) if refused_as("stripped") => Err(match self.report.left_alone() {
                Some(form) => failure.hinted(format!(
                    "some programs that copy images leave one form behind; --require-form {} takes \
                     the one that is there",
                    form.name()
                )),
                None => failure,
            }),
            // cosign 3 makes nothing but bundles.
            Err(failure) if refused_as("name-not-signed") => Err(failure.hinted(
                "without --signed-as the digest alone counts, which is what a bundle signs",
            )),
            result => result,
        }
    }
}

fn refuse(args: &VerifyArgs, good: bool) -> Result<()> {
    if good {
        return Ok(());
    }
    Err(Failure::message(format!("{} is refused: the reasons are above", args.dest)))
}

fn all_met(required: &[Requirement]) -> bool {
    required.iter().all(Requirement::is_met)
}

/// Adds what was required to an answer, where anything was.
fn add(said: &mut Value, required: &[Requirement]) {
    if !required.is_empty() {
        said["required"] = json!(required);
    }
}

fn verdict(good: bool) -> &'static str {
    if good { "good" } else { "refused" }
}

fn image_text(report: &ImageReport, required: &[Requirement]) -> String {
    let verdict = verdict(report.is_good() && all_met(required));
    let mut text = format!("{verdict}: {} {}\n", plain(&report.place), report.image);
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}", plain(&words));
    };
    // Why a subject is refused is among the reasons below.
    for subject in report.subjects.iter().filter(|subject| subject.is_good()) {
        for attestation in &subject.attestations {
            let kind = &attestation.predicate_type;
            line(format!("{} {}: attestation {kind}", subject.name, subject.digest.short()));
        }
        for signature in &subject.signatures {
            let mut words =
                format!("{} {}", verdict_word(signature.verdict), form(signature.scheme));
            if let Some(key) = &signature.key {
                words += &format!(" by {}", &key[..key.len().min(12)]);
            }
            if let Some(signer) = &signature.signer {
                words += &format!(" by {signer}");
            }
            if let Some(name) = &signature.reference {
                words += &format!(" as {name}");
            }
            // That both forms were made is said where one of them is missing.
            let told = signature.annotations.iter().filter(|(name, _)| *name != FORMS_ANNOTATION);
            for (name, value) in told {
                words += &format!(" {name}={value}");
            }
            if let Some(time) = signature.time.and_then(|time| u64::try_from(time).ok()) {
                words += &format!(" at {}", rfc3339(time));
            }
            if let Some(signer) = &signature.signer {
                words.extend(signer.times.iter().map(|time| format!(" at {time}")));
                words.extend(signer.log.iter().map(|record| format!(" logged as {record}")));
            }
            if let Some(reason) = &signature.reason {
                words += &format!(": {reason}");
            }
            line(format!("{} {}: {words}", subject.name, subject.digest.short()));
        }
    }
    for reason in report.reasons() {
        line(reason);
    }
    for requirement in required {
        line(requirement.to_string());
    }
    for warning in &report.warnings {
        line(format!("warning: {warning}"));
    }
    for note in &report.notes {
        line(format!("note: {note}"));
    }
    text
}

/// What the form is called where people choose one.
fn form(scheme: &str) -> &str {
    match scheme {
        simplesigning::NAME => ".sig",
        sigstore_bundle::NAME => "bundle",
        other => other,
    }
}

fn verdict_word(verdict: Judgement) -> &'static str {
    match verdict {
        Judgement::Good => "good",
        Judgement::Unknown => "unknown",
        Judgement::Bad => "bad",
    }
}
