//! The policy and registries.d of a host.

use super::{Host, Level, why};
use crate::hosts::Reference;
use crate::hosts::merge::told;
use crate::hosts::policy::{Identity, Policy, Requirement, Signer, SigstoreSigned, Source};
use crate::hosts::registries_d::RegistriesD;
use crate::hosts::root::Files;
use crate::image_store::Repository;

/// The policy of the host.
pub(super) const POLICY: &str = "/etc/containers/policy.json";
const REGISTRIES_D: &str = "/etc/containers/registries.d";

/// Transports that containers/image knows (`transports/alltransports`).
const KNOWN: [&str; 11] = [
    "atomic",
    "containers-storage",
    "dir",
    "docker",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "ostree",
    "sif",
    "tarball",
];

pub(super) fn examine(
    host: &mut Host,
    files: &dyn Files,
    home: Option<&str>,
    images: &[Reference],
) {
    registries_d(host, files, home);
    let path = policy_path(host, files, home);
    let text = match files.text(&path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("{}: nothing can be pulled without a policy", why(&error));
            let mend = "install a kit: treelay host-kit DEST --key PUB -o DIR, then its install.sh";
            return host.add("policy-missing", Level::Refused, path, message, mend);
        }
    };
    let policy = match Policy::parse(&text) {
        Ok(policy) => policy,
        Err(error) => {
            let message = format!("{error}: containers tools refuse every image");
            let mend =
                "mend that line; JSON has no comments, and no name may be unknown or doubled";
            return host.add("policy-malformed", Level::Refused, path, message, mend);
        }
    };
    default(host, &path, &policy);
    transports(host, &path, &policy);
    let scopes = policy.scopes("docker");
    for (scope, requirements) in scopes {
        scope_form(host, &path, scope);
        if signs(requirements) {
            shadows(host, &path, scopes, scope);
        }
        for requirement in requirements {
            requirement_in(host, files, &path, scope, requirement);
        }
    }
    host.policy = Some((path, policy));
    for image in images {
        covered(host, image);
    }
}

fn policy_path(host: &mut Host, files: &dyn Files, home: Option<&str>) -> String {
    let own = home.map(|home| format!("{home}/.config/containers/policy.json"));
    let Some(own) = own.filter(|own| files.exists(own)) else { return POLICY.to_owned() };
    host.add(
        "user-policy",
        Level::Note,
        &own,
        format!("podman and skopeo of this user obey it instead of {POLICY}; rpm-ostree does not"),
        "",
    );
    // rpm-ostree and bootc look at the default of this file alone.
    if let Ok(policy) =
        files.text(POLICY).map_err(|_| ()).and_then(|text| Policy::parse(&text).map_err(|_| ()))
    {
        default(host, POLICY, &policy);
    }
    own
}

fn registries_d(host: &mut Host, files: &dyn Files, home: Option<&str>) {
    let own = home.map(|home| format!("{home}/.config/containers/registries.d"));
    let own = own.filter(|own| files.list(own).is_ok_and(|names| !names.is_empty()));
    let folder = own.unwrap_or_else(|| REGISTRIES_D.to_owned());
    let names = match files.list(&folder) {
        Ok(names) => names,
        Err(error) => {
            return host.add("registries-d", Level::Refused, folder, why(&error), "");
        }
    };
    let mut texts = Vec::new();
    for name in names.into_iter().filter(|name| name.ends_with(".yaml")) {
        let path = format!("{folder}/{name}");
        match files.text(&path) {
            Ok(text) => texts.push((path, text)),
            Err(error) => {
                return host.add("registries-d", Level::Refused, path, why(&error), "");
            }
        }
    }
    let pairs = texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    match RegistriesD::parse(pairs) {
        Ok(settings) => host.registries_d = Some(settings),
        Err(error) => {
            let message = format!("{error}: containers tools fetch nothing from any registry");
            let mend = "keep one of them; a scope may be in one file only";
            host.add("registries-d", Level::Refused, folder, message, mend);
        }
    }
}

fn default(host: &mut Host, path: &str, policy: &Policy) {
    if policy.default == [Requirement::AcceptAnything] {
        host.add(
            "insecure-default",
            Level::Insecure,
            path,
            "the default is insecureAcceptAnything: what no scope covers is taken unsigned, and \
             ostree-image-signed: refuses every image",
            "treelay host-kit DEST --key PUB --merge FILE --secure-default makes it reject, and keeps \
             what each transport accepts",
        );
    }
}

fn transports(host: &mut Host, path: &str, policy: &Policy) {
    for transport in &policy.transports {
        if KNOWN.contains(&transport.name.as_str()) {
            continue;
        }
        let (name, mend) = match transport.name.as_str() {
            "registry" | "docker://" | "https" => {
                (&transport.name, "images of registries are docker")
            }
            _ => (&transport.name, "take it out, or correct its name"),
        };
        let message = format!("there is no transport {name:?}: nothing in it ever holds");
        host.add("unknown-transport", Level::Note, path, message, mend);
    }
}

/// A scope that is written in a way in which it never covers an image.
fn scope_form(host: &mut Host, path: &str, scope: &str) {
    if scope.is_empty() || scope.starts_with("*.") && !scope[2..].contains(['*', '/', ':']) {
        return;
    }
    let name = if scope.contains('/') { scope.to_owned() } else { format!("{scope}/x") };
    let full = name.parse::<Reference>().map(|name| name.to_string());
    let looks = |host: &str| host.contains(['.', ':']) || host == "localhost";
    let first = scope.split('/').next().unwrap_or_default();
    if full.as_ref().is_ok_and(|full| *full == name) && looks(first) {
        return;
    }
    let mend = match scope.parse::<Reference>() {
        Ok(full) => format!("write it in full: {full}"),
        Err(_) => "write HOST[:PORT][/NAME…][:TAG], in lower case and without docker://".to_owned(),
    };
    let message = format!("the scope {scope:?} covers no image: names are compared in full");
    host.add("scope-form", Level::Refused, path, message, mend);
}

fn signs(requirements: &[Requirement]) -> bool {
    requirements.iter().any(|it| matches!(it, Requirement::Sigstore(_)))
}

/// Scopes inside a signed one that lift what it asks for.
fn shadows(host: &mut Host, path: &str, scopes: &[(String, Vec<Requirement>)], scope: &str) {
    for (inner, requirements) in scopes {
        let below = inner.strip_prefix(scope).is_some_and(|rest| {
            scope.is_empty() && !rest.is_empty()
                || rest.starts_with(['/', '@'])
                || (rest.starts_with(':') && scope.contains('/'))
        });
        if below && requirements.iter().all(|it| *it == Requirement::AcceptAnything) {
            let message = format!(
                "{inner} accepts anything, and holds there instead of the signature that \
                 {scope:?} asks for"
            );
            let mend = format!("take {inner:?} out of transports.docker");
            host.add("scope-shadowed", Level::Insecure, path, message, mend);
        }
    }
}

fn requirement_in(
    host: &mut Host,
    files: &dyn Files,
    path: &str,
    scope: &str,
    requirement: &Requirement,
) {
    let place = format!("{path}: {scope}");
    match requirement {
        Requirement::Sigstore(signed) => sigstore(host, files, &place, scope, signed),
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
                    host.add("key-missing", Level::Refused, &place, message, "put it there");
                }
            }
        }
        Requirement::AcceptAnything | Requirement::Reject => {}
    }
}

fn sigstore(host: &mut Host, files: &dyn Files, place: &str, scope: &str, signed: &SigstoreSigned) {
    keys(host, files, place, signed);
    attachments(host, place, scope);
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
        Identity::RemapIdentity { prefix, .. } if scope != prefix && !is_within(scope, prefix) => {
            host.add(
                "identity-remap",
                Level::Refused,
                place,
                format!("remapIdentity replaces {prefix:?}, with which no name in {scope} begins"),
                format!("make its prefix {scope:?}"),
            );
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

fn is_within(scope: &str, prefix: &str) -> bool {
    scope.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['/', ':', '@']))
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
fn attachments(host: &mut Host, place: &str, scope: &str) {
    let Some(settings) = &host.registries_d else { return };
    // Any image of the scope will do.
    let name = match scope.strip_prefix("*.") {
        Some(domain) => format!("any.{domain}/x:x"),
        None if scope.is_empty() => return,
        None if !scope.contains('/') => format!("{scope}/x:x"),
        None => match scope.parse::<Reference>() {
            Ok(reference) if reference.is_name_only() => format!("{scope}:x"),
            _ => scope.to_owned(),
        },
    };
    let Ok(image) = name.parse::<Reference>() else { return };
    let setting = settings.attachments(&image);
    if setting.is_some_and(|setting| setting.value) {
        return;
    }
    let message = match setting {
        Some(off) => format!(
            "{} turns use-sigstore-attachments off for {}: no signature is looked for, and every \
             image is refused",
            off.file, off.scope
        ),
        None => {
            "use-sigstore-attachments is off, as it is where nobody turns it on: no signature is \
                 looked for, and every image is refused"
                .to_owned()
        }
    };
    let mend = format!(
        "in {REGISTRIES_D}/NAME.yaml: docker: {{\"{scope}\": {{use-sigstore-attachments: true}}}}"
    );
    host.add("attachments-off", Level::Refused, place, message, mend);
}

/// Whether an image must be signed at all.
fn covered(host: &mut Host, image: &Reference) {
    let Some((path, policy)) = &host.policy else { return };
    let found = policy.lookup(image);
    let (place, path) = (found.place(), path.clone());
    let (asks, rejects) = (
        found.requirements.iter().any(|it| *it != Requirement::AcceptAnything),
        found.requirements.contains(&Requirement::Reject),
    );
    let told = told(found.requirements);
    let repository: &Repository = &image.repository;
    let mend = format!("treelay host-kit docker://{repository} --key PUB --merge {path}");
    if rejects {
        let message = format!("{place} rejects {image}");
        host.add("image-rejected", Level::Refused, path, message, mend);
    } else if !asks {
        let message = format!("{image} is taken unsigned: {place} has {told}");
        host.add("image-unsigned", Level::Insecure, path, message, mend);
    }
}

#[cfg(test)]
mod tests;
