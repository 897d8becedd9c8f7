//! The lines of a policy's files.

use super::{ContextsError, FileType, NO_LABEL, Own, Place};

/// Longer words are refused.
const LONGEST: usize = u16::MAX as usize;

/// One specification.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) pattern: String,
    pub(super) kind: Option<FileType>,
    pub(super) context: String,
}

/// One line of `.subs` or `.subs_dist`.
#[derive(Debug)]
pub(super) struct Substitution {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

/// C's `isspace`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| is_space(byte)).filter(|word| !word.is_empty())
}

/// Numbered from 1, without empty lines and comments.
fn numbered(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    lines.filter_map(|(index, line)| {
        let first = words(line).next()?;
        (!first.starts_with(b"#")).then_some((index + 1, line))
    })
}

/// The specifications of a file.
pub(super) fn specifications(
    file: &'static str,
    text: &[u8],
) -> impl Iterator<Item = Result<Line, ContextsError>> {
    numbered(text).map(move |(line, text)| {
        let place = Place { file: Some(file), line };
        specification(text)
            .map(|(pattern, kind, context)| Line { place, pattern, kind, context })
            .map_err(|problem| ContextsError::Line { place, problem })
    })
}

/// What stands after the third word is not looked at.
fn specification(line: &[u8]) -> Result<(String, Option<FileType>, String), String> {
    let words: Vec<&str> = words(line).take(3).map(ascii).collect::<Result<_, _>>()?;
    match *words.as_slice() {
        [pattern, context] => Ok((pattern.to_owned(), None, context.to_owned())),
        [pattern, kind, context] => {
            Ok((pattern.to_owned(), Some(file_type(kind)?), context.to_owned()))
        }
        _ => Err("has a pattern and no context".to_owned()),
    }
}

fn ascii(word: &[u8]) -> Result<&str, String> {
    if word.len() >= LONGEST {
        return Err("has a word that is too long".to_owned());
    }
    let text = std::str::from_utf8(word).ok().filter(|word| word.is_ascii());
    text.ok_or_else(|| "has characters outside of ASCII".to_owned())
}

fn file_type(word: &str) -> Result<FileType, String> {
    let known = FileType::ALL.into_iter().find(|kind| {
        let mut letters = word.chars();
        letters.next() == Some('-')
            && letters.next() == Some(kind.letter())
            && letters.next().is_none()
    });
    known.ok_or_else(|| format!("{word} is not a file type"))
}

/// A specification beside the policy's. `levels`: whether the policy's contexts have some.
pub(super) fn own(index: usize, own: &Own, levels: bool) -> Result<Line, ContextsError> {
    let place = Place { file: None, line: index + 1 };
    let checked =
        ascii(own.path.as_bytes()).and_then(|path| match words(path.as_bytes()).count() {
            1 => Ok(path.to_owned()),
            _ => Err("is not one word".to_owned()),
        });
    let pattern = checked.map_err(|problem| ContextsError::Line { place, problem })?;
    let context = match own.context.as_str() {
        whole if whole.contains(':') || whole == NO_LABEL => whole.to_owned(),
        kind => format!("system_u:object_r:{kind}{}", if levels { ":s0" } else { "" }),
    };
    Ok(Line { place, pattern, kind: own.kind, context })
}

/// The substitutions of a file. A line with one word is nothing, and no error.
pub(super) fn substitutions(text: &[u8]) -> Vec<Substitution> {
    let lines = numbered(text).filter_map(|(_, line)| {
        let mut words = words(line);
        Some(Substitution { from: words.next()?.to_vec(), to: words.next()?.to_vec() })
    });
    lines.collect()
}

/// What `path` is labelled as, if one fits; the first one that does counts.
pub(super) fn substitute(subs: &[Substitution], path: &[u8]) -> Option<Vec<u8>> {
    subs.iter().find_map(|sub| {
        let rest = path.strip_prefix(sub.from.as_slice())?;
        let rest = match rest {
            [] => rest,
            // The root has its slash already.
            [b'/', below @ ..] if sub.to == b"/" => below,
            [b'/', ..] => rest,
            _ => return None,
        };
        Some([sub.to.as_slice(), rest].concat())
    })
}
