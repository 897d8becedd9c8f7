//! How many requests a command costs: no more than it needs, and no more than it did.

use treelay::sign::{VerifyOptions, attach, verify_image};
use treelay_signing::{KeyKind, SecretKey};

use super::*;
use crate::mock_registry::ReferrersApi;

const API: Option<ReferrersApi> = Some(ReferrersApi { header: true, page: 100 });

/// An index over that many images, under the tag `1.0`.
async fn put_index(store: &dyn ImageStore, images: u8) -> Descriptor {
    let mut children = Vec::new();
    for n in 0..images {
        children.push(put_image(store, vec![n], None).await);
    }
    let json =
        serde_json::json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": children});
    put_manifest(store, media::INDEX, json, Some("1.0")).await
}

/// What signing an image costs in a registry, signing it again, and verifying it.
async fn costs(api: Option<ReferrersApi>, images: u8) -> [usize; 3] {
    let mock = Mock::start().await;
    mock.keep_referrers(api);
    let image = put_index(&open(&mock, "ns/app"), images).await;
    let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
    let (name, subjects) = (format!("{}/ns/app:1.0", mock.address), usize::from(images) + 1);
    let cost = || {
        assert_eq!(mock.looks(), 0, "the scheme is not asked for");
        let cost = mock.log().len();
        mock.behave();
        cost
    };
    cost();
    let mut signing = Vec::new();
    for new in [2 * subjects, 0] {
        let store = open(&mock, "ns/app");
        let report = attach(&store, &image.digest, &name, std::slice::from_ref(&key)).await;
        assert_eq!(report.unwrap().added(), new);
        signing.push(cost());
    }
    let store = open(&mock, "ns/app");
    let options = VerifyOptions { expected_reference: Some(&name), ..VerifyOptions::default() };
    let tag = ImageRef::Tag("1.0".to_owned());
    let report = verify_image(&store, &tag, &[key.public().clone()], &options).await.unwrap();
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.image, report.subjects.len()), (image.digest, subjects));
    [signing[0], signing[1], cost()]
}

#[tokio::test]
async fn signing_and_verifying_ask_no_more_than_they_need() {
    for (api, images, most) in [
        // To verify: each manifest of the image, then of each its `.sig` with the payload, the list
        // of what refers to it, and the bundle with its manifest. To sign again: the same, with the
        // configs of the images and without the payloads. To sign: each new blob takes three, and the
        // tag of each `.sig` is looked at before and after it is moved, for others may move it too.
        (API, 1, [37, 11, 2 + 2 * 5]),
        (API, 3, [75, 23, 4 + 4 * 5]),
        // And the list by its tag, where the registry has none.
        (None, 1, [45, 13, 2 + 2 * 6]),
        (None, 3, [91, 27, 4 + 4 * 6]),
    ] {
        let found = costs(api, images).await;
        let within = found.iter().zip(most).all(|(found, most)| *found <= most);
        assert!(within, "{images} images, {api:?}: {found:?} of at most {most:?}");
    }
}

/// A server that wants TLS is told from one that does not understand a request.
#[tokio::test]
async fn what_a_host_on_this_machine_speaks_is_found_out_in_doubt() {
    let mock = Mock::start().await;
    mock.misbehave(|_, _| Some(Fault::Answer(reply(400).body("what is this"))));
    let store = open(&mock, "ns/app");
    let tag = ImageRef::Tag("1.0".to_owned());
    for _ in 0..2 {
        let error = store.resolve(&tag).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { status: 400, .. }), "{error}");
    }
    assert_eq!((mock.looks(), mock.log().len()), (1, 2));

    mock.misbehave(|_, _| {
        Some(Fault::Answer(reply(400).body("Client sent an HTTP request to an HTTPS server.")))
    });
    let store = open(&mock, "ns/app");
    for _ in 0..2 {
        // It does not keep its word.
        let error = store.resolve(&tag).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    }
    assert_eq!((mock.looks(), mock.log().len()), (1, 1));
}
