//! The OSTree remotes of a host, and what its deployments come from.

use std::collections::BTreeMap;

use treelay_signing::KeyList;

use super::containers::POLICY;
use super::requirements::{self, Trust};
use super::{Host, Level, System, why};
use crate::hosts::Reference;
use crate::hosts::keyfile::KeyFile;
use crate::hosts::merge::told;
use crate::hosts::policy::Requirement;
use crate::hosts::root::Files;

const REMOTES: &str = "/etc/ostree/remotes.d";
const REPOS: [&str; 2] = ["/ostree/repo", "/sysroot/ostree/repo"];
const DEPLOYMENTS: [&str; 2] = ["/ostree/deploy", "/sysroot/ostree/deploy"];

/// A remote, and whether its commits are checked.
struct Remote {
    place: String,
    checked: bool,
}

pub(super) fn examine(host: &mut Host, files: &dyn Files) {
    let mut remotes = BTreeMap::new();
    let names = files.list(REMOTES).unwrap_or_default();
    let of_host = names.iter().filter(|name| name.ends_with(".conf"));
    let configs = of_host.map(|name| format!("{REMOTES}/{name}"));
    for path in configs.chain(REPOS.map(|repo| format!("{repo}/config"))) {
        let text = match files.text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                host.add("remote-malformed", Level::Refused, path, why(&error), "");
                continue;
            }
        };
        match KeyFile::parse(&text) {
            Ok(file) => remotes_of(host, files, &path, &file, &mut remotes),
            Err(error) => {
                host.add("remote-malformed", Level::Refused, path, error, "mend that line")
            }
        }
    }
    for folder in DEPLOYMENTS {
        for stateroot in files.list(folder).unwrap_or_default() {
            let deploy = format!("{folder}/{stateroot}/deploy");
            let names = files.list(&deploy).unwrap_or_default();
            for name in names.into_iter().filter(|name| name.ends_with(".origin")) {
                let path = format!("{deploy}/{name}");
                if let Ok(Ok(file)) = files.text(&path).map(|text| KeyFile::parse(&text)) {
                    origin(host, files, &path, &file, &remotes);
                }
            }
        }
    }
}

fn remotes_of(
    host: &mut Host,
    files: &dyn Files,
    path: &str,
    config: &KeyFile,
    remotes: &mut BTreeMap<String, Remote>,
) {
    for group in config.names() {
        let name = group.strip_prefix("remote \"").and_then(|name| name.strip_suffix('"'));
        let Some(name) = name else { continue };
        let place = format!("{path}: remote {name}");
        let is_on = |value: &str| !matches!(value, "false" | "0");
        // On where nothing is said (ostree.repo-config(5)).
        let gpg = config.get(group, "gpg-verify").is_none_or(is_on);
        let sign =
            config.get(group, "sign-verify").filter(|value| is_on(value) && !value.is_empty());
        if !gpg && sign.is_none() {
            host.add(
                "remote-unsigned",
                Level::Insecure,
                &place,
                "gpg-verify is off, and so is sign-verify: any commit is taken",
                "treelay host-kit ostree:REPO --ostree-url URL --key PUB -o DIR makes one that checks",
            );
        }
        if gpg {
            gpg_keys(host, files, &place, name, config.get(group, "gpgkeypath"));
        }
        if let Some(engines) = sign {
            keys(host, files, &place, config, group, engines);
        }
        if config.get(group, "url").is_none_or(str::is_empty)
            && config.get(group, "metalink").is_none()
        {
            host.add("remote-malformed", Level::Refused, &place, "it has no url", "add url=…");
        }
        let checked = gpg || sign.is_some();
        remotes.insert(name.to_owned(), Remote { place, checked });
    }
}

fn gpg_keys(host: &mut Host, files: &dyn Files, place: &str, name: &str, paths: Option<&str>) {
    let file = format!("{name}.trustedkeys.gpg");
    let own = [REMOTES, REPOS[0], REPOS[1]].map(|folder| format!("{folder}/{file}"));
    let paths = paths.unwrap_or_default().split([';', ',']);
    let named: Vec<&str> = paths.map(str::trim).filter(|path| !path.is_empty()).collect();
    let there = |path: &str| files.exists(path) || files.list(path).is_ok_and(|it| !it.is_empty());
    let global = files.list("/usr/share/ostree/trusted.gpg.d").unwrap_or_default();
    let found = own.iter().any(|path| files.exists(path))
        || named.iter().any(|path| there(path))
        || global.iter().any(|name| name.ends_with(".gpg"));
    if !found {
        host.add(
            "remote-keyless",
            Level::Refused,
            place,
            "gpg-verify is on, and there is no GPG key: every commit is refused",
            format!("put the keyring (gpg --export) into {REMOTES}/{file}"),
        );
    }
    for path in named.iter().filter(|path| !there(path)) {
        let message = format!("gpgkeypath names {path}, which is not there");
        host.add("remote-keyless", Level::Refused, place, message, "put the keys there");
    }
}

fn keys(
    host: &mut Host,
    files: &dyn Files,
    place: &str,
    config: &KeyFile,
    group: &str,
    engines: &str,
) {
    let known = [("ed25519", KeyList::Ed25519), ("spki", KeyList::Spki)];
    let all = matches!(engines, "true" | "1");
    let asked: Vec<&str> = engines.split(';').map(str::trim).filter(|it| !it.is_empty()).collect();
    if let Some(odd) = asked.iter().find(|it| !all && known.iter().all(|(name, _)| name != *it)) {
        let message = format!("sign-verify asks for {odd:?}: expected true, ed25519 or spki");
        host.add("remote-malformed", Level::Refused, place, message, "correct sign-verify");
    }
    let mut usable = 0;
    for (engine, list) in known {
        if !all && !asked.contains(&engine) {
            continue;
        }
        let key = config.get(group, &format!("verification-{engine}-key"));
        let file = config.get(group, &format!("verification-{engine}-file"));
        usable += usize::from(key.is_some());
        if let Some(path) = file {
            let read = files.read(path).map_err(|error| why(&error));
            match read.and_then(|bytes| list.parse(&bytes).map_err(|error| error.to_string())) {
                Ok(keys) if keys.is_empty() => {
                    let message = format!("there is no key in {path}");
                    host.add("remote-keyless", Level::Refused, place, message, "put one there");
                }
                Ok(_) => usable += 1,
                Err(reason) => {
                    let message = format!("the keys {path}: {reason}");
                    host.add("remote-keyless", Level::Refused, place, message, "put the key there");
                }
            }
        }
        if key.is_none() && file.is_none() {
            let folders = ["/etc/ostree", "/usr/share/ostree"];
            usable += usize::from(folders.iter().any(|folder| {
                let names = files.list(folder).unwrap_or_default();
                names.iter().any(|name| name.starts_with(&format!("trusted.{engine}")))
            }));
        }
        if engine == "spki" && asked == ["spki"] {
            host.add(
                "remote-spki",
                Level::Note,
                place,
                "keys of this kind (spki) are checked by ostree 2025.2 and newer with OpenSSL alone",
                "",
            );
        }
    }
    if usable == 0 {
        let message = "sign-verify is on, and there is no key: every commit is refused";
        let mend = "verification-ed25519-file=FILE, with lines of base64";
        host.add("remote-keyless", Level::Refused, place, message, mend);
    }
}

/// What a deployment comes from (ostree-ext, `container/mod.rs`, `OstreeImageReference`).
fn origin(
    host: &mut Host,
    files: &dyn Files,
    path: &str,
    file: &KeyFile,
    remotes: &BTreeMap<String, Remote>,
) {
    if let Some(image) = file.get("origin", "container-image-reference") {
        return image_origin(host, files, path, image, remotes);
    }
    let refspec = file.get("origin", "refspec").or_else(|| file.get("origin", "baserefspec"));
    let Some((remote, _)) = refspec.and_then(|refspec| refspec.split_once(':')) else { return };
    remote_of(host, path, remote, remotes);
}

fn remote_of(host: &mut Host, path: &str, name: &str, remotes: &BTreeMap<String, Remote>) {
    match remotes.get(name) {
        None => host.add(
            "origin-remote",
            Level::Refused,
            path,
            format!("it comes from the remote {name}, which is not configured"),
            format!("put its configuration into {REMOTES}/{name}.conf"),
        ),
        Some(remote) if !remote.checked => host.add(
            "origin-unverified",
            Level::Insecure,
            path,
            format!("it comes from a remote whose commits are not checked ({})", remote.place),
            "give that remote keys",
        ),
        Some(_) => {}
    }
}

fn image_origin(
    host: &mut Host,
    files: &dyn Files,
    path: &str,
    image: &str,
    remotes: &BTreeMap<String, Remote>,
) {
    let (form, rest) = image.split_once(':').unwrap_or((image, ""));
    let of_registry = |rest: &str| {
        let name = rest.strip_prefix("docker://").or_else(|| rest.strip_prefix("registry:"));
        name.map(str::to_owned)
    };
    let name = match form {
        "ostree-unverified-registry" => Some(rest.to_owned()),
        "ostree-unverified-image" | "ostree-image-signed" => of_registry(rest),
        "ostree-remote-registry" | "ostree-remote-image" => {
            let remote = rest.split(':').next().unwrap_or_default();
            remote_of(host, path, remote, remotes);
            host.add(
                "origin-remote-form",
                Level::Note,
                path,
                format!(
                    "{form} checks the commit inside the image by the remote {remote}, not what \
                     layers lie over it"
                ),
                "ostree-image-signed: checks the whole image",
            );
            return;
        }
        _ => {
            let message = format!("{image:?} is no form that rpm-ostree and bootc know");
            return host.add("origin-form", Level::Refused, path, message, "");
        }
    };
    let shown = name.clone().unwrap_or_else(|| "IMAGE".to_owned());
    if form != "ostree-image-signed" {
        return host.add(
            "origin-unverified",
            Level::Insecure,
            path,
            format!("{form}: no signature is checked when it is upgraded"),
            format!(
                "rpm-ostree rebase ostree-image-signed:docker://{shown}, or bootc switch \
                 --enforce-container-sigpolicy {shown}"
            ),
        );
    }
    let Some(reference) = name.and_then(|name| name.parse::<Reference>().ok()) else { return };
    let System { policy: Some(policy), registries_d } = host.system.clone() else { return };
    let trust = Trust { path: POLICY, policy: &policy, registries_d: registries_d.as_ref() };
    let found = requirements::check_image(host, files, &trust, &reference);
    let place = found.place();
    let mend =
        || format!("treelay host-kit docker://{} --key PUB --merge {POLICY}", reference.repository);
    if found.requirements.contains(&Requirement::Reject) {
        let message =
            format!("it is to be upgraded from {reference}, which {place} of {POLICY} rejects");
        host.add("origin-rejected", Level::Refused, path, message, mend());
    } else if found.requirements.iter().all(|it| *it == Requirement::AcceptAnything) {
        let message = format!(
            "it is to be signed, and {place} of {POLICY} has {} for {reference}",
            told(found.requirements)
        );
        host.add("origin-uncovered", Level::Insecure, path, message, mend());
    }
}

#[cfg(test)]
mod tests {
    use treelay_signing::{KeyKind, SecretKey};

    use super::super::examine;
    use crate::hosts::root::tests::Texts;

    const POLICY: &str = r#"{"default":[{"type":"reject"}],"transports":{"docker":{
        "h.example":[{"type":"sigstoreSigned","keyPath":"/k.pub"}],"o.example":[{"type":"insecureAcceptAnything"}]}}}"#;

    fn host() -> Texts {
        let key = SecretKey::generate(KeyKind::Ed25519).unwrap().public().clone();
        Texts::default()
            .with("/etc/containers/policy.json", POLICY)
            .with(
                "/etc/containers/registries.d/x.yaml",
                "default-docker:\n  use-sigstore-attachments: true\n",
            )
            .with("/k.pub", key.to_pem())
            .with("/keys", key.to_ostree_line().unwrap())
            .with("/empty", "\n")
    }

    #[test]
    fn remotes_must_check_and_have_keys() {
        for (config, expected) in [
            (
                "url=x\ngpg-verify=false\nsign-verify=ed25519;\nverification-ed25519-file=/keys",
                &[][..],
            ),
            ("url=x\ngpg-verify=false\nsign-verify=true\nverification-ed25519-key=AA==", &[]),
            ("url=x\ngpg-verify=false", &["remote-unsigned"]),
            ("url=x\ngpg-verify=false\nsign-verify=false", &["remote-unsigned"]),
            ("url=x", &["remote-keyless"]),
            ("url=x\ngpgkeypath=/k.pub", &[]),
            ("url=x\ngpgkeypath=/gone", &["remote-keyless", "remote-keyless"]),
            ("gpgkeypath=/k.pub", &["remote-malformed"]),
            ("url=x\ngpg-verify=false\nsign-verify=rot13", &["remote-malformed", "remote-keyless"]),
            (
                "url=x\ngpg-verify=false\nsign-verify=ed25519\nverification-ed25519-file=/gone",
                &["remote-keyless", "remote-keyless"],
            ),
            (
                "url=x\ngpg-verify=false\nsign-verify=ed25519\nverification-ed25519-file=/empty",
                &["remote-keyless", "remote-keyless"],
            ),
            (
                "url=x\ngpg-verify=false\nsign-verify=spki\nverification-spki-file=/k.pub",
                &["remote-spki"],
            ),
            ("url", &["remote-malformed"]),
        ] {
            let text = format!("[remote \"r\"]\n{config}\n");
            let found = examine(&host().with("/etc/ostree/remotes.d/r.conf", text), None, &[]);
            let ids: Vec<_> = found.findings.iter().map(|finding| finding.id).collect();
            assert_eq!(ids, expected, "{config}: {:#?}", found.findings);
        }
    }

    #[test]
    fn deployments_must_come_from_what_is_checked() {
        let remote = "[core]\nmode=bare\n[remote \"off\"]\nurl=x\ngpg-verify=false\n[remote \"on\"]\nurl=x\ngpgkeypath=/k.pub\n";
        for (origin, expected) in [
            ("container-image-reference=ostree-image-signed:docker://h.example/os:1", &[][..]),
            (
                "container-image-reference=ostree-image-signed:registry:o.example/os:1",
                &["origin-uncovered"],
            ),
            (
                "container-image-reference=ostree-image-signed:docker://other.example/os:1",
                &["origin-rejected"],
            ),
            (
                "container-image-reference=ostree-unverified-registry:h.example/os:1",
                &["origin-unverified"],
            ),
            (
                "container-image-reference=ostree-unverified-image:docker://h.example/os:1",
                &["origin-unverified"],
            ),
            (
                "container-image-reference=ostree-remote-registry:on:h.example/os:1",
                &["origin-remote-form"],
            ),
            (
                "container-image-reference=ostree-remote-registry:gone:h.example/os:1",
                &["origin-remote", "origin-remote-form"],
            ),
            ("container-image-reference=h.example/os", &["origin-form"]),
            ("refspec=on:os/x", &[]),
            ("refspec=off:os/x", &["origin-unverified"]),
            ("refspec=gone:os/x", &["origin-remote"]),
            ("refspec=local", &[]),
        ] {
            let files = host()
                .with("/ostree/repo/config", remote)
                .with("/ostree/deploy/os/deploy/abc.0.origin", format!("[origin]\n{origin}\n"));
            let found = examine(&files, None, &[]);
            let ids = found.findings.iter().map(|finding| finding.id);
            let ids: Vec<_> = ids.filter(|id| *id != "remote-unsigned").collect();
            assert_eq!(ids, expected, "{origin}: {:#?}", found.findings);
        }
    }
}
