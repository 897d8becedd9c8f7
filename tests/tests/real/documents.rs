//! Documents about images and commits: valid by their official schemas, read by both cosigns, and
//! what cosign attests is read by treelay.

use std::fs;

use serde_json::{Value, json};
use treelay_ci::tools::Kept;
use treelay_tests::registry::Registry;
use treelay_tests::{Cosign, Env, Run, tools};

use crate::sdk::with_password;
use crate::small;

const ALL: &str = "--attest=provenance,spdx,cyclonedx";

/// Reads documents by SPDX's and CycloneDX's own libraries; prints what is wrong.
const VALIDATE: &str = r#"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
for path in sys.argv[1:]:
    if "cyclonedx" in path:
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(path).read())
        errors = [] if error is None else [error]
    else:
        errors = validate_full_spdx_document(parse_file(path))
    for error in errors:
        print(path, error)
"#;

fn build(env: &Env, dest: &str) -> Value {
    small::build(env, dest, &["good"]).args([ALL, "--json"]).ok().json()
}

/// What the validators say of files.
fn validate(env: &Env, files: &[String]) -> String {
    env.run(tools::kept(Kept::Documents)).args(["-c", VALIDATE]).args(files).ok().out()
}

/// Writes a document that is there to a file.
fn shown(env: &Env, dest: &str, kind: &str, arch: &str) -> String {
    let arch = format!("--arch={arch}");
    let text = env.treelay(["attest", dest, "--type", kind, "--show", &arch]).ok().out();
    let file = format!("{kind}{}.spdx.json", arch.replace('=', ""));
    env.write(&file, text);
    file
}

#[test]
fn documents_are_valid_by_the_official_schemas() {
    let env = small::env();
    let report = small::build(&env, "oci:layout", &["good"])
        .args([ALL, "--json", "-o", "ostree:repo"])
        .ok()
        .json();
    // Four subjects of provenance, three of each other; and three of each for three commits.
    assert_eq!(report["attestations"].as_array().unwrap().len(), 4 + 3 + 3 + 9);
    let mut files = Vec::new();
    for place in ["oci:layout", "ostree:repo"] {
        for kind in ["spdxjson", "cyclonedx"] {
            let file = shown(&env, place, kind, "arm64");
            let name = format!("{}-{file}", &place[..2]);
            fs::rename(env.path(&file), env.path(&name)).unwrap();
            files.push(name);
        }
    }
    assert_eq!(validate(&env, &files), "");

    // They would say so.
    let spoil = |kind: &str, from: &str, to: &str| {
        let file = files.iter().find(|file| file.contains(kind)).unwrap();
        let text = env.read(file);
        assert!(text.contains(from), "{from} in {text}");
        let spoilt = format!("spoilt-{file}");
        env.write(&spoilt, text.replacen(from, to, 1));
        let said = validate(&env, std::slice::from_ref(&spoilt));
        assert!(said.contains(&spoilt), "{said}");
    };
    spoil("cyclonedx", "\"specVersion\":\"1.6\"", "\"specVersion\":1.6");
    spoil("spdxjson", "\"algorithm\":\"SHA1\"", "\"algorithm\":\"MD5\"");
}

fn verify_attestation(env: &Env, cosign: Cosign, kind: &str, key: &str, image: &str) -> Run {
    env.cosign(cosign, ["verify-attestation", "--type", kind, key])
        .args(cosign.verify_offline())
        .arg(image)
}

#[test]
fn cosign_verifies_ours_in_docker_registry() {
    let env = small::env();
    let registry = Registry::docker(&env);
    cosign_verifies_ours(&env, &registry);
}

#[test]
fn cosign_verifies_ours_in_ferro() {
    let env = small::env();
    let registry = Registry::ferro(&env);
    cosign_verifies_ours(&env, &registry);
}

fn cosign_verifies_ours(env: &Env, registry: &Registry) {
    let image = registry.docker_name("tools/small:1");
    let report = build(env, &image);
    let again = build(env, &image);
    let added = |report: &Value| {
        let all = report["attestations"].as_array().unwrap().iter();
        all.filter(|one| one["added"] == true).count()
    };
    assert_eq!((added(&report), added(&again)), (10, 0));
    small::key(env, "other");
    let repository = format!("{}/tools/small", registry.address());
    let index = format!("{repository}:1");
    let child = format!("{repository}@{}", report["images"][0]["digest"].as_str().unwrap());
    for cosign in Cosign::ALL {
        for (image, kind) in [
            (&index, "slsaprovenance1"),
            (&child, "slsaprovenance1"),
            (&child, "spdxjson"),
            (&child, "cyclonedx"),
        ] {
            verify_attestation(env, cosign, kind, "--key=good.pub", image).ok();
            verify_attestation(env, cosign, kind, "--key=other.pub", image).refuses();
        }
        verify_attestation(env, cosign, "openvex", "--key=good.pub", &child).refuses();
        // The image itself stays good.
        for image in [&index, &child] {
            env.cosign(cosign, ["verify", "--key=good.pub"])
                .args(cosign.verify_offline())
                .arg(image)
                .ok();
        }
    }
}

#[test]
fn ours_reads_what_cosign_attests() {
    let env = small::env();
    let document = json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1 });
    env.write("bom.json", document.to_string());
    for registry in [Registry::docker(&env), Registry::ferro(&env)] {
        for cosign in Cosign::ALL {
            let name = format!("{}/tools/{cosign:?}:1", registry.address()).to_lowercase();
            let image = format!("docker://{name}");
            small::build(&env, &image, &["good"]).ok();
            let attest = ["attest", "--yes", "--key=good.key", "--type=cyclonedx"];
            let offline: &[&str] = match cosign {
                Cosign::Two => &["--tlog-upload=false"],
                Cosign::Three => &["--tlog-upload=false", "--use-signing-config=false"],
            };
            env.cosign(cosign, attest)
                .args(["--predicate=bom.json", "--allow-http-registry"])
                .args(offline)
                .arg(&name)
                .ok();
            let show = ["attest", &image, "--type=cyclonedx", "--show"];
            assert_eq!(env.treelay(show).ok().json(), document);
        }
    }
}

#[test]
fn users_attest_what_they_like() {
    let env = small::env();
    let registry = Registry::docker(&env);
    let image = registry.docker_name("tools/small:1");
    small::build(&env, &image, &["good"]).ok();
    let vex = json!({ "@context": "https://openvex.dev/ns/v0.2.0", "statements": [] });
    env.write("vex.json", vex.to_string());
    let kind = "https://tests.example/result/v1";
    for (kind, known) in [("openvex", "openvex"), (kind, kind)] {
        let attest = ["attest", &image, "--type", kind, "--predicate=vex.json", "--key=good.key"];
        with_password(env.treelay(attest)).ok();
        let again = with_password(env.treelay(attest)).ok();
        again.says("carries this attestation already");
        let name = format!("{}/tools/small:1", registry.address());
        for cosign in Cosign::ALL {
            verify_attestation(&env, cosign, known, "--key=good.pub", &name).ok();
        }
    }
}
