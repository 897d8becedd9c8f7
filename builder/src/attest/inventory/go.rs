//! Go in an image: distributions, and what programs say of the modules they were built from.

use std::io::{self, Read as _};

use treelay_layers::Contents;
use treelay_layers::elf::{Elf, Program};
use treelay_layers::go::{BuildInfo, BuiltModule, GoVersion};
use treelay_recipes::Digest;

use super::purl::{go_cpe, purl};
use super::{Package, PackageKind};

/// Go's terms, by SPDX's list of licences.
const LICENCE: &str = "BSD-3-Clause";
/// A VERSION file has 35 bytes.
const MOST: u64 = 4096;

/// What a VERSION file says, if it is a Go distribution's.
pub fn version_in(
    contents: &dyn Contents,
    digest: &Digest,
    size: u64,
) -> io::Result<Option<String>> {
    if size > MOST {
        return Ok(None);
    }
    let mut text = String::new();
    match contents.open(digest, size)?.take(MOST).read_to_string(&mut text) {
        Ok(_) => Ok(GoVersion::parse(&text).ok().map(|version| version.version)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

/// A Go distribution below `root`, and the names under which databases of vulnerabilities know what
/// is in it: its commands (`toolchain`) and its standard library (`stdlib`).
pub fn distribution(version: &str, root: &str) -> Vec<Package> {
    let found = format!("{root}VERSION");
    let commands = part("toolchain", version, &found);
    let library = standard_library(version, &found);
    let needs = [&commands, &library].map(|part| part.purl.clone()).into();
    let whole = Package {
        version: Some(version.to_owned()),
        cpe: Some(go_cpe(version)),
        licence: Some(LICENCE.to_owned()),
        covers: Some(root.to_owned()),
        needs,
        ..Package::new(
            PackageKind::Application,
            "go",
            purl("generic", "go", Some(version), &[]),
            &found,
        )
    };
    vec![whole, commands, library]
}

fn part(name: &str, version: &str, found: &str) -> Package {
    Package {
        version: Some(version.to_owned()),
        licence: Some(LICENCE.to_owned()),
        ..Package::new(PackageKind::Library, name, purl("golang", name, Some(version), &[]), found)
    }
}

/// The standard library, which is in every program.
fn standard_library(version: &str, found: &str) -> Package {
    Package { cpe: Some(go_cpe(version)), ..part("stdlib", version, found) }
}

/// What a file says of how it was built, where it is a 64-bit little-endian program that Go's
/// linker made.
pub fn build_info(
    contents: &dyn Contents,
    digest: &Digest,
    size: u64,
) -> io::Result<Option<BuildInfo>> {
    let open = || contents.open(digest, size);
    if !Elf::read(&mut open()?)?.is_some_and(|elf| elf.is_64 && elf.is_little) {
        return Ok(None);
    }
    // Anyone may have made the files of a base: what makes no sense is no program of Go's.
    let understood = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => Ok(None),
        _ => Err(error),
    };
    match Program::read(&open) {
        Ok(program) => BuildInfo::read(&program, &open).or_else(understood),
        Err(error) => understood(error),
    }
}

/// The packages in a program: the standard library, and of all but Go's own its main module and
/// those that it needs.
pub fn program(info: &BuildInfo, found: &str) -> Vec<Package> {
    // Experiments stand behind a space.
    let version = info.version.split(' ').next().unwrap_or_default();
    let version = version.strip_prefix("go").unwrap_or(version);
    let mut packages = vec![standard_library(version, found)];
    packages.extend(info.modules.iter().filter_map(|module| of_module(module, found)));
    if let Some(main) = &info.main {
        let mut main = match of_module(main, found) {
            Some(package) => Package { kind: PackageKind::Application, ..package },
            None => return packages,
        };
        main.needs = packages.iter().map(|package| package.purl.clone()).collect();
        // A module does not need itself.
        main.needs.remove(&main.purl);
        packages.insert(0, main);
    }
    packages
}

/// A module; none for one that was taken from a folder beside, which has no name for others.
fn of_module(module: &BuiltModule, found: &str) -> Option<Package> {
    if module.path.starts_with(['.', '/']) || module.path.is_empty() {
        return None;
    }
    let version = module.released();
    // In the module's own case: that is how databases of vulnerabilities have it.
    let purl = purl("golang", &module.path, version, &[]);
    Some(Package {
        version: version.map(str::to_owned),
        sum: Some(module.sum.clone()).filter(|sum| !sum.is_empty()),
        ..Package::new(PackageKind::Library, &module.path, purl, found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_needs_its_modules_and_the_standard_library() {
        let module = |path: &str, version: &str| BuiltModule {
            path: path.to_owned(),
            version: version.to_owned(),
            sum: "h1:x=".to_owned(),
        };
        let info = BuildInfo {
            version: "go1.27.3 X:boringcrypto".to_owned(),
            path: "example.org/x/cmd/x".to_owned(),
            main: Some(module("example.org/x", "(devel)")),
            modules: vec![module("golang.org/x/sys", "v0.30.0"), module("../beside", "(devel)")],
            ..BuildInfo::default()
        };
        let packages = program(&info, "usr/bin/x");
        let purls: Vec<_> = packages.iter().map(|package| package.purl.as_str()).collect();
        let expected = [
            "pkg:golang/example.org/x",
            "pkg:golang/stdlib@1.27.3",
            "pkg:golang/golang.org/x/sys@v0.30.0",
        ];
        assert_eq!(purls, expected);
        let needs: Vec<_> = packages[0].needs.iter().map(String::as_str).collect();
        assert_eq!(needs, [expected[2], expected[1]]);
        assert_eq!(packages[2].sum.as_deref(), Some("h1:x="));
    }

    #[test]
    fn a_distribution_has_the_names_of_its_parts() {
        let packages = distribution("1.27.3", "usr/lib/go/");
        let purls: Vec<_> = packages.iter().map(|package| package.purl.as_str()).collect();
        let expected =
            ["pkg:generic/go@1.27.3", "pkg:golang/toolchain@1.27.3", "pkg:golang/stdlib@1.27.3"];
        assert_eq!(purls, expected);
        assert_eq!(packages[0].covers.as_deref(), Some("usr/lib/go/"));
    }
}
