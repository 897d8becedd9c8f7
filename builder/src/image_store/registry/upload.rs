//! Getting a blob into a repository (distribution-spec, "Pushing blobs").
//!
//! 1. Is it there?
//! 2. Can it be mounted from a repository of the same registry? A refused mount opens an upload
//!    session all the same.
//! 3. The whole blob in one `PUT`. A registry that does not take that gets chunks by `PATCH`.
//!
//! After a failure the session is asked how far it came, and goes on from there; a session that is
//! gone is replaced by a new one.

use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use treelay_recipes::Digest;

use super::Registry;
use super::challenge::Scopes;
use super::failure::{Attempt, Failure};
use super::feed::Feed;
use super::http::{Ask, Payload};
use crate::image_store::blob::BlobSource;
use crate::image_store::error::{Result, StoreError};
use crate::progress::Outcome;

const OCTETS: &str = "application/octet-stream";

/// An upload in progress.
struct Session {
    url: Url,
    /// Bytes the registry has.
    at: u64,
    /// The smallest chunk it takes, in bytes (header `OCI-Chunk-Min-Length`).
    least: u64,
}

enum Start {
    Mounted,
    Session(Session),
}

/// Uploads what is not there.
pub(super) async fn upload(registry: &Registry, source: &BlobSource<'_>) -> Result<Outcome> {
    let Ok(_permit) = registry.http.uploads.acquire().await else {
        // The semaphore is never closed.
        return Err(StoreError::io("waiting for a free upload")(std::io::ErrorKind::Other.into()));
    };
    let upload = Upload { registry, source, scopes: registry.write_scopes() };
    let mut session = match upload.start_mounted().await? {
        Some(Start::Mounted) => return Ok(Outcome::Mounted),
        Some(Start::Session(session)) => session,
        None => upload.start().await?,
    };
    let mut in_chunks = false;
    let mut failed = 0;
    loop {
        let attempt = if in_chunks || session.at > 0 {
            upload.put_rest(&mut session, in_chunks).await
        } else {
            upload.put_whole(&session).await
        };
        let failure = match attempt {
            Ok(()) => return Ok(Outcome::Moved),
            Err(failure) => failure,
        };
        if !in_chunks && wants_chunks(&failure.error) {
            tracing::debug!(error = %failure.error, "going on in chunks");
            in_chunks = true;
            session = upload.start().await?;
            continue;
        }
        failed = registry.http.pause(lost_session(failure), failed).await?;
        session = match upload.ask_how_far(&session).await {
            Some(session) => session,
            None => upload.start().await?,
        };
    }
}

/// The registry, or a proxy before it, takes no body of this kind or length.
fn wants_chunks(error: &StoreError) -> bool {
    match error {
        StoreError::Refused { status, .. } => matches!(status, 405 | 411 | 413 | 415),
        StoreError::ServerError { status, .. } => *status == 501,
        _ => false,
    }
}

/// A session that is gone (404) or out of step (416) is a reason to begin again.
fn lost_session(failure: Failure) -> Failure {
    match failure.error {
        StoreError::Refused { status: 404 | 416, .. } => Failure::transient(failure.error),
        _ => failure,
    }
}

struct Upload<'a> {
    registry: &'a Registry,
    source: &'a BlobSource<'a>,
    scopes: Scopes,
}

impl Upload<'_> {
    fn ask(&self, method: Method, url: Url) -> Ask<'_> {
        let request = format!("take blob {}", self.digest().short());
        Ask::new(method, url, &self.registry.repository, &self.scopes, request)
    }

    fn digest(&self) -> &Digest {
        self.source.digest()
    }

    fn start_url(&self) -> Result<Url> {
        self.registry.url("blobs/uploads/")
    }

    async fn start(&self) -> Result<Session> {
        let url = self.start_url()?;
        let response = self.registry.http.send(&self.ask(Method::POST, url.clone()), &[]).await?;
        self.session(&response, &url, 0)
    }

    /// Tries to mount; `None` when there is nowhere to mount from, or it is not allowed.
    async fn start_mounted(&self) -> Result<Option<Start>> {
        let ours = &self.registry.repository;
        let from = self.source.mounts().iter().find(|r| r.host() == ours.host() && *r != ours);
        let Some(from) = from else { return Ok(None) };
        let mut url = self.start_url()?;
        url.query_pairs_mut()
            .append_pair("mount", &self.digest().to_string())
            .append_pair("from", from.path());
        let scopes = self.scopes.and(&Scopes::repository(from.path(), false));
        let ask = Ask { scopes, ..self.ask(Method::POST, url.clone()) };
        match self.registry.http.send_settled(&ask, &[]).await {
            Ok(response) if response.status() == StatusCode::CREATED => Ok(Some(Start::Mounted)),
            Ok(response) => Ok(Some(Start::Session(self.session(&response, &url, 0)?))),
            // Mounting saves bytes; where it does not work the bytes are sent.
            Err(error) => {
                tracing::debug!(%error, "not mounted");
                Ok(None)
            }
        }
    }

    fn session(&self, response: &Response, from: &Url, at: u64) -> Result<Session> {
        let (http, registry) = (&self.registry.http, self.registry.repository.host());
        let request = format!("take blob {}", self.digest().short());
        if response.status() != StatusCode::ACCEPTED && response.status() != StatusCode::NO_CONTENT
        {
            let reason = format!("unexpected status {}", response.status().as_u16());
            return Err(StoreError::BadAnswer { registry: registry.to_owned(), request, reason });
        }
        let url = http.location(response, from, registry, &request)?;
        Ok(Session { url, at, least: number(response.headers(), "oci-chunk-min-length") })
    }

    /// The address that ends the upload.
    fn end_url(&self, session: &Session) -> Url {
        let mut url = session.url.clone();
        url.query_pairs_mut().append_pair("digest", &self.digest().to_string());
        url
    }

    async fn put_whole(&self, session: &Session) -> Attempt<()> {
        let length = self.source.size();
        let feed = Feed::open(self.source, 0).await?;
        let payload = Payload::Feed { feed, length };
        let ask = self.ask(Method::PUT, self.end_url(session)).body(OCTETS, payload);
        self.check_end(&self.registry.http.send_once(&ask, &[]).await?)
    }

    /// What the session does not have yet: in one piece, or in chunks; then the end.
    async fn put_rest(&self, session: &mut Session, in_chunks: bool) -> Attempt<()> {
        let size = self.source.size();
        let chunk = if in_chunks {
            self.registry.http.options().chunk_size.max(session.least).max(1)
        } else {
            u64::MAX
        };
        let mut feed = Feed::open(self.source, session.at).await?;
        while session.at < size {
            let length = chunk.min(size - session.at);
            let end = session.at + length - 1;
            let mut ask = self.ask(Method::PATCH, session.url.clone());
            let range = HeaderValue::try_from(format!("{}-{end}", session.at));
            ask.headers.extend(range.ok().map(|range| (CONTENT_RANGE, range)));
            let ask = ask.body(OCTETS, Payload::Feed { feed, length });
            let response = self.registry.http.send_once(&ask, &[]).await?;
            let Payload::Feed { feed: same, .. } = ask.payload else { return Ok(()) };
            feed = same;
            let least = session.least;
            *session = self.session(&response, &session.url, end + 1)?;
            session.least = session.least.max(least);
        }
        let ask = self.ask(Method::PUT, self.end_url(session));
        self.check_end(&self.registry.http.send_once(&ask, &[]).await?)
    }

    fn check_end(&self, response: &Response) -> Attempt<()> {
        if !response.status().is_success() {
            let (registry, request) =
                (self.registry.repository.host().to_owned(), "take a blob".to_owned());
            let reason = format!("unexpected status {}", response.status().as_u16());
            return Err(StoreError::BadAnswer { registry, request, reason }.into());
        }
        Ok(self.registry.check_digest_header(response.headers(), self.digest())?)
    }

    /// How far a session came; `None` when it is better to begin again.
    async fn ask_how_far(&self, session: &Session) -> Option<Session> {
        let ask = self.ask(Method::GET, session.url.clone());
        let response = self.registry.http.send_once(&ask, &[]).await.ok()?;
        let range = response.headers().get(RANGE)?.to_str().ok()?;
        let last: u64 =
            range.trim_start_matches("bytes=").split_once('-')?.1.trim().parse().ok()?;
        // `0-0` is said of an empty session as well as of one with one byte.
        if last == 0 || last >= self.source.size() {
            return None;
        }
        let url = response.headers().contains_key(reqwest::header::LOCATION);
        let next = if url {
            self.session(&response, &session.url, last + 1).ok()?
        } else {
            Session { url: session.url.clone(), at: last + 1, least: 0 }
        };
        tracing::debug!(at = next.at, "the upload goes on");
        Some(Session { least: next.least.max(session.least), ..next })
    }
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    headers.get(name).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).unwrap_or(0)
}
