//! Images judged as hosts judge them: `verify --policy`, `verify --as`, `doctor DEST`, and what was
//! just published.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use treelay_signing::{PublicKey, SecretKey};

use super::identity;
use super::verify::{self, Verified};
use crate::cli::args::RegistryArgs;
use crate::cli::failure::Doing as _;
use crate::cli::places::{Images, images};
use crate::cli::plain::plain;
use crate::cli::verify_args::VerifyArgs;
use crate::cli::{Failure, Result, Session};
use crate::dest::{Access, Dest};
use crate::hosts::consumers::{self, Broken, Consumer, Trust};
use crate::hosts::doctor::{Host, Level};
use crate::hosts::policy::{ImageAsked, Outcome, Policy, Unmet};
use crate::hosts::root::{Files, Root};
use crate::hosts::{Reference, published};
use crate::image_store::ImageRef;
use crate::sign::RequiredForm;
use crate::sign::evidence::{self, Evidence, SigTag, Subject};

/// Longest policy that is read, in bytes.
const MAX_POLICY: usize = 4 << 20;

/// `treelay verify --policy FILE` and `--as CONSUMER`.
pub async fn verify(
    session: &Session,
    args: &VerifyArgs,
    dest: &Dest,
    keys: &[PublicKey],
) -> Result<()> {
    if !args.as_consumer.is_empty() && keys.is_empty() {
        return Err(Failure::usage_message("--as needs to know whose signature counts")
            .hinted("give --key PUB"));
    }
    let consumers =
        args.as_consumer.iter().map(|name| consumer(name)).collect::<Result<Vec<_>>>()?;
    let policy = args.policy.as_ref().map(|file| {
        let path = session.around.current_dir.join(file);
        let reading = || format!("reading the policy {}", file.display());
        let text = identity::read(&path, MAX_POLICY).doing(reading)?;
        Policy::parse(&String::from_utf8(text).doing(reading)?).doing(reading)
    });
    let policy = policy.transpose()?;
    let asks = !args.require.is_empty() || args.require_form != RequiredForm::Any || args.blobs;
    if asks && keys.is_empty() {
        let message =
            "--require, --require-form and --blobs verify signatures, and no key is given";
        return Err(Failure::usage_message(message).hinted("give --key PUB"));
    }
    let registries = session.around.registries(args.registry.plain_http);
    let place = images(session, &registries, dest, Access::Read)?;
    let name = name(args, dest)?;
    let evidence = gather(&place, dest, !consumers.is_empty()).await?;
    // A key that only says whom --as trusts is heard there.
    let verified = match asks || policy.is_some() && !keys.is_empty() {
        true => {
            // Of the same image, wherever the tag points by now.
            let image = ImageRef::Digest(evidence.image);
            Some(verify::verify(session, args, dest, &place, &image, keys).await?)
        }
        false => None,
    };

    let mut report = Report::new(&evidence);
    if let Some(policy) = &policy {
        report.policy(policy, &evidence, &name, &session.around.current_dir);
    }
    let trust = Trust { keys, name: Some(&name) };
    for consumer in consumers {
        report.consumer(consumer, &consumer.judge(&evidence, &trust));
    }
    report.good &= verified.as_ref().is_none_or(Verified::is_good);
    if args.json {
        let mut said = report.json(&name);
        if let Some(verified) = &verified {
            said["verified"] = verified.json();
        }
        session.print_json(&said)?;
    } else {
        let verified = verified.as_ref().map(Verified::text).unwrap_or_default();
        session.print(&format!("{verified}{}", report.text))?;
    }
    match report.good {
        true => Ok(()),
        false if verified.as_ref().is_some_and(|it| !it.is_good()) => {
            verified.map_or(Ok(()), |it| it.conclude(args))
        }
        false => Err(Failure::message(format!("{} is refused: the reasons are above", args.dest))),
    }
}

fn consumer(name: &str) -> Result<&'static dyn Consumer> {
    consumers::by_name(name).ok_or_else(|| {
        let known: Vec<_> = consumers::CONSUMERS.iter().map(|it| it.name()).collect();
        Failure::usage_message(format!("there is no consumer {name:?}"))
            .hinted(format!("expected one of {}", known.join(", ")))
    })
}

/// The name by which hosts pull the image.
fn name(args: &VerifyArgs, dest: &Dest) -> Result<Reference> {
    let given = args.signed_as.as_deref().map(str::parse::<Reference>).transpose();
    match (given.map_err(Failure::usage)?, dest) {
        (Some(name), _) => Ok(name),
        (None, Dest::Docker { repository, image }) => Ok(Reference::of(repository, image)),
        (None, _) => {
            Err(Failure::usage_message("a layout does not say what name hosts pull it by")
                .hinted("give --signed-as REPO:TAG"))
        }
    }
}

async fn gather(place: &Images, dest: &Dest, bundles: bool) -> Result<Evidence> {
    evidence::gather(&*place.store, &place.image, bundles)
        .await
        .doing(|| format!("reading {dest} and its signatures"))
}

/// What was decided, for people and for programs.
struct Report {
    good: bool,
    text: String,
    image: String,
    policy: Option<Vec<Value>>,
    consumers: Vec<Value>,
}

impl Report {
    fn new(evidence: &Evidence) -> Self {
        let image = evidence.image.to_string();
        let text = format!("{} {image}\n", plain(&evidence.place));
        Self { good: true, text, image, policy: None, consumers: Vec::new() }
    }

    fn line(&mut self, words: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "  {}", plain(words));
    }

    /// Like a careful host: index and manifests, all of them.
    /// Its keys are read as a host reads them; a path that has no root is below `here`.
    fn policy(&mut self, policy: &Policy, evidence: &Evidence, name: &Reference, here: &Path) {
        let place = policy.lookup(name).place();
        let mut list = Vec::new();
        for subject in &evidence.subjects {
            let reasons = unmet(policy, subject, name, &|path| {
                let path = here.join(path);
                let path = path.to_str().ok_or("the current directory has no name in UTF-8")?;
                Root::new(Path::new("/")).read(path).map_err(|error| error.to_string())
            });
            let short = subject.digest.short();
            let (accepted, unchecked, keys) = match &reasons {
                Ok(outcome) => {
                    (outcome.is_accepted(), outcome.is_unchecked(), outcome.keys.clone())
                }
                Err(_) => (false, false, Vec::new()),
            };
            let texts: Vec<String> = match &reasons {
                Ok(outcome) => outcome.unmet.iter().map(ToString::to_string).collect(),
                Err(reason) => vec![reason.clone()],
            };
            let verdict = match (accepted, unchecked) {
                (true, true) => format!("accepted unsigned: {place} accepts anything"),
                (true, false) => {
                    let by: Vec<_> = keys.iter().map(|key| &key[..key.len().min(12)]).collect();
                    format!("accepted, signed by {}", by.join(" and by "))
                }
                (false, _) => format!("refused by {place}: {}", texts.join("; ")),
            };
            self.line(&format!("policy: {} {short}: {verdict}", subject.name));
            self.good &= accepted;
            list.push(json!({
                "name": subject.name,
                "digest": subject.digest,
                "accepted": accepted,
                "unsigned": unchecked,
                "scope": place,
                "keys": keys,
                "reasons": texts,
            }));
        }
        self.policy = Some(list);
    }

    fn consumer(&mut self, consumer: &dyn Consumer, broken: &[Broken]) {
        let name = consumer.name();
        let accepts = broken.is_empty();
        let verdict = if accepts { "accepts it" } else { "refuses it" };
        self.line(&format!("{name} {verdict} ({})", consumer.about()));
        for Broken { rule, subject, reason } in broken {
            let asks = consumer.rules().iter().find(|known| known.id == *rule);
            let asks = asks.map_or("", |rule| rule.asks);
            self.line(&format!("  {rule}: {subject}: {reason}"));
            self.line(&format!("    it asks: {asks}"));
        }
        self.good &= accepts;
        self.consumers.push(json!({ "name": name, "accepted": accepts, "broken": broken }));
    }

    fn json(&self, name: &Reference) -> Value {
        json!({
            "good": self.good,
            "image": self.image,
            "as": name.to_string(),
            "policy": self.policy,
            "consumers": self.consumers,
        })
    }
}

/// What of a policy a manifest does not meet, or why containers/image does not come so far.
fn unmet(
    policy: &Policy,
    subject: &Subject,
    name: &Reference,
    read: &dyn Fn(&str) -> std::result::Result<Vec<u8>, String>,
) -> std::result::Result<Outcome, String> {
    if let Some(reason) = &subject.unreadable {
        return Err(reason.clone());
    }
    if let SigTag::Unusable(reason) = &subject.sig {
        return Err(reason.clone());
    }
    let attached = subject.sig.attached();
    let asked = ImageAsked { name: Some(name), digest: &subject.digest, attached };
    Ok(policy.evaluate(&asked, read))
}

/// `treelay doctor DEST`: judges an image by the policy, keys and registries.d of a host.
pub async fn examine(
    session: &Session,
    registry: &RegistryArgs,
    files: &Root,
    host: &mut Host,
    dest: &Dest,
    name: &Reference,
) -> Result<()> {
    let Some((path, policy)) = host.policy.clone() else { return Ok(()) };
    let registries = session.around.registries(registry.plain_http);
    let place = images(session, &registries, dest, Access::Read)?;
    let evidence = gather(&place, dest, false).await?;
    let looks = host.looks_beside(name);
    let read = |path: &str| files.read(path).map_err(|error| error.to_string());
    for subject in &evidence.subjects {
        // Where the host does not look for signatures, it finds none.
        let seen = match looks {
            true => subject.clone(),
            false => Subject { sig: SigTag::Absent, ..subject.clone() },
        };
        let sign = format!("treelay sign {dest} --key FILE, with the key that the host trusts");
        let reasons = match unmet(&policy, &seen, name, &read) {
            Ok(outcome) => {
                outcome.unmet.iter().map(|it| (it.to_string(), mend(it, &sign))).collect()
            }
            Err(reason) => vec![(reason, sign)],
        };
        for (reason, mend) in reasons {
            let message = format!("{} of {name} is refused: {reason}", subject.name);
            let mend = match looks {
                true => mend,
                false => "turn use-sigstore-attachments on for it".to_owned(),
            };
            host.add("image-refused", Level::Refused, &path, message, mend);
        }
    }
    Ok(())
}

/// How what a host refuses is mended; `sign` is how it is signed.
fn mend(unmet: &Unmet, sign: &str) -> String {
    match unmet {
        Unmet::OtherKeys { .. } => format!(
            "{sign}; or where the host's key is an old one: treelay host-kit DEST --key PUB --merge \
             FILE --replace"
        ),
        Unmet::OtherName { asked, .. } => format!("{sign}, under the name {asked}"),
        Unmet::Key { .. } => "put the public key there, in PEM".to_owned(),
        Unmet::NoSignature | Unmet::OtherImage(_) | Unmet::Unusable(_) => sign.to_owned(),
        _ => "treelay host-kit DEST --key PUB -o DIR makes a policy that takes what treelay signs"
            .to_owned(),
    }
}

/// Whether hosts take what was just published in a registry and signed as `name`, and cosign 3 as well;
/// nothing is asked of other places. What is there is read again.
///
/// A copy in another repository is signed under the original's name, for hosts whose policy remaps
/// the one to the other, as a kit with `--mirror` has it: so it is judged, and that is said.
///
/// # Errors
/// Which consumer would refuse it, and by which rule.
pub async fn check_published(
    session: &Session,
    dest: &Dest,
    place: &Images,
    name: &str,
    keys: &[SecretKey],
) -> Result<()> {
    let Dest::Docker { repository, .. } = dest else { return Ok(()) };
    // As hosts ask for it: by the tag that was signed, where the place says none.
    let signed = name.parse::<Reference>().ok();
    let image = match (&place.image, signed.as_ref().and_then(|signed| signed.tag.clone())) {
        (ImageRef::Default, Some(tag)) => ImageRef::Tag(tag),
        (image, _) => image.clone(),
    };
    let asked = Reference::of(repository, &image);
    let original = signed.map(|signed| signed.repository).filter(|it| it != repository);
    let judged = match &original {
        Some(original) => Reference { repository: original.clone(), ..asked.clone() },
        None => asked.clone(),
    };
    let keys: Vec<_> = keys.iter().map(|key| key.public().clone()).collect();
    let refused = published::check(&*place.store, &image, &judged, &keys)
        .await
        .doing(|| format!("checking what is published as {asked}"))?;
    if let Some(original) = &original {
        session.reporter.say(&format!(
            "warning: what is signed is {original}: hosts that pull {asked} take it only where their \
             policy remaps {repository} to that (treelay host-kit docker://{original} --mirror \
             {repository} makes one)"
        ));
    }
    let Some(first) = refused.first() else { return Ok(()) };
    let more = match refused.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    Err(Failure::message(format!("{asked} is published, and {first}{more}")).hinted(format!(
        "sign it under the name it is pulled by: treelay sign docker://{asked} --key FILE; treelay \
         verify docker://{asked} --key PUB --as podman-5 --as rpm-ostree --as cosign-3 shows all"
    )))
}
