//! What Go's linker writes into a program about its build (`debug/buildinfo`).

use std::collections::BTreeMap;
use std::io;

use crate::elf::{Open, Program, read_at};

/// Version, main package and settings of a Go program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// `go1.27.3`, perhaps with experiments behind a space.
    pub version: String,
    /// The import path of its main package.
    pub path: String,
    /// The module that its main package is of; none for Go's own programs.
    pub main: Option<BuiltModule>,
    /// The modules that packages of it come from, in the linker's order: those that were really
    /// used, where go.mod replaces some.
    pub modules: Vec<BuiltModule>,
    /// `GOARCH`, `CGO_ENABLED`, `-trimpath` and so on.
    pub settings: BTreeMap<String, String>,
}

/// A module in a Go program.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuiltModule {
    /// Its path: `golang.org/x/sys`. Of a local replacement, a path of files: `../fork`.
    pub path: String,
    /// Its version, `v0.30.0`; empty or `(devel)` where it was built from files.
    pub version: String,
    /// Its sum, `h1:…`; empty where it was built from files.
    pub sum: String,
}

impl BuiltModule {
    /// What stands after `mod`, `dep` or `=>`.
    fn parse(text: &str) -> Self {
        let mut fields = text.split('\t').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        Self { path: next(), version: next(), sum: next() }
    }

    /// Its version, where it is of one.
    pub fn released(&self) -> Option<&str> {
        (!matches!(&*self.version, "" | "(devel)")).then_some(&self.version)
    }
}

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Magic, pointer size, flags, padding.
const HEADER: usize = 32;
/// The flag that says that the texts follow, which is so since Go 1.18.
const INLINE: u8 = 2;
/// Around the module's text, `runtime/debug`'s marks.
const MARK: usize = 16;

impl BuildInfo {
    /// Reads it from an ELF file; `None` where there is none that can be understood.
    ///
    /// # Errors
    /// What reading met.
    pub fn read(program: &Program, open: Open<'_>) -> io::Result<Option<Self>> {
        let Some(section) = program.section(".go.buildinfo") else { return Ok(None) };
        Ok(Self::parse(&read_at(open, section.offset, section.size)?))
    }

    fn parse(section: &[u8]) -> Option<Self> {
        if !section.starts_with(MAGIC) || section.get(MAGIC.len() + 1)? & INLINE == 0 {
            return None;
        }
        let mut rest = section.get(HEADER..)?;
        let version = text(&mut rest)?;
        let module = text(&mut rest)?;
        let module = module.get(MARK..module.len().checked_sub(MARK)?)?;
        let mut info =
            Self { version: String::from_utf8_lossy(version).into_owned(), ..Self::default() };
        let mut last_is_main = false;
        for line in String::from_utf8_lossy(module).lines() {
            match line.split_once('\t') {
                Some(("path", path)) => info.path = path.to_owned(),
                Some(("mod", main)) => {
                    info.main = Some(BuiltModule::parse(main));
                    last_is_main = true;
                }
                Some(("dep", module)) => {
                    info.modules.push(BuiltModule::parse(module));
                    last_is_main = false;
                }
                // Stands below the module that it is in the place of.
                Some(("=>", other)) => {
                    let replaced = match last_is_main {
                        true => info.main.as_mut(),
                        false => info.modules.last_mut(),
                    };
                    replaced.into_iter().for_each(|module| *module = BuiltModule::parse(other));
                }
                Some(("build", setting)) => {
                    if let Some((name, value)) = setting.split_once('=') {
                        info.settings.insert(name.to_owned(), value.to_owned());
                    }
                }
                _ => {}
            }
        }
        Some(info)
    }
}

/// A text with its length in front, as a varint.
fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (first, after) = rest.split_first()?;
        *rest = after;
        length |= usize::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(version: &str, module: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([8, INLINE]);
        bytes.resize(HEADER, 0);
        let module = format!("{}{module}{}", "m".repeat(MARK), "m".repeat(MARK));
        for text in [version, &module] {
            let mut length = text.len();
            while length >= 0x80 {
                bytes.push(length as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn says_what_the_linker_wrote() {
        let long = format!("build\t-tags={}\n", "x".repeat(200));
        let module =
            format!("path\tcmd/gofmt\nmod\texample.org/x\t(devel)\nbuild\tGOARCH=arm64\n{long}");
        let info = BuildInfo::parse(&section("go1.27.3", &module)).unwrap();
        assert_eq!((&*info.version, &*info.path), ("go1.27.3", "cmd/gofmt"));
        assert_eq!(info.settings["GOARCH"], "arm64");
        assert_eq!(info.settings["-tags"].len(), 200);
    }

    #[test]
    fn names_the_modules_that_were_used() {
        let text = "path\texample.org/x/cmd/x\n\
                    mod\texample.org/x\tv1.2.0\th1:a=\n\
                    dep\texample.org/y\tv0.1.0\n\
                    =>\texample.org/fork\tv0.1.1\th1:b=\n\
                    dep\texample.org/z\tv2.0.0+incompatible\th1:c=\n\
                    dep\texample.org/w\tv1.0.0\n\
                    =>\t./w\t(devel)\t\n";
        let info = BuildInfo::parse(&section("go1.27.3", text)).unwrap();
        let module = |path: &str, version: &str, sum: &str| BuiltModule {
            path: path.to_owned(),
            version: version.to_owned(),
            sum: sum.to_owned(),
        };
        assert_eq!(info.main, Some(module("example.org/x", "v1.2.0", "h1:a=")));
        let expected = [
            module("example.org/fork", "v0.1.1", "h1:b="),
            module("example.org/z", "v2.0.0+incompatible", "h1:c="),
            module("./w", "(devel)", ""),
        ];
        assert_eq!(info.modules, expected);
        assert_eq!(info.modules[1].released(), Some("v2.0.0+incompatible"));
        assert_eq!(info.modules[2].released(), None);
        let own = BuildInfo::parse(&section("go1.27.3", "path\tcmd/go\nbuild\tGOOS=linux\n"));
        assert_eq!(own.unwrap().main, None);
    }

    #[test]
    fn anything_else_is_none() {
        let whole = section("go1.27.3", "path\tx\n");
        let mut old = whole.clone();
        old[MAGIC.len() + 1] = 0;
        for bytes in [&b""[..], b"\xff Go", &whole[..40], &whole[..whole.len() - 1], &old] {
            assert_eq!(BuildInfo::parse(bytes), None);
        }
    }
}
