//! Referrers in a repository of a registry: by its API, or by the fallback tag
//! (distribution-spec 1.1, "Listing Referrers", "Pushing Manifests with Subject").

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use treelay_recipes::Digest;

use super::{Registry, media_type, next_page};
use crate::image_store::error::{Result, StoreError};
use crate::image_store::referrers::{
    Collector, Cut, FallbackIndex, Listing, MAX_BYTES, MAX_PAGES, fallback_tag,
};
use crate::image_store::{Descriptor, MANIFEST_LIMIT, Manifest, Repository, media};

/// How a registry without the API says so: 404 by the specification; the others are met with
/// registries that take the path for something else. One that really forbids it forbids reading the
/// fallback tag too.
const NO_API: [StatusCode; 6] = [
    StatusCode::NOT_FOUND,
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::NOT_ACCEPTABLE,
    StatusCode::NOT_IMPLEMENTED,
];

/// What is known of the repositories that one client talks to.
#[derive(Default)]
pub(super) struct Known {
    /// Whether the referrers API is there.
    api: Mutex<HashMap<Repository, bool>>,
}

impl Known {
    fn api(&self, repository: &Repository) -> Option<bool> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner).get(repository).copied()
    }

    fn learn(&self, repository: &Repository, api: bool) {
        let mut known = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(repository.clone(), api);
    }
}

impl Registry {
    pub(super) async fn list_referrers(&self, subject: &Digest) -> Result<Listing> {
        if self.http.referrers.api(&self.repository) != Some(false)
            && let Some(listing) = self.list_by_api(subject).await?
        {
            return Ok(listing);
        }
        let mut found = Collector::default();
        match self.get_manifest(&fallback_tag(subject)).await {
            Ok(Some(index)) => {
                let index = FallbackIndex::parse(&index, &self.name())?;
                index.entries().iter().for_each(|entry| found.add_json(entry));
            }
            Ok(None) => {}
            Err(StoreError::TooLarge { .. }) => found.cut(Cut::Bytes),
            Err(error) => return Err(error),
        }
        Ok(found.finish())
    }

    /// `None` when the registry has no such API.
    async fn list_by_api(&self, subject: &Digest) -> Result<Option<Listing>> {
        #[derive(Deserialize)]
        struct Page {
            /// Go writes an empty list as null.
            manifests: Option<Vec<Value>>,
        }
        let request = format!("list the referrers of {subject}");
        let ask = self.ask(Method::GET, &format!("referrers/{subject}"), request.clone())?;
        let mut ask = ask.accept(&[media::INDEX]);
        let bad = |reason: String| StoreError::BadAnswer {
            registry: self.repository.host().to_owned(),
            request: request.clone(),
            reason,
        };
        let (mut found, mut left) = (Collector::default(), MAX_BYTES);
        for page in 0.. {
            if page == MAX_PAGES {
                found.cut(Cut::Pages);
            }
            if left == 0 {
                found.cut(Cut::Bytes);
            }
            if found.is_cut() {
                break;
            }
            let limit = left.min(MANIFEST_LIMIT);
            let (status, headers, bytes) = match self.http.fetch(&ask, &NO_API, limit).await {
                Ok(answer) => answer,
                Err(StoreError::TooLarge { .. }) => {
                    found.cut(Cut::Bytes);
                    break;
                }
                Err(error) => return Err(error),
            };
            if !status.is_success() {
                if page > 0 {
                    return Err(bad(format!("its page {} has status {status}", page + 1)));
                }
                self.http.referrers.learn(&self.repository, false);
                return Ok(None);
            }
            let entries = match serde_json::from_slice::<Page>(&bytes) {
                Ok(Page { manifests }) => manifests.unwrap_or_default(),
                // A page for people, at an address that means nothing to it.
                Err(_) if page == 0 && media_type(&headers).as_deref() != Some(media::INDEX) => {
                    self.http.referrers.learn(&self.repository, false);
                    return Ok(None);
                }
                Err(error) => return Err(bad(format!("reading its JSON: {error}"))),
            };
            left -= bytes.len() as u64;
            entries.iter().for_each(|entry| found.add_json(entry));
            let Some(next) = next_page(&headers) else { break };
            let next =
                ask.url.join(&next).map_err(|error| bad(format!("its next page: {error}")))?;
            if next.origin() != ask.url.origin() {
                return Err(bad("its next page is on another host".to_owned()));
            }
            ask.url = next;
        }
        self.http.referrers.learn(&self.repository, true);
        Ok(Some(found.finish()))
    }

    pub(super) async fn add_referrers(
        &self,
        subject: &Digest,
        manifests: &[Manifest],
    ) -> Result<()> {
        let mut unlisted = Vec::new();
        for manifest in manifests {
            if !self.put_with_subject(manifest).await? {
                unlisted.push(manifest.referrer_descriptor(&self.name())?);
            }
        }
        if unlisted.is_empty() {
            return Ok(());
        }
        // The registry did not say that it lists them, but one that has the API may do so.
        if self.http.referrers.api(&self.repository) != Some(false)
            && let Some(listing) = self.list_by_api(subject).await?
        {
            unlisted.retain(|one| listing.referrers.iter().all(|r| r.digest != one.digest));
            if unlisted.is_empty() {
                return Ok(());
            }
        }
        self.add_to_fallback(subject, &unlisted).await
    }

    /// Puts a manifest; whether the registry says that it lists it as a referrer.
    async fn put_with_subject(&self, manifest: &Manifest) -> Result<bool> {
        let headers = self.put_named(manifest, &manifest.digest().to_string()).await?;
        let listed = headers.contains_key("oci-subject");
        if listed {
            self.http.referrers.learn(&self.repository, true);
        }
        Ok(listed)
    }

    async fn add_to_fallback(&self, subject: &Digest, new: &[Descriptor]) -> Result<()> {
        let add = |index: &mut FallbackIndex| {
            new.iter().filter(|referrer| index.add(referrer)).count() > 0
        };
        self.add_under_tag(&fallback_tag(subject), add).await?;
        Ok(())
    }
}
