//! How Go is run in an action: everything that it could take from the machine is set or shut.

use std::collections::BTreeMap;
use std::time::Duration;

use treelay_recipes::{Arch, Digest};

use crate::Tree;
use crate::action::Cache;

/// Where GOCACHE is.
const CACHE: &str = "/tmp/treelay-go-cache";
/// A build that takes longer than this is one that hangs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3600);

/// What Go is always told. There is no HOME: so Go has no configuration and keeps no telemetry.
pub(crate) fn environment(arch: Arch) -> [(&'static str, &'static str); 15] {
    [
        ("CGO_ENABLED", "0"),
        ("GO111MODULE", "on"),
        ("GOARCH", arch.go()),
        ("GOCACHE", CACHE),
        ("GOENV", "off"),
        ("GOOS", "linux"),
        ("GOPATH", "/tmp/treelay-gopath"),
        ("GOPROXY", "off"),
        // Go finds its own place by /proc, which is not there.
        ("GOROOT", "/treelay/go"),
        ("GOSUMDB", "off"),
        ("GOTOOLCHAIN", "local"),
        ("GOVCS", "*:off"),
        ("LC_ALL", "C"),
        ("TMPDIR", "/tmp"),
        ("TZ", "UTC"),
    ]
}

/// GOCACHE of what a toolchain makes.
pub(crate) fn cache(toolchain: &Tree) -> Cache {
    Cache { at: CACHE, key: Some(Digest::of(format!("gocache-1 {}", toolchain.digest()))) }
}

/// GOCACHE of what must come from its sources alone, and from nothing that other builds left.
pub(crate) fn empty_cache() -> Cache {
    Cache { at: CACHE, key: None }
}

/// The variable that says the least processor, and what Go takes where nothing is said.
pub(crate) fn least_level(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::Amd64 => ("GOAMD64", "v1"),
        Arch::Arm64 => ("GOARM64", "v8.0"),
        Arch::Ppc64le => ("GOPPC64", "power8"),
    }
}

/// What the machine must be, in the names of the API's platform lexicon.
pub(crate) fn platform(machine: Arch) -> BTreeMap<String, String> {
    let isa = match machine {
        Arch::Amd64 => "x86-64",
        Arch::Arm64 => "arm-a64",
        Arch::Ppc64le => "ppc64le",
    };
    let root = crate::action::ROOT;
    [("ISA", isa), ("InputRootAbsolutePath", root), ("OSFamily", "linux")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// A toolchain as builds see it, without what is there for its tests alone: half of its files, and
/// putting them in place would take longer than a small program. No package of a distribution embeds
/// them.
pub(crate) fn without_tests(toolchain: &Tree) -> Tree {
    toolchain.filter(|entry| !is_of_tests(entry.path.as_str()))
}

fn is_of_tests(path: &str) -> bool {
    path.starts_with("src/")
        && (path.ends_with("_test.go") || path.split('/').any(|name| name == "testdata"))
}

#[cfg(test)]
mod tests {
    use super::is_of_tests;

    #[test]
    fn tests_of_the_toolchain_are_told_by_their_names() {
        for (path, tests) in [
            ("src/fmt/print.go", false),
            ("src/fmt/fmt_test.go", true),
            ("src/go/doc/testdata", true),
            ("src/go/doc/testdata/a0.go", true),
            ("src/encoding/json/internal/jsontest/testdata.go", false),
            ("src/internal/testdatas/a.go", false),
            ("pkg/tool/linux_amd64/test_test.go", false),
            ("lib/time/testdata/zone", false),
        ] {
            assert_eq!(is_of_tests(path), tests, "{path}");
        }
    }
}
