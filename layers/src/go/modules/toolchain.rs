//! A Go release as the module that it also is, `golang.org/toolchain`: so the checksum database
//! says what it has, whoever the release is had from (Go's `cmd/distpack`).

use treelay_recipes::{Arch, Digest};

use super::{Module, h1};
use crate::Tree;

/// Path of the module of all toolchains.
pub const TOOLCHAIN: &str = "golang.org/toolchain";

/// What the module has not.
const WITHOUT: [&str; 4] = ["api/", "doc/", "misc/", "test/"];

/// The module of a release for Linux, with the sums of what is in `archive`: the whole of an official
/// archive, everything in it below `go/`. Wheels and canonical trees lack files that the module has.
///
/// `version` is what Go calls it, as `go1.27.3`.
pub fn toolchain(archive: &Tree, version: &str, arch: Arch) -> Module {
    let folder = folder(version, arch);
    let mut files: Vec<(String, &Digest)> = Vec::new();
    for entry in archive.entries() {
        let (Some(path), Some((digest, _))) =
            (entry.path.as_str().strip_prefix("go/"), entry.file())
        else {
            continue;
        };
        if WITHOUT.iter().any(|without| path.starts_with(without)) {
            continue;
        }
        // A module can have no other modules in it.
        let name = match path.strip_suffix("go.mod") {
            Some(above) if above.is_empty() || above.ends_with('/') => format!("{above}_go.mod"),
            _ => path.to_owned(),
        };
        files.push((format!("{folder}/{name}"), digest));
    }
    module(version, arch, &files)
}

/// The same of a release that was had as the module, whose files are in `files` without the folder
/// that has the module's name.
pub fn toolchain_module(files: &Tree, version: &str, arch: Arch) -> Module {
    let folder = folder(version, arch);
    let files = files.entries().iter().filter_map(|entry| Some((entry, entry.file()?.0)));
    let files = files.map(|(entry, digest)| (format!("{folder}/{}", entry.path), digest));
    module(version, arch, &files.collect::<Vec<_>>())
}

fn folder(version: &str, arch: Arch) -> String {
    format!("{TOOLCHAIN}@v0.0.1-{version}.linux-{}", arch.go())
}

fn module(version: &str, arch: Arch, files: &[(String, &Digest)]) -> Module {
    let go_mod = Digest::of(format!("module {TOOLCHAIN}\n"));
    Module {
        path: TOOLCHAIN.to_owned(),
        version: format!("v0.0.1-{version}.linux-{}", arch.go()),
        go_mod: Some(h1([("go.mod", &go_mod)])),
        files: Some(h1(files.iter().map(|(name, digest)| (name.as_str(), *digest)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, TreePath};

    #[test]
    fn a_release_is_a_module() {
        let entry = |path: &str| {
            let path = TreePath::new(path).unwrap();
            Entry::new_file(path.clone(), 0o644, Digest::of(path.as_str()), 1)
        };
        let paths = [
            "go/VERSION",
            "go/api/go1.txt",
            "go/bin/go",
            "go/doc/x",
            "go/misc/go.mod",
            "go/src/api/x",
            "go/src/go.mod",
            "go/src/xgo.mod",
            "go/test/x.go",
            "other",
        ];
        let tree = Tree::from_entries(paths.map(entry).to_vec()).unwrap();
        let module = toolchain(&tree, "go1.22.1", Arch::Amd64);
        assert_eq!(module.folder(), "golang.org/toolchain@v0.0.1-go1.22.1.linux-amd64");
        // As the checksum database has it of all of them.
        let go_mod = "h1:8wlg68NqwW7eMnI1aABk/C2pDYXj8mrMY4TyRfiLeS0=";
        assert_eq!(module.go_mod.as_deref(), Some(go_mod));
        let named = [
            ("VERSION", "go/VERSION"),
            ("bin/go", "go/bin/go"),
            ("src/_go.mod", "go/src/go.mod"),
            ("src/api/x", "go/src/api/x"),
            ("src/xgo.mod", "go/src/xgo.mod"),
        ];
        let files =
            named.map(|(name, was)| (format!("{}/{name}", module.folder()), Digest::of(was)));
        let expected = h1(files.iter().map(|(name, digest)| (name.as_str(), digest)));
        assert_eq!(module.files, Some(expected));

        // What was had as the module is the same.
        let entries = named.map(|(name, was)| {
            Entry::new_file(TreePath::new(name).unwrap(), 0o644, Digest::of(was), 1)
        });
        let tree = Tree::from_entries(entries.to_vec()).unwrap();
        assert_eq!(toolchain_module(&tree, "go1.22.1", Arch::Amd64), module);
    }
}
