//! From the text of a lock file to a [`Lock`].

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Evidence, InputKind, Lock, LockError, LockedBase, LockedFile, LockedInput, LockedTree,
};
use crate::check::grammar;
use crate::error::{Problem, Problems};
use crate::recipe::Source;
use crate::{Arch, Digest};

/// The version of the format that is written and read.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct AnyVersion {
    version: Spanned<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(rename = "version")]
    _version: u64,
    #[serde(default)]
    recipe_inputs: BTreeMap<String, Digest>,
    #[serde(default)]
    input: Vec<Spanned<Stanza>>,
    #[serde(default)]
    base: Vec<Spanned<LockedBase>>,
    #[serde(default)]
    ostree_base: Vec<Spanned<Tree>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stanza {
    name: String,
    arch: Arch,
    kind: InputKind,
    version: Option<Spanned<String>>,
    source: Spanned<Source>,
    from: String,
    sha256: Option<Hex>,
    size: Option<u64>,
    identity: Digest,
    released: Option<u64>,
    sums: Option<Digest>,
    #[serde(default)]
    evidence: Vec<Evidence>,
    commit: Option<Spanned<String>>,
}

/// A stanza of [`LockedTree`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    arch: Arch,
    from: String,
    commit: Hex,
    digest: Option<Digest>,
    manifest: Option<Digest>,
    released: u64,
}

/// A digest without the algorithm in front.
#[derive(Deserialize)]
#[serde(transparent)]
struct Hex(#[serde(with = "super::hex")] Digest);

impl Lock {
    /// Parses the text of a lock file. `file` is its name in messages.
    ///
    /// # Errors
    /// [`LockError`] with the place of what is wrong: no TOML, another version of the format, a key
    /// that is unknown or missing, or stanzas that contradict each other.
    pub fn parse(text: &str, file: &str) -> Result<Self, LockError> {
        let mut problems = Found { problems: Problems::new(file, text) };
        match read(text, &mut problems) {
            Some(lock) if problems.problems.is_empty() => Ok(lock),
            _ => Err(LockError { problems: problems.problems.into_sorted() }),
        }
    }
}

fn read(text: &str, found: &mut Found<'_>) -> Option<Lock> {
    let any: AnyVersion = found.toml(text)?;
    let version = *any.version.get_ref();
    if version != VERSION {
        found
            .add(any.version.span(), format!("this lock has format {version}"))
            .expected(format!("this treelay reads format {VERSION}"));
        return None;
    }
    let File { recipe_inputs, input: stanzas, base, ostree_base, .. } = found.toml(text)?;
    let mut inputs: Vec<LockedInput> = Vec::with_capacity(stanzas.len());
    for stanza in stanzas {
        let span = stanza.span();
        let stanza = stanza.into_inner();
        check(&stanza, span, &inputs, &recipe_inputs, found);
        let file = match (stanza.sha256, stanza.size) {
            (Some(Hex(sha256)), Some(size)) => Some(LockedFile { sha256, size }),
            _ => None,
        };
        inputs.push(LockedInput {
            name: stanza.name,
            arch: stanza.arch,
            kind: stanza.kind,
            version: stanza.version.map(Spanned::into_inner),
            source: stanza.source.into_inner(),
            from: stanza.from,
            file,
            identity: stanza.identity,
            released: stanza.released,
            sums: stanza.sums,
            evidence: stanza.evidence,
            commit: stanza.commit.map(Spanned::into_inner),
        });
    }
    inputs.sort_by(|a, b| (&a.name, a.arch).cmp(&(&b.name, b.arch)));
    let mut bases: Vec<LockedBase> = Vec::with_capacity(base.len());
    for stanza in base {
        let span = stanza.span();
        let stanza = stanza.into_inner();
        if bases.iter().any(|other| other.arch == stanza.arch) {
            found.add(span, format!("the base of {} is there twice", stanza.arch));
        }
        bases.push(stanza);
    }
    bases.sort_by_key(|base| base.arch);
    let mut trees: Vec<LockedTree> = Vec::with_capacity(ostree_base.len());
    for stanza in ostree_base {
        let span = stanza.span();
        let stanza = stanza.into_inner();
        if trees.iter().any(|other| other.arch == stanza.arch) {
            found.add(span.clone(), format!("the base commit of {} is there twice", stanza.arch));
        }
        let Tree { arch, from, commit: Hex(commit), digest, manifest, released } = stanza;
        if digest.is_some() != manifest.is_some() {
            found.add(span, "an image has both a digest and a manifest".to_owned());
        }
        trees.push(LockedTree { arch, from, commit, image: digest.zip(manifest), released });
    }
    trees.sort_by_key(|tree| tree.arch);
    Some(Lock { recipe_inputs, inputs, bases, trees })
}

/// What the types cannot say of a stanza, and of it beside those before it.
fn check(
    stanza: &Stanza,
    span: Range<usize>,
    earlier: &[LockedInput],
    recipe_inputs: &BTreeMap<String, Digest>,
    found: &mut Found<'_>,
) {
    let Stanza { name, arch, .. } = stanza;
    if !recipe_inputs.contains_key(name) {
        found.add(span.clone(), format!("`recipe-inputs` does not have the input `{name}`"));
    }
    let local = matches!(stanza.source.get_ref(), Source::Dir | Source::Git);
    if local != (stanza.sha256.is_none() && stanza.size.is_none())
        || stanza.sha256.is_some() != stanza.size.is_some()
    {
        let source = stanza.source.get_ref().name();
        let needs = if local { "neither sha256 nor size" } else { "both sha256 and size" };
        found
            .add(stanza.source.span(), format!("input `{name}` of {arch} is not complete"))
            .expected(format!("{source} has {needs}"));
    }
    let commit = stanza.commit.as_ref();
    if commit.is_some() != (stanza.kind == InputKind::Git) {
        let at = commit.map_or(stanza.source.span(), Spanned::span);
        found
            .add(at, format!("input `{name}` of {arch} is not complete"))
            .expected("git has a commit, other kinds have none");
    }
    if let Some(commit) = commit
        && let Err(reason) = grammar::git_commit(commit.get_ref())
    {
        found.add(commit.span(), format!("the commit `{}` {reason}", commit.get_ref()));
    }
    let version = stanza.version.as_ref().map(Spanned::get_ref);
    for other in earlier.iter().filter(|other| other.name == *name) {
        if other.arch == *arch {
            found.add(span.clone(), format!("input `{name}` of {arch} is there twice"));
        }
        if other.version.as_ref() != version {
            let span = stanza.version.as_ref().map_or(span.clone(), Spanned::span);
            let message =
                format!("input `{name}` has another version on {arch} than on {}", other.arch);
            found.add(span, message).expected(match &other.version {
                Some(version) => format!("expected {version}"),
                None => "expected none".into(),
            });
            break;
        }
    }
}

/// Problems by byte ranges.
struct Found<'a> {
    problems: Problems<'a>,
}

impl Found<'_> {
    fn toml<T: serde::de::DeserializeOwned>(&mut self, text: &str) -> Option<T> {
        match toml::from_str(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(error.span().unwrap_or(0..0), error.message().replace('\n', ": "));
                None
            }
        }
    }

    fn add(&mut self, span: Range<usize>, message: String) -> &mut Problem {
        self.problems.add_in(span, message)
    }
}
