//! `files`: single files, links and directories.

use serde_json::{Value, json};
use treelay_recipes::recipe::{FileEntry, FilesLayer, Text};
use treelay_recipes::{Arch, Digest};

use super::attributes::Wanted;
use super::{Given, Kind, KindError, Need, absolute, wrong};
use crate::tree::Owner;
use crate::{ContentSink, Entry, Tree};

impl Kind for FilesLayer {
    fn name(&self) -> &'static str {
        "files"
    }

    fn needs(&self, _arch: Arch) -> Result<Vec<Need>, KindError> {
        let mut needs = Vec::new();
        for file in self {
            if let Planned { what: What::Source(source), .. } = plan(file)? {
                needs.push(Need::LocalFile(source.clone()));
            }
        }
        Ok(needs)
    }

    fn options(&self, _arch: Arch) -> Result<Value, KindError> {
        let mut files = Vec::with_capacity(self.len());
        for file in self {
            let Planned { what, wanted } = plan(file)?;
            let (kind, value) = match what {
                What::Content(text) => ("content", Some(Digest::of(&**text).to_string())),
                What::Source(_) => ("source", None),
                What::Link(target) => ("link", Some(target.to_string())),
                What::Dir => ("dir", None),
            };
            files.push(json!({
                "path": wanted.path.as_str(),
                "kind": kind,
                "value": value,
                "mode": wanted.mode,
                "uid": wanted.uid.unwrap_or(0),
                "gid": wanted.gid.unwrap_or(0),
                "xattrs": wanted.xattrs_json(),
            }));
        }
        Ok(json!({"kind": self.name(), "rules": 1, "files": files}))
    }

    fn tree(
        &self,
        _arch: Arch,
        given: &Given<'_>,
        sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let mut entries = Vec::with_capacity(self.len());
        let mut sources = 0..;
        for file in self {
            let Planned { what, wanted } = plan(file)?;
            let Wanted { path, mode, uid, gid, xattrs } = wanted;
            let owner = Owner { uid: uid.unwrap_or(0), gid: gid.unwrap_or(0) };
            let entry = match what {
                What::Content(text) => {
                    let (digest, size) = sink
                        .put(&mut text.as_bytes())
                        .map_err(|source| KindError::Keeping { path: path.clone(), source })?;
                    Entry::new_file(path, mode.unwrap_or(0o644), digest, size)
                }
                What::Source(_) => {
                    let (digest, size, executable) = given.file(sources.next().unwrap_or(0))?;
                    let default = if executable { 0o755 } else { 0o644 };
                    Entry::new_file(path, mode.unwrap_or(default), digest, size)
                }
                What::Link(target) => Entry::symlink(path, target),
                What::Dir => Entry::dir(path, mode.unwrap_or(0o755)),
            };
            entries.push(Entry { owner, ..entry.with_xattrs(xattrs) });
        }
        Ok(Tree::from_entries(entries)?)
    }
}

/// One path, understood.
struct Planned<'a> {
    what: What<'a>,
    wanted: Wanted,
}

enum What<'a> {
    Content(&'a Text),
    Source(&'a Text),
    Link(&'a Text),
    Dir,
}

fn plan(file: &FileEntry) -> Result<Planned<'_>, KindError> {
    let path = absolute(&file.path)?
        .ok_or_else(|| wrong(&file.path, "the root is always a directory and is not a layer's"))?;
    let dir = file.dir.filter(|dir| *dir).map(|_| What::Dir);
    let given = [
        file.content.as_ref().map(What::Content),
        file.source.as_ref().map(What::Source),
        file.link.as_ref().map(What::Link),
        dir,
    ];
    let mut given = given.into_iter().flatten();
    let (Some(what), None) = (given.next(), given.next()) else {
        let reason = format!("/{path} needs exactly one of content, source, link and dir: true");
        return Err(wrong(&file.path, reason));
    };
    let wanted = Wanted::new(file.attributes())?;
    if let What::Link(target) = what {
        if file.mode.is_some() {
            return Err(wrong(target, format!("/{path} is a link, and links have no mode")));
        }
        if target.is_empty() || target.contains('\0') {
            return Err(wrong(target, format!("the target of the link /{path} is no path")));
        }
    }
    if wanted.has_caps() && matches!(what, What::Link(_) | What::Dir) {
        let reason = format!("/{path} is no file, and only files have capabilities");
        return Err(wrong(&file.path, reason));
    }
    Ok(Planned { what, wanted })
}
