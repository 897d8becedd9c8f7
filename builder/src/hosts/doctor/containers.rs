//! The policies and registries.d of a host.

use super::requirements::{self, Trust, signs};
use super::{Host, Level, System, why};
use crate::hosts::Reference;
use crate::hosts::merge::told;
use crate::hosts::policy::{Found, Policy, Requirement, TRANSPORTS, above};
use crate::hosts::registries_d::RegistriesD;
use crate::hosts::root::Files;

/// The policy of the host.
pub(super) const POLICY: &str = "/etc/containers/policy.json";
/// Its settings of where signatures are.
pub(super) const REGISTRIES_D: &str = "/etc/containers/registries.d";

pub(super) fn examine(
    host: &mut Host,
    files: &dyn Files,
    home: Option<&str>,
    images: &[Reference],
) {
    settings(host, files, home);
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
    let registries_d = host.registries_d.clone();
    let trust = Trust { path: &path, policy: &policy, registries_d: registries_d.as_ref() };
    scopes(host, files, &trust);
    if path == POLICY {
        host.system.policy = Some(policy.clone());
    }
    for image in images {
        covered(host, files, &trust, image);
    }
    host.policy = Some((path, policy));
}

/// Everything that a policy says, by the one check that images and deployments go through too.
fn scopes(host: &mut Host, files: &dyn Files, trust: &Trust<'_>) {
    let policy = trust.policy;
    for transport in policy.transports.iter().filter(|it| it.name != "docker") {
        for (scope, requirements) in &transport.scopes {
            let place = format!("{}: {} {scope:?}", trust.path, transport.name);
            requirements::usable(host, files, &place, None, requirements);
        }
    }
    let scopes = policy.scopes("docker");
    for (scope, requirements) in scopes {
        scope_form(host, trust.path, scope);
        match above(scope) {
            Some(names) => {
                requirements::check(host, files, trust, &names);
                shadows(host, trust, scope, requirements, &names);
            }
            None => {
                let place = format!("{}: {scope}", trust.path);
                requirements::usable(host, files, &place, None, requirements);
            }
        }
    }
    // Where no scope is, the default holds for registries too.
    match scopes.iter().any(|(scope, _)| scope.is_empty()) {
        true => {
            let place = format!("{}: default", trust.path);
            requirements::usable(host, files, &place, None, &policy.default);
        }
        false => drop(requirements::check(host, files, trust, &[])),
    }
    // Scopes of registries.d may turn off what is asked for around them.
    for scope in trust.registries_d.iter().flat_map(|settings| settings.scopes()) {
        if let Some(names) = above(scope) {
            requirements::check(host, files, trust, &names);
        }
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
        host.system.policy = Some(policy);
    }
    own
}

/// The user's directory counts alone where it is there, even if it is empty
/// (`docker/registries_d.go`, `registriesDirPathWithHomeDir`).
fn settings(host: &mut Host, files: &dyn Files, home: Option<&str>) {
    let own = home.map(|home| format!("{home}/.config/containers/registries.d"));
    let system = read_settings(host, files, REGISTRIES_D);
    host.registries_d = match own.filter(|own| files.exists(own)) {
        Some(own) => {
            host.add(
                "user-registries-d",
                Level::Note,
                &own,
                format!("podman and skopeo of this user obey it instead of {REGISTRIES_D}"),
                "",
            );
            read_settings(host, files, &own)
        }
        None => system.clone(),
    };
    host.system = System { policy: None, registries_d: system };
}

fn read_settings(host: &mut Host, files: &dyn Files, folder: &str) -> Option<RegistriesD> {
    let refused = |host: &mut Host, place: &str, error: &std::io::Error| {
        host.add("registries-d", Level::Refused, place, why(error), "");
    };
    let names = match files.list(folder) {
        Ok(names) => names,
        Err(error) => {
            refused(host, folder, &error);
            return None;
        }
    };
    let mut texts = Vec::new();
    for name in names.into_iter().filter(|name| name.ends_with(".yaml")) {
        let path = format!("{folder}/{name}");
        match files.text(&path) {
            Ok(text) => texts.push((path, text)),
            Err(error) => {
                refused(host, &path, &error);
                return None;
            }
        }
    }
    let pairs = texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    match RegistriesD::parse(pairs) {
        Ok(settings) => Some(settings),
        Err(error) => {
            let message = format!("{error}: containers tools fetch nothing from any registry");
            let mend = "keep one of them; a scope may be in one file only";
            host.add("registries-d", Level::Refused, folder, message, mend);
            None
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
        if TRANSPORTS.contains(&transport.name.as_str()) {
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

/// What accepts anything inside a scope, or a default, that asks for signatures.
fn shadows(
    host: &mut Host,
    trust: &Trust<'_>,
    inner: &str,
    requirements: &[Requirement],
    names: &[String],
) {
    if requirements.iter().any(|it| *it != Requirement::AcceptAnything) {
        return;
    }
    let mut around = (1..=names.len()).map(|above| names.get(above..).unwrap_or_default());
    let mut outer = around.find_map(|names| {
        let found = trust.policy.lookup_in("docker", names);
        (found.scope != Some(inner) && signs(found.requirements)).then_some(found)
    });
    // Beyond the default of registries is that of the whole policy.
    if outer.is_none() && signs(&trust.policy.default) {
        outer = Some(Found { scope: None, requirements: &trust.policy.default });
    }
    let Some(outer) = outer else { return };
    let message = format!(
        "{inner:?} accepts anything, and holds there instead of the signature that {} asks for",
        outer.place()
    );
    let mend = format!("take {inner:?} out of transports.docker");
    host.add("scope-shadowed", Level::Insecure, trust.path, message, mend);
}

/// Whether an image must be signed at all, and whether it can be taken.
fn covered(host: &mut Host, files: &dyn Files, trust: &Trust<'_>, image: &Reference) {
    let found = requirements::check_image(host, files, trust, image);
    let (path, place) = (trust.path, found.place());
    let mend =
        || format!("treelay host-kit docker://{} --key PUB --merge {path}", image.repository);
    if found.requirements.contains(&Requirement::Reject) {
        let message = format!("{place} rejects {image}");
        host.add("image-rejected", Level::Refused, path, message, mend());
    } else if found.requirements.iter().all(|it| *it == Requirement::AcceptAnything) {
        let message =
            format!("{image} is taken unsigned: {place} has {}", told(found.requirements));
        host.add("image-unsigned", Level::Insecure, path, message, mend());
    }
}

#[cfg(test)]
mod tests;
