//! http or https: which of them a host speaks.
//!
//! A host elsewhere speaks https, or http when that was asked for. One on this machine mostly speaks
//! http, but may speak TLS: so the first request goes out by http, and where the answer looks like
//! that of a server that wants TLS, it is found out and the request is sent again. Until then no
//! login is sent, because none was asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderValue;
use reqwest::{Response, StatusCode, Url};

use super::failure::{Attempt, Failure, words_of};
use super::http::{Ask, Http, Payload};
use crate::image_store::error::{Result, StoreError};
use crate::image_store::repository::Repository;

/// What was found out, by loopback host.
#[derive(Default)]
pub(super) struct Schemes(Mutex<HashMap<String, &'static str>>);

impl Schemes {
    fn of(&self, repository: &Repository) -> Option<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(repository.host()).copied()
    }

    fn learn(&self, repository: &Repository, scheme: &'static str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(repository.host().to_owned(), scheme);
    }
}

impl Http {
    /// `https://HOST/v2/`, or http where that is allowed and right, as far as is known.
    pub(super) fn base(&self, repository: &Repository) -> Result<Url> {
        let scheme = if self.options().plain_http {
            "http"
        } else if repository.is_loopback() {
            self.schemes.of(repository).unwrap_or("http")
        } else {
            "https"
        };
        address(scheme, repository)
    }

    /// Sends a request to `url`, which may be corrected: it was made when less was known.
    pub(super) async fn first_hop(
        &self,
        ask: &Ask<'_>,
        url: &mut Url,
        auth: Option<&HeaderValue>,
    ) -> Attempt<Response> {
        let repository = ask.repository;
        let by_http = address("http", repository)?;
        let guessed = !self.options().plain_http && repository.is_loopback();
        if !guessed || url.origin() != by_http.origin() {
            return self.hop(ask, url, auth).await;
        }
        let scheme = match self.schemes.of(repository) {
            Some(scheme) => scheme,
            // What is read from a stream cannot be sent again.
            None if matches!(ask.payload, Payload::Feed { .. }) => {
                self.find_scheme(repository).await?
            }
            None => {
                let first = self.hop(ask, url, auth).await;
                let doubtful = match &first {
                    Ok(response) => response.status() == StatusCode::BAD_REQUEST,
                    Err(failure) => matches!(failure.error, StoreError::HungUp { .. }),
                };
                if !doubtful {
                    if first.is_ok() {
                        self.schemes.learn(repository, "http");
                    }
                    return first;
                }
                match self.find_scheme(repository).await? {
                    "http" => return first,
                    other => other,
                }
            }
        };
        // From http, https can always be had.
        let _ = url.set_scheme(scheme);
        self.hop(ask, url, auth).await
    }

    /// Asks a registry on this machine what it speaks.
    async fn find_scheme(&self, repository: &Repository) -> Result<&'static str> {
        let ask = async |scheme| {
            let url = address(scheme, repository)?;
            let client = self.wire.client(&url)?;
            self.wire.execute(client.get(url), repository.host(), "answer").await
        };
        let scheme = match ask("http").await {
            // Go's server says so in words, others just hang up.
            Ok(response) => {
                let refused = response.status() == StatusCode::BAD_REQUEST;
                let words = words_of(response).await.to_lowercase();
                if refused && words.contains("https") { "https" } else { "http" }
            }
            Err(Failure { error: StoreError::HungUp { .. }, .. }) if ask("https").await.is_ok() => {
                "https"
            }
            _ => "http",
        };
        self.schemes.learn(repository, scheme);
        Ok(scheme)
    }
}

fn address(scheme: &str, repository: &Repository) -> Result<Url> {
    Url::parse(&format!("{scheme}://{}/v2/", repository.api_host())).map_err(|error| {
        let (registry, reason) = (repository.host().to_owned(), error.to_string());
        StoreError::Unreachable { registry, reason }
    })
}
