//! Bundles, attestations and SBOMs that cosign 3 attached, in registries with and without the
//! referrers API, carried by treelay between them and through layouts.

use serde_json::Value;
use treelay_tests::registry::Registry;
use treelay_tests::{Cosign, Env, Run};

use crate::small;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
const SPDX: &str = "https://spdx.dev/Document";

fn cosign(env: &Env, command: &str, more: &[&str], image: &str) -> Run {
    let cosign = Cosign::Three;
    let flags: &[&str] = match command {
        "sign" | "attest" => &["--yes", "--key=good.key"],
        "tree" => &["--allow-http-registry"],
        _ => &["--key=good.pub"],
    };
    let offline = match command {
        "sign" | "attest" => cosign.sign_offline(),
        "tree" => &[],
        _ => cosign.verify_offline(),
    };
    // Bundles, not the `.sig` form.
    let offline = offline.iter().filter(|flag| !flag.starts_with("--new-bundle-format"));
    env.cosign(cosign, [command]).args(flags).args(offline).args(more).arg(image)
}

/// The predicate types of what is attached, from `inspect --json`, sorted.
fn attached(env: &Env, image: &str) -> (Vec<String>, Value) {
    let shown = env.treelay(["inspect", "--json", image]).ok().json();
    let all = shown["attached"].as_array().unwrap();
    let mut kinds: Vec<_> =
        all.iter().map(|one| one["predicate_type"].as_str().unwrap_or("none").to_owned()).collect();
    kinds.sort();
    (kinds, shown)
}

#[test]
fn what_cosign_attached_is_found_and_carried_everywhere() {
    let env = small::env();
    let (docker, ferro) = (Registry::docker(&env), Registry::ferro(&env));
    let report = small::build(&env, "oci:built", &[]).arg("--json").ok().json();
    let digest = report["index"]["digest"].as_str().unwrap();
    env.write("spdx.json", r#"{"spdxVersion": "SPDX-2.3"}"#);
    for (n, registry) in [&docker, &ferro].into_iter().enumerate() {
        let image = registry.docker_name("tools/small:1");
        env.treelay(["copy", "oci:built", &image]).ok();
        let name = format!("{}/tools/small@{digest}", registry.address());
        cosign(&env, "sign", &[], &name).ok();
        cosign(&env, "attest", &["--type=spdxjson", "--predicate=spdx.json"], &name).ok();
        let (kinds, shown) = attached(&env, &image);
        assert_eq!(kinds, [SIGN, SPDX], "{shown}");
        // Where there is no API, cosign 3.1 itself lists them with the type of their config.
        let wrong = shown["notes"].to_string().matches("vnd.oci.empty.v1+json").count();
        assert_eq!(wrong, [2, 0][n], "{shown}");
        assert_eq!(shown["problems"], serde_json::json!([]));

        // With the API, without, a layout, and the other way around.
        let other = [&ferro, &docker][n];
        let places = [
            image,
            other.docker_name(&format!("over/small{n}:1")),
            format!("oci:layout{n}:1"),
            registry.docker_name(&format!("back/small{n}:1")),
        ];
        for pair in places.windows(2) {
            let copied = env.treelay(["copy", "--json", &pair[0], &pair[1]]).ok().json();
            assert_eq!(copied["attached"].as_array().unwrap().len(), 2, "{copied}");
            assert_eq!(copied["left_behind"], serde_json::json!([]));
            let (kinds, shown) = attached(&env, &pair[1]);
            assert_eq!(kinds, [SIGN, SPDX], "{shown}");
            for said in ["problems", "notes"] {
                assert_eq!(shown[said], serde_json::json!([]), "ours are listed as they are");
            }
            assert!(shown["attached"][0]["artifact_type"] == BUNDLE);
            let again = env.treelay(["copy", "--json", &pair[0], &pair[1]]).ok().json();
            assert_eq!(again["blobs"]["moved"], 0, "{again}");
            let Some(name) = pair[1].strip_prefix("docker://") else { continue };
            cosign(&env, "verify", &[], name).ok().says(digest);
            cosign(&env, "verify-attestation", &["--type=spdxjson"], name).ok();
            cosign(&env, "tree", &[], name).ok().says(SIGN).says(SPDX);
        }
    }
}

#[test]
fn skopeo_carries_a_list_by_its_tag() {
    let env = small::env();
    let docker = Registry::docker(&env);
    let report = small::build(&env, "oci:built", &[]).arg("--json").ok().json();
    let digest = report["index"]["digest"].as_str().unwrap();
    let list = digest.replace(':', "-");
    let image = docker.docker_name("tools/small:1");
    env.treelay(["copy", "oci:built", &image]).ok();
    cosign(&env, "sign", &[], &format!("{}/tools/small@{digest}", docker.address())).ok();
    let skopeo = |from: &str, to: &str| {
        let flags = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        env.skopeo(["copy", "--quiet", "--all"]).args(flags).args([from, to]).ok();
    };
    let layout = env.path("layout").display().to_string();
    skopeo(&image, &format!("oci:{layout}:1"));
    skopeo(&docker.docker_name(&format!("tools/small:{list}")), &format!("oci:{layout}:{list}"));
    assert_eq!(attached(&env, "oci:layout").0, [SIGN], "a list of referrers is no second image");

    // And what treelay wrote into a layout, to a registry.
    env.treelay(["copy", "oci:layout", "oci:ours"]).ok();
    let ours = env.path("ours").display().to_string();
    for tag in ["1", &list] {
        skopeo(&format!("oci:{ours}:{tag}"), &docker.docker_name(&format!("again/small:{tag}")));
    }
    let name = docker.docker_name("again/small:1");
    let (kinds, shown) = attached(&env, &name);
    assert_eq!(kinds, [SIGN]);
    // skopeo 1.9 writes the list anew without what it does not know.
    let note = shown["notes"][0].as_str().unwrap();
    assert!(note.contains("listed as artifact type \"\" and is"), "{note}");
    cosign(&env, "verify", &[], name.strip_prefix("docker://").unwrap()).ok().says(digest);
    env.treelay(["copy", "oci:ours", &name]).ok();
    assert_eq!(attached(&env, &name).1["notes"], serde_json::json!([]), "a copy mends it");
}

#[test]
fn copies_at_once_to_a_registry_without_the_api_lose_nothing() {
    let env = small::env();
    let (docker, ferro) = (Registry::docker(&env), Registry::ferro(&env));
    let report = small::build(&env, "oci:built", &[]).arg("--json").ok().json();
    let digest = report["index"]["digest"].as_str().unwrap();
    let mut sources = Vec::new();
    for n in 0..4 {
        let source = ferro.docker_name(&format!("source/small{n}:1"));
        env.treelay(["copy", "oci:built", &source]).ok();
        env.write("said.json", format!(r#"{{"said": {n}}}"#));
        let name = format!("{}/source/small{n}@{digest}", ferro.address());
        let kind = format!("--type=https://said.example/{n}");
        cosign(&env, "attest", &[&kind, "--predicate=said.json"], &name).ok();
        sources.push(source);
    }
    let dest = docker.docker_name("tools/small:1");
    env.treelay(["copy", "oci:built", &dest]).ok();
    std::thread::scope(|scope| {
        for source in &sources {
            scope.spawn(|| env.treelay(["copy", source, &dest]).ok());
        }
    });
    let said: Vec<_> = (0..4).map(|n| format!("https://said.example/{n}")).collect();
    assert_eq!(attached(&env, &dest).0, said);
}
