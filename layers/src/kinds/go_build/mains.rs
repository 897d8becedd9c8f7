//! Which programs a layer's packages are, as far as the source tells before anything is built.
//!
//! `go build -o DIR` writes each program under the last element of its import path, and where two
//! have the same, whichever is linked last stays: not the same one each time.

use std::collections::BTreeMap;
use std::io::Read as _;

use treelay_recipes::recipe::Text;

use super::super::{KindError, wrong};
use super::command::program_of;
use crate::{Contents, Entry, Tree};

/// What of a file is read to find its package: licences and documentation stand before it.
const HEAD: u64 = 256 << 10;

/// Refuses packages that are named one by one and have the same program's name.
pub(super) fn check_named(packages: &[Text]) -> Result<(), KindError> {
    let mut seen: BTreeMap<&str, &Text> = BTreeMap::new();
    for package in packages {
        let Some(name) = program_of(package) else { continue };
        if let Some(first) = seen.insert(name, package)
            && first.trim_end_matches('/') != package.trim_end_matches('/')
        {
            return Err(twice(package, name, first, package));
        }
    }
    Ok(())
}

/// Refuses patterns (`./...`, `cmd/...`) that stand for two programs of one name. `root` is the folder
/// of `tree` that packages are below, `""` or ending in a slash.
pub(super) fn check_patterns(
    packages: &[Text],
    tree: &Tree,
    root: &str,
    contents: &dyn Contents,
) -> Result<(), KindError> {
    let bases: Vec<(&Text, &str)> = packages
        .iter()
        .filter_map(|package| {
            let base = package.strip_suffix("...")?;
            let base = base.strip_prefix("./").unwrap_or(base);
            // Other patterns stand for names, not folders.
            (base.is_empty() || base.ends_with('/')).then_some((package, base))
        })
        .filter(|(_, base)| !base.contains("..."))
        .collect();
    let Some((at, _)) = bases.first() else { return Ok(()) };
    let modules: Vec<String> = tree
        .entries()
        .iter()
        .filter_map(|entry| entry.path.as_str().strip_prefix(root)?.strip_suffix("go.mod"))
        .filter(|module| module.ends_with('/'))
        .map(str::to_owned)
        .collect();
    // What a pattern does not reach: modules of their own below it.
    let reaches = |base: &str, folder: &str| {
        let folder = format!("{folder}/");
        let beyond =
            |module: &&String| module.len() > base.len() && folder.starts_with(module.as_str());
        folder.starts_with(base) && !modules.iter().any(|module| beyond(&module))
    };
    let mut folders: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in tree.entries() {
        let Some(path) = entry.path.as_str().strip_prefix(root) else { continue };
        let Some((folder, file)) = path.rsplit_once('/') else { continue };
        let is_source = file.ends_with(".go") && !file.ends_with("_test.go");
        let mut parts = folder.split('/');
        let hidden = parts
            .any(|part| part.starts_with(['_', '.']) || part == "testdata" || part == "vendor");
        if is_source && !hidden && bases.iter().any(|(_, base)| reaches(base, folder)) {
            folders.entry(folder.to_owned()).or_default().push(entry);
        }
    }
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for folder in folders.keys() {
        if let Some(name) = program_of(folder) {
            by_name.entry(name).or_default().push(folder);
        }
    }
    for (name, same) in by_name.into_iter().filter(|(_, same)| same.len() > 1) {
        let mut mains = same
            .into_iter()
            .filter(|folder| folders[*folder].iter().any(|entry| is_main(entry, contents)));
        if let (Some(first), Some(second)) = (mains.next(), mains.next()) {
            return Err(twice(at, name, first, second));
        }
    }
    Ok(())
}

fn twice(at: &Text, name: &str, first: &str, second: &str) -> KindError {
    let reason = format!(
        "the programs of {first} and {second} are both called `{name}`: put them into layers of \
         their own, with another `dest`"
    );
    wrong(at, reason)
}

fn is_main(entry: &Entry, contents: &dyn Contents) -> bool {
    let Some((digest, size)) = entry.file() else { return false };
    let mut head = Vec::new();
    let read = contents.open(digest, size).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    // What cannot be read is told when it is put in place.
    read.is_ok() && is_program(&String::from_utf8_lossy(&head))
}

/// Whether a Go file is of package main and not left out by `//go:build ignore`.
fn is_program(text: &str) -> bool {
    let mut in_comment = false;
    for line in text.lines().map(str::trim) {
        if in_comment || line.starts_with("/*") {
            in_comment = !line.contains("*/");
        } else if let Some(words) = line.strip_prefix("//go:build") {
            if words.trim() == "ignore" {
                return false;
            }
        } else if let Some(name) = line.strip_prefix("package ") {
            let name = name.split(|c: char| !c.is_alphanumeric() && c != '_').next();
            return name == Some("main");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::fixture::Memory;
    use crate::{ContentSink as _, TreePath};

    fn text(value: &str) -> Text {
        Text::new(value)
    }

    #[test]
    fn named_packages_of_one_name_are_refused() {
        let check = |packages: &[&str]| {
            let packages: Vec<Text> = packages.iter().map(|it| text(it)).collect();
            check_named(&packages).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["./cmd/a", "./cmd/b", "./...", "."]), Ok(()));
        assert_eq!(check(&["./cmd/a", "./cmd/a/"]), Ok(()));
        let refused = check(&["./cmd/a/server", "./x", "./cmd/b/server/v2"]).unwrap_err();
        assert!(
            refused.contains("of ./cmd/a/server and ./cmd/b/server/v2 are both called `server`"),
            "{refused}"
        );
    }

    #[test]
    fn main_is_told_from_other_packages() {
        for (text, program) in [
            ("package main\n", true),
            ("// of\n/* a\npackage x\n*/\npackage main // import\n", true),
            ("//go:build ignore\n\npackage main\n", false),
            ("//go:build linux\n\npackage main;import \"fmt\"\n", true),
            ("package mainly\n", false),
            ("", false),
        ] {
            assert_eq!(is_program(text), program, "{text:?}");
        }
    }

    #[test]
    fn patterns_of_two_programs_of_one_name_are_refused() {
        let check = |files: &[(&str, &str)], root: &str, pattern: &str| {
            let mut contents = Memory::default();
            let entries = files.iter().map(|(path, content)| {
                let (digest, size) = contents.put(&mut content.as_bytes()).unwrap();
                Entry::new_file(TreePath::new(path).unwrap(), 0o644, digest, size)
            });
            let tree = Tree::from_entries(entries.collect()).unwrap();
            check_patterns(&[text(pattern)], &tree, root, &contents).map_err(|it| it.to_string())
        };
        const MAIN: &str = "package main\n";
        let two = [("a/server/m.go", MAIN), ("b/server/m.go", MAIN), ("go.mod", "module x\n")];
        let refused = check(&two, "", "./...").unwrap_err();
        assert!(refused.contains("of a/server and b/server are both called `server`"), "{refused}");
        assert_eq!(check(&two, "", "./a/..."), Ok(()));
        assert_eq!(check(&two, "", "./a/server"), Ok(()));
        let below = [("src/cmd/a/x/m.go", MAIN), ("src/cmd/b/x/m.go", MAIN)];
        assert!(check(&below, "src/", "cmd/...").is_err());
        for other in [
            ("b/server/m.go", "package server\n"),
            ("b/server/m_test.go", MAIN),
            ("b/testdata/server/m.go", MAIN),
            ("vendor/b/server/m.go", MAIN),
            ("_b/server/m.go", MAIN),
        ] {
            assert_eq!(check(&[two[0], other], "", "./..."), Ok(()), "{other:?}");
        }
        let module = ("b/go.mod", "module y\n");
        assert_eq!(check(&[two[0], two[1], module], "", "./..."), Ok(()), "of another module");
        let inner = ("b/c/server/m.go", MAIN);
        assert!(check(&[two[1], inner, module], "", "./b/...").is_err());
    }
}
