//! Failures of requests: what they are, and whether it makes sense to ask again.

use std::error::Error;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use crate::image_store::error::{Result, StoreError};

/// Most of an error's text that is shown, in characters.
const EXCERPT: usize = 300;

/// One failed attempt.
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// Whether another attempt may do better.
    pub(super) transient: bool,
    /// How long the registry wants to be left alone.
    pub(super) wait: Option<Duration>,
}

impl From<StoreError> for Failure {
    /// An error that stays, however often one asks.
    fn from(error: StoreError) -> Self {
        Self { error, transient: false, wait: None }
    }
}

impl Failure {
    pub(super) fn transient(error: StoreError) -> Self {
        Self { error, transient: true, wait: None }
    }

    /// From an answer whose status is not a success. 401 belongs to whoever knows the login.
    pub(super) async fn of(response: Response, registry: &str, request: &str) -> Self {
        let status = response.status();
        let wait = retry_after(response.headers());
        let excerpt = words_of(response).await;
        let (registry, request) = (registry.to_owned(), request.to_owned());
        let transient = match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY => {
                true
            }
            // docker-registry writes the links of blobs in place. Where another client sends a blob
            // that we sent before, it knows for a moment of none.
            StatusCode::BAD_REQUEST => excerpt.contains("MANIFEST_BLOB_UNKNOWN"),
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => false,
            other => other.is_server_error(),
        };
        let number = status.as_u16();
        let error = match status {
            StatusCode::TOO_MANY_REQUESTS => {
                StoreError::RateLimited { registry, retry_after: wait }
            }
            StatusCode::FORBIDDEN => StoreError::Forbidden { registry, request, detail: excerpt },
            s if s.is_server_error() => {
                StoreError::ServerError { registry, request, status: number, excerpt }
            }
            s if s.is_client_error() => {
                StoreError::Refused { registry, request, status: number, excerpt }
            }
            _ => {
                let reason = format!("unexpected status {number}");
                StoreError::BadAnswer { registry, request, reason }
            }
        };
        Self { error, transient, wait }
    }

    /// From a request that got no answer, or whose answer broke off.
    pub(super) fn of_connection(error: reqwest::Error, registry: &str, request: &str) -> Self {
        // The URL may hold a signature or a session: messages name registry and request instead.
        let error = error.without_url();
        let text = chain(&error);
        let registry = registry.to_owned();
        if error.is_timeout() {
            let error =
                StoreError::Unreachable { registry, reason: "connecting took too long".into() };
            return Self::transient(error);
        }
        // rustls' words when the other side does not speak TLS; its type is behind several boxes.
        if text.contains("InvalidContentType") {
            let reason = "it does not speak TLS, perhaps it speaks plain http".to_owned();
            return StoreError::PlainHttpRefused { registry, reason }.into();
        }
        let kind = io_kind(&error);
        let dropped = matches!(
            kind,
            Some(
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
            )
        );
        if error.is_connect() && !dropped {
            return StoreError::Unreachable { registry, reason: text }.into();
        }
        if error.is_builder() {
            let request = request.to_owned();
            return StoreError::BadAnswer { registry, request, reason: text }.into();
        }
        Self::transient(StoreError::HungUp { registry, request: request.to_owned(), reason: text })
    }
}

/// The innermost message, which is the one that says something, and the one around it.
fn chain(error: &reqwest::Error) -> String {
    let mut messages: Vec<String> = Vec::new();
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        if messages.last().is_none_or(|last| !last.ends_with(&message)) {
            messages.push(message);
        }
        next = error.source();
    }
    messages.split_off(messages.len().saturating_sub(2)).join(": ")
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut next: Option<&dyn Error> = error.source();
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// `Retry-After`: seconds, or a date, which is compared with the answer's own `Date`, so that our
/// clock does not matter (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let after = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = httpdate::parse_http_date(text(DATE)?).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let then = httpdate::parse_http_date(after).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(then.saturating_sub(now))
}

/// What a registry says about an error: `CODE: message`, or the beginning of its answer.
pub(super) async fn words_of(mut response: Response) -> String {
    let mut bytes = BytesMut::new();
    // Best effort: a broken error message is shown as far as it came.
    let read = async {
        while bytes.len() < 16 << 10 {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                _ => break,
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    words(&bytes)
}

fn words(bytes: &[u8]) -> String {
    /// distribution-spec, "Error codes".
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Problem>,
    }
    #[derive(Deserialize)]
    struct Problem {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Errors>(bytes) {
        Ok(Errors { errors }) => {
            let each = errors.iter().map(|e| format!("{}: {}", e.code, e.message));
            each.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    // What a server sends must not move the cursor of a terminal.
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT).collect()
}

/// A whole answer of at most `limit` bytes; silence longer than `stall` is an error.
pub(super) async fn read_limited(
    mut response: Response,
    limit: u64,
    stall: Duration,
    registry: &str,
    request: &str,
) -> std::result::Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next_chunk(&mut response, stall, registry, request).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > limit {
            let (place, what) =
                (registry.to_owned(), format!("the answer when asked to {request}"));
            return Err(StoreError::TooLarge { place, what, limit }.into());
        }
    }
    Ok(bytes)
}

/// The next bytes of an answer, or `None` at its end.
pub(super) async fn next_chunk(
    response: &mut Response,
    stall: Duration,
    registry: &str,
    request: &str,
) -> std::result::Result<Option<bytes::Bytes>, Failure> {
    match tokio::time::timeout(stall, response.chunk()).await {
        Ok(result) => result.map_err(|error| Failure::of_connection(error, registry, request)),
        Err(_) => Err(timeout(stall, registry, request)),
    }
}

pub(super) fn timeout(waited: Duration, registry: &str, request: &str) -> Failure {
    let (registry, request) = (registry.to_owned(), request.to_owned());
    Failure::transient(StoreError::Timeout { registry, request, waited })
}

/// Shorthand of this folder.
pub(super) type Attempt<T> = std::result::Result<T, Failure>;

/// Gives up the knowledge whether to try again.
pub(super) fn settled<T>(attempt: Attempt<T>) -> Result<T> {
    attempt.map_err(|failure| failure.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let of = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            retry_after(&headers).map(|d| d.as_secs())
        };
        assert_eq!(of(&[("retry-after", "7")]), Some(7));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(of(&[date, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), Some(30));
        assert_eq!(of(&[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(0));
        assert_eq!(of(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), None);
        assert_eq!(of(&[("retry-after", "soon")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn shows_a_server_s_words() {
        let json = br#"{"errors":[{"code":"DENIED","message":"no\nway"},{"code":"X"}]}"#;
        assert_eq!(words(json), "DENIED: no way; X:");
        assert_eq!(words(b"<h1>\x1b[31mBad</h1>"), "<h1> [31mBad</h1>");
        assert_eq!(words(&[b'x'; 1000]).len(), EXCERPT);
    }
}
