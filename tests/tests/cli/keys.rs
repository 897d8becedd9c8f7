//! Keys, signing and verifying.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;

use serde_json::Value;
use treelay_tests::{Env, Run};

use crate::fixture::{build, prints, refused, refuses, settle, small, write_small};

/// treelay with the password of the environment's keys.
fn with_password(env: &Env, args: &[&str]) -> Run {
    env.treelay(args).env("COSIGN_PASSWORD", Env::PASSWORD)
}

/// Makes `NAME.key` and `NAME.pub`.
pub fn generate(env: &Env, name: &str, kind: &str) {
    with_password(env, &["key", "generate", "--out", name, "--type", kind]).ok();
}

/// An environment with the signed layout `out` and the signed repository `repo`, the key `key` that
/// signed them, and another one. Made once, since keys cost time on purpose, and copied for each.
pub fn signed() -> Env {
    static MADE: OnceLock<Env> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let env = Env::for_all_tests();
        write_small(&env, "");
        generate(&env, "key", "ecdsa-p256");
        generate(&env, "other", "ecdsa-p256");
        let dests = ["-o", "oci:out", "-o", "ostree:repo"];
        with_password(&env, &["build", "small.yaml", "--key", "key.key"]).args(dests).ok();
        env
    });
    let env = Env::new();
    env.run("cp").arg("--archive").arg(made.path(".")).arg(env.path("")).ok();
    env
}

#[test]
fn a_new_key_is_two_files_that_are_never_overwritten() {
    let env = Env::new();
    let generate = |name: &str| with_password(&env, &["key", "generate", "--out", name]);
    let made = generate("key").after_shell("umask 000").ok();
    prints(&env, &made, "[WORK]/key.key\n[WORK]/key.pub\n");
    let mode = |file: &str| fs::metadata(env.path(file)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("key.key"), mode("key.pub")), (0o600, 0o644));
    assert!(env.read("key.key").starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    assert!(env.read("key.pub").starts_with("-----BEGIN PUBLIC KEY-----\n"));

    let before = (env.read("key.key"), env.read("key.pub"));
    let there = |file: &str| {
        format!(
            "error: [WORK]/{file} is there already\nhint: keys are never overwritten: move it \
             away, or give another --out\n"
        )
    };
    refused(&env, generate("key"), 1, &there("key.key"));
    fs::remove_file(env.path("key.key")).unwrap();
    refused(&env, generate("key"), 1, &there("key.pub"));
    assert!(!env.path("key.key").exists());
    assert_eq!(env.read("key.pub"), before.1);

    refused(
        &env,
        env.treelay(["key", "generate", "--out", "mine"]),
        1,
        "error: [WORK]/mine.key needs a password: set COSIGN_PASSWORD, or run this on a terminal\n",
    );
    refused(
        &env,
        generate("gone/key"),
        1,
        r#"
error: writing [WORK]/gone/key.key
  because: No such file or directory (os error 2)
"#,
    );
    assert_eq!(fs::read_dir(env.path("")).unwrap().count(), 1);
}

#[test]
fn what_a_build_signed_is_good() {
    let env = signed();
    let verify = |dest: &str| env.treelay(["verify", "--key", "key.pub", dest]).ok();
    let text = settle(&env, &verify("oci:out").out());
    let fingerprint = text.lines().nth(1).unwrap().split(' ').nth(7).unwrap();
    assert_eq!(
        text.replace(fingerprint, "[SHORT]"),
        r#"good: oci:[WORK]/out sha256:[SHA256]
  index [SHORT]: good .sig by [SHORT] as registry.example/small:1.0
  index [SHORT]: good bundle by [SHORT]
  linux/amd64 [SHORT]: good .sig by [SHORT] as registry.example/small:1.0
  linux/amd64 [SHORT]: good bundle by [SHORT]
  linux/arm64/v8 [SHORT]: good .sig by [SHORT] as registry.example/small:1.0
  linux/arm64/v8 [SHORT]: good bundle by [SHORT]
"#
    );
    prints(
        &env,
        &verify("ostree:repo"),
        r#"
good: treelay/small/aarch64 [SHA256] (13 objects)
  good: ostree.sign.spki by [SHA256]
good: treelay/small/x86_64 [SHA256] (13 objects)
  good: ostree.sign.spki by [SHA256]
"#,
    );
    prints(
        &env,
        &env.treelay(["inspect", "ostree:repo:treelay/small/x86_64"]).ok(),
        r#"
treelay/small/x86_64 [SHA256]
  small 1.0, 2023-11-14T22:13:20Z
  5 files, 6 directories, [SIZE]
  content [SHA256]
  ostree.architecture: x86_64
  ostree.ref-binding: ['treelay/small/x86_64']
  version: 1.0
  layer settings: 2 files, [SIZE]; /usr/bin/ /usr/etc/
  layer data: 3 files, [SIZE]; /usr/share/
  signed: 1 of ostree.sign.spki
"#,
    );
    env.treelay(["inspect", "oci:out"]).ok().says("1 signature\n");
}

#[test]
fn signatures_are_reported_and_made_once() {
    let env = small();
    generate(&env, "key", "ecdsa-p256");
    generate(&env, "line", "ed25519");
    let keys = ["--key", "key.key", "--key", "line.key"];
    let sign = |dest: &str| with_password(&env, &["sign", dest, "--json"]).args(keys).ok().json();
    let dests = ["-o", "oci:out", "-o", "ostree:repo"];
    let line = ["build", "small.yaml", "--json"];
    let built = with_password(&env, &line).args(dests).args(keys).ok().json();
    let signatures = built["signatures"].as_array().unwrap();
    let of = |subject: &str| -> Vec<&str> {
        let found = signatures.iter().filter(|one| one["subject"] == subject);
        found.map(|one| one["scheme"].as_str().unwrap()).collect()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut subjects = vec![text(&built["index"]["digest"])];
    subjects.extend(built["images"].as_array().unwrap().iter().map(|image| text(&image["digest"])));
    for subject in &subjects {
        let both = ["simplesigning", "sigstore-bundle"];
        assert_eq!(of(subject), [both, both].concat(), "{built}");
    }
    for commit in built["commits"].as_array().unwrap() {
        let mut schemes = of(commit["checksum"].as_str().unwrap());
        schemes.sort_unstable();
        assert_eq!(schemes, ["ostree.sign.ed25519", "ostree.sign.spki"]);
    }
    for dest in ["oci:out", "ostree:repo"] {
        let named =
            if dest == "oci:out" { &["--sign-as", "registry.example/small:1.0"][..] } else { &[] };
        let again = with_password(&env, &["sign", dest]).args(keys).args(named).ok();
        prints(&env, &again, "everything carries these signatures already\n");
        for key in ["key.pub", "line.pub"] {
            env.treelay(["verify", dest, "--key", key]).ok();
        }
    }
    assert_eq!(sign("ostree:repo")["signatures"], serde_json::json!([]));
}

#[test]
fn annotations_are_signed_and_shown() {
    let env = small();
    generate(&env, "key", "ed25519");
    with_password(&env, &["build", "small.yaml", "-o", "oci:out"]).ok();
    let sign = |more: &[&str]| {
        let line = ["sign", "oci:out", "--key", "key.key", "--sign-as", "registry.example/a:1"];
        with_password(&env, &line).args(more)
    };
    let signed = sign(&["-a", "build=7", "--annotation", "by=a=b"]).ok();
    assert_eq!(signed.out().lines().count(), 6, "{signed}");
    let verify = ["verify", "oci:out", "--key", "key.pub", "--require-form", "both"];
    let output = env.treelay(verify).ok();
    assert_eq!(output.out().matches(" build=7 by=a=b\n").count(), 6, "{output}");
    for (more, code, says) in [
        (&["-a", "x"][..], 2, "KEY=VALUE"),
        (&["-a", "=x"], 2, "KEY=VALUE"),
        (&["-a", "a=1", "-a", "a=2"], 2, "two annotations"),
        (&["-a", "timestamp=1"], 1, "\"timestamp\" cannot be the name"),
    ] {
        let refused = sign(more).fails(code);
        assert!(refused.err().contains(says), "{refused}");
    }
    let commit = ["sign", "ostree:repo", "--key", "key.key", "-a", "a=1"];
    let refused = with_password(&env, &commit).fails(2);
    assert!(refused.err().contains("for images"), "{refused}");
}

#[test]
fn verify_says_in_json_what_it_found() {
    let env = signed();
    let report = build(&env, &[]);
    let verify = |dest: &str, key: &str| env.treelay(["verify", "--json", dest, "--key", key]);
    let good = verify("oci:out", "key.pub").ok().json();
    assert_eq!(good["good"], true);
    assert_eq!(good["image"]["image"], report["index"]["digest"]);
    let subjects = good["image"]["subjects"].as_array().unwrap();
    let names: Vec<_> = subjects.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["index", "linux/amd64", "linux/arm64/v8"]);
    for subject in subjects {
        assert_eq!(subject["refusal"], Value::Null);
        assert_eq!(subject["signatures"][0]["verdict"], "good");
        assert_eq!(subject["signatures"][0]["reference"], "registry.example/small:1.0");
    }
    let bad = verify("oci:out", "other.pub").fails(1).json();
    assert_eq!(bad["good"], false);
    for subject in bad["image"]["subjects"].as_array().unwrap() {
        assert_eq!(subject["refusal"]["kind"], "other-keys");
    }

    let good = verify("ostree:repo", "key.pub").ok().json();
    assert_eq!(good["good"], true);
    assert_eq!(good["commits"][0]["signatures"][0]["verdict"], "good");
    let bad = verify("ostree:repo", "other.pub").fails(1).json();
    assert_eq!(bad["good"], false);
    assert!(!bad["commits"][0]["reasons"].as_array().unwrap().is_empty());
}

#[test]
fn another_key_is_refused_with_the_reasons() {
    let env = signed();
    let verify = |args: &[&str]| env.treelay(["verify"]).args(args).fails(1);
    let output = verify(&["oci:out", "--key", "other.pub"]);
    prints(
        &env,
        &output,
        r#"
refused: oci:[WORK]/out sha256:[SHA256]
  index (sha256:[SHA256]): its one signature (sha256-[SHA256].sig) was not made by key [SHA256], or was changed afterwards
  index (sha256:[SHA256]): its one signature (bundles) was not made by key [SHA256], or was changed afterwards
  linux/amd64 (sha256:[SHA256]): its one signature (sha256-[SHA256].sig) was not made by key [SHA256], or was changed afterwards
  linux/amd64 (sha256:[SHA256]): its one signature (bundles) was not made by key [SHA256], or was changed afterwards
  linux/arm64/v8 (sha256:[SHA256]): its one signature (sha256-[SHA256].sig) was not made by key [SHA256], or was changed afterwards
  linux/arm64/v8 (sha256:[SHA256]): its one signature (bundles) was not made by key [SHA256], or was changed afterwards
"#,
    );
    assert_eq!(output.err(), "error: oci:out is refused: the reasons are above\n");
    let output = verify(&["ostree:repo:treelay/small/x86_64", "--key", "other.pub"]);
    prints(
        &env,
        &output,
        r#"
refused: treelay/small/x86_64 [SHA256] (13 objects)
  it has no good signature by one of the given keys (ostree.sign.spki: not made by key [SHA256], or it or the signed bytes were changed afterwards)
"#,
    );
    let name = ["--signed-as", "registry.example/large"];
    let output = verify(&["oci:out", "--key", "key.pub", name[0], name[1]]);
    let line = "its signature in sha256-[SHA256].sig is signed by the key under the name \
                registry.example/small:1.0, not registry.example/large; sign it again under the \
                name it has now";
    assert!(settle(&env, &output.out()).contains(line), "{output}");
    env.treelay(["verify", "oci:out", "--key", "key.pub", name[0], "registry.example/small"]).ok();
    // One of several keys is enough.
    env.treelay(["verify", "oci:out", "--key", "other.pub", "--key", "key.pub"]).ok();

    build(&env, &["-o", "oci:plain", "-o", "ostree:plain.repo"]);
    let output = verify(&["oci:plain", "--key", "key.pub"]);
    assert!(settle(&env, &output.out()).contains("it is not signed: oci:[WORK]/plain has no tag"));
    let output = verify(&["ostree:plain.repo", "--key", "key.pub"]);
    assert!(output.out().contains("no signature by one of the given keys: it has none at all"));
}

#[test]
fn commits_with_signatures_of_two_kinds_are_good_by_either() {
    let env = signed();
    generate(&env, "line", "ed25519");
    with_password(&env, &["sign", "ostree:repo", "--key", "line.key"]).ok();
    let output = env.treelay(["verify", "ostree:repo", "--key", "line.pub"]).ok();
    let text = output.out();
    assert_eq!(text.matches("good: ostree.sign.ed25519").count(), 2, "{text}");
    // What another key made with another scheme is no fault of the commit's.
    assert_eq!(text.matches("\n  unknown: ostree.sign.spki: made by a key of the kind").count(), 2);
}

#[test]
fn passwords_that_are_missing_or_wrong() {
    let env = signed();
    let sign = || env.treelay(["sign", "ostree:repo", "--key", "key.key"]);
    refused(
        &env,
        sign().env("COSIGN_PASSWORD", "wrong"),
        1,
        r#"
error: using the key key.key
  because: wrong password (or the sealed key was changed)
"#,
    );
    refused(
        &env,
        sign(),
        1,
        r#"
error: using the key key.key
  because: key.key needs a password: set COSIGN_PASSWORD, or run this on a terminal
"#,
    );
    // Before anything is built, not after.
    let line = ["build", "small.yaml", "--key", "key.key", "-o", "oci:new"];
    env.treelay(line).env("COSIGN_PASSWORD", "wrong").fails(1);
    assert!(!env.path("new").exists());
}

/// The key file with its sealed JSON changed.
fn resealed(env: &Env, change: impl Fn(&mut Value)) {
    let text = env.read("key.key");
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    let body = env.run("base64").arg("-d").stdin(lines[1..lines.len() - 1].join("\n")).ok();
    let mut json: Value = serde_json::from_slice(&body.stdout).unwrap();
    change(&mut json);
    let body = env.run("base64").args(["-w", "64"]).stdin(json.to_string()).ok().out();
    env.write("changed.key", format!("{first}\n{body}{last}\n"));
}

#[test]
fn key_files_that_ask_for_absurd_work_are_refused_at_once() {
    let env = signed();
    let sign = || with_password(&env, &["sign", "ostree:repo", "--key", "changed.key"]);
    resealed(&env, |_| {});
    sign().ok();
    for (name, value) in [("N", 1_u64 << 40), ("N", 1), ("r", 1 << 20), ("p", 1 << 20), ("p", 0)] {
        resealed(&env, |key| key["kdf"]["params"][name] = value.into());
        let output = sign().fails(1);
        let said = settle(&env, &output.err());
        assert!(said.starts_with("error: using the key changed.key\n  because: "), "{said}");
        assert!(
            said.contains("absurd parameters: kdf.params.") && said.contains(&value.to_string()),
            "{said}"
        );
    }
    for (part, field) in [("kdf", "name"), ("kdf", "salt"), ("cipher", "name"), ("cipher", "nonce")]
    {
        resealed(&env, |key| key[part][field] = "bm8=".into());
        sign().fails(1).says("error: using the key changed.key");
    }
}

#[test]
fn files_that_are_no_keys_are_told() {
    let env = signed();
    let no_key = "not a key: expected PEM, or one line of base64 as ostree keeps ed25519 keys";
    for (args, because) in [
        (
            &["sign", "ostree:repo", "--key", "small.yaml"],
            format!("using the key small.yaml\n  because: {no_key}"),
        ),
        (
            &["verify", "oci:out", "--key", "small.yaml"],
            format!("using the public key small.yaml\n  because: {no_key}"),
        ),
        (
            &["verify", "oci:out", "--key", "key.key"],
            "using the public key key.key\n  because: a secret key: give the public key that \
             belongs to it, and keep this one to yourself"
                .to_owned(),
        ),
        (
            &["sign", "ostree:repo", "--key", "key.pub"],
            "using the key key.pub\n  because: a public key: signing needs the secret key that \
             belongs to it"
                .to_owned(),
        ),
        (
            &["verify", "oci:out", "--key", "gone.pub"],
            "reading the key gone.pub\n  because: No such file or directory (os error 2)"
                .to_owned(),
        ),
    ] {
        refuses(&env, args, 1, &format!("error: {because}\n"));
    }
}

#[test]
fn a_name_to_sign_under_is_asked_for_before_the_work() {
    let env = signed();
    env.write(
        "small.yaml",
        crate::fixture::SMALL.replace("  reference: registry.example/small", "  {}"),
    );
    let build = ["build", "small.yaml", "--key", "key.key", "-o", "oci:new"];
    refused(
        &env,
        with_password(&env, &build),
        2,
        r#"
error: nothing says what name the signature should carry
hint: give --sign-as REPO:TAG, or set image.reference in the recipe
"#,
    );
    assert!(!env.path("new").exists());
    refused(
        &env,
        with_password(&env, &["sign", "oci:out", "--key", "key.key"]),
        2,
        r#"
error: a layout does not say what name it is pulled by
hint: give --sign-as REPO:TAG
"#,
    );
    with_password(&env, &build).args(["--sign-as", "registry.example/new"]).ok();
    let name = ["--signed-as", "registry.example/new:1.0"];
    env.treelay(["verify", "oci:new", "--key", "key.pub"]).args(name).ok();
}
