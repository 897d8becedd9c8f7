//! Policies that containers/image takes and refuses.

use super::*;

const SIGNED: &str = r#"{"type":"sigstoreSigned","keyPath":"/k.pub"}"#;

fn docker(requirement: &str) -> String {
    format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"h.example":[{requirement}]}}}}}}"#
    )
}

#[test]
fn every_form_is_read() {
    let identity = |kind: &str| {
        format!(r#"{{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":{{{kind}}}}}"#)
    };
    for requirement in [
        r#"{"type":"insecureAcceptAnything"}"#,
        r#"{"type":"reject"}"#,
        SIGNED,
        r#"{"type":"sigstoreSigned","keyPaths":["/a","/b"]}"#,
        r#"{"type":"sigstoreSigned","keyData":"aGk=","rekorPublicKeyDatas":["aGk="]}"#,
        r#"{"type":"sigstoreSigned","keyDatas":["aG\nk="],"rekorPublicKeyPath":"/r"}"#,
        r#"{"type":"sigstoreSigned","fulcio":{"caPath":"/c","oidcIssuer":"i","subjectEmail":"e"},"rekorPublicKeyPaths":["/r"]}"#,
        r#"{"type":"sigstoreSigned","pki":{"caRootsData":"aGk=","caIntermediatesPath":"/i","subjectHostname":"h"}}"#,
        r#"{"type":"signedBy","keyType":"GPGKeys","keyPaths":["/a"]}"#,
        r#"{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}"#,
        &identity(r#""type":"matchExact""#),
        &identity(r#""type":"matchRepoDigestOrExact""#),
        &identity(r#""type":"matchRepository""#),
        &identity(r#""type":"exactReference","dockerReference":"a:1""#),
        &identity(r#""type":"exactRepository","dockerRepository":"a""#),
        &identity(r#""type":"remapIdentity","prefix":"h.example","signedPrefix":"o.example/a""#),
    ] {
        let text = docker(requirement);
        let policy = Policy::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(policy.transports[0].scopes[0].1.len(), 1);
    }
    // A transport that nobody knows is kept.
    Policy::parse(
        r#"{"default":[{"type":"reject"}],"transports":{"new":{"x":[{"type":"reject"}]}}}"#,
    )
    .unwrap();
}

#[test]
fn what_containers_image_refuses_is_refused_with_its_place() {
    let in_docker = |text: &str| docker(text);
    for (text, says) in [
        ("", "not JSON"),
        ("[]", "line 1: policy: expected an object"),
        ("{}", "the default is missing"),
        (r#"{"default":[]}"#, "default: the list is empty"),
        (r#"{"default":null}"#, "expected an array, found null"),
        (r#"{"default":[{"type":"reject"}],"Default":[]}"#, "unknown member \"Default\""),
        (
            "{\"default\":[{\"type\":\"reject\"}],\n\"default\":[]}",
            "line 2: policy: \"default\" is there twice",
        ),
        (r#"{"default":[{"type":"reject"}],"transports":null}"#, "expected an object, found null"),
        (
            r#"{"default":[{"type":"reject"}],"transports":{"docker":{"a":[]}}}"#,
            "transports.docker.\"a\": the list is empty",
        ),
        (
            r#"{"default":[{"type":"reject"}],"transports":{"docker":{"a":[{"type":"reject"}],"a":[]}}}"#,
            "\"a\" is there twice",
        ),
        (
            r#"{"default":[{"type":"reject"}],"transports":{"dir":{"a":[{"type":"reject"}]}}}"#,
            "absolute path",
        ),
        (&in_docker(r#"{"type":"accept"}"#), "unknown type \"accept\""),
        (&in_docker(r#"{"type":"reject","x":1}"#), "unknown member \"x\""),
        (&in_docker(r#"{"TYPE":"reject"}"#), "type is missing"),
        (&in_docker(r#"{"type":"sigstoreSigned"}"#), "exactly one of keyPath"),
        (
            &in_docker(r#"{"type":"sigstoreSigned","keyPath":"/a","keyData":"aGk="}"#),
            "only one of keyPath",
        ),
        (
            &in_docker(r#"{"type":"sigstoreSigned","keyPath":"/a","keypath":"/b"}"#),
            "unknown member \"keypath\"",
        ),
        (
            &in_docker(r#"{"type":"sigstoreSigned","keyPath":"/a","keyPath":"/b"}"#),
            "is there twice",
        ),
        (&in_docker(r#"{"type":"sigstoreSigned","keyPath":""}"#), "the path is empty"),
        (&in_docker(r#"{"type":"sigstoreSigned","keyPaths":[]}"#), "keyPaths: the list is empty"),
        (&in_docker(r#"{"type":"sigstoreSigned","keyData":"?"}"#), "not base64"),
        (
            &in_docker(
                r#"{"type":"sigstoreSigned","fulcio":{"caPath":"/c","oidcIssuer":"i","subjectEmail":"e"}}"#,
            ),
            "with fulcio",
        ),
        (
            &in_docker(r#"{"type":"sigstoreSigned","pki":{"caRootsPath":"/c"}}"#),
            "subjectEmail or subjectHostname",
        ),
        (&in_docker(r#"{"type":"signedBy","keyPath":"/a"}"#), "keyType is missing"),
        (&in_docker(r#"{"type":"signedBy","keyType":"gpg","keyPath":"/a"}"#), "unknown keyType"),
        (
            &in_docker(r#"{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":null}"#),
            "expected an object, found null",
        ),
        (
            &in_docker(
                r#"{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"matchTag"}}"#,
            ),
            "unknown type \"matchTag\"",
        ),
        (
            &in_docker(
                r#"{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"exactReference","dockerReference":"a"}}"#,
            ),
            "neither tag nor digest",
        ),
        (
            &in_docker(
                r#"{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"remapIdentity","prefix":"h.example/a:1","signedPrefix":"b.example"}}"#,
            ),
            "prefix",
        ),
    ] {
        let error = Policy::parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}\n{error}\n{says}");
    }
}
