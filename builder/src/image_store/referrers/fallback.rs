//! The index under the fallback tag, changed without touching what others wrote into it.

use serde_json::{Map, Value, json};

use crate::image_store::error::Result;
use crate::image_store::shared::{Made, SharedList};
use crate::image_store::{Descriptor, Manifest, media};

/// An index of referrers. Members and entries that we do not know are kept as they are.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::image_store) struct FallbackIndex(Map<String, Value>);

impl FallbackIndex {
    fn empty() -> Self {
        let mut members = Map::new();
        members.insert("schemaVersion".into(), json!(2));
        members.insert("mediaType".into(), json!(media::INDEX));
        members.insert("manifests".into(), json!([]));
        Self(members)
    }

    /// # Errors
    /// [`StoreError::BadManifest`](crate::image_store::StoreError::BadManifest) when it is no
    /// index. Its entries may be anything.
    pub(in crate::image_store) fn parse(manifest: &Manifest, place: &str) -> Result<Self> {
        let bad = |reason: String| {
            manifest.bad(place, format!("it has the tag of a list of referrers and {reason}"))
        };
        if !manifest.is_index() {
            return Err(bad(format!("is a {:?}, no index", manifest.media_type())));
        }
        let mut members: Map<String, Value> = serde_json::from_slice(manifest.bytes())
            .map_err(|error| bad(format!("cannot be read: {error}")))?;
        if members.get("schemaVersion") != Some(&json!(2)) {
            return Err(bad("its schemaVersion is not 2".to_owned()));
        }
        match members.get_mut("manifests") {
            Some(Value::Array(_)) => {}
            // Go writes an empty list as null.
            Some(list @ Value::Null) => *list = json!([]),
            _ => return Err(bad("has no list of manifests".to_owned())),
        }
        Ok(Self(members))
    }

    pub(in crate::image_store) fn entries(&self) -> &[Value] {
        self.0.get("manifests").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Adds a referrer at the end, or mends the entry that lies about it. Whether it changed.
    pub(in crate::image_store) fn add(&mut self, referrer: &Descriptor) -> bool {
        let same = |entry: &Value| entry["digest"].as_str() == Some(&referrer.digest.to_string());
        let right = |entry: &Value| {
            serde_json::from_value::<Descriptor>(entry.clone()).is_ok_and(|said| said == *referrer)
        };
        let Some(Value::Array(entries)) = self.0.get_mut("manifests") else { return false };
        if entries.iter().any(|entry| same(entry) && right(entry)) {
            return false;
        }
        match entries.iter_mut().find(|entry| same(entry)) {
            Some(entry) => *entry = json!(referrer),
            None => entries.push(json!(referrer)),
        }
        true
    }
}

impl SharedList for FallbackIndex {
    fn read(there: Option<&Manifest>, place: &str) -> Result<Self> {
        there.map_or_else(|| Ok(Self::empty()), |manifest| Self::parse(manifest, place))
    }

    /// Adds entries of `other` whose digests are not here, as they are.
    fn merge(&mut self, other: &Self) -> bool {
        let Some(Value::Array(entries)) = self.0.get_mut("manifests") else { return false };
        let before = entries.len();
        for entry in other.entries() {
            if !entries.iter().any(|here| here["digest"] == entry["digest"]) {
                entries.push(entry.clone());
            }
        }
        entries.len() != before
    }

    fn config(&self) -> Option<&Descriptor> {
        None
    }

    fn make(&self, _: Option<&[u8]>, _: &str) -> Result<Made> {
        let bytes = Value::Object(self.0.clone()).to_string().into_bytes();
        Ok(Made { config: None, manifest: Manifest::new(media::INDEX, bytes) })
    }
}
