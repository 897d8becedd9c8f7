//! A small image: an index over two manifests that share a layer. Any document of the arm64 image,
//! and the index, can be changed before it is written.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use treelay::image_store::ImageRef;
use treelay::image_store::layout::Layout;
use treelay::image_store::{BlobSource, Descriptor, ImageStore, Manifest, Placement, media};
use treelay::sign::{ImageReport, VerifyOptions, verify_image};
use treelay_recipes::Digest;
use treelay_signing::{KeyKind, PublicKey, SecretKey};

pub const REFERENCE: &str = "registry.example/tools/go:1.0";
pub const TAG: &str = "1.0";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What is changed. The changes see the finished document; what names it is computed afterwards.
pub struct Changes {
    pub config: fn(&mut Value),
    pub manifest: fn(&mut Value),
    pub index: fn(&mut Value),
    /// The arm64 image's own layer: the blob of a tar stream.
    pub layer: fn(&[u8]) -> Vec<u8>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { config: |_| {}, manifest: |_| {}, index: |_| {}, layer: gzip }
    }
}

pub struct Image {
    pub dir: tempfile::TempDir,
    pub index: Digest,
    pub amd64: Digest,
    pub arm64: Digest,
    /// The arm64 image's own layer.
    pub layer: Digest,
    pub config: Digest,
}

impl Image {
    pub async fn new() -> Self {
        Self::changed(Changes::default()).await
    }

    pub async fn changed(changes: Changes) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Layout::create(dir.path()).unwrap();
        let same = Changes::default();
        let (amd64, ..) = put_arch(&store, "amd64", None, &same).await;
        let (arm64, config, layer) = put_arch(&store, "arm64", Some("v8"), &changes).await;
        let mut index = json!({
            "schemaVersion": 2, "mediaType": media::INDEX, "manifests": [amd64, arm64],
        });
        (changes.index)(&mut index);
        let index = Manifest::new(media::INDEX, index.to_string().into_bytes());
        let annotations = BTreeMap::new();
        let placement = Placement::Tag { tag: TAG, annotations: &annotations };
        store.put_manifest(&index, placement).await.unwrap();
        store.commit().await.unwrap();
        let (amd64, arm64) = (amd64.digest, arm64.digest);
        Self { dir, index: index.digest(), amd64, arm64, layer, config }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn store(&self) -> Layout {
        Layout::open(self.path()).unwrap()
    }

    pub fn subjects(&self) -> [Digest; 3] {
        [self.index, self.amd64, self.arm64]
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.hex())
    }

    /// Everything in the layout: paths and contents.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for dir in [self.path().to_owned(), self.path().join("blobs/sha256")] {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    files.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        files
    }

    /// Changes `index.json` behind the back of everybody.
    pub fn edit_index(&self, edit: impl FnOnce(&mut Vec<Value>)) {
        let path = self.path().join("index.json");
        let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(index["manifests"].as_array_mut().unwrap());
        fs::write(path, index.to_string()).unwrap();
    }

    pub async fn attach(&self, keys: &[SecretKey]) -> treelay::sign::AttachReport {
        let store = self.store();
        let signing = treelay::sign::attach(&store, &self.index, REFERENCE, keys);
        let report = movable(signing).await.unwrap();
        store.commit().await.unwrap();
        report
    }

    /// Everything checked.
    pub async fn verify(&self, keys: &[PublicKey]) -> ImageReport {
        let options = VerifyOptions { check_blobs: true, ..VerifyOptions::default() };
        self.verify_with(keys, &options).await
    }

    pub async fn verify_with(
        &self,
        keys: &[PublicKey],
        options: &VerifyOptions<'_>,
    ) -> ImageReport {
        let image = ImageRef::Tag(TAG.to_owned());
        movable(verify_image(&self.store(), &image, keys, options)).await.unwrap()
    }
}

/// Callers may spawn it.
fn movable<T: Send>(future: T) -> T {
    future
}

pub fn key() -> (SecretKey, PublicKey) {
    let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
    let public = key.public().clone();
    (key, public)
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub async fn put(store: &dyn ImageStore, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let blob = BlobSource::from_bytes(bytes);
    store.put_blob(&blob).await.unwrap();
    Descriptor::new(media_type, *blob.digest(), blob.size())
}

/// Manifest with platform, config, own layer.
async fn put_arch(
    store: &Layout,
    arch: &str,
    variant: Option<&str>,
    changes: &Changes,
) -> (Descriptor, Digest, Digest) {
    let common = b"the same on every arch".repeat(100);
    let own = format!("only on {arch}").repeat(1000).into_bytes();
    let layers =
        [put(store, GZIP, gzip(&common)).await, put(store, GZIP, (changes.layer)(&own)).await];
    let mut config = json!({
        "architecture": arch, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&common), Digest::of(&own)]},
        "history": [{"created_by": "common"}, {"empty_layer": true}, {"created_by": "own"}],
    });
    if let Some(variant) = variant {
        config["variant"] = variant.into();
    }
    (changes.config)(&mut config);
    let config = put(store, CONFIG, config.to_string().into_bytes()).await;
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": media::MANIFEST, "config": config, "layers": layers,
    });
    (changes.manifest)(&mut manifest);
    let manifest = Manifest::new(media::MANIFEST, manifest.to_string().into_bytes());
    let mut descriptor = store.put_manifest(&manifest, Placement::Child).await.unwrap();
    descriptor.platform = Some(treelay::image_store::Platform {
        architecture: arch.to_owned(),
        os: "linux".to_owned(),
        variant: variant.map(str::to_owned),
    });
    (descriptor, config.digest, layers[1].digest)
}
