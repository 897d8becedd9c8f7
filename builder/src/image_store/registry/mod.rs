//! `docker://HOST[:PORT]/REPO`: a repository of a registry that speaks the OCI distribution
//! specification 1.1.
//!
//! [`RegistryClient`] holds what all repositories of a run share: connections, logins and tokens,
//! limits. [`Registry`] is one repository.
//!
//! Rules kept here: plain http only to this machine, or when asked for; a login goes only to the
//! host it is for and to the token server that host names; nothing secret in messages; every wait
//! and every retry has a bound.

mod auth;
mod challenge;
mod download;
mod failure;
mod feed;
mod http;
mod logins;
mod referrers;
mod scheme;
mod shared;
mod upload;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LINK};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use treelay_recipes::Digest;

use self::challenge::Scopes;
use self::http::{Ask, Http, Payload};
pub use self::logins::{AskHelper, Login, LoginKind, LoginPlaces, Logins};
use super::blob::{BlobSource, BlobStream};
use super::error::{Result, StoreError};
use super::layer_list::LayerList;
use super::manifest::{Descriptor, MANIFEST_LIMIT, Manifest, media};
use super::repository::Repository;
use super::signatures::{Addition, Beside};
use super::{ImageRef, ImageStore, Listing, Placement};
use crate::progress::Outcome;

/// What manifests we understand.
const ACCEPTED: [&str; 4] =
    [media::INDEX, media::MANIFEST, media::DOCKER_LIST, media::DOCKER_MANIFEST];

/// Pages of tags that are read: a bound for registries that link in circles.
const TAG_PAGES: usize = 1000;

/// How to talk to registries.
#[derive(Clone)]
pub struct RegistryOptions {
    /// Where logins are found.
    pub logins: Logins,
    /// Plain http to every host, not only to this machine (`--plain-http`).
    pub plain_http: bool,
    /// Address of the proxy for https (`HTTPS_PROXY`).
    pub https_proxy: Option<String>,
    /// Address of the proxy for plain http (`HTTP_PROXY`).
    pub http_proxy: Option<String>,
    /// Hosts that are reached without a proxy, separated by commas (`NO_PROXY`).
    pub no_proxy: String,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long nothing may move in either direction.
    pub stall_timeout: Duration,
    /// How long a registry may think after it got a whole blob.
    pub finish_timeout: Duration,
    /// How often a request that failed is tried again.
    pub retries: u32,
    /// The wait before the first retry; it doubles each time, with jitter.
    pub backoff: Duration,
    /// The longest wait between retries; a registry that asks for more is given up.
    pub longest_wait: Duration,
    /// Blobs that are sent at once.
    pub uploads: usize,
    /// Length of chunks, in bytes, where a registry takes a blob only in chunks.
    pub chunk_size: u64,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            logins: Logins::default(),
            plain_http: false,
            https_proxy: None,
            http_proxy: None,
            no_proxy: String::new(),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            finish_timeout: Duration::from_secs(300),
            retries: 4,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            uploads: 4,
            chunk_size: 32 << 20,
        }
    }
}

/// What all repositories of a run share.
#[derive(Clone)]
pub struct RegistryClient {
    options: RegistryOptions,
    /// Made when the first repository is opened.
    http: Arc<Mutex<Option<Arc<Http>>>>,
}

impl RegistryClient {
    /// Keeps the options; reads nothing and connects to nothing yet.
    pub fn new(options: RegistryOptions) -> Self {
        Self { options, http: Arc::default() }
    }

    /// One repository. It is not asked whether it exists. TLS trusts the system's certificates, or
    /// those of `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// [`StoreError::Io`] when a proxy's address cannot be read or no certificates are found.
    pub fn repository(&self, repository: Repository) -> Result<Registry> {
        let mut shared = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        let http = match &*shared {
            Some(http) => Arc::clone(http),
            None => Arc::clone(shared.insert(Arc::new(Http::new(self.options.clone())?))),
        };
        if !self.options.plain_http && !repository.is_loopback() {
            http.wire.secure()?;
        }
        Ok(Registry { http, repository, writes: Arc::new(AtomicBool::new(false)) })
    }
}

/// A repository of a registry.
#[derive(Clone)]
pub struct Registry {
    http: Arc<Http>,
    repository: Repository,
    /// Whether something was written: then tokens are asked for that allow both at once.
    writes: Arc<AtomicBool>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.repository).finish()
    }
}

impl Registry {
    fn name(&self) -> String {
        format!("docker://{}", self.repository)
    }

    fn scopes(&self) -> Scopes {
        Scopes::repository(self.repository.path(), self.writes.load(Ordering::Relaxed))
    }

    fn write_scopes(&self) -> Scopes {
        self.writes.store(true, Ordering::Relaxed);
        self.scopes()
    }

    /// The address of something in this repository.
    fn url(&self, rest: &str) -> Result<Url> {
        let base = self.http.base(&self.repository)?;
        // Paths of repositories, tags and digests hold nothing that a URL would encode.
        base.join(&format!("{}/{rest}", self.repository.path())).map_err(|error| {
            let (registry, reason) = (self.repository.host().to_owned(), error.to_string());
            StoreError::Unreachable { registry, reason }
        })
    }

    fn ask(&self, method: Method, rest: &str, request: String) -> Result<Ask<'_>> {
        let url = self.url(rest)?;
        Ok(Ask::new(method, url, &self.repository, &self.scopes(), request))
    }

    fn check_digest_header(&self, headers: &HeaderMap, expected: &Digest) -> Result<()> {
        match digest_header(headers) {
            Some(found) if found != *expected => {
                let (place, expected) = (self.name(), *expected);
                Err(StoreError::DigestMismatch { place, expected, found })
            }
            _ => Ok(()),
        }
    }

    /// The manifest under a tag or digest; `None` when there is none.
    async fn get_manifest(&self, name: &str) -> Result<Option<Manifest>> {
        let request = format!("give manifest {name}");
        let ask = self.ask(Method::GET, &format!("manifests/{name}"), request)?;
        let ask = ask.accept(&ACCEPTED);
        let answer = self.http.fetch(&ask, &[StatusCode::NOT_FOUND], MANIFEST_LIMIT).await?;
        let (status, headers, bytes) = answer;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.manifest_of(&headers, bytes).map(Some)
    }

    fn manifest_of(&self, headers: &HeaderMap, bytes: Vec<u8>) -> Result<Manifest> {
        match media_type(headers).filter(|media_type| is_manifest(media_type)) {
            Some(media_type) => Ok(Manifest::new(media_type, bytes)),
            None => Manifest::sniff(&self.name(), bytes),
        }
    }

    /// Puts a manifest under a tag or digest; the headers of the answer.
    async fn put_named(&self, manifest: &Manifest, name: &str) -> Result<HeaderMap> {
        self.check_length(manifest)?;
        manifest.parts(&self.name())?;
        self.write_scopes();
        let request = format!("take manifest {name}");
        let ask = self.ask(Method::PUT, &format!("manifests/{name}"), request)?;
        let payload = Payload::Bytes(manifest.bytes().to_vec());
        let response = self.http.send(&ask.body(manifest.media_type(), payload), &[]).await?;
        self.check_digest_header(response.headers(), &manifest.digest())?;
        Ok(response.headers().clone())
    }

    fn check_length(&self, manifest: &Manifest) -> Result<()> {
        if manifest.bytes().len() as u64 > MANIFEST_LIMIT {
            let what = format!("manifest {}", manifest.digest());
            return Err(StoreError::TooLarge { place: self.name(), what, limit: MANIFEST_LIMIT });
        }
        Ok(())
    }
}

/// What requests call an image.
fn name_of(image: &ImageRef) -> String {
    match image {
        ImageRef::Default => "latest".to_owned(),
        ImageRef::Tag(tag) => tag.clone(),
        ImageRef::Digest(digest) => digest.to_string(),
    }
}

/// Whether a media type says more than "some JSON".
fn is_manifest(media_type: &str) -> bool {
    media_type.contains("manifest") || media_type.contains("image.index")
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_owned())
}

fn digest_header(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// The address of the next page (RFC 8288): `</v2/…>; rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|text| {
        text.split(',').find_map(|link| {
            let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let mut parameters = parameters.split(';').map(|p| p.replace([' ', '"'], ""));
            parameters.any(|p| p.eq_ignore_ascii_case("rel=next")).then(|| address.to_owned())
        })
    })
}

#[async_trait]
impl ImageStore for Registry {
    fn place(&self) -> String {
        self.name()
    }

    async fn resolve(&self, image: &ImageRef) -> Result<Option<Descriptor>> {
        let name = name_of(image);
        let request = format!("tell of manifest {name}");
        let ask = self.ask(Method::HEAD, &format!("manifests/{name}"), request)?;
        let fine = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        let response = self.http.send(&ask.accept(&ACCEPTED), &fine).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let headers = response.headers();
        let size = headers.get(reqwest::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let told = (
            digest_header(headers),
            size.and_then(|size| size.parse().ok()),
            media_type(headers).filter(|media_type| is_manifest(media_type)),
        );
        let found = match told {
            (Some(digest), Some(size), Some(media_type)) if response.status().is_success() => {
                Some(Descriptor::new(media_type, digest, size))
            }
            // The headers are only recommended.
            _ => self.get_manifest(&name).await?.map(|manifest| manifest.descriptor()),
        };
        if let (ImageRef::Digest(expected), Some(found)) = (image, &found)
            && found.digest != *expected
        {
            let (expected, found) = (*expected, found.digest);
            return Err(StoreError::DigestMismatch { place: self.name(), expected, found });
        }
        Ok(found)
    }

    async fn find(&self, image: &ImageRef) -> Result<Option<(Descriptor, Option<Manifest>)>> {
        let found = match self.get_manifest(&name_of(image)).await {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(None),
            // Which one it is can be said, though it cannot be read.
            Err(StoreError::TooLarge { .. } | StoreError::BadManifest { .. }) => {
                return Ok(self.resolve(image).await?.map(|found| (found, None)));
            }
            Err(error) => return Err(error),
        };
        match image {
            ImageRef::Digest(digest) if found.digest() != *digest => {
                let (place, expected, found) = (self.name(), *digest, found.digest());
                Err(StoreError::DigestMismatch { place, expected, found })
            }
            _ => Ok(Some((found.descriptor(), Some(found)))),
        }
    }

    async fn manifest(&self, digest: &Digest) -> Result<Manifest> {
        let place = self.name();
        let Some(manifest) = self.get_manifest(&digest.to_string()).await? else {
            return Err(StoreError::NotFound { place, what: format!("manifest {digest}") });
        };
        if manifest.digest() != *digest {
            let (expected, found) = (*digest, manifest.digest());
            return Err(StoreError::DigestMismatch { place, expected, found });
        }
        Ok(manifest)
    }

    async fn tagged(&self, tag: &str) -> Result<Option<Manifest>> {
        self.get_manifest(tag).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Listing> {
        self.list_referrers(subject).await
    }

    async fn put_referrers(&self, subject: &Digest, manifests: &[Manifest]) -> Result<()> {
        self.add_referrers(subject, manifests).await
    }

    async fn add_beside(
        &self,
        subject: &Digest,
        what: Beside,
        addition: &Addition,
    ) -> Result<Descriptor> {
        let add = |list: &mut LayerList| addition.add_to(list);
        Ok(self.add_under_tag(&what.tag(subject), add).await?.descriptor())
    }

    async fn put_manifest(
        &self,
        manifest: &Manifest,
        placement: Placement<'_>,
    ) -> Result<Descriptor> {
        let descriptor = manifest.descriptor();
        let name = match placement {
            Placement::Child => descriptor.digest.to_string(),
            Placement::Tag { tag, .. } => tag.to_owned(),
        };
        self.put_named(manifest, &name).await?;
        Ok(descriptor)
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        let request = format!("tell of blob {}", digest.short());
        let ask = self.ask(Method::HEAD, &format!("blobs/{digest}"), request)?;
        let response = self.http.send(&ask, &[StatusCode::NOT_FOUND]).await?;
        let told = response.headers().get(reqwest::header::CONTENT_LENGTH);
        let told = told.and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
        Ok(response.status() == StatusCode::OK && told.is_none_or(|told| told == size))
    }

    async fn blob(&self, digest: &Digest, size: u64) -> Result<BlobStream> {
        download::open(self, digest, size).await
    }

    async fn put_blob(&self, source: &BlobSource<'_>) -> Result<Outcome> {
        self.write_scopes();
        if self.has_blob(source.digest(), source.size()).await? {
            return Ok(source.finish(Outcome::Reused));
        }
        Ok(source.finish(upload::upload(self, source).await?))
    }

    async fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut ask = self.ask(Method::GET, "tags/list", "list its tags".to_owned())?;
        let bad = |reason: String| StoreError::BadAnswer {
            registry: self.repository.host().to_owned(),
            request: "list its tags".to_owned(),
            reason,
        };
        for _ in 0..TAG_PAGES {
            let answer = self.http.fetch(&ask, &[StatusCode::NOT_FOUND], 16 << 20).await?;
            let (status, headers, bytes) = answer;
            if status == StatusCode::NOT_FOUND {
                break;
            }
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|error| bad(format!("reading its JSON: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            let Some(next) = next_page(&headers) else {
                tags.sort();
                tags.dedup();
                return Ok(tags);
            };
            let next =
                ask.url.join(&next).map_err(|error| bad(format!("its next page: {error}")))?;
            if next.origin() != ask.url.origin() {
                return Err(bad("its next page is on another host".to_owned()));
            }
            ask.url = next;
        }
        Ok(tags)
    }

    /// Nothing waits: what a registry accepted is durable and visible.
    async fn commit(&self) -> Result<()> {
        Ok(())
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }

    fn manifest_proves_parts(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let next = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, text.parse().unwrap());
            next_page(&headers)
        };
        let page = Some("/v2/a/tags/list?last=b&n=2".to_owned());
        assert_eq!(next(r#"</v2/a/tags/list?last=b&n=2>; rel="next""#), page);
        assert_eq!(next(r#"<x>; rel=prev, </v2/a/tags/list?last=b&n=2>; rel=next"#), page);
        assert_eq!(next(r#"<x>; rel="prev""#), None);
        assert_eq!(next("x"), None);
    }
}
