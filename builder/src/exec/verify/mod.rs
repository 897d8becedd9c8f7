//! `verify`: what is verified of an input on top of its digest, when it is locked.
//!
//! A method has three places where it may say something: [`Method::before`] the file is had, and that
//! may also be a [`Judge`] of the bytes while they come; [`Method::after`] it is unpacked; and, for
//! `rebuild`, once all inputs are locked, in [`rebuild`](super::rebuild). What comes of it is
//! [`Evidence`] in the lock. Builds take the lock's word, which is the file's digest.
//!
//! *Adding a method:* one file here, one line in [`METHODS`], its name in
//! [`Verify`] and its evidence in the lock.

mod checksum;
mod error;
mod openpgp;
mod sumdb;
mod sums;

use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use treelay_layers::Tree;
use treelay_recipes::lock::Evidence;
use treelay_recipes::recipe::{ArchiveInput, GoToolchainInput, Source, Text, Verify};
use treelay_recipes::{Arch, Digest};

pub use error::{Disagreement, VerifyError};
pub use sumdb::Databases;
pub use sums::{SumsError, find as find_sum};

use super::{ExecError, Workshop};
use crate::fetch::{Judge, Place, Resolved};

/// The methods, in the order in which they are asked, but for `rebuild`.
const METHODS: &[&dyn Method] = &[&checksum::Checksum, &openpgp::OpenPgp, &sumdb::SumDb];

/// What a method does, in time.
type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, VerifyError>> + Send + 'a>>;

/// A method of `verify`.
trait Method: Sync {
    /// Its name in recipes.
    fn verify(&self) -> Verify;

    /// Says what it knows before the file is had.
    fn before<'a>(&'a self, job: &'a Asking<'a>) -> Doing<'a, Before> {
        let _ = job;
        Box::pin(async { Ok(Before::default()) })
    }

    /// Judges what was in the file: all of the archive of a Go release, which says that it is the
    /// version `version`, as `1.27.3`.
    fn after<'a>(
        &'a self,
        job: &'a Job<'a>,
        archive: &'a Tree,
        version: &'a str,
    ) -> Doing<'a, Option<Evidence>> {
        let _ = (job, archive, version);
        Box::pin(async { Ok(None) })
    }
}

/// Begins to judge a file, as often as it is tried.
pub(super) type MakesJudge = dyn Fn() -> Box<dyn Judge> + Send + Sync;

/// What is known before a file is had.
#[derive(Default)]
struct Before {
    said: Option<Said>,
    evidence: Vec<Evidence>,
    judge: Option<Box<MakesJudge>>,
}

/// What somebody says that the file is.
#[derive(Debug, Clone)]
struct Said {
    digest: Digest,
    by: String,
}

/// Evidence that was found on the way.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Vec<Evidence>>);

impl Found {
    fn add(&self, evidence: Evidence) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(evidence);
    }

    /// All of it.
    pub fn take(&self) -> Vec<Evidence> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A file that is to be had and verified.
pub(super) struct Job<'a> {
    pub workshop: &'a Workshop<'a>,
    /// The input and arch, for messages.
    pub what: &'a str,
    pub arch: Arch,
    pub source: Source,
    /// The input, where it is a toolchain.
    pub go: Option<&'a GoToolchainInput>,
    /// The archive, where the source is one.
    pub archive: Option<&'a ArchiveInput>,
    /// Whether it was verified before: then its digest says all.
    pub verified: bool,
    pub found: Arc<Found>,
}

/// A job whose file is known: where it may be.
struct Asking<'a> {
    job: &'a Job<'a>,
    resolved: &'a Resolved,
}

impl<'a> Deref for Asking<'a> {
    type Target = Job<'a>;

    fn deref(&self) -> &Job<'a> {
        self.job
    }
}

/// What must be true of a file, before it is had.
#[derive(Default)]
pub(super) struct Demands {
    /// What all say that it is.
    pub digest: Option<Digest>,
    pub judges: Vec<Box<MakesJudge>>,
}

/// Bytes that a signature or a list may have.
const MOST: u64 = 16 << 20;
/// How much of a file in the store is judged at a time.
const CHUNK: usize = 256 << 10;

impl<'a> Job<'a> {
    /// A file that is neither of a toolchain nor of an archive, so that nothing is asked of it.
    pub fn new(workshop: &'a Workshop<'a>, source: Source, what: &'a str, arch: Arch) -> Self {
        let (go, archive, verified, found) = (None, None, false, Default::default());
        Self { workshop, what, arch, source, go, archive, verified, found }
    }

    /// The methods that the recipe asks for.
    fn methods(&self) -> impl Iterator<Item = &'static dyn Method> {
        let of_go = |method| self.go.is_some_and(|go| go.verify.contains(&method));
        let own = self.archive.and_then(|archive| archive.verify.as_ref());
        let own = own.map_or((false, false), |own| (own.checksum.is_some(), own.openpgp.is_some()));
        let all = METHODS.iter().copied().filter(|_| !self.verified);
        all.filter(move |method| match method.verify() {
            Verify::Checksum => own.0 || of_go(Verify::Checksum),
            Verify::Openpgp => own.1 || of_go(Verify::Openpgp),
            other => of_go(other),
        })
    }

    /// Whether what is in the file is asked about too, so that all of it has to be unpacked.
    pub fn asks_after(&self) -> bool {
        self.methods().any(|method| method.verify() == Verify::Sumdb)
    }

    /// Asks what is known before the file is had.
    pub async fn before(&self, resolved: &Resolved) -> Result<Demands, ExecError> {
        let asking = Asking { job: self, resolved };
        let mut demands = Demands { digest: resolved.wanted.digest, judges: Vec::new() };
        let by = match self.source {
            Source::Archive => "the recipe".to_owned(),
            other => other.name().to_owned(),
        };
        let mut said = demands.digest.map(|digest| Said { digest, by });
        for method in self.methods() {
            let failed = |source| self.failed(method, source);
            let before = method.before(&asking).await.map_err(failed)?;
            match (&said, before.said) {
                (Some(one), Some(other)) if one.digest != other.digest => {
                    return Err(failed(VerifyError::Disagree(Box::new(Disagreement {
                        file: resolved.file_name.clone(),
                        from: other.by,
                        says: other.digest,
                        other: one.by.clone(),
                        other_says: one.digest,
                    }))));
                }
                (None, Some(first)) => said = Some(first),
                _ => {}
            }
            before.evidence.into_iter().for_each(|evidence| self.found.add(evidence));
            demands.judges.extend(before.judge);
        }
        demands.digest = said.map(|said| said.digest);
        Ok(demands)
    }

    /// Asks about what was in it.
    pub async fn after(&self, archive: &Tree, version: &str) -> Result<(), ExecError> {
        for method in self.methods() {
            let after = method.after(self, archive, version).await;
            let evidence = after.map_err(|source| self.failed(method, source))?;
            evidence.into_iter().for_each(|evidence| self.found.add(evidence));
        }
        Ok(())
    }

    fn failed(&self, method: &dyn Method, source: VerifyError) -> ExecError {
        let (what, method) = (self.what.to_owned(), method.verify().name());
        ExecError::Verify { what, method, source: Box::new(source) }
    }
}

impl Asking<'_> {
    /// A place that the recipe names: an address, or a path from its folder.
    fn at(&self, text: &Text) -> Result<Vec<Place>, VerifyError> {
        Ok(vec![match text.value.contains("://") {
            true => Place::parse(&text.value)?,
            false => Place::File(self.workshop.folder.join(&text.value)),
        }])
    }

    /// The places beside those where the file is.
    fn beside(&self, suffix: &str) -> Vec<Place> {
        self.resolved.wanted.places.iter().map(|place| place.beside(suffix)).collect()
    }

    /// A small file.
    async fn file(&self, name: &str, places: Vec<Place>) -> Result<Vec<u8>, VerifyError> {
        Ok(self.workshop.fetcher.small_file(name, places, MOST).await?.0)
    }

    /// A small text.
    async fn text(&self, name: &str, places: Vec<Place>) -> Result<String, VerifyError> {
        let bytes = self.file(name, places).await?;
        String::from_utf8(bytes).map_err(|_| VerifyError::NotText(name.to_owned()))
    }

    /// What a list says of the file.
    fn listed(&self, text: &str, from: &str) -> Result<Digest, VerifyError> {
        let found = sums::find(text, &self.resolved.file_name);
        found.map_err(|source| VerifyError::Sums { from: from.to_owned(), source })
    }
}

/// Judges a file that is there already.
///
/// # Errors
/// What kept it from being read; inside, why it is refused.
pub(super) fn judge_file(
    mut file: File,
    judges: impl Iterator<Item = Box<dyn Judge>>,
) -> io::Result<Result<(), String>> {
    let mut judges: Vec<_> = judges.collect();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(judges.into_iter().try_for_each(|judge| judge.judge())),
            n => judges.iter_mut().for_each(|judge| judge.update(&buffer[..n])),
        }
    }
}
