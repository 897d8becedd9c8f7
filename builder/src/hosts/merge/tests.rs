//! Policies, and what becomes of them.

use super::*;

fn rule(scope: &str) -> Rule {
    Rule { scope: scope.to_owned(), keys: vec!["/k.pub".to_owned()], signed_prefix: None }
}

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

#[test]
fn a_stock_policy_keeps_its_lines() {
    let merged = merge(STOCK, &[rule("h.example/a")], MergeOptions::default()).unwrap();
    let expected = STOCK.replace(
        "                }\n        }\n",
        r#"                },
            "docker": {
                "h.example/a": [
                    {
                        "type": "sigstoreSigned",
                        "keyPath": "/k.pub"
                    }
                ]
            }
        }
"#,
    );
    assert_eq!(merged.text, expected);
    assert_eq!(merged.changes, ["requires a signature for h.example/a: by /k.pub"]);
    // Merging again changes nothing.
    let again = merge(&merged.text, &[rule("h.example/a")], MergeOptions::default()).unwrap();
    assert_eq!(again, Merged { text: expected, changes: Vec::new(), warnings: Vec::new() });
}

#[test]
fn a_secure_default_accepts_elsewhere_what_it_accepted_before() {
    let options = MergeOptions { secure_default: true, ..MergeOptions::default() };
    let merged = merge(STOCK, &[rule("h.example/a")], options).unwrap();
    let policy = Policy::parse(&merged.text).unwrap();
    assert_eq!(policy.default, [Requirement::Reject]);
    for transport in TRANSPORTS {
        let found = policy.lookup_in(transport, &["anything".to_owned()]);
        assert_eq!(found.requirements, [Requirement::AcceptAnything], "{transport}");
    }
    // One that is secure already stays.
    let again = merge(&merged.text, &[], options).unwrap();
    assert!(again.changes.is_empty());
}

#[test]
fn other_layouts_stay_as_they_are() {
    for (text, expected) in [
        (
            r#"{"default":[{"type":"reject"}]}"#,
            r#"{"default":[{"type":"reject"}],"transports":{"docker":{"h.example":[{"type":"sigstoreSigned","keyPath":"/k.pub"}]}}}"#,
        ),
        (
            r#"{"transports":{"docker":{}},"default":[{"type":"reject"}]}"#,
            r#"{"transports":{"docker":{"h.example":[{"type":"sigstoreSigned","keyPath":"/k.pub"}]}},"default":[{"type":"reject"}]}"#,
        ),
        (
            "{\n\t\"default\": [{\"type\": \"reject\"}],\n\t\"transports\": {\"docker\": {\"x.example\": [{\"type\": \"reject\"}]}}\n}",
            "{\n\t\"default\": [{\"type\": \"reject\"}],\n\t\"transports\": {\"docker\": {\"x.example\": [{\"type\": \"reject\"}], \"h.example\": [\n\t\t{\n\t\t\t\"type\": \"sigstoreSigned\",\n\t\t\t\"keyPath\": \"/k.pub\"\n\t\t}\n\t]}}\n}",
        ),
    ] {
        let merged = merge(text, &[rule("h.example")], MergeOptions::default()).unwrap();
        assert_eq!(merged.text, expected);
    }
}

fn with(scopes: &str) -> String {
    format!(r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{{scopes}}}}}}}"#)
}

#[test]
fn what_is_there_is_tightened_or_kept() {
    let any = r#"[{"type":"insecureAcceptAnything"}]"#;
    let ours = r#"{"type":"sigstoreSigned","keyPath":"/k.pub"}"#;
    let named = |kind: &str| {
        format!(
            r#"[{{"type":"sigstoreSigned","keyPath":"/k.pub","signedIdentity":{{"type":"{kind}"}}}}]"#
        )
    };
    let other = r#"[{"type":"sigstoreSigned","keyPath":"/old.pub"}]"#;
    let replace = MergeOptions { replace: true, ..MergeOptions::default() };
    for (there, options, changes) in [
        (any.to_owned(), MergeOptions::default(), 1),
        (named("matchRepository"), MergeOptions::default(), 1),
        (named("matchExact"), MergeOptions::default(), 0),
        (
            format!(r#"[{ours},{{"type":"signedBy","keyType":"GPGKeys","keyPath":"/g"}}]"#),
            MergeOptions::default(),
            0,
        ),
        (other.to_owned(), replace, 1),
    ] {
        let text = with(&format!(r#""h.example/a":{there},"z":{any}"#));
        let merged = merge(&text, &[rule("h.example/a")], options).unwrap();
        assert_eq!(merged.changes.len(), changes, "{there}");
        if changes == 0 {
            assert_eq!(merged.text, text);
        } else {
            assert_eq!(merged.text, with(&format!(r#""h.example/a":[{ours}],"z":{any}"#)));
        }
    }
}

#[test]
fn conflicts_are_refused() {
    let any = r#"[{"type":"insecureAcceptAnything"}]"#;
    let other = r#"[{"type":"sigstoreSigned","keyPath":"/old.pub"}]"#;
    let ours = r#"[{"type":"sigstoreSigned","keyPath":"/k.pub"}]"#;
    let gpg = r#"[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/g"}]"#;
    let reject = r#"[{"type":"reject"}]"#;
    for (scopes, says) in [
        (format!(r#""h.example/a:1":{any}"#), "h.example/a:1, which would hold there instead"),
        (format!(r#""h.example/a/b":{other}"#), "h.example/a/b, which would hold"),
        (format!(r#""h.example/a":{reject}"#), "has reject for h.example/a already"),
        (format!(r#""h.example/a":{other}"#), "--replace"),
        (format!(r#""h.example/a":{gpg}"#), "signedBy for h.example/a already: change it by hand"),
        // A namespace that is rejected, and what blocks the images beside our key.
        (format!(r#""h.example":{reject},"":{any}"#), "--replace opens that scope"),
        (
            format!(r#""*.example":{reject}"#),
            "transports.docker.\"*.example\" of the policy rejects",
        ),
        (
            r#""h.example/a":[{"type":"sigstoreSigned","keyPath":"/k.pub","rekorPublicKeyPath":"/r"}]"#
                .to_owned(),
            "hosts refuse its images until rekorPublicKey",
        ),
        (
            r#""h.example/a":[{"type":"sigstoreSigned","keyPath":"/k.pub"},{"type":"reject"}]"#
                .to_owned(),
            "refuses all its images",
        ),
        (
            format!(r#""h.example":{gpg}"#),
            "transports.docker.\"h.example\" of the policy requires signedBy",
        ),
        (format!(r#""*.example":{other}"#), "/old.pub"),
        (format!(r#""":{other}"#), "/old.pub"),
    ] {
        let error = merge(&with(&scopes), &[rule("h.example/a")], MergeOptions::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(says), "{scopes}: {error}");
    }
    for scopes in [
        format!(r#""":{reject}"#),
        format!(r#""h.example":{ours}"#),
        format!(r#""h.example/a:1":{ours}"#),
        format!(r#""h.example/ab":{other}"#),
    ] {
        let merged = merge(&with(&scopes), &[rule("h.example/a")], MergeOptions::default());
        assert_eq!(merged.unwrap().changes.len(), 1, "{scopes}");
    }
    // Another port is another host.
    let port = with(&format!(r#""h.example:5000":{other}"#));
    merge(&port, &[rule("h.example")], MergeOptions::default()).unwrap();
    assert!(merge("{}", &[], MergeOptions::default()).is_err());
}

#[test]
fn replacing_keys_drops_nothing_else() {
    let replace = MergeOptions { replace: true, ..MergeOptions::default() };
    let with_rest = |member: &str, rest: &str| {
        with(&format!(r#""h.example/a":[{{"type":"sigstoreSigned", {member} {rest}}}]"#))
    };
    let exact = r#", "signedIdentity":{"type":"exactRepository","dockerRepository":"o.example/a"}"#;
    let wide = r#", "signedIdentity":{"type":"matchRepository"}"#;
    for (member, rest, warnings) in [
        (r#""keyPath":"/old.pub""#, "", 0),
        (r#""keyPaths":["/old.pub", "/k.pub"]"#, "", 0),
        (r#""keyData":"aGk=""#, exact, 1),
        (r#""keyPath":"/old.pub""#, wide, 1),
    ] {
        let text = with_rest(member, rest);
        let merged = merge(&text, &[rule("h.example/a")], replace).unwrap();
        assert_eq!(merged.text, with_rest(r#""keyPath":"/k.pub""#, rest));
        assert_eq!(merged.warnings.len(), warnings, "{text}");
        assert!(merge(&text, &[rule("h.example/a")], MergeOptions::default()).is_err());
    }
    let fulcio =
        r#""fulcio":{"caPath":"/c","oidcIssuer":"i","subjectEmail":"e"},"rekorPublicKeyPath":"/r""#;
    for (member, rest, says) in [
        (fulcio, "", "asks for a certificate"),
        (r#""keyPath":"/old.pub""#, r#","rekorPublicKeyPath":"/r""#, "transparency log"),
        (r#""keyPath":"/k.pub""#, exact, "signedIdentity names other images"),
        (
            r#""keyPath":"/old.pub""#,
            r#","signedIdentity":{"type":"remapIdentity","prefix":"h.example","signedPrefix":"o.example"}"#,
            "signedIdentity names other images",
        ),
    ] {
        let error = merge(&with_rest(member, rest), &[rule("h.example/a")], replace);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(says), "{member} {rest}: {error}");
    }
}

#[test]
fn opening_what_a_namespace_rejects_is_told() {
    let text = with(r#""h.example":[{"type":"reject"}]"#);
    let replace = MergeOptions { replace: true, ..MergeOptions::default() };
    let merged = merge(&text, &[rule("h.example/a")], replace).unwrap();
    let opens = "opens h.example/a, which transports.docker.\"h.example\" rejects, to what is signed \
                 by /k.pub";
    assert_eq!(merged.changes, [opens]);
    let policy = Policy::parse(&merged.text).unwrap();
    assert_eq!(
        policy.lookup(&"h.example/b:1".parse().unwrap()).requirements,
        [Requirement::Reject]
    );
}

#[test]
fn what_is_asked_for_beside_our_key_is_told() {
    let gpg = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/g"}"#;
    let text =
        with(&format!(r#""h.example/a":[{{"type":"sigstoreSigned","keyPath":"/k.pub"}},{gpg}]"#));
    let merged = merge(&text, &[rule("h.example/a")], MergeOptions::default()).unwrap();
    assert_eq!(
        merged.warnings,
        ["h.example/a also asks for signedBy: hosts refuse images without"]
    );
    assert_eq!((merged.text, merged.changes.len()), (text, 0));
}

#[test]
fn what_strays_is_found() {
    let any = r#"[{"type":"insecureAcceptAnything"}]"#;
    let reject = r#"[{"type":"reject"}]"#;
    let ours = r#"[{"type":"sigstoreSigned","keyPath":"/k.pub"}]"#;
    let whole = |default: &str, scopes: &str| {
        Policy::parse(&format!(r#"{{"default":{default},"transports":{{"docker":{{{scopes}}}}}}}"#))
            .unwrap()
    };
    let rules = [rule("h.example")];
    let kept = format!(r#""o.example":{reject}"#);
    let old = whole(reject, &kept);
    let good = whole(reject, &format!(r#"{kept},"h.example":{ours}"#));
    assert_eq!(compare(&old, &good, &rules), Ok(()));
    for (new, place) in [
        (whole(any, &format!(r#"{kept},"h.example":{ours}"#)), "default"),
        (whole(reject, &format!(r#""h.example":{ours}"#)), "o.example"),
        (whole(reject, &format!(r#""o.example":{any},"h.example":{ours}"#)), "o.example"),
        (whole(reject, &format!(r#"{kept},"h.example":{ours},"x.example":{any}"#)), "x.example"),
        (whole(reject, &kept), "h.example"),
        (whole(reject, &format!(r#"{kept},"h.example":{any}"#)), "h.example"),
    ] {
        let error = compare(&old, &new, &rules).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
}
