//! Hosts that want a signature by one key refuse everything else, and say why.

use std::fs;

use serde_json::json;
use treelay_tests::tamper;

use crate::fixture::{ARCHES, Host, NOT_ACCEPTED, REPOSITORY, key, signature_tag};

const NONE: &str = "A signature was required, but no signature exists";
const WRONG_KEY: &str = "cryptographic signature verification failed";

#[test]
fn sigstore_signed_refuses_an_unsigned_image() {
    let host = Host::new();
    host.push(&host.image("1"), None);
    host.refused(&host.image("1"), NONE);
}

#[test]
fn sigstore_signed_refuses_an_image_that_another_key_signed() {
    let host = Host::new();
    key(&host.env, "other");
    host.push(&host.image("1"), Some("other"));
    host.refused(&host.image("1"), WRONG_KEY);
    // A second signature beside it, by the key that is trusted, is enough.
    host.treelay(["sign", &host.image("1"), "--key=trusted.key"]).ok();
    host.accepted(&host.image("1"));
}

#[test]
fn sigstore_signed_looks_for_no_signatures_where_registries_d_does_not_say_so() {
    let host = Host::with_signed();
    host.env.signatures_beside("registry.example");
    host.refused(&host.image("1"), NONE);
}

#[test]
fn the_default_rejects_images_of_a_registry_that_no_rule_names() {
    let host = Host::with_signed();
    host.env.policy(&json!({"default": [{"type": "reject"}]}));
    host.refused(&host.image("1"), "is rejected by policy");
}

#[test]
fn a_signature_of_the_index_alone_is_not_one_of_the_image_that_runs() {
    let host = Host::with_signed();
    let tag = signature_tag(&host.child(REPOSITORY, "1", "amd64"));
    host.delete(&tag);
    host.refused(&host.image("1"), NONE);
    host.skopeo_copy_all(&host.image("1")).refuses().says(NONE);
    // The others are still signed.
    host.podman_pull(&host.image("1")).arg("--arch=ppc64le").ok();
}

#[test]
fn podman_and_skopeo_check_no_signature_of_the_index_so_treelay_verify_does() {
    let host = Host::with_signed();
    let index = host.push(&host.image("1"), Some("trusted"))["index"]["digest"].clone();
    let tag = signature_tag(index.as_str().unwrap());
    host.delete(&tag);
    host.accepted(&host.image("1"));
    host.skopeo_copy_all(&host.image("1")).ok();
    let verify = host.treelay(["verify", &host.image("1"), "--key=trusted.pub"]);
    verify.fails(1).says(index.as_str().unwrap());
}

#[test]
fn match_repo_digest_or_exact_refuses_another_tag_than_was_signed() {
    let host = Host::with_signed();
    host.copy_unchecked(&host.image("1"), &host.image("2"));
    host.refused(&host.image("2"), NOT_ACCEPTED);
}

#[test]
fn match_repository_refuses_signatures_of_another_repository() {
    let host = Host::with_signed();
    let copy = host.registry.docker_name("other/small:1");
    host.treelay(["copy", &host.image("1"), &copy]).ok();
    for rule in [None, Some(json!({"type": "matchRepository"}))] {
        host.trusts(rule);
        host.refused(&copy, NOT_ACCEPTED);
    }
}

#[test]
fn signatures_of_another_image_are_refused() {
    let host = Host::with_signed();
    let recipe = host.env.read("small.yaml").replace("{{ arch.uname }}\\n", "another\\n");
    host.env.write("small.yaml", recipe);
    host.push(&host.image("2"), None);
    for arch in ARCHES {
        let from = signature_tag(&host.child(REPOSITORY, "1", arch));
        let to = signature_tag(&host.child(REPOSITORY, "2", arch));
        assert_ne!(from, to);
        host.copy_unchecked(&host.image(&from), &host.image(&to));
    }
    host.trusts(Some(json!({"type": "matchRepository"})));
    host.refused(&host.image("2"), "digest");
}

#[test]
fn tampered_images_are_refused() {
    let host = Host::with_signed();
    let image = host.image("1");
    host.accepted(&image);
    host.env.trixie(["podman", "rmi", "--all", "--force"]).ok();

    let child = host.child(REPOSITORY, "1", "amd64");
    let manifest = host.manifest(REPOSITORY, &child);
    let signature = host.manifest(REPOSITORY, &signature_tag(&child));
    let digest = |value: &serde_json::Value| value["digest"].as_str().unwrap().to_owned();
    let tampered = [
        (digest(&manifest["layers"][0]), "Digest did not match"),
        (digest(&manifest["layers"][1]), "Digest did not match"),
        (digest(&manifest["config"]), "does not match expected"),
        (digest(&signature["layers"][0]), "Source image rejected: digest mismatch"),
        (child, "Manifest does not match provided manifest digest"),
    ];
    for (digest, why) in tampered {
        let file = host.stored(&digest);
        tamper::flip(&file, 3);
        host.refused(&image, why);
        tamper::flip(&file, 3);
    }
    host.accepted(&image);
}

#[test]
fn a_tampered_signature_is_refused() {
    let host = Host::with_signed();
    let tag = signature_tag(&host.child(REPOSITORY, "1", "amd64"));
    let manifest = host.manifest(REPOSITORY, &tag);
    let annotation = &manifest["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"];
    let good = annotation.as_str().unwrap();
    // Another letter of the base64 text, past the DER header.
    let mut bad = good.to_owned();
    let letter = if &bad[20..21] == "A" { "B" } else { "A" };
    bad.replace_range(20..21, letter);
    let folder = host.env.path("signature");
    let to = format!("dir:{}", folder.display());
    host.copy_unchecked(&host.image(&tag), &to);
    let text = fs::read_to_string(folder.join("manifest.json")).unwrap();
    fs::write(folder.join("manifest.json"), text.replace(good, &bad)).unwrap();
    host.copy_unchecked(&to, &host.image(&tag));
    host.refused(&host.image("1"), WRONG_KEY);
}
