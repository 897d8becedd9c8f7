//! Keys that are in no file: in a token of softhsm2, and behind a program that has OpenSSL sign.

use std::fs;
use std::path::Path;

use treelay_tests::registry::Registry;
use treelay_tests::{Cosign, Env, Run, tools};

use crate::small;

/// The keys of the token by label, which softhsm2 imports from OpenSSL's files of the same name.
const KEYS: [(&str, &[&str]); 3] = [
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
];
const PIN: &str = "2468";

/// RFC 8032, section 7.1, test 1, as PKCS#8 (RFC 8410, section 7).
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

/// The environment of small images, with the token `lab`.
fn env() -> Env {
    let env = small::env();
    for (name, options) in KEYS {
        env.run(tools::program("openssl")).arg("genpkey").args(options).args(["-out", name]).ok();
    }
    env.write("ed25519", ED25519);
    let tokens = env.path("tokens");
    fs::create_dir(&tokens).unwrap();
    env.write("softhsm2.conf", format!("directories.tokendir = {}\n", tokens.display()));
    init(&env, "lab");
    for (id, name) in ["p256", "p384", "rsa", "ed25519"].into_iter().enumerate() {
        import(&env, name, name, &format!("0{id}"));
    }
    env
}

fn softhsm(env: &Env) -> Run {
    let conf = env.path("softhsm2.conf");
    env.run(tools::program("softhsm2-util")).env("SOFTHSM2_CONF", conf)
}

fn init(env: &Env, token: &str) {
    let init = ["--init-token", "--free", "--label", token, "--pin", PIN, "--so-pin", "13579"];
    softhsm(env).args(init).ok();
}

fn import(env: &Env, file: &str, label: &str, id: &str) {
    let import = ["--import", file, "--token", "lab", "--label", label, "--id", id, "--pin", PIN];
    softhsm(env).args(import).ok();
}

/// `--key` of a key in the token.
fn key(label: &str) -> String {
    format!("--key=pkcs11:token=lab;object={label}?module-name=softhsm2")
}

/// treelay without a PIN.
fn locked<S: AsRef<std::ffi::OsStr>>(env: &Env, args: impl IntoIterator<Item = S>) -> Run {
    env.treelay(args).env("SOFTHSM2_CONF", env.path("softhsm2.conf"))
}

fn treelay<S: AsRef<std::ffi::OsStr>>(env: &Env, args: impl IntoIterator<Item = S>) -> Run {
    locked(env, args).env("TREELAY_PIN", PIN)
}

/// Writes `NAME.pub` as treelay shows it, which must be what OpenSSL makes of the file.
fn export(env: &Env, name: &str) -> String {
    let uri = key(name).replace("--key=", "");
    let shown = locked(env, ["key", "public", &uri]).ok().out();
    let public = env.run(tools::program("openssl")).args(["pkey", "-pubout", "-in", name]).ok();
    assert_eq!(shown, public.out());
    env.write(&format!("{name}.pub"), shown);
    format!("--key={name}.pub")
}

#[test]
fn images_signed_by_a_token_are_good_for_treelay_and_cosign() {
    let env = env();
    let registry = Registry::docker(&env);
    let repository = format!("{}/tools/small", registry.address());
    let image = format!("docker://{repository}:1");
    let build = ["build", "small.yaml", "-o", &image, "--json", &key("p256")];
    let report = treelay(&env, build).ok().json();
    let others = [key("p384"), key("rsa"), key("ed25519")];
    treelay(&env, ["sign", &image]).args(&others).ok();
    for name in ["p256", "p384", "rsa", "ed25519"] {
        let public = export(&env, name);
        env.treelay(["verify", &image, &public]).ok();
        locked(&env, ["verify", &image, &key(name)]).ok();
        for cosign in Cosign::ALL {
            for digest in small::subjects(&report) {
                let name = format!("{repository}@{digest}");
                let verify = env.cosign(cosign, ["verify", &public]).args(cosign.verify_offline());
                verify.arg(name).ok().says(&digest);
            }
        }
    }
    env.treelay(["verify", &image, "--key=good.pub"]).fails(1);

    // ECDSA of a token takes random numbers: what is there is looked at, and not made again.
    let signatures = format!("sha256-{}.sig", &small::subjects(&report)[0]["sha256:".len()..]);
    let manifest = || {
        let name = registry.docker_name(&format!("tools/small:{signatures}"));
        env.skopeo(["inspect", "--tls-verify=false", "--raw", &name]).ok().out()
    };
    let before = manifest();
    assert_eq!(before.matches("dev.cosignproject.cosign/signature").count(), 4, "{before}");
    let again = treelay(&env, ["sign", &image, &key("p256")]).args(&others).ok();
    again.says("everything carries these signatures already");
    assert_eq!(manifest(), before);
}

#[test]
fn commits_signed_by_a_token_are_good_for_treelay_and_openssl() {
    let env = env();
    let keys = [key("ed25519"), key("p256")];
    treelay(&env, ["build", "small.yaml", "-o", "ostree:repo"]).args(&keys).ok();
    for name in ["ed25519", "p256"] {
        let public = export(&env, name);
        env.treelay(["verify", "ostree:repo", &public]).ok().says("good");
    }
    env.treelay(["verify", "ostree:repo", "--key=good.pub"]).fails(1);
    let again = treelay(&env, ["sign", "ostree:repo"]).args(&keys).ok();
    again.says("everything carries these signatures already");

    // Debian's ostree does not check such signatures; OpenSSL does.
    let refname = "treelay/small/x86_64";
    let commit = env.ostree(["rev-parse", "--repo=repo", refname]).ok().out();
    let (first, rest) = commit.trim().split_at(2);
    for (name, scheme) in [("ed25519", "ostree.sign.ed25519"), ("p256", "ostree.sign.spki")] {
        let of = format!("--print-detached-metadata-key={scheme}");
        let shown = env.ostree(["show", "--repo=repo", &of, refname]).ok().out();
        // What ends in a zero is shown as a string; DER and this Ed25519 signature do not, or once
        // in 256 runs.
        if shown.contains("b'") || shown.contains("b\"") {
            continue;
        }
        let bytes: Vec<u8> = shown
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter_map(|word| u8::from_str_radix(word.strip_prefix("0x")?, 16).ok())
            .collect();
        env.write("signature", bytes);
        let object = env.path(format!("repo/objects/{first}/{rest}.commit"));
        let public = format!("{name}.pub");
        let verify = env.run(tools::program("openssl")).args(["pkeyutl", "-verify", "-pubin"]);
        let verify = verify.args(["-inkey", &public, "-sigfile", "signature", "-rawin", "-in"]);
        let verify = verify.arg(&object);
        let verify = if name == "p256" { verify.args(["-digest", "sha256"]) } else { verify };
        verify.ok().says("Signature Verified Successfully");
    }
}

#[test]
fn tokens_that_do_not_sign_say_why() {
    let env = env();
    small::build(&env, "oci:out", &[]).ok();
    let sign =
        |key: &str| treelay(&env, ["sign", "oci:out", "--sign-as=registry.example/a:1", key]);
    import(&env, "p384", "twin", "aa");
    import(&env, "rsa", "twin", "ab");
    init(&env, "other");
    let from = |uri: &str| format!("--key={uri}?module-name=softhsm2");
    for (key, expected) in [
        (
            from("pkcs11:token=gone;object=p256"),
            vec!["no token fits pkcs11:token=gone", "\"lab\" (serial", "\"other\" (serial"],
        ),
        (
            from("pkcs11:object=p256"),
            vec!["several tokens fit", "\"lab\"", "token, serial or slot"],
        ),
        (
            from("pkcs11:token=lab;object=gone"),
            vec!["no private key fits", "\"p256\" (id 00)", "\"twin\" (id ab)"],
        ),
        (
            from("pkcs11:token=lab;object=twin"),
            vec!["several private keys fit", "(id aa)", "(id ab)", "object or id"],
        ),
        (
            "--key=pkcs11:token=lab?module-path=/no/such/module.so".to_owned(),
            vec!["loading the PKCS#11 module /no/such/module.so", "No such file"],
        ),
        ("--key=pkcs11:token=lab?module-name=gone".to_owned(), vec!["no PKCS#11 module \"gone\""]),
        ("--key=pkcs11:token=lab".to_owned(), vec!["module-path", "COSIGN_PKCS11_MODULE_PATH"]),
    ] {
        let output = sign(&key).fails(1);
        for part in expected {
            assert!(output.err().contains(part), "{key}: {part} is not in {output}");
        }
    }
    let wrong = sign(&key("p256")).env("TREELAY_PIN", "1111").fails(1);
    assert!(wrong.err().contains("the token \"lab\" refuses the PIN: it is wrong"), "{wrong}");
    let long = sign(&key("p256")).env("TREELAY_PIN", "1".repeat(300)).fails(1);
    assert!(long.err().contains("refuses the PIN: it is"), "{long}");
    let none = sign(&key("p256")).without_env("TREELAY_PIN").fails(1);
    assert!(none.err().contains("needs its PIN: set TREELAY_PIN"), "{none}");
    locked(&env, ["key", "import", &key("p256")["--key=".len()..], "--out=new"])
        .env("TREELAY_PIN", PIN)
        .fails(1)
        .says("keeps this key to itself");

    // The other ways to a PIN and to a module; the id tells twins apart.
    env.write("pin", format!("{PIN}\n"));
    let module = Path::new("/usr/lib/softhsm/libsofthsm2.so");
    for (uri, variable) in [
        (
            format!(
                "pkcs11:token=lab;id=%00?module-path={}&pin-source={}",
                module.display(),
                env.path("pin").display()
            ),
            None,
        ),
        ("pkcs11:token=lab;object=twin;id=%aa".to_owned(), Some("COSIGN_PKCS11_PIN")),
    ] {
        let line = ["sign", "oci:out", "--sign-as=registry.example/a:1", "--key", &uri];
        let run = locked(&env, line).env("COSIGN_PKCS11_MODULE_PATH", module);
        match variable {
            Some(name) => run.env(name, PIN).ok(),
            None => run.ok(),
        };
    }
    let told = format!("pkcs11:token=lab;object=rsa?module-name=softhsm2&pin-value={PIN}");
    let line = ["sign", "oci:out", "--sign-as=registry.example/a:1", "--key", &told];
    let output = locked(&env, line).fails(2);
    assert!(output.err().contains("set TREELAY_PIN, or give pin-source=FILE"), "{output}");
}

/// A key service's client, as its users write it: of the digest, or of the message.
const SERVICE: &str = r#"#!/bin/sh
set -e
case "$2" in
public-key) exec openssl pkey -in "$1" -pubout ;;
sign) case "$3" in
    ed25519) cat >"$TMPDIR/message.$$"; openssl pkeyutl -sign -inkey "$1" -rawin -in "$TMPDIR/message.$$" | base64 ;;
    rsa*) openssl dgst -sha256 -sign "$1" | base64 ;;
    *) python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))' "$4" |
        openssl pkeyutl -sign -inkey "$1" -pkeyopt digest:sha256 | base64 -w 0 ;;
    esac ;;
esac
"#;

#[test]
fn images_signed_by_a_program_are_good_for_treelay_and_cosign() {
    let env = env();
    let registry = Registry::docker(&env);
    let repository = format!("{}/tools/small", registry.address());
    let image = format!("docker://{repository}:1");
    env.write("service", SERVICE);
    let service = |name: &str| format!("exec:[\"/bin/sh\", \"./service\", \"{name}\"]");
    let keys = ["p256", "p384", "rsa", "ed25519"].map(|name| format!("--key={}", service(name)));
    env.treelay(["build", "small.yaml", "-o", &image]).args(&keys).ok();
    for name in ["p256", "p384", "rsa", "ed25519"] {
        let public = env.treelay(["key", "public", &service(name)]).ok().out();
        env.write("service.pub", public);
        env.treelay(["verify", &image, "--key=service.pub"]).ok();
        env.treelay(["verify", &image, "--key", &service(name)]).ok();
        for cosign in Cosign::ALL {
            let verify = env.cosign(cosign, ["verify", "--key=service.pub"]);
            verify.args(cosign.verify_offline()).arg(format!("{repository}:1")).ok();
        }
    }
    let again = env.treelay(["sign", &image]).args(&keys).ok();
    again.says("everything carries these signatures already");
}
