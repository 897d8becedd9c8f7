//! What is in the image of one arch: packages and files, found by looking.
//!
//! *Terms.* A **package** is anything that has a name in other people's lists: a Go distribution, a
//! module in a program, a package of the base's distribution, an input of the recipe. Its name for
//! scanners is its *package URL*, and two that have the same are the same. A **gap** is something
//! that is known to be there and is not looked into; documents say so.
//!
//! *Rules.* The layers of the recipe are known path by path, and so are listed. Of a base, which is
//! another's, the packages are listed: its files are in layers that the image names by digest.

mod go;
mod purl;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use treelay_layers::{Contents, Entry, Tree};
use treelay_recipes::Digest;

pub use purl::purl;
pub use system::System;

/// Something with a name in other people's lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What it is for.
    pub kind: PackageKind,
    /// Its own name.
    pub name: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// Its package URL.
    pub purl: String,
    /// Its name in the National Vulnerability Database, where scanners look it up by that.
    pub cpe: Option<String>,
    /// Its licence, where that is known: SPDX's name, or what its distribution says.
    pub licence: Option<String>,
    /// Of a Go module: its sum, `h1:…`.
    pub sum: Option<String>,
    /// Of an input that is one file: its digest.
    pub file: Option<Digest>,
    /// Paths where it was found; none for what only the recipe says.
    pub found: BTreeSet<String>,
    /// Package URLs of what it needs or consists of.
    pub needs: BTreeSet<String>,
    /// All files below this path, which ends in `/`, are its.
    pub covers: Option<String>,
}

/// What a package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageKind {
    /// It is run.
    Application,
    /// Others are made of it.
    Library,
    /// Files that an input brought.
    Data,
}

impl Package {
    /// One of which no more is known.
    pub fn new(kind: PackageKind, name: &str, purl: String, found: &str) -> Self {
        let found = if found.is_empty() { BTreeSet::new() } else { [found.to_owned()].into() };
        Self {
            kind,
            name: name.to_owned(),
            version: None,
            purl,
            cpe: None,
            licence: None,
            sum: None,
            file: None,
            found,
            needs: BTreeSet::new(),
            covers: None,
        }
    }

    /// Learns what another mention of the same package says.
    fn join(&mut self, other: Self) {
        self.found.extend(other.found);
        self.needs.extend(other.needs);
        // A module that is the main one of a program is also one that another needs.
        self.kind = self.kind.min(other.kind);
        self.cpe = self.cpe.take().or(other.cpe);
        self.licence = self.licence.take().or(other.licence);
        self.sum = self.sum.take().or(other.sum);
        self.file = self.file.or(other.file);
        self.covers = self.covers.take().or(other.covers);
    }
}

/// A file of the recipe's layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path, without a leading slash.
    pub path: String,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
    /// Whether it is a program that Go's linker made.
    pub is_program: bool,
    /// The layer that it is of.
    pub layer: usize,
    /// The package URL of the package that covers it.
    pub package: Option<String>,
}

/// Packages and files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The base's system.
    pub system: Option<System>,
    /// Sorted by package URL, each once.
    pub packages: Vec<Package>,
    /// The recipe's layers, lowest first.
    pub layers: Vec<String>,
    /// Sorted by path.
    pub files: Vec<ListedFile>,
    /// What is there and was not looked into, for people.
    pub gaps: Vec<String>,
}

/// A base and its layers, to look into.
pub struct Looked<'a> {
    /// What is in the base.
    pub base: Option<&'a Tree>,
    /// The recipe's layers, lowest first, by name.
    pub layers: &'a [(String, &'a Tree)],
    /// Gives the contents of all layers, and those of the base that [`wanted_of_base`] names.
    pub contents: &'a dyn Contents,
}

/// The smallest program that Go's linker makes has more.
const SMALLEST: u64 = 512 << 10;
/// More than any package database.
const MOST: u64 = 64 << 20;

/// In an image, in a commit, and where both links lead.
const OS_RELEASE: [&str; 3] = ["etc/os-release", "usr/etc/os-release", "usr/lib/os-release"];
const DPKG: &str = "var/lib/dpkg/status";
const DISTROLESS: &str = "var/lib/dpkg/status.d/";
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
const RPM: [&str; 3] = ["var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/"];
const RPM_FILES: [&str; 3] = ["rpmdb.sqlite", "Packages", "Packages.db"];

/// Contents of a base that have to be had before [`look`].
pub fn wanted_of_base(base: &Tree) -> BTreeSet<Digest> {
    let files = base.entries().iter().filter_map(|entry| Some((entry, entry.file()?)));
    files
        .filter(|(entry, (_, size))| {
            let path = entry.path.as_str();
            is_database(path) || is_version(path) || may_be_program(entry, *size)
        })
        .map(|(_, (digest, _))| *digest)
        .collect()
}

fn is_database(path: &str) -> bool {
    OS_RELEASE.contains(&path) || path == DPKG || is_distroless(path) || APK.contains(&path)
}

fn is_distroless(path: &str) -> bool {
    path.strip_prefix(DISTROLESS)
        .is_some_and(|name| !name.contains('/') && !name.ends_with(".md5sums"))
}

fn is_version(path: &str) -> bool {
    path == "VERSION" || path.ends_with("/VERSION")
}

fn is_rpm(path: &str) -> bool {
    RPM.iter().any(|folder| path.strip_prefix(folder).is_some_and(|it| RPM_FILES.contains(&it)))
}

fn may_be_program(entry: &Entry, size: u64) -> bool {
    entry.mode & 0o111 != 0 && size >= SMALLEST
}

/// Looks at everything. `inputs` are the packages that the recipe itself names.
///
/// # Errors
/// What reading a content met.
pub fn look(what: &Looked<'_>, inputs: Vec<Package>) -> io::Result<Inventory> {
    // Layers above replace what is below.
    let mut all: BTreeMap<&str, (&Entry, Option<usize>)> = BTreeMap::new();
    for entry in what.base.iter().flat_map(|base| base.entries()) {
        all.insert(entry.path.as_str(), (entry, None));
    }
    for (at, (_, tree)) in what.layers.iter().enumerate() {
        all.extend(tree.entries().iter().map(|entry| (entry.path.as_str(), (entry, Some(at)))));
    }
    let mut found = Found { what, all: &all, packages: BTreeMap::new() };
    let system = found.system()?;
    found.databases(system.as_ref())?;
    let programs = found.go()?;
    inputs.into_iter().for_each(|package| found.add(package));
    let gaps = all.keys().filter(|path| is_rpm(path));
    let gaps = gaps.map(|path| format!("packages of the RPM database /{path}")).collect();
    let packages: Vec<Package> = found.packages.into_values().collect();
    let covers: Vec<_> = packages
        .iter()
        .filter_map(|package| Some((package.covers.as_deref()?, &package.purl)))
        .collect();
    let files = all.iter().filter_map(|(path, (entry, layer))| {
        let (digest, size) = entry.file()?;
        let package = covers.iter().find(|(root, _)| path.starts_with(root));
        Some(ListedFile {
            path: (*path).to_owned(),
            digest: *digest,
            size,
            is_program: programs.contains(path),
            layer: (*layer)?,
            package: package.map(|(_, purl)| (*purl).clone()),
        })
    });
    let files = files.collect();
    let layers = what.layers.iter().map(|(name, _)| name.clone()).collect();
    Ok(Inventory { system, layers, files, gaps, packages })
}

struct Found<'a> {
    what: &'a Looked<'a>,
    all: &'a BTreeMap<&'a str, (&'a Entry, Option<usize>)>,
    packages: BTreeMap<String, Package>,
}

impl<'a> Found<'a> {
    fn add(&mut self, package: Package) {
        match self.packages.get_mut(&package.purl) {
            Some(there) => there.join(package),
            None => drop(self.packages.insert(package.purl.clone(), package)),
        }
    }

    fn text(&self, path: &str) -> io::Result<Option<String>> {
        let entry = self.all.get(path).and_then(|(entry, _)| entry.file());
        let Some((digest, size)) = entry else { return Ok(None) };
        let mut bytes = Vec::new();
        self.what.contents.open(digest, size)?.take(MOST).read_to_end(&mut bytes)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn system(&self) -> io::Result<Option<System>> {
        for path in OS_RELEASE {
            if let Some(system) = self.text(path)?.as_deref().and_then(System::parse) {
                return Ok(Some(system));
            }
        }
        Ok(None)
    }

    fn databases(&mut self, system: Option<&System>) -> io::Result<()> {
        let all = self.all;
        let dpkg = all.keys().filter(|path| **path == DPKG || is_distroless(path));
        for path in dpkg {
            let text = self.text(path)?.unwrap_or_default();
            system::dpkg(&text, path, system).into_iter().for_each(|package| self.add(package));
        }
        for path in APK {
            let text = self.text(path)?.unwrap_or_default();
            system::apk(&text, path, system).into_iter().for_each(|package| self.add(package));
        }
        Ok(())
    }

    /// The paths of Go's programs.
    fn go(&mut self) -> io::Result<BTreeSet<&'a str>> {
        let all = self.all;
        let mut programs = BTreeSet::new();
        for (path, (entry, _)) in all {
            let Some((digest, size)) = entry.file() else { continue };
            let root = path.strip_suffix("VERSION").filter(|_| is_version(path));
            if let Some(root) = root
                && all.contains_key(&*format!("{root}bin/go"))
                && let Some(version) = go::version_in(self.what.contents, digest, size)?
            {
                go::distribution(&version, root).into_iter().for_each(|package| self.add(package));
            }
            if may_be_program(entry, size)
                && let Some(info) = go::build_info(self.what.contents, digest, size)?
            {
                programs.insert(*path);
                go::program(&info, path).into_iter().for_each(|package| self.add(package));
            }
        }
        Ok(programs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use treelay_layers::TreePath;

    use super::*;

    /// Contents by digest.
    struct Memory(BTreeMap<Digest, Vec<u8>>);

    impl Contents for Memory {
        fn open(&self, digest: &Digest, _: u64) -> io::Result<Box<dyn io::Read + Send>> {
            let bytes = self.0.get(digest).ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(io::Cursor::new(bytes.clone())))
        }
    }

    fn tree(files: &[(&str, &str)], memory: &mut Memory) -> Tree {
        let mut entries = Vec::new();
        for (path, text) in files {
            let digest = Digest::of(text);
            memory.0.insert(digest, text.as_bytes().to_vec());
            let path = TreePath::new(path).unwrap();
            entries.push(Entry::new_file(path, 0o644, digest, text.len() as u64));
        }
        Tree::from_entries(entries).unwrap()
    }

    #[test]
    fn finds_what_is_there() {
        let mut memory = Memory(BTreeMap::new());
        let base = tree(
            &[
                ("etc/os-release", "ID=debian\nVERSION_ID=12\n"),
                ("usr/lib/os-release", "ID=other\n"),
                ("usr/share/rpm/rpmdb.sqlite", "x"),
                ("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\n"),
                ("var/lib/dpkg/status.d/base.md5sums", "Package: no\nVersion: 1\n"),
            ],
            &mut memory,
        );
        let layer = tree(
            &[
                ("usr/lib/go/VERSION", "go1.27.3\ntime 2026-01-01T00:00:00Z\n"),
                ("usr/lib/go/bin/go", "x"),
                ("usr/share/x/VERSION", "go1.1\n"),
            ],
            &mut memory,
        );
        let layers = [("go".to_owned(), &layer)];
        let what = Looked { base: Some(&base), layers: &layers, contents: &memory };
        let input = Package::new(PackageKind::Data, "x", "pkg:pypi/x@1".to_owned(), "");
        let found = look(&what, vec![input]).unwrap();
        let purls: Vec<_> = found.packages.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:deb/debian/base-files@12?distro=debian-12",
                "pkg:generic/go@1.27.3",
                "pkg:golang/stdlib@1.27.3",
                "pkg:golang/toolchain@1.27.3",
                "pkg:pypi/x@1",
            ]
        );
        let files: Vec<_> =
            found.files.iter().map(|file| (file.path.as_str(), file.package.is_some())).collect();
        let expected = [
            ("usr/lib/go/VERSION", true),
            ("usr/lib/go/bin/go", true),
            ("usr/share/x/VERSION", false),
        ];
        assert_eq!(files, expected);
        assert_eq!(found.gaps, ["packages of the RPM database /usr/share/rpm/rpmdb.sqlite"]);
        assert_eq!(wanted_of_base(&base).len(), 3);
    }
}
