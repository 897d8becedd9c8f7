//! `treelay verify file:PATH`, `sha256:DIGEST` and `sha512:DIGEST`: signatures of anything, in a bundle
//! beside it.

use std::fmt::Write as _;
use std::io::Read as _;

use serde_json::json;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use treelay_signing::keyless::{
    self, Artifact, KeylessError, Policy, Signed, SignedBy, TimestampError, TrustedRoot,
};
use treelay_signing::schemes::sigstore_bundle::PREDICATE_TYPE;
use treelay_signing::{Bundle, PublicKey, bundle::MAX_BUNDLE};

use super::identity::{self, read};
use crate::cli::failure::Doing as _;
use crate::cli::plain::plain;
use crate::cli::verify_args::{Verifiable, VerifyArgs};
use crate::cli::{Failure, Result, Session, passwords};

/// Longest file that is held whole, which signatures by Ed25519 keys need; of longer ones only the
/// hashes are known.
const MAX_HELD: u64 = 64 * 1024 * 1024;

/// Who must have signed.
enum Trust {
    Keys(Vec<PublicKey>),
    Identity(Policy),
}

pub fn run(session: &Session, args: &VerifyArgs) -> Result<()> {
    let trust = trust(session, args)?;
    let here = &session.around.current_dir;
    let Some(file) = &args.bundle else {
        return Err(Failure::usage_message(format!("{} carries no signature itself", args.dest))
            .hinted("give the bundle that has it: --bundle FILE"));
    };
    let root = identity::trusted_root(session, args)?;
    if let (Trust::Identity(_), None) = (&trust, &root) {
        return Err(identity::no_root());
    }
    let bytes = read(&here.join(file), MAX_BUNDLE)
        .doing(|| format!("reading the bundle {}", file.display()))?;
    let bundle = Bundle::parse(&bytes).doing(|| format!("using the bundle {}", file.display()))?;
    let verdict = with_artifact(session, &args.dest, |artifact| {
        verify(&bundle, artifact, &trust, root.as_ref())
    })?;
    print(session, args, &bundle, root.is_some(), verdict)
}

fn trust(session: &Session, args: &VerifyArgs) -> Result<Trust> {
    match (identity::policy(args)?, args.key.is_empty()) {
        (Some(policy), true) => Ok(Trust::Identity(policy)),
        (None, false) => Ok(Trust::Keys(passwords::public_keys(session, &args.key)?)),
        (None, true) => Err(Failure::usage_message("nothing to verify with")
            .hinted("give --key PUB, or --identity WHO with --issuer URL and --trusted-root FILE")),
        (Some(_), false) => {
            Err(Failure::usage_message("give either --key, or --identity and --issuer"))
        }
    }
}

/// Hands the digests of what is to be verified to `judge`; of a short file the bytes too.
fn with_artifact<T>(
    session: &Session,
    what: &Verifiable,
    judge: impl FnOnce(&Artifact<'_>) -> T,
) -> Result<T> {
    let path = match what {
        Verifiable::Digest(digest) => return Ok(judge(&Artifact::of_sha256(*digest.as_bytes()))),
        Verifiable::Sha512(digest) => return Ok(judge(&Artifact::of_sha512(*digest))),
        Verifiable::File(path) => session.around.current_dir.join(path),
        // Others are verified elsewhere.
        Verifiable::Place(dest) => return Err(Failure::message(format!("{dest} is no file"))),
    };
    let hash = || -> std::io::Result<T> {
        let mut file = std::fs::File::open(&path)?;
        if file.metadata()?.len() <= MAX_HELD {
            let mut bytes = Vec::new();
            file.by_ref().take(MAX_HELD + 1).read_to_end(&mut bytes)?;
            // A file that grows, or a device, goes on below from its beginning.
            if bytes.len() as u64 <= MAX_HELD {
                return Ok(judge(&Artifact::of_bytes(&bytes)));
            }
            file = std::fs::File::open(&path)?;
        }
        let (mut sha256, mut sha384, mut sha512) = (Sha256::new(), Sha384::new(), Sha512::new());
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            sha256.update(&buffer[..read]);
            sha384.update(&buffer[..read]);
            sha512.update(&buffer[..read]);
        }
        let (sha256, sha384, sha512) = (sha256.finalize(), sha384.finalize(), sha512.finalize());
        Ok(judge(&Artifact::of_hashes(sha256.into(), sha384.into(), sha512.into())))
    };
    hash().doing(|| format!("reading {what}"))
}

fn verify(
    bundle: &Bundle,
    artifact: &Artifact<'_>,
    trust: &Trust,
    root: Option<&TrustedRoot>,
) -> std::result::Result<Signed, Vec<KeylessError>> {
    match (trust, root) {
        (Trust::Identity(policy), Some(root)) => {
            keyless::verify(bundle, artifact, root, policy).map_err(|error| vec![error])
        }
        // Asked for before.
        (Trust::Identity(_), None) => Err(Vec::new()),
        (Trust::Keys(keys), root) => {
            let mut reasons = Vec::new();
            for key in keys {
                match keyless::verify_by_key(bundle, artifact, key, root) {
                    Ok(signed) => return Ok(signed),
                    Err(error) if reasons.contains(&error) => {}
                    Err(error) => reasons.push(error),
                }
            }
            Err(reasons)
        }
    }
}

fn print(
    session: &Session,
    args: &VerifyArgs,
    bundle: &Bundle,
    has_root: bool,
    verdict: std::result::Result<Signed, Vec<KeylessError>>,
) -> Result<()> {
    let other_type = verdict.as_ref().ok().and_then(|signed| other_type(args, signed));
    let unchecked = !(has_root || bundle.log_entries.is_empty() && bundle.timestamps.is_empty());
    if args.json {
        let reasons = |reasons: &Vec<KeylessError>| -> Vec<String> {
            reasons.iter().map(ToString::to_string).collect()
        };
        session.print_json(&match &verdict {
            Ok(signed) => match &other_type {
                None => {
                    let kind = attested(signed);
                    json!({ "good": true, "signature": signed, "attestation": kind })
                }
                Some(reason) => json!({ "good": false, "reasons": [reason] }),
            },
            Err(errors) => json!({ "good": false, "reasons": reasons(errors) }),
        })?;
    } else {
        let mut text = String::new();
        // Writing to a String cannot fail.
        match &verdict {
            Ok(signed) => {
                let verdict = if other_type.is_none() { "good" } else { "refused" };
                let _ = writeln!(text, "{verdict}: {}", plain(&args.dest.to_string()));
                for line in other_type.iter().cloned().chain(lines(signed)) {
                    let _ = writeln!(text, "  {}", plain(&line));
                }
                if unchecked {
                    text += "  its log entries and timestamps were not checked: that takes \
                             --trusted-root\n";
                }
            }
            Err(errors) => {
                let _ = writeln!(text, "refused: {}", plain(&args.dest.to_string()));
                for error in errors {
                    let _ = writeln!(text, "  {}", plain(&error.to_string()));
                }
            }
        }
        session.print(&text)?;
    }
    match verdict {
        Ok(_) if other_type.is_none() => Ok(()),
        Ok(_) => Err(Failure::message(format!("{} is refused: the reasons are above", args.dest))),
        Err(errors) => {
            let failure =
                Failure::message(format!("{} is refused: the reasons are above", args.dest));
            Err(match errors.first() {
                Some(
                    KeylessError::UnknownAuthority { .. }
                    | KeylessError::UnknownLog { .. }
                    | KeylessError::LogPeriod { .. }
                    | KeylessError::AuthorityPeriod { .. }
                    | KeylessError::Timestamp(
                        TimestampError::NoSigner | TimestampError::AuthorityPeriod { .. },
                    ),
                ) => failure.hinted(
                    "a trusted root that is too old, or of another instance, does not know them",
                ),
                _ => failure,
            })
        }
    }
}

/// The type of what is said of the file, where that is more than that it is signed.
fn attested(signed: &Signed) -> Option<&str> {
    let kind = signed.statement.as_ref()?.predicate_type.as_str();
    (kind != PREDICATE_TYPE).then_some(kind)
}

/// That it is not an attestation of the type that is asked for.
fn other_type(args: &VerifyArgs, signed: &Signed) -> Option<String> {
    let asked = args.predicate_type.as_ref()?.uri();
    match attested(signed) {
        Some(kind) if kind == asked => None,
        Some(kind) => Some(format!("it is an attestation of type {kind}, not {asked}")),
        None => Some(format!("it is a signature, no attestation of type {asked}")),
    }
}

/// Who signed what, when, in which form.
fn lines(signed: &Signed) -> Vec<String> {
    let mut lines = vec![match attested(signed) {
        None => format!("{} is signed by {}", signed.artifact, signed.by),
        Some(kind) => {
            format!("attestation of type {kind} about {}, signed by {}", signed.artifact, signed.by)
        }
    }];
    if let SignedBy::Identity { certificate, .. } = &signed.by {
        lines.push(format!("with the certificate {certificate}"));
    }
    lines.extend(signed.times.iter().map(|time| format!("at {time}")));
    lines.push(format!("in {}", signed.form));
    lines.extend(signed.log.iter().map(|record| format!("logged as {record}")));
    lines
}
