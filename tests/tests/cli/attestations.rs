//! Documents beside images and commits.

use std::fs;

use serde_json::{Value, json};
use treelay_tests::{Env, Run};

use crate::fixture::{REFS, build, listing, refuses, write_small};
use crate::keys::signed;

const ALL: [&str; 2] = ["--attest", "provenance,spdx,cyclonedx"];
const KINDS: [&str; 3] = ["slsaprovenance1", "spdxjson", "cyclonedx"];
const PLACES: [&str; 2] = ["oci:out", "ostree:repo"];

fn with_password(env: &Env, args: &[&str]) -> Run {
    env.treelay(args).env("COSIGN_PASSWORD", Env::PASSWORD)
}

fn attested(env: &Env, folder: &str) -> Value {
    let line =
        ["build", "small.yaml", "--json", "--key", "key.key", "-o", PLACES[0], "-o", PLACES[1]];
    with_password(env, &line).args(ALL).current_dir(env.path(folder)).ok().json()
}

fn added(report: &Value) -> (usize, usize) {
    let all = report["attestations"].as_array().unwrap();
    (all.len(), all.iter().filter(|one| one["added"] == true).count())
}

fn show(env: &Env, place: &str, kind: &str, arch: &str) -> String {
    let arch = format!("--arch={arch}");
    env.treelay(["attest", place, "--type", kind, "--show", &arch]).ok().out()
}

#[test]
fn they_are_the_same_everywhere_and_change_no_digest() {
    let env = signed();
    let plain = build(&env, &["-o", "oci:plain"]);
    for place in ["out", "repo"] {
        fs::remove_dir_all(env.path(place)).unwrap();
    }
    let first = attested(&env, "");
    assert_eq!(first["index"]["digest"], plain["index"]["digest"]);
    // Index and two images have provenance, two images and two commits everything.
    assert_eq!(added(&first), (3 + 2 * 2 + 2 * 3, 13));

    let other = Env::new();
    let folder = "another/place with spaces/";
    write_small(&other, folder);
    for file in ["key.key", "key.pub"] {
        other.write(&format!("{folder}{file}"), env.read(file));
    }
    let second = attested(&other, folder);
    assert_eq!(second["attestations"], first["attestations"]);
    for kind in KINDS {
        for place in PLACES {
            let here = show(&env, place, kind, "arm64");
            let (name, rest) = place.split_once(':').unwrap();
            let there = format!("{name}:{}", other.path(folder).join(rest).display());
            // A layout's path may hold no colon, which ours do not.
            assert_eq!(here, show(&other, &there, kind, "arm64"), "{kind} in {place}");
            for secret in [env.dir().to_str().unwrap(), "work", "20261", "localhost"] {
                assert!(!here.contains(secret), "{secret} in {here}");
            }
        }
    }
    let blobs = |env: &Env, folder: &str| listing(&env.path(format!("{folder}out/blobs")));
    assert_eq!(blobs(&env, ""), blobs(&other, folder));
}

#[test]
fn attesting_again_changes_nothing() {
    let env = signed();
    attested(&env, "");
    let places = || listing(&env.path("out")) + &listing(&env.path("repo"));
    let before = places();
    let again = attested(&env, "");
    assert_eq!(added(&again).1, 0);
    assert_eq!(places(), before);
    // With nothing remembered, what is there is read.
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    assert_eq!(added(&attested(&env, "")).1, 0);
    assert_eq!(places(), before);
    for place in PLACES {
        env.treelay(["verify", place, "--key", "key.pub"]).ok();
    }
}

#[test]
fn they_say_what_is_there() {
    let env = signed();
    let report = attested(&env, "");
    let json = |place: &str, kind: &str, arch: &str| -> Value {
        serde_json::from_str(&show(&env, place, kind, arch)).unwrap()
    };
    let bom = json("oci:out", "cyclonedx", "arm64");
    let digest = &report["images"][1]["digest"];
    let subject = &bom["metadata"]["component"];
    assert_eq!(subject["purl"], format!("pkg:oci/small@{}?arch=arm64", digest.as_str().unwrap()));
    let names = bom["components"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
    let names: Vec<_> = names.collect();
    let expected = ["/etc/motd", "/usr/bin/tool", "/usr/share/data/one", "/usr/share/data/sub/run"];
    assert_eq!(names, expected);
    let spdx = json("oci:out", "spdxjson", "arm64");
    // `printf '1\n' | sha1sum`
    let sum = "e5fa44f2b31c1fb553b6021e7360d07d5d91ff5e";
    let one = spdx["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["fileName"] == "./usr/share/data/one");
    assert_eq!(one.unwrap()["checksums"][0], json!({ "algorithm": "SHA1", "checksumValue": sum }));

    let provenance = json("ostree:repo", "slsaprovenance1", "arm64");
    let definition = &provenance["buildDefinition"];
    assert_eq!(definition["externalParameters"]["recipe"]["text"], env.read("small.yaml"));
    assert_eq!(definition["internalParameters"]["plan"], report["plan"]);
    let spdx = json("ostree:repo", "spdxjson", "arm64");
    assert_eq!(spdx["files"], json!([]), "commits name their files themselves");
}

#[test]
fn what_is_there_is_listed() {
    let env = signed();
    attested(&env, "");
    let list = env.treelay(["attest", "oci:out", "--json"]).ok().json();
    let subjects = list["subjects"].as_array().unwrap();
    let of = |at: usize| -> Vec<String> {
        let all = subjects[at]["attestations"].as_array().unwrap().iter();
        all.map(|one| {
            format!("{} {}", one["form"].as_str().unwrap(), one["type"].as_str().unwrap())
        })
        .collect()
    };
    assert_eq!(subjects[0]["name"], "index");
    let provenance = "https://slsa.dev/provenance/v1";
    assert_eq!(of(0), [format!("bundle {provenance}"), format!("attachment {provenance}")]);
    assert_eq!(of(1).len(), 6, "{:?}", of(1));
    let text = env.treelay(["attest", &format!("ostree:repo:{}", REFS[0])]).ok().out();
    for kind in KINDS {
        assert!(text.contains(&format!("  {kind} detached ")), "{text}");
    }
    let several = ["attest", "oci:out", "--type", "spdxjson", "--show"];
    env.treelay(several).fails(1).says("there are 2 spdxjson documents").says("--arch");
    let none = ["attest", "oci:out", "--type", "openvex", "--show"];
    env.treelay(none).fails(1).says("there is no openvex");
    let other = ["attest", "oci:out", "--arch", "ppc64le"];
    env.treelay(other).fails(1).says("has nothing for ppc64le");
}

#[test]
fn users_attest_documents_of_their_own() {
    let env = signed();
    env.write("vex.json", json!({ "@context": "x", "statements": [] }).to_string());
    for place in PLACES {
        let line =
            ["attest", place, "--type", "openvex", "--predicate", "vex.json", "--key", "key.key"];
        let said = with_password(&env, &line).ok().out();
        let subjects = if place == PLACES[0] { 3 } else { 2 };
        assert_eq!(said.lines().count(), subjects, "{said}");
        with_password(&env, &line).ok().says("carries this attestation already");
        let shown = env.treelay(["attest", place, "--type", "openvex", "--show"]).ok().json();
        assert_eq!(shown["@context"], "x");
        env.treelay(["verify", place, "--key", "key.pub"]).ok();
    }
    build(&env, &["-o", "oci:unsigned"]);
    let line = [
        "attest",
        "oci:unsigned",
        "--type",
        "openvex",
        "--predicate",
        "vex.json",
        "--key",
        "key.key",
    ];
    let refused = with_password(&env, &line).fails(1);
    refused.says("cosign 3 refuse it").says("hint: sign it first: treelay sign oci:unsigned");
}

#[test]
fn mistakes_are_told() {
    let env = signed();
    env.write("list.json", "[]");
    env.write("none.json", "no");
    env.write("object.json", "{}");
    let put = |kind: &str, file: &str| {
        let line = ["attest", "oci:out", "--type", kind, "--predicate", file, "--key", "key.key"];
        with_password(&env, &line).fails(2)
    };
    put("openvex", "list.json").says("is JSON, but no object");
    put("openvex", "none.json").says("none.json is no JSON");
    put("openvex", "missing.json").says("reading the document missing.json");
    put("spdxjson", "object.json").says("is no spdxjson document: it has no \"spdxVersion\"");
    put("spdx", "object.json").says("expected slsaprovenance1");
    put("https://sigstore.dev/cosign/sign/v1", "object.json").says("treelay sign");
    refuses(
        &env,
        ["build", "small.yaml", "-o", "oci:out", "--attest", "spdx"],
        2,
        "error: --attest signs documents, and no key is given\nhint: give --key FILE\n",
    );
    let line =
        ["build", "small.yaml", "--arch=amd64", "-o", "tree:t", "--attest=spdx", "--key=key.key"];
    with_password(&env, &line).fails(2).says("no output is one");
}

#[test]
fn verify_insists_on_what_it_is_told() {
    let env = signed();
    let verify = |place: &str, require: &str| {
        env.treelay(["verify", place, "--key", "key.pub", "--require", require])
    };
    for place in PLACES {
        let refused = verify(place, "provenance").fails(1);
        refused.says("refused: ").says("no provenance of ");
    }
    attested(&env, "");
    for place in PLACES {
        let good = verify(place, "provenance,sbom,spdxjson").arg("--json").ok().json();
        assert_eq!(good["required"].as_array().unwrap().len(), 6, "{good}");
        verify(place, "openvex").fails(1).says("no openvex of ");
        let other = ["verify", place, "--key", "other.pub", "--require", "provenance"];
        env.treelay(other).fails(1);
    }
    env.treelay(["verify", "oci:out", "--require", "sbom"]).fails(2);
    verify("oci:out", "bom").fails(2).says("no type of attestation");

    // A statement about the index counts for the images, unless it lists what is in them.
    build(&env, &["-o", "oci:index"]);
    with_password(
        &env,
        &["sign", "oci:index", "--key=key.key", "--sign-as=registry.example/small"],
    )
    .ok();
    env.write("any.json", "{}");
    env.write("bom.json", json!({ "bomFormat": "CycloneDX", "specVersion": "1.6" }).to_string());
    for (kind, file) in [("custom", "any.json"), ("cyclonedx", "bom.json")] {
        let line = ["attest", "oci:index", "--type", kind, "--predicate", file, "--key=key.key"];
        with_password(&env, &line).arg("--arch=arm64").ok();
    }
    verify("oci:index", "custom").fails(1).says("no custom of linux/amd64");
    let refused = verify("oci:index", "sbom").fails(1);
    refused.says("no sbom of linux/amd64").says("sbom of linux/arm64");
}

#[test]
fn spoilt_attestations_do_not_count() {
    let env = signed();
    attested(&env, "");
    let list = env.treelay(["attest", "oci:out", "--arch=arm64", "--json"]).ok().json();
    // Both forms of one document of one image.
    let blobs = env.path("out/blobs/sha256");
    for one in list["subjects"][0]["attestations"].as_array().unwrap() {
        if one["type"] != "https://spdx.dev/Document" {
            continue;
        }
        let hex = one["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
        // A bundle's manifest names the bundle; of an envelope the blob itself is listed.
        let path = match one["form"].as_str().unwrap() {
            "bundle" => {
                let manifest: Value =
                    serde_json::from_slice(&fs::read(blobs.join(hex)).unwrap()).unwrap();
                let hex = manifest["layers"][0]["digest"].as_str().unwrap();
                blobs.join(hex.strip_prefix("sha256:").unwrap())
            }
            _ => blobs.join(hex),
        };
        fs::write(path, "{}").unwrap();
    }
    let verify = ["verify", "oci:out", "--key", "key.pub", "--require", "spdxjson"];
    let refused = env.treelay(verify).fails(1);
    refused.says("no spdxjson of linux/arm64").says("spdxjson of linux/amd64 signed by");
}
