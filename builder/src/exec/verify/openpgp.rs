//! `openpgp`: who has signed the file, or the list of checksums that has it.

use std::sync::Arc;

use treelay_recipes::lock::Evidence;
use treelay_recipes::recipe::{OpenPgp as Options, Over, Text, Verify};
use treelay_signing::openpgp::{
    ClearSigned, Detached, GO_RELEASE, GO_RELEASE_CERTIFICATE, Good, Stream, Trust,
};

use super::{Asking, Before, Doing, Found, Method, Said, VerifyError};
use crate::fetch::Judge;

pub(super) struct OpenPgp;

impl Method for OpenPgp {
    fn verify(&self) -> Verify {
        Verify::Openpgp
    }

    fn before<'a>(&'a self, job: &'a Asking<'a>) -> Doing<'a, Before> {
        Box::pin(async move {
            let verify = job.archive.and_then(|archive| archive.verify.as_ref());
            let list = verify.and_then(|verify| verify.checksum.as_ref());
            match verify.and_then(|verify| verify.openpgp.as_ref()) {
                Some(options) => by_recipe(job, options, list).await,
                None => {
                    let pin = GO_RELEASE.parse()?;
                    let trust = Trust::new(&[GO_RELEASE_CERTIFICATE], &[pin])?;
                    let from = format!("{}.asc", job.resolved.file_name);
                    let signature = job.file(&from, job.beside(".asc")).await?;
                    over_file(job, &from, &signature, trust)
                }
            }
        })
    }
}

/// As the recipe says: which keys, and over what.
async fn by_recipe(
    job: &Asking<'_>,
    options: &Options,
    list: Option<&Text>,
) -> Result<Before, VerifyError> {
    let trust = trust(job, options)?;
    let from = options.signature.value.clone();
    let signature = job.file(&from, job.at(&options.signature)?).await?;
    let now = job.workshop.now;
    let bad = |source| VerifyError::Signature { from: from.clone(), source };
    let (text, good, name) = match (options.over, list) {
        (Over::Archive, _) => return over_file(job, &from, &signature, trust),
        _ if ClearSigned::is_one(&signature) => {
            let clear = ClearSigned::parse(&signature).map_err(bad)?;
            let not_good = |source| VerifyError::NotGood { from: from.clone(), source };
            let (text, good) = clear.verify(&trust, now).map_err(not_good)?;
            (text.to_vec(), good, from.clone())
        }
        (Over::Checksum, list) => {
            // The recipe's check has seen that there is one.
            let list = list.unwrap_or(&options.signature);
            let name = list.value.clone();
            let text = job.file(&name, job.at(list)?).await?;
            let detached = Detached::parse(&signature).map_err(bad)?;
            let not_good = |source| VerifyError::NotGood { from: name.clone(), source };
            let good = detached.verify(&text, &trust, now).map_err(not_good)?;
            (text, good, name)
        }
    };
    // What was verified is what is read: another answer to the same question could be another list.
    let text = String::from_utf8(text).map_err(|_| VerifyError::NotText(name.clone()))?;
    let digest = job.listed(&text, &name)?;
    let evidence = vec![evidence(good, Some(name.clone()))];
    Ok(Before { said: Some(Said { digest, by: name }), evidence, judge: None })
}

fn trust(job: &Asking<'_>, options: &Options) -> Result<Trust, VerifyError> {
    let mut files = Vec::new();
    for key in &options.keys {
        let path = job.workshop.folder.join(&key.value);
        let read = std::fs::read(&path);
        files.push(read.map_err(|source| VerifyError::KeyFile { path, source })?);
    }
    let pins = options.fingerprints.iter().map(|text| text.value.parse());
    let pins = pins.collect::<Result<Vec<_>, _>>()?;
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    Ok(Trust::new(&files, &pins)?)
}

/// The file is hashed for its signatures while it comes.
fn over_file(
    job: &Asking<'_>,
    from: &str,
    signature: &[u8],
    trust: Trust,
) -> Result<Before, VerifyError> {
    if ClearSigned::is_one(signature) {
        return Err(VerifyError::ClearSigned { from: from.to_owned() });
    }
    let detached = Detached::parse(signature)
        .map_err(|source| VerifyError::Signature { from: from.to_owned(), source })?;
    let (found, now) = (job.found.clone(), job.workshop.now);
    let judge = move || {
        let stream = detached.stream(&trust);
        Box::new(Signed { stream, found: found.clone(), now }) as Box<dyn Judge>
    };
    Ok(Before { said: None, evidence: Vec::new(), judge: Some(Box::new(judge)) })
}

struct Signed {
    stream: Stream,
    found: Arc<Found>,
    now: u64,
}

impl Judge for Signed {
    fn update(&mut self, bytes: &[u8]) {
        self.stream.update(bytes);
    }

    fn judge(self: Box<Self>) -> Result<(), String> {
        let good = self.stream.finish(self.now);
        let good = good.map_err(|error| format!("`verify: openpgp`: {error}"))?;
        self.found.add(evidence(good, None));
        Ok(())
    }
}

fn evidence(good: Good, list: Option<String>) -> Evidence {
    let Good { primary, signer, made, hash, others: _ } = good;
    let (key, signer) = (primary.to_string(), signer.to_string());
    Evidence::Openpgp { key, signer, made, hash, list }
}
