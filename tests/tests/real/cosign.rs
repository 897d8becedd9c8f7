//! cosign 2.5 and 3.1 and treelay take each other's signatures and keys.

use std::fs;

use treelay_tests::registry::Registry;
use treelay_tests::{Cosign, Env, Run};

use crate::sdk::{sdk, with_password};
use crate::small;

fn verify(env: &Env, cosign: Cosign, key: &str, image: &str) -> Run {
    env.cosign(cosign, ["verify", key]).args(cosign.verify_offline()).arg(image)
}

#[test]
fn both_verify_the_real_image_in_docker_registry() {
    let env = Env::new();
    verifies_the_real_image(&env, &Registry::docker(&env));
}

#[test]
fn both_verify_the_real_image_in_ferro() {
    let env = Env::new();
    verifies_the_real_image(&env, &Registry::ferro(&env));
}

fn verifies_the_real_image(env: &Env, registry: &Registry) {
    let sdk = sdk();
    let image = registry.docker_name("tools/go-sdk:1.27.3");
    env.treelay(["copy", &sdk.layout(), &image]).ok();
    let repository = format!("{}/tools/go-sdk", registry.address());
    let mut names = vec![format!("{repository}:1.27.3")];
    names.extend(sdk.subjects().iter().map(|digest| format!("{repository}@{digest}")));
    for cosign in Cosign::ALL {
        for name in &names {
            let digest = name.split_once('@').map_or(sdk.index(), |(_, digest)| digest);
            for key in ["p256.pub", "ed25519.pub"] {
                verify(env, cosign, &sdk.key(key), name).ok().says(digest);
            }
            for key in ["other.pub", "other-ed25519.pub"] {
                let refused = verify(env, cosign, &sdk.key(key), name).refuses();
                // cosign 3 looks at the bundles, and calls them all attestations.
                refused.says(match cosign {
                    Cosign::Two => "no matching signatures",
                    Cosign::Three => "no matching attestations",
                });
            }
        }
    }
}

#[test]
fn both_sign_with_keys_that_treelay_made() {
    let env = small::env();
    let registry = Registry::docker(&env);
    for cosign in Cosign::ALL {
        let name = format!("{}/tools/{cosign:?}:1", registry.address()).to_lowercase();
        let image = format!("docker://{name}");
        small::build(&env, &image, &[]).ok();
        let sign = ["sign", "--yes", "--recursive", "--key=good.key"];
        env.cosign(cosign, sign).args(cosign.sign_offline()).arg(&name).ok();
        verify(&env, cosign, "--key=good.pub", &name).ok();

        // cosign signs the repository's name alone, which hosts do not take for a tag.
        let treelay = ["verify", "--blobs", &image, "--key=good.pub"];
        env.treelay(treelay).fails(1).says("--signed-as").says("sign it again");
        let repository = name.rsplit_once(':').unwrap().0;
        env.treelay(treelay).args(["--signed-as", repository]).ok();
        let other = sdk().key("other.pub");
        env.treelay(["verify", &image, &other]).fails(1).says("was not made by key");

        let sign = ["sign", "--yes", "--recursive", &sdk().key("ed25519.key")];
        env.cosign(cosign, sign).args(cosign.sign_offline()).arg(&name).ok();
        let ed25519 = sdk().key("ed25519.pub");
        let treelays = env.treelay(["verify", &image, &ed25519, "--signed-as", repository]);
        let cosigns = verify(&env, cosign, &ed25519, &name);
        match cosign {
            Cosign::Two => {
                treelays.ok();
                cosigns.ok();
            }
            // It signs with Ed25519ph and verifies Ed25519.
            Cosign::Three => {
                treelays.fails(1).says("Ed25519ph");
                cosigns.refuses();
            }
        }

        // treelay's signature goes beside cosign's, and both stay good.
        with_password(env.treelay(["sign", &image, "--key=good.key"])).ok();
        env.treelay(treelay).ok();
        env.treelay(treelay).args(["--signed-as", repository]).ok();
        verify(&env, cosign, "--key=good.pub", &name).ok();
    }
}

#[test]
fn both_read_every_kind_of_key_that_treelay_made() {
    let env = small::env();
    let sdk = sdk();
    for cosign in Cosign::ALL {
        for kind in ["p256", "ed25519"] {
            let shown = env.cosign(cosign, ["public-key"]).arg(sdk.key(&format!("{kind}.key")));
            let public = fs::read_to_string(sdk.path(&format!("{kind}.pub"))).unwrap();
            assert_eq!(shown.ok().out().trim(), public.trim());
        }
        let wrong = env.cosign(cosign, ["public-key"]).arg(sdk.key("p256.key"));
        wrong.env("COSIGN_PASSWORD", "another").refuses();
    }
}

#[test]
fn treelay_signs_with_keys_that_both_made() {
    let env = small::env();
    let registry = Registry::docker(&env);
    for cosign in Cosign::ALL {
        let prefix = format!("--output-key-prefix={cosign:?}");
        env.cosign(cosign, ["generate-key-pair", &prefix]).ok();
        let (key, public) = (format!("{cosign:?}"), format!("--key={cosign:?}.pub"));
        let name = format!("{}/tools/{cosign:?}:1", registry.address()).to_lowercase();
        let image = format!("docker://{name}");
        let report = small::build(&env, &image, &[&key]).arg("--json").ok().json();
        env.treelay(["verify", "--blobs", &image, &public]).ok();
        let repository = name.rsplit_once(':').unwrap().0;
        for digest in small::subjects(&report) {
            verify(&env, cosign, &public, &format!("{repository}@{digest}")).ok();
        }
        verify(&env, cosign, "--key=good.pub", &name).refuses();
        let wrong = small::build(&env, &image, &[&key]).env("COSIGN_PASSWORD", "another");
        wrong.fails(1).says("password");
    }
}
