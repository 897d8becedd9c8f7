//! Kits for hosts, the hosts they are installed on, and what `doctor` says of them.

mod verdicts;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use treelay_tests::rfc8032::{self, PUBLIC};
use treelay_tests::{Env, Output, Run};

use crate::fixture::{listing, small};
use crate::keys::generate;

/// What distributions ship.
const STOCK: &str = r#"{
    "default": [
        {
            "type": "insecureAcceptAnything"
        }
    ],
    "transports":
        {
            "docker-daemon":
                {
                    "": [{"type":"insecureAcceptAnything"}]
                }
        }
}
"#;

const IMAGE: &str = "docker://registry.example/tools/small:1";

const POLICY: &str = "root/etc/containers/policy.json";

/// A host whose policy is this, and the key `trusted`.
fn host(policy: &str) -> Env {
    let env = Env::new();
    generate(&env, "trusted", "ecdsa-p256");
    env.write(POLICY, policy);
    env
}

fn kit(env: &Env, args: &[&str]) -> Run {
    env.treelay(["host-kit", IMAGE, "--key=trusted.pub"]).args(args)
}

fn install(env: &Env, args: &[&str]) -> Run {
    env.run("/bin/sh").args(["kit/install.sh", "--root=root"]).args(args)
}

/// `doctor --json` of the host, without the network.
fn doctor(env: &Env, args: &[&str]) -> Output {
    env.treelay(["doctor", "--root=root", "--offline", "--json"]).args(args).output()
}

/// The ids of what is wrong, notes left out.
fn wrong(output: &Output) -> Vec<String> {
    let found = output.json();
    let findings = found["findings"].as_array().unwrap().iter();
    let wrong = findings.filter(|finding| finding["level"] != "note");
    wrong.map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn healthy(env: &Env) {
    let output = doctor(env, &[IMAGE]).ok();
    assert_eq!(output.json()["healthy"], true, "{output}");
}

fn root(env: &Env) -> String {
    listing(&env.path("root"))
}

#[test]
fn a_stock_host_is_diagnosed_and_mended() {
    let env = host(STOCK);
    let sick = doctor(&env, &[IMAGE]).fails(1);
    assert_eq!(wrong(&sick), ["insecure-default", "image-unsigned"]);
    kit(&env, &["-o", "kit"]).ok().says("kit/etc/containers/policy.json");

    let before = root(&env);
    install(&env, &["--dry-run"]).ok().says("would write: /etc/containers/policy.json");
    assert_eq!(root(&env), before);
    let done = install(&env, &[]).ok();
    done.says("kept: /etc/containers/policy.json.before-treelay");
    assert_eq!(env.read("root/etc/containers/policy.json.before-treelay"), STOCK);
    healthy(&env);
    let before = root(&env);
    let again = install(&env, &[]).ok();
    assert!(again.out().lines().all(|line| line.starts_with("unchanged: ")), "{again}");
    assert_eq!(root(&env), before);

    // Other images are taken as before.
    let other = doctor(&env, &["docker://other.example/a:1"]).fails(1);
    assert_eq!(wrong(&other), ["image-unsigned"]);
    kit(&env, &["-o", "kit", "--others=reject"]).ok();
    fs::copy(env.path("kit/etc/containers/policy.json"), env.path(POLICY)).unwrap();
    let other = doctor(&env, &["docker://other.example/a:1"]).fails(1);
    assert_eq!(wrong(&other), ["image-rejected"]);
    healthy(&env);
}

#[test]
fn a_host_with_rules_of_its_own_keeps_them() {
    let own = r#"{
  "default": [{"type": "reject"}],
  "transports": {
    "docker": {
      "vendor.example": [
        {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/etc/pki/vendor.gpg"}
      ]
    }
  }
}
"#;
    let env = host(own);
    env.write("root/etc/pki/vendor.gpg", "a keyring");
    kit(&env, &["-o", "kit"]).ok();
    let before = root(&env);
    let refused = install(&env, &[]).fails(1);
    refused.says("has rules of its own").says("nothing was changed");
    assert_eq!(root(&env), before);

    let shown = kit(&env, &["--merge", POLICY, "--dry-run"]).ok();
    shown.says("+      \"registry.example/tools/small\": [");
    assert_eq!(root(&env), before);
    let merged = kit(&env, &["--merge", POLICY, "-o", "kit", "--json"]).ok().json();
    assert_eq!(merged["scopes"], json!(["registry.example/tools/small"]));
    let diff = merged["merged"]["diff"].as_str().unwrap();
    // No line is lost: what begins with a dash is the name of the file.
    assert_eq!(diff.lines().filter(|line| line.starts_with('-')).count(), 1, "{diff}");
    let policy = env.read(POLICY);
    assert!(own.trim_end().lines().all(|line| policy.contains(line)), "{policy}");
    assert_eq!(env.read("kit/etc/containers/policy.json"), policy);
    // Keys and registries.d come with the kit.
    assert_eq!(wrong(&doctor(&env, &[]).fails(1)), ["key-missing", "attachments-off"]);
    install(&env, &[]).ok().says("unchanged: /etc/containers/policy.json");
    healthy(&env);
    kit(&env, &["--merge", POLICY]).ok().says("has all of it already");
    assert_eq!(env.read(POLICY), policy);

    // A kit that was made of a copy elsewhere installs where the policy is still that one.
    env.write("copy.json", own);
    kit(&env, &["--merge=copy.json", "-o", "kit"]).ok();
    env.write(POLICY, own);
    install(&env, &[]).ok().says("wrote: /etc/containers/policy.json");
    assert_eq!(env.read(POLICY), policy);
    env.write(POLICY, own.replace("vendor.example", "other.example"));
    install(&env, &[]).fails(1).says("has rules of its own");
}

#[test]
fn merging_refuses_what_would_not_hold_or_would_lift_something() {
    let rule = |scope: &str, requirement: Value| {
        let policy = json!({
            "default": [{"type": "reject"}],
            "transports": {"docker": {scope: [requirement]}},
        });
        policy.to_string()
    };
    let any = json!({"type": "insecureAcceptAnything"});
    let other = json!({"type": "sigstoreSigned", "keyPath": "/other.pub"});
    let env = host("");
    for (policy, says) in [
        (rule("registry.example/tools/small:1", any.clone()), "which would hold there instead"),
        (rule("registry.example/tools/small", json!({"type": "reject"})), "has reject for"),
        (rule("registry.example/tools/small", other.clone()), "--replace"),
        (rule("registry.example", other.clone()), "would lift there"),
        ("{}".to_owned(), "the default is missing"),
        ("{\"default\": [], // none\n}".to_owned(), "not JSON"),
    ] {
        env.write(POLICY, &policy);
        kit(&env, &["--merge", POLICY]).fails(1).says(says);
        assert_eq!(env.read(POLICY), policy);
    }
    env.write(POLICY, rule("registry.example", json!({"type": "reject"})));
    kit(&env, &["--merge", POLICY]).fails(1).says("--replace opens that scope");
    let opened = kit(&env, &["--merge", POLICY, "--replace"]).ok();
    opened.says("opens registry.example/tools/small, which ");
    env.write(POLICY, rule("registry.example/tools/small", other));
    kit(&env, &["--merge", POLICY, "--replace"]).ok().says("trusts other keys than before");
    env.write(POLICY, rule("registry.example/tools/small", any));
    kit(&env, &["--merge", POLICY]).ok().says("requires a signature where anything was accepted");
}

#[test]
fn merging_makes_a_default_secure_when_asked() {
    let env = host(STOCK);
    kit(&env, &["--merge", POLICY, "-o", "kit"]).ok();
    install(&env, &[]).ok();
    assert_eq!(wrong(&doctor(&env, &[IMAGE]).fails(1)), ["insecure-default"]);
    let merged = kit(&env, &["--merge", POLICY, "--secure-default"]).ok();
    merged.says("the default rejects, and each transport accepts what the default accepted");
    healthy(&env);
}

#[test]
fn what_is_wrong_with_a_host_is_told_and_a_kit_mends_it() {
    let env = host(STOCK);
    kit(&env, &["-o", "kit"]).ok();
    install(&env, &[]).ok();
    let good = env.read(POLICY);
    let key: Value = serde_json::from_str(&good).unwrap();
    let key = &key["transports"]["docker"]["registry.example/tools/small"][0]["keyPath"];
    let key = format!("root{}", key.as_str().unwrap());
    let registries = "root/etc/containers/registries.d/treelay-registry.example-tools-small.yaml";
    assert!(env.path(registries).exists() && env.path(&key).exists());

    let remove = |path: &str| fs::remove_file(env.path(path)).unwrap();
    remove(registries);
    assert_eq!(wrong(&doctor(&env, &[]).fails(1)), ["attachments-off"]);
    install(&env, &[]).ok();
    remove(&key);
    assert_eq!(wrong(&doctor(&env, &[]).fails(1)), ["key-missing"]);
    install(&env, &[]).ok();
    env.write(&key, "no key");
    assert_eq!(wrong(&doctor(&env, &[]).fails(1)), ["key-unreadable"]);
    install(&env, &[]).fails(1).says("is there and is not the kit's");
    remove(&key);
    install(&env, &[]).ok();
    healthy(&env);

    // Two files that speak of one scope would make hosts refuse everything.
    let other = "root/etc/containers/registries.d/other.yaml";
    let off = "docker:\n    registry.example/tools/small:\n        lookaside: file:///x\n";
    env.write(other, off);
    assert_eq!(wrong(&doctor(&env, &[]).fails(1)), ["registries-d"]);
    remove(registries);
    install(&env, &[]).fails(1).says("other.yaml speaks of registry.example/tools/small already");
    assert!(!env.path(registries).exists());
    env.write(other, format!("{off}        use-sigstore-attachments: true\n"));
    install(&env, &[]).ok().says("not needed: /etc/containers/registries.d/");
    healthy(&env);

    // The form that is printed for people is one that the script reads.
    remove(other);
    let mend = doctor(&env, &[]).fails(1).json()["findings"][0]["mend"].clone();
    let (_, lines) = mend.as_str().unwrap().split_once(":\n").unwrap();
    env.write(other, format!("{lines}\n"));
    healthy(&env);
    install(&env, &[]).ok().says("not needed: /etc/containers/registries.d/");
    healthy(&env);

    // A scope inside that accepts anything; an older rule that takes any tag.
    env.write(
        POLICY,
        good.replace(
            "\"registry.example/tools/small\": [",
            "\"registry.example/tools/small:1\": [{\"type\": \"insecureAcceptAnything\"}],\n\
             \"registry.example/tools/small\": [",
        ),
    );
    let found = wrong(&doctor(&env, &[IMAGE]).fails(1));
    assert_eq!(found, ["scope-shadowed", "image-unsigned"]);
    let wide = good.replacen(
        ".pub\"\n",
        ".pub\", \"signedIdentity\": {\"type\": \"matchRepository\"}\n",
        1,
    );
    assert_ne!(wide, good);
    env.write(POLICY, wide);
    let noted = doctor(&env, &[IMAGE]).ok().json();
    assert_eq!(noted["findings"][0]["id"], "identity-wide");
    kit(&env, &["--merge", POLICY]).ok().says("requires the signed tag, not only the repository");
    assert_eq!(doctor(&env, &[IMAGE]).ok().json()["findings"], json!([]));

    // What people read.
    env.write(POLICY, STOCK);
    let told = env.treelay(["doctor", "--root=root"]).fails(1);
    told.says("insecure: /etc/containers/policy.json [insecure-default]").says("  mend: ");
}

/// Whatever form a file of registries.d has, the script never makes a second one for the same scope:
/// hosts would refuse everything.
#[test]
fn a_scope_is_never_in_two_files() {
    let env = host(STOCK);
    let scope = "registry.example/tools/small";
    kit(&env, &["-o", "kit"]).ok();
    let ours = format!("treelay-{}.yaml", scope.replace('/', "-"));
    let folder = "root/etc/containers/registries.d";
    let on = "use-sigstore-attachments: true";
    let unclear = "in a form that this script does not read";
    for (text, says) in [
        (format!("docker: {{\"{scope}\": {{{on}}}}}\n"), Some(unclear)),
        (format!("docker: {{{scope}: {{{on}}}}}\n"), Some(unclear)),
        (format!("docker:\n  {scope}: {{{on}}}\n"), Some(unclear)),
        (format!("{{\"docker\":{{\"{scope}\":{{}}}}}}"), Some(unclear)),
        (format!("docker:\n  ? {scope}\n  : {{}}\n"), Some(unclear)),
        ("docker:\n  \"registry\\x2eexample/tools/small\":\n    x: y\n".to_owned(), Some(unclear)),
        (
            format!("docker:\n  {scope}:\n    {{{on}}}\n"),
            Some("set use-sigstore-attachments: true"),
        ),
        (format!("docker:\n  {scope}:\n  o.example:\n    {on}\n"), Some("set use-sigstore")),
        (format!("docker:\n  \"{scope}\" :\n    {on}\n"), None),
        (format!("docker:\r\n  '{scope}': # ours\r\n      {on}\r\n"), None),
    ] {
        let _ = fs::remove_dir_all(env.path("root"));
        env.write(POLICY, STOCK);
        env.write(&format!("{folder}/.x.yaml"), &text);
        let before = root(&env);
        match says {
            Some(says) => {
                install(&env, &[]).fails(1).says(says);
                assert_eq!(root(&env), before, "{text}");
            }
            None => {
                install(&env, &[]).ok().says("not needed: ");
                healthy(&env);
            }
        }
        assert!(!env.path(format!("{folder}/{ours}")).exists(), "{text}");
    }
    // Other scopes are no reason to stop: a longer one, one with a port, one in a comment.
    let others = format!(
        "docker:\n  {scope}er:\n    {on}\n  registry.example:5000/tools/small:\n    {on}\n  \
         # {scope}:\n  {scope}/x:\n    lookaside: https://x.example/{scope}\n"
    );
    env.write(&format!("{folder}/.x.yaml"), others);
    install(&env, &[]).ok();
    healthy(&env);
    kit(&env, &["-o", "host", "--scope=registry.example"]).ok();
    let _ = fs::remove_dir_all(env.path("root"));
    env.write(POLICY, STOCK);
    env.write(
        &format!("{folder}/x.yaml"),
        format!("docker:\n  registry.example:5000:\n    {on}\n"),
    );
    env.run("/bin/sh").args(["host/install.sh", "--root=root"]).ok();
    healthy(&env);
}

#[test]
fn a_kit_stays_below_the_root_that_is_given() {
    let env = host(STOCK);
    kit(&env, &["-o", "kit"]).ok();
    for args in [&["--root", ""][..], &["--root="]] {
        let run = env.run("/bin/sh").args(["kit/install.sh", "--dry-run"]).args(args);
        run.fails(2).says("--root names no directory");
    }
    fs::create_dir_all(env.path("elsewhere")).unwrap();
    let link = |to: &str, at: &str| {
        let _ = fs::remove_dir_all(env.path("root"));
        fs::create_dir_all(env.path(at).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(env.path(to), env.path(at)).unwrap();
    };
    for at in ["root/etc", "root/etc/containers", "root/etc/containers/registries.d", POLICY] {
        link("elsewhere", at);
        install(&env, &[]).fails(1).says("is a symbolic link");
        assert_eq!(fs::read_dir(env.path("elsewhere")).unwrap().count(), 0, "{at}");
    }
    // The root itself may be one.
    link("elsewhere", "root");
    install(&env, &[]).ok();
    healthy(&env);
}

#[test]
fn an_installation_that_is_interrupted_leaves_nothing_half_done() {
    let env = host(STOCK);
    kit(&env, &["-o", "kit"]).ok();
    // A machine on which the first file cannot be put in its place.
    env.write("bin/mv", "#!/bin/sh\nkill -TERM $PPID\nexit 1\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(env.path("bin/mv"), mode).unwrap();
    let path = format!("{}:/usr/bin:/bin", env.path("bin").display());
    install(&env, &[]).env("PATH", &path).refuses();
    assert!(!root(&env).contains(".new."), "{}", root(&env));
    install(&env, &[]).ok();
    healthy(&env);
}

#[test]
fn a_folder_keeps_what_no_kit_wrote() {
    let env = host(STOCK);
    for name in ["install.sh", "README.txt", "etc/passwd"] {
        env.write(&format!("mine/{name}"), "mine");
    }
    kit(&env, &["-o", "mine"]).fails(1).says("has files that are no kit");
    assert_eq!(env.read("mine/etc/passwd"), "mine");
    kit(&env, &["-o", "kit"]).ok();
    env.write("kit/etc/mine", "mine");
    let first =
        env.path("kit/etc/containers/registries.d/treelay-registry.example-tools-small.yaml");
    assert!(first.exists());
    kit(&env, &["-o", "kit", "--scope=registry.example"]).ok();
    assert_eq!(env.read("kit/etc/mine"), "mine");
    assert!(!first.exists());
    let check =
        env.run("/usr/bin/sha256sum").args(["--check", "--strict", "--quiet", "kit.sha256"]);
    check.current_dir(env.path("kit")).ok();
    env.write("kit/etc/containers/policy.json", STOCK);
    kit(&env, &["-o", "kit"]).fails(1).says("is not as the kit that is there has it");
    assert_eq!(env.read("kit/etc/containers/policy.json"), STOCK);
}

#[test]
fn deployments_that_come_from_unchecked_images_are_told() {
    let env = host(STOCK);
    kit(&env, &["-o", "kit"]).ok();
    install(&env, &[]).ok();
    let origin = |form: &str| {
        let text =
            format!("[origin]\ncontainer-image-reference={form}registry.example/tools/small:1\n");
        env.write("root/ostree/deploy/os/deploy/0123.0.origin", text);
    };
    origin("ostree-unverified-registry:");
    let found = doctor(&env, &[]).fails(1);
    assert_eq!(wrong(&found), ["origin-unverified"]);
    found.says("rpm-ostree rebase ostree-image-signed:docker://registry.example/tools/small:1");
    origin("ostree-image-signed:docker://");
    healthy(&env);
}

/// A remote of a kit is one by which treelay, reading as ostree does, takes what the key signed.
#[test]
fn a_kit_has_a_remote_for_commits() {
    let env = small();
    rfc8032::write(&env);
    let build = env.treelay(["build", "small.yaml", "-o", "ostree:repo", "--key=a.key"]);
    build.env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    fs::create_dir(env.path("root")).unwrap();
    let kit = |key: &str| {
        let kit = env.treelay(["host-kit", "ostree:repo", "-o", "kit", "--remote=tools"]);
        kit.args([key, "--ostree-url=https://os.example/repo"])
    };
    let verify = || {
        let verify = ["verify", "ostree:repo", "--remote=tools", "--sysroot=root", "--json"];
        env.treelay(verify).output()
    };
    for (key, good) in [("--key=b.pub", false), ("--key=a.pub", true)] {
        let _ = fs::remove_dir_all(env.path("root"));
        fs::create_dir(env.path("root")).unwrap();
        kit(key).ok();
        install(&env, &[]).ok().says("wrote: /etc/ostree/remotes.d/tools.conf");
        let found = doctor(&env, &[]).json();
        assert_eq!(found["findings"][0]["id"], "policy-missing", "{found}");
        assert_eq!(found["findings"].as_array().unwrap().len(), 1, "{found}");
        let judged = verify();
        assert_eq!(judged.json()["good"], good, "{judged}");
    }
    assert!(env.read("kit/etc/pki/ostree/tools.ed25519").contains(PUBLIC[0]));
    kit("--key=a.pub").args(["--merge=x"]).fails(2).says("--merge is for docker://HOST/REPO");
    let without = ["host-kit", "ostree:repo", "-o", "kit", "--key=a.pub"];
    env.treelay(without).fails(2).says("give --ostree-url URL");
}

#[test]
fn what_makes_no_kit_is_told() {
    let env = host(STOCK);
    env.write("full/file", "");
    for (args, status, says) in [
        (&["host-kit", "tree:x", "-o", "kit", "--key=trusted.pub"][..], 2, "hosts pull no tree:x"),
        (&["host-kit", IMAGE, "-o", "kit"], 2, "give --key PUB"),
        (&["host-kit", IMAGE, "--key=trusted.pub"], 2, "--output"),
        (&["host-kit", IMAGE, "--key=trusted.pub", "-o", "full"], 1, "has files that are no kit"),
        (
            &["host-kit", IMAGE, "--key=trusted.pub", "-o", "kit", "--scope=o.example"],
            2,
            "no --scope covers",
        ),
        (
            &[
                "host-kit",
                IMAGE,
                "--key=trusted.pub",
                "-o",
                "kit",
                "--scope=registry.example/tools:1",
            ],
            2,
            "no --scope covers",
        ),
        (
            &["host-kit", IMAGE, "--key=trusted.pub", "-o", "kit", "--remote=x"],
            2,
            "--remote is for ostree:REPO",
        ),
        (&["host-kit", IMAGE, IMAGE, "--key=trusted.pub", "-o", "kit"], 2, "one of each"),
        (&["doctor", "oci:x"], 2, "no image that hosts pull"),
        (&["doctor", "--root=gone"], 2, "is no directory"),
    ] {
        env.treelay(args).fails(status).says(says);
    }
    assert!(!env.path("kit").exists());
    kit(&env, &["-o", "kit", "--mirror=mirror.example/x"]).ok();
    let policy: Value = serde_json::from_str(&env.read("kit/etc/containers/policy.json")).unwrap();
    let remap = &policy["transports"]["docker"]["mirror.example/x"][0]["signedIdentity"];
    assert_eq!(
        *remap,
        json!({
            "type": "remapIdentity",
            "prefix": "mirror.example/x",
            "signedPrefix": "registry.example/tools/small",
        })
    );
}
