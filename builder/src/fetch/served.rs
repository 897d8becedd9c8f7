//! Who served what in a run, and who did not: for whoever asks afterwards.

use std::sync::PoisonError;

use serde::Serialize;

use super::{Attempt, Fetcher};

/// How something was had.
#[derive(Debug, Clone, Serialize)]
pub struct Served {
    /// What: `go for arm64`.
    pub what: String,
    /// The source in the recipe that had it; none where none had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    /// The file or address that served it, without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// What was tried in vain before, in order.
    pub attempts: Vec<Failure>,
}

/// A place that was tried in vain.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The source in the recipe.
    pub source: &'static str,
    /// The file or address, without credentials and query; none where the source as such failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why, in words; all tries.
    pub failed: String,
    /// Whether it served something else than was wanted.
    pub lied: bool,
}

impl Failure {
    /// What became of a place.
    pub fn of(source: &'static str, attempt: &Attempt) -> Self {
        let text = attempt.to_string();
        let failed = text.strip_prefix(&format!("{}: ", attempt.place)).unwrap_or(&text).to_owned();
        Self { source, place: Some(attempt.place.clone()), failed, lied: attempt.lied() }
    }

    /// A source that failed as such.
    pub fn of_source(source: &'static str, failed: String, lied: bool) -> Self {
        Self { source, place: None, failed, lied }
    }
}

impl Fetcher {
    /// Remembers how something was had, or was not.
    pub fn remember(&self, served: Served) {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).push(served);
    }

    /// How everything was had so far, sorted by what it is.
    pub fn served(&self) -> Vec<Served> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
        served.sort_by(|a, b| a.what.cmp(&b.what));
        served
    }
}
