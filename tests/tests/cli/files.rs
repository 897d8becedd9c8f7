//! Signatures of files, in bundles, verified by keys and by identities.

use treelay_tests::{Env, Run};

use crate::fixture::prints;

const WHO: &str = "w.vollprecht@gmail.com";
const ISSUER: &str = "https://github.com/login/oauth";

/// An environment with a file that cosign 3 signed for somebody, and one that it signed with a key.
fn files() -> Env {
    let env = Env::new();
    macro_rules! fixture {
        ($to:literal, $name:literal) => {
            env.write($to, include_bytes!(concat!("../../../signing/fixtures/keyless/", $name)))
        };
    }
    fixture!("root.json", "root-public-good.json");
    fixture!("staging.json", "root-staging.json");
    fixture!("blob.txt", "cosign-blob.txt");
    fixture!("blob.json", "cosign-blob-v0.3.json");
    fixture!("key.txt", "key.txt");
    fixture!("key.json", "key-v0.3.json");
    fixture!("key.pub", "key.pub");
    env
}

fn verify(env: &Env, what: &str, args: &[&str]) -> Run {
    env.treelay(["verify", what]).args(args)
}

const BLOB: [&str; 6] =
    ["--bundle=blob.json", "--trusted-root=root.json", "--identity", WHO, "--issuer", ISSUER];

#[test]
fn who_signed_a_file_and_when_is_told() {
    let env = files();
    let output = verify(&env, "file:blob.txt", &BLOB).ok();
    prints(
        &env,
        &output,
        r#"
good: file:blob.txt
  sha256:[SHA256] is signed by w.vollprecht@gmail.com, says https://github.com/login/oauth
  with the certificate [SHA256]
  at 2025-12-03T18:36:42Z by the timestamp authority https://timestamp.sigstore.dev/api/v1/timestamp
  at 2025-12-03T18:36:43Z by the log https://rekor.sigstore.dev
  in a bundle of version 0.3 with a signature over the bytes
  logged as entry 738312748 of https://rekor.sigstore.dev (hashedrekord 0.0.1)
"#,
    );
    let digest = "sha256:e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764";
    let seen = verify(&env, digest, &BLOB).arg("--json").ok().json();
    assert_eq!(seen["good"], true, "{seen}");
    let signature = &seen["signature"];
    assert_eq!(signature["identity"], WHO, "{seen}");
    assert_eq!(signature["times"][0]["time"], "2025-12-03T18:36:42Z", "{seen}");
    assert_eq!(signature["log"][0]["index"], 738_312_748, "{seen}");

    let pattern = ["--bundle=blob.json", "--trusted-root=root.json", "--issuer", ISSUER];
    verify(&env, "file:blob.txt", &pattern).arg("--identity-regexp=.*@gmail\\.com").ok();
    verify(&env, "file:blob.txt", &pattern)
        .arg("--identity-regexp=vollprecht")
        .fails(1)
        .says("signed by w.vollprecht@gmail.com, not by /vollprecht/");
}

#[test]
fn what_is_not_signed_by_them_is_refused() {
    let env = files();
    env.write("other.txt", "test content for cosigm\n");
    let output = verify(&env, "file:other.txt", &BLOB).fails(1);
    output.says("error: file:other.txt is refused: the reasons are above");
    let seen = verify(&env, "file:other.txt", &BLOB).arg("--json").fails(1).json();
    assert_eq!(seen["good"], false, "{seen}");
    assert!(seen["reasons"][0].as_str().unwrap().starts_with("signed for sha256:e194"), "{seen}");
    let mut other = BLOB;
    other[1] = "--trusted-root=staging.json";
    let hint = "a trusted root that is too old, or of another instance";
    verify(&env, "file:blob.txt", &other).fails(1).says(hint);
    other = BLOB;
    other[3] = "somebody@treelay.example";
    let reason = "signed by w.vollprecht@gmail.com, not by somebody@treelay.example";
    verify(&env, "file:blob.txt", &other).fails(1).says(reason);
}

#[test]
fn files_are_verified_by_keys() {
    let env = files();
    let by_key = ["--bundle=key.json", "--key=key.pub"];
    verify(&env, "file:key.txt", &by_key).ok().says("were not checked: that takes --trusted-root");
    let root = verify(&env, "file:key.txt", &by_key).arg("--trusted-root=root.json").ok();
    root.says("logged as entry 771488337 of https://rekor.sigstore.dev (hashedrekord 0.0.1)");
    verify(&env, "file:blob.txt", &by_key).fails(1).says("signed for sha256:a0cf");
    let by_certificate = ["--bundle=blob.json", "--key=key.pub"];
    verify(&env, "file:blob.txt", &by_certificate).fails(1).says("give an identity");
    let mut by_identity = BLOB;
    by_identity[0] = "--bundle=key.json";
    verify(&env, "file:key.txt", &by_identity).fails(1).says("give the key");
}

#[test]
fn what_is_missing_is_asked_for() {
    let env = files();
    for (args, message) in [
        (&["--bundle=blob.json"][..], "nothing to verify with"),
        (&["--bundle=blob.json", "--identity=a"], "--identity needs --issuer"),
        (&["--bundle=blob.json", "--issuer=a"], "--issuer needs --identity"),
        (&["--bundle=blob.json", "--identity=a", "--issuer=b"], "cosign trusted-root create"),
        (&["--key=key.pub"], "--bundle FILE"),
        (
            &["--bundle=blob.json", "--identity=a", "--issuer=b", "--key=key.pub"],
            "give either --key, or --identity and --issuer",
        ),
        (
            &["--bundle=blob.json", "--identity-regexp=a)|(.*", "--issuer=b"],
            "is not a regular expression",
        ),
        (&["--bundle=blob.json", "--key=key.pub", "--remote=origin"], "--remote"),
    ] {
        verify(&env, "file:blob.txt", args).fails(2).says(message);
    }
    verify(&env, "oci:out", &["--key=key.pub", "--bundle=blob.json"]).fails(2).says("is for files");
    verify(&env, "sha256:12", &BLOB).fails(2).says("64 lowercase hex digits");
    verify(&env, "sha512:12", &BLOB).fails(2).says("128 lowercase hex digits");
    verify(&env, "blob.txt", &BLOB).fails(2).says("or, with --bundle, file:PATH");
    verify(&env, "file:none.txt", &BLOB).fails(1).says("reading file:none.txt");
    env.write("junk.json", "{}");
    let mut junk = BLOB;
    junk[0] = "--bundle=junk.json";
    verify(&env, "file:blob.txt", &junk).fails(1).says("using the bundle junk.json");
    junk = BLOB;
    junk[1] = "--trusted-root=junk.json";
    verify(&env, "file:blob.txt", &junk).fails(1).says("using the trusted root junk.json");
}
