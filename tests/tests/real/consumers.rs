//! What `verify --as cosign-2` and `--as cosign-3` say of an image is what these programs do.

use serde_json::Value;
use treelay_tests::registry::Registry;
use treelay_tests::{Cosign, Env};

use crate::sdk::with_password;
use crate::small;

/// An image in a registry without the referrers endpoint.
struct Image<'a> {
    env: &'a Env,
    /// `127.0.0.1:PORT/tools/NAME`.
    repository: String,
    index: String,
}

impl<'a> Image<'a> {
    /// Signed by the key `good`, in both forms.
    fn signed(env: &'a Env, registry: &Registry, name: &str) -> Self {
        let repository = format!("{}/tools/{name}", registry.address());
        let report = small::build(env, &format!("docker://{repository}:1"), &["good"]);
        let report = report.arg("--json").ok().json();
        let index = report["index"]["digest"].as_str().unwrap().to_owned();
        Self { env, repository, index }
    }

    fn docker(&self, rest: &str) -> String {
        format!("docker://{}{rest}", self.repository)
    }

    /// The tag of the index's signatures, or with `""` of the list of what refers to it.
    fn tag(&self, ending: &str) -> String {
        self.docker(&format!(":{}{ending}", self.index.replace(':', "-")))
    }

    fn delete(&self, ending: &str) {
        self.env.skopeo(["delete", &self.tag(ending)]).ok();
    }

    /// Asserts which rule the image breaks for each of the two, `""` for none, and that the programs
    /// agree.
    #[track_caller]
    fn breaks(&self, key: &str, rules: [&str; 2]) {
        let as_both = ["--as=cosign-2", "--as=cosign-3", "--json"];
        let key = format!("--key={key}.pub");
        let verify = self.env.treelay(["verify", &self.docker(":1"), &key]).args(as_both);
        let said: Value = verify.output().json();
        for ((cosign, rule), n) in Cosign::ALL.into_iter().zip(rules).zip(0..) {
            let broken = &said["consumers"][n]["broken"];
            assert_eq!(broken[0]["rule"].as_str().unwrap_or_default(), rule, "{said}");
            let name = format!("{}:1", self.repository);
            let verify = self.env.cosign(cosign, ["verify", &key]).args(cosign.verify_offline());
            match rule {
                "" => drop(verify.arg(&name).ok()),
                _ => drop(verify.arg(&name).refuses()),
            }
        }
    }
}

#[test]
fn rules_of_cosign_are_what_cosign_does() {
    let env = small::env();
    small::key(&env, "other");
    let registry = Registry::docker(&env);
    env.plain_http(&registry);
    let image = Image::signed(&env, &registry, "one");
    image.breaks("good", ["", ""]);
    image.breaks("other", ["cosign-2/key", "cosign-3/bundle-first"]);

    // Without bundles, cosign 3 goes by the tag too.
    image.delete("");
    image.breaks("good", ["", ""]);
    image.breaks("other", ["cosign-2/key", "cosign-3/key"]);

    // With a bundle by another key beside, it does not any more.
    with_password(env.treelay(["sign", &image.docker(":1"), "--key=other.key"])).ok();
    image.breaks("other", ["", ""]);
    image.breaks("good", ["", "cosign-3/bundle-first"]);

    image.delete("");
    image.delete(".sig");
    image.breaks("good", ["cosign-2/sig-tag", "cosign-3/sig-tag"]);

    // The signatures of another image under this one's tag.
    let recipe = env.read("small.yaml").replace("quick", "slow");
    env.write("small.yaml", recipe);
    let other = Image::signed(&env, &registry, "two");
    let copy = ["--insecure-policy", "copy", "--quiet"];
    env.skopeo(copy).args([&other.tag(".sig"), &image.tag(".sig")]).ok();
    image.breaks("good", ["cosign-2/digest", "cosign-3/digest"]);

    // Something that is no set of signatures.
    env.skopeo(copy).args([&other.docker(":1"), &image.tag(".sig"), "--all"]).ok();
    image.breaks("good", ["cosign-2/readable", "cosign-3/readable"]);
}
