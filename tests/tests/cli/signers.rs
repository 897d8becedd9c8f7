//! Keys that are not in files of cosign's: variables, programs, other files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use treelay_tests::Env;

use crate::fixture::{build, refused, refuses, small};
use crate::keys::generate;

/// `openssl genpkey -algorithm ed25519`
const OPEN: &str = include_str!("../../../signing/fixtures/openssl-ed25519.pem");
/// The same key's other half.
const OPEN_PUBLIC: &str = include_str!("../../../signing/fixtures/cosign-2.5-ed25519.pub");
/// Its password is `treelay`.
const SEALED: &str = include_str!("../../../signing/fixtures/openssl-sealed.pem");
const SEALED_PUBLIC: &str = include_str!("../../../signing/fixtures/openssl-sealed.pub");

/// An environment with the repository `repo`, which nobody has signed.
fn built() -> Env {
    let env = small();
    build(&env, &["-o", "ostree:repo"]);
    env
}

#[test]
fn keys_are_taken_from_variables() {
    let env = built();
    env.treelay(["sign", "ostree:repo", "--key=env://SIGNING_KEY"]).env("SIGNING_KEY", OPEN).ok();
    let verify = || env.treelay(["verify", "ostree:repo", "--key=env://PUBLIC"]);
    verify().env("PUBLIC", OPEN_PUBLIC).ok();
    verify().env("PUBLIC", SEALED_PUBLIC).fails(1);
    refused(
        &env,
        verify(),
        1,
        r#"
error: the variable PUBLIC is not set
hint: env://PUBLIC is the PEM of a key that is in PUBLIC itself
"#,
    );
    let sign = || env.treelay(["sign", "ostree:repo", "--key=env://KEY"]).env("KEY", SEALED);
    refused(
        &env,
        sign(),
        1,
        r#"
error: using the key env://KEY
  because: env://KEY needs a password: set COSIGN_PASSWORD, or run this on a terminal
"#,
    );
    sign().env("COSIGN_PASSWORD", "treelay").ok();
    verify().env("PUBLIC", SEALED_PUBLIC).ok();
}

#[test]
fn names_that_are_no_places_of_keys_are_refused_as_usage() {
    let env = small();
    let key = |text: &str| env.treelay(["key", "public", text]).fails(2).err();
    for (text, expected) in [
        ("awskms:///alias/release", "keys at awskms:// are not asked for directly"),
        ("exec:[\"a\"", "is no command"),
        ("env://", "is not the name of a variable"),
        ("pkcs11:colour=red", "\"colour\" before the ?"),
        ("pkcs11:id=%4", "id of a pkcs11: URI is not written with %"),
        ("pkcs11:id=%01?pin-value=98765", "set TREELAY_PIN, or give pin-source=FILE"),
        ("exec:[\"a\", \"--token=98765", "is no command"),
    ] {
        let said = key(text);
        assert!(said.contains(expected) && !said.contains("98765"), "{text}: {said}");
    }
    let file = ["key", "public", "file:exec:x"];
    refuses(
        &env,
        file,
        1,
        "error: reading the key exec:x\n  because: No such file or directory (os error 2)\n",
    );
}

#[test]
fn the_public_half_of_every_key_can_be_shown() {
    let env = small();
    generate(&env, "key", "ecdsa-p256");
    let public = env.read("key.pub");
    let show = |key: &str| env.treelay(["key", "public", key]);
    let sealed = show("key.key").env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    assert_eq!((sealed.out(), sealed.err()), (public.clone(), String::new()));
    assert_eq!(show("key.pub").ok().out(), public);
    assert_eq!(show("env://KEY").env("KEY", OPEN).ok().out(), OPEN_PUBLIC);
    show("key.key").fails(1).says("needs a password");
    show("small.yaml").fails(1).says("using the key small.yaml");
}

#[test]
fn keys_of_others_are_sealed_as_cosigns() {
    let env = built();
    env.write("open.pem", OPEN);
    let import = |key: &str, out: &str| {
        env.treelay(["key", "import", key, "--out", out]).env("COSIGN_PASSWORD", "treelay")
    };
    import("open.pem", "open").ok();
    assert_eq!(env.read("open.pub"), OPEN_PUBLIC);
    assert!(env.read("open.key").starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    let mode = fs::metadata(env.path("open.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let sign = env.treelay(["sign", "ostree:repo", "--key=open.key"]);
    sign.env("COSIGN_PASSWORD", "treelay").ok();
    env.treelay(["verify", "ostree:repo", "--key=open.pub"]).ok();

    import("env://KEY", "sealed").env("KEY", SEALED).ok();
    assert_eq!(env.read("sealed.pub"), SEALED_PUBLIC);
    import("open.pem", "open").fails(1).says("is there already");
    import("open.pub", "again").fails(1).says("a public key");
    import("env://KEY", "again").env("KEY", SEALED).env("COSIGN_PASSWORD", "no").fails(1);
    assert!(!env.path("again.key").exists() && !env.path("again.pub").exists());
}

#[test]
fn programs_give_keys_and_signatures() {
    let env = built();
    // It knows one public key, and signs with nothing.
    env.write("open.pub", OPEN_PUBLIC);
    let answer = |words: &str| {
        let script = format!("case $1 in public-key) cat open.pub;; *) {words};; esac");
        let command = serde_json::json!(["/bin/sh", "-c", script, "sh"]);
        format!("exec:{command}")
    };
    let silent = answer("exit 1");
    assert_eq!(env.treelay(["key", "public", &silent]).ok().out(), OPEN_PUBLIC);
    // Passwords and PINs are for treelay; the rest of the environment is for both.
    let script = "echo $OTHER-$COSIGN_PASSWORD$TREELAY_PIN$COSIGN_PKCS11_PIN >seen; cat open.pub";
    let curious = format!("exec:{}", serde_json::json!(["/bin/sh", "-c", script, "sh"]));
    let mut asks = env.treelay(["key", "public", &curious]).env("OTHER", "other");
    for name in ["COSIGN_PASSWORD", "TREELAY_PIN", "COSIGN_PKCS11_PIN"] {
        asks = asks.env(name, "secret");
    }
    asks.ok();
    assert_eq!(env.read("seen"), "other-\n");
    let sign = |key: &str| env.treelay(["sign", "ostree:repo", "--key", key]).fails(1).err();
    for (words, expected) in [
        ("exit 7", "/bin/sh sign failed (exit status: 7)"),
        ("echo no vault >&2; exit 1", "failed (exit status: 1): no vault"),
        (
            "echo AAAA",
            "the program /bin/sh gave a wrong answer: expected a signature by its ed25519",
        ),
        ("cat open.pub", "expected the signature in base64"),
    ] {
        let said = sign(&answer(words));
        assert!(said.contains(expected), "{words}: {said}");
    }
    refuses(
        &env,
        ["sign", "ostree:repo", "--key=exec:/no/such/program"],
        1,
        r#"
error: using the key exec:/no/such/program
  because: starting /no/such/program
  because: No such file or directory (os error 2)
"#,
    );
    refuses(
        &env,
        ["verify", "ostree:repo", "--key=exec:/bin/false"],
        1,
        r#"
error: using the public key exec:/bin/false
  because: /bin/false public-key failed (exit status: 1)
"#,
    );
    let import = ["key", "import", &silent, "--out=copy"];
    env.treelay(import).env("COSIGN_PASSWORD", "x").fails(1).says("keeps this key to itself");
    env.treelay(["verify", "ostree:repo", "--key=open.pub"]).fails(1);
}
