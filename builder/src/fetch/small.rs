//! Small documents, such as index pages: held in memory, tried again as downloads are.

use std::path::Path;

use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::time::{sleep, timeout};

use super::download::{Failed, too_late};
use super::error::reading;
use super::http::read_failure;
use super::place::{Place, Remote};
use super::retry::{Limits, retry_after, worth_another_try};
use super::{Attempt, FetchError, Fetcher, Outcome};

/// A small document.
pub(super) struct Document {
    pub content_type: String,
    /// Where it was in the end, after redirects.
    pub url: Url,
    pub body: String,
}

/// The most that is held of one. The largest page of PyPI's has some 30 MB.
const MOST: usize = 64 << 20;

/// Gets `remote` from the first of its places that has it, in one of the types that `accept` lists.
pub(super) async fn document(
    fetcher: &Fetcher,
    remote: &Remote,
    accept: &'static str,
) -> Result<Document, Failed> {
    document_as(fetcher, remote, accept, &Ok).await
}

/// The same, understood by `read`. Who answers something else than such a document, as a mirror of
/// files does with a list of them and a login page with everything, is followed by the next place.
pub(super) async fn document_as<T>(
    fetcher: &Fetcher,
    remote: &Remote,
    accept: &'static str,
    read: &(dyn Fn(Document) -> Result<T, String> + Sync),
) -> Result<T, Failed> {
    let mut failed: Option<Attempt> = None;
    // Of none of them it is known what they must be.
    for place in fetcher.route(&remote.clone().believed()) {
        let found = match &place {
            Place::Remote(remote) => from_server(fetcher, remote, accept).await,
            Place::File(path) => from_file(path).await.map_err(Failed::Place),
        };
        let attempt = match found.map(read) {
            Ok(Ok(document)) => return Ok(document),
            Ok(Err(said)) => {
                Attempt { place: place.to_string(), tries: vec![Outcome::Nonsense(said)] }
            }
            Err(Failed::Place(attempt)) => attempt,
            Err(error) => return Err(error),
        };
        match &mut failed {
            None => failed = Some(attempt),
            Some(failed) => {
                failed.place = format!("{} and {}", failed.place, attempt.place);
                failed.tries.extend(attempt.tries);
            }
        }
    }
    let none = || Attempt {
        place: remote.to_string(),
        tries: vec![Outcome::Nonsense("no mirror that is believed can have it".to_owned())],
    };
    Err(Failed::Place(failed.unwrap_or_else(none)))
}

/// The document in a local file.
async fn from_file(path: &Path) -> Result<Document, Attempt> {
    let wrong = |error: std::io::Error| reading(path.to_owned(), &error);
    let meta = tokio::fs::metadata(path).await.map_err(wrong)?;
    if !meta.is_file() || meta.len() > MOST as u64 {
        return Err(wrong(std::io::Error::other("it is no regular file of such a size")));
    }
    let body = tokio::fs::read_to_string(path).await.map_err(wrong)?;
    let url = Url::from_file_path(path)
        .map_err(|()| wrong(std::io::Error::other("the path is not absolute")))?;
    Ok(Document { content_type: String::new(), url, body })
}

async fn from_server(
    fetcher: &Fetcher,
    remote: &Remote,
    accept: &'static str,
) -> Result<Document, Failed> {
    let limits = fetcher.limits_for(remote)?;
    let mut tries = Vec::new();
    loop {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        let turn = fetcher.turn(remote).await;
        let tried = one_try(fetcher, remote, &headers, &limits).await?;
        drop(turn);
        let (outcome, again) = match tried {
            Ok(document) => return Ok(document),
            Err(stopped) => stopped,
        };
        tries.push(outcome);
        let next = tries.len() as u32;
        let Some(asked) = again.filter(|_| next < limits.tries) else {
            return Err(Failed::Place(Attempt { place: remote.to_string(), tries }));
        };
        match limits.wait(next, asked, fastrand::f64()) {
            Ok(wait) => sleep(wait).await,
            Err(asked) => {
                too_late(&mut tries, asked, &limits);
                return Err(Failed::Place(Attempt { place: remote.to_string(), tries }));
            }
        }
    }
}

/// What was asked of the one who tries again; the outer `None` means not to.
type Again = Option<Option<std::time::Duration>>;

async fn one_try(
    fetcher: &Fetcher,
    remote: &Remote,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<Result<Document, (Outcome, Again)>, FetchError> {
    let asked = timeout(limits.first_byte, fetcher.get(remote, headers)).await;
    let response = match asked {
        Err(_) => return Ok(Err((Outcome::Silent { limit: limits.first_byte }, Some(None)))),
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let (outcome, again) = read_failure(error, limits)?;
            return Ok(Err((outcome, again.then_some(None))));
        }
    };
    Ok(read(response, limits).await)
}

/// Reads an answer.
async fn read(
    mut response: reqwest::Response,
    limits: &Limits,
) -> Result<Document, (Outcome, Again)> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let status = response.status().as_u16();
    if status != 200 {
        let asked = text(RETRY_AFTER).and_then(|value| retry_after(value, text(DATE)));
        return Err((Outcome::Status { code: status }, worth_another_try(status).then_some(asked)));
    }
    let content_type = text(CONTENT_TYPE).unwrap_or_default().to_owned();
    let url = response.url().clone();
    let expected = response.content_length();
    let mut body = Vec::new();
    loop {
        let got = body.len() as u64;
        match timeout(limits.stall, response.chunk()).await {
            Err(_) => return Err((Outcome::Stalled { got, limit: limits.stall }, Some(None))),
            Ok(Err(_)) => return Err((Outcome::Cut { got, expected }, Some(None))),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > MOST => {
                let said = format!("it goes on after {got} bytes: too long for such a document");
                return Err((Outcome::Nonsense(said), None));
            }
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
        }
    }
    match String::from_utf8(body) {
        Ok(body) => Ok(Document { content_type, url, body }),
        Err(_) => Err((Outcome::Nonsense("its answer is not UTF-8".to_owned()), None)),
    }
}
