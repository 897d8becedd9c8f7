//! go.mod and go.work: which modules there are, what they require, and what stands for what.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use super::ModulesError;

/// The directives of a go.mod or go.work that say which modules there are.
#[derive(Debug, Default)]
pub(super) struct Directives {
    pub module: Option<String>,
    pub uses: Vec<String>,
    pub requires: Vec<Old>,
    /// What is replaced, and by what.
    pub replaces: Vec<(Old, New)>,
}

/// A module that is required or replaced: its path, and its version where one is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Old(pub String, pub Option<String>);

/// What replaces a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum New {
    /// A folder, from the root of the source.
    Folder(String),
    /// A version of another module.
    Module(String, String),
}

impl New {
    /// The same, for a folder that is said from `folder`.
    fn seen_from(self, folder: &str) -> Self {
        match self {
            Self::Folder(path) if path.starts_with('/') => Self::Folder(path),
            Self::Folder(path) => Self::Folder(joined(folder, &path)),
            Self::Module(..) => self,
        }
    }
}

impl Display for Old {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)?;
        self.1.iter().try_for_each(|version| write!(f, " {version}"))
    }
}

impl Display for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => f.write_str(path),
            Self::Module(path, version) => write!(f, "{path} {version}"),
        }
    }
}

/// `path` as it is from the root, where it was said from `folder`, as go.work would say it.
fn joined(folder: &str, path: &str) -> String {
    let (mut up, mut down) = (0, Vec::new());
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if down.pop().is_none() => up += 1,
            ".." => {}
            part => down.push(part),
        }
    }
    let start = if up == 0 { "./".to_owned() } else { "../".repeat(up) };
    start + &down.join("/")
}

impl Directives {
    /// Reads what is needed of the file format (go.dev/ref/mod, "go.mod files"); the rest is for Go.
    pub(super) fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut block: Option<String> = None;
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            let mut words: Vec<String> = line
                .split_whitespace()
                .map(|word| word.trim_matches(['"', '`']).to_owned())
                .collect();
            match (&block, words.last().map(String::as_str)) {
                (_, None) => continue,
                (Some(_), Some(")")) => {
                    block = None;
                    continue;
                }
                (None, Some("(")) => {
                    block = words.first().cloned();
                    continue;
                }
                (Some(verb), _) => words.insert(0, verb.clone()),
                (None, _) => {}
            }
            match words[0].as_str() {
                "module" => found.module = words.get(1).cloned(),
                "use" => found.uses.extend(words.get(1).cloned()),
                "require" => {
                    found
                        .requires
                        .extend(words.get(1).map(|path| Old(path.clone(), words.get(2).cloned())));
                }
                "replace" => {
                    let arrow = words.iter().position(|word| word == "=>").unwrap_or(words.len());
                    let old = words.get(1).filter(|_| arrow > 1);
                    let old = old.map(|path| Old(path.clone(), words[2..arrow].first().cloned()));
                    let new = match words.get(arrow + 1..).unwrap_or_default() {
                        [path] => Some(New::Folder(path.clone())),
                        [path, version] => Some(New::Module(path.clone(), version.clone())),
                        _ => None,
                    };
                    found.replaces.extend(old.zip(new));
                }
                _ => {}
            }
        }
        found
    }
}

/// What is replaced in a module or workspace, as `modload` has it: what go.work replaces in any
/// version, modules do not; what they replace alike counts once.
pub(super) struct Replaced {
    all: BTreeMap<Old, (String, New)>,
    settled: Vec<String>,
}

impl Replaced {
    pub(super) fn new(workspace: Option<&Directives>) -> Self {
        let all = workspace.into_iter().flat_map(|work| &work.replaces);
        let settled = all.clone().map(|(old, _)| old.0.clone()).collect();
        let all =
            all.map(|(old, new)| (old.clone(), ("go.work".to_owned(), new.clone().seen_from(""))));
        Self { all: all.collect(), settled }
    }

    pub(super) fn add(
        &mut self,
        folder: &str,
        file: &str,
        replaces: Vec<(Old, New)>,
    ) -> Result<(), ModulesError> {
        for (old, new) in replaces {
            if self.settled.contains(&old.0) {
                continue;
            }
            let new = new.seen_from(folder);
            match self.all.get(&old) {
                // Within one file the last counts.
                Some((one, first)) if one != file && *first != new => {
                    return Err(ModulesError::Replaced {
                        module: old.to_string(),
                        one: one.clone(),
                        other: file.to_owned(),
                        first: first.to_string(),
                        second: new.to_string(),
                    });
                }
                _ => drop(self.all.insert(old, (file.to_owned(), new))),
            }
        }
        Ok(())
    }

    /// Whether a folder is taken for it.
    pub(super) fn by_folder(&self, old: &Old) -> bool {
        let found = self.all.get(old).or_else(|| self.all.get(&Old(old.0.clone(), None)));
        matches!(found, Some((_, New::Folder(_))))
    }
}
