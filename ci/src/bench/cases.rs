//! All cases, in the order in which they run and their rows appear.

use anyhow::Result;

use super::row::Row;
use super::{Bench, commits, downloads, hosts, images, programs, scale, signing};

/// A piece of work and what is compared on it.
pub struct Case {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Runs it.
    pub run: fn(&Bench) -> Result<Vec<Row>>,
}

const fn case(
    name: &'static str,
    about: &'static str,
    run: fn(&Bench) -> Result<Vec<Row>>,
) -> Case {
    Case { name, about, run }
}

/// The cases.
pub const CASES: &[Case] = &[
    case("cold-gzip", "OCI layout of three arches, empty store, gzip", images::cold_gzip),
    case("cold-zstd", "the same, zstd", images::cold_zstd),
    case("sizes", "gzip layers against umoci's of the same files", images::sizes),
    case("unchanged", "OCI layout, nothing changed", images::unchanged),
    case("changed-all", "one source file changed on all arches, gzip", images::changed_on_all),
    case("changed-one", "the same on one arch only", images::changed_on_one),
    case("archive", "OSTree archive of three arches, empty store", commits::archive),
    case("bare-user", "OSTree bare-user of three arches, empty store", commits::bare_user),
    case("ostree-unchanged", "OSTree, nothing changed", commits::unchanged),
    case("both", "OCI and OSTree in one run, against one after the other", commits::both),
    case("over-base", "OSTree archive, Go over a base, empty store", hosts::over_base),
    case("encapsulate", "a commit as a container image", hosts::encapsulate),
    case("programs", "Go programs for three arches, empty store and cache", programs::cold),
    case("programs-unchanged", "Go programs, nothing changed", programs::unchanged),
    case("programs-changed", "one source file of a server changed", programs::changed),
    case("verify-image", "one signed image in a registry, verified", signing::verify),
    case("sign-index", "a three-arch index in a registry, signed", signing::sign),
    case("download", "an archive of 200 MB from a server on loopback", downloads::download),
    case("download-cut", "the same, the connection dropped at 90 percent", downloads::cut),
    case("modules", "1,000 small Go modules from a proxy on loopback", downloads::modules),
    case("modules-sumdb", "the same, with a checksum database", downloads::modules_sumdb),
    case("large-file", "a single large file", scale::large_file),
    case("layers", "more and more layers", scale::layers),
    case("files", "more and more files", scale::files),
];

#[cfg(test)]
mod tests {
    use super::CASES;

    #[test]
    fn names_are_there_once() {
        let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
