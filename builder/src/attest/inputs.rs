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
            format!("git+{}@{commit}", address(&input.from))
        }
        _ => match of_pypi(input) {
            Some([package, version, file]) => {
                purl("pypi", package, Some(version), &[("file_name", file)])
            }
            None => address(&input.from),
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

/// What stands in the place of a secret.
const HIDDEN: &str = "…";

/// An address without what may be secret in it: user and password, of which ssh's user alone is no
/// secret, and the whole query and fragment. What is no address is as it was.
pub(super) fn address(text: &str) -> String {
    let clean = without_users(text);
    let Some(scheme) = clean.find("://") else { return clean };
    let end = clean[scheme..].find(['?', '#']).map_or(clean.len(), |at| scheme + at);
    clean[..end].to_owned()
}

/// A text without the secrets of the addresses in it: without users and passwords as in
/// [`address`], and with [`HIDDEN`] in the place of the values in queries and fragments, whose names
/// stay.
pub(super) fn without_secrets(text: &str) -> String {
    let text = without_users(text);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let (url, next) = after.split_at(after.find(ends_address).unwrap_or(after.len()));
        let (path, parameters) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
        clean.push_str(path);
        for parameter in parameters.split_inclusive(['?', '#', '&', ';']) {
            hide(parameter, &mut clean);
        }
        rest = next;
    }
    clean + rest
}

/// White space and double quotes are in no address; everything else is in some password.
fn ends_address(c: char) -> bool {
    c.is_whitespace() || c == '"'
}

/// One parameter, with what separates it from the next: `NAME=VALUE&`, or a value alone.
fn hide(parameter: &str, clean: &mut String) {
    let value = parameter.trim_end_matches(['?', '#', '&', ';']);
    let separator = &parameter[value.len()..];
    // What closes a list or a quote around an address.
    let bare = value.trim_end_matches(['\'', ',', ']', ')', '}', '>']);
    let closing = &value[bare.len()..];
    let name = bare.find('=').map_or(0, |at| at + 1);
    clean.push_str(&bare[..name]);
    if name < bare.len() {
        clean.push_str(HIDDEN);
    }
    clean.push_str(closing);
    clean.push_str(separator);
}

fn without_users(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let ends = |c: char| ends_address(c) || matches!(c, '/' | '?' | '#');
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
    fn secrets_in_a_text_stay_at_home() {
        for (text, expected) in [
            (
                "urls: [https://u:p@a.example/x, http://t@b/y]",
                "urls: [https://a.example/x, http://b/y]",
            ),
            ("[https://u:p@a/x,http://t@b/y]", "[https://a/x,http://b/y]"),
            ("ssh://git@a.example/x", "ssh://git@a.example/x"),
            ("ssh://git:p@a.example/x", "ssh://a.example/x"),
            ("https://u:p@ss@a.example", "https://a.example"),
            ("https://ci:p,w0rd'x@a/x?access_token=SECRET", "https://a/x?access_token=…"),
            ("https://ci:p[1]{2}<3>(4)@a/x", "https://a/x"),
            ("\"https://ci:p,w@a/x\": \"http://b:c@d\"", "\"https://a/x\": \"http://d\""),
            ("'https://a/x?t=SECRET'", "'https://a/x?t=…'"),
            ("[https://a/x?t=S, https://b/y?t=S]", "[https://a/x?t=…, https://b/y?t=…]"),
            ("https://a/x?t=S,E'C&v=2&w", "https://a/x?t=…&v=…&…"),
            ("https://a/x?a=1;b=2#c=3", "https://a/x?a=…;b=…#c=…"),
            ("https://a/x?SECRET", "https://a/x?…"),
            ("https://a/x#SECRET", "https://a/x#…"),
            ("https://a/x?sig=c2VjcmV0PQ==", "https://a/x?sig=…"),
            ("https://a?t=@z", "https://a?t=…"),
            ("https://a/x?next=https://u:p@b/?t=S", "https://a/x?next=…?t=…"),
            ("see https://a.example? or b?c=d", "see https://a.example? or b?c=d"),
            ("https://a/x # why=not", "https://a/x # why=not"),
            ("git@a.example:x and ://", "git@a.example:x and ://"),
            ("plain é text", "plain é text"),
        ] {
            assert_eq!(without_secrets(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_have_no_secrets() {
        for (text, expected) in [
            (
                "https://ci:p,w0rd'x@a.example/x.tar?access_token=SECRET#SECRET",
                "https://a.example/x.tar",
            ),
            ("https://a.example#SECRET?x", "https://a.example"),
            ("docker://u:p@a.example/app:1", "docker://a.example/app:1"),
            ("ssh://git@a.example/x", "ssh://git@a.example/x"),
            ("ssh://git:p@a.example/x", "ssh://a.example/x"),
            ("registry.example/app:1", "registry.example/app:1"),
            ("files/what?#1.tar", "files/what?#1.tar"),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }
}
