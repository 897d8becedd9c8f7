//! `treelay verify`.

use std::fmt::Write as _;

use serde_json::json;
use treelay_signing::PublicKey;

use crate::cli::args::VerifyArgs;
use crate::cli::failure::Doing as _;
use crate::cli::places::images;
use crate::cli::{Failure, Result, Session, passwords};
use crate::dest::{Access, Dest};
use crate::ostree_repo::{CommitSignature, Repository, SignatureVerdict, Trust};
use crate::sign::{ImageReport, Judgement, Refusal, SubjectReport, VerifyOptions, verify_image};

pub async fn run(session: &Session, args: VerifyArgs) -> Result<()> {
    if args.key.is_empty() && args.gpg_keyring.is_none() {
        return Err(Failure::usage_message("nothing to verify with")
            .hinted("give --key PUB, or --gpg-keyring FILE for commits"));
    }
    let keys = passwords::public_keys(session, &args.key)?;
    match args.dest.under(&session.around.current_dir) {
        Dest::Ostree { repo, reference } => {
            let repository = Repository::open(&repo).doing(|| format!("opening {}", args.dest))?;
            commits(session, &args, &repository, reference.as_deref(), &keys)
        }
        Dest::Tree { .. } => {
            Err(Failure::usage_message("a tree carries no signatures: verify the image or commit"))
        }
        _ => image(session, &args, &keys).await,
    }
}

fn commits(
    session: &Session,
    args: &VerifyArgs,
    repository: &Repository,
    reference: Option<&str>,
    keys: &[PublicKey],
) -> Result<()> {
    let verifying = || format!("verifying {}", args.dest);
    let keyring = args.gpg_keyring.as_ref().map(|file| session.around.current_dir.join(file));
    let mut reports = Vec::new();
    for (name, _) in repository.named(reference).doing(verifying)? {
        let trust = Trust { keys, gpg_keyring: keyring.as_deref() };
        reports.push((
            name.clone(),
            repository.verify_commit(&name, trust, session.jobs).doing(verifying)?,
        ));
    }
    let good = reports.iter().all(|(_, report)| report.is_good());
    if args.json {
        let list: Vec<_> = reports.iter().map(|(_, report)| report).collect();
        session.print_json(&json!({ "good": good, "commits": list }))?;
    } else {
        let mut text = String::new();
        for (name, report) in &reports {
            let verdict = if report.is_good() { "good" } else { "refused" };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{verdict}: {name} {} ({} objects)",
                report.checksum.hex(),
                report.objects
            );
            // The reasons of a refusal speak of every signature; of a good commit, all are shown.
            let good = |signature: &&CommitSignature| signature.verdict == SignatureVerdict::Good;
            for signature in report.signatures.iter().filter(|one| report.is_good() || good(one)) {
                let _ = writeln!(text, "  {signature}");
            }
            for reason in &report.reasons {
                let _ = writeln!(text, "  {reason}");
            }
        }
        session.print(&text)?;
    }
    refuse(args, good)
}

async fn image(session: &Session, args: &VerifyArgs, keys: &[PublicKey]) -> Result<()> {
    if args.gpg_keyring.is_some() {
        return Err(Failure::usage_message("--gpg-keyring is for commits, not images"));
    }
    let registries = session.around.registries(args.registry.plain_http);
    let place = images(session, &registries, &args.dest, Access::Read)?;
    let expected = args.signed_as.as_deref().or(place.reference.as_deref());
    let check_blobs = args.blobs || matches!(args.dest, Dest::Oci { .. });
    let options =
        VerifyOptions { expected_reference: expected, check_blobs, ..VerifyOptions::default() };
    let report = verify_image(&*place.store, &place.image, keys, &options)
        .await
        .doing(|| format!("verifying {}", args.dest))?;
    let good = report.is_good();
    if args.json {
        session.print_json(&json!({ "good": good, "image": report }))?;
    } else {
        session.print(&image_text(&report))?;
    }
    let other_name =
        |subject: &SubjectReport| matches!(subject.refusal, Some(Refusal::OtherReference { .. }));
    match refuse(args, good) {
        // cosign, for one, names the repository alone, which default policies of hosts refuse too.
        Err(failure) if report.subjects.iter().any(other_name) => Err(failure
            .hinted("--signed-as REPOSITORY takes signatures under any name in that repository")),
        result => result,
    }
}

fn refuse(args: &VerifyArgs, good: bool) -> Result<()> {
    if good {
        return Ok(());
    }
    Err(Failure::message(format!("{} is refused: the reasons are above", args.dest)))
}

fn image_text(report: &ImageReport) -> String {
    let verdict = if report.is_good() { "good" } else { "refused" };
    let mut text = format!("{verdict}: {} {}\n", report.place, report.image);
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {words}");
    };
    // Why a subject is refused is among the reasons below.
    for subject in report.subjects.iter().filter(|subject| subject.is_good()) {
        for signature in &subject.signatures {
            let mut words = verdict_word(signature.verdict).to_owned();
            if let Some(key) = &signature.key {
                words += &format!(" by {}", &key[..key.len().min(12)]);
            }
            if let Some(name) = &signature.reference {
                words += &format!(" as {name}");
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
    for warning in &report.warnings {
        line(format!("warning: {warning}"));
    }
    text
}

fn verdict_word(verdict: Judgement) -> &'static str {
    match verdict {
        Judgement::Good => "good",
        Judgement::Unknown => "unknown",
        Judgement::Bad => "bad",
    }
}
