//! What a verifier insists on: attestations that a subject must have.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use treelay_recipes::Digest;
use treelay_signing::PublicKey;

use super::find::{Attestation, AttestationForm, Found, find};
use super::{AttestError, NotAType, PredicateType, find_of_commit};
use crate::image_store::{Descriptor, ImageStore, Parts, Platform, StoreError};
use crate::ostree_repo::Repository;

/// An attestation that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Required {
    /// SLSA provenance v1.
    Provenance,
    /// A bill of materials, SPDX or CycloneDX.
    Sbom,
    /// A statement of this type.
    Type(PredicateType),
}

impl Required {
    /// Whether an attestation is what is required; an error where it only says so.
    fn takes(&self, attestation: &Attestation) -> Result<bool, String> {
        let Ok(kind) = attestation.predicate_type.parse::<PredicateType>() else {
            return Ok(false);
        };
        let fits = match self {
            Self::Provenance => kind == PredicateType::provenance(),
            Self::Sbom => kind.is_sbom(),
            Self::Type(wanted) => kind == *wanted,
        };
        match kind.check(&attestation.predicate) {
            Err(missing) if fits => Err(format!("is no {kind} document: it has no {missing:?}")),
            _ => Ok(fits),
        }
    }

    /// Whether a statement about an index is one about all that the index names. What is in an image
    /// is not the same on every arch.
    fn is_inherited(&self) -> bool {
        match self {
            Self::Provenance => true,
            Self::Sbom => false,
            Self::Type(kind) => !kind.is_sbom(),
        }
    }
}

impl FromStr for Required {
    type Err = NotAType;

    fn from_str(text: &str) -> Result<Self, NotAType> {
        match text {
            "provenance" => Ok(Self::Provenance),
            "sbom" => Ok(Self::Sbom),
            other => other.parse().map(Self::Type),
        }
    }
}

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provenance => f.write_str("provenance"),
            Self::Sbom => f.write_str("sbom"),
            Self::Type(kind) => kind.fmt(f),
        }
    }
}

/// Whether a subject has what is required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// What is required.
    pub required: String,
    /// The subject, as people know it.
    pub name: String,
    /// Its digest.
    pub subject: Digest,
    /// The attestation that is good; none where the requirement is not met.
    pub by: Option<MetBy>,
    /// Why other attestations do not count, where none is good.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The attestation that meets a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MetBy {
    /// Its type.
    #[serde(rename = "type")]
    pub predicate_type: String,
    /// The fingerprint of the key that signed it.
    pub key: String,
    /// In which form it was found.
    pub form: AttestationForm,
    /// Where.
    pub digest: Digest,
}

impl Requirement {
    /// Whether it is met.
    pub fn is_met(&self) -> bool {
        self.by.is_some()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { required, name, subject, by, reasons } = self;
        match by {
            Some(by) => write!(f, "{required} of {name} signed by {}", by.key)?,
            None => write!(f, "no {required} of {name} ({subject}) that one of the keys signed")?,
        }
        reasons.iter().try_for_each(|reason| write!(f, "; {reason}"))
    }
}

/// Looks whether every image below `root`, which is a digest and not a tag that could move, has what
/// is required.
///
/// # Errors
/// What reading meets.
pub async fn require(
    images: &dyn ImageStore,
    root: &Digest,
    required: &[Required],
    keys: &[PublicKey],
) -> Result<Vec<Requirement>, StoreError> {
    let mut all = Vec::new();
    if required.is_empty() {
        return Ok(all);
    }
    let subjects = subjects(images, root).await?;
    let of_root = find(images, root, None, keys).await?;
    let is_index = subjects.len() > 1;
    for (name, subject) in subjects.iter().skip(usize::from(is_index)) {
        let own = match is_index {
            true => find(images, &subject.digest, None, keys).await?,
            false => Found::default(),
        };
        for required in required {
            let inherited = !is_index || required.is_inherited();
            let above = [&of_root].into_iter().filter(|_| inherited);
            all.push(meet(required, name, &subject.digest, [&own].into_iter().chain(above)));
        }
    }
    Ok(all)
}

/// Looks whether a commit has what is required.
///
/// # Errors
/// What reading the repository meets.
pub fn require_of_commit(
    repository: &Repository,
    name: &str,
    commit: &Digest,
    required: &[Required],
    keys: &[PublicKey],
) -> Result<Vec<Requirement>, AttestError> {
    let found = find_of_commit(repository, commit, None, keys)?;
    Ok(required.iter().map(|required| meet(required, name, commit, [&found])).collect())
}

fn meet<'f>(
    required: &Required,
    name: &str,
    subject: &Digest,
    found: impl IntoIterator<Item = &'f Found>,
) -> Requirement {
    let (mut by, mut reasons) = (None, Vec::new());
    for found in found {
        for attestation in &found.good {
            match required.takes(attestation) {
                Ok(true) if by.is_none() => {
                    by = Some(MetBy {
                        predicate_type: attestation.predicate_type.clone(),
                        key: attestation.key.clone(),
                        form: attestation.form,
                        digest: attestation.digest,
                    });
                }
                Ok(_) => {}
                Err(reason) => reasons.push(format!("{} {reason}", attestation.digest)),
            }
        }
        let refused = found.refused.iter();
        reasons.extend(refused.map(|(digest, reason)| format!("{digest}: {reason}")));
        if found.cut {
            reasons.push("there are more attestations than are read".to_owned());
        }
    }
    if by.is_some() {
        reasons.clear();
    }
    let (required, name, subject) = (required.to_string(), name.to_owned(), *subject);
    Requirement { required, name, subject, by, reasons }
}

/// What documents may be about: an image's index, first, and every manifest that it names, each with
/// what people call it.
///
/// # Errors
/// What reading meets.
pub async fn subjects(
    images: &dyn ImageStore,
    root: &Digest,
) -> Result<Vec<(String, Descriptor)>, StoreError> {
    let manifest = images.manifest(root).await?;
    let mut subjects = vec![("index".to_owned(), manifest.descriptor())];
    match manifest.parts(&images.place())? {
        Parts::Image { .. } => "image".clone_into(&mut subjects[0].0),
        Parts::Index(children) => {
            subjects.extend(children.into_iter().map(|child| (name(&child), child)));
        }
    }
    Ok(subjects)
}

/// As users of images write a platform: `linux/arm64/v8`.
fn name(child: &Descriptor) -> String {
    let Some(platform) = &child.platform else { return "manifest".to_owned() };
    let Platform { os, architecture, variant } = platform;
    let variant = variant.as_ref().map_or(String::new(), |variant| format!("/{variant}"));
    format!("{os}/{architecture}{variant}")
}
