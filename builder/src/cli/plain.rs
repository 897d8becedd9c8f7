//! Foreign text, made fit for a terminal.

use std::borrow::Cow;

/// A line as a terminal shows it whatever is in it: control characters, among them the end of a line,
/// and those that turn the direction of writing are written as escapes.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, is_odd)
}

/// The same for text of several lines, which may be indented by tabs.
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_odd(c) && !matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_odd: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_odd(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_odd(c: char) -> bool {
    // Marks, embeddings, overrides and isolates of direction; separators of lines and paragraphs.
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, line, lines) in [
            ("a ü \\x2d", "a ü \\x2d", "a ü \\x2d"),
            ("a\x1b[31m\nb\t", "a\\u{1b}[31m\\nb\\t", "a\\u{1b}[31m\nb\t"),
            ("\r\u{7f}\u{9b}\u{202e}", "\\r\\u{7f}\\u{9b}\\u{202e}", "\\r\\u{7f}\\u{9b}\\u{202e}"),
        ] {
            assert_eq!((&*plain(text), &*plain_lines(text)), (line, lines));
        }
    }
}
