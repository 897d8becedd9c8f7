//! Scopes: which may stand in a policy, and which holds for an image.

use treelay_recipes::Digest;

use super::{Policy, Requirement};
use crate::hosts::Reference;

/// The transports of containers/image (`transports/alltransports`): `docker`, that of registries,
/// and those of what is on this machine or, `atomic`, in a cluster.
pub const TRANSPORTS: [&str; 11] = [
    "docker",
    "atomic",
    "containers-storage",
    "dir",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "ostree",
    "sif",
    "tarball",
];

/// Requirements and where they were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The scope; [`None`] for the default of the whole policy.
    pub scope: Option<&'a str>,
    /// All of them must be met.
    pub requirements: &'a [Requirement],
}

impl Found<'_> {
    /// Where it stands, in words.
    pub fn place(&self) -> String {
        match self.scope {
            None => "default".to_owned(),
            Some("") => "transports.docker.\"\"".to_owned(),
            Some(scope) => format!("transports.docker.{scope:?}"),
        }
    }
}

impl Policy {
    /// The scopes of a transport.
    pub fn scopes(&self, transport: &str) -> &[(String, Vec<Requirement>)] {
        let found = self.transports.iter().find(|known| known.name == transport);
        found.map_or(&[], |found| &found.scopes)
    }

    /// What holds for an image of a registry: the most specific scope alone.
    pub fn lookup(&self, image: &Reference) -> Found<'_> {
        self.lookup_in("docker", &namespaces(image))
    }

    /// What holds for an image of a transport, by its scopes from the most specific to the least.
    pub fn lookup_in(&self, transport: &str, namespaces: &[String]) -> Found<'_> {
        let scopes = self.scopes(transport);
        let find = |name: &str| scopes.iter().find(|(scope, _)| scope == name);
        let names = namespaces.iter().map(String::as_str).chain([""]);
        match names.filter_map(find).next() {
            Some((scope, requirements)) => Found { scope: Some(scope), requirements },
            None => Found { scope: None, requirements: &self.default },
        }
    }
}

/// The scopes that cover an image of a registry, the most specific first: its tag or digest, its
/// repository, the namespaces above, the host, and `*.` with each domain above that
/// (`docker/policyconfiguration/naming.go`). Of a name with tag and digest the tag counts not:
/// containers/image refuses such names before.
pub fn namespaces(image: &Reference) -> Vec<String> {
    let name = image.repository.to_string();
    let mut scopes = Vec::new();
    match (&image.tag, &image.digest) {
        (_, Some(digest)) => scopes.push(format!("{name}@{digest}")),
        (Some(tag), None) => scopes.push(format!("{name}:{tag}")),
        (None, None) => {}
    }
    let mut rest = name.as_str();
    scopes.push(rest.to_owned());
    while let Some((above, _)) = rest.rsplit_once('/') {
        scopes.push(above.to_owned());
        rest = above;
    }
    let mut domain = rest.split_once(':').map_or(rest, |(host, _)| host);
    while let Some((_, above)) = domain.split_once('.') {
        scopes.push(format!("*.{above}"));
        domain = above;
    }
    scopes
}

/// What holds for an image of which `scope`, of a policy or of registries.d, is the most specific
/// scope: itself and those above it, as [`namespaces`] has them; none for `""`. [`None`] where no
/// image is in it.
pub fn above(scope: &str) -> Option<Vec<String>> {
    if scope.is_empty() {
        return Some(Vec::new());
    }
    // Any image of it will do.
    let name = match scope.strip_prefix("*.") {
        Some(domain) => format!("any.{domain}/x:x"),
        None if !scope.contains('/') => format!("{scope}/x:x"),
        None => scope.to_owned(),
    };
    let mut names = namespaces(&name.parse().ok()?);
    let at = names.iter().position(|name| name == scope)?;
    Some(names.split_off(at))
}

/// Whether `scope` may stand under `transport`: each transport's `ValidatePolicyConfigurationScope`.
/// A transport that containers/image does not know may have any.
///
/// # Errors
/// Why not.
pub(super) fn check(transport: &str, scope: &str) -> Result<(), String> {
    match transport {
        "dir" => absolute(scope, scope),
        "oci" | "oci-archive" | "sif" => {
            let (path, _) = scope.split_once(':').unwrap_or((scope, ""));
            absolute(scope, path)
        }
        "docker-archive" | "tarball" => {
            Err(format!("{transport} takes no scope but the empty one, found {scope:?}"))
        }
        "docker-daemon" if scope.parse::<Digest>().is_ok() => {
            Err(format!("a digest is no scope of docker-daemon: {scope}"))
        }
        "atomic" => {
            let parts: Vec<&str> = scope.split('/').collect();
            let tags = parts.last().map_or(0, |last| last.matches(':').count());
            let middle = parts.get(1).filter(|_| parts.len() == 3);
            let fits = match parts.len() {
                1 => true,
                2 => tags == 0,
                3 => tags <= 1 && middle.is_none_or(|middle| !middle.contains(':')),
                _ => false,
            };
            match fits {
                true => Ok(()),
                false => Err(format!(
                    "{scope:?} is not HOST[:PORT][/NAMESPACE[/STREAM[:TAG]]], as atomic has it"
                )),
            }
        }
        // `[DRIVER@GRAPHROOT+RUNROOT]`, or with a name behind: storage/storage_transport.go.
        "containers-storage" if !scope.starts_with('[') || !scope.contains(']') => Err(format!(
            "{scope:?} does not begin with a storage in brackets, as containers-storage has it"
        )),
        _ => Ok(()),
    }
}

fn absolute(scope: &str, path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("{scope:?} must be an absolute path"));
    }
    if scope == "/" {
        return Err("\"/\" is no scope: use the empty one".to_owned());
    }
    let clean = path == "/"
        || (!path.ends_with('/')
            && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | "..")));
    match clean {
        true => Ok(()),
        false => Err(format!("{scope:?} is not the shortest form of its path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_from_the_most_specific_to_the_least() {
        let digest = Digest::of("x");
        let by_digest = format!("h.example:5000/a/b@{digest}");
        for (image, scopes) in [
            (
                "registry.sub.example:5000/a/b:1",
                "registry.sub.example:5000/a/b:1 registry.sub.example:5000/a/b \
                 registry.sub.example:5000/a registry.sub.example:5000 *.sub.example *.example"
                    .to_owned(),
            ),
            (
                "alpine:3",
                "docker.io/library/alpine:3 docker.io/library/alpine docker.io/library docker.io *.io"
                    .to_owned(),
            ),
            (
                by_digest.as_str(),
                format!("{by_digest} h.example:5000/a/b h.example:5000/a h.example:5000 *.example"),
            ),
            ("localhost/a:1", "localhost/a:1 localhost/a localhost".to_owned()),
        ] {
            assert_eq!(namespaces(&image.parse().unwrap()).join(" "), scopes);
        }
    }

    #[test]
    fn scopes_above_a_scope() {
        for (scope, scopes) in [
            ("", Some("")),
            ("h.sub.example:5000", Some("h.sub.example:5000 *.sub.example *.example")),
            ("h.example", Some("h.example *.example")),
            ("*.sub.example", Some("*.sub.example *.example")),
            ("h.example/a", Some("h.example/a h.example *.example")),
            ("h.example/a:1", Some("h.example/a:1 h.example/a h.example *.example")),
            ("localhost", Some("localhost")),
            ("alpine", None),
            ("docker://h.example/a", None),
            ("H.example/A", None),
            ("*", None),
        ] {
            let found = above(scope).map(|scopes| scopes.join(" "));
            assert_eq!(found.as_deref(), scopes, "{scope}");
        }
    }

    #[test]
    fn the_most_specific_scope_alone_holds() {
        let text = |scopes: &str| {
            format!(r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{{scopes}}}}}}}"#)
        };
        let any = r#"[{"type":"insecureAcceptAnything"}]"#;
        for (scopes, image, found) in [
            (
                format!(r#""":{any},"h.example":{any},"h.example/a":{any}"#),
                "h.example/a/b:1",
                Some("h.example/a"),
            ),
            (
                format!(r#""h.example/a/b:1":{any},"h.example/a/b":{any}"#),
                "h.example/a/b:1",
                Some("h.example/a/b:1"),
            ),
            (
                format!(r#""h.example/a/b:1":{any},"h.example/a/b":{any}"#),
                "h.example/a/b:2",
                Some("h.example/a/b"),
            ),
            (format!(r#""*.example":{any},"":{any}"#), "h.example/a:1", Some("*.example")),
            (format!(r#""*.h.example":{any},"":{any}"#), "h.example/a:1", Some("")),
            (format!(r#""h.example:5000":{any}"#), "h.example/a:1", None),
            (format!(r#""h.example/ab":{any}"#), "h.example/a:1", None),
            (
                format!(r#""alpine":{any},"docker.io/library":{any}"#),
                "alpine:1",
                Some("docker.io/library"),
            ),
        ] {
            let policy = Policy::parse(&text(&scopes)).unwrap();
            assert_eq!(policy.lookup(&image.parse().unwrap()).scope, found, "{scopes} {image}");
        }
    }

    #[test]
    fn scopes_of_transports() {
        let digest = Digest::of("x").to_string();
        for (transport, scope, fits) in [
            ("dir", "/a/b", true),
            ("dir", "a", false),
            ("dir", "/", false),
            ("dir", "/a/", false),
            ("dir", "/a/../b", false),
            ("oci", "/a:tag", true),
            ("oci", "a:tag", false),
            ("docker", "anything at all", true),
            ("docker-daemon", "h.example/a", true),
            ("docker-daemon", &digest, false),
            ("docker-archive", "/a", false),
            ("tarball", "x", false),
            ("atomic", "h.example:5000/ns/stream:tag", true),
            ("atomic", "h.example/a/b/c", false),
            ("atomic", "h.example/a:b/c", false),
            ("containers-storage", "[overlay@/var/lib/containers]", true),
            ("containers-storage", "h.example/a", false),
            ("nobody-knows", "x", true),
        ] {
            assert_eq!(check(transport, scope).is_ok(), fits, "{transport} {scope}");
        }
    }
}
