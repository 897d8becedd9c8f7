//! Bundles in both registries: cosign 3 takes treelay's, treelay takes cosign's, and each keeps what
//! the other wrote.

use treelay_tests::registry::Registry;
use treelay_tests::{Cosign, Env, Run};

use crate::small;

use crate::sdk::with_password;

/// What cosign calls a signature that it found in a bundle, and one that it found beside a tag.
const IN_BUNDLE: &str = "https://sigstore.dev/cosign/sign/v1";
const BY_TAG: &str = "cosign container image signature";

fn cosign_verify(env: &Env, cosign: Cosign, key: &str, image: &str) -> Run {
    let key = format!("--key={key}.pub");
    env.cosign(cosign, ["verify", &key]).args(cosign.verify_offline()).arg(image)
}

fn cosign_3_signs(env: &Env, key: &str, image: &str) -> Run {
    let key = format!("--key={key}.key");
    let sign = ["sign", "--yes", "--recursive", &key];
    env.cosign(Cosign::Three, sign).args(Cosign::sign_bundle_offline()).arg(image)
}

fn verify(env: &Env, key: &str, image: &str, form: &str) -> Run {
    let key = format!("--key={key}.pub");
    env.treelay(["verify", &format!("docker://{image}"), &key, "--require-form", form])
}

fn sign(env: &Env, key: &str, image: &str) -> Run {
    let key = format!("--key={key}.key");
    with_password(env.treelay(["sign", &format!("docker://{image}"), &key]))
}

/// In a registry without and in one with the referrers endpoint: a small image, with keys `good`,
/// `other` and `ed25519`.
fn in_both(test: impl Fn(&Env, &str, &[String])) {
    let env = small::env();
    small::key(&env, "other");
    let generate = ["key", "generate", "--out", "ed25519", "--type", "ed25519"];
    with_password(env.treelay(generate)).ok();
    for registry in [Registry::docker(&env), Registry::ferro(&env)] {
        let name = format!("{}/tools/small", registry.address());
        let image = format!("{name}:1");
        let built = small::build(&env, &format!("docker://{image}"), &[]).arg("--json");
        let subjects = small::subjects(&built.ok().json());
        let subjects = subjects.iter().map(|digest| format!("{name}@{digest}"));
        test(&env, &image, &subjects.collect::<Vec<_>>());
    }
}

#[test]
fn both_cosigns_verify_every_manifest_in_their_own_form() {
    in_both(|env, image, subjects| {
        for key in ["good", "ed25519"] {
            let signed = sign(env, key, image).args(["-a", "build=7"]).ok();
            assert_eq!(signed.out().lines().count(), 2 * subjects.len(), "{signed}");
        }
        for subject in subjects {
            for key in ["good", "ed25519"] {
                for (cosign, form) in [(Cosign::Two, BY_TAG), (Cosign::Three, IN_BUNDLE)] {
                    let verify = || cosign_verify(env, cosign, key, subject);
                    verify().args(["-a", "build=7"]).ok().says(form);
                    verify().args(["-a", "dev.treelay.forms=sig+bundle"]).ok().says(form);
                    verify().args(["-a", "build=8"]).refuses();
                }
            }
            for cosign in Cosign::ALL {
                cosign_verify(env, cosign, "other", subject).refuses();
            }
        }
        verify(env, "good", image, "both").ok();
        verify(env, "other", image, "any").fails(1).says("was made by key");
        let again = sign(env, "good", image).args(["-a", "build=7"]).ok();
        assert_eq!(again.out(), "everything carries these signatures already\n");
    });
}

#[test]
fn treelay_takes_the_bundles_of_cosign_and_adds_what_is_missing() {
    in_both(|env, image, subjects| {
        cosign_3_signs(env, "good", image).ok();
        verify(env, "good", image, "any").ok().says("warning: ").says("it is not signed");
        verify(env, "good", image, "bundle").ok();
        verify(env, "good", image, "both").fails(1).says("it is not signed");
        verify(env, "other", image, "any").fails(1).says("made by key");

        // The bundle by the key is there, but does not say that there is a .sig too.
        for added in [subjects.len(), 0] {
            let signed = sign(env, "good", image).ok();
            for scheme in [" simplesigning\n", " sigstore-bundle\n"] {
                assert_eq!(signed.out().matches(scheme).count(), added, "{signed}");
            }
        }
        verify(env, "good", image, "both").ok();

        // Beside them another key's: everybody's stay good.
        sign(env, "other", image).ok();
        cosign_3_signs(env, "ed25519", image).ok();
        for key in ["good", "other"] {
            verify(env, key, image, "both").ok();
            for (cosign, form) in [(Cosign::Two, BY_TAG), (Cosign::Three, IN_BUNDLE)] {
                for subject in subjects {
                    cosign_verify(env, cosign, key, subject).ok().says(form);
                }
            }
        }
        // cosign 3 signs with Ed25519ph and verifies Ed25519: a signature by treelay mends that.
        verify(env, "ed25519", image, "bundle").fails(1).says("Ed25519ph");
        cosign_verify(env, Cosign::Three, "ed25519", image).refuses();
        sign(env, "ed25519", image).ok();
        verify(env, "ed25519", image, "both").ok();
        cosign_verify(env, Cosign::Three, "ed25519", image).ok();
    });
}

#[test]
fn an_attestation_is_a_signature_to_cosign_3_and_to_nobody_else() {
    in_both(|env, image, subjects| {
        let index = &subjects[0];
        let attest = |key: &str| {
            env.write("predicate.json", "{\"a\":1}");
            let key = format!("--key={key}.key");
            let attest = ["attest", "--yes", "--predicate=predicate.json", &key];
            let attest = env.cosign(Cosign::Three, attest).arg("--type=https://a.example/b");
            attest.args(Cosign::sign_bundle_offline()).arg(index)
        };
        // It asks for no type: what the key says of the image, whatever it be, will do.
        attest("other").ok();
        cosign_verify(env, Cosign::Three, "other", index).ok().says("https://a.example/b");
        for form in ["any", "bundle"] {
            let said = verify(env, "other", image, form).fails(1);
            said.says("not signed in a bundle");
        }
        // And it asks no further: the tag, by which cosign 2 signs, is not looked at.
        let legacy = ["sign", "--yes", "--recursive", "--key=good.key"];
        env.cosign(Cosign::Two, legacy).args(Cosign::Two.sign_offline()).arg(image).ok();
        cosign_verify(env, Cosign::Two, "good", index).ok().says(BY_TAG);
        cosign_verify(env, Cosign::Three, "good", index).refuses();
        let repository = image.rsplit_once(':').unwrap().0;
        let named = ["--signed-as", repository];
        let said = verify(env, "good", image, "any").args(named).ok();
        said.says("warning: ").says("all that cosign 3 looks at");
        let said = verify(env, "good", image, "both").args(named).fails(1);
        said.says("all that cosign 3 looks at");

        sign(env, "good", image).ok();
        verify(env, "good", image, "both").ok().says("attestation https://a.example/b");
        cosign_verify(env, Cosign::Three, "good", index).ok().says(IN_BUNDLE);
    });
}

#[test]
fn signers_at_once_lose_nobodys_signatures() {
    let keys: Vec<String> = (0..6).map(|n| format!("many-{n}")).collect();
    in_both(|env, image, subjects| {
        for key in &keys {
            if !env.path(format!("{key}.key")).exists() {
                small::key(env, key);
            }
        }
        // Processes that know nothing of each other.
        let running: Vec<_> = keys.iter().map(|key| sign(env, key, image).spawn()).collect();
        for child in running {
            let output = child.wait_with_output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{image}: {words}");
        }
        for key in &keys {
            verify(env, key, image, "both").ok();
        }
        for subject in subjects {
            for (cosign, form) in [(Cosign::Two, BY_TAG), (Cosign::Three, IN_BUNDLE)] {
                cosign_verify(env, cosign, &keys[0], subject).ok().says(form);
            }
        }
    });
}
