//! `signedIdentity`: whether the name that was signed will do for the name that is asked for
//! (containers/image, `signature/policy_reference_match.go`).

use super::Identity;
use crate::hosts::Reference;
use crate::image_store::Repository;

impl Identity {
    /// Whether an image that was signed as `signed` may be taken for `asked`. An image of a
    /// transport without such names (a layout, a directory) is asked for by [`None`].
    pub fn accepts(&self, asked: Option<&Reference>, signed: &str) -> bool {
        let Ok(signed) = signed.parse::<Reference>() else { return false };
        match self {
            Self::ExactReference(exact) => exact.parse::<Reference>().is_ok_and(|exact| {
                !exact.is_name_only() && !signed.is_name_only() && exact == signed
            }),
            Self::ExactRepository(exact) => {
                exact.parse::<Reference>().is_ok_and(|exact| exact.repository == signed.repository)
            }
            Self::MatchRepository => {
                asked.is_some_and(|asked| asked.repository == signed.repository)
            }
            Self::MatchExact => asked.is_some_and(|asked| {
                !asked.is_name_only() && !signed.is_name_only() && *asked == signed
            }),
            Self::MatchRepoDigestOrExact => {
                asked.is_some_and(|asked| digest_or_exact(asked, &signed))
            }
            Self::RemapIdentity { prefix, signed_prefix } => asked
                .and_then(|asked| remapped(asked, prefix, signed_prefix))
                .is_some_and(|asked| digest_or_exact(&asked, &signed)),
        }
    }
}

fn digest_or_exact(asked: &Reference, signed: &Reference) -> bool {
    if signed.is_name_only() {
        return false;
    }
    match (&asked.tag, &asked.digest) {
        (Some(_), _) => asked == signed,
        // The digest itself was compared when the manifest was fetched by it.
        (None, Some(_)) => asked.repository == signed.repository,
        (None, None) => false,
    }
}

/// The name with its prefix replaced, as it is where it has another; [`None`] where what comes of
/// it is no full name. The prefix is compared with host and path alone, so that it never ends before
/// the colon of a port (`refMatchesPrefix`).
fn remapped(asked: &Reference, prefix: &str, signed_prefix: &str) -> Option<Reference> {
    let repository = asked.repository.to_string();
    let rest = repository.strip_prefix(prefix);
    match rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        None => Some(asked.clone()),
        Some(_) => {
            let name = format!("{signed_prefix}{}", &asked.to_string()[prefix.len()..]);
            // Go's reference.ParseNamed takes normalised names alone.
            name.parse::<Reference>().ok().filter(|parsed| parsed.to_string() == name)
        }
    }
}

/// Whether an identity may stand in a policy.
///
/// # Errors
/// Why not.
pub(super) fn check(identity: &Identity) -> Result<(), String> {
    let parsed = |text: &str| text.parse::<Reference>().map_err(|error| error.to_string());
    match identity {
        Identity::ExactReference(text) => match parsed(text)?.is_name_only() {
            true => Err(format!("{text:?} has neither tag nor digest")),
            false => Ok(()),
        },
        Identity::ExactRepository(text) => parsed(text).map(drop),
        Identity::RemapIdentity { prefix, signed_prefix } => {
            let wrong = [prefix, signed_prefix].into_iter().find(|text| !is_prefix(text));
            match wrong {
                Some(text) => Err(format!(
                    "{text:?} is no prefix: expected HOST[:PORT], or a namespace or repository with \
                     its host"
                )),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// A host, or a name that begins with one: no tag, no digest.
fn is_prefix(text: &str) -> bool {
    match text.split_once('/') {
        None => format!("{text}/x").parse::<Repository>().is_ok(),
        Some(_) => text.parse::<Repository>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use treelay_recipes::Digest;

    use super::*;

    #[test]
    fn names_that_will_do() {
        let digest = Digest::of("x");
        let by_digest = format!("h.example/a@{digest}");
        let remap = |from: &str, to: &str| Identity::RemapIdentity {
            prefix: from.to_owned(),
            signed_prefix: to.to_owned(),
        };
        let mirror = remap("m.example/x", "h.example");
        let reference = Identity::ExactReference("h.example/a:1".to_owned());
        let repository = Identity::ExactRepository("h.example/a".to_owned());
        for (identity, asked, signed, will_do) in [
            (&Identity::MatchExact, "h.example/a:1", "h.example/a:1", true),
            (&Identity::MatchExact, "h.example/a:1", "h.example/a:2", false),
            (&Identity::MatchExact, "h.example/a:1", "h.example/a", false),
            (&Identity::MatchExact, &by_digest, "h.example/a:1", false),
            (&Identity::MatchExact, &by_digest, &by_digest, true),
            (&Identity::MatchExact, "alpine:3", "docker.io/library/alpine:3", true),
            (&Identity::MatchRepoDigestOrExact, "h.example/a:1", "h.example/a:1", true),
            (&Identity::MatchRepoDigestOrExact, "h.example/a:1", "h.example/a:2", false),
            // What cosign signs has no tag.
            (&Identity::MatchRepoDigestOrExact, "h.example/a:1", "h.example/a", false),
            (&Identity::MatchRepoDigestOrExact, &by_digest, "h.example/a", false),
            (&Identity::MatchRepoDigestOrExact, &by_digest, "h.example/a:1", true),
            (&Identity::MatchRepoDigestOrExact, &by_digest, "h.example/b:1", false),
            (&Identity::MatchRepository, "h.example/a:1", "h.example/a", true),
            (&Identity::MatchRepository, "h.example/a:1", "h.example/a:2", true),
            (&Identity::MatchRepository, "h.example/a:1", "h.example/a/b:1", false),
            (&Identity::MatchRepository, "h.example/a:1", "NOT A NAME", false),
            (&reference, "m.example/z:9", "h.example/a:1", true),
            (&reference, "h.example/a:1", "h.example/a", false),
            (&repository, "m.example/z:9", "h.example/a", true),
            (&repository, "m.example/z:9", "h.example/ab:1", false),
            (&mirror, "m.example/x/a:1", "h.example/a:1", true),
            (&mirror, "m.example/x/a:1", "m.example/x/a:1", false),
            (&mirror, "m.example/xy/a:1", "h.example/a:1", false),
            (&mirror, "o.example/a:1", "o.example/a:1", true),
            (&remap("m.example/a", "h.example/a"), "m.example/a:1", "h.example/a:1", true),
            (&remap("m.example/a", "h.example"), "m.example/a:1", "h.example:1", false),
            (&remap("m.example/a", "short"), "m.example/a:1", "short:1", false),
            // A port is part of the host: nothing is replaced there.
            (&remap("m.example", "h.example"), "m.example:5000/a:1", "h.example:5000/a:1", false),
            (&remap("m.example", "h.example"), "m.example:5000/a:1", "m.example:5000/a:1", true),
            (&remap("m.example:5000", "h.example"), "m.example:5000/a:1", "h.example/a:1", true),
        ] {
            let parsed: Reference = asked.parse().unwrap();
            let accepts = identity.accepts(Some(&parsed), signed);
            assert_eq!(accepts, will_do, "{identity:?} {asked} {signed}");
        }
        for identity in [Identity::MatchExact, Identity::MatchRepository, mirror] {
            assert!(!identity.accepts(None, "h.example/a:1"));
        }
        assert!(reference.accepts(None, "h.example/a:1"));
    }

    #[test]
    fn prefixes() {
        for (text, fits) in [
            ("h.example", true),
            ("h.example:5000", true),
            ("localhost", true),
            ("h.example/a/b", true),
            ("h.example/a:1", false),
            ("h.example/", false),
            ("", false),
            ("h.example/A", false),
        ] {
            assert_eq!(is_prefix(text), fits, "{text}");
        }
    }
}
