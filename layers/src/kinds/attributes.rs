//! Attributes of single paths: mode, owner, extended attributes, file capabilities. The `files`
//! kind has them for its own paths, and any layer may have `attributes` on top of what its kind
//! makes; both are understood here.

use serde_json::{Value, json};
use treelay_recipes::recipe::{Attributes, Layer, PathAttributes};
use treelay_recipes::{Arch, FileCaps};

use super::{Given, Kind, KindError, Need, absolute, mode, of, wrong};
use crate::action::Action;
use crate::tree::{Owner, Xattrs};
use crate::{ContentSink, Entry, Node, Tree, TreePath};

/// What is said of one path, understood.
pub(super) struct Wanted {
    pub path: TreePath,
    pub mode: Option<u16>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// With the capabilities among them.
    pub xattrs: Xattrs,
}

impl Wanted {
    pub(super) fn new(said: Attributes<'_>) -> Result<Self, KindError> {
        let path = absolute(said.path)?.ok_or_else(|| {
            wrong(said.path, "the root is always a directory and is not a layer's")
        })?;
        let mut xattrs = Xattrs::new();
        for (name, value) in said.xattrs {
            // An attribute is in a namespace (xattr(7)).
            let parts = name.split_once('.');
            if !parts.is_some_and(|(space, name)| !space.is_empty() && !name.is_empty())
                || name.contains('\0')
            {
                let reason =
                    format!("{name:?} is no extended attribute: expected user.NAME or alike");
                return Err(wrong(value, reason));
            }
            xattrs.push((name.clone(), value.as_bytes().to_vec()));
        }
        if let Some(text) = said.caps {
            let caps = FileCaps::parse(text)
                .map_err(|error| wrong(text, format!("{:?} {error}", &**text)))?;
            xattrs.push((FileCaps::XATTR.to_owned(), caps.to_xattr().to_vec()));
        }
        xattrs.sort();
        Ok(Self {
            path,
            mode: said.mode.map(mode).transpose()?,
            uid: said.uid,
            gid: said.gid,
            xattrs,
        })
    }

    pub(super) fn has_caps(&self) -> bool {
        self.xattrs.iter().any(|(name, _)| name == FileCaps::XATTR)
    }

    /// As JSON, for what names the layer's tree.
    pub(super) fn xattrs_json(&self) -> Value {
        self.xattrs.iter().map(|(name, value)| json!([name, hex::encode(value)])).collect()
    }

    fn apply(self, entry: &mut Entry) {
        if let Some(mode) = self.mode {
            entry.mode = mode;
        }
        let Owner { uid, gid } = entry.owner;
        entry.owner = Owner { uid: self.uid.unwrap_or(uid), gid: self.gid.unwrap_or(gid) };
        let mut xattrs = entry.xattrs().to_vec();
        xattrs.retain(|(name, _)| self.xattrs.iter().all(|(new, _)| new != name));
        xattrs.extend(self.xattrs);
        let path = entry.path.clone();
        let bare = std::mem::replace(entry, Entry::dir(path, 0));
        *entry = bare.with_xattrs(xattrs);
    }
}

/// A layer of a recipe: its kind, and the attributes that the layer adds.
pub struct LayerOf<'a> {
    kind: &'a dyn Kind,
    attributes: &'a [PathAttributes],
}

/// The layer's kind with all its options, which must have been expanded for the arch. `None` for a
/// layer without a kind, which no recipe that was parsed has.
pub fn of_layer(layer: &Layer) -> Option<LayerOf<'_>> {
    Some(LayerOf { kind: of(layer.kind()?), attributes: &layer.attributes })
}

impl Kind for LayerOf<'_> {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn needs(&self, arch: Arch) -> Result<Vec<Need>, KindError> {
        for said in self.attributes {
            Wanted::new(said.attributes())?;
        }
        self.kind.needs(arch)
    }

    fn options(&self, arch: Arch) -> Result<Value, KindError> {
        let mut options = self.kind.options(arch)?;
        let mut all = Vec::new();
        for said in self.attributes {
            let wanted = Wanted::new(said.attributes())?;
            all.push(json!({
                "path": wanted.path.as_str(),
                "mode": wanted.mode,
                "uid": wanted.uid,
                "gid": wanted.gid,
                "xattrs": wanted.xattrs_json(),
            }));
        }
        // Layers without any are known by what they were known by before there were attributes.
        if let (false, Some(options)) = (all.is_empty(), options.as_object_mut()) {
            options.insert("attributes".to_owned(), all.into());
        }
        Ok(options)
    }

    fn acts(&self) -> bool {
        self.kind.acts()
    }

    fn action<'a>(
        &self,
        arch: Arch,
        machine: Arch,
        given: &Given<'a>,
    ) -> Result<Option<Action<'a>>, KindError> {
        self.kind.action(arch, machine, given)
    }

    fn brings(&self) -> Option<&'static str> {
        self.kind.brings()
    }

    fn explain(&self, output: &str) -> Option<&'static str> {
        self.kind.explain(output)
    }

    fn tree(
        &self,
        arch: Arch,
        given: &Given<'_>,
        sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let tree = self.kind.tree(arch, given, sink)?;
        if self.attributes.is_empty() {
            return Ok(tree);
        }
        let mut entries = tree.entries().to_vec();
        for said in self.attributes {
            let wanted = Wanted::new(said.attributes())?;
            let found = entries.binary_search_by(|entry| entry.path.cmp(&wanted.path));
            let Ok(at) = found else {
                return Err(wrong(&said.path, not_there(&wanted.path, &entries)));
            };
            let entry = &mut entries[at];
            if let (Node::Symlink { .. }, Some(mode)) = (&entry.node, &said.mode) {
                let reason = format!("/{} is a link, and links have no mode", wanted.path);
                return Err(wrong(mode, reason));
            }
            if wanted.has_caps() && !matches!(entry.node, Node::File { .. }) {
                let reason =
                    format!("/{} is no file, and only files have capabilities", wanted.path);
                return Err(wrong(&said.path, reason));
            }
            wanted.apply(entry);
        }
        Ok(Tree::from_entries(entries)?)
    }
}

/// Says that a path is not there, and where a path of that name is.
fn not_there(path: &TreePath, entries: &[Entry]) -> String {
    let same = entries.iter().find(|entry| entry.path.name() == path.name());
    match same {
        Some(same) => format!("the layer has no /{path}; it has /{}", same.path),
        None => format!("the layer has no /{path}"),
    }
}
