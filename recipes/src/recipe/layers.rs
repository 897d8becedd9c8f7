//! Layers: the options of each kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CertificatesLayer, GoBuildLayer, PathAttributes, Text, TzdataLayer, UsersLayer};
use crate::Arch;
use crate::schema::exactly_one;

/// One layer: its name, and one key that names its kind.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = exactly_one(LayerKind::NAMES)))]
pub struct Layer {
    /// What the layer is called, once in a recipe.
    pub name: Text,
    /// The arches that have this layer; left out, all of the recipe's.
    #[serde(default)]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub arch: Option<Vec<Arch>>,
    /// Whether what is the same on every arch becomes one layer that all of them share.
    #[serde(default)]
    pub share: Share,
    /// Whether its programs and libraries must be such that the image can load them.
    #[serde(default)]
    pub elf: ElfCheck,
    /// A Go distribution.
    #[serde(default)]
    pub go_toolchain: Option<GoToolchainLayer>,
    /// Go programs, built here.
    #[serde(default)]
    pub go_build: Option<GoBuildLayer>,
    /// Single files, links and directories.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub files: Option<FilesLayer>,
    /// A local tree.
    #[serde(default)]
    pub directory: Option<DirectoryLayer>,
    /// What is in an archive.
    #[serde(default)]
    pub archive: Option<ArchiveLayer>,
    /// Accounts: passwd, group and homes.
    #[serde(default)]
    pub users: Option<UsersLayer>,
    /// Certificate authorities.
    #[serde(default)]
    pub certificates: Option<CertificatesLayer>,
    /// Time zones.
    #[serde(default)]
    pub tzdata: Option<TzdataLayer>,
    /// What single paths of the layer have beside what its kind gives them: mode, owner, extended
    /// attributes, file capabilities.
    #[serde(default)]
    pub attributes: Vec<PathAttributes>,
}

/// Whether a layer is split into a part that all arches share and the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// Split where it pays.
    #[default]
    Auto,
    /// Never split.
    Never,
}

/// What is asked of the ELF files of a layer that are executable, or libraries by their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ElfCheck {
    /// The image has their loader, of the C library that they were linked for, and their libraries,
    /// in versions that will do. On a base, what has not is refused; from scratch, it is told.
    #[default]
    Loadable,
    /// Nothing.
    Unchecked,
}

/// The kind of a layer with its options, as [`Layer::kind`] gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LayerKind<'a> {
    /// `go-toolchain`
    GoToolchain(&'a GoToolchainLayer),
    /// `go-build`
    GoBuild(&'a GoBuildLayer),
    /// `files`
    Files(&'a FilesLayer),
    /// `directory`
    Directory(&'a DirectoryLayer),
    /// `archive`
    Archive(&'a ArchiveLayer),
    /// `users`
    Users(&'a UsersLayer),
    /// `certificates`
    Certificates(&'a CertificatesLayer),
    /// `tzdata`
    Tzdata(&'a TzdataLayer),
}

impl Layer {
    /// The kind of the layer with its options. `None` when the layer has no kind or several, which
    /// cannot be once [`Recipe::parse`](super::Recipe::parse) has accepted it.
    pub fn kind(&self) -> Option<LayerKind<'_>> {
        let mut kinds = [
            self.go_toolchain.as_ref().map(LayerKind::GoToolchain),
            self.go_build.as_ref().map(LayerKind::GoBuild),
            self.files.as_ref().map(LayerKind::Files),
            self.directory.as_ref().map(LayerKind::Directory),
            self.archive.as_ref().map(LayerKind::Archive),
            self.users.as_ref().map(LayerKind::Users),
            self.certificates.as_ref().map(LayerKind::Certificates),
            self.tzdata.as_ref().map(LayerKind::Tzdata),
        ]
        .into_iter()
        .flatten();
        let kind = kinds.next();
        kinds.next().is_none().then_some(kind).flatten()
    }

    /// Whether `arch` has this layer.
    pub fn is_for(&self, arch: Arch) -> bool {
        self.arch.as_ref().is_none_or(|arches| arches.contains(&arch))
    }
}

impl LayerKind<'_> {
    /// The keys that name a kind.
    pub const NAMES: &'static [&'static str] = &[
        "go-toolchain",
        "go-build",
        "files",
        "directory",
        "archive",
        "users",
        "certificates",
        "tzdata",
    ];

    /// The key that names this kind.
    pub fn name(&self) -> &'static str {
        match self {
            LayerKind::GoToolchain(_) => "go-toolchain",
            LayerKind::GoBuild(_) => "go-build",
            LayerKind::Files(_) => "files",
            LayerKind::Directory(_) => "directory",
            LayerKind::Archive(_) => "archive",
            LayerKind::Users(_) => "users",
            LayerKind::Certificates(_) => "certificates",
            LayerKind::Tzdata(_) => "tzdata",
        }
    }
}

/// A Go distribution under a prefix.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GoToolchainLayer {
    /// The input of kind `go-toolchain`.
    pub input: Text,
    /// Where GOROOT is: absolute, such as `/usr/lib/golang`.
    pub prefix: Text,
    /// The folder that gets links to `go` and `gofmt`; none when left out.
    #[serde(default)]
    pub link: Option<Text>,
}

/// Single files, links and directories.
pub type FilesLayer = Vec<FileEntry>;

/// One path of a `files` layer. Exactly one of `content`, `source`, `link`, `dir` says what it is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = exactly_one(&["content", "source", "link", "dir"])))]
pub struct FileEntry {
    /// Where it is in the tree: absolute.
    pub path: Text,
    /// The file's text.
    #[serde(default)]
    pub content: Option<Text>,
    /// A local file to copy, relative to the recipe's.
    #[serde(default)]
    pub source: Option<Text>,
    /// The target of a symbolic link.
    #[serde(default)]
    pub link: Option<Text>,
    /// `true`: an empty directory.
    #[serde(default)]
    pub dir: Option<bool>,
    /// Permission bits as octal text, `"0644"`; left out, 0644 for files (0755 where the source is
    /// executable) and 0755 for directories.
    #[serde(default)]
    pub mode: Option<Text>,
    /// Owner; 0 when left out.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Group; 0 when left out.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Owner and group by the name of an account: `root`, or one of a `users` layer.
    #[serde(default)]
    pub user: Option<Text>,
    /// Extended attributes: name to text.
    #[serde(default)]
    pub xattrs: BTreeMap<String, Text>,
    /// File capabilities as `setcap` takes them: `cap_net_bind_service=ep`.
    #[serde(default)]
    pub caps: Option<Text>,
}

/// A local tree under a prefix.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DirectoryLayer {
    /// The local directory, relative to the recipe's file.
    pub source: Text,
    /// Where its content goes: absolute, `/` for the root.
    pub prefix: Text,
    /// Owner of every entry; 0 when left out.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Group of every entry; 0 when left out.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Permission bits of files, octal text; left out, 0644, or 0755 where the owner may execute.
    #[serde(default)]
    pub mode: Option<Text>,
    /// Paths to leave out: `*` matches within one component, `**` any number of components.
    #[serde(default)]
    pub exclude: Vec<Text>,
}

/// What is in an archive or a commit, under a prefix. Modes and attributes are the archive's;
/// everything is root's.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ArchiveLayer {
    /// The input of kind `archive`, `pypi` or `git`.
    pub input: Text,
    /// Where its content goes: absolute, `/` for the root.
    pub prefix: Text,
}
