//! `index.json` of a layout: who is tagged how. Entries of others, and members we do not know, are
//! kept as they are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use treelay_recipes::Digest;

use crate::image_store::{Descriptor, media, signatures};

/// Annotation that holds an entry's tag (image-spec, annotations.md).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Annotation by which cosign tells images from what is attached to them (its pkg/oci/layout).
const KIND: &str = "kind";

/// What `index.json` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Index(Map<String, Value>);

impl Index {
    /// Of a layout in which nothing was written yet.
    pub(super) fn empty() -> Self {
        let mut members = Map::new();
        members.insert("schemaVersion".into(), json!(2));
        members.insert("mediaType".into(), json!(media::INDEX));
        members.insert("manifests".into(), json!([]));
        Self(members)
    }

    /// Reads the file's bytes; an error says what is wrong with them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let members: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|error| format!("reading index.json: {error}"))?;
        if members.get("schemaVersion") != Some(&json!(2)) {
            return Err("the schemaVersion of its index.json is not 2".to_owned());
        }
        match members.get("manifests") {
            Some(Value::Array(entries)) => {
                for (n, entry) in entries.iter().enumerate() {
                    serde_json::from_value::<Descriptor>(entry.clone())
                        .map_err(|error| format!("reading entry {n} of index.json: {error}"))?;
                }
            }
            // Go writes an empty list as null.
            Some(Value::Null) => {}
            _ => return Err("its index.json has no list of manifests".to_owned()),
        }
        Ok(Self(members))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }

    pub(super) fn entries(&self) -> Vec<Descriptor> {
        let entries = self.0.get("manifests").and_then(Value::as_array);
        // `parse` checked that each is a descriptor.
        let read = |entry: &Value| serde_json::from_value(entry.clone()).ok();
        entries.into_iter().flatten().filter_map(read).collect()
    }

    /// Enters `entry` under its tag, in the place of what had that tag.
    pub(super) fn replace(&mut self, tag: &str, entry: &Descriptor) {
        // A descriptor of strings and numbers always has a JSON form.
        let new = serde_json::to_value(entry).unwrap_or_default();
        let list = self.0.entry("manifests").or_insert_with(|| json!([]));
        if list.is_null() {
            *list = json!([]);
        }
        let Value::Array(entries) = list else { return };
        let has_tag = |e: &Value| e["annotations"][REF_NAME].as_str() == Some(tag);
        let at = entries.iter().position(has_tag).unwrap_or(entries.len());
        entries.retain(|e| !has_tag(e));
        entries.insert(at, new);
    }

    pub(super) fn find_tag(&self, tag: &str) -> Option<Descriptor> {
        self.entries().into_iter().find(|e| tag_of(e) == Some(tag))
    }

    pub(super) fn find_digest(&self, digest: &Digest) -> Option<Descriptor> {
        self.entries().into_iter().find(|e| e.digest == *digest)
    }

    /// The entries that are images, not things attached to one.
    pub(super) fn images(&self) -> Vec<Descriptor> {
        self.entries().into_iter().filter(|e| !is_attached(e)).collect()
    }

    pub(super) fn tags(&self) -> Vec<String> {
        let mut tags: Vec<_> =
            self.entries().iter().filter_map(|e| tag_of(e).map(str::to_owned)).collect();
        tags.sort();
        tags.dedup();
        tags
    }
}

pub(super) fn tag_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

/// The entry for `manifest` under `tag`; `annotations` come beside the tag.
pub(super) fn entry(
    mut manifest: Descriptor,
    tag: &str,
    annotations: &BTreeMap<String, String>,
) -> Descriptor {
    manifest.annotations = annotations.clone();
    manifest.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
    manifest
}

fn is_attached(entry: &Descriptor) -> bool {
    let kind = entry.annotations.get(KIND).map(String::as_str);
    let image_kind = matches!(
        kind,
        Some("dev.cosignproject.cosign/image" | "dev.cosignproject.cosign/imageIndex")
    );
    let cosign = kind.is_some_and(|k| k.starts_with("dev.cosignproject.cosign/"));
    (cosign && !image_kind)
        || entry.artifact_type.is_some()
        || tag_of(entry).is_some_and(signatures::is_attachment_tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(n: u8) -> Descriptor {
        Descriptor::new(media::INDEX, Digest::of([n]), 1)
    }

    #[test]
    fn replaces_its_own_tag_alone() {
        let foreign = format!(
            r#"{{"schemaVersion":2,"x-other":{{"b":1,"a":[2]}},"manifests":[
              {{"mediaType":"m","digest":"{0}","size":7,"x-own":true,"annotations":{{"{REF_NAME}":"other"}}}},
              {{"mediaType":"m","digest":"{0}","size":7,"annotations":{{"{REF_NAME}":"mine"}}}},
              {{"mediaType":"m","digest":"{0}","size":7}}]}}"#,
            Digest::of("foreign")
        );
        let before: Value = serde_json::from_str(&foreign).unwrap();
        let mut index = Index::parse(foreign.as_bytes()).unwrap();
        index.replace("mine", &entry(descriptor(1), "mine", &BTreeMap::new()));
        index.replace("new", &entry(descriptor(2), "new", &BTreeMap::new()));
        let after: Value = serde_json::from_slice(&index.to_bytes()).unwrap();
        assert_eq!(after["x-other"], before["x-other"]);
        assert_eq!(after["manifests"][0], before["manifests"][0]);
        assert_eq!(after["manifests"][1]["digest"], descriptor(1).digest.to_string());
        assert_eq!(after["manifests"][2], before["manifests"][2]);
        assert_eq!(after["manifests"].as_array().unwrap().len(), 4);
        assert_eq!(index.tags(), ["mine", "new", "other"]);
    }

    #[test]
    fn signatures_are_not_images() {
        let mut index = Index::empty();
        let kind = |k: &str| BTreeMap::from([(KIND.to_owned(), k.to_owned())]);
        let sig = format!("sha256-{}.sig", descriptor(1).digest.hex());
        index.replace("1.0", &entry(descriptor(1), "1.0", &BTreeMap::new()));
        index.replace(&sig, &entry(descriptor(2), &sig, &BTreeMap::new()));
        index.replace("s", &entry(descriptor(3), "s", &kind("dev.cosignproject.cosign/sigs")));
        assert_eq!(index.images().len(), 1);
        index.replace("i", &entry(descriptor(4), "i", &kind("dev.cosignproject.cosign/image")));
        assert_eq!(index.images().len(), 2);
    }

    #[test]
    fn refuses_other_json() {
        for text in
            ["", "[]", "{}", r#"{"schemaVersion":2}"#, r#"{"schemaVersion":2,"manifests":[1]}"#]
        {
            assert!(Index::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(
            Index::parse(br#"{"schemaVersion":2,"manifests":null}"#).unwrap().entries().is_empty()
        );
    }
}
