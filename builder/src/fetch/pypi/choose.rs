//! Which of the wheels that were found is the one that was asked for.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use treelay_recipes::Digest;
use treelay_recipes::recipe::GoRelease;

use super::super::place::Place;
use super::super::releases::newest;
use super::super::{Ask, Attempt, FetchError, Outcome, Resolved, Wanted};
use super::page::File;
use super::{Version, Wheel};

/// A wheel that was found, and where.
#[derive(Debug, Clone)]
pub struct Candidate {
    file: File,
    wheel: Wheel,
    place: Place,
}

impl Candidate {
    /// `None` for files that are no wheels.
    pub fn new(file: File, place: Place) -> Option<Self> {
        let wheel = Wheel::parse(&file.name)?;
        Some(Self { file, wheel, place })
    }
}

/// What is looked for, and what stood in the way so far.
pub struct Sought<'a> {
    pub ask: &'a Ask,
    /// Normalised.
    pub package: String,
    pub attempts: Vec<Attempt>,
}

/// Versions named when the one that was asked for is not there.
const NEAREST: usize = 5;

impl Sought<'_> {
    /// The candidate that fits best, the first among equals. `None` where there is none.
    pub fn choose(
        &self,
        candidates: &[Candidate],
        version: &Version,
    ) -> Result<Option<Resolved>, FetchError> {
        let fitting = candidates.iter().filter(|candidate| {
            let wheel = &candidate.wheel;
            wheel.package == self.package
                && wheel.version == *version
                && wheel.fit(self.ask.arch, self.ask.package.is_some()).is_some()
        });
        let fitting: Vec<&Candidate> = fitting.collect();
        let best = match self.ask.pinned {
            None => best(self.ask, fitting.iter().filter(|c| c.file.yanked.is_none())),
            // What is pinned is wanted even where something fits better by now, or where it was
            // withdrawn since (PEP 592 leaves that to who pinned it). A file whose digest the
            // index does not tell may be it.
            Some(pinned) => {
                let telling = |digest: Option<Digest>| {
                    best(self.ask, fitting.iter().filter(|c| c.file.sha256 == digest))
                };
                telling(Some(pinned)).or_else(|| telling(None))
            }
        };
        let Some(best) = best else {
            return match self.ask.pinned {
                Some(expected) if !fitting.is_empty() => {
                    Err(self.other_content(&fitting, expected))
                }
                _ => Ok(None),
            };
        };
        let same = fitting
            .iter()
            .filter(|c| c.file.name == best.file.name && c.file.sha256 == best.file.sha256);
        let from = format!("{} {} {}", self.package, self.ask.version, best.file.name);
        let wanted = Wanted {
            what: self.ask.what.clone(),
            places: same.map(|candidate| candidate.place.clone()).collect(),
            digest: self.ask.pinned.or(best.file.sha256),
            size: best.file.size,
            most: None,
        };
        Ok(Some(Resolved { from, file_name: best.file.name.clone(), wanted }))
    }

    /// The newest release of Go among the candidates that are not withdrawn.
    pub fn newest(&self, candidates: &[Candidate], release: GoRelease<'_>) -> Option<String> {
        let fitting = candidates.iter().filter(|candidate| {
            let wheel = &candidate.wheel;
            wheel.package == self.package
                && candidate.file.yanked.is_none()
                && wheel.fit(self.ask.arch, false).is_some()
        });
        let versions = fitting.map(|candidate| candidate.wheel.version_text.as_str());
        newest(versions, release).map(str::to_owned)
    }

    /// Every index tells of other content than is pinned: nothing has to be downloaded to know.
    fn other_content(&self, fitting: &[&Candidate], expected: Digest) -> FetchError {
        let attempt = |candidate: &&Candidate| {
            let actual = candidate.file.sha256?;
            let tries = vec![Outcome::WrongDigest { expected, actual }];
            Some(Attempt { place: candidate.place.to_string(), tries })
        };
        let attempts = fitting.iter().filter_map(attempt).collect();
        FetchError::WrongContent { what: self.ask.what.clone(), attempts }
    }

    /// Why there is nothing.
    pub fn none(&self, candidates: &[Candidate]) -> FetchError {
        let package = self.package.clone();
        let version = self.ask.version.clone();
        let ours = || candidates.iter().filter(|c| c.wheel.package == self.package);
        let wanted = Version::parse(&version);
        let same: Vec<&Candidate> =
            ours().filter(|c| Some(&c.wheel.version) == wanted.as_ref()).collect();
        let fits = |candidate: &Candidate| {
            candidate.wheel.fit(self.ask.arch, self.ask.package.is_some()).is_some()
        };
        if let Some(yanked) = same.iter().find(|c| c.file.yanked.is_some() && fits(c)) {
            let reason = yanked.file.yanked.clone().filter(|reason| !reason.is_empty());
            return FetchError::Yanked { package, version, reason };
        }
        if !same.is_empty() {
            let available: BTreeSet<&str> = same.iter().flat_map(|c| c.wheel.arches()).collect();
            let available = available.into_iter().map(str::to_owned).collect();
            return FetchError::NoSuchArch { package, version, arch: self.ask.arch, available };
        }
        let attempts = self.attempts.clone();
        if candidates.is_empty() && !attempts.is_empty() {
            return FetchError::Unavailable { what: self.ask.what.clone(), attempts };
        }
        let mut near: Vec<(&Version, &str)> = ours()
            .filter(|c| c.file.yanked.is_none() && fits(c))
            .map(|c| (&c.wheel.version, c.wheel.version_text.as_str()))
            .collect();
        if let Some(wanted) = &wanted {
            // The newer first among equally near ones.
            near.sort_by_cached_key(|(version, _)| (version.distance(wanted), Reverse(*version)));
        }
        near.dedup_by_key(|(version, _)| *version);
        let nearest = near.iter().take(NEAREST).map(|(_, text)| text.to_string()).collect();
        FetchError::NoSuchVersion { package, version, nearest, attempts }
    }
}

/// The best fit, the first among equals.
fn best<'a, 'b>(
    ask: &Ask,
    candidates: impl DoubleEndedIterator<Item = &'b &'a Candidate>,
) -> Option<&'a Candidate>
where
    'a: 'b,
{
    // `max_by_key` gives the last among equals.
    candidates
        .copied()
        .rev()
        .max_by_key(|candidate| candidate.wheel.fit(ask.arch, ask.package.is_some()))
}

#[cfg(test)]
mod tests;
