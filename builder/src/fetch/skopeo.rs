//! Images of registries through skopeo (containers-image-proxy), which brings the machine's own
//! logins, mirrors, certificates and signature policy (containers-policy.json) with it.
//!
//! The proxy picks the image of one platform from an index by itself, so there is one skopeo for
//! each arch, told which.

use std::process::Command;
use std::str::FromStr as _;

use containers_image_proxy::{Error as ProxyError, ImageProxy, ImageProxyConfig, OpenedImage};
use treelay_recipes::{Arch, Digest};

use super::{BlobSink, FetchError, Wanted, Watch, keep_stream};

/// Why an image of a registry could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// skopeo is missing.
    #[error("starting skopeo, which fetches base images: install it")]
    NoSkopeo(#[source] std::io::Error),
    /// The index has no image for the arch.
    #[error("{image} has no image for {arch}")]
    NoArch {
        /// The image.
        image: String,
        /// The arch.
        arch: Arch,
    },
    /// What skopeo said.
    #[error("fetching {image} with skopeo")]
    Proxy {
        /// The image.
        image: String,
        /// Why not.
        source: ProxyError,
    },
    /// A blob could not be kept, or is not what its digest says.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// skopeo gave something that is no digest.
    #[error("{image}: skopeo gave {digest:?} for a digest")]
    Digest {
        /// The image.
        image: String,
        /// What it gave.
        digest: String,
    },
}

/// The image of one arch in a registry, open.
pub struct SkopeoImage {
    name: String,
    proxy: ImageProxy,
    image: OpenedImage,
}

/// What an image says of itself.
pub struct Documents {
    /// The digest of the manifest as the registry has it.
    pub digest: Digest,
    /// The manifest, converted to OCI where it was Docker's.
    pub manifest: Vec<u8>,
    /// The config, likewise.
    pub config: Vec<u8>,
}

impl SkopeoImage {
    /// Opens `name`, which is `HOST/REPO@sha256:…`.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn open(name: &str, arch: Arch) -> Result<Self, ImageError> {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--override-os", "linux", "--override-arch", arch.oci()]);
        if let Some(variant) = arch.variant() {
            skopeo.args(["--override-variant", variant]);
        }
        let mut config = ImageProxyConfig::default();
        config.skopeo_cmd = Some(skopeo);
        let failed = |source| failed(name, arch, source);
        let proxy = ImageProxy::new_with_config(config).await.map_err(failed)?;
        let image = proxy.open_image(&format!("docker://{name}")).await.map_err(failed)?;
        Ok(Self { name: name.to_owned(), proxy, image })
    }

    /// Its manifest and config.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn documents(&self, arch: Arch) -> Result<Documents, ImageError> {
        let failed = |source| failed(&self.name, arch, source);
        let (digest, manifest) =
            self.proxy.fetch_manifest_raw_oci(&self.image).await.map_err(failed)?;
        let config = self.proxy.fetch_config_raw(&self.image).await.map_err(failed)?;
        let digest = Digest::from_str(&digest)
            .map_err(|_| ImageError::Digest { image: self.name.clone(), digest })?;
        Ok(Documents { digest, manifest, config })
    }

    /// Brings a blob of it into `sink`, verified.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn blob(
        &self,
        digest: &Digest,
        size: u64,
        sink: &dyn BlobSink,
        watch: &dyn Watch,
    ) -> Result<(), ImageError> {
        let failed = |source| ImageError::Proxy { image: self.name.clone(), source };
        let oci = containers_image_proxy::oci_spec::image::Digest::from_str(&digest.to_string())
            .map_err(|_| ImageError::Digest {
                image: self.name.clone(),
                digest: digest.to_string(),
            })?;
        let (reader, driver) =
            self.proxy.get_blob(&self.image, &oci, size).await.map_err(failed)?;
        let wanted = Wanted {
            what: format!("layer {} of {}", digest.short(), self.name),
            places: Vec::new(),
            digest: Some(*digest),
            size: Some(size),
            most: None,
        };
        // The driver ends only when all has been read, so both go on together.
        let (kept, driven) = tokio::join!(keep_stream(reader, &wanted, sink, watch), driver);
        driven.map_err(failed)?;
        Ok(kept?)
    }

    /// Ends skopeo.
    pub async fn close(self) {
        // What matters was read; how it ends changes nothing.
        let _ = self.proxy.finalize().await;
    }
}

fn failed(name: &str, arch: Arch, source: ProxyError) -> ImageError {
    match source {
        ProxyError::SkopeoSpawnError(error) => ImageError::NoSkopeo(error),
        // containers/image, manifest lists: "no image found in image index for architecture …".
        source if source.to_string().contains("no image found in") => {
            ImageError::NoArch { image: name.to_owned(), arch }
        }
        source => ImageError::Proxy { image: name.to_owned(), source },
    }
}
