//! `{{ names }}` in texts.
//!
//! A template is text with any number of `{{ name }}`; `{{ "…" }}` stands for the text between the
//! quotes, which is how a literal `{{` is written: `{{ "{{" }}`.

use std::fmt;

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Taken as it is.
    Text(&'t str),
    /// A name to look up.
    Name(&'t str),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// `{{` without the `}}` that ends it.
    Open,
    /// Nothing between `{{` and `}}`.
    Empty,
    /// Something between them that is neither a name nor a quoted text.
    NotAName(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Open => f.write_str("`{{` without `}}`"),
            Malformed::Empty => f.write_str("nothing between `{{` and `}}`"),
            Malformed::NotAName(text) => write!(f, "`{text}` is not a template name"),
        }
    }
}

impl Malformed {
    /// What would be right.
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Malformed::Open => "expected `}}`; a literal `{{` is written `{{ \"{{\" }}`",
            Malformed::Empty | Malformed::NotAName(_) => {
                "expected a name such as `{{ arch }}`, or a text in quotes"
            }
        }
    }
}

/// Takes a text apart.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Malformed> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            pieces.push(Piece::Text(&rest[..open]));
        }
        let inner = rest[open + 2..].trim_start();
        let (piece, after) = match inner.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inner = &inner[1..];
                let end = inner.find(quote).ok_or(Malformed::Open)?;
                (Piece::Text(&inner[..end]), inner[end + 1..].trim_start())
            }
            _ => {
                let end = inner.find("}}").ok_or(Malformed::Open)?;
                let name = inner[..end].trim_end();
                if name.is_empty() {
                    return Err(Malformed::Empty);
                }
                if !is_name(name) {
                    return Err(Malformed::NotAName(name.to_owned()));
                }
                (Piece::Name(name), &inner[end..])
            }
        };
        rest = after.strip_prefix("}}").ok_or(Malformed::Open)?;
        pieces.push(piece);
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_apart() {
        use Piece::{Name, Text};
        let table: &[(&str, &[Piece<'_>])] = &[
            ("", &[]),
            ("plain } text }}", &[Text("plain } text }}")]),
            ("{{ arch }}", &[Name("arch")]),
            ("a/{{arch.uname}}/b", &[Text("a/"), Name("arch.uname"), Text("/b")]),
            ("{{ a }}{{ b }}", &[Name("a"), Name("b")]),
            ("x{{ \"{{\" }} y }}", &[Text("x"), Text("{{"), Text(" y }}")]),
            ("{{ '{{ \"q\" }}' }}", &[Text("{{ \"q\" }}")]),
            ("{ {x}", &[Text("{ {x}")]),
        ];
        for (text, expected) in table {
            assert_eq!(pieces(text).as_deref(), Ok(*expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        let table = [
            ("a {{ b", Malformed::Open),
            ("{{ \"b }}", Malformed::Open),
            ("{{ \"b\" c }}", Malformed::Open),
            ("{{}}", Malformed::Empty),
            ("{{  }}", Malformed::Empty),
            ("{{ a b }}", Malformed::NotAName("a b".into())),
            ("{{ env[\"HOME\"] }}", Malformed::NotAName("env[\"HOME\"]".into())),
        ];
        for (text, expected) in table {
            assert_eq!(pieces(text), Err(expected), "{text}");
        }
    }
}
