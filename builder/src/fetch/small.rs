//! Small documents, such as index pages: held in memory, tried again as downloads are.

use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, RETRY_AFTER};
use tokio::time::{sleep, timeout};

use super::download::Failed;
use super::http::read_failure;
use super::place::Remote;
use super::retry::{Limits, retry_after, worth_another_try};
use super::{Attempt, Fetcher, Outcome};

/// A small document.
pub(super) struct Document {
    pub content_type: String,
    /// Where it was in the end, after redirects.
    pub url: Url,
    pub body: String,
}

/// The most that is held of one. The largest page of PyPI's has some 30 MB.
const MOST: usize = 64 << 20;

/// Gets `remote`, in one of the types that `accept` lists.
pub(super) async fn document(
    fetcher: &Fetcher,
    remote: &Remote,
    accept: &str,
) -> Result<Document, Failed> {
    let limits = fetcher.limits_for(remote)?;
    // Never closed, so acquiring cannot fail.
    let host = fetcher.host(remote);
    let _permit = host.acquire().await.ok();
    let mut tries = Vec::new();
    loop {
        let request = fetcher.request(remote)?.header(ACCEPT, accept);
        let (outcome, again) = match one_try(request, &limits).await {
            Ok(document) => return Ok(document),
            Err(stopped) => stopped,
        };
        tries.push(outcome);
        let next = tries.len() as u32;
        let Some(asked) = again.filter(|_| next < limits.tries) else {
            return Err(Failed::Place(Attempt { place: remote.to_string(), tries }));
        };
        sleep(limits.wait(next, asked, fastrand::f64())).await;
    }
}

/// What was asked of the one who tries again; the outer `None` means not to.
type Again = Option<Option<std::time::Duration>>;

async fn one_try(
    request: reqwest::RequestBuilder,
    limits: &Limits,
) -> Result<Document, (Outcome, Again)> {
    let mut response = match timeout(limits.first_byte, request.send()).await {
        Err(_) => return Err((Outcome::Silent { limit: limits.first_byte }, Some(None))),
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let (outcome, again) = read_failure(&error, limits.first_byte);
            return Err((outcome, again.then_some(None)));
        }
    };
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
