//! [`merge`]: rules into a policy that a host has, without weakening it or losing a line.
//!
//! The file stays what it is, byte for byte, but for the places that change: an editor of text, that
//! knows where in the text each value stands. What is there and asks for as much stays; what accepts
//! anything makes room; whatever else speaks of the same images is a conflict, which a person has to
//! solve.

use std::ops::Range;

use super::json::{Layout, Node, NotJson, Value, quoted};
use super::policy::{
    Identity, Policy, PolicyError, Requirement, Signer, SigstoreSigned, TRANSPORTS,
};
use super::rule::{Rule, plain};

/// How to merge.
#[derive(Debug, Clone, Copy, Default)]
pub struct MergeOptions {
    /// Replace other keys that the policy has for exactly the scope of a rule.
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
    let mut merged = Merged { text: text.to_owned(), changes: Vec::new() };
    for rule in rules {
        add_rule(&mut merged, rule, rules, options)?;
    }
    if options.secure_default {
        secure_default(&mut merged)?;
    }
    let policy = Policy::parse(&merged.text)?;
    debug_assert!(
        rules
            .iter()
            .all(|rule| { policy.scopes("docker").iter().any(|(scope, _)| *scope == rule.scope) })
    );
    Ok(merged)
}

fn add_rule(
    merged: &mut Merged,
    rule: &Rule,
    rules: &[Rule],
    options: MergeOptions,
) -> Result<(), MergeError> {
    let policy = Policy::parse(&merged.text)?;
    let wanted = rule.requirement();
    let scope = rule.scope.as_str();
    let scopes = policy.scopes("docker");
    for (other, requirements) in scopes {
        let below = other.strip_prefix(scope).is_some_and(|rest| rest.starts_with(['/', ':', '@']));
        let ours = rules.iter().any(|rule| rule.scope == *other);
        // A port is no part of the host's scope.
        let port = !scope.contains('/') && other[scope.len().min(other.len())..].starts_with(':');
        if below && !port && !ours && !covers(requirements, &wanted) {
            return Err(MergeError::Shadowed { scope: scope.to_owned(), by: other.clone() });
        }
    }
    let list = rule.to_json();
    let Some((_, there)) = scopes.iter().find(|(other, _)| other == scope) else {
        lifts_nothing(&policy, rule, &wanted)?;
        merged.text = set(&merged.text, &["transports", "docker", scope], &list)?;
        merged.changes.push(format!("requires a signature for {scope}: {}", who(rule)));
        return Ok(());
    };
    if covers(there, &wanted) {
        return Ok(());
    }
    let conflict =
        |hint| MergeError::Conflict { scope: scope.to_owned(), found: told(there), hint };
    let change = match there.as_slice() {
        [Requirement::AcceptAnything] => "requires a signature where anything was accepted",
        [Requirement::Sigstore(old)] => match same_but_wider(old, &wanted) {
            true => "requires the signed tag, not only the repository",
            false if options.replace => "trusts other keys than before",
            false => return Err(conflict(": --replace puts this one in its place")),
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

/// Whether requirements that are there ask for the wanted one, or for that and more.
fn covers(there: &[Requirement], wanted: &Requirement) -> bool {
    let stricter = |there: &Requirement| match (there, wanted) {
        (Requirement::Sigstore(there), Requirement::Sigstore(wanted)) => {
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
fn same_but_wider(old: &SigstoreSigned, wanted: &Requirement) -> bool {
    let Requirement::Sigstore(wanted) = wanted else { return false };
    old.signer == wanted.signer
        && old.rekor.is_none()
        && old.identity == Identity::MatchRepository
        && wanted.identity == Identity::MatchRepoDigestOrExact
}

/// Refuses a rule for a new scope where a wider one asks for signatures by others.
fn lifts_nothing(policy: &Policy, rule: &Rule, wanted: &Requirement) -> Result<(), MergeError> {
    // What covers the repository `scope` covers any image in it.
    let mut names = vec![rule.scope.clone()];
    if let Ok(reference) = format!("{}/x:x", rule.scope).parse() {
        names = super::policy::namespaces(&reference).split_off(2);
    }
    let found = policy.lookup_in("docker", &names);
    let asks = |it: &&Requirement| !matches!(it, Requirement::AcceptAnything | Requirement::Reject);
    if found.requirements.iter().any(|it| asks(&it)) && !covers(found.requirements, wanted) {
        let (scope, by) = (rule.scope.clone(), found.place());
        return Err(MergeError::Lifts { scope, by, found: told(found.requirements) });
    }
    Ok(())
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
mod tests {
    use super::*;

    fn rule(scope: &str) -> Rule {
        Rule { scope: scope.to_owned(), keys: vec!["/k.pub".to_owned()], signed_prefix: None }
    }

    const STOCK: &str = r#"{
    "default": [
        {
            "type": "insecureAcceptAnything"
        }
    ],
    "transports":
        {
            "docker-daemon":
                {
                    "": [{"type":"insecureAcceptAnything"}]
                }
        }
}
"#;

    #[test]
    fn a_stock_policy_keeps_its_lines() {
        let merged = merge(STOCK, &[rule("h.example/a")], MergeOptions::default()).unwrap();
        let expected = STOCK.replace(
            "                }\n        }\n",
            r#"                },
            "docker": {
                "h.example/a": [
                    {
                        "type": "sigstoreSigned",
                        "keyPath": "/k.pub"
                    }
                ]
            }
        }
"#,
        );
        assert_eq!(merged.text, expected);
        assert_eq!(merged.changes, ["requires a signature for h.example/a: by /k.pub"]);
        // Merging again changes nothing.
        let again = merge(&merged.text, &[rule("h.example/a")], MergeOptions::default()).unwrap();
        assert_eq!(again, Merged { text: expected, changes: Vec::new() });
    }

    #[test]
    fn a_secure_default_accepts_elsewhere_what_it_accepted_before() {
        let options = MergeOptions { secure_default: true, ..MergeOptions::default() };
        let merged = merge(STOCK, &[rule("h.example/a")], options).unwrap();
        let policy = Policy::parse(&merged.text).unwrap();
        assert_eq!(policy.default, [Requirement::Reject]);
        for transport in TRANSPORTS {
            let found = policy.lookup_in(transport, &["anything".to_owned()]);
            assert_eq!(found.requirements, [Requirement::AcceptAnything], "{transport}");
        }
        // One that is secure already stays.
        let again = merge(&merged.text, &[], options).unwrap();
        assert!(again.changes.is_empty());
    }

    #[test]
    fn other_layouts_stay_as_they_are() {
        for (text, expected) in [
            (
                r#"{"default":[{"type":"reject"}]}"#,
                r#"{"default":[{"type":"reject"}],"transports":{"docker":{"h.example":[{"type":"sigstoreSigned","keyPath":"/k.pub"}]}}}"#,
            ),
            (
                r#"{"transports":{"docker":{}},"default":[{"type":"reject"}]}"#,
                r#"{"transports":{"docker":{"h.example":[{"type":"sigstoreSigned","keyPath":"/k.pub"}]}},"default":[{"type":"reject"}]}"#,
            ),
            (
                "{\n\t\"default\": [{\"type\": \"reject\"}],\n\t\"transports\": {\"docker\": {\"x.example\": [{\"type\": \"reject\"}]}}\n}",
                "{\n\t\"default\": [{\"type\": \"reject\"}],\n\t\"transports\": {\"docker\": {\"x.example\": [{\"type\": \"reject\"}], \"h.example\": [\n\t\t{\n\t\t\t\"type\": \"sigstoreSigned\",\n\t\t\t\"keyPath\": \"/k.pub\"\n\t\t}\n\t]}}\n}",
            ),
        ] {
            let merged = merge(text, &[rule("h.example")], MergeOptions::default()).unwrap();
            assert_eq!(merged.text, expected);
        }
    }

    fn with(scopes: &str) -> String {
        format!(r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{{scopes}}}}}}}"#)
    }

    #[test]
    fn what_is_there_is_tightened_or_kept() {
        let any = r#"[{"type":"insecureAcceptAnything"}]"#;
        let ours = r#"{"type":"sigstoreSigned","keyPath":"/k.pub"}"#;
        let named = |kind: &str| {
            format!(
                r#"[{{"type":"sigstoreSigned","keyPath":"/k.pub","signedIdentity":{{"type":"{kind}"}}}}]"#
            )
        };
        let other = r#"[{"type":"sigstoreSigned","keyPath":"/old.pub"}]"#;
        let replace = MergeOptions { replace: true, ..MergeOptions::default() };
        for (there, options, changes) in [
            (any.to_owned(), MergeOptions::default(), 1),
            (named("matchRepository"), MergeOptions::default(), 1),
            (named("matchExact"), MergeOptions::default(), 0),
            (
                format!(r#"[{ours},{{"type":"signedBy","keyType":"GPGKeys","keyPath":"/g"}}]"#),
                MergeOptions::default(),
                0,
            ),
            (other.to_owned(), replace, 1),
        ] {
            let text = with(&format!(r#""h.example/a":{there},"z":{any}"#));
            let merged = merge(&text, &[rule("h.example/a")], options).unwrap();
            assert_eq!(merged.changes.len(), changes, "{there}");
            if changes == 0 {
                assert_eq!(merged.text, text);
            } else {
                assert_eq!(merged.text, with(&format!(r#""h.example/a":[{ours}],"z":{any}"#)));
            }
        }
    }

    #[test]
    fn conflicts_are_refused() {
        let any = r#"[{"type":"insecureAcceptAnything"}]"#;
        let other = r#"[{"type":"sigstoreSigned","keyPath":"/old.pub"}]"#;
        let ours = r#"[{"type":"sigstoreSigned","keyPath":"/k.pub"}]"#;
        let gpg = r#"[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/g"}]"#;
        let reject = r#"[{"type":"reject"}]"#;
        for (scopes, says) in [
            (format!(r#""h.example/a:1":{any}"#), "h.example/a:1, which would hold there instead"),
            (format!(r#""h.example/a/b":{other}"#), "h.example/a/b, which would hold"),
            (format!(r#""h.example/a":{reject}"#), "has reject for h.example/a already"),
            (format!(r#""h.example/a":{other}"#), "--replace"),
            (
                format!(r#""h.example/a":{gpg}"#),
                "signedBy for h.example/a already: change it by hand",
            ),
            (
                format!(r#""h.example":{gpg}"#),
                "transports.docker.\"h.example\" of the policy requires signedBy",
            ),
            (format!(r#""*.example":{other}"#), "/old.pub"),
            (format!(r#""":{other}"#), "/old.pub"),
        ] {
            let error = merge(&with(&scopes), &[rule("h.example/a")], MergeOptions::default());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(says), "{scopes}: {error}");
        }
        for scopes in [
            format!(r#""h.example":{reject},"":{any}"#),
            format!(r#""h.example":{ours}"#),
            format!(r#""h.example/a:1":{ours}"#),
            format!(r#""h.example/ab":{other}"#),
        ] {
            let merged = merge(&with(&scopes), &[rule("h.example/a")], MergeOptions::default());
            assert_eq!(merged.unwrap().changes.len(), 1, "{scopes}");
        }
        // Another port is another host.
        let port = with(&format!(r#""h.example:5000":{other}"#));
        merge(&port, &[rule("h.example")], MergeOptions::default()).unwrap();
        assert!(merge("{}", &[], MergeOptions::default()).is_err());
    }
}
