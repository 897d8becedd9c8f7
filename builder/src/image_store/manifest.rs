//! Manifests as stores see them: bytes with a media type, and the descriptors inside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use treelay_recipes::Digest;

use super::error::{Result, StoreError};

/// Longest manifest that is read or written: the limit of registries and of containers/image.
pub const MANIFEST_LIMIT: u64 = 4 << 20;

/// Media types of manifests.
pub mod media {
    /// Image index (image-spec, image-index.md).
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Image manifest (image-spec, manifest.md).
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// Docker's index, "manifest list".
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's manifest, "schema 2".
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Config of what has none, `{}` (image-spec, manifest.md, "Guidance for an Empty Descriptor").
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
}

/// Points at content (image-spec, descriptor.md). Keys are written in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What an index says about the platform of its child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artifact the manifest is, where it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Free words about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_null")]
    pub annotations: BTreeMap<String, String>,
}

/// The platform of an index's child, in Go's names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// GOARCH.
    pub architecture: String,
    /// GOOS.
    pub os: String,
    /// Such as `v8` of arm64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Descriptor {
    /// A descriptor with the three fields that all have.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// Go writes an empty map as `null`.
fn or_null<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A manifest or an index: its exact bytes, never encoded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    media_type: String,
    bytes: Vec<u8>,
    digest: Digest,
}

/// What a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parts {
    /// An index: its children, in order.
    Index(Vec<Descriptor>),
    /// A manifest: its config and its layers, in order.
    Image {
        /// The config blob.
        config: Descriptor,
        /// The layer blobs.
        layers: Vec<Descriptor>,
    },
}

/// What a manifest or index says of itself to those who look for what refers to its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What it is about, where it is a referrer.
    pub subject: Option<Descriptor>,
    /// What kind of artifact it is: its `artifactType`, or else the media type of its config; an
    /// index without one has none (distribution-spec, "Listing Referrers").
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The members behind [`About`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAbout {
    artifact_type: Option<String>,
    config: Option<RawConfig>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "or_null")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfig {
    media_type: String,
}

/// The members that are looked at, of a manifest or of an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Manifest {
    /// From bytes whose media type is known.
    pub fn new(media_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self { media_type: media_type.into(), bytes, digest }
    }

    /// From bytes alone: the media type is what they say, or else follows from their members.
    ///
    /// # Errors
    /// [`StoreError::BadManifest`] when they are neither manifest nor index.
    pub(crate) fn sniff(place: &str, bytes: Vec<u8>) -> Result<Self> {
        let mut manifest = Self::new(String::new(), bytes);
        let raw = manifest.raw(place)?;
        manifest.media_type = match raw {
            Raw { media_type: Some(named), .. } => named,
            Raw { manifests: Some(_), .. } => media::INDEX.to_owned(),
            _ => media::MANIFEST.to_owned(),
        };
        Ok(manifest)
    }

    /// Its media type.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// A descriptor of it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.bytes.len() as u64)
    }

    /// Whether it is an index.
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), media::INDEX | media::DOCKER_LIST)
    }

    /// The descriptors inside. `place` is only for the error.
    ///
    /// # Errors
    /// [`StoreError::BadManifest`] when it is neither manifest nor index, or both.
    pub fn parts(&self, place: &str) -> Result<Parts> {
        match self.raw(place)? {
            Raw { manifests: Some(children), .. } => Ok(Parts::Index(children)),
            Raw { config: Some(config), layers, .. } => {
                Ok(Parts::Image { config, layers: layers.unwrap_or_default() })
            }
            _ => Err(self.bad(place, "it is neither a manifest nor an index".to_owned())),
        }
    }

    /// What it says of itself. `place` is only for the error.
    ///
    /// # Errors
    /// [`StoreError::BadManifest`] when it is neither manifest nor index, or its subject,
    /// annotations or types are not of the form that they should have.
    pub fn about(&self, place: &str) -> Result<About> {
        self.raw(place)?;
        let raw: RawAbout = serde_json::from_slice(&self.bytes)
            .map_err(|error| self.bad(place, format!("reading what it says of itself: {error}")))?;
        let named = raw.artifact_type.filter(|named| !named.is_empty());
        let artifact_type = named.or_else(|| raw.config.map(|config| config.media_type));
        Ok(About { subject: raw.subject, artifact_type, annotations: raw.annotations })
    }

    /// The descriptor that a list of referrers should have of it. `place` is only for the error.
    ///
    /// # Errors
    /// As [`about`](Self::about).
    pub fn referrer_descriptor(&self, place: &str) -> Result<Descriptor> {
        let About { artifact_type, annotations, .. } = self.about(place)?;
        Ok(Descriptor { artifact_type, annotations, ..self.descriptor() })
    }

    fn raw(&self, place: &str) -> Result<Raw> {
        let raw: Raw = serde_json::from_slice(&self.bytes)
            .map_err(|error| self.bad(place, format!("reading its JSON: {error}")))?;
        let is_index = raw.manifests.is_some();
        // One text that is both a manifest and an index means different images to different
        // readers (CVE-2021-41190).
        if is_index == (raw.config.is_some() || raw.layers.is_some()) {
            return Err(self.bad(place, "it must be either a manifest or an index".to_owned()));
        }
        if raw.schema_version != Some(2) {
            return Err(self.bad(place, "its schemaVersion is not 2".to_owned()));
        }
        let named = raw.media_type.as_deref().unwrap_or_default();
        if !named.is_empty() && !self.media_type.is_empty() && named != self.media_type {
            let reason = format!("it was served as {} and calls itself {named}", self.media_type);
            return Err(self.bad(place, reason));
        }
        Ok(raw)
    }

    pub(super) fn bad(&self, place: &str, reason: String) -> StoreError {
        StoreError::BadManifest { place: place.to_owned(), digest: self.digest, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = r#"{"mediaType":"x","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"annotations":null}"#;

    #[test]
    fn tells_manifest_from_index() {
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{D}]}}"#);
        let image = format!(r#"{{"schemaVersion":2,"config":{D},"layers":[{D},{D}]}}"#);
        let index = Manifest::sniff("here", index.into_bytes()).unwrap();
        let image = Manifest::sniff("here", image.into_bytes()).unwrap();
        assert_eq!(index.media_type(), media::INDEX);
        assert!(matches!(index.parts("").unwrap(), Parts::Index(c) if c.len() == 1));
        assert_eq!(image.media_type(), media::MANIFEST);
        assert!(
            matches!(image.parts("").unwrap(), Parts::Image { layers, .. } if layers.len() == 2)
        );
    }

    #[test]
    fn says_what_it_is_about() {
        let about = |text: &str| Manifest::sniff("here", text.into()).unwrap().about("here");
        let image =
            |more: &str| about(&format!(r#"{{"schemaVersion":2,"config":{D},"layers":[]{more}}}"#));
        let said = image("").unwrap();
        assert_eq!((said.subject, said.artifact_type.as_deref()), (None, Some("x")));
        let said = image(r#","artifactType":"""#).unwrap();
        assert_eq!(said.artifact_type.as_deref(), Some("x"), "empty is as missing");
        let more = format!(r#","artifactType":"a","subject":{D},"annotations":{{"k":"v"}}"#);
        let said = image(&more).unwrap();
        assert_eq!(said.subject.unwrap().digest, Digest::of(""));
        assert_eq!(said.artifact_type.as_deref(), Some("a"));
        assert_eq!(said.annotations["k"], "v");
        let said = about(&format!(r#"{{"schemaVersion":2,"manifests":[],"subject":{D}}}"#));
        assert_eq!(said.unwrap().artifact_type, None, "an index has no config");
        for bad in [
            r#","subject":7"#.to_owned(),
            format!(r#","subject":{D},"subject":{D}"#),
            r#","annotations":{"k":1}"#.to_owned(),
            r#","artifactType":[]"#.to_owned(),
        ] {
            assert!(matches!(image(&bad), Err(StoreError::BadManifest { .. })), "{bad}");
        }
    }

    #[test]
    fn refuses_the_ambiguous() {
        for text in [
            format!(r#"{{"schemaVersion":2,"config":{D},"layers":[],"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":1,"config":{D},"layers":[]}}"#),
            r#"{"schemaVersion":2}"#.to_owned(),
            "[]".to_owned(),
            String::new(),
        ] {
            assert!(Manifest::sniff("here", text.clone().into_bytes()).is_err(), "{text}");
        }
        let text =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media::INDEX);
        assert!(Manifest::new(media::MANIFEST, text.into_bytes()).parts("here").is_err());
    }
}
