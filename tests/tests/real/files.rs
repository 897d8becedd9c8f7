//! cosign 3 and treelay accept the same signatures of files, and refuse the same.

use serde_json::{Value, json};
use treelay_tests::{Cosign, Env};

/// A bundle, and how it is verified.
struct Case {
    bundle: &'static str,
    root: &'static str,
    /// `sha256:` and hex digits.
    artifact: &'static str,
    /// Who and by whom; or a key, and nothing.
    signer: (&'static str, &'static str),
    /// Type of the predicate; empty where a file is signed.
    predicate: &'static str,
}

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";

const BLOB: Case = Case {
    bundle: "cosign-blob-v0.3",
    root: "public-good",
    artifact: "sha256:e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764",
    signer: ("w.vollprecht@gmail.com", "https://github.com/login/oauth"),
    predicate: "",
};
const REKOR2: Case = Case {
    bundle: "rekor2-v0.3",
    root: "staging",
    artifact: "sha256:15f67246115921bb7c1de0e7e9e9275c8016dc254a0c009888944b7ed3644aaa",
    signer: ("jku@goto.fi", "https://github.com/login/oauth"),
    predicate: "",
};
const CONDA: Case = Case {
    bundle: "conda-v0.3",
    root: "public-good",
    artifact: "sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f",
    signer: (
        "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
        GITHUB,
    ),
    predicate: "https://schemas.conda.org/attestations-publish-1.schema.json",
};
const WITH_KEY: Case = Case {
    bundle: "key-v0.3",
    root: "public-good",
    artifact: "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
    signer: ("key.pub", ""),
    predicate: "",
};

impl Case {
    /// Whether cosign and treelay accept it after a change of bundle and root.
    fn verdicts(
        &self,
        env: &Env,
        change: impl FnOnce(&mut Value),
        change_root: impl FnOnce(&mut Value),
    ) -> (bool, bool) {
        let fixture = |name: &str| {
            let file = format!("../signing/fixtures/keyless/{name}");
            std::fs::read_to_string(file).unwrap()
        };
        let parse = |name: &str| serde_json::from_str::<Value>(&fixture(name)).unwrap();
        let (mut bundle, mut root) =
            (parse(&format!("{}.json", self.bundle)), parse(&format!("root-{}.json", self.root)));
        change(&mut bundle);
        change_root(&mut root);
        env.write("bundle.json", bundle.to_string());
        env.write("root.json", root.to_string());
        let common = ["--bundle=bundle.json", "--trusted-root=root.json"];

        let mut cosign = match self.predicate {
            "" => env.cosign(Cosign::Three, ["verify-blob"]),
            predicate => {
                let digest = self.artifact.trim_start_matches("sha256:");
                env.cosign(Cosign::Three, ["verify-blob-attestation", "--digestAlg=sha256"])
                    .args(["--digest", digest, "--type", predicate])
            }
        };
        let mut treelay = env.treelay(["verify", self.artifact]).args(common);
        cosign = cosign.args(common);
        match self.signer {
            (key, "") => {
                env.write(key, fixture(key));
                cosign = cosign.args(["--key", key]);
                treelay = treelay.args(["--key", key]);
            }
            (who, issuer) => {
                let options = ["--certificate-identity", who, "--certificate-oidc-issuer", issuer];
                cosign = cosign.args(options);
                treelay = treelay.args(["--identity", who, "--issuer", issuer]);
            }
        }
        if self.predicate.is_empty() {
            cosign = cosign.arg(self.artifact);
        }
        (cosign.output().status.success(), treelay.output().status.success())
    }
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

#[test]
fn both_accept_real_bundles() {
    let env = Env::new();
    let others = [
        Case {
            bundle: "other-ct-key-v0.1",
            artifact: WITH_KEY.artifact,
            signer: (BEACON, GITHUB),
            ..BLOB
        },
        Case {
            bundle: "wheel-v0.2",
            artifact: "sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201",
            signer: (
                "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2",
                GITHUB,
            ),
            ..BLOB
        },
        Case {
            bundle: "rekor2-same-names-v0.3",
            artifact: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            signer: (
                "https://github.com/sigstore/root-signing-staging/.github/workflows/custom-test.yml@refs/heads/main",
                GITHUB,
            ),
            ..REKOR2
        },
    ];
    for case in [BLOB, REKOR2, CONDA, WITH_KEY].into_iter().chain(others) {
        let verdicts = case.verdicts(&env, |_| {}, |_| {});
        assert_eq!(verdicts, (true, true), "{}", case.bundle);
    }
}

#[test]
fn both_refuse_what_proves_nothing() {
    let env = Env::new();
    let unchanged = |_: &mut Value| {};
    let refused = |name: &str, verdicts| assert_eq!(verdicts, (false, false), "{name}");
    let case = Case { signer: ("somebody@treelay.example", BLOB.signer.1), ..BLOB };
    refused("another identity", case.verdicts(&env, unchanged, unchanged));
    let case = Case { signer: (BLOB.signer.0, "https://accounts.google.com"), ..BLOB };
    refused("another issuer", case.verdicts(&env, unchanged, unchanged));
    let case = Case { artifact: REKOR2.artifact, ..BLOB };
    refused("another artifact", case.verdicts(&env, unchanged, unchanged));
    let case = Case { root: "staging", ..BLOB };
    refused("another root", case.verdicts(&env, unchanged, unchanged));
    let case = Case {
        bundle: "other-ct-key-v0.1",
        root: "other-ct-key",
        artifact: WITH_KEY.artifact,
        signer: (BEACON, GITHUB),
        ..BLOB
    };
    refused("SCT by another key", case.verdicts(&env, unchanged, unchanged));
    for (name, key) in [
        ("authorities", "certificateAuthorities"),
        ("logs", "tlogs"),
        ("certificate logs", "ctlogs"),
        ("timestamp authorities", "timestampAuthorities"),
    ] {
        refused(name, REKOR2.verdicts(&env, unchanged, |root| root[key] = json!([])));
    }
    let retired = json!({ "start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z" });
    let retire = |root: &mut Value| {
        for log in root["tlogs"].as_array_mut().unwrap() {
            log["publicKey"]["validFor"] = retired.clone();
        }
    };
    refused("a log outside its period", CONDA.verdicts(&env, unchanged, retire));
    let no_stamp = |bundle: &mut Value| {
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        material.remove("timestampVerificationData");
    };
    refused("version 2 without a timestamp", REKOR2.verdicts(&env, no_stamp, unchanged));
    let no_entry = |bundle: &mut Value| bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    refused("no log entry", BLOB.verdicts(&env, no_entry, unchanged));
    let later = |bundle: &mut Value| entry(bundle)["integratedTime"] = json!("1764787004");
    refused("another time", BLOB.verdicts(&env, later, unchanged));
    let proof = |bundle: &mut Value| {
        let hashes = entry(bundle)["inclusionProof"]["hashes"].as_array_mut().unwrap();
        hashes.swap(0, 1);
    };
    refused("another proof", BLOB.verdicts(&env, proof, unchanged));
    let twice = |bundle: &mut Value| {
        let signatures = bundle["dsseEnvelope"]["signatures"].as_array_mut().unwrap();
        signatures.push(signatures[0].clone());
    };
    refused("two signatures", CONDA.verdicts(&env, twice, unchanged));
}
