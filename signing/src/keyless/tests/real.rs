//! Real bundles as they are.

use super::*;

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GITHUB_LOGIN: &str = "https://github.com/login/oauth";
const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";

/// A bundle that is good: its root, what is signed, by whom, where it is logged, and the times.
struct Good {
    name: &'static str,
    root: &'static str,
    artifact: &'static str,
    identity: &'static str,
    issuer: &'static str,
    log: &'static str,
    times: &'static [&'static str],
}

const GOOD: [Good; 10] = [
    Good {
        name: "dsse-v0.1",
        root: "public-good",
        artifact: "sha512:bbfd372fc9beeb777fe35d05bb10c0c70a9733d366a75fed7dd18866c7391de3ee7e88ba74dd47abf3e15c845e547fcf0e5c3da80854c751554224d3a6d4e55f",
        identity: "brian@dehamer.com",
        issuer: GITHUB_LOGIN,
        log: "entry 6800908 of https://rekor.sigstore.dev (intoto 0.0.2)",
        times: &["2022-11-09T23:00:36Z by the log https://rekor.sigstore.dev"],
    },
    Good {
        name: "npm-provenance-v0.1",
        root: "public-good",
        artifact: "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c",
        identity: "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
        issuer: GITHUB,
        log: "entry 31821305 of https://rekor.sigstore.dev (intoto 0.0.2)",
        times: &["2023-08-18T16:05:35Z by the log https://rekor.sigstore.dev"],
    },
    Good {
        name: "other-ct-key-v0.1",
        root: "public-good",
        artifact: "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
        identity: BEACON,
        issuer: GITHUB,
        log: "entry 27246492 of https://rekor.sigstore.dev (hashedrekord 0.0.1)",
        times: &["2023-07-12T15:56:36Z by the log https://rekor.sigstore.dev"],
    },
    Good {
        name: "wheel-v0.2",
        root: "public-good",
        artifact: "sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201",
        identity: "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2",
        issuer: GITHUB,
        log: "entry 79605083 of https://rekor.sigstore.dev (hashedrekord 0.0.1)",
        times: &["2024-03-19T22:41:16Z by the log https://rekor.sigstore.dev"],
    },
    Good {
        name: "cosign-blob-v0.3",
        root: "public-good",
        artifact: "sha256:e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764",
        identity: "w.vollprecht@gmail.com",
        issuer: GITHUB_LOGIN,
        log: "entry 738312748 of https://rekor.sigstore.dev (hashedrekord 0.0.1)",
        times: &[
            "2025-12-03T18:36:42Z by the timestamp authority https://timestamp.sigstore.dev/api/v1/timestamp",
            "2025-12-03T18:36:43Z by the log https://rekor.sigstore.dev",
        ],
    },
    Good {
        name: "conda-v0.3",
        root: "public-good",
        artifact: "sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f",
        identity: "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
        issuer: GITHUB,
        log: "entry 456119071 of https://rekor.sigstore.dev (dsse 0.0.1)",
        times: &["2025-09-01T12:13:59Z by the log https://rekor.sigstore.dev"],
    },
    Good {
        name: "othername-v0.3",
        root: "scaffolding",
        artifact: "sha256:bc103b4a84971ef6459b294a2b98568a2bfb72cded09d4acd1e16366a401f95b",
        identity: "foo!oidc.local",
        issuer: "http://oidc.local:8080",
        log: "entry 3 of http://rekor.rekor-system.172.18.255.1.sslip.io (hashedrekord 0.0.1)",
        times: &["2024-07-12T19:06:29Z by the log http://rekor.rekor-system.172.18.255.1.sslip.io"],
    },
    Good {
        name: "rekor2-v0.3",
        root: "staging",
        artifact: "sha256:15f67246115921bb7c1de0e7e9e9275c8016dc254a0c009888944b7ed3644aaa",
        identity: "jku@goto.fi",
        issuer: GITHUB_LOGIN,
        log: "entry 645 of https://log2025-alpha1.rekor.sigstage.dev (hashedrekord 0.0.2)",
        times: &[
            "2025-06-09T11:57:38Z by the timestamp authority https://timestamp.sigstage.dev/api/v1/timestamp",
        ],
    },
    Good {
        name: "rekor2-dsse-v0.3",
        root: "staging",
        artifact: "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
        identity: BEACON,
        issuer: GITHUB,
        log: "entry 4026478 of https://log2025-alpha3.rekor.sigstage.dev (hashedrekord 0.0.2)",
        times: &[
            "2026-05-13T19:23:33Z by the timestamp authority https://timestamp.sigstage.dev/api/v1/timestamp",
        ],
    },
    Good {
        name: "rekor2-same-names-v0.3",
        root: "staging",
        artifact: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        identity: "https://github.com/sigstore/root-signing-staging/.github/workflows/custom-test.yml@refs/heads/main",
        issuer: GITHUB,
        log: "entry 330754 of https://log2026-1.us-east4.rekor.sigstage.dev (hashedrekord 0.0.2)",
        times: &[
            "2026-07-08T05:25:12Z by the timestamp authority https://timestamp.sigstage.dev/api/v1/timestamp",
        ],
    },
];

#[test]
fn real_bundles_are_good_and_say_who_and_when() {
    for good in GOOD {
        let policy = policy(good.identity, good.issuer);
        let signed =
            verify(&bundle(good.name), &artifact(good.artifact), &root(good.root), &policy)
                .unwrap_or_else(|error| panic!("{}: {error}", good.name));
        assert_eq!(signed.artifact, good.artifact, "{}", good.name);
        let by = format!("{}, says {}", good.identity, good.issuer);
        assert_eq!(signed.by.to_string(), by, "{}", good.name);
        let log: Vec<String> = signed.log.iter().map(ToString::to_string).collect();
        let times: Vec<String> = signed.times.iter().map(ToString::to_string).collect();
        assert_eq!(log, [good.log], "{}", good.name);
        assert_eq!(times, good.times, "{}", good.name);
    }
}

#[test]
fn a_bundle_by_a_key_is_good_with_and_without_a_root() {
    let text = include_bytes!("../../../fixtures/keyless/key.txt");
    let key = PublicKey::parse(include_bytes!("../../../fixtures/keyless/key.pub")).unwrap();
    let (bundle, artifact) = (bundle("key-v0.3"), Artifact::of_bytes(text));
    let signed = verify_by_key(&bundle, &artifact, &key, None).unwrap();
    assert_eq!(signed.by, SignedBy::Key { key: key.fingerprint() });
    assert_eq!((signed.log.len(), signed.times.len()), (0, 0), "nothing of them was verified");
    let signed = verify_by_key(&bundle, &artifact, &key, Some(&root("public-good"))).unwrap();
    assert_eq!(signed.log[0].index, 771_488_337);
    assert_eq!(signed.times.len(), 2);
    // Of a root that knows neither log nor timestamp authority nothing can be said.
    let refused = verify_by_key(&bundle, &artifact, &key, Some(&root("scaffolding")));
    assert!(matches!(refused, Err(KeylessError::Timestamp(_))), "{refused:?}");
    let refused = verify(&bundle, &artifact, &root("public-good"), &anybody());
    assert!(matches!(refused, Err(KeylessError::NoCertificate { .. })), "{refused:?}");
}

#[test]
fn keys_sign_with_the_hash_that_everybody_computes() {
    let digest = "sha256:7af112925c5f8ebe0f4a4d5a38476adc973d2c4ba0d11c0dba11b65b1799581a";
    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../../fixtures/", $name)).as_slice()
        };
    }
    let (p256, p384) = (fixture!("cosign-3.1-p256.pub"), fixture!("cosign-3.1-p384.pub"));
    let (rsa, ed25519) = (fixture!("cosign-3.1-rsa.pub"), fixture!("cosign-2.5-ed25519.pub"));
    for (bundle, key, reason) in [
        (fixture!("cosign-3.1-p256.bundle.json"), p256, ""),
        (fixture!("cosign-3.1-rsa.bundle.json"), rsa, ""),
        (fixture!("cosign-3.1-p384.bundle.json"), p384, "with SHA-384, which"),
        (fixture!("cosign-3.1-ed25519.bundle.json"), ed25519, "with Ed25519ph, which"),
        (fixture!("cosign-3.1-p256.bundle.json"), p384, "made by key "),
    ] {
        let (bundle, key) = (Bundle::parse(bundle).unwrap(), PublicKey::parse(key).unwrap());
        match verify_by_key(&bundle, &artifact(digest), &key, None) {
            Ok(_) => assert_eq!(reason, ""),
            Err(error) => {
                let error = error.to_string();
                assert!(!reason.is_empty() && error.contains(reason), "{reason}: {error}");
            }
        }
    }
}

#[test]
fn cosign_signs_files_with_ed25519_keys_and_names_no_digest() {
    let bundle = include_bytes!("../../../fixtures/cosign-3.1-ed25519-blob.bundle.json");
    let key = include_bytes!("../../../fixtures/cosign-2.5-ed25519.pub");
    let (bundle, key) = (Bundle::parse(bundle).unwrap(), PublicKey::parse(key).unwrap());
    let of_bytes = |bytes| verify_by_key(&bundle, &Artifact::of_bytes(bytes), &key, None);
    assert_eq!(of_bytes(b"content\n").unwrap().by, SignedBy::Key { key: key.fingerprint() });
    let refused = of_bytes(b"other\n");
    assert!(matches!(refused, Err(KeylessError::Signature { .. })), "{refused:?}");
    let by_digest = Artifact::of_sha256(Hash::Sha256.of(b"content\n").try_into().unwrap());
    let refused = verify_by_key(&bundle, &by_digest, &key, None);
    assert_eq!(refused, Err(KeylessError::NeedsBytes { kind: "Ed25519" }));
}

#[test]
fn a_file_and_its_digests_are_the_same_artifact() {
    let text = include_bytes!("../../../fixtures/keyless/cosign-blob.txt");
    let (bundle, root) = (bundle("cosign-blob-v0.3"), root("public-good"));
    let by_bytes = verify(&bundle, &Artifact::of_bytes(text), &root, &anybody()).unwrap();
    let hashes = Artifact::of_hashes(
        Hash::Sha256.of(text).try_into().unwrap(),
        Hash::Sha384.of(text).try_into().unwrap(),
        Hash::Sha512.of(text).try_into().unwrap(),
    );
    assert_eq!(verify(&bundle, &hashes, &root, &anybody()).unwrap(), by_bytes);
    assert_eq!(
        serde_json::to_value(&by_bytes).unwrap(),
        serde_json::json!({
            "artifact": "sha256:e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764",
            "by": "identity",
            "identity": "w.vollprecht@gmail.com",
            "identity_form": "email",
            "issuer": "https://github.com/login/oauth",
            "certificate": CERTIFICATE,
            "times": [
                {
                    "time": by_bytes.times[0].time,
                    "source": "timestamp-authority",
                    "authority": "https://timestamp.sigstore.dev/api/v1/timestamp",
                },
                {
                    "time": "2025-12-03T18:36:43Z",
                    "source": "log",
                    "authority": "https://rekor.sigstore.dev",
                },
            ],
            "form": "message-signature",
            "bundle": "0.3",
            "log": [{
                "log": "https://rekor.sigstore.dev",
                "index": by_bytes.log[0].index,
                "kind": "hashedrekord 0.0.1",
            }],
        })
    );
}

/// Real bundles that are refused as they are, and why.
#[test]
fn real_bundles_that_prove_nothing_are_refused() {
    for (name, root_name, digest, reason) in [
        ("dsse-2-signatures-v0.1", "public-good", GOOD[0].artifact, "2 signatures"),
        (
            "no-log-entry-v0.1",
            "public-good",
            "sha256:9b469fc9761e8b933073b62725fbc98b549c3314199ded71cc8b286ef2c6fb9b",
            "no entry in a transparency log",
        ),
        (
            "no-signed-time-v0.3",
            "public-good",
            "sha256:ca6de99a11d3d38056d838c7dc9a23a11a0c81bcace0d11eaa301a2ffb482c42",
            "nothing proves when it was signed",
        ),
        (
            "other-artifact-v0.3",
            "public-good",
            "sha256:c87b5b213ab08b32970c106d0c7e4423e67f5449c2fd2d1e9b4ea6cc43b6ee7c",
            "is of another ",
        ),
        (
            "other-ct-key-v0.1",
            "other-ct-key",
            "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
            "SCT",
        ),
        (
            "github-v0.3",
            "github",
            "sha256:76f1fe8593bf227cca2c089e3c16dc95014a8d3e89c5dd220530469ca043c428",
            "no entry in a transparency log",
        ),
        ("rekor2-v0.3", "public-good", GOOD[7].artifact, "no authority of the trusted root"),
        ("wheel-v0.2", "staging", GOOD[3].artifact, "not in the trusted root"),
    ] {
        let error = verify(&bundle(name), &artifact(digest), &root(root_name), &anybody());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
    let error = Bundle::parse(json("no-checkpoint-v0.2").as_bytes()).unwrap_err().to_string();
    assert!(error.contains("checkpoint"), "{error}");
}

/// SHA-256 of the certificate in `cosign-blob-v0.3.json`, by OpenSSL.
const CERTIFICATE: &str = "a5959f9002314d46f7b895dfaec235b4b40bab204de56ba123875a97c4aabbcc";
