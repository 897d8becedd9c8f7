//! [`Pattern`]: the regular expressions of specifications.
//!
//! libselinux hands `^` + pattern + `$` to PCRE2 with `PCRE2_DOTALL`, in bytes. What policies use of
//! PCRE2 is translated for the regex crate, construct by construct; for what is not, or would mean
//! something else there, the pattern is refused and never guessed.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use super::pcre::{END, Translation};
use super::{ContextsError, Place};

/// Characters that libselinux reads as themselves after a backslash, in literals.
const ESCAPABLE: &[u8] = b".^$?*+|[({])}-_,";
/// Characters that make a pattern of a literal.
const META: &[u8] = b".^$?*+|[({])}";

/// What a pattern matches, if that is one text alone as libselinux sees it.
pub(super) fn literal(pattern: &[u8]) -> Option<Vec<u8>> {
    let mut literal = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        if META.contains(&byte) {
            return None;
        }
        literal.push(match byte {
            b'\\' => bytes.next().filter(|escaped| ESCAPABLE.contains(escaped))?,
            _ => byte,
        });
    }
    Some(literal)
}

/// A pattern, compiled when it is first needed.
#[derive(Debug)]
pub(super) struct Pattern {
    place: Place,
    text: String,
    /// What every match begins with.
    prefix: Vec<u8>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The prefix and, for `(/.*)?`, what is below it. Most patterns of a policy are this.
    Below,
    Regex(OnceLock<Result<Regex, String>>),
}

impl Pattern {
    pub(super) fn new(place: Place, text: String) -> Self {
        let below = text.strip_suffix("(/.*)?").and_then(|text| literal(text.as_bytes()));
        let (prefix, kind) = match below {
            Some(prefix) => (prefix, Kind::Below),
            None => (Translation::of(&text).prefix, Kind::Regex(OnceLock::new())),
        };
        Self { place, text, prefix, kind }
    }

    /// Whether the whole path matches.
    pub(super) fn matches(&self, path: &[u8]) -> Result<bool, ContextsError> {
        let Some(rest) = path.strip_prefix(self.prefix.as_slice()) else { return Ok(false) };
        match &self.kind {
            // PCRE's `$` is also before a newline at the end.
            Kind::Below => Ok(matches!(rest, [] | [b'\n'] | [b'/', ..])),
            Kind::Regex(_) => Ok(self.regex()?.is_some_and(|regex| regex.is_match(path))),
        }
    }

    /// The pattern compiled, if it has to be.
    pub(super) fn regex(&self) -> Result<Option<&Regex>, ContextsError> {
        let Kind::Regex(regex) = &self.kind else { return Ok(None) };
        let compiled = regex.get_or_init(|| compile(&self.text));
        compiled.as_ref().map(Some).map_err(|problem| ContextsError::Pattern {
            place: self.place,
            pattern: self.text.clone(),
            problem: problem.clone(),
        })
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    // Not in a group: with alternatives, the anchors belong to the first and the last one.
    let text = format!("^{}{END}", Translation::of(pattern).regex?);
    let built = RegexBuilder::new(&text).unicode(false).dot_matches_new_line(true).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "is too big".to_owned(),
        _ => "is not a regular expression".to_owned(),
    })
}
