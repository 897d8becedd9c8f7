//! `treelay verify`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use treelay_recipes::rfc3339;
use treelay_signing::PublicKey;
use treelay_signing::schemes::{sigstore_bundle, simplesigning};

use super::{identity, verify_file};
use crate::attest::{self, Requirement, require_of_commit};
use crate::cli::args::{Verifiable, VerifyArgs};
use crate::cli::failure::Doing as _;
use crate::cli::places::images;
use crate::cli::plain::plain;
use crate::cli::{Failure, Result, Session, passwords};
use crate::dest::{Access, Dest};
use crate::ostree_repo::{CommitSignature, Keyring, Repository, SignatureVerdict, Trust};
use crate::sign::{ImageReport, Judgement, RequiredForm, VerifyOptions, verify_image};

pub async fn run(session: &Session, args: VerifyArgs) -> Result<()> {
    let Verifiable::Place(dest) = args.dest.clone() else {
        return verify_file::run(session, &args);
    };
    if args.bundle.is_some() {
        let message = "--bundle is for files: file:PATH, sha256:DIGEST or sha512:DIGEST";
        return Err(Failure::usage_message(message));
    }
    let as_host = args.policy.is_some() || !args.as_consumer.is_empty();
    let by_identity = [&args.identity, &args.identity_regexp, &args.issuer, &args.issuer_regexp]
        .into_iter()
        .any(Option::is_some);
    let with_root = by_identity || args.trusted_root.is_some();
    if as_host && with_root {
        let message = "--identity, --issuer and --trusted-root are not for --policy and --as";
        return Err(Failure::usage_message(message));
    }
    let for_commits = args.gpg_keyring.is_some() || args.remote.is_some();
    if args.key.is_empty() && !for_commits && !by_identity && !as_host {
        return Err(Failure::usage_message("nothing to verify with").hinted(
            "give --key PUB; or, for images, --identity WHO with --issuer URL and \
                 --trusted-root FILE; or, for commits, --gpg-keyring FILE or --remote NAME",
        ));
    }
    let keys = passwords::public_keys(session, &args.key)?;
    if as_host {
        return super::as_host::verify(session, &args, &dest, &keys).await;
    }
    match dest.under(&session.around.current_dir) {
        Dest::Ostree { .. } if with_root => {
            let message = "--identity, --issuer and --trusted-root are for images and files";
            Err(Failure::usage_message(message))
        }
        Dest::Ostree { repo, reference } => {
            commits(session, &args, &repo, reference.as_deref(), keys)
        }
        Dest::Tree { .. } => {
            Err(Failure::usage_message("a tree carries no signatures: verify the image or commit"))
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
    for (option, given) in [
        ("--gpg-keyring", args.gpg_keyring.is_some()),
        ("--remote", args.remote.is_some()),
        ("--revoked", !args.revoked.is_empty()),
    ] {
        if given {
            return Err(Failure::usage_message(format!("{option} is for commits, not images")));
        }
    }
    let identity = identity::of_image(session, args)?;
    let registries = session.around.registries(args.registry.plain_http);
    let place = images(session, &registries, dest, Access::Read)?;
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
    let report = verify_image(&*place.store, &place.image, keys, &options)
        .await
        .doing(|| format!("verifying {}", args.dest))?;
    // Of what the tag was resolved to, wherever it points by now.
    let required = attest::require(&*place.store, &report.image, &args.require, keys)
        .await
        .doing(|| format!("looking for what {} must have", args.dest))?;
    let good = report.is_good() && all_met(&required);
    if args.json {
        let mut said = json!({ "good": good, "image": report });
        add(&mut said, &required);
        session.print_json(&said)?;
    } else {
        session.print(&image_text(&report, &required))?;
    }
    let refused_as = |kind: &str| {
        report.subjects.iter().filter_map(|one| one.refusal.as_ref()).any(|it| it.kind() == kind)
    };
    match refuse(args, good) {
        // cosign, for one, names the repository alone, which default policies of hosts refuse too.
        Err(failure) if refused_as("other-reference") => Err(failure
            .hinted("--signed-as REPOSITORY takes signatures under any name in that repository")),
        Err(failure) if refused_as("stripped") => Err(match report.left_alone() {
            Some(form) => failure.hinted(format!(
                "some programs that copy images leave one form behind; --require-form {} takes the \
                 one that is there",
                form.name()
            )),
            None => failure,
        }),
        // cosign 3 makes nothing but bundles.
        Err(failure) if refused_as("name-not-signed") => Err(failure
            .hinted("without --signed-as the digest alone counts, which is what a bundle signs")),
        result => result,
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
            for (name, value) in &signature.annotations {
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
