//! As much of HTML as the pages of package indexes use: links with their attributes.

use std::borrow::Cow;

/// A start tag with its attributes, names in lowercase, values without entities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag<'a> {
    pub name: String,
    attributes: Vec<(String, Cow<'a, str>)>,
}

impl Tag<'_> {
    /// The value of an attribute; empty for one without a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

/// The start tags of a page, in order. Comments are passed over; broken ends are, too.
pub fn tags(mut page: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    while let Some(at) = page.find('<') {
        page = &page[at + 1..];
        if let Some(comment) = page.strip_prefix("!--") {
            page = comment.find("-->").map_or("", |end| &comment[end + 3..]);
        } else if page.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let (tag, rest) = tag(page);
            tags.push(tag);
            page = rest;
        }
    }
    tags
}

/// Reads a tag from behind its `<`.
fn tag(text: &str) -> (Tag<'_>, &str) {
    let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/');
    let (name, mut rest) = split_at(text, ends);
    let mut tag = Tag { name: name.to_ascii_lowercase(), attributes: Vec::new() };
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '='));
        if rest.is_empty() {
            return (tag, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (tag, after);
        }
        let (name, after) = split_at(rest, |c| ends(c) || c == '=');
        let name = name.to_ascii_lowercase();
        let after = after.trim_ascii_start();
        let value;
        (value, rest) = match after.strip_prefix('=').map(str::trim_ascii_start) {
            None => ("", after),
            Some(after) => match after.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let (value, rest) = split_at(&after[1..], |c| c == quote);
                    (value, rest.get(1..).unwrap_or_default())
                }
                _ => split_at(after, |c| c.is_ascii_whitespace() || c == '>'),
            },
        };
        tag.attributes.push((name, decoded(value)));
    }
}

fn split_at(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// Resolves the entities that addresses and reasons are written with.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let name = rest.split_once(';').map(|(name, _)| name).filter(|name| name.len() <= 8);
        match name.and_then(|name| Some((name, entity(name)?))) {
            Some((name, c)) => {
                out.push(c);
                rest = &rest[name.len() + 1..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn entity(name: &str) -> Option<char> {
    let code = match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        "nbsp" => return Some('\u{a0}'),
        _ => name.strip_prefix('#')?,
    };
    let code = match code.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => code.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tags_as_browsers_do() {
        let page = "<!doctype html><!-- <a href='no'> --><BASE href=../up/>\
                    <a href=\"x?a=1&amp;b=2#sha256=00\" data-yanked data-r = '&gt;=3.6 &bogus; &#x41;'>x</a\
                    ><a\n  href=bare>y</a><br/><a ==href='z'></a><p";
        let tags = tags(page);
        let shown: Vec<_> = tags.iter().map(|t| (t.name.as_str(), t.get("href"))).collect();
        let expected = [
            ("base", Some("../up/")),
            ("a", Some("x?a=1&b=2#sha256=00")),
            ("a", Some("bare")),
            ("br", None),
            ("a", Some("z")),
            ("p", None),
        ];
        assert_eq!(shown, expected);
        assert_eq!(tags[1].get("data-yanked"), Some(""));
        assert_eq!(tags[1].get("data-r"), Some(">=3.6 &bogus; A"));
    }

    #[test]
    fn never_hangs_on_broken_pages() {
        for page in [
            "<",
            "<a",
            "<a href",
            "<a href=",
            "<a href='x",
            "<!--",
            "<a =",
            "<a ==",
            "&",
            "<a /",
            "<é>",
        ] {
            tags(page);
        }
    }
}
