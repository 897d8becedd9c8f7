//! `checksum`: what the publisher says that the file is.

use treelay_recipes::lock::Evidence;
use treelay_recipes::recipe::{Source, Verify};

use super::{Asking, Before, Doing, Method, Said};

/// What evidence calls a digest that the recipe itself has.
const RECIPE: &str = "recipe";

pub(super) struct Checksum;

impl Method for Checksum {
    fn verify(&self) -> Verify {
        Verify::Checksum
    }

    fn before<'a>(&'a self, job: &'a Asking<'a>) -> Doing<'a, Before> {
        Box::pin(async move {
            if !Verify::Checksum.is_shown(job.source) {
                return Ok(Before::default());
            }
            let own = job.archive.and_then(|archive| archive.verify.as_ref()?.checksum.as_ref());
            let (from, digest) = match (own, job.resolved.wanted.digest) {
                (Some(place), _) => (place.value.clone(), None),
                (None, Some(digest)) if job.source == Source::Archive => {
                    (RECIPE.to_owned(), Some(digest))
                }
                (None, Some(digest)) => (job.source.name().to_owned(), Some(digest)),
                (None, None) => (format!("{}.sha256", job.resolved.file_name), None),
            };
            let digest = match (digest, own) {
                (Some(digest), _) => digest,
                (None, Some(place)) => {
                    job.listed(&job.list(&from, job.at(place)?).await?, &from)?
                }
                (None, None) => {
                    job.listed(&job.list(&from, job.beside(".sha256")).await?, &from)?
                }
            };
            let said = Said { digest, by: from.clone() };
            Ok(Before {
                said: Some(said),
                evidence: vec![Evidence::Checksum { from }],
                judge: None,
            })
        })
    }
}
