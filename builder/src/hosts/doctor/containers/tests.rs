//! Hosts, each with something wrong.

use treelay_signing::{KeyKind, SecretKey};

use super::super::examine;
use super::*;
use crate::hosts::root::tests::Texts;

fn ids(host: &Host) -> Vec<&'static str> {
    host.findings.iter().map(|finding| finding.id).collect()
}

fn host(policy: &str, registries: &str) -> Texts {
    let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap().public().to_pem();
    Texts::default()
        .with(POLICY, policy)
        .with("/etc/containers/registries.d/x.yaml", registries)
        .with("/k.pub", key)
        .with("/bad.pub", "nothing")
}

const ON: &str = "docker:\n  h.example:\n    use-sigstore-attachments: true\n";

fn signed(rest: &str) -> String {
    format!(r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{{rest}}}}}}}"#)
}

#[test]
fn a_host_is_told_what_is_wrong() {
    let rule = r#"[{"type":"sigstoreSigned","keyPath":"/k.pub"}]"#;
    let named = |kind: &str| {
        format!(
            r#""h.example/a":[{{"type":"sigstoreSigned","keyPath":"/k.pub","signedIdentity":{kind}}}]"#
        )
    };
    let good = signed(&format!(r#""h.example/a":{rule}"#));
    for (policy, registries, expected) in [
        (good.clone(), ON, &[][..]),
        (good.clone(), "", &["attachments-off"]),
        (
            good.clone(),
            "docker:\n  h.example/a:\n    use-sigstore-attachments: false\n",
            &["attachments-off"],
        ),
        (good.clone(), "docker: [", &["registries-d"]),
        (
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#.to_owned(),
            "",
            &["insecure-default"],
        ),
        ("{ // no\n}".to_owned(), "", &["policy-malformed"]),
        (
            signed(r#""h.example/a":[{"type":"sigstoreSigned","keyPath":"/gone.pub"}]"#),
            ON,
            &["key-missing"],
        ),
        (
            signed(r#""h.example/a":[{"type":"sigstoreSigned","keyPath":"/bad.pub"}]"#),
            ON,
            &["key-unreadable"],
        ),
        (
            signed(r#""h.example/a":[{"type":"sigstoreSigned","keyPaths":["/k.pub"]}]"#),
            ON,
            &["newer-form"],
        ),
        (
            signed(
                r#""h.example/a":[{"type":"sigstoreSigned","keyPath":"/k.pub","rekorPublicKeyPath":"/r"}]"#,
            ),
            ON,
            &["needs-log"],
        ),
        (signed(&named(r#"{"type":"matchRepository"}"#)), ON, &["identity-wide"]),
        (signed(&named(r#"{"type":"matchExact"}"#)), ON, &["identity-exact"]),
        (
            signed(&named(
                r#"{"type":"remapIdentity","prefix":"m.example","signedPrefix":"h.example"}"#,
            )),
            ON,
            &["identity-remap"],
        ),
        (
            signed(&named(
                r#"{"type":"remapIdentity","prefix":"h.example","signedPrefix":"o.example"}"#,
            )),
            ON,
            &[],
        ),
        (
            signed(&format!(
                r#""h.example/a":{rule},"h.example/a:1":[{{"type":"insecureAcceptAnything"}}]"#
            )),
            ON,
            &["scope-shadowed"],
        ),
        (signed(&format!(r#""docker://h.example/a":{rule}"#)), ON, &["scope-form"]),
        (signed(r#""busybox":[{"type":"reject"}]"#), ON, &["scope-form"]),
        (good.replace("\"docker\"", "\"registry\""), ON, &["unknown-transport"]),
    ] {
        let found = examine(&host(&policy, registries), None, &[]);
        assert_eq!(ids(&found), expected, "{policy} {registries}: {:#?}", found.findings);
        let notes = ["identity-wide", "identity-exact", "newer-form", "unknown-transport"];
        let healthy = expected.iter().all(|id| notes.contains(id));
        assert_eq!(found.is_healthy(), healthy, "{policy}");
    }
    let found = examine(&Texts::default(), None, &[]);
    assert_eq!(ids(&found), ["policy-missing"]);
}

#[test]
fn an_image_must_be_covered() {
    let rule = r#"[{"type":"sigstoreSigned","keyPath":"/k.pub"}]"#;
    let policy = signed(&format!(
        r#""h.example/a":{rule},"o.example":[{{"type":"insecureAcceptAnything"}}]"#
    ));
    let files = host(&policy, ON);
    for (image, expected) in [
        ("h.example/a:1", &[][..]),
        ("o.example/a:1", &["image-unsigned"]),
        ("z.example/a:1", &["image-rejected"]),
    ] {
        let found = examine(&files, None, &[image.parse().unwrap()]);
        assert_eq!(ids(&found), expected, "{image}");
    }
}

#[test]
fn what_a_user_has_counts_before_what_the_host_has() {
    let insecure = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
    let good = signed(r#""h.example/a":[{"type":"sigstoreSigned","keyPath":"/k.pub"}]"#);
    let own = "/home/u/.config/containers/policy.json";
    let files = host(&good, ON).with(own, insecure);
    let found = examine(&files, Some("/home/u"), &[]);
    assert_eq!(ids(&found), ["insecure-default", "user-policy"]);
    assert_eq!(found.findings[0].place, own);
    // rpm-ostree goes by the host's.
    let files = host(insecure, ON).with(own, good);
    let found = examine(&files, Some("/home/u"), &[]);
    assert_eq!(found.findings[0].place, POLICY);
}

/// What looks well and is not.
#[test]
fn no_false_all_clear() {
    let rule = |key: &str| format!(r#"[{{"type":"sigstoreSigned","keyPath":"{key}"}}]"#);
    let any = r#"[{"type":"insecureAcceptAnything"}]"#;
    let good = rule("/k.pub");
    let default = |list: &str| format!(r#"{{"default":{list}}}"#);
    let everywhere = "default-docker:\n  use-sigstore-attachments: true\n";
    for (policy, registries, expected) in [
        // The keys of a default, and of other transports.
        (default(&rule("/gone.pub")), everywhere, &["key-missing"][..]),
        (default(&rule("/bad.pub")), everywhere, &["key-unreadable"]),
        (default(&good), everywhere, &[]),
        (
            format!(
                r#"{{"default":{},"transports":{{"docker":{{"":{any}}}}}}}"#,
                rule("/gone.pub")
            ),
            ON,
            &["key-missing", "scope-shadowed"],
        ),
        (
            format!(
                r#"{{"default":[{{"type":"reject"}}],"transports":{{"dir":{{"":{}}}}}}}"#,
                rule("/gone.pub")
            ),
            "",
            &["key-missing"],
        ),
        // Defaults for which nothing is looked for.
        (default(&good), "", &["attachments-off"]),
        (default(&good), ON, &["attachments-off"]),
        (signed(&format!(r#""":{good}"#)), ON, &["attachments-off"]),
        (signed(&format!(r#""":{good}"#)), everywhere, &[]),
        // What lifts the requirement of a wider scope, wherever that is.
        (
            signed(&format!(r#""*.example":{good},"h.example/x":{any}"#)),
            everywhere,
            &["scope-shadowed"],
        ),
        (
            signed(&format!(r#""*.example":{good},"*.sub.example":{any}"#)),
            everywhere,
            &["scope-shadowed"],
        ),
        (signed(&format!(r#""":{good},"h.example":{any}"#)), everywhere, &["scope-shadowed"]),
        (
            signed(&format!(r#""h.example":{good},"h.example/a":{any},"h.example/a/b":{any}"#)),
            ON,
            &["scope-shadowed", "scope-shadowed"],
        ),
        (signed(&format!(r#""h.example":{good},"h.example:5000":{any}"#)), ON, &[]),
        (
            signed(&format!(
                r#""h.example":[{{"type":"signedBy","keyType":"GPGKeys","keyPath":"/bad.pub"}}],"h.example/a":{any}"#
            )),
            "",
            &["scope-shadowed"],
        ),
        // A scope of registries.d inside that of the policy.
        (
            signed(&format!(r#""h.example":{good}"#)),
            "docker:\n  h.example:\n    use-sigstore-attachments: true\n  h.example/a:\n    \
             use-sigstore-attachments: false\n",
            &["attachments-off"],
        ),
        (
            signed(&format!(r#""h.example":{good},"h.example/a":{any}"#)),
            "docker:\n  h.example:\n    use-sigstore-attachments: true\n  h.example/a:\n    \
             use-sigstore-attachments: false\n",
            &["scope-shadowed"],
        ),
        // A prefix inside the scope replaces some of its names.
        (
            signed(
                r#""*.example":[{"type":"sigstoreSigned","keyPath":"/k.pub","signedIdentity":{"type":"remapIdentity","prefix":"m.example/x","signedPrefix":"h.example"}}]"#,
            ),
            everywhere,
            &[],
        ),
    ] {
        let found = examine(&host(&policy, registries), None, &[]);
        assert_eq!(ids(&found), expected, "{policy} {registries}: {:#?}", found.findings);
    }
    let policy = signed(&format!(r#""h.example":{good}"#));
    let found = examine(&host(&policy, ""), None, &[]);
    assert_eq!(
        found.findings[0].mend,
        "in /etc/containers/registries.d/NAME.yaml:\n    docker:\n      \"h.example\":\n        \
         use-sigstore-attachments: true"
    );
}

#[test]
fn an_empty_directory_of_the_user_hides_that_of_the_host() {
    let good = signed(r#""h.example/a":[{"type":"sigstoreSigned","keyPath":"/k.pub"}]"#);
    let own = "/home/u/.config/containers/registries.d";
    let files = host(&good, ON).with(&format!("{own}/"), "");
    assert_eq!(ids(&examine(&files, None, &[])), [""; 0]);
    let found = examine(&files, Some("/home/u"), &["h.example/a:1".parse().unwrap()]);
    assert_eq!(ids(&found), ["attachments-off", "user-registries-d"]);
    // rpm-ostree is no user.
    let origin = "[origin]\ncontainer-image-reference=ostree-image-signed:docker://h.example/a:1\n";
    let on = "docker:\n  h.example:\n    use-sigstore-attachments: true\n";
    let files = host(&good, "")
        .with(&format!("{own}/x.yaml"), on)
        .with("/ostree/deploy/os/deploy/abc.0.origin", origin);
    let found = examine(&files, Some("/home/u"), &[]);
    assert_eq!(ids(&found), ["attachments-off", "user-registries-d"]);
}
