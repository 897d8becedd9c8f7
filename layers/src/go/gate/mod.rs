//! [`Gate`]: whether a file is the static Go program that was asked for.

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use treelay_recipes::{Arch, Digest};

use super::BuildInfo;
use crate::Contents;
use crate::elf::{Elf, Program};

/// What a program must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate<'a> {
    /// Its arch.
    pub arch: Arch,
    /// The version of Go that made it, `1.27.3`.
    pub version: &'a str,
    /// Settings that it must say of itself, such as `CGO_ENABLED` and `0`.
    pub settings: Vec<(&'a str, &'a str)>,
    /// What must not be in it: paths of the place where it was built.
    pub paths: &'a [&'a str],
    /// How many bytes it may have.
    pub max_size: Option<u64>,
}

/// Why a file is not that program. Each is the rest of a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// It is larger than the recipe allows.
    #[error("has {size} bytes, and the recipe's max-size allows {most}")]
    TooLarge {
        /// Its length in bytes.
        size: u64,
        /// The budget.
        most: u64,
    },
    /// It is for another machine, or no program.
    #[error("is for {found}, but {expected} was asked for")]
    OtherMachine {
        /// What its ELF header says, or that it has none.
        found: String,
        /// What the arch would say.
        expected: Elf,
    },
    /// It needs a loader or libraries.
    #[error(
        "is not static: it needs {}; only what is static runs on every base",
        list(interpreter.iter().chain(libraries))
    )]
    Dynamic {
        /// The loader.
        interpreter: Option<String>,
        /// The libraries.
        libraries: Vec<String>,
    },
    /// It has no build info.
    #[error("has no Go build info: it is no Go program, or one that was changed after linking")]
    NotGo,
    /// Its build info says something else.
    #[error("says that its {name} is {found:?}, but {expected:?} was asked for")]
    Other {
        /// Of what.
        name: String,
        /// What it says; empty where it says nothing.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// It tells where it was built.
    #[error(
        "has a path of the place where it was built in it: {path} at byte {offset}{}",
        section(section_name)
    )]
    BuildPath {
        /// The path's beginning.
        path: String,
        /// Where in the file.
        offset: u64,
        /// In which section.
        section_name: Option<String>,
    },
    /// It could not be read.
    #[error("could not be read: {0}")]
    Reading(#[from] io::Error),
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn section(name: &Option<String>) -> String {
    name.as_ref().map_or(String::new(), |name| format!(", in {name}"))
}

impl Gate<'_> {
    /// Checks the program that is this content.
    ///
    /// # Errors
    /// [`GateError`]: the first thing that is wrong.
    pub fn check(
        &self,
        digest: &Digest,
        size: u64,
        contents: &dyn Contents,
    ) -> Result<BuildInfo, GateError> {
        if let Some(most) = self.max_size.filter(|most| size > *most) {
            return Err(GateError::TooLarge { size, most });
        }
        let open = || contents.open(digest, size);
        let expected = Elf::of(self.arch);
        let found = Elf::read(&mut open()?)?;
        if found != Some(expected) {
            let found = found.map_or("no ELF machine".to_owned(), |elf| elf.to_string());
            return Err(GateError::OtherMachine { found, expected });
        }
        let program = Program::read(&open)?;
        if program.interpreter.is_some() || !program.needed.is_empty() {
            let (interpreter, libraries) = (program.interpreter, program.needed);
            return Err(GateError::Dynamic { interpreter, libraries });
        }
        let info = BuildInfo::read(&program, &open)?.ok_or(GateError::NotGo)?;
        let other = |name: &str, found: &str, expected: &str| GateError::Other {
            name: name.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        };
        // Experiments stand behind a space.
        let version = info.version.split(' ').next().unwrap_or_default();
        let wanted = format!("go{}", self.version);
        if version != wanted {
            return Err(other("version of Go", &info.version, &wanted));
        }
        for (name, expected) in &self.settings {
            let found = info.settings.get(*name).map_or("", String::as_str);
            if found != *expected {
                return Err(other(name, found, expected));
            }
        }
        if let Some((path, offset)) = find(&mut open()?, self.paths)? {
            let section_name = program.section_at(offset).map(|section| section.name.clone());
            return Err(GateError::BuildPath { path, offset, section_name });
        }
        Ok(info)
    }
}

/// How a file is read.
const CHUNK: usize = 256 << 10;

/// The first of some texts, which all begin with a slash, that a file has in it, and where.
///
/// # Errors
/// What reading met.
pub fn find(file: &mut dyn Read, texts: &[&str]) -> io::Result<Option<(String, u64)>> {
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    let mut buffer = Vec::with_capacity(CHUNK + longest);
    let mut before = 0;
    loop {
        let read = file.take(CHUNK as u64).read_to_end(&mut buffer)?;
        let last = read == 0;
        // A text may go on in what comes next.
        let end = if last { buffer.len() } else { buffer.len().saturating_sub(longest) };
        let mut at = 0;
        while let Some(slash) = buffer[at..end].iter().position(|byte| *byte == b'/') {
            at += slash;
            if let Some(text) = texts.iter().find(|text| buffer[at..].starts_with(text.as_bytes()))
            {
                return Ok(Some(((*text).to_owned(), before + at as u64)));
            }
            at += 1;
        }
        if last {
            return Ok(None);
        }
        buffer.drain(..end);
        before += end as u64;
    }
}
