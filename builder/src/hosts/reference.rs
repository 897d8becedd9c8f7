//! [`Reference`]: the name of an image, as docker and containers/image have it.

use std::fmt;
use std::str::FromStr;

use treelay_recipes::Digest;

use crate::image_store::{ImageRef, Repository, is_tag};

/// `HOST[:PORT]/PATH[:TAG][@DIGEST]`, normalised: `alpine` is `docker.io/library/alpine`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The repository.
    pub repository: Repository,
    /// The tag.
    pub tag: Option<String>,
    /// The digest.
    pub digest: Option<Digest>,
}

/// Why a text is not a [`Reference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of an image: {reason}")]
pub struct NotAReference {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Reference {
    /// An image of a registry, as hosts ask for it: without a tag or digest, `latest` is meant.
    pub fn of(repository: &Repository, image: &ImageRef) -> Self {
        let (tag, digest) = match image {
            ImageRef::Default => (Some("latest".to_owned()), None),
            ImageRef::Tag(tag) => (Some(tag.clone()), None),
            ImageRef::Digest(digest) => (None, Some(*digest)),
        };
        Self { repository: repository.clone(), tag, digest }
    }

    /// Whether it has neither tag nor digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        let wrong = |reason: String| NotAReference { text: text.to_owned(), reason };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse::<Digest>().map_err(|error| wrong(error.to_string()))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        // A colon behind the last slash begins a tag; one before it, a port.
        let (name, tag) = match name.rfind(':').filter(|at| !name[*at..].contains('/')) {
            Some(at) => (&name[..at], Some(&name[at + 1..])),
            None => (name, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(wrong(format!("{tag:?} is not a tag")));
        }
        let repository = name.parse::<Repository>().map_err(|error| wrong(error.reason.into()))?;
        Ok(Self { repository, tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        let digest = Digest::of("x");
        for (text, again) in [
            ("alpine".to_owned(), "docker.io/library/alpine".to_owned()),
            ("alpine:3".to_owned(), "docker.io/library/alpine:3".to_owned()),
            ("h.example:5000/a".to_owned(), "h.example:5000/a".to_owned()),
            (format!("h.example/a:t@{digest}"), format!("h.example/a:t@{digest}")),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), again);
        }
        for text in ["", "A", "a:", "a:.x", "a@sha256:1", "h.example/", "/a", "a:b:c"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!("h.example:5000/a".parse::<Reference>().unwrap().is_name_only());
    }
}
