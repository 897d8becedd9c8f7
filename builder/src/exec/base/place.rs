//! Where base images are: a layout, or a registry behind skopeo.

use treelay_recipes::{Arch, Digest};

use super::super::{ExecError, Watched, Workshop};
use super::{BaseError, nonsense};
use crate::fetch::skopeo::SkopeoImage;
use crate::fetch::{Wanted, keep_stream};
use crate::image_store::layout::Layout;
use crate::image_store::{Descriptor, ImageStore as _, MANIFEST_LIMIT, Parts, Platform};

/// Where an image is, open.
pub(super) enum Place {
    Layout(Layout),
    Skopeo(SkopeoImage),
}

impl Place {
    /// Brings a layer into the store.
    pub(super) async fn layer(
        &self,
        text: &str,
        layer: &Descriptor,
        workshop: &Workshop<'_>,
        watch: &Watched<'_>,
    ) -> Result<(), ExecError> {
        match self {
            Self::Skopeo(image) => {
                let kept = image.blob(&layer.digest, layer.size, workshop.store, watch).await;
                Ok(kept.map_err(BaseError::from)?)
            }
            Self::Layout(layout) => {
                let blob = layout.blob(&layer.digest, layer.size).await;
                let reader = blob.map_err(BaseError::from)?.into_async_read();
                let wanted = Wanted {
                    what: format!("layer {} of {text}", layer.digest.short()),
                    places: Vec::new(),
                    digest: Some(layer.digest),
                    size: Some(layer.size),
                    most: None,
                };
                Ok(keep_stream(reader, &wanted, workshop.store, watch).await?)
            }
        }
    }

    pub(super) async fn close(self) {
        if let Self::Skopeo(image) = self {
            image.close().await;
        }
    }
}

/// Manifest digest, manifest and config of an arch in a layout.
pub(super) async fn from_layout(
    text: &str,
    layout: &Layout,
    digest: &Digest,
    arch: Arch,
) -> Result<(Digest, Vec<u8>, Vec<u8>), ExecError> {
    let mut manifest = layout.manifest(digest).await.map_err(BaseError::from)?;
    if let Parts::Index(children) = manifest.parts(text).map_err(BaseError::from)? {
        let of_arch = |child: &&Descriptor| {
            child.platform.as_ref().is_some_and(|platform| {
                platform.os == "linux"
                    && platform.architecture == arch.oci()
                    && (platform.variant.is_none() || platform.variant.as_deref() == arch.variant())
            })
        };
        let Some(child) = children.iter().find(of_arch) else {
            let platforms = children.iter().filter_map(|child| child.platform.as_ref());
            let name = |platform: &Platform| format!("{}/{}", platform.os, platform.architecture);
            let has = platforms.map(name).collect();
            return Err(BaseError::NoArch { image: text.to_owned(), arch, has }.into());
        };
        manifest = layout.manifest(&child.digest).await.map_err(BaseError::from)?;
    }
    let Parts::Image { config, .. } = manifest.parts(text).map_err(BaseError::from)? else {
        return Err(nonsense(text, "it is an index in an index"));
    };
    if config.size > MANIFEST_LIMIT {
        return Err(nonsense(text, "its config is too large"));
    }
    let blob = layout.blob(&config.digest, config.size).await.map_err(BaseError::from)?;
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut blob.into_async_read(), &mut bytes)
        .await
        .map_err(ExecError::store("reading a base's config"))?;
    Ok((manifest.digest(), manifest.bytes().to_vec(), bytes))
}

/// A layer under the media type that an OCI manifest gives it; its bytes stay as they are.
pub(super) fn oci_layer(text: &str, layer: Descriptor) -> Result<Descriptor, ExecError> {
    // image-spec, layer.md and media-types.md (compatibility matrix).
    let media_type = match layer.media_type.as_str() {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            "application/vnd.oci.image.layer.v1.tar+gzip"
        }
        "application/vnd.docker.image.rootfs.diff.tar" => "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            "application/vnd.oci.image.layer.v1.tar+zstd"
        }
        same @ ("application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.v1.tar+zstd") => same,
        other => return Err(nonsense(text, &format!("a layer of it is {other}"))),
    };
    Ok(Descriptor { media_type: media_type.to_owned(), ..layer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_get_their_oci_names() {
        let named = |media_type: &str| {
            let layer = Descriptor::new(media_type, Digest::of("x"), 1);
            oci_layer("oci:x", layer).map(|layer| layer.media_type)
        };
        let oci = "application/vnd.oci.image.layer.v1.tar+gzip";
        for gzip in [oci, "application/vnd.docker.image.rootfs.diff.tar.gzip"] {
            assert_eq!(named(gzip).unwrap(), oci);
        }
        let foreign = named("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let Err(ExecError::Base(error)) = foreign else { panic!("{foreign:?}") };
        assert!(error.to_string().contains("foreign"), "{error}");
    }
}
