//! `files`: single files, links and directories.

use serde_json::{Value, json};
use treelay_recipes::recipe::{FileEntry, FilesLayer, Text};
use treelay_recipes::{Arch, Digest};

use super::{Given, Kind, KindError, Need, absolute, mode, wrong};
use crate::tree::{Owner, Xattrs};
use crate::{ContentSink, Entry, Tree, TreePath};

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
            let planned = plan(file)?;
            let (kind, value) = match planned.what {
                What::Content(text) => ("content", Some(Digest::of(&**text).to_string())),
                What::Source(_) => ("source", None),
                What::Link(target) => ("link", Some(target.to_string())),
                What::Dir => ("dir", None),
            };
            let xattrs: Vec<_> =
                planned.xattrs.iter().map(|(name, value)| (name, hex::encode(value))).collect();
            files.push(json!({
                "path": planned.path.as_str(),
                "kind": kind,
                "value": value,
                "mode": planned.mode,
                "uid": planned.owner.uid,
                "gid": planned.owner.gid,
                "xattrs": xattrs,
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
            let Planned { path, what, mode, owner, xattrs } = plan(file)?;
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
    path: TreePath,
    what: What<'a>,
    mode: Option<u16>,
    owner: Owner,
    xattrs: Xattrs,
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
    if let What::Link(target) = what {
        if file.mode.is_some() {
            return Err(wrong(target, format!("/{path} is a link, and links have no mode")));
        }
        if target.is_empty() || target.contains('\0') {
            return Err(wrong(target, format!("the target of the link /{path} is no path")));
        }
    }
    let mut xattrs = Xattrs::new();
    for (name, value) in &file.xattrs {
        // An attribute is in a namespace (xattr(7)).
        if !name.split_once('.').is_some_and(|(space, name)| !space.is_empty() && !name.is_empty())
            || name.contains('\0')
        {
            let reason = format!("{name:?} is no extended attribute: expected user.NAME or alike");
            return Err(wrong(value, reason));
        }
        xattrs.push((name.clone(), value.as_bytes().to_vec()));
    }
    Ok(Planned {
        path,
        what,
        mode: file.mode.as_ref().map(mode).transpose()?,
        owner: Owner { uid: file.uid.unwrap_or(0), gid: file.gid.unwrap_or(0) },
        xattrs,
    })
}
