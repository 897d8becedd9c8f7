//! The programs that pull images, each by the rules that it documents or that its source shows.
//!
//! A [`Consumer`] is one program of one version. It has a list of [`Rule`]s, each with an id that
//! is in `docs/consumers.md`, and decides about an image by its [`Evidence`] and the
//! [`Trust`] of who asks. To add one: a file here and a line in [`CONSUMERS`].

pub(super) mod containers_image;
mod cosign_2;
mod cosign_3;
mod podman_5;
mod rpm_ostree;

use treelay_signing::PublicKey;

use super::Reference;
use crate::sign::evidence::Evidence;

/// All consumers, in the order in which they are shown.
pub const CONSUMERS: &[&dyn Consumer] =
    &[&podman_5::Podman5, &rpm_ostree::RpmOstree, &cosign_2::Cosign2, &cosign_3::Cosign3];

/// A program that pulls images.
pub trait Consumer: Sync {
    /// Its name, as in `--as podman-5`.
    fn name(&self) -> &'static str;

    /// What it is, in words.
    fn about(&self) -> &'static str;

    /// All its rules.
    fn rules(&self) -> &'static [Rule];

    /// Which of its rules an image breaks, for somebody who trusts one of these keys.
    fn judge(&self, evidence: &Evidence, trust: &Trust<'_>) -> Vec<Broken>;
}

/// The consumer called `name`.
pub fn by_name(name: &str) -> Option<&'static dyn Consumer> {
    CONSUMERS.iter().copied().find(|consumer| consumer.name() == name)
}

/// Something that a consumer asks of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its id: `podman-5/sig-tag`.
    pub id: &'static str,
    /// What it asks.
    pub asks: &'static str,
}

/// Whom somebody trusts, and what was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// One of them must have signed.
    pub keys: &'a [PublicKey],
    /// The name by which the image is pulled.
    pub name: Option<&'a Reference>,
}

/// A rule that an image breaks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Broken {
    /// Which.
    pub rule: &'static str,
    /// By which manifest: `index`, `linux/amd64`.
    pub subject: String,
    /// How.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rules_have_ids_of_their_own_and_are_documented() {
        let documented = include_str!("../../../../docs/consumers.md");
        let mut ids = BTreeSet::new();
        for consumer in CONSUMERS {
            assert!(by_name(consumer.name()).is_some());
            for rule in consumer.rules() {
                let mine = rule.id.split('/').next();
                assert_eq!(mine, Some(consumer.name()), "{}", rule.id);
                assert!(ids.insert(rule.id), "{} is there twice", rule.id);
                let row = format!("| `{}` |", rule.id);
                assert!(documented.contains(&row), "{} is not documented", rule.id);
            }
        }
        for line in documented.lines().filter(|line| line.starts_with("| `")) {
            let id = line.trim_start_matches("| `").split('`').next().unwrap_or_default();
            assert!(!id.contains('/') || ids.contains(id), "{id} is documented, and there is none");
        }
    }
}
