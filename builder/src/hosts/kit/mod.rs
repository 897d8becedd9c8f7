//! The kit: every file that a host needs to trust what some keys sign, and a script that puts them
//! in place.
//!
//! | file | says |
//! |---|---|
//! | `etc/containers/policy.json` | which images must be signed, and by which keys |
//! | `etc/containers/registries.d/….yaml` | that signatures are looked for beside images; off by default |
//! | `etc/pki/containers/….pub` | the keys |
//! | `etc/ostree/remotes.d/NAME.conf` | where commits come from, and which keys must have signed them |
//! | `etc/ostree/remotes.d/NAME.trustedkeys.gpg`, `etc/pki/ostree/NAME.…` | those keys |
//! | `install.sh`, `README.txt` | how they get to a host |
//! | `kit.sha256` | which files are the kit's, as `sha256sum --check` reads it |
//!
//! The policy rejects by default, because `ostree-image-signed:` refuses any other; so that a host
//! can still pull what it could, each transport accepts anything where nothing else is said.

mod remote;
mod script;
mod texts;

use treelay_recipes::Digest;
use treelay_signing::PublicKey;

pub use remote::{OstreeRemote, is_remote_name};

use super::json::{Layout, Value};
use super::policy::TRANSPORTS;
use super::rule::plain;
use super::{Reference, Rule};
use crate::image_store::Repository;

/// What a kit is made for.
#[derive(Debug, Clone, Default)]
pub struct KitOptions {
    /// The scopes whose images must be signed.
    pub scopes: Vec<String>,
    /// Other places that have copies of them with their signatures: hosts or namespaces that stand
    /// for the only scope.
    pub mirrors: Vec<String>,
    /// One of them must have signed.
    pub keys: Vec<PublicKey>,
    /// Where commits come from.
    pub remote: Option<OstreeRemote>,
    /// Whether images of registries that no scope covers are rejected.
    pub reject_others: bool,
    /// A policy to ship in place of a new one: the text that comes of [`merge`](super::merge::merge),
    /// and the digest of what it was made of.
    pub merged: Option<(String, Digest)>,
}

/// A file of a kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitFile {
    /// Below the kit's folder, and below the host's root.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A kit that is made and not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kit {
    /// In the order in which they are installed: keys first, the policy last.
    pub files: Vec<KitFile>,
    /// What its policy requires.
    pub rules: Vec<Rule>,
}

/// Why a kit cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KitError {
    /// Nothing to trust.
    #[error("no key was given")]
    NoKeys,
    /// Nothing to trust them for.
    #[error("there is neither an image nor a commit to trust the keys for")]
    Nothing,
    /// Not something that a policy can name.
    #[error(
        "{0:?} is no scope: expected a host, namespace or repository without a tag, as in \
         h.example/tools"
    )]
    NotAScope(String),
    /// A mirror stands for one scope.
    #[error("a mirror stands for one scope, and there are {0}: make a kit for each")]
    MirrorOfMany(usize),
    /// Remotes have names.
    #[error("{0:?} is no name of a remote: expected letters, digits, - _ and .")]
    RemoteName(String),
    /// A remote that would take any commit.
    #[error(
        "none of the keys can sign commits for the remote {0}: give --key with an ed25519 key, or \
         --gpg-keyring"
    )]
    RemoteWithoutKeys(String),
    /// What would break the lines of a configuration file.
    #[error("{what} {text:?} has characters that a configuration file cannot hold")]
    NotALine {
        /// What it is.
        what: &'static str,
        /// The text.
        text: String,
    },
}

/// Makes a kit.
///
/// # Errors
/// [`KitError`].
pub fn make(options: &KitOptions) -> Result<Kit, KitError> {
    if options.scopes.is_empty() && options.remote.is_none() {
        return Err(KitError::Nothing);
    }
    let options = &KitOptions { keys: distinct(&options.keys), ..options.clone() };
    let rules = rules(options)?;
    let mut files = Vec::new();
    if !rules.is_empty() {
        for key in &options.keys {
            files.push(file(key_path(key).trim_start_matches('/'), key.to_pem()));
        }
        for rule in &rules {
            let path = format!("etc/containers/registries.d/{}.yaml", slug(&rule.scope));
            files.push(file(&path, registries_d(&rule.scope)));
        }
    }
    if let Some(remote) = &options.remote {
        files.extend(remote.files(&options.keys)?);
    }
    if !rules.is_empty() {
        let text = match &options.merged {
            Some((text, _)) => text.clone(),
            None => policy(&rules, options.reject_others),
        };
        files.push(file("etc/containers/policy.json", text));
    }
    let from = options.merged.as_ref().map(|(_, digest)| *digest);
    let script = script::install(&files, &rules, from);
    let readme = texts::readme(&files, &rules, options);
    files.push(KitFile { mode: 0o755, ..file("install.sh", script) });
    files.push(file("README.txt", readme));
    files.push(file(LIST, list(&files)));
    Ok(Kit { files, rules })
}

/// The list of a kit's files, itself left out.
pub const LIST: &str = "kit.sha256";

fn list(files: &[KitFile]) -> String {
    let line = |file: &KitFile| format!("{}  {}\n", Digest::of(&file.bytes).hex(), file.path);
    files.iter().map(line).collect()
}

/// Reads a [`LIST`]: the files, each with its digest, and the list itself where there are any;
/// [`None`] where it is no list of a kit. No path leads out of the folder.
pub fn listed(text: &str) -> Option<Vec<(Digest, String)>> {
    let line = |line: &str| {
        let (hex, path) = line.split_once("  ")?;
        let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let digest = format!("sha256:{hex}").parse().ok()?;
        inside.then(|| (digest, path.to_owned()))
    };
    let mut files: Vec<_> = text.lines().map(line).collect::<Option<_>>()?;
    let has = |name: &str| files.iter().any(|(_, path): &(Digest, String)| path == name);
    if !has("install.sh") || !has("README.txt") {
        return None;
    }
    files.push((Digest::of(text), LIST.to_owned()));
    Some(files)
}

/// What a policy must require.
///
/// # Errors
/// [`KitError`].
pub fn rules(options: &KitOptions) -> Result<Vec<Rule>, KitError> {
    if options.scopes.is_empty() {
        return match options.mirrors.is_empty() {
            true => Ok(Vec::new()),
            false => Err(KitError::MirrorOfMany(0)),
        };
    }
    if options.keys.is_empty() {
        return Err(KitError::NoKeys);
    }
    let keys: Vec<String> = distinct(&options.keys).iter().map(key_path).collect();
    let rule = |scope: &String, signed_prefix| {
        if !is_scope(scope) {
            return Err(KitError::NotAScope(scope.clone()));
        }
        Ok(Rule { scope: scope.clone(), keys: keys.clone(), signed_prefix })
    };
    let mut rules = Vec::new();
    for scope in &options.scopes {
        rules.push(rule(scope, None)?);
    }
    for mirror in &options.mirrors {
        let [original] = options.scopes.as_slice() else {
            return Err(KitError::MirrorOfMany(options.scopes.len()));
        };
        rules.push(rule(mirror, Some(original.clone()))?);
    }
    Ok(rules)
}

/// Each key once, where it stands first.
fn distinct(keys: &[PublicKey]) -> Vec<PublicKey> {
    let mut seen = std::collections::BTreeSet::new();
    keys.iter().filter(|key| seen.insert(key.fingerprint())).cloned().collect()
}

/// Where a key is on the host. The name follows from the key, so that another never takes its place.
pub fn key_path(key: &PublicKey) -> String {
    format!("/etc/pki/containers/treelay-{}.pub", &key.fingerprint()[..16])
}

/// A host, namespace or repository, in full.
fn is_scope(text: &str) -> bool {
    let repository = match text.contains('/') {
        true => text.parse::<Repository>(),
        false => format!("{text}/x").parse::<Repository>(),
    };
    let tag = |name: &str| name.parse::<Reference>().is_ok_and(|name| name.tag.is_some());
    repository.is_ok_and(|repository| repository.to_string().starts_with(text))
        && !(text.contains('/') && tag(text))
}

/// A scope as part of a file's name.
fn slug(scope: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let mut slug = String::from("treelay-");
    // Doubled where it stands itself, so that two scopes never have one name.
    for c in scope.chars() {
        match c {
            '-' => slug.push_str("--"),
            c if keep(c) => slug.push(c),
            '/' => slug.push('-'),
            _ => slug.push_str("-_"),
        }
    }
    slug
}

fn file(path: &str, text: impl Into<Vec<u8>>) -> KitFile {
    KitFile { path: path.to_owned(), mode: 0o644, bytes: text.into() }
}

fn registries_d(scope: &str) -> String {
    format!(
        "# Signatures of these images are beside them in the registry, as cosign keeps them\n\
         # (containers-registries.d(5)).\n\
         docker:\n  \"{scope}\":\n    use-sigstore-attachments: true\n"
    )
}

/// A policy of its own: rejects, but for what a stock host accepts, and asks for signatures where
/// the rules say so.
fn policy(rules: &[Rule], reject_others: bool) -> String {
    let accept = || plain("insecureAcceptAnything");
    let mut transports = Vec::new();
    for transport in TRANSPORTS {
        let mut scopes: Vec<(&str, Value)> = Vec::new();
        // From disk comes what somebody with rights there put there.
        if !reject_others || transport == "containers-storage" {
            scopes.push(("", accept()));
        }
        if transport == "docker" {
            scopes.extend(rules.iter().map(|rule| (rule.scope.as_str(), rule.to_json())));
        }
        if !scopes.is_empty() {
            transports.push((transport, Value::object(scopes)));
        }
    }
    let policy = [("default", plain("reject")), ("transports", Value::object(transports))];
    Value::object(policy).write(&Layout::Lines("    ".to_owned()), "") + "\n"
}

#[cfg(test)]
mod tests {
    use treelay_signing::{KeyKind, SecretKey};

    use super::*;
    use crate::hosts::policy::{Policy, Requirement};
    use crate::hosts::registries_d::RegistriesD;

    fn key() -> PublicKey {
        SecretKey::generate(KeyKind::EcdsaP256).unwrap().public().clone()
    }

    fn options(scopes: &[&str]) -> KitOptions {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        KitOptions { scopes, keys: vec![key()], ..KitOptions::default() }
    }

    fn text(kit: &Kit, path: &str) -> String {
        let file = kit.files.iter().find(|file| file.path == path);
        String::from_utf8(file.unwrap_or_else(|| panic!("no {path}")).bytes.clone()).unwrap()
    }

    #[test]
    fn the_policy_asks_for_our_signature_and_leaves_the_rest_as_it_was() {
        let mut options = options(&["h.example:5000/tools/a"]);
        options.mirrors = vec!["m.example/x".to_owned()];
        let kit = make(&options).unwrap();
        let policy = Policy::parse(&text(&kit, "etc/containers/policy.json")).unwrap();
        assert_eq!(policy.default, [Requirement::Reject]);
        let lookup = |name: &str| policy.lookup(&name.parse().unwrap()).requirements.to_vec();
        assert_eq!(lookup("h.example:5000/tools/a:1"), [kit.rules[0].requirement()]);
        assert_eq!(lookup("m.example/x:1"), [kit.rules[1].requirement()]);
        assert_eq!(lookup("other.example/x:1"), [Requirement::AcceptAnything]);
        let dir = policy.lookup_in("dir", &["/x".to_owned()]);
        assert_eq!(dir.requirements, [Requirement::AcceptAnything]);

        let files = kit.files.iter().filter(|file| file.path.contains("registries.d/"));
        let files: Vec<_> = files.map(|file| (file.path.clone(), text(&kit, &file.path))).collect();
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let settings = RegistriesD::parse(files).unwrap();
        for name in ["h.example:5000/tools/a:1", "m.example/x:1"] {
            assert!(settings.attachments(&name.parse().unwrap()).unwrap().value);
        }
        assert_eq!(
            text(&kit, kit.rules[0].keys[0].trim_start_matches('/')),
            options.keys[0].to_pem()
        );

        options.reject_others = true;
        let kit = make(&options).unwrap();
        let policy = Policy::parse(&text(&kit, "etc/containers/policy.json")).unwrap();
        assert_eq!(
            policy.lookup(&"other.example/x:1".parse().unwrap()).requirements,
            [Requirement::Reject]
        );
    }

    #[test]
    fn what_makes_no_kit() {
        for scope in
            ["h.example/a:1", "H.example/A", "alpine", "", "h.example/", "*.example", "a b"]
        {
            // `alpine` alone would be the name of a host, and no host has such a name.
            let error = make(&options(&[scope])).unwrap_err();
            assert_eq!(error, KitError::NotAScope(scope.to_owned()));
        }
        for scope in ["localhost", "h.example", "h.example:5000", "docker.io/library/alpine"] {
            assert_eq!(make(&options(&[scope])).unwrap().rules[0].scope, scope);
        }
        let keyless = KitOptions { keys: Vec::new(), ..options(&["h.example/a"]) };
        assert_eq!(make(&keyless).unwrap_err(), KitError::NoKeys);
        assert_eq!(make(&options(&[])).unwrap_err(), KitError::Nothing);
        let mirrors = vec!["m.example".to_owned()];
        let many = KitOptions { mirrors, ..options(&["h.example/a", "h.example/b"]) };
        assert_eq!(make(&many).unwrap_err(), KitError::MirrorOfMany(2));
    }

    #[test]
    fn a_key_that_is_given_twice_is_there_once() {
        let (a, b) = (key(), key());
        let paths = [&a, &b].map(key_path);
        let keys = vec![a.clone(), b, a];
        let kit = make(&KitOptions { keys, ..options(&["h.example/a"]) }).unwrap();
        assert_eq!(kit.rules[0].keys, paths);
        let files: std::collections::BTreeSet<_> = kit.files.iter().map(|it| &it.path).collect();
        assert_eq!(files.len(), kit.files.len());
    }

    #[test]
    fn names_of_files_differ_where_scopes_do() {
        let slugs = ["a.b/c", "a.b-c", "a.b:5/c", "a.b/-c", "a.b--c"].map(slug);
        for (n, one) in slugs.iter().enumerate() {
            assert!(slugs[..n].iter().all(|other| other != one), "{slugs:?}");
        }
    }
}
