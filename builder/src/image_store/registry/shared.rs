//! Adding to the list under a tag, which other writers may be doing too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};

use super::http::Payload;
use super::{ACCEPTED, Registry};
use crate::image_store::error::{Result, StoreError};
use crate::image_store::shared::{Made, SharedList};
use crate::image_store::{
    BlobSource, ImageRef, ImageStore as _, MANIFEST_LIMIT, Manifest, Repository,
};

/// How often a list is read to add to it.
const ATTEMPTS: u32 = 16;

/// How long to wait, at least and at most, before looking whether another writer replaced what was
/// written.
const SETTLE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Whose turn it is to change what a tag names, among those who share a client.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<(Repository, String), Turn>>);

/// Held by who changes one list.
type Turn = Arc<tokio::sync::Mutex<()>>;

impl Turns {
    fn of(&self, repository: &Repository, tag: &str) -> Turn {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry((repository.clone(), tag.to_owned())).or_default())
    }
}

impl Registry {
    /// Adds to the list under a tag; what the tag names then. Others may be doing the same: what was
    /// read once and is gone after our writing was replaced by a writer that had not seen it, and is
    /// written again with ours. `add` says whether it changed the list.
    pub(super) async fn add_under_tag<L: SharedList>(
        &self,
        tag: &str,
        add: impl Fn(&mut L) -> bool + Send + Sync,
    ) -> Result<Manifest> {
        let place = self.name();
        let turn = self.http.turns.of(&self.repository, tag);
        let _turn = turn.lock().await;
        let mut seen: Option<L> = None;
        for attempt in 1..=ATTEMPTS {
            let started = Instant::now();
            let (there, unchanged) = self.read_tag(tag).await?;
            let mut wanted = L::read(there.as_ref(), &place)?;
            let mut changed = seen.as_ref().is_some_and(|seen| wanted.merge(seen));
            changed |= add(&mut wanted);
            if let (Some(there), false) = (&there, changed) {
                return Ok(there.clone());
            }
            let Made { config, manifest } = self.make(&wanted).await?;
            let mut in_time = true;
            if let Some(config) = config {
                self.put_blob(&BlobSource::from_bytes(config)).await?;
                // That took a while, in which nobody should have written.
                let now = self.resolve(&ImageRef::Tag(tag.to_owned())).await?;
                in_time = now.map(|now| now.digest) == there.map(|there| there.digest());
            }
            if in_time {
                self.put_if_unchanged(tag, &manifest, unchanged).await?;
                seen = Some(wanted);
            }
            // A registry that does not know If-Match lets a slower writer replace ours with what it
            // made before it could see ours. It needs about as long as we did; who has to write
            // again waits for different times, so that one of them gets through.
            let settle = (started.elapsed() * 2).clamp(SETTLE.0, SETTLE.1);
            let spread = settle.mul_f64(fastrand::f64() * f64::from(attempt - 1));
            tokio::time::sleep(settle + spread).await;
        }
        Err(StoreError::Contended { place, what: format!("tag {tag}") })
    }

    async fn make<L: SharedList>(&self, list: &L) -> Result<Made> {
        let config = match list.config() {
            Some(config) => {
                let blob = self.blob(&config.digest, config.size).await?;
                Some(blob.read_all(MANIFEST_LIMIT).await?)
            }
            None => None,
        };
        list.make(config.as_deref(), &self.name())
    }

    /// What a tag names, and the condition under which it still does.
    async fn read_tag(&self, tag: &str) -> Result<(Option<Manifest>, HeaderMap)> {
        let mut unchanged = HeaderMap::new();
        let request = format!("give manifest {tag}");
        let ask = self.ask(Method::GET, &format!("manifests/{tag}"), request)?;
        let ask = ask.accept(&ACCEPTED);
        let answer = self.http.fetch(&ask, &[StatusCode::NOT_FOUND], MANIFEST_LIMIT).await?;
        let (status, headers, bytes) = answer;
        if status == StatusCode::NOT_FOUND {
            unchanged.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            return Ok((None, unchanged));
        }
        let manifest = self.manifest_of(&headers, bytes)?;
        // A weak one (W/"…") never matches (RFC 9110, 13.1.1).
        if let Some(etag) = headers.get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\"")) {
            unchanged.insert(IF_MATCH, etag.clone());
        }
        Ok((Some(manifest), unchanged))
    }

    /// Replaces what a tag names. Where the registry knows conditions and another writer was faster,
    /// nothing is written; the next reading tells.
    async fn put_if_unchanged(
        &self,
        tag: &str,
        manifest: &Manifest,
        unchanged: HeaderMap,
    ) -> Result<()> {
        self.check_length(manifest)?;
        self.write_scopes();
        let request = format!("take manifest {tag}");
        let ask = self.ask(Method::PUT, &format!("manifests/{tag}"), request)?;
        let mut ask = ask.body(manifest.media_type(), Payload::Bytes(manifest.bytes().to_vec()));
        ask.headers.extend(unchanged);
        self.http.send(&ask, &[StatusCode::PRECONDITION_FAILED]).await?;
        Ok(())
    }
}
