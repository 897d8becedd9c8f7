//! Getting a blob out of a repository: a stream that goes on where it broke off.

use bytes::Bytes;
use futures_util::{Stream, stream};
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use treelay_recipes::Digest;

use super::Registry;
use super::failure::{Attempt, Failure, next_chunk};
use super::http::Ask;
use crate::image_store::blob::BlobStream;
use crate::image_store::error::{Result, StoreError};

/// So many bytes without trouble forgive the failures before, so that a long blob over a bad line
/// arrives.
const FORGIVEN_AFTER: u64 = 1 << 20;

struct Download {
    registry: Registry,
    url: Url,
    request: String,
    size: u64,
    at: u64,
    /// Bytes to drop: a registry that does not know `Range` sends all again.
    skip: u64,
    response: Option<Response>,
    failed: u32,
    failed_at: u64,
}

/// Opens a blob; it is an error when there is none, or when it is announced with another size.
pub(super) async fn open(registry: &Registry, digest: &Digest, size: u64) -> Result<BlobStream> {
    let url = registry.url(&format!("blobs/{digest}"))?;
    let mut download = Download {
        registry: registry.clone(),
        url,
        request: format!("give blob {}", digest.short()),
        size,
        at: 0,
        skip: 0,
        response: None,
        failed: 0,
        failed_at: 0,
    };
    while let Err(failure) = download.connect().await {
        download.failed = registry.http.pause(failure, download.failed).await?;
    }
    let announced = download.response.as_ref().and_then(Response::content_length);
    if let Some(found) = announced.filter(|found| *found != size) {
        let (place, digest) = (registry.name(), *digest);
        return Err(StoreError::SizeMismatch { place, digest, expected: size, found });
    }
    Ok(BlobStream::new(download.into_stream(), registry.name(), *digest, size))
}

impl Download {
    async fn connect(&mut self) -> Attempt<()> {
        let scopes = self.registry.scopes();
        let repository = self.registry.repository.clone();
        let mut ask = Ask::new(Method::GET, self.url.clone(), &repository, &scopes, &*self.request);
        if self.at > 0 {
            let range = HeaderValue::try_from(format!("bytes={}-", self.at));
            ask.headers.extend(range.ok().map(|range| (RANGE, range)));
        }
        let response = self.registry.http.send_once(&ask, &[StatusCode::NOT_FOUND]).await?;
        let bad = |reason: String| StoreError::BadAnswer {
            registry: repository.host().to_owned(),
            request: self.request.clone(),
            reason,
        };
        match response.status() {
            StatusCode::OK => self.skip = self.at,
            StatusCode::PARTIAL_CONTENT if self.at > 0 => {
                let wanted = format!("bytes {}-", self.at);
                let got = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
                if !got.is_some_and(|got| got.starts_with(&wanted)) {
                    return Err(bad(format!("asked for {wanted} it gave {got:?}")).into());
                }
                self.skip = 0;
            }
            StatusCode::NOT_FOUND => {
                let what = self.request.trim_start_matches("give ").to_owned();
                let place = self.registry.name();
                return Err(StoreError::NotFound { place, what }.into());
            }
            other => return Err(bad(format!("unexpected status {}", other.as_u16())).into()),
        }
        self.response = Some(response);
        Ok(())
    }

    fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        stream::try_unfold(self, |mut download| async move {
            Ok(download.next().await?.map(|bytes| (bytes, download)))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.attempt().await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) => return Ok(None),
                Err(failure) => {
                    self.response = None;
                    if self.at >= self.failed_at + FORGIVEN_AFTER {
                        self.failed = 0;
                    }
                    self.failed_at = self.at;
                    self.failed = self.registry.http.pause(failure, self.failed).await?;
                }
            }
        }
    }

    async fn attempt(&mut self) -> Attempt<Option<Bytes>> {
        if self.response.is_none() {
            self.connect().await?;
        }
        let host = self.registry.repository.host();
        loop {
            let Some(response) = &mut self.response else { return Ok(None) };
            let stall = self.registry.http.wire.stall();
            let Some(mut chunk) = next_chunk(response, stall, host, &self.request).await? else {
                if self.at >= self.size {
                    return Ok(None);
                }
                let reason = format!("{} of {} bytes came", self.at, self.size);
                let (registry, request) = (host.to_owned(), self.request.clone());
                return Err(Failure::transient(StoreError::HungUp { registry, request, reason }));
            };
            // At most the chunk's length, which is a usize.
            let drop = self.skip.min(chunk.len() as u64);
            self.skip -= drop;
            let chunk = chunk.split_off(usize::try_from(drop).unwrap_or(0));
            if !chunk.is_empty() {
                self.at += chunk.len() as u64;
                return Ok(Some(chunk));
            }
        }
    }
}
