//! One download: tries, resumes, and gives up on one place.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{
    CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER,
};
use tokio::time::{sleep, timeout};
use treelay_recipes::Digest;

use super::http::read_failure;
use super::place::Remote;
use super::retry::{retry_after, worth_another_try};
use super::sink::{Pump, Pumped};
use super::{Attempt, BlobSink, FetchError, Fetcher, Limits, Outcome, Wanted, Watch};

/// How one place ended, short of success.
pub(super) enum Failed {
    /// The place is no use; the next one may be.
    Place(Attempt),
    /// No place can help.
    All(FetchError),
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self::All(error)
    }
}

/// How one try ended, short of success.
enum Stop {
    /// Another try may do better, not before the given wait.
    Again(Outcome, Option<Duration>),
    /// Another try at this place will not.
    Place(Outcome),
    All(FetchError),
}

/// What is kept between tries.
#[derive(Default)]
struct State {
    pump: Option<Pump>,
    /// A strong ETag or a Last-Modified: what If-Range may be given (RFC 9110, 13.1.5).
    validator: Option<String>,
    /// Whether what was pumped comes from more than one answer.
    joined: bool,
}

/// Bytes from `remote`, complete and verified, handed to the sink.
pub(super) async fn download(
    fetcher: &Fetcher,
    remote: &Remote,
    wanted: &Wanted,
    sink: &dyn BlobSink,
    watch: &dyn Watch,
) -> Result<(Kept, Vec<Outcome>), Failed> {
    let limits = &fetcher.options.limits;
    let mut state = State::default();
    let mut tries = Vec::new();
    loop {
        let turn = fetcher.turn(remote).await;
        match one_try(fetcher, remote, wanted, sink, watch, &mut state).await {
            Ok(pumped) => match keep(wanted, pumped).await {
                Ok(kept) => return Ok((kept, tries)),
                Err(NotKept::Failed(error)) => return Err(Failed::All(error)),
                // The server said that its content was still the same, and may have been wrong
                // about that (Last-Modified has whole seconds) without lying about the content.
                Err(NotKept::Wrong(_))
                    if state.joined && tries.len() + 1 < limits.tries as usize =>
                {
                    state = State::default();
                    let said = "what it continued with did not fit what came before".to_owned();
                    tries.push(Outcome::Nonsense(said));
                    continue;
                }
                Err(NotKept::Wrong(outcome)) => tries.push(outcome),
            },
            Err(Stop::All(error)) => return Err(Failed::All(error)),
            Err(Stop::Place(outcome)) => tries.push(outcome),
            Err(Stop::Again(outcome, asked)) => {
                tries.push(outcome);
                let next = tries.len() as u32;
                if next < limits.tries {
                    match limits.wait(next, asked, fastrand::f64()) {
                        Ok(wait) => {
                            watch.retrying(&remote.to_string(), &tries[tries.len() - 1], wait);
                            drop(turn);
                            sleep(wait).await;
                            continue;
                        }
                        Err(asked) => too_late(&mut tries, asked, limits),
                    }
                }
            }
        }
        return Err(Failed::Place(Attempt { place: remote.to_string(), tries }));
    }
}

/// Says of the last try that another would be too late.
pub(super) fn too_late(tries: &mut [Outcome], asked: Duration, limits: &Limits) {
    if let Some(Outcome::Status { code }) = tries.last() {
        let (code, most) = (*code, limits.longest_wait);
        tries[tries.len() - 1] = Outcome::Later { code, asked, most };
    }
}

/// Why what arrived is not in the sink.
pub(super) enum NotKept {
    /// It is not what was wanted.
    Wrong(Outcome),
    /// The sink failed.
    Failed(FetchError),
}

/// What arrived, and is in the sink.
pub(super) struct Kept {
    pub digest: Digest,
    pub size: u64,
    /// Whether it was not there before.
    pub new: bool,
}

/// Holds what arrived against what was wanted, and keeps it or hands it back.
pub(super) async fn keep(wanted: &Wanted, pumped: Pumped) -> Result<Kept, NotKept> {
    let (digest, size) = (pumped.digest, pumped.size);
    let outcome = match (wanted.digest, wanted.size) {
        (Some(expected), _) if expected != digest => {
            Some(Outcome::WrongDigest { expected, actual: digest })
        }
        (_, Some(expected)) if expected != size => {
            Some(Outcome::WrongSize { expected, actual: size })
        }
        _ => None,
    };
    if let Some(outcome) = outcome {
        pumped.reject().await;
        return Err(NotKept::Wrong(outcome));
    }
    let keeping =
        |source| NotKept::Failed(FetchError::Keeping { what: wanted.what.clone(), source });
    let (pumped, judged) = pumped.judged().await.map_err(keeping)?;
    if let Err(reason) = judged {
        pumped.reject().await;
        return Err(NotKept::Wrong(Outcome::Refused(reason)));
    }
    let new = pumped.keep().await.map_err(keeping)?;
    Ok(Kept { digest, size, new })
}

async fn one_try(
    fetcher: &Fetcher,
    remote: &Remote,
    wanted: &Wanted,
    sink: &dyn BlobSink,
    watch: &dyn Watch,
    state: &mut State,
) -> Result<Pumped, Stop> {
    let limits = fetcher.limits_for(remote).map_err(Stop::All)?;
    let mut headers = HeaderMap::new();
    // Only what a validator ties to the same content is continued; else it begins anew.
    let offset = match (&state.pump, &state.validator) {
        (Some(pump), Some(validator)) if pump.sent() > 0 => {
            let from = HeaderValue::from_str(&format!("bytes={}-", pump.sent()));
            match (from, HeaderValue::from_str(validator)) {
                (Ok(from), Ok(validator)) => {
                    headers.extend([(RANGE, from), (IF_RANGE, validator)]);
                    pump.sent()
                }
                // Both were a header once, or are digits.
                _ => 0,
            }
        }
        _ => 0,
    };
    let mut response = match timeout(limits.first_byte, fetcher.get(remote, &headers)).await {
        Err(_) => return Err(Stop::Again(Outcome::Silent { limit: limits.first_byte }, None)),
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let (outcome, again) = read_failure(error, &limits).map_err(Stop::All)?;
            return Err(if again { Stop::Again(outcome, None) } else { Stop::Place(outcome) });
        }
    };
    let offset = accept(&response, offset, state)?;
    // Less than is pinned is wrong too, and taken all the same: it may be looked at afterwards.
    let expected = response.content_length().map(|rest| offset + rest);
    if let Some(outcome) = expected.and_then(|expected| wanted.too_many(expected, &limits)) {
        return Err(Stop::Place(outcome));
    }
    if offset == 0 {
        // Without a digest to tell, only a validator that cannot be wrong will do.
        let validator = validator(response.headers());
        state.validator = validator.filter(|v| wanted.digest.is_some() || v.starts_with('"'));
        // Dropping the old pump drops what it wrote.
        state.pump = None;
        state.joined = false;
    }
    let pump = match &mut state.pump {
        Some(pump) => pump,
        None => {
            let size = wanted.size.or(expected);
            let writer = sink.begin(wanted.digest.as_ref(), size).map_err(|source| {
                Stop::All(FetchError::Keeping { what: wanted.what.clone(), source })
            })?;
            state.pump.insert(Pump::start(writer))
        }
    };
    watch.started(&remote.to_string(), wanted.size.or(expected));
    watch.at(pump.sent());
    loop {
        let got = pump.sent();
        match timeout(limits.stall, response.chunk()).await {
            Err(_) => {
                return Err(Stop::Again(Outcome::Stalled { got, limit: limits.stall }, None));
            }
            // hyper's error for a body that ends before its announced length, or a broken one.
            Ok(Err(_)) => return Err(Stop::Again(Outcome::Cut { got, expected }, None)),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(chunk))) => {
                let actual = got + chunk.len() as u64;
                if let Some(outcome) = wanted.too_many(actual, &limits) {
                    return Err(Stop::Place(outcome));
                }
                if !pump.push(chunk).await {
                    // Writing has failed: finishing says why.
                    return finish(state, wanted).await;
                }
                watch.at(actual);
            }
        }
    }
    // A body without a length that ended early can only be told by the size that was pinned.
    let got = pump.sent();
    if let Some(size) = wanted.size.filter(|size| expected.is_none() && got < *size) {
        return Err(Stop::Again(Outcome::Cut { got, expected: Some(size) }, None));
    }
    finish(state, wanted).await
}

/// Reads the answer's header. Where the body continues what is there, its offset; else 0.
fn accept(response: &Response, offset: u64, state: &mut State) -> Result<u64, Stop> {
    let headers = response.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match response.status().as_u16() {
        200 => Ok(0),
        206 if offset > 0 => {
            let start = text(CONTENT_RANGE).and_then(range_start);
            if start == Some(offset) {
                state.joined = true;
                return Ok(offset);
            }
            state.pump = None;
            let said = "it answered with another range than was asked for".to_owned();
            Err(Stop::Again(Outcome::Nonsense(said), None))
        }
        // Asked to go on at what it takes for the end: it is another content now.
        416 if offset > 0 => {
            state.pump = None;
            Err(Stop::Again(Outcome::Status { code: 416 }, None))
        }
        status if worth_another_try(status) => {
            let asked = text(RETRY_AFTER).and_then(|value| retry_after(value, text(DATE)));
            Err(Stop::Again(Outcome::Status { code: status }, asked))
        }
        status => Err(Stop::Place(Outcome::Status { code: status })),
    }
}

/// The first byte's number in `bytes 200-999/1000` (RFC 9110, 14.4).
fn range_start(value: &str) -> Option<u64> {
    value.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// What may stand in If-Range: a strong ETag, else Last-Modified (RFC 9110, 13.1.5).
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let etag = text(ETAG).filter(|tag| tag.starts_with('"'));
    etag.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

/// Takes the pump out of `state` and waits for it.
async fn finish(state: &mut State, wanted: &Wanted) -> Result<Pumped, Stop> {
    let keeping = |source| Stop::All(FetchError::Keeping { what: wanted.what.clone(), source });
    match state.pump.take() {
        Some(pump) => pump.finish().await.map_err(keeping),
        None => Err(keeping(std::io::Error::other("nothing was written"))),
    }
}
