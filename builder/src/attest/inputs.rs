//! The inputs of a recipe as other tools name them.

use treelay_recipes::lock::{InputKind, LockedInput};
use treelay_recipes::{Arch, Lock};

use super::inventory::{Package, PackageKind, purl};
use crate::plan::{Plan, PlannedNeed};

/// Where a locked input is from, as a URI: a package URL of PyPI, an address, a path as the recipe
/// has it.
pub(super) fn uri(input: &LockedInput) -> String {
    match (input.kind, input.commit.as_deref()) {
        (InputKind::Git, Some(commit)) => {
            format!("git+{}@{commit}", without_secrets(&input.from))
        }
        _ => match of_pypi(input) {
            Some([package, version, file]) => {
                purl("pypi", package, Some(version), &[("file_name", file)])
            }
            None => without_secrets(&input.from),
        },
    }
}

/// Package, version and file of what is from PyPI.
fn of_pypi(input: &LockedInput) -> Option<[&str; 3]> {
    if input.source != treelay_recipes::recipe::Source::Pypi {
        return None;
    }
    let mut words = input.from.split(' ');
    Some([words.next()?, words.next()?, words.next()?])
}

/// The inputs whose files are in layers of an arch, as packages. Go distributions are none: they are
/// found in the layers, with their parts.
pub(super) fn packages(plan: &Plan, lock: &Lock, arch: Arch) -> Vec<Package> {
    let mut names: Vec<&str> = Vec::new();
    for need in plan.layers_of(arch).flat_map(|layer| &layer.needs) {
        if let PlannedNeed::Input { name, .. } = need
            && !names.contains(&name.as_str())
        {
            names.push(name);
        }
    }
    names.into_iter().filter_map(|name| package(lock.input(name, arch)?)).collect()
}

fn package(input: &LockedInput) -> Option<Package> {
    let file = input.file.map(|file| file.sha256);
    let known = |package| Some(Package { file, version: input.version.clone(), ..package });
    let data = |name: &str, purl| Package::new(PackageKind::Data, name, purl, "");
    match input.kind {
        InputKind::GoToolchain | InputKind::GoModules => None,
        InputKind::Pypi => {
            let [package, version, _] = of_pypi(input)?;
            let purl = purl("pypi", package, Some(version), &[]);
            let package = Package::new(PackageKind::Library, package, purl, "");
            Some(Package { file, version: Some(version.to_owned()), ..package })
        }
        InputKind::Git => {
            let (name, version, uri) = (&input.name, input.version.as_deref(), uri(input));
            known(data(name, purl("generic", name, version, &[("vcs_url", &uri)])))
        }
        InputKind::Archive => {
            let from = uri(input);
            let url = if from.contains("://") { &from } else { "" };
            let sum = file.map(|file| file.to_string()).unwrap_or_default();
            let qualifiers = [("checksum", &*sum), ("download_url", url)];
            let version = input.version.as_deref();
            known(data(&input.name, purl("generic", &input.name, version, &qualifiers)))
        }
    }
}

/// A text without what stands before the `@` of the addresses in it: users and passwords, of which
/// ssh's user alone is no secret.
pub(super) fn without_secrets(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | ',');
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let host = authority.rfind('@').map_or(0, |at| at + 1);
        let user = &authority[..host];
        if before.ends_with("ssh://") && !user.contains(':') {
            clean.push_str(user);
        }
        rest = &after[host..];
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_addresses_stay_at_home() {
        for (text, expected) in [
            ("https://a.example/x?y=@z", "https://a.example/x?y=@z"),
            (
                "urls: [https://u:p@a.example/x, http://t@b/y]",
                "urls: [https://a.example/x, http://b/y]",
            ),
            ("ssh://git@a.example/x", "ssh://git@a.example/x"),
            ("ssh://git:p@a.example/x", "ssh://a.example/x"),
            ("https://u:p@ss@a.example", "https://a.example"),
            ("git@a.example:x and ://", "git@a.example:x and ://"),
            ("plain é text", "plain é text"),
        ] {
            assert_eq!(without_secrets(text), expected);
        }
    }
}
