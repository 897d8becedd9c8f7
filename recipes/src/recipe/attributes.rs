//! What a recipe may say of a path beside its content.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{FileEntry, Text};

/// What a layer's path has beside what its kind gives it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PathAttributes {
    /// A path that the layer has: absolute.
    pub path: Text,
    /// Permission bits as octal text, `"0644"`.
    #[serde(default)]
    pub mode: Option<Text>,
    /// Owner.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Group.
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

/// What is said of one path, whoever says it.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// The path.
    pub path: &'a Text,
    /// Permission bits.
    pub mode: Option<&'a Text>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Extended attributes.
    pub xattrs: &'a BTreeMap<String, Text>,
    /// File capabilities.
    pub caps: Option<&'a Text>,
}

impl PathAttributes {
    /// The attributes; owner and group are those of `user` once the recipe has been expanded.
    pub fn attributes(&self) -> Attributes<'_> {
        let Self { path, mode, uid, gid, user: _, xattrs, caps } = self;
        Attributes { path, mode: mode.as_ref(), uid: *uid, gid: *gid, xattrs, caps: caps.as_ref() }
    }
}

impl FileEntry {
    /// The attributes; owner and group are those of `user` once the recipe has been expanded.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes {
            path: &self.path,
            mode: self.mode.as_ref(),
            uid: self.uid,
            gid: self.gid,
            xattrs: &self.xattrs,
            caps: self.caps.as_ref(),
        }
    }
}
