//! What is compared: the images or commits of a place, and which of them belong together.

use std::collections::BTreeMap;

use treelay_recipes::{Arch, Digest};

use super::{DiffError, image};
use crate::image_store::{Descriptor, ImageStore, Parts, Platform};
use crate::ostree_repo::{CommitLayer, OstreeError, Repository};

/// What commits are for.
pub(super) const LINUX: &str = "linux";

/// One of two things to compare: what a place has for each arch.
pub struct Side<'a> {
    /// By platform, lowest arch name first.
    pub parts: Vec<Part<'a>>,
    /// Whether they are commits.
    pub commits: bool,
}

/// An image or commit of one platform, not yet read.
pub struct Part<'a> {
    /// What it is for. The arch is GOARCH, or as it calls itself where that is no arch of treelay's;
    /// empty where it says nothing. Commits are for Linux and say no variant.
    pub platform: Platform,
    /// Manifest or commit.
    pub digest: Digest,
    pub(super) held: Held<'a>,
    /// Whether the arch alone tells it from the others of its side.
    alone: bool,
}

pub(super) enum Held<'a> {
    Image(&'a dyn ImageStore),
    Commit {
        repository: &'a Repository,
        /// The dirtree of the root.
        tree: Digest,
        /// Its dirmeta.
        meta: Digest,
        layers: Vec<CommitLayer>,
    },
}

impl<'a> Part<'a> {
    fn new(platform: Platform, digest: Digest, held: Held<'a>) -> Self {
        Self { platform, digest, held, alone: false }
    }

    /// As people are told of it: the arch where that is enough, else `OS/ARCH/VARIANT`.
    pub fn name(&self) -> String {
        if self.alone { self.platform.architecture.clone() } else { self.full_name() }
    }

    fn full_name(&self) -> String {
        let Platform { os, architecture, variant } = &self.platform;
        let variant = variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
        format!("{os}/{architecture}{variant}")
    }
}

/// What two parts that are compared are called together; both names where they differ.
pub(super) fn names(first: &Part<'_>, second: &Part<'_>) -> String {
    let (a, b) = (&first.platform, &second.platform);
    if fits(a, b) {
        return match (first.alone && second.alone, a.variant.is_some()) {
            (true, _) => first.name(),
            (false, true) => first.full_name(),
            (false, false) => second.full_name(),
        };
    }
    if a.architecture == b.architecture {
        return format!("{} and {}", first.full_name(), second.full_name());
    }
    format!("{} and {}", first.name(), second.name())
}

/// Whether what is for one may be for the other: where a variant is not said it may be any.
fn fits(a: &Platform, b: &Platform) -> bool {
    let variants = a.variant.is_none() || b.variant.is_none() || a.variant == b.variant;
    is_alike(a, b) && variants
}

fn is_alike(a: &Platform, b: &Platform) -> bool {
    a.os == b.os && a.architecture == b.architecture
}

/// The parts that belong together. What there is one of is compared whatever it is for.
pub fn pairs<'p, 'a>(
    firsts: &[&'p Part<'a>],
    seconds: &[&'p Part<'a>],
) -> Vec<(&'p Part<'a>, &'p Part<'a>)> {
    if let ([one], [other]) = (firsts, seconds) {
        return vec![(one, other)];
    }
    let platforms =
        |parts: &[&'p Part<'a>]| parts.iter().map(|part| &part.platform).collect::<Vec<_>>();
    let found = pair_up(&platforms(firsts), &platforms(seconds));
    found.into_iter().map(|(first, second)| (firsts[first], seconds[second])).collect()
}

/// Whether two platforms belong together.
type Rule<'r> = &'r dyn Fn(&Platform, &Platform) -> bool;

/// Indices of the same platform; then of an arch of which both sides have one, where a side does not
/// say the variant.
fn pair_up(firsts: &[&Platform], seconds: &[&Platform]) -> Vec<(usize, usize)> {
    let (mut of_first, mut taken) = (vec![None; firsts.len()], vec![false; seconds.len()]);
    let only = |all: &[&Platform], one: &Platform| {
        all.iter().filter(|other| is_alike(other, one)).count() == 1
    };
    let same = |a: &Platform, b: &Platform| a == b;
    let sole = |a: &Platform, b: &Platform| fits(a, b) && only(firsts, a) && only(seconds, b);
    let rules: [Rule<'_>; 2] = [&same, &sole];
    for rule in rules {
        for (first, found) in of_first.iter_mut().enumerate().filter(|(_, found)| found.is_none()) {
            let mut free = (0..seconds.len()).filter(|second| !taken[*second]);
            *found = free.find(|second| rule(firsts[first], seconds[*second]));
            if let Some(second) = *found {
                taken[second] = true;
            }
        }
    }
    let found = of_first.into_iter().enumerate();
    found.filter_map(|(first, second)| Some((first, second?))).collect()
}

impl<'a> Side<'a> {
    /// The image that `root` names, for each of its platforms.
    ///
    /// # Errors
    /// [`DiffError::Image`].
    pub async fn image(store: &'a dyn ImageStore, root: &Descriptor) -> Result<Self, DiffError> {
        let parts = store.manifest(&root.digest).await?.parts(&store.place())?;
        let children = match parts {
            Parts::Index(children) => children,
            Parts::Image { .. } => vec![root.clone()],
        };
        let mut parts = Vec::new();
        for child in children {
            let platform = match child.platform {
                Some(platform) => platform,
                None => image::platform(store, &child.digest).await?,
            };
            // Attestations of other tools are entries of no platform.
            if platform.architecture != "unknown" {
                parts.push(Part::new(platform, child.digest, Held::Image(store)));
            }
        }
        Ok(Self::of(parts, false))
    }

    /// The commits of these names.
    ///
    /// # Errors
    /// [`DiffError::Several`], [`DiffError::Commit`].
    pub fn commits(
        repository: &'a Repository,
        names: &[(String, Digest)],
    ) -> Result<Self, DiffError> {
        let mut by_arch: BTreeMap<String, (&str, Digest)> = BTreeMap::new();
        for (name, commit) in names {
            let said = repository.arch_of(commit)?.unwrap_or_default();
            let arch = Arch::ALL.into_iter().find(|arch| arch.uname() == said);
            let arch = arch.map_or(said, |arch| arch.go().to_owned());
            if let Some((first, _)) = by_arch.insert(arch.clone(), (name, *commit)) {
                let (first, second) = (first.to_owned(), name.clone());
                return Err(DiffError::Several { first, second, arch });
            }
        }
        let part = |(arch, (_, digest)): (String, (&str, Digest))| {
            let (tree, meta) = repository.root_objects(&digest)?;
            let layers = repository.layers_of(&digest)?;
            let platform = Platform { architecture: arch, os: LINUX.to_owned(), variant: None };
            Ok(Part::new(platform, digest, Held::Commit { repository, tree, meta, layers }))
        };
        let parts = by_arch.into_iter().map(part).collect::<Result<_, OstreeError>>()?;
        Ok(Self::of(parts, true))
    }

    fn of(mut parts: Vec<Part<'a>>, commits: bool) -> Self {
        let key = |part: &Part<'_>| {
            let Platform { os, architecture, variant } = &part.platform;
            (architecture.clone(), os.clone(), variant.clone())
        };
        parts.sort_by_key(key);
        let arches: Vec<String> =
            parts.iter().map(|part| part.platform.architecture.clone()).collect();
        for part in &mut parts {
            let same = arches.iter().filter(|arch| **arch == part.platform.architecture);
            part.alone = part.platform.os == LINUX && same.count() == 1;
        }
        Self { parts, commits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut fields = text.split('/').map(str::to_owned);
        let (os, architecture) = (fields.next().unwrap(), fields.next().unwrap());
        Platform { architecture, os, variant: fields.next() }
    }

    #[test]
    fn platforms_are_told_apart() {
        let all =
            ["linux/amd64", "windows/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8"];
        type Case<'c> = (&'c [&'c str], &'c [&'c str], &'c [(usize, usize)]);
        let cases: [Case<'_>; 6] = [
            (&all, &all, &[(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]),
            (&all, &["linux/arm/v7", "windows/amd64"], &[(1, 1), (3, 0)]),
            // Commits say no variant.
            (&["linux/amd64", "linux/arm64"], &all, &[(0, 0), (1, 4)]),
            // Either may be meant.
            (&["linux/arm", "linux/amd64"], &all, &[(1, 0)]),
            (&["linux/arm/v6", "linux/amd64"], &["linux/arm/v7", "linux/riscv64"], &[]),
            // Builds of Windows differ by what is not looked at.
            (&["windows/amd64"; 2], &["windows/amd64"; 2], &[(0, 0), (1, 1)]),
        ];
        for (firsts, seconds, expected) in cases {
            let of = |all: &[&str]| all.iter().map(|one| platform(one)).collect::<Vec<_>>();
            let (firsts, seconds) = (of(firsts), of(seconds));
            let found =
                pair_up(&firsts.iter().collect::<Vec<_>>(), &seconds.iter().collect::<Vec<_>>());
            assert_eq!(found, expected, "{firsts:?} {seconds:?}");
        }
    }
}
