//! What the two kinds of bills of materials have in common: what they are of.

use treelay_recipes::{Arch, Digest};

use super::inventory::purl;

/// The image or commit of one arch that a document describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The product's name, by the recipe.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The arch.
    pub arch: Arch,
    /// What it is.
    pub form: Form,
    /// Seconds since 1970 that image and commit carry; the document's time too.
    pub epoch: u64,
    /// The base below the layers, for people: as the recipe has it, with its digest.
    pub base: Option<(String, Digest)>,
}

/// Image or commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An image, by the digest of its manifest.
    Image(Digest),
    /// An OSTree commit, by its checksum.
    Commit(Digest),
}

impl Described {
    /// The digest that it is.
    pub fn digest(&self) -> &Digest {
        match &self.form {
            Form::Image(digest) | Form::Commit(digest) => digest,
        }
    }

    /// Its package URL; commits have no kind of their own.
    pub fn purl(&self) -> String {
        match &self.form {
            Form::Image(digest) => {
                let arch = self.arch.oci();
                purl("oci", &self.name, Some(&digest.to_string()), &[("arch", arch)])
            }
            Form::Commit(checksum) => {
                let sum = checksum.to_string();
                let qualifiers = [("checksum", &*sum), ("arch", self.arch.uname())];
                purl("generic", &self.name, Some(&self.version), &qualifiers)
            }
        }
    }

    /// Bytes that stand for the document of a kind, and for no other.
    pub(super) fn identity(&self, kind: &str) -> Digest {
        Digest::of(format!("{kind} {}", self.digest()))
    }
}

/// The version of what these documents say: another one says more, or otherwise.
pub const FORM: &str = "sbom-1";
