//! [`merge`]: rules into a policy that a host has, without weakening it or losing a line.
//!
//! The file stays what it is, byte for byte, but for the places that change: an editor of text, that
//! knows where in the text each value stands. What is there and asks for as much stays; what accepts
//! anything makes room; whatever else speaks of the same images is a conflict, which a person has to
//! solve.

use std::ops::Range;

use super::json::{Layout, Node, NotJson, Value, quoted};
use super::policy::{
    Identity, Policy, PolicyError, Requirement, Signer, SigstoreSigned, TRANSPORTS, Transport,
    above,
};
use super::rule::{Rule, plain};

/// How to merge.
#[derive(Debug, Clone, Copy, Default)]
pub struct MergeOptions {
    /// Replace other keys that the policy has for exactly the scope of a rule, and nothing else of
    /// what it asks for there; open a scope inside one that is rejected.
    pub replace: bool,
    /// Where the policy's default accepts anything: make it reject, and let each transport accept
    /// what the default accepted. `ostree-image-signed:` demands such a default.
    pub secure_default: bool,
}

/// A policy with the rules in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The new text; the old one where nothing had to be changed.
    pub text: String,
    /// What was changed, a sentence each.
    pub changes: Vec<String>,
    /// What of the policy may still refuse the images, a sentence each.
    pub warnings: Vec<String>,
}

/// Why rules do not go into a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// It is no policy: hosts with it refuse everything as it is.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A more specific scope would hold instead of the rule.
    #[error(
        "the policy has requirements for {by}, which would hold there instead of those for \
         {scope}: take that scope out, or give it the same requirement"
    )]
    Shadowed {
        /// Of the rule.
        scope: String,
        /// The more specific one.
        by: String,
    },
    /// The same scope is there with something else.
    #[error("the policy has {found} for {scope} already{}", .hint)]
    Conflict {
        /// The scope.
        scope: String,
        /// What is required there.
        found: String,
        /// What can be done.
        hint: &'static str,
    },
    /// A wider scope asks for other signatures, which the rule would lift for its scope.
    #[error(
        "{by} of the policy requires {found}, which the rule for {scope} would lift there: write \
         the requirement of that scope by hand if this is meant"
    )]
    Lifts {
        /// Of the rule.
        scope: String,
        /// The wider one.
        by: String,
        /// What is required there.
        found: String,
    },
    /// A wider scope rejects everything, which the rule would open.
    #[error(
        "{by} of the policy rejects everything, {scope} too: --replace opens that scope to what the \
         keys sign"
    )]
    Opens {
        /// Of the rule.
        scope: String,
        /// The wider one.
        by: String,
    },
    /// Something else changed; a mistake of this module.
    #[error("merging would change {0} too, which it must not: nothing was written")]
    Strays(String),
}

impl From<NotJson> for MergeError {
    fn from(error: NotJson) -> Self {
        Self::Policy(error.into())
    }
}

/// Puts rules into the policy `text`.
///
/// # Errors
/// [`MergeError`]; what comes of it was read again and means what was wanted.
pub fn merge(text: &str, rules: &[Rule], options: MergeOptions) -> Result<Merged, MergeError> {
    let mut merged = Merged { text: text.to_owned(), changes: Vec::new(), warnings: Vec::new() };
    for rule in rules {
        add_rule(&mut merged, rule, rules, options)?;
    }
    if options.secure_default {
        secure_default(&mut merged)?;
    }
    compare(&Policy::parse(text)?, &Policy::parse(&merged.text)?, rules)?;
    Ok(merged)
}

/// Compares a policy with what came of it: the rules are there, and everything else is as it was, but
/// for a default that accepted anything.
fn compare(old: &Policy, new: &Policy, rules: &[Rule]) -> Result<(), MergeError> {
    let strays = |place: String| Err(MergeError::Strays(place));
    let secured =
        old.default == [Requirement::AcceptAnything] && new.default == [Requirement::Reject];
    if old.default != new.default && !secured {
        return strays("default".to_owned());
    }
    let is_ours = |transport: &str, scope: &str| {
        transport == "docker" && rules.iter().any(|rule| rule.scope == scope)
    };
    // Which scopes of one are missing in the other, or ask for something else there.
    let place = |transport: &str, scope: &str| format!("transports.{transport}.{scope:?}");
    let differs = |one: &Policy, other: &Policy| {
        one.transports.iter().find_map(|Transport { name: transport, scopes }| {
            let strays = |(scope, list): &&(String, Vec<Requirement>)| {
                let mut there = other.scopes(transport).iter();
                !is_ours(transport, scope)
                    && !there.any(|(name, other)| name == scope && other == list)
            };
            scopes.iter().find(strays).map(|(scope, _)| place(transport, scope))
        })
    };
    if let Some(place) = differs(old, new) {
        return strays(place);
    }
    // What is new beside the rules is what a default that rejects no longer accepts.
    let mut before = old.clone();
    for name in TRANSPORTS.iter().filter(|_| secured) {
        let scopes = vec![(String::new(), vec![Requirement::AcceptAnything])];
        match before.transports.iter_mut().find(|it| it.name == *name) {
            Some(transport) if transport.scopes.iter().all(|(scope, _)| !scope.is_empty()) => {
                transport.scopes.extend(scopes);
            }
            Some(_) => {}
            None => before.transports.push(Transport { name: (*name).to_owned(), scopes }),
        }
    }
    if let Some(place) = differs(new, &before) {
        return strays(place);
    }
    for rule in rules {
        let signed = |it: &Requirement| matches!(it, Requirement::Sigstore(SigstoreSigned { signer, .. }) if *signer == rule.sigstore().signer);
        let mut scopes = new.scopes("docker").iter();
        if !scopes.any(|(scope, list)| *scope == rule.scope && list.iter().any(signed)) {
            return strays(place("docker", &rule.scope));
        }
    }
    Ok(())
}

fn add_rule(
    merged: &mut Merged,
    rule: &Rule,
    rules: &[Rule],
    options: MergeOptions,
) -> Result<(), MergeError> {
    let policy = Policy::parse(&merged.text)?;
    let wanted = rule.sigstore();
    let scope = rule.scope.as_str();
    let scopes = policy.scopes("docker");
    for (other, requirements) in scopes {
        let below = other != scope
            && above(other).is_some_and(|names| names.iter().any(|name| name == scope));
        let ours = rules.iter().any(|rule| rule.scope == *other);
        if below && !ours && !covers(requirements, &wanted) {
            return Err(MergeError::Shadowed { scope: scope.to_owned(), by: other.clone() });
        }
    }
    let list = rule.to_json();
    let Some((_, there)) = scopes.iter().find(|(other, _)| other == scope) else {
        let opened = lifts_nothing(&policy, rule, &wanted, options)?;
        merged.text = set(&merged.text, &["transports", "docker", scope], &list)?;
        merged.changes.push(match opened {
            Some(by) => {
                format!("opens {scope}, which {by} rejects, to what is signed {}", who(rule))
            }
            None => format!("requires a signature for {scope}: {}", who(rule)),
        });
        return Ok(());
    };
    if covers(there, &wanted) {
        return blocks_nothing(merged, scope, there, &wanted);
    }
    let conflict =
        |hint| MergeError::Conflict { scope: scope.to_owned(), found: told(there), hint };
    let change = match there.as_slice() {
        [Requirement::AcceptAnything] => "requires a signature where anything was accepted",
        [Requirement::Sigstore(old)] => match same_but_wider(old, &wanted) {
            true => "requires the signed tag, not only the repository",
            false => {
                replaceable(old, &wanted, options).map_err(conflict)?;
                if old.identity != wanted.identity {
                    merged.warnings.push(format!(
                        "{scope} keeps its signedIdentity {}: images must be signed under such names",
                        old.identity.name()
                    ));
                }
                merged.text = replace_keys(&merged.text, scope, rule)?;
                merged
                    .changes
                    .push(format!("trusts other keys than before for {scope}: {}", who(rule)));
                return Ok(());
            }
        },
        [Requirement::Reject] => {
            return Err(conflict(": take it out if its images are wanted after all"));
        }
        _ => return Err(conflict(": change it by hand")),
    };
    merged.text = set(&merged.text, &["transports", "docker", scope], &list)?;
    merged.changes.push(format!("{change} for {scope}: {}", who(rule)));
    Ok(())
}

/// Whether keys alone have to be replaced for the wanted ones to count; else why it is not done.
fn replaceable(
    old: &SigstoreSigned,
    wanted: &SigstoreSigned,
    options: MergeOptions,
) -> Result<(), &'static str> {
    let remaps = |identity: &Identity| matches!(identity, Identity::RemapIdentity { .. });
    match &old.signer {
        Signer::Fulcio { .. } | Signer::Pki { .. } => {
            Err(": it asks for a certificate, which a key does not stand for: change it by hand")
        }
        Signer::Keys(_) if old.rekor.is_some() => Err(
            ": it asks for an entry in a transparency log, which signatures by the keys have not: \
             change it by hand",
        ),
        Signer::Keys(_)
            if old.identity != wanted.identity
                && (remaps(&old.identity) || remaps(&wanted.identity)) =>
        {
            Err(": its signedIdentity names other images: change it by hand")
        }
        Signer::Keys(_) if old.signer == wanted.signer => {
            Err(": its signedIdentity names other images: change it by hand")
        }
        Signer::Keys(_) if !options.replace => Err(": --replace puts this one's keys in its place"),
        Signer::Keys(_) => Ok(()),
    }
}

/// What stands beside the wanted requirement: some of it no image that the keys sign can meet.
fn blocks_nothing(
    merged: &mut Merged,
    scope: &str,
    there: &[Requirement],
    wanted: &SigstoreSigned,
) -> Result<(), MergeError> {
    for requirement in there {
        let hint = match requirement {
            Requirement::Reject => ", which refuses all its images: take it out by hand",
            Requirement::SignedBaseLayer { .. } => {
                ", which no image meets: take signedBaseLayer out by hand"
            }
            Requirement::Sigstore(SigstoreSigned { rekor: Some(_), .. }) => {
                ", with an entry in a transparency log, which signatures by the keys have not: hosts \
                 refuse its images until rekorPublicKey… is taken out by hand"
            }
            Requirement::AcceptAnything => continue,
            Requirement::Sigstore(other) if other.signer == wanted.signer => continue,
            other => {
                let other = told(std::slice::from_ref(other));
                merged
                    .warnings
                    .push(format!("{scope} also asks for {other}: hosts refuse images without"));
                continue;
            }
        };
        let (scope, found) = (scope.to_owned(), told(there));
        return Err(MergeError::Conflict { scope, found, hint });
    }
    Ok(())
}

/// Whether requirements that are there ask for the wanted one, or for that and more.
fn covers(there: &[Requirement], wanted: &SigstoreSigned) -> bool {
    let stricter = |there: &Requirement| match there {
        Requirement::Sigstore(there) => {
            let identity = there.identity == wanted.identity
                || (there.identity == Identity::MatchExact
                    && wanted.identity == Identity::MatchRepoDigestOrExact);
            there.signer == wanted.signer && identity
        }
        _ => false,
    };
    there.iter().any(stricter)
}

/// Whether all that differs is that any tag of the repository passes.
fn same_but_wider(old: &SigstoreSigned, wanted: &SigstoreSigned) -> bool {
    old.signer == wanted.signer
        && old.rekor.is_none()
        && old.identity == Identity::MatchRepository
        && wanted.identity == Identity::MatchRepoDigestOrExact
}

/// Refuses a rule for a new scope where a wider one asks for signatures by others, or rejects; returns
/// what rejects where it is to be opened. A default that rejects is no more than a default.
fn lifts_nothing(
    policy: &Policy,
    rule: &Rule,
    wanted: &SigstoreSigned,
    options: MergeOptions,
) -> Result<Option<String>, MergeError> {
    // What covers the scope covers any image in it.
    let names = above(&rule.scope).unwrap_or_else(|| vec![rule.scope.clone()]);
    let found = policy.lookup_in("docker", &names);
    let (scope, by) = (rule.scope.clone(), found.place());
    if found.requirements.contains(&Requirement::Reject) {
        return match found.scope {
            None | Some("") => Ok(None),
            Some(_) if options.replace => Ok(Some(by)),
            Some(_) => Err(MergeError::Opens { scope, by }),
        };
    }
    let asks = |it: &Requirement| *it != Requirement::AcceptAnything;
    if found.requirements.iter().any(asks) && !covers(found.requirements, wanted) {
        return Err(MergeError::Lifts { scope, by, found: told(found.requirements) });
    }
    Ok(None)
}

fn secure_default(merged: &mut Merged) -> Result<(), MergeError> {
    let policy = Policy::parse(&merged.text)?;
    if policy.default != [Requirement::AcceptAnything] {
        return Ok(());
    }
    for transport in TRANSPORTS {
        if policy.scopes(transport).iter().all(|(scope, _)| !scope.is_empty()) {
            let path = ["transports", transport, ""];
            merged.text = set(&merged.text, &path, &plain("insecureAcceptAnything"))?;
        }
    }
    merged.text = set(&merged.text, &["default"], &plain("reject"))?;
    merged.changes.push(
        "the default rejects, and each transport accepts what the default accepted".to_owned(),
    );
    Ok(())
}

fn who(rule: &Rule) -> String {
    format!("by {}", rule.keys.join(" or "))
}

/// Requirements in words.
pub(super) fn told(requirements: &[Requirement]) -> String {
    let one = |requirement: &Requirement| match requirement {
        Requirement::Sigstore(SigstoreSigned { signer: Signer::Keys(keys), identity, .. }) => {
            let keys = match keys.paths() {
                [] => format!("the key in its key{}", keys.ending()),
                paths => paths.join(" or "),
            };
            format!("sigstoreSigned by {keys} ({})", identity.name())
        }
        other => other.name().to_owned(),
    };
    requirements.iter().map(one).collect::<Vec<_>>().join(" and ")
}

/// The text with the keys of the one requirement of a scope replaced, and nothing else of it.
fn replace_keys(text: &str, scope: &str, rule: &Rule) -> Result<String, MergeError> {
    let root = Node::parse(text)?;
    let layout = layout(text, &root);
    let list = ["transports", "docker", scope].iter().try_fold(&root, |node, name| node.get(name));
    let members = match list.map(|list| &list.value) {
        Some(Value::Array(items)) => items.first().and_then(Node::members).unwrap_or_default(),
        _ => &[],
    };
    let names = ["keyPath", "keyPaths", "keyData", "keyDatas"];
    let member = members.iter().find(|member| names.contains(&member.name.as_str()));
    // What was read as keys has such a member.
    let member =
        member.ok_or_else(|| MergeError::Strays(format!("transports.docker.{scope:?}")))?;
    let (name, keys) = rule.keys_member();
    let colon = if layout == Layout::OneLine { ":" } else { ": " };
    let keys = keys.write(&layout, margin(text, member.name_span.start));
    let at = member.name_span.start..member.value.span.end;
    Ok(spliced(text, at, &format!("{}{colon}{keys}", quoted(name))))
}

/// The text with the value at `path` set; objects on the way are made where they are missing.
fn set(text: &str, path: &[&str], value: &Value) -> Result<String, NotJson> {
    let root = Node::parse(text)?;
    let layout = layout(text, &root);
    let (mut node, mut rest) = (&root, path);
    while let [name, below @ ..] = rest {
        let Some(found) = node.get(name) else { break };
        (node, rest) = (found, below);
    }
    let Some((name, below)) = rest.split_first() else {
        let margin = margin(text, node.span.start);
        return Ok(spliced(text, node.span.clone(), &value.write(&layout, margin)));
    };
    let mut value = value.clone();
    for name in below.iter().rev() {
        value = Value::object([(*name, value)]);
    }
    Ok(insert(text, node, &layout, name, &value))
}

/// The text with a member more at the end of an object.
fn insert(text: &str, object: &Node, layout: &Layout, name: &str, value: &Value) -> String {
    let members = object.members().unwrap_or_default();
    let colon = if *layout == Layout::OneLine { ":" } else { ": " };
    let outer = margin(text, object.span.start);
    match members.last() {
        Some(last) => {
            // As the last one is set off from what is before it.
            let before = &text[..last.name_span.start];
            let gap = &before[before.trim_end_matches([' ', '\t', '\n', '\r']).len()..];
            let inner = gap.rsplit('\n').next().unwrap_or_default();
            let gap = if gap.is_empty() && *layout != Layout::OneLine { " " } else { gap };
            let value = value.write(layout, if gap.contains('\n') { inner } else { outer });
            let at = last.value.span.end;
            spliced(text, at..at, &format!(",{gap}{}{colon}{value}", quoted(name)))
        }
        None => {
            let whole = Value::object([(name, value.clone())]);
            spliced(text, object.span.clone(), &whole.write(layout, outer))
        }
    }
}

fn spliced(text: &str, at: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..at.start], &text[at.end..])
}

/// How far in the line begins on which a byte stands.
fn margin(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = &text[start..at];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// As the text is laid out: its first member tells.
fn layout(text: &str, root: &Node) -> Layout {
    let first = root.members().and_then(<[_]>::first).map_or(0, |first| first.name_span.start);
    match text[..first].contains('\n') {
        true => Layout::Lines(match margin(text, first) {
            "" => "    ".to_owned(),
            step => step.to_owned(),
        }),
        false => Layout::OneLine,
    }
}

#[cfg(test)]
mod tests;
