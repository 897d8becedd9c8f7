//! Releases of Go: the list that go.dev has, and which of several is meant.

use serde::Deserialize;
use treelay_recipes::recipe::GoRelease;
use treelay_recipes::{Arch, Digest};

/// A release in the list (`?mode=json`, go.dev/dl).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Release {
    /// With `go` in front.
    version: String,
    files: Vec<ReleaseFile>,
}

/// A file of a release.
#[derive(Debug, Clone, Deserialize)]
struct ReleaseFile {
    filename: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    size: u64,
}

/// The file of a release for an arch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Without `go` in front.
    pub version: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its size in bytes, where the list tells.
    pub size: Option<u64>,
}

/// The name of the official file.
pub(super) fn file_name(version: &str, arch: Arch) -> String {
    format!("go{version}.linux-{}.tar.gz", arch.go())
}

/// Versions named when the one that was asked for is not there.
const NEAREST: usize = 5;

/// The newest release in a list that is meant and has a file for the arch; else the newest that are
/// there.
pub(super) fn choose(
    list: &[Release],
    wanted: GoRelease<'_>,
    arch: Arch,
) -> Result<Found, Vec<String>> {
    let mut there: Vec<Found> = list
        .iter()
        .filter_map(|release| {
            let version = release.version.strip_prefix("go")?.to_owned();
            let name = file_name(&version, arch);
            let file = release.files.iter().find(|file| file.filename == name)?;
            let sha256 = Digest::from_hex(&file.sha256).ok()?;
            Some(Found { version, sha256, size: Some(file.size).filter(|size| *size > 0) })
        })
        .collect();
    there.sort_by_cached_key(|found| std::cmp::Reverse(order(&found.version)));
    match there.iter().position(|found| wanted.is(&found.version)) {
        Some(at) => Ok(there.swap_remove(at)),
        None => Err(there.into_iter().map(|found| found.version).take(NEAREST).collect()),
    }
}

/// The newest of `versions` that is meant.
pub(super) fn newest<'v>(
    versions: impl Iterator<Item = &'v str>,
    wanted: GoRelease<'_>,
) -> Option<&'v str> {
    versions.filter(|version| wanted.is(version)).max_by_key(|version| order(version))
}

/// By what releases are sorted: numbers, where a beta comes before a candidate and that before all
/// else, as in Go's own order (go/version).
fn order(version: &str) -> (u64, u64, u64, u8, u64) {
    let mut parts = version.split('.');
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    let major = number(parts.next());
    let second = parts.next().unwrap_or_default();
    let digits = second.find(|c: char| !c.is_ascii_digit()).unwrap_or(second.len());
    let (minor, rest) = second.split_at(digits);
    let (kind, before) = match (rest.strip_prefix("beta"), rest.strip_prefix("rc")) {
        (Some(number), _) => (0, number),
        (_, Some(number)) => (1, number),
        _ => (2, ""),
    };
    (major, number(Some(minor)), number(parts.next()), kind, number(Some(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(versions: &[&str]) -> Vec<Release> {
        let release = |version: &&str| {
            let filename = file_name(version, Arch::Arm64);
            let sha256 = Digest::of(version).hex();
            let file = ReleaseFile { filename, sha256, size: 7 };
            Release { version: format!("go{version}"), files: vec![file] }
        };
        versions.iter().map(release).collect()
    }

    #[test]
    fn the_newest_that_is_meant() {
        let list = list(&["1.9.7", "1.27.10", "1.27.9", "1.28rc1", "1.28beta2", "1.27", "1.3"]);
        for (wanted, expected) in [
            ("stable", Ok("1.27.10")),
            ("1.27", Ok("1.27.10")),
            ("1.27.9", Ok("1.27.9")),
            ("1.28rc1", Ok("1.28rc1")),
            ("1.9", Ok("1.9.7")),
            ("1.28", Err("1.28rc1, 1.28beta2, 1.27.10, 1.27.9, 1.27")),
        ] {
            let found = choose(&list, GoRelease::of(wanted), Arch::Arm64);
            let found = found.map(|found| found.version).map_err(|there| there.join(", "));
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{wanted}");
            assert!(choose(&list, GoRelease::of(wanted), Arch::Amd64).is_err());
        }
        let versions = ["1.27.2", "1.27.10", "1.28rc1"].into_iter();
        assert_eq!(newest(versions, GoRelease::Stable), Some("1.27.10"));
    }
}
