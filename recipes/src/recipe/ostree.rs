//! The OSTree commits.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Text;
use crate::Arch;
use crate::schema::exactly_one;

/// The OSTree commits, one for each arch.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ostree {
    /// The ref; left out, `treelay/{{ name }}/{{ arch.uname }}`. With several arches it must name
    /// `{{ arch.uname }}` (or `{{ arch }}`).
    #[serde(rename = "ref", default)]
    pub refname: Option<Text>,
    /// The tree below the layers; left out, the layers are all there is. `/etc` of the layers becomes
    /// `/usr/etc`; directories and links in `/var` become lines of a file in `/usr/lib/tmpfiles.d`.
    #[serde(default)]
    pub base: Option<OstreeBase>,
    /// Paths of the base to leave out: absolute; `*` matches within one component, `**` any number of
    /// components.
    #[serde(default)]
    pub remove: Vec<Text>,
    /// Paths where a directory of the base may become a file or link of the layers, or the reverse:
    /// absolute. Elsewhere that is an error.
    #[serde(default)]
    pub replace: Vec<Text>,
    /// Whether hosts can boot the commits.
    #[serde(default)]
    pub bootable: Bootable,
    /// SELinux contexts of the layers' paths that the base's policy does not give, or gives
    /// otherwise.
    #[serde(default)]
    pub contexts: Vec<PathContext>,
    /// Metadata strings of the commits, beside those that treelay writes.
    #[serde(default)]
    pub metadata: BTreeMap<String, Text>,
    /// The collection id that the commits are bound to.
    #[serde(default)]
    pub collection: Option<Text>,
}

/// Whether hosts can boot a commit: whether it says so, and is checked for what booting needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bootable {
    /// If there is a kernel in the base or in the layers.
    #[default]
    Auto,
    /// Yes; anything else is an error.
    True,
    /// No; nothing is checked.
    False,
}

/// An SELinux context for paths of the layers, as `semanage fcontext --add` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PathContext {
    /// A regular expression for the whole path, absolute and as hosts have it, so with `/etc`:
    /// `/opt/tool(/.*)?`.
    pub path: Text,
    /// What it is for; left out, all of them.
    #[serde(rename = "type", default)]
    pub kind: Option<PathType>,
    /// The whole context, `system_u:object_r:bin_t:s0`, or only its type, `bin_t`; `<<none>>` for
    /// paths that shall have no label.
    pub context: Text,
}

/// What a path is, by the letter that `semanage fcontext --ftype` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum PathType {
    /// Regular files.
    #[serde(rename = "f")]
    File,
    /// Directories.
    #[serde(rename = "d")]
    Directory,
    /// Symbolic links.
    #[serde(rename = "l")]
    Link,
}

/// The tree below the layers: the commit that `ref` names when it is locked, or that `commit` names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = exactly_one(OstreeBase::PLACES)))]
pub struct OstreeBase {
    /// A local repository, relative to the recipe's file.
    #[serde(default)]
    pub repo: Option<Text>,
    /// A repository on a web server.
    #[serde(default)]
    pub remote: Option<OstreeRemote>,
    /// A container image: `oci:DIR[:TAG]` relative to the recipe's file, or
    /// `docker://HOST/REPO[:TAG]@sha256:…`. The commit that is encapsulated in it, or else one of its
    /// root; `ref` and `commit` say nothing then.
    #[serde(default)]
    pub image: Option<Text>,
    /// The ref; `{{ arch.uname }}` gives each arch its own. With `commit` too, the ref that the
    /// commit must be bound to.
    #[serde(rename = "ref", default)]
    pub refname: Option<Text>,
    /// The commit of each arch: 64 hex digits.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"$ref": "#/$defs/Arch"}))]
    pub commit: Option<BTreeMap<Arch, Text>>,
}

/// A repository on a web server, and who signs its commits. Of `ed25519-key` and `spki-key` one must
/// have signed, and the GPG key too where there is one; `unverified` takes whatever comes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OstreeRemote {
    /// Its address: https, or http on loopback.
    pub url: Text,
    /// A file of GPG keys, binary or armoured, relative to the recipe's file.
    #[serde(default)]
    pub gpg_key: Option<Text>,
    /// An ed25519 key as ostree has it: the base64 of 32 bytes.
    #[serde(default)]
    pub ed25519_key: Option<Text>,
    /// A file with a public key, PEM, relative to the recipe's file.
    #[serde(default)]
    pub spki_key: Option<Text>,
    /// A file of ed25519 and spki keys whose signatures do not count any more, relative to the
    /// recipe's file: lines of base64 as in ostree's `revoked.ed25519`, or PEM as in its `revoked.spki`.
    /// (GPG keys are revoked in `gpg-key` itself.)
    #[serde(default)]
    pub revoked_keys: Option<Text>,
    /// Takes commits that nobody vouches for: whoever has the server, or the way to it, has the hosts.
    #[serde(default)]
    pub unverified: bool,
}

impl OstreeBase {
    /// The keys that say where it is.
    pub(crate) const PLACES: &[&str] = &["repo", "remote", "image"];

    /// What the lock calls the base of an arch: the place, the ref, and a commit that the recipe
    /// pins. Of a recipe that was expanded.
    pub fn describe(&self, arch: Arch) -> String {
        let mut text = match (&self.repo, &self.remote, &self.image) {
            (Some(repo), ..) => format!("ostree:{repo}"),
            (_, Some(remote), _) => remote.url.value.clone(),
            (.., Some(image)) => image.value.clone(),
            (None, None, None) => String::new(),
        };
        if let Some(refname) = &self.refname {
            text.push(':');
            text.push_str(refname);
        }
        if let Some(commit) = self.commit.as_ref().and_then(|commits| commits.get(&arch)) {
            text.push('@');
            text.push_str(commit);
        }
        text
    }
}
