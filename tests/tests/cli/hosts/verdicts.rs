//! What `verify` says of an image as the hosts that will pull it do.

use super::*;

/// An image in a layout, judged as the hosts that will pull it do.
#[test]
fn verify_judges_as_hosts_do() {
    let env = small();
    generate(&env, "trusted", "ecdsa-p256");
    generate(&env, "other", "ecdsa-p256");
    let name = "registry.example/small:1.0";
    let build = ["build", "small.yaml", "-o", "oci:out", "--key=trusted.key"];
    env.treelay(build).env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    let key = |name: &str| env.path(format!("{name}.pub")).display().to_string();
    let policy = |key: &str, rest: Value| {
        let mut rule = json!({"type": "sigstoreSigned", "keyPath": key});
        if let Value::Object(rest) = rest {
            rule.as_object_mut().unwrap().extend(rest);
        }
        let policy = json!({
            "default": [{"type": "reject"}],
            "transports": {"docker": {"registry.example": [rule]}},
        });
        env.write("policy.json", policy.to_string());
    };
    let verify = |args: &[&str]| env.treelay(["verify", "oci:out"]).args(args);
    let by_policy = ["--policy=policy.json", "--signed-as", name];
    policy(&key("trusted"), json!({}));
    let good = verify(&by_policy).ok();
    assert_eq!(good.out().matches("accepted, signed by").count(), 3, "{good}");
    verify(&["--policy=policy.json"]).fails(2).says("give --signed-as REPO:TAG");
    let other_tag = ["--policy=policy.json", "--signed-as", "registry.example/small:2"];
    verify(&other_tag).fails(1).says("which matchRepoDigestOrExact does not take for");
    policy(&key("trusted"), json!({"signedIdentity": {"type": "matchRepository"}}));
    verify(&other_tag).ok();
    policy(&key("other"), json!({}));
    verify(&by_policy).fails(1).says("or was changed afterwards");
    policy("/gone.pub", json!({}));
    verify(&by_policy).fails(1).says("/gone.pub: No such file");
    let elsewhere = ["--policy=policy.json", "--signed-as", "other.example/small:1.0"];
    verify(&elsewhere).fails(1).says("refused by default: images of this scope are rejected");

    let all = ["--as=podman-5", "--as=rpm-ostree", "--as=cosign-2", "--as=cosign-3"];
    let as_all = |key: &str, name: &str| {
        verify(&all).args(["--json", "--key", key, "--signed-as", name]).output().json()
    };
    let good = as_all("trusted.pub", name);
    assert_eq!(good["good"], true, "{good}");
    let broken = |found: &Value| -> Vec<Vec<String>> {
        let consumers = found["consumers"].as_array().unwrap().iter();
        let rules = |consumer: &Value| {
            let broken = consumer["broken"].as_array().unwrap().iter();
            let mut rules: Vec<_> =
                broken.map(|it| it["rule"].as_str().unwrap().to_owned()).collect();
            rules.dedup();
            rules
        };
        consumers.map(rules).collect()
    };
    assert_eq!(
        broken(&as_all("other.pub", name)),
        [["podman-5/key"], ["rpm-ostree/key"], ["cosign-2/key"], ["cosign-3/bundle-first"]]
    );
    let renamed = as_all("trusted.pub", "registry.example/small:2");
    let none: [&str; 0] = [];
    assert_eq!(
        broken(&renamed),
        [&["podman-5/identity"][..], &["rpm-ostree/identity"], &none, &none]
    );
    verify(&["--as=docker", "--key=trusted.pub", "--signed-as", name])
        .fails(2)
        .says("expected one of podman-5, rpm-ostree, cosign-2, cosign-3");
    verify(&["--as=podman-5", "--signed-as", name]).fails(2).says("give --key PUB");
    assert!(Path::new(&key("trusted")).exists());
}

/// What else is asked for holds beside what the host says, or is refused as asking nothing.
#[test]
fn nothing_that_is_asked_for_is_left_out_where_a_host_judges() {
    let env = small();
    generate(&env, "trusted", "ecdsa-p256");
    generate(&env, "other", "ecdsa-p256");
    let build = ["build", "small.yaml", "-o", "oci:out", "--key=trusted.key"];
    env.treelay(build).env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    let policy = |key: &str| {
        let rule = json!({"type": "sigstoreSigned", "keyPath": key});
        let policy = json!({"default": [{"type": "reject"}],
            "transports": {"docker": {"registry.example": [rule]}}});
        env.write("policy.json", policy.to_string());
    };
    // A path without a root is one of the directory that the command is run in.
    policy("trusted.pub");
    let name = "--signed-as=registry.example/small:1.0";
    let (by_policy, by_consumer) = ("--policy=policy.json", "--as=podman-5");
    let verify = |args: &[&str]| env.treelay(["verify", "oci:out", name]).args(args);
    verify(&[by_policy]).ok();
    verify(&[by_policy, by_consumer, "--key=trusted.pub", "--require-form=both", "--blobs"])
        .ok()
        .says("good: oci:");

    let other = "--key=other.pub";
    verify(&[by_policy, other]).fails(1).says("accepted, signed by").says("was not made by key");
    let documents = [by_policy, "--key=trusted.pub", "--require=provenance,sbom"];
    verify(&documents).fails(1).says("no provenance of linux/amd64");
    let documents = [by_consumer, "--key=trusted.pub", "--require=sbom"];
    let told = verify(&documents).arg("--json").fails(1).json();
    assert_eq!(told["consumers"][0]["accepted"], true, "{told}");
    assert_eq!((&told["good"], &told["verified"]["good"]), (&json!(false), &json!(false)));
    let both = [by_consumer, "--key=trusted.pub", "--require-form=both"];
    verify(&both).ok();
    let index = fs::read_to_string(env.path("out/index.json")).unwrap();
    let mut without: Value = serde_json::from_str(&index).unwrap();
    without["manifests"].as_array_mut().unwrap().retain(|entry| {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str();
        name.is_none_or(|name| !name.starts_with("sha256-") || name.ends_with(".sig"))
    });
    env.write("out/index.json", without.to_string());
    verify(&[by_consumer, "--key=trusted.pub"]).ok();
    verify(&both).fails(1).says("bundle");
    env.write("out/index.json", index);

    for args in [
        &[by_policy, "--require-form=both"][..],
        &[by_policy, "--blobs"],
        &[by_policy, "--gpg-keyring=/nonexistent"],
        &[by_consumer, "--key=trusted.pub", "--revoked=trusted.pub"],
        &[by_policy, "--remote=origin"],
        &[by_policy, "--identity=a"],
        &[by_policy, "--bundle=f"],
        &["--key=trusted.pub", "--type=vuln"],
    ] {
        verify(args).fails(2).says("--");
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    for option in ["--require=sbom", "--policy=/nonexistent", "--as=podman-5"] {
        let file = ["verify", &digest, "--bundle=f", "--key=trusted.pub", option];
        env.treelay(file).fails(2).says("not files");
    }

    // A key that is a pipe is not waited for.
    let fifo = std::process::Command::new("mkfifo").arg(env.path("pipe.pub")).status().unwrap();
    assert!(fifo.success());
    policy("pipe.pub");
    verify(&[by_policy]).fails(1).says("it is no file");
}
