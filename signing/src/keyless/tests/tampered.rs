//! Real bundles, tampered with: each is refused for its own reason.

use serde_json::{Value, json as value};

use super::*;

/// A good bundle, its root and what it is for.
struct Case {
    name: &'static str,
    root: &'static str,
    digest: &'static str,
}

const COSIGN: Case = Case {
    name: "cosign-blob-v0.3",
    root: "public-good",
    digest: "sha256:e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764",
};
const CONDA: Case = Case {
    name: "conda-v0.3",
    root: "public-good",
    digest: "sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f",
};
const REKOR2: Case = Case {
    name: "rekor2-v0.3",
    root: "staging",
    digest: "sha256:15f67246115921bb7c1de0e7e9e9275c8016dc254a0c009888944b7ed3644aaa",
};

impl Case {
    /// The verdict on the bundle after a change, with a root after a change.
    fn with(
        &self,
        change: impl FnOnce(&mut Value),
        change_root: impl FnOnce(&mut Value),
    ) -> Result<Signed, KeylessError> {
        let mut bundle: Value = serde_json::from_str(json(self.name)).unwrap();
        let mut root: Value = serde_json::from_str(root_json(self.root)).unwrap();
        change(&mut bundle);
        change_root(&mut root);
        let bundle = Bundle::parse(bundle.to_string().as_bytes()).unwrap();
        let root = TrustedRoot::parse(root.to_string().as_bytes()).unwrap();
        verify(&bundle, &artifact(self.digest), &root, &anybody())
    }

    fn refused(&self, reason: &str, change: impl FnOnce(&mut Value)) {
        let error = self.with(change, |_| {}).unwrap_err().to_string();
        assert!(error.contains(reason), "{}: {error}", self.name);
    }

    fn refused_by(&self, reason: &str, change_root: impl FnOnce(&mut Value)) {
        let error = self.with(|_| {}, change_root).unwrap_err().to_string();
        assert!(error.contains(reason), "{}: {error}", self.name);
    }
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

fn entry_of(name: &str) -> Value {
    entry(&mut serde_json::from_str(json(name)).unwrap()).take()
}

#[test]
fn they_are_good_before() {
    for case in [COSIGN, CONDA, REKOR2] {
        assert!(case.with(|_| {}, |_| {}).is_ok(), "{}", case.name);
    }
}

#[test]
fn evidence_of_another_signature_is_refused() {
    let other = || entry_of("other-artifact-v0.3");
    COSIGN.refused("entry 26084047 is of another signature", |bundle| *entry(bundle) = other());
    COSIGN.refused("(SET)", |bundle| {
        entry(bundle)["inclusionPromise"] = other()["inclusionPromise"].take();
    });
    COSIGN.refused("(SET)", |bundle| {
        entry(bundle)["integratedTime"] = value!("1764787004");
    });
    COSIGN.refused("(SET)", |bundle| entry(bundle)["logIndex"] = value!("1"));
    COSIGN.refused("another entry or another tree", |bundle| {
        entry(bundle)["inclusionProof"] = other()["inclusionProof"].take();
    });
    COSIGN.refused("of another tree than the proof", |bundle| {
        let proof = &mut entry(bundle)["inclusionProof"];
        proof["checkpoint"] = other()["inclusionProof"]["checkpoint"].take();
    });
    COSIGN.refused("has not the form of one", |bundle| {
        entry(bundle)["inclusionProof"]["treeSize"] = value!("1");
    });
    REKOR2.refused("another number", |bundle| entry(bundle)["logIndex"] = value!("644"));
    REKOR2.refused("not signed by", |bundle| {
        let note = &mut entry(bundle)["inclusionProof"]["checkpoint"]["envelope"];
        let signed = note.as_str().unwrap();
        // The last byte of the signature.
        *note = value!(signed.replace("kpt/B8AE=", "kpt/B8AA="));
    });
    REKOR2.refused("over another signature", |bundle| {
        let other: Value = serde_json::from_str(json("rekor2-dsse-v0.3")).unwrap();
        let name = "timestampVerificationData";
        bundle["verificationMaterial"][name] = other["verificationMaterial"][name].clone();
    });
    COSIGN.refused("kind", |bundle| {
        entry(bundle)["kindVersion"] = value!({ "kind": "dsse", "version": "0.0.1" });
    });
}

#[test]
fn what_is_missing_is_missed() {
    REKOR2.refused("which entries of Rekor version 2 need", |bundle| {
        bundle["verificationMaterial"].as_object_mut().unwrap().remove("timestampVerificationData");
    });
    COSIGN.refused("no entry in a transparency log", |bundle| {
        bundle["verificationMaterial"]["tlogEntries"] = value!([]);
    });
    CONDA.refused("nothing proves when", |bundle| {
        entry(bundle).as_object_mut().unwrap().remove("inclusionPromise");
    });
    // The timestamp of an authority is enough, and the log's own time counts no more.
    let signed = COSIGN.with(
        |bundle| {
            let entry = entry(bundle).as_object_mut().unwrap();
            entry.remove("inclusionPromise");
            entry["integratedTime"] = value!("1");
        },
        |_| {},
    );
    let sources: Vec<_> = signed.unwrap().times.iter().map(|time| time.source).collect();
    assert_eq!(sources, [TimeSource::TimestampAuthority]);
    REKOR2.refused("sign no entry timestamps", |bundle| {
        entry(bundle)["inclusionPromise"] = value!({ "signedEntryTimestamp": "AAAA" });
    });
}

#[test]
fn what_signed_is_compared() {
    COSIGN.refused("does not fit the certificate", |bundle| {
        let other: Value = serde_json::from_str(json("other-artifact-v0.3")).unwrap();
        bundle["messageSignature"]["signature"] = other["messageSignature"]["signature"].clone();
    });
    COSIGN.refused("does not fit the certificate", |bundle| {
        let other: Value = serde_json::from_str(json("other-artifact-v0.3")).unwrap();
        bundle["verificationMaterial"]["certificate"] =
            other["verificationMaterial"]["certificate"].clone();
    });
    COSIGN.refused("not for sha256:e194", |bundle| {
        bundle["messageSignature"]["messageDigest"]["digest"] =
            value!("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    });
    CONDA.refused("2 signatures", |bundle| {
        let signatures = bundle["dsseEnvelope"]["signatures"].as_array_mut().unwrap();
        signatures.push(signatures[0].clone());
    });
    CONDA.refused("0 ", |bundle| bundle["dsseEnvelope"]["signatures"] = value!([]));
    CONDA.refused("payload", |bundle| {
        bundle["dsseEnvelope"]["payloadType"] = value!("application/json");
    });
    let other = artifact(COSIGN.digest);
    let bundle = bundle(CONDA.name);
    let error = verify(&bundle, &other, &root("public-good"), &anybody()).unwrap_err();
    assert!(error.to_string().starts_with("signed for sha256:5430"), "{error}");
}

#[test]
fn the_root_must_trust_everybody_then() {
    let period = |end: &str| value!({ "start": "2020-01-01T00:00:00Z", "end": end });
    let early = || period("2021-01-01T00:00:00Z");
    let all = |root: &mut Value, name: &str, change: &dyn Fn(&mut Value)| {
        root[name].as_array_mut().unwrap().iter_mut().for_each(change);
    };
    CONDA.refused_by("not in the trusted root", |root| root["tlogs"] = value!([]));
    CONDA.refused_by("no authority of the trusted root", |root| {
        root["certificateAuthorities"] = value!([]);
    });
    CONDA.refused_by("SCT", |root| root["ctlogs"] = value!([]));
    REKOR2.refused_by("no authority of the trusted root", |root| {
        root["timestampAuthorities"] = value!([]);
    });
    for name in ["tlogs", "ctlogs"] {
        let change = |log: &mut Value| log["publicKey"]["validFor"] = early();
        CONDA.refused_by("is trusted from 2020-01-01", |root| all(root, name, &change));
        REKOR2.refused_by("is trusted from 2020-01-01", |root| all(root, name, &change));
    }
    for name in ["certificateAuthorities", "timestampAuthorities"] {
        let change = |authority: &mut Value| authority["validFor"] = early();
        REKOR2.refused_by("is trusted from 2020-01-01", |root| all(root, name, &change));
    }
    // Trusted until the second of the entry, and until the one before.
    for (end, good) in [("2025-09-01T12:13:59Z", true), ("2025-09-01T12:13:58Z", false)] {
        let change = |log: &mut Value| log["publicKey"]["validFor"] = period(end);
        let verdict = CONDA.with(|_| {}, |root| all(root, "tlogs", &change));
        assert_eq!(verdict.is_ok(), good, "{end}");
    }
    // The key of another log under the name of the right one.
    CONDA.refused_by("(SET)", |root| {
        let other = root["ctlogs"][1]["publicKey"]["rawBytes"].clone();
        all(root, "tlogs", &|log| log["publicKey"]["rawBytes"] = other.clone());
    });
}

#[test]
fn only_the_identity_that_is_asked_for_is_accepted() {
    const WHO: &str = "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main";
    const ISSUER: &str = "https://token.actions.githubusercontent.com";
    let (bundle, artifact, root) =
        (bundle(CONDA.name), artifact(CONDA.digest), root("public-good"));
    let exactly = Matcher::exactly;
    let pattern = |text: &str| Matcher::pattern(text).unwrap();
    for (identity, issuer, reason) in [
        (exactly(WHO), exactly(ISSUER), ""),
        (pattern("https://github.com/prefix-dev/.*"), exactly(ISSUER), ""),
        (pattern("https://github.com/prefix-dev/.*"), pattern("https://token.*"), ""),
        (
            exactly("https://github.com/prefix-dev"),
            exactly(ISSUER),
            "signed by https://github.com/prefix-dev/sig",
        ),
        (exactly(WHO), exactly("https://accounts.google.com"), "was issued by https://token"),
        // Patterns that would match a part.
        (pattern("https://github.com/prefix-dev/"), exactly(ISSUER), "not by /https"),
        (pattern("main"), exactly(ISSUER), "signed by"),
        (pattern("https://github.com/prefix-dev/.*"), pattern("https://token"), "was issued by"),
        (exactly(&WHO.to_uppercase()), exactly(ISSUER), "signed by"),
    ] {
        let policy = Policy { identity, issuer };
        let verdict = verify(&bundle, &artifact, &root, &policy);
        match verdict {
            Ok(_) => assert_eq!(reason, "", "{policy:?}"),
            Err(error) => {
                let error = error.to_string();
                assert!(!reason.is_empty() && error.contains(reason), "{policy:?}: {error}");
            }
        }
    }
}

/// No byte of any decoded part of a bundle can be changed: it is refused, or nothing of the verdict
/// changes, and then the byte lies where nobody signed anything and nothing is read.
#[test]
fn no_byte_can_be_flipped() {
    for case in [COSIGN, CONDA, REKOR2] {
        let (artifact, root) = (artifact(case.digest), root(case.root));
        let good = bundle(case.name);
        let verdict = verify(&good, &artifact, &root, &anybody()).unwrap();
        let mut survivors = Vec::new();
        for (part, length) in parts(&good) {
            for at in 0..length {
                let mut tampered = good.clone();
                part(&mut tampered)[at] ^= 1 << (at % 8);
                if tampered == good {
                    continue;
                }
                if let Ok(found) = verify(&tampered, &artifact, &root, &anybody()) {
                    assert_eq!(found, verdict, "{} {at}", case.name);
                    survivors.push((length, at));
                }
            }
        }
        // The status of a response, which nobody signs: granted, or granted with changes.
        let status: Vec<_> =
            good.timestamps.first().map(|all| (all.len(), 8)).into_iter().collect();
        assert_eq!(survivors, status, "{}", case.name);
    }
}

/// The same with every byte of the JSON: what is still read as a bundle and accepted says the same.
#[test]
fn no_byte_of_the_json_makes_another_verdict() {
    let case = REKOR2;
    let (artifact, root) = (artifact(case.digest), root(case.root));
    let text = json(case.name).as_bytes();
    let what = |signed: Signed| (signed.artifact, signed.by, signed.times, signed.log);
    let verdict = what(verify(&bundle(case.name), &artifact, &root, &anybody()).unwrap());
    let mut accepted = 0;
    for at in 0..text.len() {
        let mut tampered = text.to_vec();
        tampered[at] ^= 1 << (at % 7);
        let Ok(tampered) = Bundle::parse(&tampered) else { continue };
        if let Ok(signed) = verify(&tampered, &artifact, &root, &anybody()) {
            assert_eq!(what(signed), verdict, "{at}");
            accepted += 1;
        }
    }
    // Spaces that become line ends, and the status of the timestamp.
    assert!(accepted < text.len() / 50, "{accepted} of {}", text.len());
}

type Part = fn(&mut Bundle) -> &mut [u8];

/// Every sequence of bytes of a bundle, decoded, and its length.
fn parts(bundle: &Bundle) -> Vec<(Part, usize)> {
    fn certificate(bundle: &mut Bundle) -> &mut [u8] {
        match &mut bundle.material {
            Material::Certificate(der) => der,
            _ => &mut [],
        }
    }
    fn signature(bundle: &mut Bundle) -> &mut [u8] {
        match &mut bundle.content {
            Content::Envelope(envelope) => &mut envelope.signatures[0].sig,
            Content::Message(message) => &mut message.signature,
        }
    }
    fn content(bundle: &mut Bundle) -> &mut [u8] {
        match &mut bundle.content {
            Content::Envelope(envelope) => &mut envelope.payload,
            Content::Message(message) => &mut message.digest.as_mut().unwrap().digest,
        }
    }
    fn proof(bundle: &mut Bundle) -> &mut crate::bundle::InclusionProof {
        bundle.log_entries[0].inclusion_proof.as_mut().unwrap()
    }
    let all: Vec<Part> = vec![
        certificate,
        signature,
        content,
        |bundle| &mut bundle.log_entries[0].log_id,
        |bundle| &mut bundle.log_entries[0].canonicalized_body,
        |bundle| match &mut bundle.log_entries[0].inclusion_promise {
            Some(promise) => promise,
            None => &mut [],
        },
        |bundle| &mut proof(bundle).root_hash,
        |bundle| proof(bundle).hashes.first_mut().unwrap(),
        |bundle| proof(bundle).hashes.last_mut().unwrap(),
        |bundle| match bundle.timestamps.first_mut() {
            Some(timestamp) => timestamp,
            None => &mut [],
        },
    ];
    all.into_iter().map(|part| (part, part(&mut bundle.clone()).len())).collect()
}
