//! The image of the real Go, read by skopeo, umoci, Python, GNU tar and gzip, sha256sum.

use std::fs;
use std::path::Path;

use serde_json::Value;
use treelay_tests::Env;
use treelay_tests::registry::Registry;

use crate::sdk::{ARCHES, Arch, Listing, independent, listing, sdk};

/// Where the Debian package of the image specification has its schemas.
pub const SCHEMAS: &str = "/usr/share/gocode/src/github.com/opencontainers/image-spec/schema";

/// Digest and diffID of the toolchain layer that all arches share, and of each arch's own. They
/// change only with the version of the codec or of the layer kind, never with a compressor's
/// release.
const SHARED: [&str; 2] = [
    "sha256:556a898bf26a1c35ef7804014ae011b43cb52d439be416b08b1aea9c7b9ce9fe",
    "sha256:a9a2753e1efe539a1cda85ada5c68529f795681770ae2834b360711cab57f576",
];
const OWN: [[&str; 2]; 3] = [
    [
        "sha256:0b9229df5c822222cb5a52a190835ab95a231f94263d64b76cddf04b82fd373e",
        "sha256:2d3a8900d67f78c5088ca4121ae7bbbfa2062eb0aff26a1d11dc77a6e62fe409",
    ],
    [
        "sha256:7821d1521efc7983282dc2fcd014dfef1e12a88429ba4efd8a293a4e08ab2794",
        "sha256:d032ae59804d4bd413f446f2bac66a8c48f476fc2ee3d8b99449df9c03415418",
    ],
    [
        "sha256:c2de1a4dcb272ed5f88f5d1690480113278952c4f7051288ea9f86d9fa1ee013",
        "sha256:f05fe5fa05add8e2665e74fe110ee5ecbaa3688516a225239c7a787aa4df636e",
    ],
];

#[test]
fn every_document_fits_the_schemas_and_every_layer_is_the_distribution() {
    let sdk = sdk();
    assert!(
        Path::new(SCHEMAS).is_dir(),
        "{SCHEMAS} is missing: it is in the Debian package \
         golang-github-opencontainers-image-spec-dev; run `cargo xtask setup --tier real`"
    );
    let check = independent(&sdk.env, "layout").arg(sdk.path("layout")).arg(SCHEMAS);
    let found = check.ok().json();
    assert_eq!(found["index"], sdk.index());
    assert_eq!(found["signatures"], 4, "the index and three images have a `.sig`");
    assert_eq!(found["bundles"], 4 * 2, "and a bundle of each key");
    assert_eq!(found["images"].as_object().unwrap().len(), ARCHES.len());
    for (arch, own) in ARCHES.iter().zip(OWN) {
        let (image, said) = (&found["images"][arch.go], sdk.image(arch));
        assert_eq!(image["digest"], said["digest"]);
        let tree = image["tree"].as_array().unwrap();
        let tree = tree.iter().map(|line| line.as_str().unwrap().to_owned());
        Listing::from_lines(tree).is(sdk.expected(arch));

        let layers = said["layers"].as_array().unwrap();
        let ids = image["config"]["rootfs"]["diff_ids"].as_array().unwrap();
        let descriptors = image["layers"].as_array().unwrap();
        assert_eq!((layers.len(), ids.len(), descriptors.len()), (3, 3, 3));
        for ((layer, id), descriptor) in layers.iter().zip(ids).zip(descriptors) {
            assert_eq!(layer["diff_id"], *id);
            for (ours, theirs) in
                [("digest", "digest"), ("size", "size"), ("media_type", "mediaType")]
            {
                assert_eq!(layer[ours], descriptor[theirs], "{} {ours}", arch.go);
            }
        }
        let shared: Vec<bool> = layers.iter().map(|layer| layer["shared"] == true).collect();
        assert_eq!(
            shared,
            [true, false, true],
            "what all have of the toolchain; its own; settings"
        );
        for (layer, pinned) in layers.iter().zip([SHARED, own]) {
            assert_eq!([&layer["digest"], &layer["diff_id"]], pinned, "{} {layer}", arch.go);
        }
    }
}

#[test]
fn gnu_tools_read_the_layers() {
    let sdk = sdk();
    let arch = &ARCHES[2];
    for layer in sdk.image(arch)["layers"].as_array().unwrap() {
        let (digest, id) = (hex_of(&layer["digest"]), hex_of(&layer["diff_id"]));
        let blob = sdk.path("layout/blobs/sha256").join(&digest);
        let sum = |file: &Path| {
            let said = sdk.env.run("sha256sum").arg(file).ok().out();
            said.split(' ').next().unwrap().to_owned()
        };
        assert_eq!(sum(&blob), digest);
        let env = Env::new();
        let shell = ["-c", "gzip --decompress --stdout <\"$0\" >unpacked.tar"];
        env.run("sh").args(shell).arg(&blob).ok();
        assert_eq!(sum(&env.path("unpacked.tar")), id);
        let list = ["--list", "--verbose", "--numeric-owner", "--utc", "--full-time", "--file"];
        let listed = env.run("tar").args(list).arg("unpacked.tar").ok();
        assert_eq!(listed.err(), "", "tar has nothing to complain about");
        for line in listed.out().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!((words[1], words[3], words[4]), ("0/0", "1970-01-01", "00:00:00"), "{line}");
        }
    }
}

#[test]
fn skopeo_inspects_every_arch() {
    let sdk = sdk();
    let layout = sdk.layout();
    let raw = sdk.env.skopeo(["inspect", "--raw", &layout]).ok();
    let index = raw.json();
    let blob = sdk.path("layout/blobs/sha256").join(sdk.index().strip_prefix("sha256:").unwrap());
    assert_eq!(raw.stdout, fs::read(blob).unwrap());
    let annotations = &index["annotations"];
    assert_eq!(annotations["org.opencontainers.image.title"], "Go SDK");
    assert_eq!(annotations["org.opencontainers.image.version"], "1.27.3");
    let children = index["manifests"].as_array().unwrap();
    assert_eq!(children.len(), ARCHES.len());
    for (arch, child) in ARCHES.iter().zip(children) {
        assert_eq!(child["platform"]["architecture"], arch.go);
        assert_eq!(child["platform"]["os"], "linux");
        assert_eq!(child["platform"]["variant"].as_str(), arch.variant);
        let inspect = ["--override-os=linux", "--override-arch", arch.go, "inspect", &layout];
        let seen = sdk.env.skopeo(inspect).ok().json();
        assert_eq!(seen["Architecture"], arch.go);
        assert_eq!(seen["Created"], annotations["org.opencontainers.image.created"]);
        assert_eq!(seen["Labels"]["io.github.sdk.lang"], "go");
        assert_eq!(seen["Labels"]["io.github.sdk.version"], "1.27.3");
        assert!(seen["Env"].as_array().unwrap().contains(&Value::from("GOTOOLCHAIN=local")));
        let digests = sdk.image(arch)["layers"].as_array().unwrap().iter();
        let digests: Vec<&Value> = digests.map(|layer| &layer["digest"]).collect();
        assert_eq!(seen["Layers"].as_array().unwrap().iter().collect::<Vec<_>>(), digests);
    }
}

#[test]
fn umoci_unpacks_the_distribution_for_amd64() {
    umoci_unpacks(&ARCHES[0]);
}

#[test]
fn umoci_unpacks_the_distribution_for_arm64() {
    umoci_unpacks(&ARCHES[1]);
}

#[test]
fn umoci_unpacks_the_distribution_for_ppc64le() {
    umoci_unpacks(&ARCHES[2]);
}

fn umoci_unpacks(arch: &Arch) {
    let sdk = sdk();
    listing(&sdk.env, &sdk.unpacked(arch)).is(sdk.expected(arch));
}

#[test]
fn skopeo_copies_to_docker_registry_and_back_with_the_same_digests() {
    let env = Env::new();
    copies_there_and_back(&env, &Registry::docker(&env));
}

#[test]
fn skopeo_copies_to_ferro_and_back_with_the_same_digests() {
    let env = Env::new();
    copies_there_and_back(&env, &Registry::ferro(&env));
}

fn copies_there_and_back(env: &Env, registry: &Registry) {
    let sdk = sdk();
    env.plain_http(registry);
    let remote = registry.docker_name("tools/go-sdk:1.27.3");
    let back = format!("oci:{}:back", env.path("back").display());
    let copy = ["copy", "--quiet", "--all", "--preserve-digests"];
    env.skopeo(copy).arg(sdk.layout()).arg(&remote).ok();
    env.skopeo(copy).arg(&remote).arg(&back).ok();
    let raw = |name: &str| env.skopeo(["inspect", "--raw", name]).ok().stdout;
    let there = raw(&sdk.layout());
    assert_eq!(raw(&remote), there);
    assert_eq!(raw(&back), there);
    // Every blob that the image names came back: the signatures are others' affair.
    for arch in &ARCHES {
        for layer in sdk.image(arch)["layers"].as_array().unwrap() {
            let blob = env.path("back/blobs/sha256").join(hex_of(&layer["digest"]));
            assert_eq!(Some(fs::metadata(blob).unwrap().len()), layer["size"].as_u64());
        }
    }
    // treelay agrees with what skopeo made, and refuses it: it carries no signature.
    let verify = env.treelay(["verify", &back, &sdk.key("p256.pub")]);
    verify.fails(1).says("it is not signed");
}

/// A digest without its algorithm.
pub fn hex_of(digest: &Value) -> String {
    digest.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned()
}
