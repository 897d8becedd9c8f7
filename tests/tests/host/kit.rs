//! Hosts with the kit that treelay ships, installed by its script: they take what the key signed, and
//! refuse everything else.

use std::fs;

use serde_json::Value;
use treelay_tests::{Run, tamper};

use crate::fixture::{Host, NOT_ACCEPTED, REPOSITORY, key, signature_tag};

const NONE: &str = "A signature was required, but no signature exists";

/// Makes `/etc` one that can be written, and installs the kit there.
const INSTALLED: &str = r#"set -eu
cp -a /etc /tmp/etc
mount --bind /tmp/etc /etc
sh kit/install.sh >/dev/null
exec "$@"
"#;

/// A host that trusts nothing yet, with a signed image in its registry and the kit for it.
fn host() -> Host {
    let host = Host::with_signed();
    untrust(&host);
    kit(&host, &[]);
    host
}

/// Takes away what the fixture made the user trust: the system's files count then.
fn untrust(host: &Host) {
    let config = host.env.dir().join("home/.config/containers");
    fs::remove_file(config.join("policy.json")).unwrap();
    fs::remove_dir_all(config.join("registries.d")).unwrap();
}

fn kit(host: &Host, args: &[&str]) {
    let repository = host.registry.docker_name(REPOSITORY);
    let kit = host.treelay(["host-kit", &repository, "--key=trusted.pub", "-o", "kit"]);
    kit.args(args).ok();
    host.env.write("installed.sh", INSTALLED);
}

/// A command on the host that the kit is installed on.
fn on_host<const N: usize>(host: &Host, args: [&str; N]) -> Run {
    host.env.trixie(["sh", "installed.sh"]).args(args)
}

fn pull(host: &Host, image: &str) -> Run {
    on_host(host, ["podman", "pull", "--quiet", image])
}

fn copy(host: &Host, image: &str) -> Run {
    let to = format!("dir:{}", host.env.path("copied").display());
    on_host(host, ["skopeo", "copy", "--quiet", image, &to])
}

#[track_caller]
fn refused(host: &Host, image: &str, why: &str) {
    pull(host, image).refuses().says(why);
    copy(host, image).refuses().says(why);
}

/// Whether treelay says the same of the image as the host did: which rules are broken.
fn broken(host: &Host, image: &str) -> Vec<String> {
    let verify = ["verify", image, "--key=trusted.pub", "--as=podman-5", "--json"];
    let found: Value = host.treelay(verify).output().json();
    let broken = found["consumers"][0]["broken"].as_array().unwrap().iter();
    let mut rules: Vec<_> = broken.map(|it| it["rule"].as_str().unwrap().to_owned()).collect();
    rules.dedup();
    rules
}

/// Makes the recipe that of another image, which nobody has signed.
fn another(host: &Host, word: &str) {
    let content = "content: \"{{ arch }}";
    let recipe = host.env.read("small.yaml").replace(content, &format!("{content} {word}"));
    assert!(recipe.contains(word));
    host.env.write("small.yaml", recipe);
}

#[test]
fn a_host_with_the_kit_takes_ours_and_refuses_the_rest() {
    let host = host();
    let image = host.image("1");
    pull(&host, &image).ok();
    copy(&host, &image).ok();
    assert_eq!(broken(&host, &image), [""; 0]);

    // Unsigned; by another key; under another tag.
    another(&host, "unsigned");
    host.push(&host.image("none"), None);
    refused(&host, &host.image("none"), NONE);
    assert_eq!(broken(&host, &host.image("none")), ["podman-5/sig-tag"]);
    host.copy_unchecked(&image, &host.image("moved"));
    refused(&host, &host.image("moved"), NOT_ACCEPTED);
    assert_eq!(broken(&host, &host.image("moved")), ["podman-5/identity"]);

    // Images of elsewhere are pulled as before.
    let elsewhere = host.registry.docker_name("elsewhere/small:1");
    host.copy_unchecked(&image, &elsewhere);
    copy(&host, &elsewhere).ok();

    // A flipped byte of what is signed, and no signature of the platform at all.
    let child = host.child(REPOSITORY, "1", "amd64");
    let tag = signature_tag(&child);
    let payload = host.manifest(REPOSITORY, &tag)["layers"][0]["digest"].clone();
    let file = host.stored(payload.as_str().unwrap());
    tamper::flip(&file, 3);
    refused(&host, &image, "digest mismatch");
    assert_eq!(broken(&host, &image), ["podman-5/sig-manifest"]);
    tamper::flip(&file, 3);
    let manifest = host.stored(&child);
    tamper::flip(&manifest, 3);
    refused(&host, &image, "Manifest does not match provided manifest digest");
    assert_eq!(broken(&host, &image), ["podman-5/readable"]);
    tamper::flip(&manifest, 3);
    host.delete(&tag);
    refused(&host, &image, NONE);
    assert_eq!(broken(&host, &image), ["podman-5/sig-tag"]);
}

#[test]
fn a_host_with_the_kit_refuses_other_keys_and_images() {
    let host = host();
    key(&host.env, "other");
    let image = host.image("other");
    another(&host, "theirs");
    // What hosts would refuse is told by the command that publishes it, too: by keys of its own it is
    // fine, and the host has not got them.
    host.push(&image, Some("other"));
    refused(&host, &image, "cryptographic signature verification failed");
    assert_eq!(broken(&host, &image), ["podman-5/key"]);

    // The signature of one image under the tag of another's.
    another(&host, "second");
    host.push(&host.image("2"), None);
    let (one, two) = (host.child(REPOSITORY, "1", "amd64"), host.child(REPOSITORY, "2", "amd64"));
    let (from, to) = (host.image(&signature_tag(&one)), host.image(&signature_tag(&two)));
    host.copy_unchecked(&from, &to);
    refused(&host, &host.image("2"), "Signature for digest");
    assert!(broken(&host, &host.image("2")).contains(&"podman-5/digest".to_owned()));

    // Something else in the place of signatures.
    host.copy_unchecked(&host.image("1"), &to);
    refused(&host, &host.image("2"), "manifest");
    assert!(broken(&host, &host.image("2")).contains(&"podman-5/sig-manifest".to_owned()));
}

/// A mirror that copied the signatures with skopeo of Debian 13, and a kit that knows of it.
#[test]
fn skopeo_keeps_signatures_for_a_mirror_that_the_kit_knows() {
    let host = host();
    let (image, mirror) = (host.image("1"), host.registry.docker_name("mirror/small:1"));
    let address = host.registry.address();
    kit(&host, &[&format!("--mirror={address}/mirror/small")]);
    let keep = ["skopeo", "copy", "--quiet", "--all", &image, &mirror];
    on_host(&host, keep).ok();
    pull(&host, &mirror).ok();
    copy(&host, &mirror).ok();
    kit(&host, &["--scope", &address]);
    refused(&host, &mirror, NOT_ACCEPTED);
}

/// What a host is told is what it does.
#[test]
fn doctor_diagnoses_what_podman_refuses_and_a_kit_mends_it() {
    let host = Host::with_signed();
    untrust(&host);
    let image = host.image("1");
    let stock = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
    host.env.write("root/etc/containers/policy.json", stock);
    let doctor = |ids: &[&str]| {
        let run = host.treelay(["doctor", "--root=root", "--json", &image]);
        let found = run.output().json();
        let findings = found["findings"].as_array().unwrap().clone();
        let wrong = findings.iter().filter(|finding| finding["level"] != "note");
        let wrong: Vec<_> = wrong.map(|finding| finding["id"].as_str().unwrap()).collect();
        assert_eq!(wrong, ids, "{found}");
        assert_eq!(found["healthy"], ids.is_empty());
    };
    let install = || host.env.run("/bin/sh").args(["kit/install.sh", "--root=root"]).ok();
    doctor(&["insecure-default", "image-unsigned"]);
    kit(&host, &[]);
    install();
    doctor(&[]);
    pull(&host, &image).ok();

    // Without the settings of where signatures are, both say that it is refused.
    for entry in fs::read_dir(host.env.path("root/etc/containers/registries.d")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let index = "image-refused";
    doctor(&["attachments-off", index, index, index, index]);
    let without = "rm /etc/containers/registries.d/* && exec podman pull --quiet \"$1\"";
    on_host(&host, ["sh", "-c", without, "sh", &image]).refuses().says(NONE);
    install();
    doctor(&[]);

    // Signatures that are gone are seen where they should be.
    host.delete(&signature_tag(&host.child(REPOSITORY, "1", "arm64")));
    doctor(&["image-refused"]);
    host.treelay(["sign", &image, "--key=trusted.key"]).ok();
    doctor(&[]);

    // A key that is not the one that signed.
    key(&host.env, "other");
    let keys = host.env.path("root/etc/pki/containers");
    let file = fs::read_dir(keys).unwrap().next().unwrap().unwrap().path();
    fs::copy(host.env.path("other.pub"), &file).unwrap();
    doctor(&[index, index, index, index]);
    let told = host.treelay(["doctor", "--root=root", &image]).fails(1);
    told.says("or where the host's key is an old one").says("was not made by");
}

/// Hosts that look well: what doctor says of each is what skopeo does.
#[test]
fn doctor_says_of_defaults_and_settings_what_skopeo_does() {
    let host = Host::with_signed();
    untrust(&host);
    let image = host.image("1");
    let address = host.registry.address();
    let scope = format!("{address}/{REPOSITORY}");
    let system = "set -eu\ncp -a /etc /tmp/etc\nmount --bind /tmp/etc /etc\n\
                  rm -rf /etc/containers/registries.d\ncp -a root/etc/. /etc/\nexec \"$@\"\n";
    host.env.write("system.sh", system);
    let on = "use-sigstore-attachments: true";
    let key = |name: &str| host.env.path(name).display().to_string();
    let rule = |key: &str| serde_json::json!([{"type": "sigstoreSigned", "keyPath": key}]);
    let (scoped, default) = (
        |key: &str| {
            serde_json::json!({
                "default": [{"type": "reject"}],
                "transports": {"docker": {&scope: rule(key)}},
            })
        },
        |key: &str| serde_json::json!({"default": rule(key)}),
    );
    let (none, missing) = ("A signature was required, but no signature exists", "no such file");
    let twice = format!("docker:\n  \"{scope}\":\n    {on}\n");
    let flow = format!("docker: {{\"{scope}\": {{{on}}}}}\n");
    let everywhere = format!("default-docker:\n  {on}\n");
    for (policy, files, own, wrong, says) in [
        (scoped(&key("trusted.pub")), vec![&flow], false, &[][..], None),
        // The same in two files, one of them as flow.
        (
            scoped(&key("trusted.pub")),
            vec![&flow, &twice],
            false,
            &["registries-d"],
            Some("defined both in"),
        ),
        // An empty directory of the user.
        (scoped(&key("trusted.pub")), vec![&flow], true, &["attachments-off"], Some(none)),
        (default(&key("trusted.pub")), vec![&everywhere], false, &[], None),
        (default(&key("trusted.pub")), vec![&flow], false, &["attachments-off"], None),
        (default(&key("trusted.pub")), vec![], false, &["attachments-off"], Some(none)),
        (default("/gone.pub"), vec![&everywhere], false, &["key-missing"], Some(missing)),
    ] {
        let _ = fs::remove_dir_all(host.env.path("root"));
        host.env.write("root/etc/containers/policy.json", policy.to_string());
        for (n, text) in files.iter().enumerate() {
            host.env.write(&format!("root/etc/containers/registries.d/{n}.yaml"), text);
        }
        // doctor looks below the root, where root's own settings are those of its user.
        let folders = [host.env.path("root/root"), host.env.dir().join("home")]
            .map(|home| home.join(".config/containers/registries.d"));
        for folder in &folders {
            let _ = fs::remove_dir_all(folder);
            if own {
                fs::create_dir_all(folder).unwrap();
            }
        }
        // The key is outside of the root that doctor looks below.
        let pem = format!("root{}", key("trusted.pub"));
        fs::create_dir_all(host.env.path(&pem).parent().unwrap()).unwrap();
        fs::copy(host.env.path("trusted.pub"), host.env.path(&pem)).unwrap();

        let found = host.treelay(["doctor", "--root=root", "--offline", "--json"]).output().json();
        let findings = found["findings"].as_array().unwrap().iter();
        let findings = findings.filter(|finding| finding["level"] != "note");
        let ids: Vec<_> = findings.map(|finding| finding["id"].as_str().unwrap()).collect();
        assert_eq!(ids, wrong, "{policy} {files:?} {found}");
        let to = format!("dir:{}", host.env.path("copied").display());
        let copy = ["sh", "system.sh", "skopeo", "copy", "--quiet", &image, &to];
        let copy = host.env.trixie(copy);
        match says {
            None => drop(copy.ok()),
            Some(says) => drop(copy.refuses().says(says)),
        }
    }
}

/// The command that publishes fails where hosts would refuse what it published.
#[test]
fn publishing_fails_where_hosts_would_refuse() {
    let host = host();
    let (image, other) = (host.image("1"), host.image("2"));
    host.copy_unchecked(&image, &other);
    let name = image.strip_prefix("docker://").unwrap();
    // Signed under the tag that it had, which is not the one by which it is pulled.
    let sign_as = format!("--sign-as={name}");
    let sign =
        ["sign", &host.registry.docker_name(&format!("{REPOSITORY}:2")), "--key=trusted.key"];
    let failed = host.treelay(sign).arg(&sign_as).fails(1);
    failed.says("podman-5 would refuse it (podman-5/identity)").says("--as podman-5");
    refused(&host, &other, NOT_ACCEPTED);
    host.treelay(sign).ok();
    pull(&host, &other).ok();
    let bare = name.rsplit_once(':').unwrap().0;
    let third = host.image("3");
    let build = ["build", "small.yaml", "-o", &third, "--key=trusted.key", "--sign-as", bare];
    // A name without a tag gets that of the destination.
    host.treelay(build).ok();
    pull(&host, &third).ok();
}

/// rpm-ostree and bootc take an image by `ostree-image-signed:` on a host with the kit, and nothing
/// that the key has not signed.
#[test]
fn ostree_image_signed_goes_by_the_kit() {
    let host = crate::host_images::host();
    untrust(&host);
    let image = |tag: &str| host.registry.docker_name(&format!("os/tools:{tag}"));
    let make = ["host-kit", &image("1"), "--key=trusted.pub", "-o", "kit"];
    host.treelay(make).ok();
    host.env.write("installed.sh", INSTALLED);
    let build = |tag: &str, key: Option<&str>| {
        let key = key.map(|key| format!("--key={key}.key"));
        host.treelay(["build", "tools.yaml", "-o", &image(tag)]).args(key).ok();
    };
    let deploy = |tag: &str| {
        let signed = format!("ostree-image-signed:{}", image(tag));
        let deploy = ["./ostree-ext", "container", "image", "deploy", "--sysroot", "sysroot"];
        on_host(&host, deploy).args(["--stateroot", "os", "--imgref", &signed])
    };
    let broken = |tag: &str| {
        let verify = ["verify", &image(tag), "--key=trusted.pub", "--as=rpm-ostree", "--json"];
        let found: Value = host.treelay(verify).output().json();
        found["consumers"][0]["broken"][0]["rule"].as_str().unwrap_or_default().to_owned()
    };
    build("none", None);
    deploy("none").refuses().says(NONE);
    assert_eq!(broken("none"), "rpm-ostree/index-sig-tag");
    key(&host.env, "other");
    build("other", Some("other"));
    deploy("other").refuses().says("invalid signature when validating");
    assert_eq!(broken("other"), "rpm-ostree/key");
    build("1", Some("trusted"));
    assert_eq!(broken("1"), "");
    deploy("1").ok();

    // Of the image that runs the signature is there, of what the tag names it is gone.
    let index = host.treelay(["inspect", &image("1"), "--json"]).ok().json();
    let tag = signature_tag(index["digest"].as_str().unwrap());
    host.env.skopeo(["delete", &image(&tag)]).ok();
    let again = host.env.read("tools.yaml").replace("settings of", "more settings of");
    host.env.write("tools.yaml", again);
    assert_eq!(broken("1"), "rpm-ostree/index-sig-tag");
    host.env.trixie(["rm", "-rf", "sysroot/ostree/repo/refs/heads/ostree/container"]).ok();
    deploy("1").refuses().says(NONE);
}
