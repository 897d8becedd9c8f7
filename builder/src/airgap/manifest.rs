//! The manifest of a bundle.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use treelay_layers::archive::Limits;
use treelay_recipes::Digest;

use super::error::BundleError;

/// What it is, as its `format` says.
const FORMAT: &str = "treelay bundle of inputs";
/// The version of the format.
const VERSION: u64 = 1;
/// Members that a bundle may have.
const MOST_MEMBERS: usize = 2_000_000;
/// Bytes that what is held in memory may have: all recipes and locks together, a manifest of an image
/// (as for registries), the text of a tree (a million paths).
const MOST_TEXTS: u64 = 64 << 20;
const MOST_OF_IMAGE: u64 = 4 << 20;
const MOST_OF_TREE: u64 = 256 << 20;

/// Everything that is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u64,
    /// The recipes that it is for, sorted by the names of their files.
    pub recipes: Vec<CarriedRecipe>,
    /// Manifests of base images; each is an object, and so is what it names.
    pub images: Vec<Digest>,
    /// Base commits.
    pub commits: Vec<CarriedCommit>,
    /// Every other member of the tar, in its order.
    pub members: Vec<Member>,
}

/// A recipe and its lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriedRecipe {
    /// The name of its file: `go-sdk.yaml`.
    pub file: String,
    /// Its text, an object.
    pub recipe: Digest,
    /// The text of its lock, an object.
    pub lock: Digest,
    /// What it needs beside that, in words: what lies in the recipe's folder is not carried.
    pub beside: Vec<String>,
}

/// A base commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriedCommit {
    /// The address that the recipe has it from.
    pub url: String,
    /// Its checksum.
    pub commit: Digest,
}

/// A member of the tar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// What it is.
    pub sha256: Digest,
}

/// What a member is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'p> {
    Object(Digest),
    Tree(Digest),
    /// A file of an object of a commit, relative to the folder of objects.
    Commit(Digest, &'p str),
}

impl Member {
    /// What it is; `None` where the name is none that a bundle has.
    pub(super) fn kind(&self) -> Option<Kind<'_>> {
        let (room, rest) = self.path.split_once('/')?;
        match room {
            "objects" => Digest::from_hex(rest).ok().map(Kind::Object),
            "trees" => Digest::from_hex(rest).ok().map(Kind::Tree),
            "commits" => {
                let (commit, file) = rest.split_once('/')?;
                let commit = Digest::from_hex(commit).ok()?;
                is_object_file(file).then_some(Kind::Commit(commit, file))
            }
            _ => None,
        }
    }
}

/// `ab/cdef….filez`, as an archive repository has it.
fn is_object_file(file: &str) -> bool {
    let Some((object, kind)) = file.split_once('.') else { return false };
    let Some((start, rest)) = object.split_once('/') else { return false };
    start.len() == 2
        && Digest::from_hex(&format!("{start}{rest}")).is_ok()
        && ["commit", "commitmeta", "dirmeta", "dirtree", "filez"].contains(&kind)
}

impl Manifest {
    pub(super) fn new(
        mut recipes: Vec<CarriedRecipe>,
        images: Vec<Digest>,
        commits: Vec<CarriedCommit>,
        mut members: Vec<Member>,
    ) -> Self {
        recipes.sort();
        members.sort();
        let format = FORMAT.to_owned();
        Self { format, version: VERSION, recipes, images, commits, members }
    }

    /// As it is written.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads the manifest of a bundle whose file is `size` bytes long.
    ///
    /// # Errors
    /// [`BundleError`]: it is of something else, or says what a bundle cannot hold.
    pub fn parse(json: &[u8], size: u64) -> Result<Self, BundleError> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Any {
            format: String,
            version: u64,
        }
        let not = |error: serde_json::Error| BundleError::NotABundle(error.to_string());
        let any: Any = serde_json::from_slice(json).map_err(not)?;
        if any.format != FORMAT {
            return Err(BundleError::NotABundle("its manifest is of something else".to_owned()));
        }
        if any.version != VERSION {
            return Err(BundleError::Version { found: any.version });
        }
        let refuse = |error: serde_json::Error| BundleError::Manifest(error.to_string());
        let manifest: Self = serde_json::from_slice(json).map_err(refuse)?;
        manifest.check(size).map_err(BundleError::Manifest)?;
        Ok(manifest)
    }

    /// The length of all members, in bytes.
    pub fn total(&self) -> u64 {
        self.members.iter().map(|member| member.size).sum()
    }

    fn check(&self, size: u64) -> Result<(), String> {
        let limits = Limits::default();
        if self.members.len() > MOST_MEMBERS {
            return Err(format!("it lists over {MOST_MEMBERS} members"));
        }
        let mut total: u64 = 0;
        let mut there = BTreeMap::new();
        for (at, member) in self.members.iter().enumerate() {
            let path = &member.path;
            match member.kind() {
                None => return Err(format!("it lists {path:?}, which is no name of a member")),
                Some(Kind::Object(digest) | Kind::Tree(digest)) if digest != member.sha256 => {
                    return Err(format!("{path} is listed with another digest"));
                }
                _ => {}
            }
            if at > 0 && self.members[at - 1].path >= *path {
                return Err(format!("{path} is listed twice or out of order"));
            }
            let most = match member.kind() {
                Some(Kind::Tree(_)) => MOST_OF_TREE,
                _ => limits.file_bytes,
            };
            if member.size > most {
                return Err(format!("{path} is over {most} bytes"));
            }
            total = total.saturating_add(member.size);
            there.insert(path.as_str(), member.size);
        }
        let most = size.saturating_mul(limits.ratio).max(Limits::RATIO_FLOOR);
        if total > most {
            return Err(format!("it lists {total} bytes, over {} times the file", limits.ratio));
        }
        let needs = |path: String| match there.get(path.as_str()) {
            Some(size) => Ok(*size),
            None => Err(format!("it names {path}, which it does not list")),
        };
        let mut names = BTreeMap::new();
        let mut texts: u64 = 0;
        for recipe in &self.recipes {
            if !is_plain(&recipe.file) {
                return Err(format!("a recipe is called {:?}", recipe.file));
            }
            if names.insert(stem(&recipe.file), ()).is_some() {
                return Err(format!("two recipes are called {:?}", recipe.file));
            }
            for text in [&recipe.recipe, &recipe.lock] {
                texts = texts.saturating_add(needs(object(text))?);
            }
        }
        if texts > MOST_TEXTS {
            return Err(format!("its recipes and locks are over {MOST_TEXTS} bytes"));
        }
        for image in &self.images {
            if needs(object(image))? > MOST_OF_IMAGE {
                let path = object(image);
                return Err(format!(
                    "{path}, a manifest of an image, is over {MOST_OF_IMAGE} bytes"
                ));
            }
        }
        for commit in &self.commits {
            let hex = commit.commit.hex();
            needs(format!("commits/{hex}/{}/{}.commit", &hex[..2], &hex[2..]))?;
        }
        let known: BTreeSet<Digest> = self.commits.iter().map(|one| one.commit).collect();
        for member in &self.members {
            if let Some(Kind::Commit(commit, _)) = member.kind()
                && !known.contains(&commit)
            {
                return Err(format!("{} is of a commit that it does not name", member.path));
            }
        }
        Ok(())
    }
}

/// The name of an object in the tar.
pub(super) fn object(digest: &Digest) -> String {
    format!("objects/{}", digest.hex())
}

/// Whether a name is that of a recipe in any folder, and nothing else: `go-sdk.yaml`.
pub(super) fn is_plain(file: &str) -> bool {
    let usual = |letter: char| letter.is_ascii_alphanumeric() || "._-+".contains(letter);
    let named = file.strip_suffix(".yaml").or(file.strip_suffix(".yml"));
    named.is_some_and(|name| !name.is_empty())
        && file.len() <= 200
        && !file.starts_with('.')
        && file.chars().all(usual)
}

/// What the file of the lock is called after.
pub(super) fn stem(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}
