//! Hosts whose policy rejects by default and wants a signature by one key accept treelay's images.

use std::fs;

use serde_json::json;

use crate::fixture::{ARCHES, Host, NOT_ACCEPTED, REPOSITORY, signature_tag};

#[test]
fn match_repo_digest_or_exact_accepts_the_tag_that_was_signed() {
    let host = Host::with_signed();
    host.accepted(&host.image("1"));
    let run = ["podman", "run", "--rm", "--pull=never", &host.image("1"), "cat", "/etc/arch"];
    assert_eq!(host.env.trixie(run).ok().out(), "amd64\n");
}

#[test]
fn match_repo_digest_or_exact_accepts_every_digest_of_the_repository_that_was_signed() {
    let host = Host::with_signed();
    let index = host.push(&host.image("1"), Some("trusted"))["index"]["digest"].clone();
    let child = host.child(REPOSITORY, "1", "amd64");
    for digest in [index.as_str().unwrap(), &child] {
        host.accepted(&host.registry.docker_name(&format!("{REPOSITORY}@{digest}")));
    }
}

#[test]
fn match_repository_accepts_the_tag_that_was_signed_and_another_tag() {
    let host = Host::with_signed();
    host.trusts(Some(json!({"type": "matchRepository"})));
    host.accepted(&host.image("1"));
    host.copy_unchecked(&host.image("1"), &host.image("2"));
    host.accepted(&host.image("2"));
}

#[test]
fn remap_identity_accepts_a_mirror_that_copied_the_signatures() {
    let host = Host::with_signed();
    let (from, mirror) = (host.image("1"), host.registry.docker_name("mirror/small:1"));
    host.treelay(["copy", &from, &mirror]).ok().says("unless their policy remaps it");
    host.trusts(None);
    host.refused(&mirror, NOT_ACCEPTED);
    let address = host.registry.address();
    host.trusts(Some(json!({
        "type": "remapIdentity",
        "prefix": format!("{address}/mirror"),
        "signedPrefix": format!("{address}/tools"),
    })));
    host.accepted(&mirror);
}

#[test]
fn a_copy_that_is_signed_again_is_accepted_by_its_own_name() {
    let host = Host::with_signed();
    let (from, copy) = (host.image("1"), host.registry.docker_name("mirror/small:1"));
    host.treelay(["copy", &from, &copy, "--key=trusted.key"]).ok();
    host.accepted(&copy);
}

#[test]
fn what_was_built_and_signed_in_a_layout_is_accepted_from_the_registry_it_was_copied_to() {
    let host = Host::new();
    let name = host.image("1");
    let sign_as = format!("--sign-as={}", name.strip_prefix("docker://").unwrap());
    let build = ["build", "small.yaml", "-o", "oci:layout", "--key=trusted.key", &sign_as];
    host.treelay(build).ok();
    host.treelay(["copy", "oci:layout", &name]).ok();
    host.accepted(&name);
    host.skopeo_copy_all(&name).ok();
}

#[test]
fn the_images_of_every_arch_are_pulled() {
    let host = Host::with_signed();
    let image = host.image("1");
    for arch in ARCHES {
        host.podman_pull(&image).arg(format!("--arch={arch}")).ok();
        let format = "--format={{.Architecture}}";
        let local = image.strip_prefix("docker://").unwrap();
        let inspect = ["podman", "image", "inspect", format, local];
        assert_eq!(host.env.trixie(inspect).ok().out().trim(), arch);
    }
    // The index and all that it lists, each checked by a signature of its own.
    host.skopeo_copy_all(&image).ok();
    let copied = fs::read(host.env.path("copied/manifest.json")).unwrap();
    let copied: serde_json::Value = serde_json::from_slice(&copied).unwrap();
    assert_eq!(copied, host.manifest(REPOSITORY, "1"));
}

#[test]
fn skopeo_keeps_the_signatures_of_what_it_copies() {
    let host = Host::with_signed();
    let copy = host.registry.docker_name("mirror/small:1");
    host.env.trixie(["skopeo", "copy", "--quiet", "--all", &host.image("1"), &copy]).ok();
    for arch in ARCHES {
        let tag = signature_tag(&host.child(REPOSITORY, "1", arch));
        let layers = |repository: &str| host.manifest(repository, &tag)["layers"].clone();
        assert_eq!(layers("mirror/small"), layers(REPOSITORY));
    }
}
