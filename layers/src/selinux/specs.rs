//! [`Specs`]: specifications by the first names of their patterns, and the search among them.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::lines::Line;
use super::pattern::{self, Pattern};
use super::{ContextsError, FileType, NO_LABEL};

/// How many names of a path select specifications. It decides which ones are looked at, so another
/// number gives other answers.
const DEPTH: usize = 3;

/// The specifications, as a tree of names.
#[derive(Debug, Default)]
pub(super) struct Specs {
    root: Branch,
    /// How many there are: the place of the next one.
    count: usize,
}

#[derive(Debug, Default)]
struct Branch {
    literals: HashMap<Vec<u8>, Vec<Literal>>,
    /// In the order of the files.
    patterns: Vec<Spec>,
    below: HashMap<Vec<u8>, Branch>,
}

#[derive(Debug)]
struct Literal {
    kind: Option<FileType>,
    context: String,
}

#[derive(Debug)]
struct Spec {
    place: usize,
    kind: Option<FileType>,
    pattern: Pattern,
    context: String,
}

impl Specs {
    /// Adds the next one, in the order of the files.
    pub(super) fn insert(&mut self, line: Line) {
        let place = self.count;
        self.count += 1;
        if let Some(literal) = pattern::literal(line.pattern.as_bytes()) {
            let branch = self.root.descend(stems_of_literal(&literal));
            let spec = Literal { kind: line.kind, context: line.context };
            branch.literals.entry(literal).or_default().push(spec);
        } else {
            let branch = self.root.descend(stems_of_pattern(line.pattern.as_bytes()));
            let (kind, context) = (line.kind, line.context);
            let pattern = Pattern::new(line.place, line.pattern);
            branch.patterns.push(Spec { place, kind, pattern, context });
        }
    }

    /// Puts what was inserted in the order in which it is searched.
    pub(super) fn order(&mut self) {
        self.root.order();
    }

    /// Whether every pattern can be compared with.
    pub(super) fn check(&self) -> Result<(), ContextsError> {
        self.root.check()
    }

    /// The context that a literal gives a clean path.
    pub(super) fn literal(&self, path: &[u8], kind: FileType) -> Option<&str> {
        let same = self.along(path).pop()?.literals.get(path)?;
        let literal = same.iter().find(|literal| fits(literal.kind, kind))?;
        Some(&literal.context)
    }

    /// The context that a pattern gives a clean path.
    pub(super) fn pattern(
        &self,
        path: &[u8],
        kind: FileType,
    ) -> Result<Option<&str>, ContextsError> {
        let mut found: Option<&Spec> = None;
        for branch in self.along(path).into_iter().rev() {
            for spec in branch.patterns.iter().rev() {
                if found.is_some_and(|found| spec.place < found.place) {
                    break;
                }
                if fits(spec.kind, kind) && spec.pattern.matches(path)? {
                    if spec.context == NO_LABEL {
                        // At once, whatever a branch nearer to the root says.
                        return Ok(Some(NO_LABEL));
                    }
                    found = Some(spec);
                    break;
                }
            }
        }
        Ok(found.map(|spec| spec.context.as_str()))
    }

    /// The branches that a path goes along, from the root.
    fn along(&self, path: &[u8]) -> Vec<&Branch> {
        let mut branches = Vec::with_capacity(DEPTH + 1);
        let mut branch = &self.root;
        let mut rest = path;
        branches.push(branch);
        while let Some((name, next)) = first_name(rest).filter(|(name, _)| !name.is_empty())
            && let Some(below) = branch.below.get(name)
        {
            branches.push(below);
            (branch, rest) = (below, next);
        }
        branches
    }
}

impl Branch {
    fn descend(&mut self, stems: Vec<Vec<u8>>) -> &mut Self {
        stems.into_iter().fold(self, |branch, stem| branch.below.entry(stem).or_default())
    }

    fn order(&mut self) {
        for same in self.literals.values_mut() {
            // `None`, every type, comes last. Stable: then the first in the files counts.
            same.sort_by_key(|literal| Reverse(literal.kind));
        }
        self.below.values_mut().for_each(Self::order);
    }

    fn check(&self) -> Result<(), ContextsError> {
        self.patterns.iter().try_for_each(|spec| spec.pattern.regex().map(drop))?;
        self.below.values().try_for_each(Self::check)
    }
}

fn fits(spec: Option<FileType>, kind: FileType) -> bool {
    spec.is_none_or(|spec| spec == kind)
}

/// `/name/rest` as name and `/rest`; the last name of a path is none.
fn first_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let below = path.strip_prefix(b"/")?;
    let slash = below.iter().position(|&byte| byte == b'/')?;
    Some(below.split_at(slash))
}

fn stems_of_literal(literal: &[u8]) -> Vec<Vec<u8>> {
    let mut stems = Vec::new();
    let mut rest = literal;
    while stems.len() < DEPTH
        && let Some((name, next)) = first_name(rest)
    {
        if !name.is_empty() {
            stems.push(name.to_vec());
        }
        rest = next;
    }
    stems
}

/// As of a literal, up to the first name that the pattern does not spell out. Its first character
/// is not looked at, whatever it is.
fn stems_of_pattern(pattern: &[u8]) -> Vec<Vec<u8>> {
    let mut stems = Vec::new();
    let mut rest = pattern.get(1..).unwrap_or_default();
    while stems.len() < DEPTH
        && let Some(slash) = rest.iter().position(|&byte| byte == b'/')
    {
        let (name, next) = rest.split_at(slash);
        rest = &next[1..];
        if !name.is_empty() {
            let Some(name) = pattern::literal(name) else { break };
            stems.push(name);
        }
    }
    stems
}
