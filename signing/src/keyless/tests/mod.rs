//! Real bundles, real bundles that were tampered with, and those of a world of our own for what no
//! real one shows.

mod made;
mod real;
mod roots;
mod tampered;
mod world;

use super::*;

/// A trusted root of the fixtures.
fn root(name: &str) -> TrustedRoot {
    TrustedRoot::parse(root_json(name).as_bytes()).unwrap()
}

fn root_json(name: &str) -> &'static str {
    match name {
        "public-good" => include_str!("../../../fixtures/keyless/root-public-good.json"),
        "staging" => include_str!("../../../fixtures/keyless/root-staging.json"),
        "scaffolding" => include_str!("../../../fixtures/keyless/root-scaffolding.json"),
        "github" => include_str!("../../../fixtures/keyless/root-github.json"),
        "other-ct-key" => include_str!("../../../fixtures/keyless/root-other-ct-key.json"),
        other => panic!("no root {other}"),
    }
}

/// A bundle of the fixtures.
fn json(name: &str) -> &'static str {
    macro_rules! bundles {
        ($($name:literal)*) => {
            match name {
                $($name => include_str!(concat!("../../../fixtures/keyless/", $name, ".json")),)*
                other => panic!("no bundle {other}"),
            }
        };
    }
    bundles! {
        "dsse-v0.1" "dsse-2-signatures-v0.1" "npm-provenance-v0.1" "no-log-entry-v0.1"
        "other-ct-key-v0.1" "wheel-v0.2" "no-checkpoint-v0.2" "cosign-blob-v0.3" "conda-v0.3"
        "othername-v0.3" "other-artifact-v0.3" "no-signed-time-v0.3" "rekor2-v0.3"
        "rekor2-dsse-v0.3" "rekor2-same-names-v0.3" "github-v0.3" "key-v0.3"
    }
}

fn bundle(name: &str) -> Bundle {
    Bundle::parse(json(name).as_bytes()).unwrap()
}

/// An artifact by `sha256:…` or `sha512:…`.
fn artifact(digest: &str) -> Artifact<'static> {
    let (algorithm, hex) = digest.split_once(':').unwrap();
    let bytes = hex::decode(hex).unwrap();
    match algorithm {
        "sha256" => Artifact::of_sha256(bytes.try_into().unwrap()),
        _ => Artifact::of_sha512(bytes.try_into().unwrap()),
    }
}

fn policy(identity: &str, issuer: &str) -> Policy {
    Policy { identity: Matcher::exactly(identity), issuer: Matcher::exactly(issuer) }
}

/// For tests in which somebody else's signature is refused for another reason.
fn anybody() -> Policy {
    Policy { identity: Matcher::pattern(".*").unwrap(), issuer: Matcher::pattern(".*").unwrap() }
}
