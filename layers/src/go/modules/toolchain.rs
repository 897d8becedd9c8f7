//! A Go release as the module that it also is, `golang.org/toolchain`: so the checksum database
//! says what it has, whoever the release is had from (Go's `cmd/distpack`).

use treelay_recipes::{Arch, Digest};

use super::{Module, SumError, h1, h1_of_go_mod};
use crate::go::{ROOT, is_go_mod_of_module};
use crate::{Node, Tree};

/// Path of the module of all toolchains.
pub const TOOLCHAIN: &str = "golang.org/toolchain";

/// What the module has not.
const WITHOUT: [&str; 4] = ["api/", "doc/", "misc/", "test/"];

/// The version of the module of a release for Linux, which is called `1.27.3`:
/// `v0.0.1-go1.27.3.linux-arm64`.
pub fn toolchain_version(release: &str, arch: Arch) -> String {
    format!("v0.0.1-go{release}.linux-{}", arch.go())
}

/// The module of a release for Linux, with the sums of what is in `archive`: the whole of an official
/// archive, all of it below `go/`. Wheels and canonical trees lack files that the module has.
///
/// What the archive is taken for must be what was summed. So nothing may be beside `go/`, where
/// [`canonical`](crate::go::canonical) would look first, nor may there be a name that becomes
/// another one there.
///
/// `version` is what Go calls it, as `go1.27.3`.
///
/// # Errors
/// [`SumError`].
pub fn toolchain(archive: &Tree, version: &str, arch: Arch) -> Result<Module, SumError> {
    let folder = folder(version, arch);
    let mut files: Vec<(String, &Digest)> = Vec::new();
    for entry in archive.entries() {
        // Folders alone are no part of anything.
        if matches!(entry.node, Node::Dir) {
            continue;
        }
        let whole = entry.path.as_str();
        let Some(path) = whole.strip_prefix(ROOT) else {
            return Err(SumError::Outside { path: whole.to_owned(), root: ROOT.to_owned() });
        };
        let Some((digest, _)) = entry.file() else { continue };
        if is_go_mod_of_module(path) {
            return Err(SumError::GoMod { path: whole.to_owned() });
        }
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
/// that has the module's name: all of them.
///
/// # Errors
/// [`SumError`].
pub fn toolchain_module(files: &Tree, version: &str, arch: Arch) -> Result<Module, SumError> {
    let folder = folder(version, arch);
    let files = files.entries().iter().filter_map(|entry| Some((entry, entry.file()?.0)));
    let files = files.map(|(entry, digest)| (format!("{folder}/{}", entry.path), digest));
    module(version, arch, &files.collect::<Vec<_>>())
}

fn folder(version: &str, arch: Arch) -> String {
    format!("{TOOLCHAIN}@{}", version_of(version, arch))
}

fn version_of(version: &str, arch: Arch) -> String {
    toolchain_version(version.strip_prefix("go").unwrap_or(version), arch)
}

fn module(version: &str, arch: Arch, files: &[(String, &Digest)]) -> Result<Module, SumError> {
    if files.is_empty() {
        return Err(SumError::Nothing);
    }
    let go_mod = Digest::of(format!("module {TOOLCHAIN}\n"));
    Ok(Module {
        path: TOOLCHAIN.to_owned(),
        version: version_of(version, arch),
        go_mod: Some(h1_of_go_mod(&go_mod)),
        files: Some(h1(files.iter().map(|(name, digest)| (name.as_str(), *digest)))?),
    })
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
        ];
        let tree = Tree::from_entries(paths.map(entry).to_vec()).unwrap();
        let module = toolchain(&tree, "go1.22.1", Arch::Amd64).unwrap();
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
        assert_eq!(module.files, Some(expected.unwrap()));

        // What was had as the module is the same.
        let entries = named.map(|(name, was)| {
            Entry::new_file(TreePath::new(name).unwrap(), 0o644, Digest::of(was), 1)
        });
        let tree = Tree::from_entries(entries.to_vec()).unwrap();
        assert_eq!(toolchain_module(&tree, "go1.22.1", Arch::Amd64).unwrap(), module);
        assert_eq!(toolchain_version("1.22.1", Arch::Amd64), module.version);
    }

    /// What is locked is in the very files that were summed: nothing else may be beside them, or
    /// become something else.
    #[test]
    fn what_is_not_in_the_sum_is_refused() {
        let file = |path: &str, content: &str| {
            Entry::new_file(TreePath::new(path).unwrap(), 0o644, Digest::of(content), 1)
        };
        let genuine = || {
            ["go/VERSION", "go/bin/go", "go/src/go.mod", "go/src/cmd/go.mod"]
                .map(|path| file(path, path))
        };
        let with = |more: &[&str]| {
            let more = more.iter().map(|path| file(path, "evil"));
            Tree::from_entries(genuine().into_iter().chain(more).collect()).unwrap()
        };
        let sum = |tree: &Tree| toolchain(tree, "go1.22.1", Arch::Amd64);
        sum(&with(&[])).unwrap();
        for (more, expected) in [
            // Another distribution, which would be the one that is taken.
            (&["VERSION", "bin/go"][..], "VERSION is not below go/"),
            (&["x"], "x is not below go/"),
            (&["gone/x"], "gone/x is not below go/"),
            (&["go/src/_go.mod"], "go/src/_go.mod would become a go.mod"),
            (&["go/src/x\ny"], "\"golang.org/toolchain@v0.0.1-go1.22.1.linux-amd64/src/x\\ny\""),
        ] {
            let told = sum(&with(more)).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        }
        // The same sum, without that go.mod.
        let mut moved = genuine().to_vec();
        let last = moved.pop().unwrap();
        moved.push(Entry { path: TreePath::new("go/src/cmd/_go.mod").unwrap(), ..last });
        let told = sum(&Tree::from_entries(moved).unwrap()).unwrap_err();
        assert!(matches!(told, SumError::GoMod { .. }), "{told}");
        // What was stripped of its folder has nothing below go/.
        let stripped = Tree::from_entries(vec![file("VERSION", "x")]).unwrap();
        assert!(matches!(sum(&stripped), Err(SumError::Outside { .. })));
        assert!(matches!(sum(&Tree::default()), Err(SumError::Nothing)));
    }
}
