//! Whether the dynamic programs and libraries of layers can be loaded in an image: their loader is
//! there, it is of the C library that they were linked for, the libraries that they name are there,
//! and these have the versions that they were linked with.
//!
//! Looked at are ELF files of the image's arch that are executable or called `*.so` or `*.so.N`:
//! nothing else is started or loaded by a path. What the base brings itself is taken to be whole.
//! A library counts as there wherever the image has a file of its name: programs are told by
//! wrappers and by each other where to look.

mod root;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use treelay_recipes::{Arch, Digest};

use crate::elf::{Elf, Program};
use crate::{Contents, Entry, Tree, TreePath};
use root::Root;

/// A file that the system has to load with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dynamic {
    /// Where it is.
    pub path: TreePath,
    /// What it needs.
    pub program: Program,
}

/// An image of layers, on a base or on nothing.
#[derive(Debug)]
pub struct Image<'a> {
    arch: Arch,
    base: Option<&'a str>,
    root: Root<'a>,
    /// The C libraries that are there, and the loaders that say so.
    libcs: Vec<(Libc, &'static str)>,
}

/// Why a program or library cannot be loaded in an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("/{path} {reason}")]
pub struct Unloadable {
    /// The file.
    pub path: TreePath,
    /// Why not.
    pub reason: Reason,
}

/// The rest of a sentence that begins with a file's path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It was linked for another C library.
    #[error("is linked for {libc} ({by}); {image} has {other} ({loader})")]
    OtherLibc {
        /// The C library.
        libc: Libc,
        /// What says so: its loader, or a library.
        by: String,
        /// What is there.
        other: Libc,
        /// The loader of that.
        loader: &'static str,
        /// The image, in words.
        image: String,
    },
    /// Its loader is not there.
    #[error("needs the loader {loader}, which is not in {image}")]
    NoLoader {
        /// PT_INTERP.
        loader: String,
        /// The image, in words.
        image: String,
    },
    /// Libraries are not there.
    #[error("needs {}, which {} not in {image}", .libraries.join(", "), are(.libraries))]
    NoLibraries {
        /// Their names.
        libraries: Vec<String>,
        /// The image, in words.
        image: String,
    },
    /// A library is too old.
    #[error("needs {version} of {library}; {}", offer(.most, .at, .image))]
    NoVersion {
        /// The version.
        version: String,
        /// The library.
        library: String,
        /// Where it is.
        at: String,
        /// The newest version that it has of those that are called alike.
        most: Option<String>,
        /// The image, in words.
        image: String,
    },
}

fn are(names: &[String]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}

fn offer(most: &Option<String>, at: &str, image: &str) -> String {
    match most {
        Some(most) => format!("/{at} in {image} has {most} at most"),
        None => format!("/{at} in {image} has no such version"),
    }
}

/// A C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Libc::Glibc => "glibc",
            Libc::Musl => "musl",
        })
    }
}

impl Libc {
    const ALL: [Self; 2] = [Self::Glibc, Self::Musl];

    /// The path of its loader, which is part of the platform's ABI.
    fn loader(self, arch: Arch) -> &'static str {
        match (self, arch) {
            (Self::Glibc, Arch::Amd64) => "/lib64/ld-linux-x86-64.so.2",
            (Self::Glibc, Arch::Arm64) => "/lib/ld-linux-aarch64.so.1",
            (Self::Glibc, Arch::Ppc64le) => "/lib64/ld64.so.2",
            (Self::Musl, Arch::Amd64) => "/lib/ld-musl-x86_64.so.1",
            (Self::Musl, Arch::Arm64) => "/lib/ld-musl-aarch64.so.1",
            (Self::Musl, Arch::Ppc64le) => "/lib/ld-musl-powerpc64le.so.1",
        }
    }

    /// The one that a program was linked for, and what says so.
    fn of(program: &Program, arch: Arch) -> Option<(Self, String)> {
        let by_loader = |loader: &String| {
            let libc = Self::ALL.into_iter().find(|libc| libc.loader(arch) == loader);
            Some((libc?, loader.clone()))
        };
        let by_library = |library: &String| match library.as_str() {
            "libc.so.6" => Some((Self::Glibc, library.clone())),
            name if name == "libc.so" || name.starts_with("libc.musl-") => {
                Some((Self::Musl, library.clone()))
            }
            _ => None,
        };
        match &program.interpreter {
            Some(loader) => by_loader(loader),
            None => program.needed.iter().find_map(by_library),
        }
    }

    /// Whether its loader is the library of this name itself (musl's dynlink.c, `load_library`).
    fn has_inside(self, library: &str) -> bool {
        let inside = ["libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."];
        self == Self::Musl && inside.iter().any(|name| library.starts_with(name))
    }
}

/// The dynamic programs and libraries for `arch` in a layer.
///
/// # Errors
/// What reading a content met, with the file's path; headers that make no sense are one of these.
pub fn dynamic(
    tree: &Tree,
    arch: Arch,
    contents: &dyn Contents,
) -> Result<Vec<Dynamic>, (TreePath, io::Error)> {
    let mut found = Vec::new();
    for entry in tree.entries().iter().filter(|entry| may_be_loaded(entry)) {
        let Some((digest, size)) = entry.file() else { continue };
        let open = || contents.open(digest, size);
        let read = || -> io::Result<Option<Program>> {
            if Elf::read(&mut open()?)? != Some(Elf::of(arch)) {
                return Ok(None);
            }
            Program::read_loaded(&open).map(Some)
        };
        match read() {
            Ok(Some(program)) if program.interpreter.is_some() || !program.needed.is_empty() => {
                found.push(Dynamic { path: entry.path.clone(), program });
            }
            Ok(_) => {}
            // Not for the system to load, whatever it is.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return Err((entry.path.clone(), error)),
        }
    }
    Ok(found)
}

fn may_be_loaded(entry: &Entry) -> bool {
    let name = entry.path.name();
    let is_library = || {
        name.match_indices(".so").any(|(at, _)| {
            let rest = &name[at + 3..];
            rest.is_empty()
                || rest.starts_with('.') && rest.bytes().all(|b| b == b'.' || b.is_ascii_digit())
        })
    };
    entry.mode & 0o111 != 0 || is_library()
}

impl<'a> Image<'a> {
    /// `trees` are what the image is made of, the lowest first; `base` is what messages call the
    /// base, which then is the first of them.
    pub fn new(arch: Arch, base: Option<&'a str>, trees: Vec<&'a Tree>) -> Self {
        let root = Root::new(trees);
        let libcs = Libc::ALL.into_iter().map(|libc| (libc, libc.loader(arch)));
        let libcs = libcs.filter(|(_, loader)| root.file(loader).is_some()).collect();
        Self { arch, base, root, libcs }
    }

    /// The libraries of which a file needs versions: contents that [`Image::problem`] wants to know
    /// the versions of, and where they are.
    pub fn libraries(&self, file: &Dynamic) -> BTreeMap<(Digest, u64), String> {
        let of_libraries: BTreeSet<&str> =
            file.program.requires.iter().map(|required| required.library.as_str()).collect();
        let found = of_libraries.into_iter().filter_map(|name| self.library(file, name));
        found
            .filter_map(|(at, entry)| Some((entry.file()?, at)))
            .map(|((d, s), at)| ((*d, s), at))
            .collect()
    }

    /// Why a file cannot be loaded: the first reason; `None` where it can. `provides` has the
    /// versions of [`Image::libraries`].
    pub fn problem(
        &self,
        file: &Dynamic,
        provides: &BTreeMap<Digest, Vec<String>>,
    ) -> Option<Unloadable> {
        let reason = self.reason(file, provides)?;
        Some(Unloadable { path: file.path.clone(), reason })
    }

    fn reason(&self, file: &Dynamic, provides: &BTreeMap<Digest, Vec<String>>) -> Option<Reason> {
        let (program, image) = (&file.program, self.words());
        let libc = Libc::of(program, self.arch);
        let loader = program.interpreter.as_ref();
        let has_loader = loader.is_none_or(|loader| self.root.file(loader).is_some());
        if let Some((libc, by)) = &libc
            && !(loader.is_some() && has_loader)
            && !self.libcs.iter().any(|(there, _)| there == libc)
            && let Some((other, loader)) = self.libcs.first().copied()
        {
            return Some(Reason::OtherLibc { libc: *libc, by: by.clone(), other, loader, image });
        }
        if let Some(loader) = loader.filter(|_| !has_loader) {
            return Some(Reason::NoLoader { loader: loader.clone(), image });
        }
        // gcompat: musl in glibc's place, which stands in for all of glibc's libraries.
        let only_musl = self.libcs.iter().all(|(libc, _)| *libc == Libc::Musl)
            || self.root.file("/lib/libgcompat.so.0").is_some();
        let libc = if only_musl && !self.libcs.is_empty() {
            Some(Libc::Musl)
        } else {
            libc.map(|it| it.0)
        };
        let inside = |name: &str| libc.is_some_and(|libc| libc.has_inside(name));
        let missing = program.needed.iter().filter(|name| !inside(name));
        let missing = missing.filter(|name| self.library(file, name).is_none());
        let libraries: Vec<String> = missing.cloned().collect();
        if !libraries.is_empty() {
            return Some(Reason::NoLibraries { libraries, image });
        }
        // musl's loader does not look at versions.
        if libc == Some(Libc::Musl) {
            return None;
        }
        let mut newest: Option<Reason> = None;
        for required in &program.requires {
            let Some((at, entry)) = self.library(file, &required.library) else { continue };
            let Some(offered) = entry.file().and_then(|(digest, _)| provides.get(digest)) else {
                continue;
            };
            // A library without versions is loaded with a warning at most.
            if offered.is_empty() || offered.contains(&required.version) {
                continue;
            }
            let newer = match &newest {
                Some(Reason::NoVersion { version, .. }) => {
                    order(&required.version) > order(version)
                }
                _ => true,
            };
            if newer {
                let (name, _) = order(&required.version);
                let alike = offered.iter().filter(|version| order(version).0 == name);
                newest = Some(Reason::NoVersion {
                    version: required.version.clone(),
                    library: required.library.clone(),
                    at,
                    most: alike.max_by_key(|version| order(version).1).cloned(),
                    image: image.clone(),
                });
            }
        }
        newest
    }

    /// A library that a file names: where it is.
    fn library(&self, file: &Dynamic, name: &str) -> Option<(String, &'a Entry)> {
        if name.contains('/') {
            return self.root.file(name);
        }
        let origin = file.path.parent().map_or(String::new(), |parent| format!("/{parent}"));
        let own = file
            .program
            .run_path
            .iter()
            .map(|folder| folder.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin));
        let multiarch = match self.arch {
            Arch::Amd64 => "x86_64-linux-gnu",
            Arch::Arm64 => "aarch64-linux-gnu",
            Arch::Ppc64le => "powerpc64le-linux-gnu",
        };
        let multiarch = ["/lib", "/usr/lib"].map(|folder| format!("{folder}/{multiarch}"));
        let usual = ["/lib64", "/usr/lib64", "/lib", "/usr/local/lib", "/usr/lib"];
        let mut folders = own.chain(multiarch).chain(usual.map(str::to_owned));
        folders
            .find_map(|folder| self.root.file(&format!("{folder}/{name}")))
            .or_else(|| self.root.anywhere(name))
    }

    /// What messages call it.
    fn words(&self) -> String {
        match self.base {
            Some(base) => format!("the base {base}"),
            None => "the image".to_owned(),
        }
    }
}

/// `GLIBC_2.38` as `GLIBC` and its numbers, to be compared.
fn order(version: &str) -> (&str, Vec<u64>) {
    let (name, numbers) = version.rsplit_once('_').unwrap_or((version, ""));
    (name, numbers.split('.').map(|number| number.parse().unwrap_or(0)).collect())
}
