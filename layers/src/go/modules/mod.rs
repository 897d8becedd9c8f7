//! The modules that a source needs: what its go.sum files say, for a module or a workspace.
//!
//! go.sum is the pin: every module in it is had with its content's `h1:` digest, and nothing else
//! is. `go mod tidy` keeps it to what is needed. In a workspace (go.work) the go.sum of every
//! module counts, and go.work.sum; they must agree, as Go wants a workspace to be one set.

mod cache;
mod directives;
mod names;
mod toolchain;

use std::collections::BTreeMap;
use std::io::{self, Read};

use treelay_recipes::Digest;

pub use cache::{Fetched, Keep, SumError, cache, escaped, h1, h1_of_go_mod};
pub use toolchain::{TOOLCHAIN, toolchain, toolchain_module, toolchain_version};

use crate::{Contents, Entry, Tree, TreePath};
use directives::{Directives, Replaced};

/// A version of a module, as go.sum has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module {
    /// Its path.
    pub path: String,
    /// Its version.
    pub version: String,
    /// The `h1:` of its go.mod, where go.sum has it.
    pub go_mod: Option<String>,
    /// The `h1:` of all its files, where they are needed.
    pub files: Option<String>,
}

/// Why the modules of a source are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModulesError {
    /// There is neither go.mod nor go.work.
    #[error("there is neither a go.mod nor a go.work in it")]
    NoModule,
    /// A module of a workspace is not there.
    #[error("go.work uses {0:?}, where no go.mod is; what it uses must be below it")]
    NotThere(String),
    /// Two modules of a workspace have one path.
    #[error("{one} and {other} of the workspace are both the module {path}")]
    SameModule {
        /// The module's path.
        path: String,
        /// One folder.
        one: String,
        /// The other.
        other: String,
    },
    /// Two files want different content for one version.
    #[error("{one} and {other} do not agree about {module}: {first} and {second}")]
    Disagree {
        /// The module and version.
        module: String,
        /// One file.
        one: String,
        /// The other.
        other: String,
        /// What the first says.
        first: String,
        /// What the second says.
        second: String,
    },
    /// Two modules of a workspace replace one module by different ones.
    #[error(
        "{one} and {other} replace {module} by different modules: {first} and {second}; a replace in go.work settles it"
    )]
    Replaced {
        /// The module.
        module: String,
        /// One file.
        one: String,
        /// The other.
        other: String,
        /// What the first says.
        first: String,
        /// What the second says.
        second: String,
    },
    /// A module needs others, and has no go.sum.
    #[error("{0} requires modules, and there is no go.sum beside it: run `go mod tidy`")]
    NoSum(String),
    /// A line of go.sum that is none, or that names what can be no module.
    #[error("line {line} of {file} is no line of a go.sum")]
    Line {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
    },
    /// A file is longer than any that Go writes.
    #[error("{path} has {size} bytes, and at most {MOST} are read")]
    TooLong {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A file could not be read.
    #[error("reading {path}: {source}")]
    Reading {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// What any of these files has at most.
const MOST: u64 = 64 << 20;

fn read(tree: &Tree, path: &str, contents: &dyn Contents) -> Result<Option<String>, ModulesError> {
    let Some((digest, size)) = tree.get(path).and_then(Entry::file) else { return Ok(None) };
    if size > MOST {
        return Err(ModulesError::TooLong { path: path.to_owned(), size });
    }
    let mut text = String::new();
    contents
        .open(digest, size)
        .and_then(|file| file.take(MOST).read_to_string(&mut text))
        .map_err(|source| ModulesError::Reading { path: path.to_owned(), source })?;
    Ok(Some(text))
}

/// The modules that the module or workspace at the root of `source` needs, sorted.
///
/// # Errors
/// [`ModulesError`].
pub fn needed(source: &Tree, contents: &dyn Contents) -> Result<Vec<Module>, ModulesError> {
    let workspace = read(source, "go.work", contents)?.map(|text| Directives::parse(&text));
    let folders = match &workspace {
        Some(work) => work.uses.iter().map(|folder| tidy(folder)).collect(),
        None => vec![String::new()],
    };
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut replaced = Replaced::new(workspace.as_ref());
    let mut modules = Vec::new();
    for folder in &folders {
        let file = format!("{folder}go.mod");
        let Some(text) = read(source, &file, contents)? else {
            return Err(match workspace {
                Some(_) => ModulesError::NotThere(folder.trim_end_matches('/').to_owned()),
                None => ModulesError::NoModule,
            });
        };
        let module = Directives::parse(&text);
        if let Some(path) = module.module
            && let Some(one) = names.insert(path.clone(), file.clone())
        {
            return Err(ModulesError::SameModule { path, one, other: file });
        }
        replaced.add(folder, &file, module.replaces)?;
        modules.push((folder, file, module.requires));
    }
    let mut sums = Sums::default();
    let mut lacking = None;
    for (folder, file, requires) in modules {
        let sum = format!("{folder}go.sum");
        if let Some(text) = read(source, &sum, contents)? {
            sums.add(&sum, &text)?;
        } else if source.get(&format!("{folder}vendor")).is_none()
            && requires.iter().any(|old| !names.contains_key(&old.0) && !replaced.by_folder(old))
        {
            lacking.get_or_insert(file);
        }
    }
    if let Some(text) = read(source, "go.work.sum", contents)? {
        sums.add("go.work.sum", &text)?;
    }
    // In a workspace any of the files will do; what is in none of them Go tells.
    match lacking.filter(|_| sums.files == 0) {
        Some(file) => Err(ModulesError::NoSum(file)),
        None => Ok(sums.modules()),
    }
}

/// `./a/b` and `a/b/` as `a/b/`; the root as nothing.
fn tidy(folder: &str) -> String {
    let folder = folder.trim_start_matches("./").trim_end_matches('/');
    if matches!(folder, "" | ".") { String::new() } else { format!("{folder}/") }
}

/// The lines of go.sum files, with the file that said each first.
#[derive(Default)]
struct Sums {
    files: usize,
    lines: BTreeMap<(String, String), (String, String)>,
}

impl Sums {
    fn add(&mut self, file: &str, text: &str) -> Result<(), ModulesError> {
        self.files += 1;
        for (at, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let none = || Err(ModulesError::Line { file: file.to_owned(), line: at + 1 });
            let [path, version, h1] = words[..] else {
                if words.is_empty() {
                    continue;
                }
                return none();
            };
            // Other algorithms may come; Go passes over what it does not know.
            if !h1.starts_with("h1:") {
                continue;
            }
            // Both become parts of addresses and of paths.
            let bare = version.strip_suffix("/go.mod").unwrap_or(version);
            if !names::is_path(path) || !names::is_version(bare) || !fits(path, bare) {
                return none();
            }
            let key = (path.to_owned(), version.to_owned());
            match self.lines.get(&key) {
                Some((_, known)) if known == h1 => {}
                Some((one, first)) => {
                    return Err(ModulesError::Disagree {
                        module: format!("{path} {version}"),
                        one: one.clone(),
                        other: file.to_owned(),
                        first: first.clone(),
                        second: h1.to_owned(),
                    });
                }
                None => drop(self.lines.insert(key, (file.to_owned(), h1.to_owned()))),
            }
        }
        Ok(())
    }

    fn modules(self) -> Vec<Module> {
        let mut modules: BTreeMap<(String, String), Module> = BTreeMap::new();
        for ((path, version), (_, h1)) in self.lines {
            let (version, is_mod) = match version.strip_suffix("/go.mod") {
                Some(version) => (version.to_owned(), true),
                None => (version, false),
            };
            let module = modules.entry((path.clone(), version.clone())).or_insert_with(|| Module {
                path,
                version,
                go_mod: None,
                files: None,
            });
            match is_mod {
                true => module.go_mod = Some(h1),
                false => module.files = Some(h1),
            }
        }
        modules.into_values().collect()
    }
}

/// Whether a module cache can have it: file systems have no names of any length.
fn fits(path: &str, version: &str) -> bool {
    let (path, version) = (escaped(path), escaped(version));
    let longest =
        [format!("cache/download/{path}/@v/{version}.ziphash"), format!("{path}@{version}/go.mod")];
    longest.iter().all(|path| TreePath::new(path).is_ok())
}

/// What is locked: these modules with these digests.
pub fn digest_of(modules: &[Module]) -> Digest {
    let none = String::new;
    let line = |module: &Module| {
        let Module { path, version, go_mod, files } = module;
        let go_mod = go_mod.clone().unwrap_or_else(none);
        format!("{path} {version} {go_mod} {}\n", files.clone().unwrap_or_else(none))
    };
    Digest::of(modules.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::fixture::Memory;

    fn needed_of(files: &[(&str, &str)]) -> Result<Vec<Module>, String> {
        let mut memory = Memory::default();
        let entries = files.iter().map(|(path, text)| {
            use crate::ContentSink as _;
            let (digest, size) = memory.put(&mut text.as_bytes()).unwrap();
            Entry::new_file(TreePath::new(path).unwrap(), 0o644, digest, size)
        });
        let tree = Tree::from_entries(entries.collect()).unwrap();
        needed(&tree, &memory).map_err(|error| error.to_string())
    }

    const SUM: &str = "example.org/a v1.0.0 h1:aaa=\nexample.org/a v1.0.0/go.mod h1:bbb=\n\
                       example.org/b v0.1.0/go.mod h1:ccc=\nexample.org/c v1.0.0 h2:new\n";

    #[test]
    fn a_modules_sums_say_what_is_needed() {
        let modules = needed_of(&[
            (
                "go.mod",
                "module example.org/x // here\n\ngo 1.24\n\nrequire (\n\texample.org/a v1.0.0\n)\n",
            ),
            ("go.sum", SUM),
        ])
        .unwrap();
        let module = |path: &str, version: &str, go_mod: &str, files: Option<&str>| Module {
            path: path.into(),
            version: version.into(),
            go_mod: Some(go_mod.into()),
            files: files.map(Into::into),
        };
        assert_eq!(
            modules,
            [
                module("example.org/a", "v1.0.0", "h1:bbb=", Some("h1:aaa=")),
                module("example.org/b", "v0.1.0", "h1:ccc=", None),
            ]
        );
        assert_eq!(needed_of(&[("go.mod", "module x\n")]).unwrap(), []);
    }

    #[test]
    fn a_workspace_is_one_set() {
        let work = ("go.work", "go 1.24\n\nuse (\n\t./one\n\t./two/\n)\nuse .\n");
        let modules = needed_of(&[
            work,
            ("go.mod", "module example.org/root\n"),
            ("one/go.mod", "module example.org/one\nrequire example.org/a v1.0.0\n"),
            ("one/go.sum", SUM),
            ("two/go.mod", "module \"example.org/two\"\n"),
            ("go.work.sum", "example.org/d v1.0.0 h1:ddd=\n"),
        ])
        .unwrap();
        let names: Vec<&str> = modules.iter().map(|module| module.path.as_str()).collect();
        assert_eq!(names, ["example.org/a", "example.org/b", "example.org/d"]);
    }

    #[test]
    fn what_cannot_be_one_set_is_named() {
        let work = ("go.work", "use ./one\nuse ./two\n");
        let one = (
            "one/go.mod",
            "module example.org/one\nreplace example.org/a => example.org/fork v1.0.0\n",
        );
        let two = ("two/go.mod", "module example.org/two\nreplace example.org/a => ../a\n");
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[], "neither a go.mod nor a go.work"),
            (&[work, one], "go.work uses \"two\", where no go.mod is"),
            (
                &[work, ("one/go.mod", "module m\n"), ("two/go.mod", "module m\n")],
                "one/go.mod and two/go.mod of the workspace are both the module m",
            ),
            (
                &[work, one, two],
                "one/go.mod and two/go.mod replace example.org/a by different modules: \
                 example.org/fork v1.0.0 and ./a",
            ),
            (
                &[
                    work,
                    ("one/go.mod", "module one\n"),
                    ("one/go.sum", SUM),
                    ("two/go.mod", "module two\n"),
                    ("two/go.sum", "example.org/a v1.0.0 h1:zzz=\n"),
                ],
                "one/go.sum and two/go.sum do not agree about example.org/a v1.0.0: h1:aaa= and h1:zzz=",
            ),
            (
                &[("go.mod", "module x\nrequire example.org/a v1.0.0\n")],
                "go.mod requires modules, and there is no go.sum",
            ),
            (
                &[("go.mod", "module x\n"), ("go.sum", "example.org/a v1.0.0\n")],
                "line 1 of go.sum is no line of a go.sum",
            ),
        ];
        for (files, expected) in table {
            let told = needed_of(files).unwrap_err();
            assert!(told.contains(expected), "{expected}\n{told}");
        }
        let settled = ("go.work", "use ./one\nuse ./two\nreplace example.org/a => ./a\n");
        needed_of(&[settled, one, two]).unwrap();
    }

    /// What Go builds is taken: it compares folders, and takes a replace of go.work for every version.
    #[test]
    fn replacements_that_are_one_are_none_too_many() {
        let work = ("go.work", "use ./one\nuse ./b/two\n");
        let one = ("one/go.mod", "module one\nreplace example.org/a v0.0.0 => ../lib\n");
        let two = "module two\nreplace example.org/a v0.0.0 => ./../../lib/\n";
        needed_of(&[work, one, ("b/two/go.mod", two)]).unwrap();
        let other = "module two\nreplace example.org/a v0.0.0 => ../../../lib\n";
        let other = ("b/two/go.mod", other);
        let told = needed_of(&[work, one, other]).unwrap_err();
        assert!(
            told.contains("replace example.org/a v0.0.0 by different modules: ./lib and ../lib"),
            "{told}"
        );
        let settled = ("go.work", "use (\n\t./one\n\t./b/two\n)\nreplace example.org/a => ./lib\n");
        needed_of(&[settled, one, other]).unwrap();
        // Other versions are other modules.
        let other = "module two\nreplace example.org/a v0.0.1 => ../lib\n";
        needed_of(&[work, one, ("b/two/go.mod", other)]).unwrap();
        // The last of one file counts.
        let twice = "module x\nreplace example.org/a => ./a\nreplace example.org/a => ./b\n";
        needed_of(&[("go.mod", twice)]).unwrap();
    }

    #[test]
    fn what_is_in_the_source_needs_no_sum() {
        let requires = "module x\nrequire (\n\texample.org/a v0.0.0\n)\n";
        let with = |more: &str| needed_of(&[("go.mod", &format!("{requires}{more}"))]);
        assert_eq!(with("replace example.org/a => ./a\n").unwrap(), []);
        assert_eq!(with("replace example.org/a v0.0.0 => ./a\n").unwrap(), []);
        for more in [
            "",
            "replace example.org/a v0.0.1 => ./a\n",
            "replace example.org/a => example.org/b v1.0.0\n",
        ] {
            assert!(with(more).unwrap_err().contains("no go.sum beside it"), "{more}");
        }
        let work = ("go.work", "use ./one\nuse ./two\n");
        let one = ("one/go.mod", requires);
        assert_eq!(needed_of(&[work, one, ("two/go.mod", "module example.org/a\n")]).unwrap(), []);
        // Any sums of a workspace will do.
        let two = ("two/go.mod", "module two\n");
        assert!(needed_of(&[work, one, two]).unwrap_err().contains("one/go.mod requires"));
        assert_eq!(needed_of(&[work, one, two, ("go.work.sum", SUM)]).unwrap().len(), 2);
    }

    #[test]
    fn lines_that_lead_elsewhere_are_none() {
        for line in [
            "../../etc v1.0.0 h1:a=",
            "example.org/../../a v1.0.0 h1:a=",
            "/example.org/a v1.0.0/go.mod h1:a=",
            "example.org/a?b v1.0.0 h1:a=",
            "example.org/a v1.0.0/../../x h1:a=",
            "example.org/a v1.0.0\"} h1:a=",
            "example.org/a ../../x/go.mod h1:a=",
            &format!("example.org/a v1.0.0-{} h1:a=", "x".repeat(250)),
            &format!("example.org/{} v1.0.0 h1:a=", "x".repeat(250)),
            &format!("example.org/{} v1.0.0 h1:a=", "X".repeat(130)),
        ] {
            let text = format!("example.org/a v1.0.0 h1:a=\n{line}\n");
            let told = needed_of(&[("go.mod", "module x\n"), ("go.sum", &text)]).unwrap_err();
            assert_eq!(told, "line 2 of go.sum is no line of a go.sum", "{line}");
        }
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let memory = Memory::default();
        let long =
            Entry::new_file(TreePath::new("go.mod").unwrap(), 0o644, Digest::of(""), MOST + 1);
        let tree = Tree::from_entries(vec![long]).unwrap();
        let told = needed(&tree, &memory).unwrap_err().to_string();
        assert_eq!(told, "go.mod has 67108865 bytes, and at most 67108864 are read");
    }
}
