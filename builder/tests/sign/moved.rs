//! Signatures and tags that are moved: to another manifest, and between two questions.

use std::collections::BTreeMap;

use serde_json::Value;
use treelay::image_store::layout::Layout;
use treelay::image_store::signatures::{Addition, Beside};
use treelay::image_store::{
    Descriptor, ImageRef, ImageStore, Manifest, Placement, media, signatures,
};
use treelay::sign::{RequiredForm, VerifyOptions, verify_image};
use treelay_recipes::Digest;

use crate::beside::{add, bundle, strip_sig, verify};
use crate::fixture::{Image, key};

#[tokio::test]
async fn a_child_of_another_arch_is_not_what_was_signed() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    let store = image.store();
    let mut index: Value =
        serde_json::from_slice(store.manifest(&image.index).await.unwrap().bytes()).unwrap();
    let amd64 = index["manifests"][0].clone();
    for name in ["digest", "size"] {
        index["manifests"][1][name] = amd64[name].clone();
    }
    let swapped = Manifest::new(media::INDEX, index.to_string().into_bytes());
    let annotations = BTreeMap::new();
    let placement = Placement::Tag { tag: crate::fixture::TAG, annotations: &annotations };
    store.put_manifest(&swapped, placement).await.unwrap();
    store.commit().await.unwrap();
    let report = verify(&image, &public, RequiredForm::Any).await;
    assert!(!report.is_good());
    assert_eq!(report.subjects[0].refusal.as_ref().unwrap().kind(), "no-signature");
    // With the signatures of the right index put beside the wrong one.
    let of_index = signatures::signatures_of(&store, &image.index).await.unwrap().unwrap().0;
    signatures::put_signatures(&store, &swapped.digest(), &of_index).await.unwrap();
    store.commit().await.unwrap();
    let theirs = bundle(&image, &image.index, 0).await.to_json().unwrap();
    add(&image, &swapped.digest(), &theirs, |_| {}).await;
    let report = verify(&image, &public, RequiredForm::Any).await;
    let forms = &report.subjects[0].forms;
    for form in [&forms.sig, &forms.bundle] {
        assert_eq!(form.refusal.as_ref().unwrap().kind(), "other-image");
    }
}

/// An old image under a new tag, with that taken away which names the old one.
#[tokio::test]
async fn an_image_is_not_another_tag_for_want_of_signatures_that_name_it() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    let store = image.store();
    let index = store.manifest(&image.index).await.unwrap();
    let annotations = BTreeMap::new();
    let placement = Placement::Tag { tag: "2.0", annotations: &annotations };
    store.put_manifest(&index, placement).await.unwrap();
    store.commit().await.unwrap();
    let later = "registry.example/tools/go:2.0";
    let tag = ImageRef::Tag("2.0".to_owned());
    let options = VerifyOptions { expected_reference: Some(later), ..VerifyOptions::default() };
    let keys = [public];
    for (is_stripped, kind) in [(false, "other-reference"), (true, "stripped")] {
        if is_stripped {
            image.subjects().iter().for_each(|subject| strip_sig(&image, subject));
        }
        let report = verify_image(&image.store(), &tag, &keys, &options).await.unwrap();
        assert!(!report.is_good());
        for subject in &report.subjects {
            assert_eq!(subject.refusal.as_ref().unwrap().kind(), kind);
        }
    }
}

#[tokio::test]
async fn a_tag_is_resolved_once() {
    let image = Image::new().await;
    let (secret, public) = key();
    image.attach(&[secret]).await;
    let store = Moving { inner: image.store(), to: image.amd64, asked: Default::default() };
    let (tag, keys) = (ImageRef::Tag(crate::fixture::TAG.to_owned()), [public]);
    let options = VerifyOptions { check_blobs: true, ..VerifyOptions::default() };
    let report = verify_image(&store, &tag, &keys, &options).await.unwrap();
    assert!(report.is_good(), "{:?}", report.reasons());
    assert_eq!(report.image, image.index);
    assert_eq!(store.asked.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// A store whose tag names something else as soon as it was asked for.
struct Moving {
    inner: Layout,
    to: Digest,
    asked: std::sync::atomic::AtomicUsize,
}

#[async_trait::async_trait]
impl ImageStore for Moving {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn resolve(&self, image: &ImageRef) -> treelay::image_store::Result<Option<Descriptor>> {
        if *image != ImageRef::Tag(crate::fixture::TAG.to_owned()) {
            return self.inner.resolve(image).await;
        }
        match self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => self.inner.resolve(image).await,
            _ => self.inner.resolve(&ImageRef::Digest(self.to)).await,
        }
    }

    async fn manifest(&self, digest: &Digest) -> treelay::image_store::Result<Manifest> {
        self.inner.manifest(digest).await
    }

    async fn referrers(
        &self,
        subject: &Digest,
    ) -> treelay::image_store::Result<treelay::image_store::Listing> {
        self.inner.referrers(subject).await
    }

    async fn put_referrers(
        &self,
        subject: &Digest,
        manifests: &[Manifest],
    ) -> treelay::image_store::Result<()> {
        self.inner.put_referrers(subject, manifests).await
    }

    async fn add_beside(
        &self,
        subject: &Digest,
        what: Beside,
        addition: &Addition,
    ) -> treelay::image_store::Result<Descriptor> {
        self.inner.add_beside(subject, what, addition).await
    }

    async fn put_manifest(
        &self,
        manifest: &Manifest,
        placement: Placement<'_>,
    ) -> treelay::image_store::Result<Descriptor> {
        self.inner.put_manifest(manifest, placement).await
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> treelay::image_store::Result<bool> {
        self.inner.has_blob(digest, size).await
    }

    async fn blob(
        &self,
        digest: &Digest,
        size: u64,
    ) -> treelay::image_store::Result<treelay::image_store::BlobStream> {
        self.inner.blob(digest, size).await
    }

    async fn put_blob(
        &self,
        source: &treelay::image_store::BlobSource<'_>,
    ) -> treelay::image_store::Result<treelay::progress::Outcome> {
        self.inner.put_blob(source).await
    }

    async fn tags(&self) -> treelay::image_store::Result<Vec<String>> {
        self.inner.tags().await
    }

    async fn commit(&self) -> treelay::image_store::Result<()> {
        self.inner.commit().await
    }
}
