//! The one check of what a policy asks for: whether its keys can be used, whether signatures are
//! looked for, whether the names can ever fit. Scopes, images and deployments all go through it.

use super::containers::REGISTRIES_D;
use super::{Host, Level, why};
use crate::hosts::Reference;
use crate::hosts::policy::{
    Found, Identity, Policy, Requirement, Signer, SigstoreSigned, Source, above, namespaces,
};
use crate::hosts::registries_d::RegistriesD;
use crate::hosts::root::Files;

/// The files that hold together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust<'a> {
    /// Of the policy.
    pub path: &'a str,
    /// It.
    pub policy: &'a Policy,
    /// Where signatures are looked for; [`None`] where the files do not go together, which is told.
    pub registries_d: Option<&'a RegistriesD>,
}

/// Looks at what holds for images of a registry that these scopes cover, from the most specific to
/// the least; returns it.
pub(super) fn check<'a>(
    host: &mut Host,
    files: &dyn Files,
    trust: &Trust<'a>,
    names: &[String],
) -> Found<'a> {
    let found = trust.policy.lookup_in("docker", names);
    let place = match found.scope {
        None => format!("{}: default", trust.path),
        Some("") => format!("{}: docker \"\"", trust.path),
        Some(scope) => format!("{}: {scope}", trust.path),
    };
    usable(host, files, &place, found.scope, found.requirements);
    let beside = found.requirements.iter().any(|it| matches!(it, Requirement::Sigstore(_)));
    if let Some(settings) = trust.registries_d.filter(|_| beside) {
        attachments(host, settings, &place, &found, names);
    }
    found
}

/// The same for an image.
pub(super) fn check_image<'a>(
    host: &mut Host,
    files: &dyn Files,
    trust: &Trust<'a>,
    image: &Reference,
) -> Found<'a> {
    check(host, files, trust, &namespaces(image))
}

/// Whether a signature is asked for, of whatever kind.
pub(super) fn signs(requirements: &[Requirement]) -> bool {
    let asks =
        |it: &Requirement| matches!(it, Requirement::Sigstore(_) | Requirement::SignedBy { .. });
    requirements.iter().any(asks)
}

/// Whether requirements can be met at all: their keys, and the names of a `scope` of registries.
pub(super) fn usable(
    host: &mut Host,
    files: &dyn Files,
    place: &str,
    scope: Option<&str>,
    requirements: &[Requirement],
) {
    for requirement in requirements {
        requirement_in(host, files, place, scope, requirement);
    }
}

fn requirement_in(
    host: &mut Host,
    files: &dyn Files,
    place: &str,
    scope: Option<&str>,
    requirement: &Requirement,
) {
    match requirement {
        Requirement::Sigstore(signed) => sigstore(host, files, place, scope, signed),
        Requirement::SignedBaseLayer { .. } => host.add(
            "base-layer",
            Level::Refused,
            place,
            "signedBaseLayer is met by no image",
            "take it out",
        ),
        Requirement::SignedBy { keys, .. } => {
            for key in keys.paths() {
                if let Err(error) = files.read(key) {
                    let message = format!("the keyring {key}: {}", why(&error));
                    host.add("key-missing", Level::Refused, place, message, "put it there");
                }
            }
        }
        Requirement::AcceptAnything | Requirement::Reject => {}
    }
}

fn sigstore(
    host: &mut Host,
    files: &dyn Files,
    place: &str,
    scope: Option<&str>,
    signed: &SigstoreSigned,
) {
    keys(host, files, place, signed);
    match &signed.identity {
        Identity::MatchRepository => host.add(
            "identity-wide",
            Level::Note,
            place,
            "matchRepository takes any signed image of the repository for any tag: an old one can be \
             served as a new one. cosign's own signatures need it; treelay's carry the tag",
            "treelay host-kit DEST --key PUB --merge FILE takes it out where treelay signs",
        ),
        Identity::MatchExact => host.add(
            "identity-exact",
            Level::Note,
            place,
            "matchExact refuses images that are asked for by digest, as bootc and rpm-ostree may do",
            "take signedIdentity out: matchRepoDigestOrExact holds then",
        ),
        Identity::RemapIdentity { prefix, .. } => {
            if let Some(scope) = scope.filter(|scope| !meet(scope, prefix)) {
                let message =
                    format!("remapIdentity replaces {prefix:?}, with which no name in {scope} begins");
                let mend = format!("make its prefix {scope:?}");
                host.add("identity-remap", Level::Refused, place, message, mend);
            }
        }
        Identity::ExactRepository(name) | Identity::ExactReference(name) => host.add(
            "identity-fixed",
            Level::Note,
            place,
            format!("every image of the scope must be signed as {name}"),
            "",
        ),
        _ => {}
    }
}

/// Whether names of a scope begin with a prefix: one is inside the other.
fn meet(scope: &str, prefix: &str) -> bool {
    let inside = |one: &str, other: &str| {
        other.is_empty() || above(one).is_some_and(|names| names.iter().any(|name| name == other))
    };
    inside(scope, prefix) || inside(prefix, scope)
}

fn keys(host: &mut Host, files: &dyn Files, place: &str, signed: &SigstoreSigned) {
    if signed.rekor.is_some() {
        host.add(
            "needs-log",
            Level::Refused,
            place,
            "an entry in a transparency log is required (rekorPublicKey…), which treelay's signatures \
             have not",
            "take rekorPublicKey… out, where treelay signs",
        );
    }
    let newer = |host: &mut Host, member: &str, since: &str| {
        let message =
            format!("{member} is understood by {since} and newer; older ones refuse every image");
        host.add(
            "newer-form",
            Level::Note,
            place,
            message,
            "keyPath is what all of them understand",
        );
    };
    match &signed.signer {
        Signer::Keys(source) => {
            if matches!(source, Source::Paths(_) | Source::Datas(_)) {
                let member = format!("key{}", source.ending());
                newer(host, &member, "containers/image 5.33 (podman 5.3, skopeo 1.17)");
            }
            let read = |path: &str| files.read(path).map_err(|error| why(&error));
            if let Err(unmet) = source.keys(&read) {
                let missing = source.paths().iter().any(|path| !files.exists(path));
                let id = if missing { "key-missing" } else { "key-unreadable" };
                let message = format!("{unmet}: no signature counts");
                let mend =
                    "put the public key there: PEM, as treelay key generate and cosign write it";
                host.add(id, Level::Refused, place, message, mend);
            }
        }
        Signer::Fulcio { .. } => {
            newer(host, "fulcio", "containers/image 5.24 (podman 4.4, skopeo 1.11)");
        }
        Signer::Pki { .. } => newer(host, "pki", "containers/image 5.35 (podman 5.5, skopeo 1.19)"),
    }
}

/// Whether signatures are looked for at all.
fn attachments(
    host: &mut Host,
    settings: &RegistriesD,
    place: &str,
    found: &Found<'_>,
    names: &[String],
) {
    let (message, mend) = match settings.attachments_in(names) {
        Some(setting) if setting.value => return,
        Some(off) => (
            format!(
                "{} turns use-sigstore-attachments off for {}: no signature is looked for, and \
                 every image is refused",
                off.file, off.scope
            ),
            format!("set use-sigstore-attachments: true for {} there", off.scope),
        ),
        None => {
            // As lines, which is the form that a kit's install.sh reads.
            let section = match found.scope {
                None | Some("") => "default-docker:\n      ".to_owned(),
                Some(scope) => format!("docker:\n      \"{scope}\":\n        "),
            };
            (
                "use-sigstore-attachments is off, as it is where nobody turns it on: no signature \
                 is looked for, and every image is refused"
                    .to_owned(),
                format!(
                    "in {REGISTRIES_D}/NAME.yaml:\n    {section}use-sigstore-attachments: true"
                ),
            )
        }
    };
    host.add("attachments-off", Level::Refused, place, message, mend);
}
