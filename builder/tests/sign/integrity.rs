//! Damage and contradictions are found, and named.

use std::fs;

use serde_json::json;
use treelay::image_store::{ImageRef, ImageStore};
use treelay::sign::{Fault, ValidateOptions, ValidationReport, validate};
use treelay_recipes::Digest;

use crate::fixture::{Changes, Image, TAG, gzip, key};

async fn validated(image: &Image) -> ValidationReport {
    let tag = ImageRef::Tag(TAG.to_owned());
    validate(&image.store(), &tag, &ValidateOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_named() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    let keys = [public];
    assert!(image.verify(&keys).await.is_good());
    assert!(validated(&image).await.good);
    let parts = [image.index, image.amd64, image.arm64, image.layer, image.config];
    let mut flipped = 0;
    for (path, content) in image.files() {
        if !path.parent().unwrap().ends_with("sha256") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        for at in [0, content.len() / 2, content.len() - 1] {
            let mut changed = content.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let report = image.verify(&keys).await;
            assert!(!report.is_good(), "byte {at} of {name}");
            let reasons = report.reasons().join("\n");
            assert!(reasons.contains(name), "{name}:\n{reasons}");
            if parts.contains(&Digest::from_hex(name).unwrap()) {
                let report = validated(&image).await;
                assert!(!report.good);
                let named = Digest::from_hex(name).unwrap();
                let found = Digest::of(&changed);
                let problem = report.problems.iter().find(|problem| problem.digest == named);
                assert_eq!(problem.unwrap().fault, Fault::Digest { found });
            }
        }
        fs::write(&path, content).unwrap();
        flipped += 1;
    }
    // Index, two manifests, two configs, three layers; of each signed manifest the manifest, config
    // and payload of the tag, the manifest of the bundle, the bundle and the list that has it; the
    // empty config of all bundles.
    assert_eq!(flipped, 8 + 3 * 6 + 1);
    assert!(image.verify(&keys).await.is_good());
}

#[tokio::test]
async fn every_mismatch_is_told() {
    let d = |text: &str| Digest::of(text);
    let own = d(&"only on arm64".repeat(1000));
    type Case = (&'static str, Changes, Vec<(&'static str, Fault)>);
    let cases: Vec<Case> = vec![
        ("nothing", Changes::default(), vec![]),
        (
            "another diffID",
            Changes {
                config: |c| c["rootfs"]["diff_ids"][1] = json!(Digest::of("other")),
                ..Changes::default()
            },
            vec![("layer 2 of linux/arm64/v8", Fault::DiffId { expected: d("other"), found: own })],
        ),
        (
            "one diffID less, and of the history too",
            Changes {
                config: |c| {
                    c["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
                    c["history"].as_array_mut().unwrap().pop();
                },
                ..Changes::default()
            },
            vec![
                ("config of linux/arm64/v8", Fault::LayerCount { expected: 2, found: 1 }),
                ("config of linux/arm64/v8", Fault::History { expected: 2, found: 1 }),
            ],
        ),
        (
            "another architecture",
            Changes { config: |c| c["architecture"] = json!("ppc64le"), ..Changes::default() },
            vec![(
                "config of linux/arm64/v8",
                Fault::Platform {
                    expected: "linux/arm64/v8".into(),
                    found: "linux/ppc64le/v8".into(),
                },
            )],
        ),
        (
            "the variant that goes without saying",
            Changes {
                config: |c| drop(c.as_object_mut().unwrap().remove("variant")),
                ..Changes::default()
            },
            vec![],
        ),
        (
            "another variant",
            Changes { config: |c| c["variant"] = json!("v9"), ..Changes::default() },
            vec![(
                "config of linux/arm64/v8",
                Fault::Platform {
                    expected: "linux/arm64/v8".into(),
                    found: "linux/arm64/v9".into(),
                },
            )],
        ),
        (
            "media types",
            Changes {
                manifest: |m| {
                    m["layers"][1]["mediaType"] = json!("application/zip");
                    m["config"]["mediaType"] = json!("application/json");
                },
                ..Changes::default()
            },
            // Of what is no image, layers have no media types to compare.
            vec![(
                "config of linux/arm64/v8",
                Fault::MediaType {
                    expected: "application/vnd.oci.image.config.v1+json or \
                               application/vnd.docker.container.image.v1+json"
                        .into(),
                    found: "application/json".into(),
                },
            )],
        ),
        (
            "media type of a layer",
            Changes {
                manifest: |m| m["layers"][1]["mediaType"] = json!("application/zip"),
                ..Changes::default()
            },
            vec![(
                "layer 2 of linux/arm64/v8",
                Fault::MediaType { expected: "a layer's".into(), found: "application/zip".into() },
            )],
        ),
        (
            "sizes",
            Changes {
                manifest: |m| m["layers"][1]["size"] = json!(7),
                index: |i| i["manifests"][0]["size"] = json!(8),
                ..Changes::default()
            },
            vec![
                ("linux/amd64", Fault::Size { expected: 8, found: 0 }),
                ("layer 2 of linux/arm64/v8", Fault::Size { expected: 7, found: 0 }),
            ],
        ),
        (
            "a media type that the manifest does not have",
            Changes {
                index: |i| i["manifests"][0]["mediaType"] = json!("application/x"),
                ..Changes::default()
            },
            vec![(
                "linux/amd64",
                Fault::MediaType {
                    expected: "\"application/x\"".into(),
                    found: "application/vnd.oci.image.manifest.v1+json".into(),
                },
            )],
        ),
    ];
    for (case, changes, expected) in cases {
        let image = Image::changed(changes).await;
        let report = validated(&image).await;
        assert_eq!(report.good, expected.is_empty(), "{case}");
        assert!(report.warnings.is_empty(), "{case}: {:?}", report.warnings);
        let found: Vec<(&str, Fault)> = report
            .problems
            .iter()
            .map(|problem| {
                let fault = match &problem.fault {
                    // What the fixture happens to be long.
                    Fault::Size { expected, found } => {
                        assert!(*found > 8, "{case}: {found}");
                        Fault::Size { expected: *expected, found: 0 }
                    }
                    other => other.clone(),
                };
                (problem.what.as_str(), fault)
            })
            .collect();
        assert_eq!(found, expected, "{case}");
    }
}

#[tokio::test]
async fn broken_documents_and_layers() {
    type Change = (Changes, &'static str, &'static str);
    let cases: [Change; 5] = [
        (
            Changes { layer: |tar| tar.to_vec(), ..Changes::default() },
            "layer 2 of linux/arm64/v8",
            "compression",
        ),
        (
            Changes { layer: |tar| [gzip(tar), vec![0; 512]].concat(), ..Changes::default() },
            "layer 2 of linux/arm64/v8",
            "compression",
        ),
        (
            Changes { config: |c| *c = json!([]), ..Changes::default() },
            "config of linux/arm64/v8",
            "malformed",
        ),
        (
            Changes {
                config: |c| c["rootfs"]["diff_ids"][0] = json!("sha256:00"),
                ..Changes::default()
            },
            "config of linux/arm64/v8",
            "malformed",
        ),
        (
            Changes {
                index: |i| i["manifests"][1]["digest"] = json!(Digest::of("gone")),
                ..Changes::default()
            },
            "linux/arm64/v8",
            "missing",
        ),
    ];
    for (changes, what, kind) in cases {
        let report = validated(&Image::changed(changes).await).await;
        let found: Vec<_> =
            report.problems.iter().map(|p| (p.what.as_str(), p.fault.kind())).collect();
        assert_eq!(found, [(what, kind)], "{:?}", report.problems);
    }
}

#[tokio::test]
async fn what_rpm_ostree_would_cut_short_is_a_warning() {
    let halves = |tar: &[u8]| {
        let (one, two) = tar.split_at(100);
        [gzip(one), gzip(two)].concat()
    };
    let image = Image::changed(Changes { layer: halves, ..Changes::default() }).await;
    let report = validated(&image).await;
    assert!(report.good);
    assert_eq!(report.warnings.len(), 1);
    assert_eq!(report.warnings[0].fault, Fault::GzipMembers { found: 2 });
    assert_eq!(report.warnings[0].digest, image.layer);
}

#[tokio::test]
async fn a_shared_layer_is_named_for_all_who_share_it() {
    let image = Image::new().await;
    let index = image.store().manifest(&image.amd64).await.unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(index.bytes()).unwrap();
    let shared: Digest = serde_json::from_value(manifest["layers"][0]["digest"].clone()).unwrap();
    fs::remove_file(image.blob(&shared)).unwrap();
    let report = validated(&image).await;
    let problem = &report.problems[..];
    assert_eq!(problem.len(), 1);
    assert_eq!(problem[0].what, "layer 1 of linux/amd64, layer 1 of linux/arm64/v8");
    assert_eq!(
        serde_json::to_value(problem).unwrap(),
        json!([{
            "what": "layer 1 of linux/amd64, layer 1 of linux/arm64/v8",
            "digest": shared,
            "kind": "missing",
            "message": problem[0].to_string(),
        }])
    );
}
