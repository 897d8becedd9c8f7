//! The image that a recipe's layers lie on.

use std::fmt;

use crate::Digest;
use crate::check::grammar;

/// Where the image below the layers is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// None: the layers are all there is.
    Scratch,
    /// In a local OCI layout.
    Layout {
        /// The layout's directory, relative to the recipe's file.
        dir: String,
        /// The tag; left out, the only image of the layout.
        tag: Option<String>,
    },
    /// In a registry.
    Registry {
        /// Host and repository, perhaps with a tag, which says nothing here but to people.
        name: String,
        /// What is meant, whatever the tag names by now.
        digest: Digest,
    },
}

impl Base {
    /// Reads `scratch`, `oci:DIR[:TAG]` or `docker://HOST/REPO[:TAG]@sha256:…`.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "scratch" {
            return Ok(Self::Scratch);
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (dir, tag) = match rest.rsplit_once(':') {
                Some((dir, tag)) if !tag.contains('/') => (dir, Some(tag)),
                _ => (rest, None),
            };
            if tag.is_some_and(str::is_empty) {
                return Err("has an empty tag");
            }
            grammar::local_path(dir).map_err(|_| "names no directory")?;
            return Ok(Self::Layout { dir: dir.to_owned(), tag: tag.map(str::to_owned) });
        }
        let Some(rest) = text.strip_prefix("docker://") else {
            return Err("is none of scratch, oci:DIR[:TAG] and docker://HOST/REPO@sha256:…");
        };
        let Some((name, digest)) = rest.split_once('@') else {
            return Err("is not pinned: a name in a registry may mean another image tomorrow");
        };
        grammar::reference(name)?;
        let digest =
            digest.parse().map_err(|_| "has a digest that is not sha256: and 64 hex digits")?;
        Ok(Self::Registry { name: name.to_owned(), digest })
    }
}

/// As annotations name it: without what only holds on one machine or at one time.
impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scratch => f.write_str("scratch"),
            Self::Layout { dir, tag: None } => write!(f, "oci:{dir}"),
            Self::Layout { dir, tag: Some(tag) } => write!(f, "oci:{dir}:{tag}"),
            Self::Registry { name, .. } => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_what_is_none() {
        let digest = Digest::of("x");
        let pinned = format!("docker://r.example/tools/base:1@{digest}");
        for (text, shown) in [
            ("scratch", "scratch"),
            ("oci:base", "oci:base"),
            ("oci:../a/base:1.2", "oci:../a/base:1.2"),
            ("oci:/a:b/c", "oci:/a:b/c"),
            (pinned.as_str(), "r.example/tools/base:1"),
        ] {
            assert_eq!(Base::parse(text).unwrap().to_string(), shown);
        }
        for (text, reason) in [
            ("", "none of scratch"),
            ("debian:12", "none of scratch"),
            ("oci:", "no directory"),
            ("oci:a:", "empty tag"),
            ("docker://r.example/a:1", "not pinned"),
            ("docker://debian@sha256:00", "must start with the registry's host"),
            ("docker://r.example/a@sha256:00", "64 hex digits"),
        ] {
            let wrong = Base::parse(text).unwrap_err();
            assert!(wrong.contains(reason), "{text}: {wrong}");
        }
    }
}
