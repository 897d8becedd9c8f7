//! Packages that distributions keep a database of: Debian's and Alpine's.

use std::collections::BTreeMap;

use super::purl::purl;
use super::{Package, PackageKind};

/// Which system a base is of, by os-release(5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System {
    /// `debian`.
    pub id: String,
    /// `12`; empty where it is not said, as for Debian's testing.
    pub version: String,
    /// For people: `Debian GNU/Linux 12 (bookworm)`.
    pub title: String,
}

impl System {
    /// Reads os-release; `None` without an ID.
    pub fn parse(text: &str) -> Option<Self> {
        let mut system = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.trim().split_once('=') else { continue };
            let quotes = ['"', '\''];
            let value = match value.strip_prefix(quotes).and_then(|it| it.strip_suffix(quotes)) {
                Some(quoted) => quoted.replace("\\\"", "\"").replace("\\$", "$"),
                None => value.to_owned(),
            };
            match name {
                "ID" => system.id = value,
                "VERSION_ID" => system.version = value,
                "PRETTY_NAME" => system.title = value,
                _ => {}
            }
        }
        (!system.id.is_empty()).then_some(system)
    }

    /// How package URLs name it: `debian-12`.
    fn distro(&self) -> String {
        match &*self.version {
            "" => self.id.clone(),
            version => format!("{}-{version}", self.id),
        }
    }
}

/// The packages of a dpkg database, `status` or a file of distroless' `status.d`, that are
/// installed. `found` is its path.
pub fn dpkg(text: &str, found: &str, system: Option<&System>) -> Vec<Package> {
    let mut packages = Vec::new();
    for stanza in stanzas(text) {
        let field = |name: &str| stanza.get(name).map_or("", String::as_str);
        let (name, version) = (field("Package"), field("Version"));
        // status.d says nothing of a status: what is there is installed.
        let installed = field("Status").is_empty() || field("Status").ends_with(" installed");
        if name.is_empty() || version.is_empty() || !installed {
            continue;
        }
        // `glibc (2.36-9)`, with a version only where it is another one.
        let (source, source_version) = match field("Source").split_once(" (") {
            Some((source, version)) => (source, version.trim_end_matches(')')),
            None => (field("Source"), ""),
        };
        let upstream = match source_version {
            "" => source.to_owned(),
            version => format!("{source}@{version}"),
        };
        let id = system.map_or("debian", |system| &system.id);
        let distro = system.map(System::distro).unwrap_or_default();
        let qualifiers =
            [("arch", field("Architecture")), ("distro", &distro), ("upstream", &upstream)];
        packages.push(Package {
            version: Some(version.to_owned()),
            ..Package::new(
                PackageKind::Library,
                name,
                purl("deb", &format!("{id}/{name}"), Some(version), &qualifiers),
                found,
            )
        });
    }
    packages
}

/// The packages of apk's `installed`, a file of one-letter fields (apk's documentation, "Installed
/// database V2").
pub fn apk(text: &str, found: &str, system: Option<&System>) -> Vec<Package> {
    let mut packages = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |letter: &str| {
            let mut lines = stanza.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(name, _)| *name == letter).map_or("", |(_, value)| value)
        };
        let (name, version) = (field("P"), field("V"));
        if name.is_empty() || version.is_empty() {
            continue;
        }
        let id = system.map_or("alpine", |system| &system.id);
        let distro = system.map(System::distro).unwrap_or_default();
        let upstream = if field("o") == name { "" } else { field("o") };
        let qualifiers = [("arch", field("A")), ("distro", &distro), ("upstream", upstream)];
        packages.push(Package {
            version: Some(version.to_owned()),
            licence: Some(field("L").to_owned()).filter(|text| !text.is_empty()),
            ..Package::new(
                PackageKind::Library,
                name,
                purl("apk", &format!("{id}/{name}"), Some(version), &qualifiers),
                found,
            )
        });
    }
    packages
}

/// The stanzas of a control file (deb822(5)), without continuation lines.
fn stanzas(text: &str) -> Vec<BTreeMap<&str, String>> {
    let mut all = vec![BTreeMap::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            all.push(BTreeMap::new());
        } else if !line.starts_with([' ', '\t'])
            && let Some((name, value)) = line.split_once(':')
            && let Some(stanza) = all.last_mut()
        {
            stanza.entry(name).or_insert_with(|| value.trim().to_owned());
        }
    }
    all.retain(|stanza| !stanza.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian() -> System {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";
        System::parse(text).unwrap()
    }

    #[test]
    fn os_release_says_which_system_it_is() {
        let system = debian();
        assert_eq!((&*system.id, &*system.version), ("debian", "12"));
        assert_eq!(system.title, "Debian GNU/Linux 12 (bookworm)");
        let sid = System::parse("ID=debian\nNAME='x'\n").unwrap();
        assert_eq!(sid.distro(), "debian");
        assert_eq!(System::parse("NAME=x\n"), None);
    }

    #[test]
    fn dpkg_names_what_is_installed() {
        let text = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\n\
                    Source: glibc\nVersion: 2.36-9+deb12u10\nDescription: C\n Package: none\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\n\
                    Version: 1\n\n\
                    Package: libgcc-s1\nArchitecture: arm64\n\
                    Source: gcc-12 (12.2.0-14)\nVersion: 1:12.2.0-14\n";
        let packages = dpkg(text, "var/lib/dpkg/status", Some(&debian()));
        let purls: Vec<_> = packages.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12&upstream=glibc",
                "pkg:deb/debian/libgcc-s1@1:12.2.0-14?arch=arm64&distro=debian-12\
                 &upstream=gcc-12%4012.2.0-14",
            ]
        );
        assert!(dpkg("", "", None).is_empty());
    }

    #[test]
    fn apk_names_what_is_installed() {
        let text = "C:Q1x=\nP:libcrypto3\nV:3.1.4-r5\nA:x86_64\nL:Apache-2.0\no:openssl\nF:lib\n\n\
                    P:musl\nV:1.2.4-r2\nA:x86_64\no:musl\nL:MIT\n\n";
        let system = System { id: "alpine".into(), version: "3.18.5".into(), title: String::new() };
        let packages = apk(text, "lib/apk/db/installed", Some(&system));
        let purls: Vec<_> = packages.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:apk/alpine/libcrypto3@3.1.4-r5?arch=x86_64&distro=alpine-3.18.5\
                 &upstream=openssl",
                "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.5",
            ]
        );
        assert_eq!(packages[1].licence.as_deref(), Some("MIT"));
    }
}
